//! The four primitives of the protocol: P-256 key agreement, P-256 signatures, HKDF and AES-GCM.
//!
//! No other module touches a cryptographic crate. What goes in and comes out is plain bytes (keys, SEC1
//! points, messages), plus two opaque values that keep what would be costly to compute again: [`Point`], a
//! checked public point, and [`Scalar`], a private key. A different backend can stand behind the same
//! functions, byte for byte.

mod aead;
mod agreement;
mod kdf;
mod signature;

pub(crate) use aead::{KEY_BYTES, NONCE_BYTES, TAG_BYTES, open, seal};
pub(crate) use agreement::{
    POINT_BYTES, Point, PointError, SCALAR_BYTES, Scalar, ScalarError, ZeroSecret, agree, is_compressed,
};
pub(crate) use kdf::{HASH_BYTES, Prk, hash};
pub(crate) use signature::{BadSignature, SIGNATURE_BYTES, Signer, Verifier};
