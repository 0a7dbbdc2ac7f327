//! The four primitives of the protocol: P-256 key agreement, P-256 signatures, HKDF and AES-GCM.
//!
//! No other module touches a cryptographic crate. What goes in and comes out is plain bytes (keys, SEC1
//! points, messages), plus opaque values that keep what would be costly to compute again, or secret: [`Point`]
//! (a checked public point), [`Scalar`] (a private key), [`Secret`]. A different backend can stand behind the same
//! functions, byte for byte.

mod aead;
mod agreement;
mod kdf;
mod secret;
mod signature;

pub(crate) use aead::{NONCE_BYTES, TAG_BYTES, open, seal};
pub(crate) use agreement::{
    POINT_BYTES, Point, PointError, SCALAR_BYTES, Scalar, ScalarError, ZeroSecret, agree, is_compressed,
};
pub(crate) use kdf::{HASH_BYTES, Prk, hash};
pub(crate) use secret::{SECRET_BYTES, Secret};
pub(crate) use signature::{BadSignature, SIGNATURE_BYTES, Signer, Verifier};
