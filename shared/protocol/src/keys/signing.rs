//! The key that vouches for a device's other keys.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

use super::{KeyError, PRIVATE_KEY_BYTES, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, SignatureError, private_key};
use crate::primitives::{Point, Scalar, Signer, Verifier};

/// Our signing key: ECDSA on P-256 with SHA-256.
#[derive(Clone)]
pub struct SigningKeyPair {
    signer: Signer,
    public: VerifyingKey,
}

impl SigningKeyPair {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::new(&Scalar::generate(rng))
    }

    /// Reads the private key.
    ///
    /// # Errors
    /// [`KeyError::Private`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(&Scalar::from_bytes(private_key(bytes)?)?))
    }

    /// The private key, for our own store only.
    pub fn to_bytes(&self) -> Zeroizing<[u8; PRIVATE_KEY_BYTES]> {
        self.signer.to_bytes()
    }

    /// The public half.
    pub fn public(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs a message: r and s, low s, deterministic (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.signer.sign(message)
    }

    fn new(scalar: &Scalar) -> Self {
        let signer = Signer::new(scalar);
        let public = VerifyingKey::new(signer.point());
        Self { signer, public }
    }
}

impl fmt::Debug for SigningKeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyPair").finish_non_exhaustive()
    }
}

/// Someone's public signing key.
#[derive(Clone)]
pub struct VerifyingKey {
    point: Point,
    verifier: Verifier,
}

impl VerifyingKey {
    /// Reads a compressed point and checks that it lies on the curve.
    ///
    /// # Errors
    /// [`KeyError::Encoding`] or [`KeyError::Curve`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        Ok(Self::new(Point::from_bytes(bytes)?))
    }

    /// The compressed point.
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_BYTES] {
        *self.point.as_bytes()
    }

    /// Verifies a signature over a message. The high-s twin of a signature is refused.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> Result<(), SignatureError> {
        Ok(self.verifier.verify(message, signature)?)
    }

    pub(super) fn new(point: Point) -> Self {
        let verifier = Verifier::new(&point);
        Self { point, verifier }
    }

    pub(super) fn point(&self) -> &Point {
        &self.point
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.point)
    }
}
