//! Messages, conversations and devices, as the other languages have them.

use std::fmt;

use waxwing_client::{self as client, AccountId, Fingerprint, MessageId};

use crate::event::FailureReason;

/// A device of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct DeviceAddress {
    /// Whose device.
    pub account: AccountId,
    /// Which of them, 1 to 127; the one that registered the account is 1.
    pub device: u8,
}

impl From<client::DeviceAddress> for DeviceAddress {
    fn from(address: client::DeviceAddress) -> Self {
        Self {
            account: address.account,
            device: address.device.get(),
        }
    }
}

/// A device of the own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct OwnDevice {
    /// Which.
    pub device: u8,
    /// Whether it is the one that asks.
    pub is_this: bool,
}

impl From<client::OwnDevice> for OwnDevice {
    fn from(device: client::OwnDevice) -> Self {
        Self {
            device: device.address.device.get(),
            is_this: device.this,
        }
    }
}

/// What this device knows of somebody.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Contact {
    /// Whether this person wrote to the account or let it in. Whoever did not is a stranger, and gets no receipts.
    pub let_in: bool,
    /// Whether the person compared the safety number as it is now, by `mark_verified`.
    pub verified: bool,
    /// An account key that waits for `trust`, as `AccountKeyChanged` told.
    pub new_key: Option<Fingerprint>,
}

impl From<client::Contact> for Contact {
    fn from(contact: client::Contact) -> Self {
        Self {
            let_in: contact.let_in,
            verified: contact.verified,
            new_key: contact.new_key,
        }
    }
}

/// A code is on its way to a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Challenged {
    /// Seconds until the code ends.
    pub expires_in_seconds: u32,
    /// Seconds until another code may be asked for.
    pub next_in_seconds: u32,
}

impl From<client::Challenged> for Challenged {
    fn from(challenged: client::Challenged) -> Self {
        Self {
            expires_in_seconds: challenged.expires_in_seconds,
            next_in_seconds: challenged.next_in_seconds,
        }
    }
}

/// What is known of a number once it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ConfirmedNumber {
    /// It has an account, which registering takes over: its other devices end, and its contacts are told.
    pub has_account: bool,
    /// Taking it over needs the PIN.
    pub locked: bool,
}

impl From<client::ConfirmedNumber> for ConfirmedNumber {
    fn from(confirmed: client::ConfirmedNumber) -> Self {
        Self {
            has_account: confirmed.has_account,
            locked: confirmed.locked,
        }
    }
}

/// Which receipts this device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ReceiptSettings {
    /// That a message was stored.
    pub delivered: bool,
    /// That a message was read.
    pub read: bool,
}

impl From<client::ReceiptSettings> for ReceiptSettings {
    fn from(settings: client::ReceiptSettings) -> Self {
        Self {
            delivered: settings.delivered,
            read: settings.read,
        }
    }
}

impl From<ReceiptSettings> for client::ReceiptSettings {
    fn from(settings: ReceiptSettings) -> Self {
        Self {
            delivered: settings.delivered,
            read: settings.read,
        }
    }
}

/// A message in the store. It does not print its text.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
#[uniffi::export(Debug, Display)]
pub struct StoredMessage {
    /// Its place among all messages of this device, rising in the order they are to be shown.
    pub position: u64,
    /// Its id, the same on every device.
    pub id: MessageId,
    /// The device that sent it.
    pub sender: DeviceAddress,
    /// The other account of the conversation.
    pub conversation: AccountId,
    /// When the sender's clock said it was sent, in milliseconds of Unix time. Not to be relied on.
    pub sent_at_millis: u64,
    /// What it says.
    pub text: String,
    /// Whether a device of the own account sent it.
    pub own: bool,
    /// Whether it arrived after its place was reported as a gap.
    pub late: bool,
    /// Whether its sender is on no list of devices that this device trusts: show it as not confirmed. It ends with
    /// the event `SenderConfirmed`.
    pub unconfirmed: bool,
    /// How far it got.
    pub state: MessageState,
}

impl From<client::StoredMessage> for StoredMessage {
    fn from(message: client::StoredMessage) -> Self {
        Self {
            position: message.position,
            id: message.id,
            sender: message.from.into(),
            conversation: message.conversation,
            sent_at_millis: message.sent_at_millis,
            text: message.text,
            own: message.own,
            late: message.late,
            unconfirmed: message.unconfirmed,
            state: message.state.into(),
        }
    }
}

impl fmt::Display for StoredMessage {
    /// All that tells it from others, and not what it says (attack X86).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "StoredMessage({} at {}, {} bytes, {:?})",
            self.id,
            self.position,
            self.text.len(),
            self.state
        )
    }
}

impl fmt::Debug for StoredMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A person to write with.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Conversation {
    /// The other account.
    pub account: AccountId,
    /// The newest message.
    pub newest: StoredMessage,
    /// How many received messages the person has not read.
    pub unread: u64,
}

impl From<client::Conversation> for Conversation {
    fn from(conversation: client::Conversation) -> Self {
        Self {
            account: conversation.account,
            newest: conversation.newest.into(),
            unread: conversation.unread,
        }
    }
}

/// How far a message got. It rises, and may leave out states; it never goes back but from sent to held.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum MessageState {
    /// Sent by another device, also one of the own account of which no receipt came.
    Received,
    /// Sent by this device; in its outbox, and not handed to the network yet.
    Pending,
    /// Sent by this device; handed to the network, and not answered yet.
    Sent,
    /// Sent by this device; in its outbox until the app answers whether it trusts the recipient's new account key.
    Held,
    /// Sent by this device; in the mailboxes of all its recipients' devices.
    Accepted,
    /// A device of the recipient stored it.
    Delivered,
    /// The recipient read it.
    Read,
    /// Sent by this device; given up.
    Failed {
        /// Why.
        reason: FailureReason,
    },
}

impl From<client::MessageState> for MessageState {
    fn from(state: client::MessageState) -> Self {
        use client::MessageState as State;
        match state {
            State::Received => Self::Received,
            State::Pending => Self::Pending,
            State::Sent => Self::Sent,
            State::Held => Self::Held,
            State::Accepted => Self::Accepted,
            State::Delivered => Self::Delivered,
            State::Read => Self::Read,
            State::Failed(reason) => Self::Failed {
                reason: reason.into(),
            },
            // A state that this version does not know is none that was reached: the outbox has it.
            _ => Self::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x86_a_message_does_not_print_its_text() {
        let account: AccountId = "11111111-1111-4111-8111-111111111111".parse().unwrap();
        let message = StoredMessage {
            position: 7,
            id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(),
            sender: DeviceAddress { account, device: 1 },
            conversation: account,
            sent_at_millis: 0,
            text: "for your eyes only".to_owned(),
            own: false,
            late: false,
            unconfirmed: false,
            state: MessageState::Received,
        };
        let conversation = Conversation {
            account,
            newest: message.clone(),
            unread: 1,
        };
        let printed = format!("{message} {message:?} {conversation:?}");
        assert!(!printed.contains("eyes"), "{printed}");
        assert!(printed.contains("18 bytes"), "{printed}");
    }
}
