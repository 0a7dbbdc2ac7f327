//! The long-term key for key agreement.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{KeyError, PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, private_key};
use crate::primitives::{Point, Scalar};

/// Our identity key: ECDH on P-256.
#[derive(Clone)]
pub struct IdentityKeyPair {
    scalar: Scalar,
    public: IdentityKey,
}

impl IdentityKeyPair {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::new(Scalar::generate(rng))
    }

    /// Reads the private key.
    ///
    /// # Errors
    /// [`KeyError::Private`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(Scalar::from_bytes(private_key(bytes)?)?))
    }

    /// The private key, for our own store only.
    pub fn to_bytes(&self) -> Zeroizing<[u8; PRIVATE_KEY_BYTES]> {
        self.scalar.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> &IdentityKey {
        &self.public
    }

    pub(crate) fn scalar(&self) -> &Scalar {
        &self.scalar
    }

    fn new(scalar: Scalar) -> Self {
        let public = IdentityKey(scalar.point());
        Self { scalar, public }
    }
}

impl fmt::Debug for IdentityKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityKeyPair").finish_non_exhaustive()
    }
}

/// Someone's public identity key.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityKey(Point);

impl IdentityKey {
    /// Reads a compressed point and checks that it lies on the curve.
    ///
    /// # Errors
    /// [`KeyError::Encoding`] or [`KeyError::Curve`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(Point::from_bytes(bytes)?))
    }

    /// The compressed point.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        *self.0.as_bytes()
    }

    pub(crate) fn point(&self) -> &Point {
        &self.0
    }
}

impl fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IdentityKey({})", self.0)
    }
}
