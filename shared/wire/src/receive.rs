//! `receive`: the next page of the own mailbox, oldest first.

use serde::{Deserialize, Serialize};

use crate::{
    envelope::{Envelope, EnvelopeId},
    ids::RequestId,
};

/// Ask for a page of the own mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiveRequest {
    /// Repeated in the reply.
    pub request: RequestId,
    /// Continue after this envelope; without it, from the oldest. It only saves reading again what this
    /// connection was already given: nothing is deleted or skipped for good by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<EnvelopeId>,
}

/// A page of the own mailbox: up to [`MAX_ENVELOPES_PER_PAGE`](crate::limits::MAX_ENVELOPES_PER_PAGE)
/// envelopes, none expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The request.
    pub request: RequestId,
    /// Oldest first. May be empty even when `more` is set, if all that was read had expired.
    pub envelopes: Vec<Envelope>,
    /// Where to continue, if the mailbox may hold more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_after: Option<EnvelopeId>,
}
