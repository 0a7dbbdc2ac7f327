//! A message as the app sees it.

use waxwing_wire::{AccountId, DeviceAddress, MessageId};

use crate::events::FailureReason;

/// A message in the store.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredMessage {
    /// Its place among all messages of this device, rising in the order they are to be shown.
    pub position: u64,
    /// Its id, the same on every device.
    pub id: MessageId,
    /// The device that sent it.
    pub from: DeviceAddress,
    /// The other account of the conversation.
    pub conversation: AccountId,
    /// Its number in the channel from the sending device to this one, from 1. 0 for a message this very
    /// device sent.
    pub sequence: u64,
    /// When the sender's clock said it was sent, in milliseconds of Unix time. Not to be relied on.
    pub sent_at_millis: u64,
    /// What it says.
    pub text: String,
    /// Whether a device of the own account sent it.
    pub own: bool,
    /// Whether it arrived after its place was reported as a gap.
    pub late: bool,
    /// Whether its sender is on no list of devices that this device trusts: the list is not learned yet, the account
    /// key of the sender has changed, or the device is none of that account. Show it as not confirmed. It ends with
    /// [`Event::SenderConfirmed`](crate::Event::SenderConfirmed), when such a list names the device.
    pub unconfirmed: bool,
    /// How far it got.
    pub state: MessageState,
}

/// A person to write with, or oneself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The other account.
    pub account: AccountId,
    /// The newest message.
    pub newest: StoredMessage,
    /// How many received messages the person has not read.
    pub unread: u64,
}

/// How far a message got. A message of the own account goes from *pending* to *read*; it may leave out states, and never
/// goes back but from *sent* to *held*.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageState {
    /// Sent by another device, also one of the own account of which no receipt came.
    Received,
    /// Sent by this device; in its outbox, and not handed to the network yet.
    Pending,
    /// Sent by this device; handed to the network, and not answered yet. It is handed over again until it is.
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
    Failed(FailureReason),
}

impl std::fmt::Debug for StoredMessage {
    /// All but the text (attack X86).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredMessage")
            .field("position", &self.position)
            .field("id", &self.id)
            .field("from", &self.from)
            .field("conversation", &self.conversation)
            .field("sequence", &self.sequence)
            .field("sent_at_millis", &self.sent_at_millis)
            .field("text", &format_args!("{} bytes", self.text.len()))
            .field("own", &self.own)
            .field("late", &self.late)
            .field("unconfirmed", &self.unconfirmed)
            .field("state", &self.state)
            .finish()
    }
}
