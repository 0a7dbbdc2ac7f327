//! The key of the store: the port behind which an app keeps it, and two ways of keeping it without a platform's help.
//!
//! A store in a file is encrypted whole (SQLCipher: AES-256 with an HMAC a page). Its key is random, made by the client,
//! and kept by the app behind [`KeyStore`]: in the Keychain, wrapped by a key of the Secure Enclave or of the Android
//! Keystore, by the desktop's secret service. Where there is none of these: [`PassphraseKey`] seals it under a
//! passphrase; [`KeyFile`] puts it into a file that only its owner can read, which protects copies of the store and
//! nothing else.
//!
//! Neither the store nor its secret belongs into a backup (attack X24): a device that comes back from one repeats what
//! it wrote before, and its contacts are told that it was cloned. On iOS set `isExcludedFromBackup` on the folder and
//! keep the secret under `kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly`; on Android put the folder under
//! `noBackupFilesDir`. Whoever loses a device links or registers another.
//!
//! ```
//! use std::sync::Mutex;
//! use waxwing_client::keys::{KeyStore, KeyStoreError, StoreSecret};
//!
//! /// The platform's keychain, here played by a variable.
//! #[derive(Debug, Default)]
//! struct Keychain(Mutex<Option<Vec<u8>>>);
//!
//! impl KeyStore for Keychain {
//!     fn load(&self) -> Result<Option<StoreSecret>, KeyStoreError> {
//!         let item = self.0.lock().map_err(KeyStoreError::other_text)?;
//!         item.as_deref().map(StoreSecret::from_bytes).transpose()
//!     }
//!
//!     fn save(&self, secret: &StoreSecret) -> Result<(), KeyStoreError> {
//!         *self.0.lock().map_err(KeyStoreError::other_text)? = Some(secret.as_bytes().to_vec());
//!         Ok(())
//!     }
//! }
//! ```

mod file;
mod passphrase;

use std::{error::Error, fmt, io};

use rand::CryptoRng;
use waxwing_protocol::pin::OutOfMemory;
use zeroize::Zeroizing;

pub(crate) use file::{beside, sync_folder};

pub use file::KeyFile;
pub use passphrase::PassphraseKey;

/// Keeps the secret of one store. Called when the store is opened and when its key changes, off the app's thread; it
/// may ask the person to unlock something.
pub trait KeyStore: fmt::Debug + Send + Sync + 'static {
    /// The secret that was saved last; `None` if none ever was.
    ///
    /// # Errors
    /// [`KeyStoreError`]. Never `None` for a secret that is there and cannot be had now.
    fn load(&self) -> Result<Option<StoreSecret>, KeyStoreError>;

    /// Keeps a secret in place of the one before: after a crash there is the one or the other, whole. It has to be
    /// kept for good when this returns, since the store is encrypted under it next.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    fn save(&self, secret: &StoreSecret) -> Result<(), KeyStoreError>;
}

/// Why a secret could not be had or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyStoreError {
    /// It is there, and cannot be had at the moment.
    #[error("the store's key cannot be had now; unlock the device and try again")]
    Locked,
    /// The passphrase is another than the one it was sealed under.
    #[error("the passphrase is another one")]
    WrongPassphrase,
    /// What was kept is not a secret of a store.
    #[error("what was kept is not the key of a store")]
    Malformed,
    /// Others than its owner can read the file.
    #[error("others can read the file of the store's key; allow its owner alone (mode 0600)")]
    Exposed,
    /// There is not the memory to open it.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// Its file could not be read or written.
    #[error("the file of the store's key could not be read or written; check its folder and permissions")]
    File(#[from] io::Error),
    /// The platform said no.
    #[error("the platform's key store failed")]
    Other(#[source] Box<dyn Error + Send + Sync>),
}

impl KeyStoreError {
    /// An error of the platform, of which only the text is kept.
    pub fn other_text(error: impl fmt::Display) -> Self {
        Self::Other(error.to_string().into())
    }
}

/// What a [`KeyStore`] keeps: 32 bytes; 64 while the key is being changed. To be kept whole, and not to be looked into.
/// Zeroized when dropped.
#[derive(Clone)]
pub struct StoreSecret(Zeroizing<Vec<u8>>);

impl StoreSecret {
    /// Takes what [`as_bytes`](Self::as_bytes) gave.
    ///
    /// # Errors
    /// [`KeyStoreError::Malformed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyStoreError> {
        match bytes.len() {
            KEY_BYTES | CHANGING_BYTES => Ok(Self(Zeroizing::new(bytes.to_vec()))),
            _ => Err(KeyStoreError::Malformed),
        }
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A new key.
    pub(crate) fn random(rng: &mut impl CryptoRng) -> Self {
        let mut key = Zeroizing::new(vec![0; KEY_BYTES]);
        rng.fill_bytes(&mut key);
        Self(key)
    }

    /// This key and the one that is to come in its place.
    pub(crate) fn changing_to(&self, next: &Self) -> Self {
        Self(Zeroizing::new([self.as_bytes(), next.as_bytes()].concat()))
    }

    /// The keys in it, the newest first, each as a secret of its own.
    pub(crate) fn keys(&self) -> impl Iterator<Item = Self> + '_ {
        let keys = self.0.chunks(KEY_BYTES).rev();
        keys.map(|key| Self(Zeroizing::new(key.to_vec())))
    }

    /// Whether the key is being changed.
    pub(crate) fn is_changing(&self) -> bool {
        self.0.len() > KEY_BYTES
    }

    /// The key as SQLCipher takes one that it is not to derive from a passphrase: `x'…'`.
    pub(crate) fn literal(&self) -> Zeroizing<String> {
        // Reserved at once: a string that grows leaves its former self behind.
        let mut literal = Zeroizing::new(String::with_capacity(2 * self.0.len() + 3));
        literal.push_str("x'");
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 0xf] {
                literal.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
            }
        }
        literal.push('\'');
        literal
    }
}

impl fmt::Debug for StoreSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreSecret(..)")
    }
}

/// Bytes of a key: of AES-256.
const KEY_BYTES: usize = 32;

/// Bytes of a secret while the key is being changed: the old one and the new one.
const CHANGING_BYTES: usize = 2 * KEY_BYTES;

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_secret_holds_one_key_or_two_and_the_newest_is_tried_first() {
        let mut rng = StdRng::seed_from_u64(1);
        let (old, new) = (StoreSecret::random(&mut rng), StoreSecret::random(&mut rng));
        assert!(!old.is_changing());
        let both = StoreSecret::from_bytes(old.changing_to(&new).as_bytes()).unwrap();
        assert!(both.is_changing());
        let keys: Vec<_> = both.keys().map(|key| key.as_bytes().to_vec()).collect();
        assert_eq!(keys, [new.as_bytes(), old.as_bytes()]);
        for length in [0, 31, 33, 65] {
            let bytes = vec![1; length];
            assert!(matches!(
                StoreSecret::from_bytes(&bytes),
                Err(KeyStoreError::Malformed)
            ));
        }
    }

    #[test]
    fn x86_a_secret_does_not_print() {
        let secret = StoreSecret::from_bytes(&[0xab; 32]).unwrap();
        assert_eq!(format!("{secret:?}"), "StoreSecret(..)");
        assert_eq!(*secret.literal(), format!("x'{}'", "ab".repeat(32)));
    }
}
