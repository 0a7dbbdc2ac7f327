//! What a client tells its app.
//!
//! # How an app reads
//! ```no_run
//! # async fn run(client: waxwing_client::Client) -> Result<(), waxwing_client::StoreError> {
//! let mut events = client.events().await?;
//! while let Some(event) = events.next().await {
//!     // show it
//! }
//! # Ok(()) }
//! ```
//! There are two kinds of event.
//! - **Kept**: [`Message`](Event::Message), [`Gap`](Event::Gap), [`Failed`](Event::Failed),
//!   [`Undecryptable`](Event::Undecryptable), [`DevicesChanged`](Event::DevicesChanged),
//!   [`AccountKeyChanged`](Event::AccountKeyChanged), [`UnlistedDevice`](Event::UnlistedDevice),
//!   [`ClonedDevice`](Event::ClonedDevice), [`RegistrationAttempted`](Event::RegistrationAttempted),
//!   [`RefusedRepeatedly`](Event::RefusedRepeatedly), [`Removed`](Event::Removed),
//!   [`HistoryOffered`](Event::HistoryOffered), [`HistoryEnded`](Event::HistoryEnded). Each is a row of the store's timeline, written by the same transaction as what it tells of. Asking for the next event
//!   says that the one before was handled: only then does the store's *shown* mark move past it. After a
//!   crash the reader goes on at the mark, so nothing is lost between commit and screen. Only what was being
//!   handled at the moment of the crash comes again; an app that must rule even that out keeps
//!   [`Events::position`] together with what it writes, and drops what is not above it.
//! - **Passing**: all others. They tell what is going on now and are gone with the process.
//!
//! No event is lost for a slow reader: kept ones wait in the store, passing ones in an unbounded queue of
//! small values, and the order between the two is kept.

mod reader;

use std::{ops::RangeInclusive, time::Duration};

use serde::{Deserialize, Serialize};
use waxwing_protocol::content::{ResetReason, Stage};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, EnvelopeId, ErrorCode, MessageId, frame::RemovalReason,
};

pub(crate) use reader::EventSink;
pub use reader::Events;

use crate::{
    history::{HistoryEnd, HistoryId},
    linking::LinkRequestId,
    messages::StoredMessage,
    trust::{DeviceChange, Fingerprint},
};

/// Something an app may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Kept. A message to show: each once, in order per sending device.
    Message(StoredMessage),
    /// Kept. Messages of a device that did not arrive within the wait; what follows them is shown now. The device is
    /// asked to send them again. One that arrives after all is shown then, marked [`late`](StoredMessage::late).
    Gap {
        /// The sending device.
        from: DeviceAddress,
        /// The channel's sequence numbers that are missing.
        missing: RangeInclusive<u64>,
    },
    /// Kept. A message of this device that will not be sent.
    Failed {
        /// The message.
        message: MessageId,
        /// Why.
        reason: FailureReason,
    },
    /// Kept. An envelope that could not be read. It was recorded without its content and acked, so that what
    /// follows it is not held up. Its sender is asked for it where that may help; then [`Message`](Self::Message) tells
    /// what it said.
    Undecryptable {
        /// The envelope.
        envelope: EnvelopeId,
        /// Why.
        reason: UndecryptableReason,
    },
    /// Kept. The owner of an account signed another list of devices: a device came, went, or was set up anew. Of
    /// the own account only what this device did not sign itself.
    DevicesChanged {
        /// Whose.
        account: AccountId,
        /// What is different, by rising device.
        changes: Vec<DeviceChange>,
    },
    /// Kept. An account has another account key: the person registered anew, or somebody took the account over.
    /// Nothing is sent there until [`Client::trust`](crate::Client::trust) is called; compare the safety number
    /// before. What arrives is marked [`unconfirmed`](StoredMessage::unconfirmed).
    AccountKeyChanged {
        /// Whose.
        account: AccountId,
        /// The new key, to be handed to `trust`.
        fingerprint: Fingerprint,
    },
    /// Kept. The service presents a device that is not on the list which the account's owner signed. Nothing was
    /// encrypted to it. Told once for each such device.
    UnlistedDevice {
        /// As the service calls it.
        device: DeviceAddress,
    },
    /// Kept. A device runs twice, from a copy or a restored backup: it was proven by two contents of it with one
    /// sequence number, which only who has its keys can make. Its owner had better remove it and link it anew. Told
    /// once for each such device.
    ClonedDevice {
        /// The device.
        device: DeviceAddress,
    },
    /// Kept. Somebody confirmed the number of the own account and did not have the PIN of its lock.
    RegistrationAttempted,
    /// Kept. The service refuses this device's token again and again, and its clock is right: it was probably removed
    /// from its account while it was away, and nobody proves that to it. It goes on trying. Told once for each such
    /// time, unless the app was started anew in between.
    RefusedRepeatedly,
    /// Kept. This device is not in its account any more. It sends and receives nothing; what it stored stays
    /// readable.
    Removed {
        /// Why.
        reason: RemovalReason,
    },
    /// Kept. Another device of the own account would give its messages to this one:
    /// [`Client::take_history`](crate::Client::take_history) or [`Client::end_history`](crate::Client::end_history)
    /// answers.
    HistoryOffered {
        /// To be handed to the answer.
        history: HistoryId,
        /// The device that has it.
        device: DeviceId,
        /// How many messages it has.
        messages: u64,
    },
    /// Kept. A history is over, on the device that gave it and on the one that took it.
    HistoryEnded {
        /// Which.
        history: HistoryId,
        /// The other device.
        device: DeviceId,
        /// How.
        end: HistoryEnd,
    },
    /// More of a history was taken. Its messages are not told one by one: read the
    /// [conversations](crate::Client::conversations) again.
    HistoryProgress {
        /// Which.
        history: HistoryId,
        /// How many of its messages the taking device has stored.
        done: u64,
        /// Of how many.
        of: u64,
    },
    /// A new device read the code that [`Client::offer_link`](crate::Client::offer_link) gave. Show the name and
    /// ask; [`Client::answer_link`](crate::Client::answer_link) takes the answer. Told again after a restart.
    LinkRequested {
        /// To be handed to `answer_link`.
        request: LinkRequestId,
        /// What the new device calls itself.
        name: String,
        /// A digest of its keys, which it can show as well: eight groups of four hexadecimal digits.
        fingerprint: String,
    },
    /// The connection is open.
    Connected,
    /// A new connection took the place of the old one before that ended, as planned or because the network changed. Nothing
    /// was lost, nothing has to be shown.
    Renewed,
    /// The connection is gone, or was not to be had.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// When the next attempt begins, in the background not before the app comes to the foreground; `None` if only
        /// [`Client::connect`](crate::Client::connect) makes one. After [`Background`](DisconnectReason::Background)
        /// [`Client::foreground`](crate::Client::foreground) does, too.
        retry_in: Option<Duration>,
    },
    /// All that waited in the mailbox when the connection opened has been read.
    Drained {
        /// Envelopes read.
        count: u64,
    },
    /// A message of this device is in the mailboxes of all its recipients' devices.
    Accepted {
        /// The message.
        message: MessageId,
    },
    /// An account tells how far messages got that it was sent: a device of it stored them, or the person read them. The
    /// store has it already.
    Receipt {
        /// The recipient.
        from: AccountId,
        /// How far.
        stage: Stage,
        /// Which messages.
        messages: Vec<MessageId>,
    },
    /// Messages of a conversation were read on another device of the own account.
    ReadElsewhere {
        /// The conversation.
        conversation: AccountId,
    },
    /// Something came after all that was reported as missing: its sender was asked, or it was late. If it is for people,
    /// [`Message`](Self::Message) tells it, marked [`late`](StoredMessage::late).
    Recovered {
        /// The sending device.
        from: DeviceAddress,
        /// The number in its channel.
        sequence: u64,
    },
    /// An envelope came that was dealt with before. It is acked again, and nothing is shown.
    CameAgain {
        /// The envelope.
        envelope: EnvelopeId,
        /// How it came this time.
        way: Way,
        /// What had become of its ack by then.
        ack: AckProgress,
    },
    /// Envelopes were deleted from the own mailbox.
    Acked {
        /// How many.
        count: usize,
    },
    /// A session with another device was opened.
    Handshake {
        /// The other device.
        peer: DeviceAddress,
        /// Whether this device opened it.
        initiated: bool,
        /// Whether a one-time prekey took part. Without one the first messages have less forward secrecy.
        one_time_prekey: bool,
    },
    /// All sessions with another device were given up for a new one, and both devices know.
    SessionReset {
        /// The other device.
        peer: DeviceAddress,
        /// Whether this device did it.
        initiated: bool,
        /// Why.
        cause: ResetCause,
    },
    /// A list of devices arrived that names a device whose messages were marked
    /// [`unconfirmed`](StoredMessage::unconfirmed): they are not any more.
    SenderConfirmed {
        /// The device.
        device: DeviceAddress,
    },
    /// Somebody types. Told once; it ends with [`TypingStopped`](Self::TypingStopped), by itself after six seconds at most.
    Typing {
        /// Where.
        conversation: AccountId,
        /// On which device.
        from: DeviceAddress,
    },
    /// Somebody who typed does not any more: they stopped, sent it, or nothing more was heard.
    TypingStopped {
        /// Where.
        conversation: AccountId,
        /// On which device.
        from: DeviceAddress,
    },
    /// Somebody who is [watched](crate::Client::watch_presence) came or went. Nobody is there before it is told, and
    /// nobody after the connection ended.
    Presence {
        /// Who.
        account: AccountId,
        /// Whether one of their devices is there.
        present: bool,
    },
    /// The service does not take the push token: [`PushState`](crate::PushState) tells so from now on, and nothing wakes this
    /// device. Ask the platform for another one.
    PushTokenRefused {
        /// Why.
        reason: ErrorCode,
    },
    /// One-time prekeys of this device were published.
    PrekeysUploaded {
        /// How many.
        count: u32,
    },
}

/// How an envelope comes to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The service posted it to the open connection.
    Delivered,
    /// It was in a page of the mailbox.
    Read,
}

/// What became of an ack so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckProgress {
    /// It has not left, or was refused and has not left again.
    Waiting,
    /// It left and was not answered.
    UnderWay,
    /// It was answered; or that was before the client was opened, which does not know.
    Answered,
}

/// Why a message will not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureReason {
    /// No such account.
    #[error("there is no such account; check the id")]
    UnknownAccount,
    /// What the service says are a recipient's keys does not verify.
    #[error("a recipient's keys do not verify; nothing was encrypted to them")]
    InvalidKeys,
    /// The service says time and again that a recipient has other devices than its owner signed.
    #[error("the service does not take the devices that their owner signed; send it again later")]
    DevicesDisagree,
    /// The message could not be encrypted.
    #[error("the message could not be encrypted; send it again")]
    Encryption,
    /// The service refused it for good.
    #[error("the service refused the message ({0:?})")]
    Refused(ErrorCode),
}

/// Why an envelope could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UndecryptableReason {
    /// The ciphertext does not have the shape of a message.
    #[error("the ciphertext is not a message")]
    Malformed,
    /// No session with the sender opens it; ask the sender to send it again.
    #[error("no session with the sender opens it")]
    NoSession,
    /// It was made for a prekey this device no longer has.
    #[error("it was made for a prekey this device no longer has")]
    PrekeyGone,
    /// It opens a session that was opened before.
    #[error("it repeats a handshake that was answered before")]
    Replayed,
    /// It did not authenticate.
    #[error("it did not authenticate")]
    NotAuthentic,
    /// The key under its number was used for another envelope. Its sender goes on with an older state of its store, which was
    /// copied or restored; or somebody repeats what was sent before.
    #[error("its number was used before; its sender may run from a copy of its store")]
    UsedNumber,
    /// It comes so late that its key was deleted.
    #[error("it comes so late that its key was deleted")]
    TooOld,
    /// It is further ahead of what was received than a session allows.
    #[error("it is too far ahead of what was received")]
    TooFarAhead,
    /// It was decrypted, but its content is not one this version reads.
    #[error("its content is of a kind this version does not read; update the app")]
    UnknownContent,
    /// So many sessions were opened without a one-time prekey that this one was not; ask the sender to send it again.
    #[error("too many sessions were opened without a one-time prekey")]
    TooManyOpenings,
    /// It says that a device of the own account sent it, but that device is not on the account's list.
    #[error("its sender is not on the account's list of devices")]
    Unlisted,
    /// It says what only a device of the own account may say.
    #[error("it says what only a device of the own account may say")]
    OwnDevicesOnly,
    /// It was decrypted, but the conversation it names is not one its sender may write to.
    #[error("it names a conversation its sender has no part in")]
    Misdirected,
}

/// Why sessions with a device were reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ResetCause {
    /// What came could not be decrypted.
    Unreadable,
    /// A post-quantum step was overdue: for long only one of the two devices wrote.
    Overdue,
}

impl From<ResetReason> for ResetCause {
    fn from(reason: ResetReason) -> Self {
        match reason {
            ResetReason::Unreadable => Self::Unreadable,
            ResetReason::Overdue => Self::Overdue,
        }
    }
}

impl From<ResetCause> for ResetReason {
    fn from(cause: ResetCause) -> Self {
        match cause {
            ResetCause::Unreadable => Self::Unreadable,
            ResetCause::Overdue => Self::Overdue,
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The app asked for it.
    #[error("disconnected by the app")]
    Requested,
    /// The device has no account yet.
    #[error("not registered; register or link the device first")]
    NotRegistered,
    /// The service could not be reached.
    #[error("the service could not be reached")]
    Unreachable,
    /// The service refused the token: the device was removed, or its clock is wrong by minutes.
    /// [`Event::RefusedRepeatedly`] follows if it stays so.
    #[error("the service refused the token; check the clock, or register again if the device was removed")]
    Unauthorized,
    /// The service refused the token, and its clock and this device's are minutes apart.
    #[error("the service refused the token; set this device's clock")]
    WrongClock,
    /// The device is not in its account any more.
    #[error("this device was removed from its account; begin anew with an empty store")]
    Removed,
    /// The app is in the background and had its moment.
    #[error("the app is in the background")]
    Background,
    /// Connected elsewhere: another process with this device's keys opened a connection. There is one at a time, and it is
    /// not fought for; [`Client::connect`](crate::Client::connect) takes the place back, as does a long pause. If this
    /// device runs nowhere else its store was copied: link it anew.
    #[error("this device is connected elsewhere; if it runs nowhere else its store was copied: link it anew")]
    TakenOver,
    /// The service closed the connection with this code.
    #[error("closed by the service with code {0}")]
    Closed(u16),
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The service did not answer in time.
    #[error("the service did not answer in time")]
    TimedOut,
    /// The store failed: nothing was acked that is not stored.
    #[error("the local store failed; free some disk space")]
    Store,
}

/// What a transaction did that readers are to be told once it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Passing events.
    pub(crate) events: Vec<Event>,
    /// The timeline has grown up to this position.
    pub(crate) grew: Option<u64>,
    /// There is reason to ask for the list of an account.
    pub(crate) ask: bool,
    /// There is more to send.
    pub(crate) send: bool,
    /// This device is not in its account any more.
    pub(crate) removed: bool,
}

impl Effects {
    /// Adds a passing event.
    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    /// The timeline has grown.
    pub(crate) fn grew(&mut self, position: u64) {
        self.grew = self.grew.max(Some(position));
    }

    /// Adds what another part of the transaction did.
    pub(crate) fn merge(&mut self, other: Self) {
        self.events.extend(other.events);
        self.grew = self.grew.max(other.grew);
        self.ask |= other.ask;
        self.send |= other.send;
        self.removed |= other.removed;
    }
}
