//! The keys a device leaves at the service so that others can open sessions while it is away.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{
    KeyError, PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SigningKeyPair, check_id, private_key,
};
use crate::{
    labels,
    primitives::{Point, Scalar},
};

macro_rules! pair {
    ($(#[$doc:meta])* $ours:ident, $theirs:ident) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $ours {
            scalar: Scalar,
            public: $theirs,
        }

        impl $ours {
            /// A fresh key under an id that was never used before.
            ///
            /// # Errors
            /// [`KeyError::Id`].
            pub fn generate(id: u32, rng: &mut impl CryptoRng) -> Result<Self, KeyError> {
                Self::new(check_id(id)?, Scalar::generate(rng))
            }

            /// Reads the private key.
            ///
            /// # Errors
            /// [`KeyError::Id`] or [`KeyError::Private`].
            pub fn from_bytes(id: u32, bytes: &[u8]) -> Result<Self, KeyError> {
                Self::new(check_id(id)?, Scalar::from_bytes(private_key(bytes)?)?)
            }

            /// The private key, for our own store only.
            pub fn to_bytes(&self) -> Zeroizing<[u8; PRIVATE_KEY_BYTES]> {
                self.scalar.to_bytes()
            }

            /// The public half.
            pub fn public(&self) -> &$theirs {
                &self.public
            }

            /// Its id.
            pub fn id(&self) -> u32 {
                self.public.id
            }

            pub(crate) fn scalar(&self) -> &Scalar {
                &self.scalar
            }

            fn new(id: u32, scalar: Scalar) -> Result<Self, KeyError> {
                let public = $theirs { id, point: scalar.point() };
                Ok(Self { scalar, public })
            }
        }

        impl fmt::Debug for $ours {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($ours))
                    .field("id", &self.public.id)
                    .finish_non_exhaustive()
            }
        }

        impl $theirs {
            /// Its id.
            pub fn id(&self) -> u32 {
                self.id
            }

            /// The compressed point.
            pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
                *self.point.as_bytes()
            }

            /// Reads a compressed point and checks that it lies on the curve.
            ///
            /// # Errors
            /// [`KeyError::Id`], [`KeyError::Encoding`] or [`KeyError::Curve`].
            pub fn from_bytes(id: u32, bytes: &[u8]) -> Result<Self, KeyError> {
                Ok(Self {
                    id: check_id(id)?,
                    point: Point::from_bytes(bytes)?,
                })
            }

            pub(crate) fn point(&self) -> &Point {
                &self.point
            }
        }

        impl fmt::Debug for $theirs {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($theirs), "({}, {})"), self.id, self.point)
            }
        }
    };
}

pair! {
    /// Our medium-term key, replaced from time to time.
    SignedPrekeyPair, SignedPrekey
}

pair! {
    /// Our key for one session only. Its private half is deleted as soon as that session's first message
    /// was decrypted and stored.
    OneTimePrekeyPair, OneTimePrekey
}

/// Someone's medium-term key. Only [`PrekeyBundle`](crate::handshake::PrekeyBundle) says whose.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPrekey {
    id: u32,
    point: Point,
}

/// Someone's key for one session only.
#[derive(Clone, PartialEq, Eq)]
pub struct OneTimePrekey {
    id: u32,
    point: Point,
}

impl SignedPrekeyPair {
    /// The signature under which this key is published.
    pub fn sign(&self, signing: &SigningKeyPair) -> [u8; SIGNATURE_BYTES] {
        signing.sign(&self.public.signed_bytes())
    }
}

impl SignedPrekey {
    /// What its signature covers: label, id, key.
    pub(crate) fn signed_bytes(&self) -> Vec<u8> {
        [
            labels::SIGNED_PREKEY_SIGNATURE,
            &self.id.to_be_bytes(),
            self.point.as_bytes(),
        ]
        .concat()
    }
}
