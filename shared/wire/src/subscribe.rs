//! `POST /v1/push`: where a device is to be woken when something waits for it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    error::{ErrorCode, Problem},
    limits::{MAX_APNS_TOKEN_DIGITS, MAX_PUSH_TOKEN_BYTES, MIN_APNS_TOKEN_DIGITS},
};

/// Whose push service reaches the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Platform {
    /// Apple's, for apps from the store and from TestFlight.
    Apns,
    /// Apple's, for apps that Xcode put on a phone.
    ApnsSandbox,
    /// Google's.
    Fcm,
}

/// What the platform gave the app on this device. Whoever has it and the app's credentials can wake the device, so it
/// does not print.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PushToken(String);

/// A token that is empty, too long, or not of visible ASCII characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a push token has 1 to {MAX_PUSH_TOKEN_BYTES} visible ASCII characters")]
pub struct PushTokenError;

impl PushToken {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PushToken {
    type Error = PushTokenError;

    fn try_from(text: String) -> Result<Self, PushTokenError> {
        let fits = (1..=MAX_PUSH_TOKEN_BYTES).contains(&text.len());
        if fits && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(text))
        } else {
            Err(PushTokenError)
        }
    }
}

impl From<PushToken> for String {
    fn from(token: PushToken) -> Self {
        token.0
    }
}

impl fmt::Debug for PushToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushToken(..)")
    }
}

/// Where a device is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushAddress {
    /// By whom.
    pub platform: Platform,
    /// Under which name.
    pub token: PushToken,
}

/// Where to wake the device from now on. Repeating it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscribeRequest {
    /// The address, in place of the one before; without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<PushAddress>,
}

impl SubscribeRequest {
    /// Checks that the platform gives tokens like this.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidPushToken`].
    pub fn check(&self) -> Result<(), Problem> {
        match &self.address {
            Some(address) if !address.is_possible() => {
                let message = "The platform gives no such push token.";
                Err(Problem::new(ErrorCode::InvalidPushToken, message))
            }
            _ => Ok(()),
        }
    }
}

impl PushAddress {
    fn is_possible(&self) -> bool {
        let token = self.token.as_str();
        match self.platform {
            Platform::Apns | Platform::ApnsSandbox => {
                let digits = MIN_APNS_TOKEN_DIGITS..=MAX_APNS_TOKEN_DIGITS;
                digits.contains(&token.len())
                    && token.len().is_multiple_of(2)
                    && token.bytes().all(|byte| byte.is_ascii_hexdigit())
            }
            Platform::Fcm => token
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_:.".contains(&byte)),
        }
    }
}

/// The device is woken where it asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscribed {
    /// Whether it is woken at all.
    pub subscribed: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(platform: &str, token: &str) -> Result<SubscribeRequest, serde_json::Error> {
        let address = serde_json::json!({ "platform": platform, "token": token });
        serde_json::from_value(serde_json::json!({ "address": address }))
    }

    #[test]
    fn a_token_that_its_platform_does_not_give_is_refused_by_name() {
        for (platform, token, possible) in [
            ("apns", "ab".repeat(32), true),
            ("apns_sandbox", "AB".repeat(100), true),
            ("apns", "ab".repeat(31), false),
            ("apns", "a".repeat(65), false),
            ("apns", "zz".repeat(32), false),
            ("apns", "ab".repeat(201), false),
            ("fcm", "c2Vj:APA91b-_.x".to_owned(), true),
            ("fcm", "a{b}".to_owned(), false),
        ] {
            let checked = request(platform, &token).unwrap().check();
            let code = checked.err().map(|problem| problem.code);
            let expected = (!possible).then_some(ErrorCode::InvalidPushToken);
            assert_eq!(code, expected, "{platform} {token}");
        }
    }

    #[test]
    fn a_token_without_bounds_is_not_even_read() {
        for token in [
            String::new(),
            "a".repeat(MAX_PUSH_TOKEN_BYTES + 1),
            "a b".to_owned(),
            "ä".to_owned(),
        ] {
            assert!(request("fcm", &token).is_err(), "{} bytes", token.len());
        }
        assert!(request("adm", "token").is_err());
        let none: SubscribeRequest = serde_json::from_str("{}").unwrap();
        assert_eq!((none.check(), none.address), (Ok(()), None));
    }

    #[test]
    fn x66_no_push_token_prints() {
        let request = request("fcm", "hush-hush").unwrap();
        assert!(!format!("{request:?}").contains("hush"));
    }
}
