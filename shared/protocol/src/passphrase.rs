//! A secret under a passphrase: what may lie on a disk beside what it opens.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 16 | salt of Argon2id |
//! | 12 | nonce |
//! | as many as the secret has | ciphertext |
//! | 16 | tag |
//!
//! The key is what Argon2id (64 MiB, three passes, one lane) makes of passphrase and salt, expanded under a label of its
//! own. Version and salt are authenticated. Whoever has the bytes can guess at the passphrase, each guess at the cost of
//! one run of Argon2id: the passphrase has to be worth it.

use std::fmt;

use rand::CryptoRng;
use zeroize::Zeroizing;

pub use crate::pin::OutOfMemory;
use crate::{
    labels,
    primitives::{NONCE_BYTES, Prk, Secret, TAG_BYTES, open as open_aead, seal as seal_aead, stretch},
};

/// Bytes of the shortest passphrase in UTF-8.
pub const MIN_PASSPHRASE_BYTES: usize = 8;

/// Bytes of the longest passphrase in UTF-8.
pub const MAX_PASSPHRASE_BYTES: usize = 1_024;

/// Bytes that a sealed secret is longer than the secret.
pub const SEALED_OVERHEAD_BYTES: usize = PREFIX_BYTES + NONCE_BYTES + TAG_BYTES;

const VERSION: u8 = 1;
const SALT_BYTES: usize = 16;
/// Version and salt.
const PREFIX_BYTES: usize = 1 + SALT_BYTES;

/// A passphrase: [`MIN_PASSPHRASE_BYTES`] to [`MAX_PASSPHRASE_BYTES`] bytes of UTF-8, taken as they are: nothing is
/// normalised. Zeroized when dropped.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

/// A text is too short or too long for a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a passphrase has {MIN_PASSPHRASE_BYTES} to {MAX_PASSPHRASE_BYTES} bytes")]
pub struct PassphraseError;

/// Why a sealed secret does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// The bytes are not a sealed secret of this version.
    #[error("these bytes are no sealed secret")]
    Malformed,
    /// The passphrase is another, or the bytes were changed.
    #[error("the passphrase is another one")]
    WrongPassphrase,
    /// There is not the memory to find out.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
}

impl Passphrase {
    /// Checks what a person typed.
    ///
    /// # Errors
    /// [`PassphraseError`].
    pub fn new(text: &str) -> Result<Self, PassphraseError> {
        if (MIN_PASSPHRASE_BYTES..=MAX_PASSPHRASE_BYTES).contains(&text.len()) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(PassphraseError)
        }
    }

    /// Seals a secret under a fresh salt. Takes 64 MiB and some tenths of a second.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn seal(&self, rng: &mut impl CryptoRng, secret: &[u8]) -> Result<Vec<u8>, OutOfMemory> {
        let mut prefix = [VERSION; PREFIX_BYTES];
        let [_, salt @ ..] = &mut prefix;
        rng.fill_bytes(salt);
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let key = self.key(&prefix)?;

        let mut sealed = Vec::with_capacity(secret.len() + SEALED_OVERHEAD_BYTES);
        sealed.extend_from_slice(&prefix);
        sealed.extend_from_slice(&nonce);
        let mut buffer = Zeroizing::new(secret.to_vec());
        let tag = seal_aead(&key, &nonce, &prefix, &mut buffer);
        sealed.extend_from_slice(&buffer);
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Opens what [`seal`](Self::seal) made. Takes as long.
    ///
    /// # Errors
    /// [`UnsealError`].
    pub fn open(&self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
        let (prefix, rest) = sealed
            .split_first_chunk::<PREFIX_BYTES>()
            .ok_or(UnsealError::Malformed)?;
        let (nonce, rest) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(UnsealError::Malformed)?;
        let (ciphertext, tag) = rest
            .split_last_chunk::<TAG_BYTES>()
            .ok_or(UnsealError::Malformed)?;
        if prefix.first() != Some(&VERSION) {
            return Err(UnsealError::Malformed);
        }
        let key = self.key(prefix)?;
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        open_aead(&key, nonce, prefix, &mut buffer, tag).map_err(|_| UnsealError::WrongPassphrase)?;
        Ok(buffer)
    }

    fn key(&self, prefix: &[u8; PREFIX_BYTES]) -> Result<Secret, OutOfMemory> {
        let stretched = stretch(self.0.as_bytes(), prefix).map_err(|_| OutOfMemory)?;
        Ok(Prk::from_key(&stretched).expand(&[labels::SEALED_BY_PASSPHRASE]))
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(..)")
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).unwrap()
    }

    #[test]
    fn a_secret_opens_under_its_passphrase_alone() {
        let secret = [7; 32];
        let mut rng = StdRng::seed_from_u64(1);
        let sealed = passphrase("rowan berries").seal(&mut rng, &secret).unwrap();
        assert_eq!(sealed.len(), secret.len() + SEALED_OVERHEAD_BYTES);
        assert!(!sealed.windows(8).any(|bytes| bytes == [7; 8]));
        assert_eq!(
            passphrase("rowan berries").open(&sealed).unwrap().as_slice(),
            secret
        );
        assert_eq!(
            passphrase("rowan berrie5").open(&sealed).err(),
            Some(UnsealError::WrongPassphrase)
        );
        // A salt and a nonce of its own each time.
        assert_ne!(
            passphrase("rowan berries").seal(&mut rng, &secret).unwrap(),
            sealed
        );
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let sealed = passphrase("rowan berries")
            .seal(&mut StdRng::seed_from_u64(1), &[7; 32])
            .unwrap();
        // One of each part; every byte would cost a run of Argon2id.
        for at in [0, 1, PREFIX_BYTES, PREFIX_BYTES + NONCE_BYTES, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(passphrase("rowan berries").open(&changed).is_err(), "byte {at}");
        }
        for length in [0, PREFIX_BYTES, SEALED_OVERHEAD_BYTES - 1] {
            let cut = passphrase("rowan berries").open(&sealed[..length]);
            assert_eq!(cut.err(), Some(UnsealError::Malformed), "{length} bytes");
        }
    }

    #[test]
    fn a_passphrase_is_neither_short_nor_endless_and_does_not_print() {
        assert!(Passphrase::new("1234567").is_err());
        assert!(Passphrase::new(&"x".repeat(MAX_PASSPHRASE_BYTES + 1)).is_err());
        assert_eq!(format!("{:?}", passphrase("12345678")), "Passphrase(..)");
    }
}
