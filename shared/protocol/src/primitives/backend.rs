//! What computes: the pure Rust crates, or AWS-LC behind the same functions.
//!
//! [`Pure`] is the default and the reference. With the feature `accelerated`, [`Accelerated`](super::accelerated)
//! takes its place wherever it is faster and gives the same bytes. Tests run both, whatever the feature says.

use p256::{PublicKey, SecretKey};

use super::{aead::NONCE_BYTES, aead::TAG_BYTES, pure::Pure, secret::Secret, signature::SIGNATURE_BYTES};

/// The back end of this build.
#[cfg(not(feature = "accelerated"))]
pub(crate) type Chosen = Pure;
/// The back end of this build.
#[cfg(feature = "accelerated")]
pub(crate) type Chosen = super::accelerated::Accelerated;

/// The operations a back end may do in its own way, on values that were checked before.
///
/// Left out is what has one implementation: decoding of points and scalars, signing (RFC 6979, which AWS-LC does
/// not offer: its ECDSA draws the nonce), HKDF and SHA-256 (for inputs as short as ours, the allocations of
/// AWS-LC's interface cost more than its hash saves).
pub(crate) trait Backend {
    /// What a private key is made into, once, before it is used.
    type Private: Send + Sync;
    /// What a public key is made into, once, before it verifies.
    type Verifier: Clone + Send + Sync;

    fn prepare(key: &SecretKey) -> Self::Private;

    /// The public key of a private key.
    fn public(key: &SecretKey, private: &Self::Private) -> PublicKey;

    /// The x-coordinate of the product; it may be zero.
    fn agree(key: &SecretKey, private: &Self::Private, theirs: &PublicKey) -> Secret;

    fn verifier(key: &PublicKey) -> Self::Verifier;

    /// Whether an ECDSA signature fits; r and s are known to be in range, and s to be low.
    fn verify(verifier: &Self::Verifier, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool;

    /// Encrypts `buffer` in place and returns the tag.
    fn seal(
        key: &Secret,
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        buffer: &mut [u8],
    ) -> [u8; TAG_BYTES];

    /// Decrypts `buffer` in place, if the tag fits. If not, what is in `buffer` then is of no use.
    fn open(
        key: &Secret,
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool;
}

/// Makes a test of each function that is generic over the back end, for each of both.
#[cfg(test)]
macro_rules! under_both_backends {
    ($($name:ident),* $(,)?) => {
        mod pure {
            $(#[test] fn $name() { super::$name::<$crate::primitives::pure::Pure>(); })*
        }
        mod accelerated {
            $(#[test] fn $name() { super::$name::<$crate::primitives::accelerated::Accelerated>(); })*
        }
    };
}
#[cfg(test)]
pub(super) use under_both_backends;
