//! What a refused request says: a stable code, a sentence for a person, and whether to try again.

use serde::{Deserialize, Serialize};

/// The stable codes. A client decides by these and never by a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame or body is not what this verb takes.
    Malformed,
    /// No route has this action, or no resource this path.
    UnknownAction,
    /// The token is missing, wrong, expired, or of a device that is gone.
    Unauthorized,
    /// No such account, or it has no device.
    UnknownAccount,
    /// The account id is taken by other keys.
    AccountTaken,
    /// Only the account's first device, which holds the account key, may do this.
    FirstDeviceOnly,
    /// The account has as many devices as it may.
    TooManyDevices,
    /// The frame, body or list is larger than its bound.
    TooLarge,
    /// A public key is not a point of P-256.
    InvalidKey,
    /// A signature does not verify.
    InvalidSignature,
    /// This message id already carries other bytes to that device.
    MessageIdReused,
    /// The signed prekey is older than the published one.
    StalePrekey,
    /// A one-time prekey of this id is published with other bytes.
    PrekeyConflict,
    /// The service publishes other keys of this device than the device believes.
    KeysDiffer,
    /// No network has this phone number.
    InvalidPhone,
    /// The code is wrong, used or expired, or had too many tries.
    WrongCode,
    /// The ticket is unknown, used or expired.
    InvalidTicket,
    /// A PIN locks the registration of this number; the request has no proof of it.
    RegistrationLocked,
    /// The proof of the PIN is wrong.
    WrongPin,
    /// The device list is not what this request takes.
    InvalidList,
    /// Another device list was accepted since; `fetch` tells the present one.
    StaleList,
    /// The offer is unknown, used, declined, expired, or of another account.
    InvalidLink,
    /// The platform, or SNS for it, takes no such push token.
    InvalidPushToken,
    /// The push token belongs to another device, which is registered.
    PushTokenTaken,
    /// This deployment cannot reach the platform.
    PushNotOffered,
    /// Too many requests; `retry_after_seconds` says when to try again.
    RateLimited,
    /// A part the service needs did not answer. Nothing was promised; try again.
    Unavailable,
    /// A fault of the service's own. Nothing was promised; try again.
    Internal,
}

impl ErrorCode {
    /// Whether the same request can succeed later without a change.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RateLimited | Self::Unavailable | Self::Internal)
    }

    /// The HTTP status that goes with the code (RFC 9110, section 15).
    pub fn http_status(self) -> u16 {
        match self {
            Self::Malformed
            | Self::InvalidKey
            | Self::InvalidSignature
            | Self::InvalidPhone
            | Self::InvalidList
            | Self::InvalidPushToken => 400,
            Self::Unauthorized => 401,
            Self::WrongCode | Self::InvalidTicket | Self::WrongPin | Self::FirstDeviceOnly => 403,
            Self::UnknownAction | Self::UnknownAccount | Self::PushNotOffered => 404,
            Self::AccountTaken
            | Self::TooManyDevices
            | Self::MessageIdReused
            | Self::StalePrekey
            | Self::PrekeyConflict
            | Self::KeysDiffer
            | Self::StaleList
            | Self::PushTokenTaken => 409,
            Self::InvalidLink => 410,
            Self::TooLarge => 413,
            Self::RegistrationLocked => 423,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
        }
    }
}

/// A refused request, as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Problem {
    /// The stable code.
    pub code: ErrorCode,
    /// A sentence for a person. It says what to do next and holds nothing secret.
    pub message: String,
    /// Whether the same request can succeed later without a change.
    pub retryable: bool,
    /// Seconds to wait before the next try; only with [`ErrorCode::RateLimited`] and
    /// [`ErrorCode::Unavailable`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u32>,
}

impl Problem {
    /// A problem with this code and sentence.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.is_retryable(),
            retry_after_seconds: None,
        }
    }
}
