//! Secrets that cross the network once. In JSON each is base64url without padding; none prints.

use std::fmt;

use rand::Rng;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::bytes::{BytesError, from_base64, to_base64};

macro_rules! secret {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; Self::BYTES]);

        impl $name {
            /// Its length in bytes.
            pub const BYTES: usize = $bytes;

            /// Wraps the bytes.
            pub fn new(bytes: [u8; Self::BYTES]) -> Self {
                Self(bytes)
            }

            /// A fresh one from the caller's random source.
            pub fn random(rng: &mut impl Rng) -> Self {
                let mut bytes = [0; Self::BYTES];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }

            /// The bytes.
            pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
                &self.0
            }

            /// Reads the bytes.
            ///
            /// # Errors
            /// [`BytesError::Length`].
            pub fn from_slice(bytes: &[u8]) -> Result<Self, BytesError> {
                Ok(Self(bytes.try_into().map_err(|_| BytesError::Length)?))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&to_base64(&self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                from_base64(&text)
                    .and_then(|bytes| Self::from_slice(&bytes))
                    .map_err(de::Error::custom)
            }
        }
    };
}

secret! {
    /// Good for one registration: what a confirmed phone number gives.
    Ticket, 16
}

secret! {
    /// Good for one new device: what a QR code carries to it.
    LinkToken, 16
}

secret! {
    /// Goes with a PIN into the slow function. Not secret from whoever confirmed the number.
    Salt, 16
}

secret! {
    /// What the slow function makes of PIN and salt. The service stores only its hash.
    LockProof, 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x86_no_secret_prints() {
        assert_eq!(format!("{:?}", Ticket::new([7; 16])), "Ticket(..)");
        assert_eq!(format!("{:?}", LinkToken::new([7; 16])), "LinkToken(..)");
        assert_eq!(format!("{:?}", LockProof::new([7; 32])), "LockProof(..)");
    }

    #[test]
    fn a_secret_of_another_length_is_refused() {
        for length in [0, 15, 17] {
            let json = serde_json::to_string(&to_base64(&vec![7; length])).unwrap();
            assert!(serde_json::from_str::<Ticket>(&json).is_err(), "{length}");
        }
        assert!(serde_json::from_str::<Ticket>(&format!("\"{}\"", to_base64(&[7; 16]))).is_ok());
    }
}
