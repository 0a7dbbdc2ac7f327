//! The primitives of the protocol: P-256 key agreement, P-256 signatures, ML-KEM-768, HKDF and AES-GCM.
//!
//! No other module touches a cryptographic crate. What goes in and comes out is plain bytes (keys, SEC1
//! points, messages), plus opaque values that keep what would be costly to compute again, or secret: [`Point`]
//! (a checked public point), [`Scalar`] (a private key), [`Secret`]. Behind the functions stands one of two back
//! ends that give the same bytes: the pure Rust crates, or AWS-LC with the feature `accelerated`.

#[cfg(any(test, feature = "accelerated"))]
mod accelerated;
mod aead;
mod agreement;
mod backend;
#[cfg(test)]
mod differential;
mod kdf;
mod kem;
mod password;
#[cfg(test)]
mod published;
#[cfg(test)]
mod published_kem;
mod pure;
mod secret;
mod signature;

pub(crate) use aead::{NONCE_BYTES, TAG_BYTES, open, seal};
pub(crate) use agreement::{
    POINT_BYTES, Point, PointError, SCALAR_BYTES, Scalar, ScalarError, ZeroSecret, agree, is_compressed,
};
pub(crate) use kdf::{HASH_BYTES, Prk, hash};
pub(crate) use kem::{
    KEM_CIPHERTEXT_BYTES, KEM_KEY_BYTES, KEM_SEED_BYTES, KemCiphertext, KemKeyError, KemPublicKey, KemSecret,
};
pub(crate) use password::stretch;
pub(crate) use secret::{SECRET_BYTES, Secret};
pub(crate) use signature::{BadSignature, SIGNATURE_BYTES, Signer, Verifier};
