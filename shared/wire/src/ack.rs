//! `ack`: these envelopes are stored on the device; delete them from its mailbox.
//!
//! Ids are named one by one, never "everything up to": a concurrent `send` may still insert an older id. The
//! mailbox is the connection's own; a frame cannot name another.

use serde::{Deserialize, Serialize};

use crate::{
    envelope::EnvelopeId,
    error::{ErrorCode, Problem},
    ids::RequestId,
    limits::MAX_IDS_PER_ACK,
};

/// Delete these from the own mailbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AckRequest {
    /// Repeated in the reply.
    pub request: RequestId,
    /// 1 to [`MAX_IDS_PER_ACK`] ids. An id that is not in the mailbox (any more) is no error.
    pub ids: Vec<EnvelopeId>,
}

impl AckRequest {
    /// Checks the bound on the list.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] or, for an empty list, [`ErrorCode::Malformed`].
    pub fn check(&self) -> Result<(), Problem> {
        match self.ids.len() {
            0 => Err(Problem::new(
                ErrorCode::Malformed,
                "An ack names at least one envelope.",
            )),
            1..=MAX_IDS_PER_ACK => Ok(()),
            _ => {
                let message = format!("An ack names at most {MAX_IDS_PER_ACK} envelopes; send several.");
                Err(Problem::new(ErrorCode::TooLarge, message))
            }
        }
    }
}

/// None of the named envelopes is in the mailbox any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// The request.
    pub request: RequestId,
}
