//! Where the store is, and where the service is.

use std::{fmt, sync::Arc};

use waxwing_client::{
    Passphrase, StoreLocation as Location,
    keys::{KeyFile, PassphraseKey},
};
use zeroize::Zeroizing;

use crate::{
    error::ClientError,
    keys::{AppKeys, KeyStore},
};

/// Where the device's state lives: keys, sessions, messages, outbox. One client at a time has it open.
#[derive(uniffi::Object)]
#[uniffi::export(Debug)]
pub struct StoreLocation(pub(crate) Location);

#[uniffi::export]
impl StoreLocation {
    /// In this file, encrypted under a key that the app keeps: what an app on a phone takes.
    #[uniffi::constructor]
    pub fn kept_by(path: String, keys: Arc<dyn KeyStore>) -> Self {
        Self(Location::file(path, AppKeys(keys)))
    }

    /// In this file, encrypted under a key that is in a file of its own, sealed under a passphrase of at least eight
    /// bytes. Opening takes some tenths of a second.
    #[uniffi::constructor]
    pub fn with_passphrase(path: String, key_path: String, passphrase: String) -> Result<Self, ClientError> {
        let passphrase = Passphrase::new(&Zeroizing::new(passphrase))
            .map_err(|error| ClientError::InvalidPassphrase(error.to_string()))?;
        Ok(Self(Location::file(
            path,
            PassphraseKey::new(key_path, passphrase),
        )))
    }

    /// In this file, encrypted under a key that is in a file of its own which only its owner can read. Who reads both
    /// files reads the store: this protects copies of the store alone. For programs at a terminal.
    #[uniffi::constructor]
    pub fn with_key_file(path: String, key_path: String) -> Self {
        Self(Location::file(path, KeyFile::new(key_path)))
    }

    /// In memory, gone with the client: for tests.
    #[uniffi::constructor]
    pub fn in_memory() -> Self {
        Self(Location::Memory)
    }
}

impl fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreLocation(..)")
    }
}

/// Where the service is: what the deployment's template puts out.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Endpoints {
    /// The template's output `WebSocketUrl`: `wss://…/stage`.
    pub websocket_url: String,
    /// The template's output `HttpUrl`: `https://…/stage`.
    pub http_url: String,
    /// The template's parameter `TokenAudience`.
    pub audience: String,
}

impl From<Endpoints> for waxwing_client::Endpoints {
    fn from(endpoints: Endpoints) -> Self {
        Self {
            websocket_url: endpoints.websocket_url,
            http_url: endpoints.http_url,
            audience: endpoints.audience,
        }
    }
}
