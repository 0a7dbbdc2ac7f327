//! A message key: encrypts one message.

use super::error::DecryptError;
use crate::primitives::{NONCE_BYTES, Secret, open, seal};

/// The AES-256-GCM key of one message. Zeroized when dropped.
#[derive(Clone)]
pub(super) struct MessageKey(Secret);

impl MessageKey {
    pub(super) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// Encrypts what a message has from `start` on, and puts the tag behind it.
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        associated_data: &[u8],
        message: &mut Vec<u8>,
        start: usize,
    ) {
        let (_, buffer) = message.split_at_mut(start);
        let tag = seal(&self.0, nonce, associated_data, buffer);
        message.extend_from_slice(&tag);
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
