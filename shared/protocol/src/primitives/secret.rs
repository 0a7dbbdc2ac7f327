//! A secret of 32 bytes.

use std::fmt;

use zeroize::Zeroize;

/// Bytes of a secret: a symmetric key, a private key, a shared secret.
pub(crate) const SECRET_BYTES: usize = 32;

/// 32 secret bytes. Zeroized when dropped, and on the heap, so that moving what holds it leaves no copy
/// behind.
#[derive(Clone)]
pub(crate) struct Secret(Box<[u8; SECRET_BYTES]>);

impl Secret {
    /// Zeros, to be filled.
    pub(crate) fn zero() -> Self {
        Self(Box::new([0; SECRET_BYTES]))
    }

    pub(crate) fn copy_of(bytes: &[u8; SECRET_BYTES]) -> Self {
        let mut secret = Self::zero();
        secret.as_mut().copy_from_slice(bytes);
        secret
    }

    pub(crate) fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    pub(super) fn as_mut(&mut self) -> &mut [u8; SECRET_BYTES] {
        &mut self.0
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
