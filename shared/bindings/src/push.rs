//! Where a device is woken, as the other languages have it.

use waxwing_client as client;

/// Whose push service a token is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Platform {
    /// Apple's, for apps from the store and from TestFlight.
    Apns,
    /// Apple's, for apps that Xcode put on a phone.
    ApnsSandbox,
    /// Google's.
    Fcm,
}

impl From<Platform> for client::Platform {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::Apns => Self::Apns,
            Platform::ApnsSandbox => Self::ApnsSandbox,
            Platform::Fcm => Self::Fcm,
        }
    }
}

/// Whether this device is woken.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum PushState {
    /// The app has no push token for it, or took it back, and the service knows.
    Off,
    /// The service does not know yet what the app said last.
    Pending,
    /// It is woken.
    On,
    /// The service does not take the token.
    Refused {
        /// The service's code, as in the table of `docs/api.md`.
        code: String,
    },
}

impl From<client::PushState> for PushState {
    fn from(state: client::PushState) -> Self {
        match state {
            client::PushState::Off => Self::Off,
            client::PushState::On => Self::On,
            client::PushState::Refused(code) => Self::Refused {
                code: crate::event::stable_name(&code),
            },
            client::PushState::Pending | _ => Self::Pending,
        }
    }
}
