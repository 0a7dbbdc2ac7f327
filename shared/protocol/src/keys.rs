//! The keys of a device.
//!
//! Each device has a *signing key* (ECDSA), an *identity key* (ECDH), a *signed prekey* that it replaces
//! from time to time, and *one-time prekeys*, one for each session others open with it. The signing key
//! vouches for the identity key and for the signed prekey; no key serves two purposes.
//!
//! Ours and theirs are different types: a pair holds the private half, is zeroized when dropped and does not
//! print it; its public counterpart is a point checked once, when it was read.

mod device;
mod identity;
mod prekeys;
mod signing;

pub use device::{DeviceKeys, TheirDevice};
pub use identity::{IdentityKey, IdentityKeyPair};
pub use prekeys::{OneTimePrekey, OneTimePrekeyPair, SignedPrekey, SignedPrekeyPair};
pub use signing::{SigningKeyPair, VerifyingKey};

use crate::primitives::{self, BadSignature, POINT_BYTES, PointError, SCALAR_BYTES, ScalarError};

/// Bytes of a public key: a compressed SEC1 point (SEC 1, section 2.3.3), the only encoding accepted.
pub const PUBLIC_KEY_BYTES: usize = POINT_BYTES;

/// Bytes of a private key: a big-endian scalar.
pub const PRIVATE_KEY_BYTES: usize = SCALAR_BYTES;

/// Bytes of a signature: r and s, 32 bytes each, big-endian.
pub const SIGNATURE_BYTES: usize = primitives::SIGNATURE_BYTES;

/// The largest id of a prekey: 2³¹ − 1, so that ids fit a signed 32-bit integer everywhere. The smallest is 1.
pub const MAX_PREKEY_ID: u32 = i32::MAX as u32;

/// Why bytes or numbers are not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A public key is not 33 bytes that begin with 02 or 03.
    #[error("not a compressed point")]
    Encoding,
    /// No point of the curve has this x-coordinate.
    #[error("not a point of the curve")]
    Curve,
    /// A private key is not 32 bytes, or no number from 1 to n − 1.
    #[error("not a private key")]
    Private,
    /// A prekey's id lies outside 1 to [`MAX_PREKEY_ID`].
    #[error("prekey id out of range")]
    Id,
}

impl From<PointError> for KeyError {
    fn from(error: PointError) -> Self {
        match error {
            PointError::Encoding => Self::Encoding,
            PointError::Curve => Self::Curve,
        }
    }
}

impl From<ScalarError> for KeyError {
    fn from(_: ScalarError) -> Self {
        Self::Private
    }
}

/// A signature does not verify, or is not the low-s form of one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

impl From<BadSignature> for SignatureError {
    fn from(_: BadSignature) -> Self {
        Self
    }
}

/// Why a device's published keys were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The signing key is no key.
    #[error("signing key: {0}")]
    SigningKey(#[source] KeyError),
    /// The identity key is no key.
    #[error("identity key: {0}")]
    IdentityKey(#[source] KeyError),
    /// The signing key does not vouch for the identity key.
    #[error("the identity key is not signed by the signing key")]
    Signature,
    /// Signing key and identity key are the same key; one key must not serve two purposes.
    #[error("one key for two purposes")]
    SameKey,
}

/// Checks the range of a prekey's id.
fn check_id(id: u32) -> Result<u32, KeyError> {
    if (1..=MAX_PREKEY_ID).contains(&id) {
        Ok(id)
    } else {
        Err(KeyError::Id)
    }
}

/// Reads a private key of any of the pairs.
fn private_key(bytes: &[u8]) -> Result<&[u8; PRIVATE_KEY_BYTES], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Private)
}
