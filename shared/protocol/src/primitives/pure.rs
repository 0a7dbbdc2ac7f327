//! The pure Rust crates: `p256` and `aes-gcm`.

use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};
use p256::{
    PublicKey, SecretKey,
    ecdsa::{Signature, VerifyingKey, signature::Verifier as _},
};

use super::{
    aead::{NONCE_BYTES, TAG_BYTES},
    backend::Backend,
    secret::Secret,
    signature::SIGNATURE_BYTES,
};

/// The default, and the reference.
pub(crate) struct Pure;

impl Backend for Pure {
    /// A secret key is ready as it is.
    type Private = ();
    type Verifier = VerifyingKey;

    fn prepare(_: &SecretKey) {}

    fn public(key: &SecretKey, (): &()) -> PublicKey {
        key.public_key()
    }

    fn agree(key: &SecretKey, (): &(), theirs: &PublicKey) -> Secret {
        let shared = p256::ecdh::diffie_hellman(key.to_nonzero_scalar(), theirs.as_affine());
        let mut secret = Secret::zero();
        secret.as_mut().copy_from_slice(shared.raw_secret_bytes());
        secret
    }

    fn verifier(key: &PublicKey) -> VerifyingKey {
        VerifyingKey::from(key)
    }

    fn verify(verifier: &VerifyingKey, message: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| verifier.verify(message, &signature).is_ok())
    }

    #[allow(
        clippy::expect_used,
        reason = "GCM takes up to 64 GiB; a Waxwing message has some KB"
    )]
    fn seal(
        key: &Secret,
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        buffer: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        Aes256Gcm::new(key.as_bytes().into())
            .encrypt_inout_detached(nonce.into(), associated_data, buffer.into())
            .expect("the message is short")
            .into()
    }

    fn open(
        key: &Secret,
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        buffer: &mut [u8],
        tag: &[u8; TAG_BYTES],
    ) -> bool {
        Aes256Gcm::new(key.as_bytes().into())
            .decrypt_inout_detached(nonce.into(), associated_data, buffer.into(), tag.into())
            .is_ok()
    }
}
