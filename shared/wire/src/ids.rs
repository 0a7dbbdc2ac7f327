//! The identifiers every layer shares. Each has one text form (JSON) and one fixed-width binary form
//! (table keys), so no identifier can run into its neighbour in a composite key.

use std::{fmt, str::FromStr};

use rand::Rng;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

use crate::limits::MAX_31_BIT;

/// Why an identifier was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// The text is not a lower-case hyphenated UUID of the version this identifier has.
    #[error("not a UUID in its canonical text form and version")]
    Uuid,
    /// The number lies outside the identifier's range.
    #[error("number out of range")]
    Range,
    /// The bytes have the wrong length.
    #[error("wrong length")]
    Length,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $version:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Uuid);

        impl $name {
            /// Bytes of the binary form.
            pub const BYTES: usize = 16;

            /// The binary form: 16 bytes, big-endian (RFC 9562, section 4).
            pub fn to_bytes(self) -> [u8; Self::BYTES] {
                self.0.into_bytes()
            }

            /// Reads the binary form.
            ///
            /// # Errors
            /// [`IdError::Length`] or, if version or variant differ, [`IdError::Uuid`].
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdError> {
                Self::checked(Uuid::from_slice(bytes).map_err(|_| IdError::Length)?)
            }

            fn checked(uuid: Uuid) -> Result<Self, IdError> {
                let valid = uuid.get_version_num() == $version && uuid.get_variant() == uuid::Variant::RFC4122;
                valid.then_some(Self(uuid)).ok_or(IdError::Uuid)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let uuid = Uuid::try_parse(text).map_err(|_| IdError::Uuid)?;
                let canonical = uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text;
                if canonical { Self::checked(uuid) } else { Err(IdError::Uuid) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

uuid_id! {
    /// An account: one person. A random UUID (version 4) its first device chose.
    AccountId, 4
}

uuid_id! {
    /// A message: the same id in every envelope of one `send` and in every repetition of it. A UUID of
    /// version 7, so that ids sort by the time the sender made them.
    MessageId, 7
}

impl AccountId {
    /// A fresh account id from the caller's random source.
    pub fn random(rng: &mut impl Rng) -> Self {
        let mut bytes = [0; Self::BYTES];
        rng.fill_bytes(&mut bytes);
        Self(Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl MessageId {
    /// A fresh message id for a message made at `unix_millis`.
    pub fn new(unix_millis: u64, rng: &mut impl Rng) -> Self {
        let mut bytes = [0; 10];
        rng.fill_bytes(&mut bytes);
        Self(Builder::from_unix_timestamp_millis(unix_millis, &bytes).into_uuid())
    }
}

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $int:ty, $min:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name($int);

        impl $name {
            /// The smallest valid value.
            pub const MIN: Self = Self($min);
            /// The largest valid value.
            pub const MAX: Self = Self($max);

            /// Checks the range.
            ///
            /// # Errors
            /// [`IdError::Range`] outside [`MIN`](Self::MIN)`..=`[`MAX`](Self::MAX).
            pub fn new(value: u64) -> Result<Self, IdError> {
                let number = <$int>::try_from(value).map_err(|_| IdError::Range)?;
                if ($min..=$max).contains(&number) { Ok(Self(number)) } else { Err(IdError::Range) }
            }

            /// The number.
            pub fn get(self) -> $int {
                self.0
            }
        }

        impl TryFrom<u64> for $name {
            type Error = IdError;

            fn try_from(value: u64) -> Result<Self, IdError> {
                Self::new(value)
            }
        }

        impl From<$name> for u64 {
            fn from(id: $name) -> Self {
                id.0.into()
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text.parse().map_err(|_| IdError::Range)?)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number_id! {
    /// A device of an account: 1 for the first, 1 to 127.
    DeviceId, u8, 1, 127
}

number_id! {
    /// One registration of a device: random, 1 to 2³¹ − 1. A device that registers again gets another, so
    /// its mailbox and its prekeys start empty and nothing meant for its former self reaches it.
    RegistrationId, u32, 1, MAX_31_BIT
}

number_id! {
    /// A prekey of a device: 1 to 2³¹ − 1, always rising. An id is never used for a second key.
    KeyId, u32, 1, MAX_31_BIT
}

number_id! {
    /// A request on a socket: the client's own count, repeated in the reply. 0 to 2³² − 1.
    RequestId, u32, 0, u32::MAX
}

number_id! {
    /// A version of an account's device list: 1 for the first, then one more each time.
    ListVersion, u32, 1, MAX_31_BIT
}

impl ListVersion {
    /// The version that follows; `None` after the last.
    pub fn next(self) -> Option<Self> {
        Self::new(u64::from(self) + 1).ok()
    }
}

impl RegistrationId {
    /// A fresh registration id from the caller's random source.
    pub fn random(rng: &mut impl Rng) -> Self {
        Self(rng.next_u32() % MAX_31_BIT + 1)
    }
}

/// A device of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceAddress {
    /// Whose device.
    pub account: AccountId,
    /// Which of them.
    pub device: DeviceId,
}

impl DeviceAddress {
    /// Bytes of the binary form.
    pub const BYTES: usize = AccountId::BYTES + 1;

    /// The binary form: account (16 bytes), device (1 byte).
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [self.device.get(); Self::BYTES];
        if let Some(account) = bytes.first_chunk_mut() {
            *account = self.account.to_bytes();
        }
        bytes
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// As for its two parts, or [`IdError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdError> {
        let (account, device) = bytes
            .split_first_chunk::<{ AccountId::BYTES }>()
            .ok_or(IdError::Length)?;
        let [device] = device else {
            return Err(IdError::Length);
        };
        Ok(Self {
            account: AccountId::from_bytes(account)?,
            device: DeviceId::new((*device).into())?,
        })
    }
}

impl fmt::Display for DeviceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.account, self.device)
    }
}

/// One registration of a device: who owns a mailbox and a pool of one-time prekeys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisteredDevice {
    /// The device.
    pub address: DeviceAddress,
    /// Which registration of it.
    pub registration: RegistrationId,
}

impl RegisteredDevice {
    /// Bytes of the binary form.
    pub const BYTES: usize = DeviceAddress::BYTES + 4;

    /// The binary form: account (16 bytes), device (1 byte), registration (4 bytes, big-endian).
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        if let Some(address) = bytes.first_chunk_mut() {
            *address = self.address.to_bytes();
        }
        if let Some(registration) = bytes.last_chunk_mut() {
            *registration = self.registration.get().to_be_bytes();
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const ACCOUNT: &str = "6f9619ff-8b86-4011-b42d-00c04fc964ff";

    #[test]
    fn x72_only_the_canonical_text_of_an_id_is_accepted() {
        assert_eq!(ACCOUNT.parse::<AccountId>().unwrap().to_string(), ACCOUNT);
        let long = "a".repeat(2048);
        let upper = ACCOUNT.to_uppercase();
        let simple = ACCOUNT.replace('-', "");
        let wrong = [
            "",
            "#",
            "a#b",
            "\0",
            "🐦",
            &long,
            &upper,
            &simple,
            "{6f9619ff-8b86-4011-b42d-00c04fc964ff}",
        ];
        for text in wrong {
            assert_eq!(text.parse::<AccountId>(), Err(IdError::Uuid), "{text:?}");
        }
    }

    #[test]
    fn an_id_of_another_version_is_refused() {
        let mut rng = StdRng::seed_from_u64(1);
        let message = MessageId::new(1_700_000_000_000, &mut rng).to_string();
        assert_eq!(message.parse::<AccountId>(), Err(IdError::Uuid));
        assert_eq!(ACCOUNT.parse::<MessageId>(), Err(IdError::Uuid));
    }

    #[test]
    fn message_ids_sort_by_the_time_they_were_made() {
        let mut rng = StdRng::seed_from_u64(2);
        let earlier = MessageId::new(1_700_000_000_000, &mut rng);
        let later = MessageId::new(1_700_000_000_001, &mut rng);
        assert!(earlier < later && earlier.to_bytes() < later.to_bytes());
    }

    #[test]
    fn x14_key_ids_outside_31_bits_are_refused() {
        for value in [0, 1 << 31, (1 << 32) - 1, 1 << 32, u64::MAX] {
            assert_eq!(KeyId::new(value), Err(IdError::Range));
            assert!(serde_json::from_str::<KeyId>(&value.to_string()).is_err());
        }
        assert!(serde_json::from_str::<KeyId>("-1").is_err());
        assert_eq!(serde_json::from_str::<KeyId>("2147483647").unwrap(), KeyId::MAX);
    }

    #[test]
    fn an_address_survives_its_binary_form_and_no_other_length_is_read() {
        let address = DeviceAddress {
            account: ACCOUNT.parse().unwrap(),
            device: DeviceId::new(3).unwrap(),
        };
        let bytes = address.to_bytes();
        assert_eq!(DeviceAddress::from_bytes(&bytes), Ok(address));
        assert_eq!(DeviceAddress::from_bytes(&bytes[..16]), Err(IdError::Length));
        assert_eq!(
            DeviceAddress::from_bytes(&[bytes.as_slice(), &[0]].concat()),
            Err(IdError::Length)
        );
        let owner = RegisteredDevice {
            address,
            registration: RegistrationId::new(0x0102_0304).unwrap(),
        };
        assert_eq!(owner.to_bytes()[..17], bytes);
        assert_eq!(owner.to_bytes()[17..], [1, 2, 3, 4]);
    }
}
