//! Every error of the client, under a name that stays.

use std::fmt;

use waxwing_client::{
    DevicesError, EndpointError, HistoryError, HttpError, LinkError, LockError, OpenError, PushError,
    RegisterError, SendError, StoreError, TrustError, VerifyError,
    keys::KeyStoreError,
    wire::{ErrorCode, Problem},
};

macro_rules! errors {
    ($($(#[$doc:meta])* $case:ident,)*) => {
        /// Why something was not done. Decide by the case; its message is a sentence for a person, which says what to do
        /// next and holds nothing secret. What failed by `Unreachable`, `TimedOut`, `RateLimited` or `Unavailable` may
        /// be tried again as it is.
        #[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
        #[uniffi(flat_error)]
        pub enum ClientError {
            $($(#[$doc])* $case(String),)*
        }

        impl fmt::Display for ClientError {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$case(sentence) => f.write_str(sentence),)*
                }
            }
        }
    };
}

errors! {
    /// The client was shut down, or an error closed it: open another.
    Closed,

    /// A text or number is no id of the kind that is asked for.
    InvalidId,
    /// Not a plus sign and 7 to 15 digits, or no network has the number.
    InvalidPhoneNumber,
    /// The code is not what such a code looks like: of an SMS, of a new device, of a safety number.
    InvalidCode,
    /// The PIN has not 4 to 64 characters, or is easily guessed.
    InvalidPin,
    /// The passphrase has less than 8 bytes or more than 1,024.
    InvalidPassphrase,
    /// The name is empty, too long, or has invisible characters.
    InvalidDeviceName,
    /// An address of the service or the audience is none.
    InvalidEndpoint,
    /// The platform gives no such push token.
    InvalidPushToken,

    /// The device is in no account: register or link it first.
    NotRegistered,
    /// The device is in an account, or was: begin with an empty store.
    AlreadyIn,
    /// Ask for a code first.
    NoCode,
    /// The code is wrong, used or expired, or had too many tries.
    WrongCode,
    /// Confirm the number with its code first.
    NotConfirmed,
    /// A PIN locks the registration of this number.
    PinNeeded,
    /// The PIN is wrong.
    WrongPin,
    /// The account changed meanwhile or it took too long: ask for a new code.
    StartAgain,

    /// Only the device that registered the account can do this.
    NotPrimary,
    /// This device cannot remove itself.
    OwnDevice,
    /// The account has no such device.
    NoSuchDevice,
    /// The account has as many devices as it may.
    TooManyDevices,
    /// The offer was declined, used or ended: show a new code.
    LinkEnded,
    /// The account is not the one of the code: do not use this device.
    NotAuthentic,
    /// The service presents a list of devices that cannot be the account's.
    WrongList,

    /// The key of the own account does not change.
    OwnAccount,
    /// The account key is another one by now: look at the newest event.
    OtherKey,
    /// There is no safety number of these two accounts.
    NoSafetyNumber,
    /// The safety number is another one by now: compare it again.
    OtherNumber,

    /// There is no such history any more: offer it again on the device that has it.
    NoSuchHistory,

    /// The text is empty.
    EmptyText,
    /// The text is too long for one message.
    TextTooLong,

    /// The service could not be reached.
    Unreachable,
    /// The service did not answer in time.
    TimedOut,
    /// Too many requests; the sentence says how long to wait.
    RateLimited,
    /// The service cannot do it at the moment.
    Unavailable,
    /// There is no such account.
    UnknownAccount,
    /// The service does not let this device in: it was removed, or its clock is wrong.
    Unauthorized,
    /// The service refused for another reason; the sentence is its own.
    Refused,
    /// Something else than the service answered, or another version of it.
    UnexpectedAnswer,

    /// The store's key is there and cannot be had now: unlock the device and try again.
    KeyLocked,
    /// The passphrase is another than the one the key was sealed under.
    WrongPassphrase,
    /// What was kept as the store's key is none.
    KeyMalformed,
    /// Others than its owner can read the file of the store's key.
    KeyExposed,
    /// The app's or the platform's key store failed.
    KeyStoreFailed,
    /// The store is encrypted and no key is kept for it: begin anew with an empty store.
    KeyMissing,
    /// The key does not open the store: it is another store's.
    WrongKey,
    /// The store has no key that could be changed.
    NotEncrypted,
    /// Another client has the store open.
    StoreInUse,
    /// A newer version of the software wrote the store: update the app.
    StoreNewer,
    /// The store is damaged: link the device anew.
    StoreDamaged,
    /// The disk failed or is full.
    StoreFailed,

    /// The device has not the memory that a slow function needs.
    OutOfMemory,
    /// A fault of the library. What was asked for may be done or not.
    Internal,
}

impl std::error::Error for ClientError {}

impl From<KeyStoreError> for ClientError {
    fn from(error: KeyStoreError) -> Self {
        let sentence = error.to_string();
        match error {
            KeyStoreError::Locked => Self::KeyLocked(sentence),
            KeyStoreError::WrongPassphrase => Self::WrongPassphrase(sentence),
            KeyStoreError::Malformed => Self::KeyMalformed(sentence),
            KeyStoreError::Exposed => Self::KeyExposed(sentence),
            KeyStoreError::Memory(_) => Self::OutOfMemory(sentence),
            // The app's own words: it alone knows what they mean.
            KeyStoreError::Other(source) => Self::KeyStoreFailed(format!("{sentence}: {source}")),
            KeyStoreError::File(_) => Self::KeyStoreFailed(sentence),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<StoreError> for ClientError {
    fn from(error: StoreError) -> Self {
        let sentence = error.to_string();
        match error {
            StoreError::Sqlite(_) | StoreError::File(_) => Self::StoreFailed(sentence),
            StoreError::Key(error) => error.into(),
            StoreError::KeyMissing => Self::KeyMissing(sentence),
            StoreError::WrongKey => Self::WrongKey(sentence),
            StoreError::NotEncrypted => Self::NotEncrypted(sentence),
            StoreError::Damaged(_) => Self::StoreDamaged(sentence),
            StoreError::InUse => Self::StoreInUse(sentence),
            StoreError::Newer { .. } => Self::StoreNewer(sentence),
            StoreError::Closed => Self::Closed(sentence),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<HttpError> for ClientError {
    fn from(error: HttpError) -> Self {
        let sentence = error.to_string();
        match error {
            HttpError::Unreachable(_) => Self::Unreachable(sentence),
            HttpError::TimedOut => Self::TimedOut(sentence),
            HttpError::Refused(problem) => problem.into(),
            HttpError::Unexpected(_) => Self::UnexpectedAnswer(sentence),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<Problem> for ClientError {
    fn from(problem: Problem) -> Self {
        let sentence = match problem.retry_after_seconds {
            Some(seconds) => format!("{} ({seconds} s)", problem.message),
            None => problem.message,
        };
        match problem.code {
            ErrorCode::RateLimited => Self::RateLimited(sentence),
            ErrorCode::Unavailable | ErrorCode::Internal => Self::Unavailable(sentence),
            ErrorCode::Unauthorized => Self::Unauthorized(sentence),
            ErrorCode::UnknownAccount => Self::UnknownAccount(sentence),
            ErrorCode::InvalidPhone => Self::InvalidPhoneNumber(sentence),
            ErrorCode::WrongCode => Self::WrongCode(sentence),
            ErrorCode::TooManyDevices => Self::TooManyDevices(sentence),
            _ => Self::Refused(sentence),
        }
    }
}

impl From<EndpointError> for ClientError {
    fn from(error: EndpointError) -> Self {
        Self::InvalidEndpoint(error.to_string())
    }
}

impl From<OpenError> for ClientError {
    fn from(error: OpenError) -> Self {
        let sentence = error.to_string();
        match error {
            OpenError::Endpoint(error) => error.into(),
            OpenError::Store(error) => error.into(),
            // The runtime is this library's, and TLS comes with it.
            OpenError::NoRuntime | OpenError::Tls(_) => Self::Internal(sentence),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<RegisterError> for ClientError {
    fn from(error: RegisterError) -> Self {
        let sentence = error.to_string();
        match error {
            RegisterError::AlreadyIn => Self::AlreadyIn(sentence),
            RegisterError::NoCode => Self::NoCode(sentence),
            RegisterError::NotConfirmed => Self::NotConfirmed(sentence),
            RegisterError::PinNeeded => Self::PinNeeded(sentence),
            RegisterError::WrongPin => Self::WrongPin(sentence),
            RegisterError::StartAgain => Self::StartAgain(sentence),
            RegisterError::Memory(_) => Self::OutOfMemory(sentence),
            RegisterError::Http(error) => error.into(),
            RegisterError::Store(error) => error.into(),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<LockError> for ClientError {
    fn from(error: LockError) -> Self {
        let sentence = error.to_string();
        match error {
            LockError::NotRegistered => Self::NotRegistered(sentence),
            LockError::Memory(_) => Self::OutOfMemory(sentence),
            LockError::Http(error) => error.into(),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<DevicesError> for ClientError {
    fn from(error: DevicesError) -> Self {
        let sentence = error.to_string();
        match error {
            DevicesError::NotRegistered => Self::NotRegistered(sentence),
            DevicesError::NotPrimary => Self::NotPrimary(sentence),
            DevicesError::OwnDevice => Self::OwnDevice(sentence),
            DevicesError::NoSuchDevice => Self::NoSuchDevice(sentence),
            DevicesError::TooMany => Self::TooManyDevices(sentence),
            DevicesError::List(_) => Self::WrongList(sentence),
            DevicesError::Http(error) => error.into(),
            DevicesError::Store(error) => error.into(),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<LinkError> for ClientError {
    fn from(error: LinkError) -> Self {
        let sentence = error.to_string();
        match error {
            LinkError::AlreadyIn => Self::AlreadyIn(sentence),
            LinkError::Code(_) => Self::InvalidCode(sentence),
            LinkError::Ended => Self::LinkEnded(sentence),
            LinkError::NotAuthentic => Self::NotAuthentic(sentence),
            LinkError::Devices(error) => error.into(),
            LinkError::Http(error) => error.into(),
            LinkError::Store(error) => error.into(),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<TrustError> for ClientError {
    fn from(error: TrustError) -> Self {
        let sentence = error.to_string();
        match error {
            TrustError::NotRegistered => Self::NotRegistered(sentence),
            TrustError::OwnAccount => Self::OwnAccount(sentence),
            TrustError::OtherKey => Self::OtherKey(sentence),
            TrustError::Store(error) => error.into(),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<VerifyError> for ClientError {
    fn from(error: VerifyError) -> Self {
        let sentence = error.to_string();
        match error {
            VerifyError::NotRegistered => Self::NotRegistered(sentence),
            VerifyError::Number(_) => Self::NoSafetyNumber(sentence),
            VerifyError::List(_) => Self::WrongList(sentence),
            VerifyError::OtherNumber => Self::OtherNumber(sentence),
            VerifyError::Http(error) => error.into(),
            VerifyError::Store(error) => error.into(),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<HistoryError> for ClientError {
    fn from(error: HistoryError) -> Self {
        let sentence = error.to_string();
        match error {
            HistoryError::NotRegistered => Self::NotRegistered(sentence),
            HistoryError::NoSuchDevice => Self::NoSuchDevice(sentence),
            HistoryError::NoSuchHistory => Self::NoSuchHistory(sentence),
            HistoryError::Store(error) => error.into(),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<PushError> for ClientError {
    fn from(error: PushError) -> Self {
        let sentence = error.to_string();
        match error {
            PushError::InvalidToken => Self::InvalidPushToken(sentence),
            PushError::Store(error) => error.into(),
            _ => Self::Internal(sentence),
        }
    }
}

impl From<SendError> for ClientError {
    fn from(error: SendError) -> Self {
        let sentence = error.to_string();
        match error {
            SendError::NotRegistered => Self::NotRegistered(sentence),
            SendError::Empty => Self::EmptyText(sentence),
            SendError::TooLong { .. } => Self::TextTooLong(sentence),
            SendError::Store(error) => error.into(),
            _ => Self::Internal(sentence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_its_case_through_whatever_it_came_by() {
        let by_register: ClientError = RegisterError::Store(StoreError::Closed).into();
        let by_link: ClientError = LinkError::Devices(DevicesError::Store(StoreError::Closed)).into();
        assert!(matches!(by_register, ClientError::Closed(_)));
        assert_eq!(by_register, by_link);
        let locked: ClientError = OpenError::Store(StoreError::Key(KeyStoreError::Locked)).into();
        assert!(matches!(locked, ClientError::KeyLocked(_)), "{locked:?}");
    }

    #[test]
    fn what_the_service_says_becomes_a_case_and_its_sentence_says_how_long_to_wait() {
        let problem = Problem {
            retry_after_seconds: Some(61),
            ..Problem::new(ErrorCode::RateLimited, "Too many requests.")
        };
        let limited: ClientError = HttpError::Refused(problem).into();
        assert_eq!(
            limited,
            ClientError::RateLimited("Too many requests. (61 s)".to_owned())
        );
        let refused: ClientError = Problem::new(ErrorCode::MessageIdReused, "used").into();
        assert_eq!(refused, ClientError::Refused("used".to_owned()));
    }

    #[test]
    fn the_apps_own_words_about_its_key_store_come_back_to_it() {
        let failed = KeyStoreError::other_text("errSecInteractionNotAllowed");
        let failed: ClientError = StoreError::Key(failed).into();
        assert!(
            matches!(&failed, ClientError::KeyStoreFailed(sentence) if sentence.ends_with("errSecInteractionNotAllowed")),
            "{failed:?}"
        );
    }
}
