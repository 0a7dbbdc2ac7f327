//! Authenticated encryption: AES-256-GCM (SP 800-38D) with a 12-byte nonce and a 16-byte tag.

use aes_gcm::{Aes256Gcm, KeyInit, aead::AeadInOut};

use super::secret::Secret;

/// Bytes of a nonce.
pub(crate) const NONCE_BYTES: usize = 12;
/// Bytes of a tag.
pub(crate) const TAG_BYTES: usize = 16;

/// The tag does not fit key, nonce, associated data and ciphertext.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenError;

/// Encrypts `buffer` in place and returns the tag.
#[allow(
    clippy::expect_used,
    reason = "GCM takes up to 64 GiB; a Waxwing message has some KB"
)]
pub(crate) fn seal(
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

/// Verifies `tag` over ciphertext and associated data, then decrypts `buffer` in place. `buffer` stays as
/// it is when the tag does not fit.
pub(crate) fn open(
    key: &Secret,
    nonce: &[u8; NONCE_BYTES],
    associated_data: &[u8],
    buffer: &mut [u8],
    tag: &[u8; TAG_BYTES],
) -> Result<(), OpenError> {
    Aes256Gcm::new(key.as_bytes().into())
        .decrypt_inout_detached(nonce.into(), associated_data, buffer.into(), tag.into())
        .map_err(|_| OpenError)
}
