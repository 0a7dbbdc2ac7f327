//! People with devices: the client library as an app embeds it.

use waxwing_client::{Client, ClientConfig, DeviceAddress, LinkError, OpenError, RegisterError, StoreError};

/// One registered device of a person.
#[derive(Clone, Debug)]
pub struct Device {
    /// What a person calls it: "Bob's phone".
    pub name: String,
    /// The library that runs on it.
    pub client: Client,
    /// Its address.
    pub address: DeviceAddress,
}

/// Why a device is not in.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// Its store does not open.
    #[error("the store of {0} does not open: {1}")]
    Open(String, #[source] OpenError),
    /// The service did not take it.
    #[error("{0} could not be registered: {1}")]
    Register(String, #[source] RegisterError),
    /// The other device or the service did not take it.
    #[error("{0} could not be linked: {1}")]
    Link(String, #[source] LinkError),
    /// Its store failed later.
    #[error("the store of {0} failed: {1}")]
    Store(String, #[source] StoreError),
}

/// Opens the first device of a person, and registers an account with it unless its store has one.
///
/// # Errors
/// [`PeopleError`].
pub async fn register(name: &str, config: ClientConfig) -> Result<Device, PeopleError> {
    let client = open(name, config).await?;
    let address = client
        .register()
        .await
        .map_err(|error| PeopleError::Register(name.to_owned(), error))?;
    Ok(Device {
        name: name.to_owned(),
        client,
        address,
    })
}

/// Opens a further device and links it to the account of `first`.
///
/// # Errors
/// [`PeopleError`].
pub async fn link(first: &Device, name: &str, config: ClientConfig) -> Result<Device, PeopleError> {
    let client = open(name, config).await?;
    let refused = |error| PeopleError::Link(name.to_owned(), error);
    let card = client.prepare_link().await.map_err(refused)?;
    let grant = first.client.link(card).await.map_err(refused)?;
    let address = client.complete_link(grant).await.map_err(refused)?;
    Ok(Device {
        name: name.to_owned(),
        client,
        address,
    })
}

async fn open(name: &str, config: ClientConfig) -> Result<Client, PeopleError> {
    Client::open(config)
        .await
        .map_err(|error| PeopleError::Open(name.to_owned(), error))
}
