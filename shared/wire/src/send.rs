//! `send`: messages, each to all devices of its recipients.
//!
//! A frame carries one message or several: each is accepted, corrected or refused for itself, and a client that can
//! wait a moment pays for one frame, one invocation and one reply instead of many.
//!
//! The sender lists, for every account concerned (its own among them, for its other devices), exactly the
//! devices it knows, each with its own ciphertext. The service puts the ciphertexts first and compares the
//! lists after, so a device that is connecting at this moment sees the message one way or the other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    bytes::Ciphertext,
    error::{ErrorCode, Problem},
    ids::{AccountId, DeviceId, MessageId, RegistrationId, RequestId},
    limits::{MAX_ACCOUNTS_PER_SEND, MAX_ENVELOPES_PER_SEND, MAX_MESSAGES_PER_SEND},
};

/// Messages for all devices of their recipients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SendRequest {
    /// Repeated in the reply.
    pub request: RequestId,
    /// 1 to [`MAX_MESSAGES_PER_SEND`], none twice, together for at most [`MAX_ENVELOPES_PER_SEND`] devices.
    pub messages: Vec<OutgoingMessage>,
}

/// One message for all devices of its recipients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutgoingMessage {
    /// The same in every repetition of this message: a repeated `send` changes nothing.
    pub message: MessageId,
    /// 1 to [`MAX_ACCOUNTS_PER_SEND`] accounts, none twice. The sender's own account, if listed, is listed without
    /// the sending device.
    pub recipients: Vec<Recipient>,
}

impl SendRequest {
    /// Checks the bounds that JSON's shape alone does not.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] beyond a bound, [`ErrorCode::Malformed`] for an empty list or a message, account or
    /// device listed twice.
    pub fn check(&self) -> Result<(), Problem> {
        let envelopes: usize = self.messages.iter().map(OutgoingMessage::envelopes).sum();
        if self.messages.len() > MAX_MESSAGES_PER_SEND || envelopes > MAX_ENVELOPES_PER_SEND {
            let message = format!(
                "A frame has at most {MAX_MESSAGES_PER_SEND} messages, for {MAX_ENVELOPES_PER_SEND} devices in all; \
                 send them in parts."
            );
            return Err(Problem::new(ErrorCode::TooLarge, message));
        }
        let ids: BTreeSet<_> = self.messages.iter().map(|message| message.message).collect();
        if ids.is_empty() || ids.len() != self.messages.len() {
            let message = "A frame needs at least one message, and none twice.";
            return Err(Problem::new(ErrorCode::Malformed, message));
        }
        self.messages.iter().try_for_each(OutgoingMessage::check)
    }
}

impl OutgoingMessage {
    fn envelopes(&self) -> usize {
        self.recipients
            .iter()
            .map(|recipient| recipient.devices.len())
            .sum()
    }

    fn check(&self) -> Result<(), Problem> {
        if self.recipients.len() > MAX_ACCOUNTS_PER_SEND {
            let message =
                format!("A message has at most {MAX_ACCOUNTS_PER_SEND} recipients; send it in parts.");
            return Err(Problem::new(ErrorCode::TooLarge, message));
        }
        if self.recipients.is_empty() {
            let message = "A message needs at least one recipient.";
            return Err(Problem::new(ErrorCode::Malformed, message));
        }
        let accounts: BTreeSet<_> = self
            .recipients
            .iter()
            .map(|recipient| recipient.account)
            .collect();
        let devices_repeat = self.recipients.iter().any(|recipient| {
            let devices: BTreeSet<_> = recipient.devices.iter().map(|device| device.device).collect();
            devices.len() != recipient.devices.len()
        });
        if accounts.len() != self.recipients.len() || devices_repeat {
            let message = "An account or a device is listed twice.";
            return Err(Problem::new(ErrorCode::Malformed, message));
        }
        Ok(())
    }
}

/// One account and all devices the sender knows of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipient {
    /// Whose devices.
    pub account: AccountId,
    /// Every device of the account as the sender knows it. Empty only for an account whose devices the
    /// sender does not know yet, or for the sender's own account when it has no other device.
    pub devices: Vec<RecipientDevice>,
    /// Whether the message is worth waking the account's devices for. Receipts and copies for the own devices are not:
    /// they wait until the device is there. The one thing about the content that a sender tells the service.
    #[serde(default = "is_urgent", skip_serializing_if = "Clone::clone")]
    pub urgent: bool,
}

/// Who says nothing wakes: a message that waits unnoticed is worse than an alert too many.
fn is_urgent() -> bool {
    true
}

/// One device and what was encrypted for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipientDevice {
    /// The device.
    pub device: DeviceId,
    /// The registration the ciphertext was made for.
    pub registration: RegistrationId,
    /// The ciphertext.
    pub ciphertext: Ciphertext,
}

/// What became of the messages of one frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sent {
    /// The request.
    pub request: RequestId,
    /// One for each message of the request, in its order.
    pub outcomes: Vec<MessageOutcome>,
}

/// What became of one message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageOutcome {
    /// The message.
    pub message: MessageId,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What can become of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Every device on the recipients' lists has the message in its mailbox, and was posted to or marked for push.
    Accepted,
    /// The devices of one or more accounts are others than the message named. What matched is in its mailbox;
    /// nothing is left for what is gone. Correct the lists and send the same message id again.
    Mismatch {
        /// One entry for each account whose list differed.
        accounts: Vec<AccountMismatch>,
    },
    /// It cannot be delivered as it is.
    Refused(Problem),
}

/// How one account's devices differ from what the message named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountMismatch {
    /// Whose devices.
    pub account: AccountId,
    /// Devices the account has and the message lacked.
    pub missing: Vec<KnownDevice>,
    /// Devices the message named and the account has not.
    pub gone: Vec<DeviceId>,
    /// Devices that registered again since the sender learned of them, as they are now.
    pub reregistered: Vec<KnownDevice>,
}

/// A device as the directory has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownDevice {
    /// The device.
    pub device: DeviceId,
    /// Its present registration.
    pub registration: RegistrationId,
}
