//! The port behind which an app keeps the key of its store.

use std::{fmt, sync::Arc};

use waxwing_client::keys::{self, StoreSecret};
use zeroize::Zeroizing;

/// Keeps the secret of one store: in the Keychain, wrapped by a key of the Secure Enclave or of the Android Keystore, by
/// the desktop's secret service. It is called when the store is opened and when its key changes, on a thread of the
/// library; it may ask the person to unlock something. Keep the bytes whole, never print them, and keep them out of
/// backups.
#[uniffi::export(with_foreign)]
pub trait KeyStore: Send + Sync {
    /// The secret that was saved last; nothing if none ever was. Never nothing for a secret that is there and cannot be
    /// had now: a store whose secret is gone cannot be opened any more.
    fn load(&self) -> Result<Option<Vec<u8>>, KeyStoreError>;

    /// Keeps a secret in place of the one before: after a crash there is the one or the other, whole. It has to be kept
    /// for good when this returns, since the store is encrypted under it next.
    fn save(&self, secret: Vec<u8>) -> Result<(), KeyStoreError>;
}

/// Why the app could not give or keep a secret.
#[derive(Debug, uniffi::Error)]
pub enum KeyStoreError {
    /// It is there, and cannot be had at the moment: the device is locked, or the person said no.
    Locked,
    /// The platform failed. The reason becomes part of the error's sentence: nothing secret belongs there.
    Failed {
        /// In words.
        reason: String,
    },
}

impl fmt::Display for KeyStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked => f.write_str("the secret cannot be had now"),
            Self::Failed { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for KeyStoreError {}

impl From<uniffi::UnexpectedUniFFICallbackError> for KeyStoreError {
    /// The app's code threw something else. What it was is for the app's own log: its text may say too much.
    fn from(_: uniffi::UnexpectedUniFFICallbackError) -> Self {
        Self::Failed {
            reason: "the app's key store threw an error of its own".to_owned(),
        }
    }
}

impl From<KeyStoreError> for keys::KeyStoreError {
    fn from(error: KeyStoreError) -> Self {
        match error {
            KeyStoreError::Locked => Self::Locked,
            KeyStoreError::Failed { reason } => Self::other_text(reason),
        }
    }
}

/// The app's key store, as the client takes one.
pub(crate) struct AppKeys(pub(crate) Arc<dyn KeyStore>);

impl keys::KeyStore for AppKeys {
    fn load(&self) -> Result<Option<StoreSecret>, keys::KeyStoreError> {
        let secret = self.0.load()?.map(Zeroizing::new);
        secret.map(|secret| StoreSecret::from_bytes(&secret)).transpose()
    }

    fn save(&self, secret: &StoreSecret) -> Result<(), keys::KeyStoreError> {
        Ok(self.0.save(secret.as_bytes().to_vec())?)
    }
}

impl fmt::Debug for AppKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppKeys(..)")
    }
}
