//! Every frame a socket carries. All are JSON text; a frame never holds more than one request or reply.

use serde::{Deserialize, Serialize};

use crate::{
    ack::{AckRequest, Acked},
    claim::{Bundles, ClaimRequest},
    envelope::Envelope,
    ephemeral::{Ephemeral, EphemeralRequest},
    error::{ErrorCode, Problem},
    ids::{AccountId, RequestId},
    link::LinkRequested,
    receive::{Page, ReceiveRequest},
    send::{SendRequest, Sent},
};

/// A frame from a client. `action` is what API Gateway routes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum ClientFrame {
    /// Put messages into the mailboxes of their recipients' devices.
    Send(SendRequest),
    /// Delete envelopes from the own mailbox, by id.
    Ack(AckRequest),
    /// The next page of the own mailbox.
    Receive(ReceiveRequest),
    /// Prekey bundles of an account's devices.
    Claim(ClaimRequest),
    /// Something for now alone. Has no reply.
    Ephemeral(EphemeralRequest),
}

impl ClientFrame {
    /// Parses the body of a frame.
    ///
    /// # Errors
    /// A [`Problem`] with [`ErrorCode::Malformed`] that names what was wrong with the shape, and never
    /// repeats the frame's content.
    pub fn parse(body: &str) -> Result<Self, Problem> {
        serde_json::from_str(body).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            let message = match error.classify() {
                serde_json::error::Category::Data => format!(
                    "The frame has a wrong or missing field near {place}; see docs/api.md for its shape."
                ),
                _ => format!("The frame is not JSON: it breaks off or goes wrong at {place}."),
            };
            Problem::new(ErrorCode::Malformed, message)
        })
    }
}

/// A frame from the service: the reply to one request, or news.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServiceFrame {
    /// Reply to `send`: what became of each message.
    Sent(Sent),
    /// Reply to `ack`.
    Acked(Acked),
    /// Reply to `receive`.
    Page(Page),
    /// Reply to `claim`.
    Bundles(Bundles),
    /// Reply to any request that was refused.
    Error(Refused),
    /// News: envelopes that arrived while connected.
    Delivery(Delivery),
    /// News: a device says something for now alone.
    Ephemeral(Ephemeral),
    /// News: the own pool of one-time prekeys runs low.
    PrekeysLow(PrekeysLow),
    /// News: an account's list of devices changed. Sent to that account's own devices.
    DevicesChanged(DevicesChanged),
    /// News: a new device took up this device's offer.
    LinkRequested(LinkRequested),
    /// News: somebody confirmed the account's number and stopped at its lock, or failed at it. Sent to the
    /// account's devices.
    RegistrationAttempted(RegistrationAttempted),
    /// News: this device is not in the account any more. The connection closes.
    Removed(Removed),
}

/// A refused request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Which request, if it could be read from the frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestId>,
    /// Why, and what to do.
    #[serde(flatten)]
    pub problem: Problem,
}

/// Envelopes for this device, pushed as they arrive. They stay in the mailbox until acked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// At least one.
    pub envelopes: Vec<Envelope>,
}

/// The own pool of one-time prekeys runs low: upload more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrekeysLow {
    /// How many are left, as the claim that noticed saw it.
    pub remaining: u32,
}

/// An account's list of devices changed: fetch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesChanged {
    /// Whose list.
    pub account: AccountId,
}

/// Somebody tries to register the account's number anew, and has no valid PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationAttempted {
    /// Whose number.
    pub account: AccountId,
}

/// Why a device is not in its account any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// What happened.
    pub reason: RemovalReason,
}

/// What ends a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// A device of the account left it out of the list.
    Revoked,
    /// The account's number was registered anew.
    RegisteredAnew,
}
