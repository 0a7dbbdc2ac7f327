//! A secret in a file, sealed under a passphrase.

use std::path::{Path, PathBuf};

use waxwing_protocol::passphrase::{Passphrase, UnsealError};

use super::{
    KeyStore, KeyStoreError, StoreSecret,
    file::{read_private, replace},
};
use crate::clock;

/// Keeps the secret in a file of its own, sealed under a passphrase by Argon2id (64 MiB, three passes, one lane: some
/// tenths of a second, once when the store is opened). Who has both files can guess at the passphrase and nothing else.
#[derive(Clone, Debug)]
pub struct PassphraseKey {
    path: PathBuf,
    passphrase: Passphrase,
}

impl PassphraseKey {
    /// The secret is in this file, or will be, under this passphrase.
    pub fn new(path: impl Into<PathBuf>, passphrase: Passphrase) -> Self {
        Self {
            path: path.into(),
            passphrase,
        }
    }

    /// Seals the secret under another passphrase; nothing else changes. A copy of the file that somebody kept opens under
    /// the old one still: [`change_key`](crate::Client::change_key) makes that useless.
    ///
    /// # Errors
    /// [`KeyStoreError`].
    pub fn change(&mut self, passphrase: Passphrase) -> Result<(), KeyStoreError> {
        if let Some(secret) = self.load()? {
            seal(&self.path, &passphrase, &secret)?;
        }
        self.passphrase = passphrase;
        Ok(())
    }
}

impl KeyStore for PassphraseKey {
    fn load(&self) -> Result<Option<StoreSecret>, KeyStoreError> {
        let Some(sealed) = read_private(&self.path)? else {
            return Ok(None);
        };
        let secret = self.passphrase.open(&sealed).map_err(|error| match error {
            UnsealError::Malformed => KeyStoreError::Malformed,
            UnsealError::WrongPassphrase => KeyStoreError::WrongPassphrase,
            UnsealError::Memory(error) => error.into(),
        })?;
        StoreSecret::from_bytes(&secret).map(Some)
    }

    fn save(&self, secret: &StoreSecret) -> Result<(), KeyStoreError> {
        seal(&self.path, &self.passphrase, secret)
    }
}

fn seal(path: &Path, passphrase: &Passphrase, secret: &StoreSecret) -> Result<(), KeyStoreError> {
    let sealed = passphrase.seal(&mut clock::rng(), secret.as_bytes())?;
    Ok(replace(path, &sealed)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).unwrap()
    }

    #[test]
    fn a_secret_is_had_under_its_passphrase_alone_also_after_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.key");
        let mut keys = PassphraseKey::new(&path, passphrase("rowan berries"));
        assert!(keys.load().unwrap().is_none());
        let secret = StoreSecret::from_bytes(&[7; 32]).unwrap();
        keys.save(&secret).unwrap();
        keys.change(passphrase("winter of 1904")).unwrap();
        assert_eq!(keys.load().unwrap().unwrap().as_bytes(), secret.as_bytes());
        let before = PassphraseKey::new(&path, passphrase("rowan berries"));
        assert!(matches!(before.load(), Err(KeyStoreError::WrongPassphrase)));
    }
}
