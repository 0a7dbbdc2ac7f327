//! Signatures: ECDSA on P-256 with SHA-256 (FIPS 186-5), deterministic (RFC 6979), low s only.

use p256::ecdsa::{
    Signature, SigningKey, VerifyingKey,
    signature::{Signer as _, Verifier as _},
};

use zeroize::Zeroizing;

use super::agreement::{Point, SCALAR_BYTES, Scalar};

/// Bytes of a signature: r and s, 32 bytes each, big-endian.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// The signature does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadSignature;

/// A private key for signing. Zeroized when dropped.
#[derive(Clone)]
pub(crate) struct Signer(SigningKey);

impl Signer {
    pub(crate) fn new(scalar: &Scalar) -> Self {
        Self(SigningKey::from(scalar.secret_key()))
    }

    pub(crate) fn to_bytes(&self) -> Zeroizing<[u8; SCALAR_BYTES]> {
        Zeroizing::new(self.0.to_bytes().into())
    }

    /// The public point that belongs to this key.
    pub(crate) fn point(&self) -> Point {
        Point::from_decoded(p256::PublicKey::from(self.0.verifying_key()))
    }

    /// Signs. The nonce comes from key and message alone, so no random source can give the key away.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let signature: Signature = self.0.sign(message);
        signature.normalize_s().to_bytes().into()
    }
}

/// A public key for verifying.
#[derive(Clone)]
pub(crate) struct Verifier(VerifyingKey);

impl Verifier {
    pub(crate) fn new(point: &Point) -> Self {
        Self(VerifyingKey::from(point.public_key()))
    }

    /// Verifies. Of the two signatures (r, s) and (r, n − s), only the one with the smaller s is accepted.
    pub(crate) fn verify(
        &self,
        message: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
    ) -> Result<(), BadSignature> {
        let signature = Signature::from_slice(signature).map_err(|_| BadSignature)?;
        if signature.normalize_s() != signature {
            return Err(BadSignature);
        }
        self.0.verify(message, &signature).map_err(|_| BadSignature)
    }
}
