//! A message key: encrypts one message.

use zeroize::Zeroizing;

use super::error::DecryptError;
use crate::primitives::{KEY_BYTES, NONCE_BYTES, TAG_BYTES, open, seal};

/// The AES-256-GCM key of one message. Zeroized when dropped.
#[derive(Clone)]
pub(super) struct MessageKey(Zeroizing<[u8; KEY_BYTES]>);

impl MessageKey {
    pub(super) fn new(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Encrypts `buffer` in place and returns the tag.
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        buffer: &mut [u8],
    ) -> [u8; TAG_BYTES] {
        seal(&self.0, nonce, associated_data, buffer)
    }

    /// Decrypts a ciphertext that ends with its tag.
    pub(super) fn open(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, DecryptError> {
        let (ciphertext, tag) = sealed.split_last_chunk().ok_or(DecryptError::Authentication)?;
        let mut buffer = ciphertext.to_vec();
        open(&self.0, nonce, associated_data, &mut buffer, tag).map_err(|_| DecryptError::Authentication)?;
        Ok(buffer)
    }
}
