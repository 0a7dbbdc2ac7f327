//! What a client tells its app, as the other languages have it.

use waxwing_client::{self as client, AccountId, Fingerprint, HistoryId, LinkRequestId, MessageId};

use crate::history::HistoryEnd;
use crate::records::{DeviceAddress, StoredMessage};

/// Something an app may want to know. A kept event is in the store until it is handled; all others tell what is going on
/// now and are gone with the process.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Event {
    /// Kept. A message to show: each once, in order per sending device.
    Message {
        /// The message.
        message: StoredMessage,
    },
    /// Kept. Messages of a device that did not arrive within the wait; what follows them is shown now. The device is
    /// asked to send them again; what comes after all is marked as late.
    Gap {
        /// The sending device.
        device: DeviceAddress,
        /// The first number of its channel that is missing.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Kept. A message of this device that will not be sent.
    Failed {
        /// The message.
        message: MessageId,
        /// Why.
        reason: FailureReason,
    },
    /// Kept. Something came that could not be read. It stands in the way of nothing, and is asked for where that may help.
    Undecryptable {
        /// The sending device.
        device: DeviceAddress,
        /// The message, as its sender calls it.
        message: MessageId,
        /// Why.
        reason: UndecryptableReason,
    },
    /// Kept. The owner of an account signed another list of devices.
    DevicesChanged {
        /// Whose.
        account: AccountId,
        /// What is different, by rising device.
        changes: Vec<DeviceChange>,
    },
    /// Kept. An account has another account key: the person registered anew, or somebody took the account over. Nothing
    /// is sent there until the key is trusted; compare the safety number before.
    AccountKeyChanged {
        /// Whose.
        account: AccountId,
        /// The new key, to be handed to `trust`.
        fingerprint: Fingerprint,
    },
    /// Kept. The service presents a device that is not on the list which the account's owner signed. Nothing was
    /// encrypted to it.
    UnlistedDevice {
        /// As the service calls it.
        device: DeviceAddress,
    },
    /// Kept. A device runs twice, from a copy or a restored backup. Its owner had better remove it and link it anew.
    ClonedDevice {
        /// The device.
        device: DeviceAddress,
    },
    /// Kept. Somebody confirmed the number of the own account and did not have the PIN of its lock.
    RegistrationAttempted,
    /// Kept. The service refuses this device again and again: it was probably removed while it was away.
    RefusedRepeatedly,
    /// Kept. This device is not in its account any more. What it stored stays readable.
    Removed {
        /// Why.
        reason: RemovalReason,
    },
    /// Kept. Another device of the own account would give its messages to this one: `take_history` or `end_history`
    /// answers.
    HistoryOffered {
        /// To be handed to the answer.
        history: HistoryId,
        /// The device that has it, 1 to 127.
        device: u8,
        /// How many messages it has.
        messages: u64,
    },
    /// Kept. A history is over, on the device that gave it and on the one that took it.
    HistoryEnded {
        /// Which.
        history: HistoryId,
        /// The other device, 1 to 127.
        device: u8,
        /// How.
        end: HistoryEnd,
    },
    /// More of a history was taken. Its messages are not told one by one: read the conversations again.
    HistoryProgress {
        /// Which.
        history: HistoryId,
        /// How many of its messages the taking device has stored.
        done: u64,
        /// Of how many.
        total: u64,
    },
    /// The service does not take the push token, and nothing wakes this device: ask the platform for another one.
    PushTokenRefused {
        /// The service's code, as in the table of `docs/api.md`.
        code: String,
    },
    /// A new device read the code that was offered. Show the name and ask; told again after a restart.
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
    /// The connection is gone, or was not to be had.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// Milliseconds until the next attempt; nothing where only `connect` makes one.
        retry_in_millis: Option<u64>,
    },
    /// All that waited when the connection opened has been read.
    Drained {
        /// How many.
        count: u64,
    },
    /// A message of this device is in the mailboxes of all its recipients' devices.
    Accepted {
        /// The message.
        message: MessageId,
    },
    /// An account tells how far messages got that it was sent. The store has it already.
    Receipt {
        /// The recipient.
        account: AccountId,
        /// How far.
        stage: ReceiptStage,
        /// Which messages.
        messages: Vec<MessageId>,
    },
    /// Messages of a conversation were read on another device of the own account.
    ReadElsewhere {
        /// The conversation.
        conversation: AccountId,
    },
    /// Something came after all that was reported as missing.
    Recovered {
        /// The sending device.
        device: DeviceAddress,
        /// The number in its channel.
        sequence: u64,
    },
    /// A device whose messages were marked as unconfirmed is on its account's list: they are not any more.
    SenderConfirmed {
        /// The device.
        device: DeviceAddress,
    },
    /// Somebody types. Told once; it ends with `TypingStopped`, by itself after six seconds at most.
    Typing {
        /// Where.
        conversation: AccountId,
        /// On which device.
        device: DeviceAddress,
    },
    /// Somebody who typed does not any more.
    TypingStopped {
        /// Where.
        conversation: AccountId,
        /// On which device.
        device: DeviceAddress,
    },
    /// Somebody who is watched came or went.
    Presence {
        /// Who.
        account: AccountId,
        /// Whether one of their devices is there.
        present: bool,
    },
}

impl Event {
    /// The event, if it is one for apps: some are for tools that watch a client.
    pub(crate) fn of(event: client::Event) -> Option<Self> {
        use client::Event as From;
        Some(match event {
            From::Message(message) => Self::Message {
                message: message.into(),
            },
            From::Gap { from, missing } => Self::Gap {
                device: from.into(),
                first: *missing.start(),
                last: *missing.end(),
            },
            From::Failed { message, reason } => Self::Failed {
                message,
                reason: reason.into(),
            },
            From::Undecryptable { envelope, reason } => Self::Undecryptable {
                device: envelope.from.into(),
                message: envelope.message,
                reason: reason.into(),
            },
            From::DevicesChanged { account, changes } => Self::DevicesChanged {
                account,
                changes: changes.into_iter().filter_map(DeviceChange::of).collect(),
            },
            From::AccountKeyChanged { account, fingerprint } => {
                Self::AccountKeyChanged { account, fingerprint }
            }
            From::UnlistedDevice { device } => Self::UnlistedDevice {
                device: device.into(),
            },
            From::ClonedDevice { device } => Self::ClonedDevice {
                device: device.into(),
            },
            From::RegistrationAttempted => Self::RegistrationAttempted,
            From::RefusedRepeatedly => Self::RefusedRepeatedly,
            From::Removed { reason } => Self::Removed {
                reason: reason.into(),
            },
            From::HistoryOffered {
                history,
                device,
                messages,
            } => Self::HistoryOffered {
                history,
                device: device.get(),
                messages,
            },
            From::HistoryEnded { history, device, end } => Self::HistoryEnded {
                history,
                device: device.get(),
                end: end.into(),
            },
            other => return Self::passing(other),
        })
    }

    fn passing(event: client::Event) -> Option<Self> {
        use client::Event as From;
        Some(match event {
            From::LinkRequested {
                request,
                name,
                fingerprint,
            } => Self::LinkRequested {
                request,
                name,
                fingerprint,
            },
            From::HistoryProgress { history, done, of } => Self::HistoryProgress {
                history,
                done,
                total: of,
            },
            From::PushTokenRefused { reason } => Self::PushTokenRefused {
                code: stable_name(&reason),
            },
            From::Connected => Self::Connected,
            From::Disconnected { reason, retry_in } => Self::Disconnected {
                reason: reason.into(),
                retry_in_millis: retry_in.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            },
            From::Drained { count } => Self::Drained { count },
            From::Accepted { message } => Self::Accepted { message },
            From::Receipt {
                from,
                stage,
                messages,
            } => Self::Receipt {
                account: from,
                stage: stage.into(),
                messages,
            },
            From::ReadElsewhere { conversation } => Self::ReadElsewhere { conversation },
            From::Recovered { from, sequence } => Self::Recovered {
                device: from.into(),
                sequence,
            },
            From::SenderConfirmed { device } => Self::SenderConfirmed {
                device: device.into(),
            },
            From::Typing { conversation, from } => Self::Typing {
                conversation,
                device: from.into(),
            },
            From::TypingStopped { conversation, from } => Self::TypingStopped {
                conversation,
                device: from.into(),
            },
            From::Presence { account, present } => Self::Presence { account, present },
            _ => return None,
        })
    }
}

/// How far a message got on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ReceiptStage {
    /// A device stored it.
    Delivered,
    /// The person read it.
    Read,
}

impl From<client::ReceiptStage> for ReceiptStage {
    fn from(stage: client::ReceiptStage) -> Self {
        match stage {
            client::ReceiptStage::Delivered => Self::Delivered,
            client::ReceiptStage::Read => Self::Read,
        }
    }
}

/// Why a device is not in its account any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum RemovalReason {
    /// The account's owner removed it.
    Revoked,
    /// The account's number was registered anew.
    RegisteredAnew,
}

impl From<client::RemovalReason> for RemovalReason {
    fn from(reason: client::RemovalReason) -> Self {
        match reason {
            client::RemovalReason::Revoked => Self::Revoked,
            client::RemovalReason::RegisteredAnew => Self::RegisteredAnew,
        }
    }
}

/// What is different on a new list of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum DeviceChange {
    /// A device came.
    Added {
        /// Which.
        device: u8,
    },
    /// A device is gone. Nothing is encrypted to it any more.
    Removed {
        /// Which.
        device: u8,
    },
    /// Another device stands under the number of one that was known: it was set up anew.
    Replaced {
        /// Which.
        device: u8,
    },
}

impl DeviceChange {
    fn of(change: client::DeviceChange) -> Option<Self> {
        use client::DeviceChange as Change;
        Some(match change {
            Change::Added(device) => Self::Added { device: device.get() },
            Change::Removed(device) => Self::Removed { device: device.get() },
            Change::Replaced(device) => Self::Replaced { device: device.get() },
            _ => return None,
        })
    }
}

/// Why a message will not be sent.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum FailureReason {
    /// No such account.
    UnknownAccount,
    /// What the service says are a recipient's keys does not verify.
    InvalidKeys,
    /// The service says time and again that a recipient has other devices than its owner signed.
    DevicesDisagree,
    /// The message could not be encrypted.
    Encryption,
    /// The service refused it for good.
    Refused {
        /// The service's code, as in the table of `docs/api.md`.
        code: String,
    },
}

impl From<client::FailureReason> for FailureReason {
    fn from(reason: client::FailureReason) -> Self {
        use client::FailureReason as Failure;
        match reason {
            Failure::UnknownAccount => Self::UnknownAccount,
            Failure::InvalidKeys => Self::InvalidKeys,
            Failure::DevicesDisagree => Self::DevicesDisagree,
            Failure::Encryption => Self::Encryption,
            Failure::Refused(code) => Self::Refused {
                code: stable_name(&code),
            },
            other => Self::Refused {
                code: stable_name(&other),
            },
        }
    }
}

/// The name that a value has in JSON.
pub(crate) fn stable_name(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "unknown".to_owned(),
    }
}

/// Why something could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum UndecryptableReason {
    /// The ciphertext does not have the shape of a message.
    Malformed,
    /// No session with the sender opens it.
    NoSession,
    /// It was made for a prekey this device no longer has.
    PrekeyGone,
    /// It opens a session that was opened before.
    Replayed,
    /// It did not authenticate.
    NotAuthentic,
    /// The key under its number was used for another envelope: its sender may run from a copy of its store.
    UsedNumber,
    /// It comes so late that its key was deleted.
    TooOld,
    /// It is further ahead of what was received than a session allows.
    TooFarAhead,
    /// Its content is not one this version reads: update the app.
    UnknownContent,
    /// So many sessions were opened without a one-time prekey that this one was not.
    TooManyOpenings,
    /// It says that a device of the own account sent it, but that device is not on the account's list.
    Unlisted,
    /// The conversation it names is not one its sender may write to.
    Misdirected,
    /// It says what only a device of the own account may say.
    OwnDevicesOnly,
}

impl From<client::UndecryptableReason> for UndecryptableReason {
    fn from(reason: client::UndecryptableReason) -> Self {
        use client::UndecryptableReason as Unreadable;
        match reason {
            Unreadable::Malformed => Self::Malformed,
            Unreadable::NoSession => Self::NoSession,
            Unreadable::PrekeyGone => Self::PrekeyGone,
            Unreadable::Replayed => Self::Replayed,
            Unreadable::NotAuthentic => Self::NotAuthentic,
            Unreadable::UsedNumber => Self::UsedNumber,
            Unreadable::TooOld => Self::TooOld,
            Unreadable::TooFarAhead => Self::TooFarAhead,
            Unreadable::TooManyOpenings => Self::TooManyOpenings,
            Unreadable::Unlisted => Self::Unlisted,
            Unreadable::Misdirected => Self::Misdirected,
            Unreadable::OwnDevicesOnly => Self::OwnDevicesOnly,
            // A reason that this version does not know is one to update for.
            Unreadable::UnknownContent | _ => Self::UnknownContent,
        }
    }
}

/// Why there is no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum DisconnectReason {
    /// The app asked for it.
    Requested,
    /// The app is in the background and had its moment.
    Background,
    /// The device has no account yet.
    NotRegistered,
    /// The service could not be reached.
    Unreachable,
    /// The service refused this device.
    Unauthorized,
    /// The service refused this device, whose clock is minutes away from the service's.
    WrongClock,
    /// The device is not in its account any more.
    Removed,
    /// Another connection of this device took over.
    TakenOver,
    /// The service closed the connection.
    Closed {
        /// The code of the WebSocket's close frame.
        code: u16,
    },
    /// The connection broke.
    Broken,
    /// The service did not answer in time.
    TimedOut,
    /// The local store failed: nothing was acked that is not stored.
    Store,
}

impl From<client::DisconnectReason> for DisconnectReason {
    fn from(reason: client::DisconnectReason) -> Self {
        use client::DisconnectReason as Disconnect;
        match reason {
            Disconnect::Requested => Self::Requested,
            Disconnect::Background => Self::Background,
            Disconnect::NotRegistered => Self::NotRegistered,
            Disconnect::Unreachable => Self::Unreachable,
            Disconnect::Unauthorized => Self::Unauthorized,
            Disconnect::WrongClock => Self::WrongClock,
            Disconnect::Removed => Self::Removed,
            Disconnect::TakenOver => Self::TakenOver,
            Disconnect::Closed(code) => Self::Closed { code },
            Disconnect::TimedOut => Self::TimedOut,
            Disconnect::Store => Self::Store,
            Disconnect::Broken | _ => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use waxwing_client::wire::ErrorCode;

    use super::*;

    #[test]
    fn what_an_app_is_not_told_is_left_out_and_all_else_keeps_its_parts() {
        assert_eq!(Event::of(client::Event::Acked { count: 3 }), None);
        let disconnected = client::Event::Disconnected {
            reason: client::DisconnectReason::Closed(1012),
            retry_in: Some(Duration::from_millis(1_500)),
        };
        assert_eq!(
            Event::of(disconnected),
            Some(Event::Disconnected {
                reason: DisconnectReason::Closed { code: 1012 },
                retry_in_millis: Some(1_500)
            })
        );
        let from = client::DeviceAddress {
            account: "11111111-1111-4111-8111-111111111111".parse().unwrap(),
            device: client::DeviceId::MIN,
        };
        let gap = client::Event::Gap { from, missing: 3..=5 };
        let Some(Event::Gap { device, first, last }) = Event::of(gap) else {
            panic!("no gap");
        };
        assert_eq!((device, first, last), (from.into(), 3, 5));
    }

    #[test]
    fn a_refused_message_names_the_services_code_as_the_api_does() {
        let reason: FailureReason = client::FailureReason::Refused(ErrorCode::MessageIdReused).into();
        let code = "message_id_reused".to_owned();
        assert_eq!(reason, FailureReason::Refused { code });
    }
}
