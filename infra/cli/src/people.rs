//! People with devices: the client library as an app embeds it, and phones that get codes.

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use serde::Deserialize;
use waxwing_client::{
    Client, ClientConfig, Code, DeviceAddress, DeviceName, Event, LinkError, NameError, OpenError,
    PhoneNumber, ReceiptSettings, RegisterError, StoreError, StoreLocation, keys::KeyFile,
};
use waxwing_local::{outbox::OutboxMessage, runner::Runner};

use crate::name::Name;

/// North American area codes. In each, 555-0100 to 555-0199 are set aside for fiction and belong to nobody.
const AREA_CODES: [u32; 20] = [
    201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214, 215, 216, 217, 218, 219, 224, 225, 228,
];

/// Numbers taken of one area code: as many codes as the service sends to one block of numbers in an hour.
const NUMBERS_OF_AN_AREA: usize = 30;

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
    /// There are no more numbers for people who do not exist.
    #[error("there are no more phone numbers set aside for fiction; use fewer devices")]
    NoNumber,
    /// Its phone got no code.
    #[error("no code came for {0}; ask for one again later")]
    NoCode(String),
    /// The texts of a service on this machine cannot be read.
    #[error("the code could not be read where the service keeps what phones would get: {0}")]
    Outbox(#[source] reqwest::Error),
    /// It cannot be called that.
    #[error("a device cannot be called {0}: {1}")]
    Name(String, #[source] NameError),
    /// The other device or the service did not take it.
    #[error("{0} could not be linked: {1}")]
    Link(String, #[source] LinkError),
    /// The other device was not told of it.
    #[error("{0} was not asked whether {1} may be linked")]
    NotAsked(String, String),
    /// Its store failed later.
    #[error("the store of {0} failed: {1}")]
    Store(String, #[source] StoreError),
}

/// The phone number of the person who is `index`-th to get one: of nobody.
pub fn fictional_number(index: usize) -> Option<PhoneNumber> {
    let area = AREA_CODES.get(index / NUMBERS_OF_AN_AREA)?;
    let line = 100 + index % NUMBERS_OF_AN_AREA;
    format!("+1{area}5550{line}").parse().ok()
}

/// Opens the first device of a new person, and registers an account with it by a number of its own. The code is read
/// where the runner keeps what phones would get.
///
/// # Errors
/// [`PeopleError`].
pub async fn register(name: &str, config: ClientConfig, runner: &Runner) -> Result<Device, PeopleError> {
    register_as(name, config, runner, &new_number()?).await
}

/// The same with a service in another process, which shows at `outbox_url` what phones would get.
///
/// # Errors
/// [`PeopleError`].
pub async fn register_at(name: &str, config: ClientConfig, outbox_url: &str) -> Result<Device, PeopleError> {
    let number = new_number()?;
    let client = open_without_receipts(name, config).await?;
    let refused = |error| PeopleError::Register(name.to_owned(), error);
    client.request_code(&number).await.map_err(refused)?;
    let code = newest_code(outbox_url, &number)
        .await
        .map_err(PeopleError::Outbox)?;
    enter(name, client, &number, code).await
}

/// A number that nobody in this process had before.
///
/// # Errors
/// [`PeopleError::NoNumber`].
pub fn new_number() -> Result<PhoneNumber, PeopleError> {
    static TAKEN: AtomicUsize = AtomicUsize::new(0);
    fictional_number(TAKEN.fetch_add(1, Ordering::Relaxed)).ok_or(PeopleError::NoNumber)
}

/// The same with this number: if it has an account, the device takes it over.
///
/// # Errors
/// [`PeopleError`].
pub async fn register_as(
    name: &str,
    config: ClientConfig,
    runner: &Runner,
    number: &PhoneNumber,
) -> Result<Device, PeopleError> {
    let client = open_without_receipts(name, config).await?;
    let refused = |error| PeopleError::Register(name.to_owned(), error);
    client.request_code(number).await.map_err(refused)?;
    enter(name, client, number, code_for(number, &runner.outbox())).await
}

async fn enter(
    name: &str,
    client: Client,
    number: &PhoneNumber,
    code: Option<Code>,
) -> Result<Device, PeopleError> {
    let refused = |error| PeopleError::Register(name.to_owned(), error);
    let code = code.ok_or_else(|| PeopleError::NoCode(name.to_owned()))?;
    client.confirm(number, &code).await.map_err(refused)?;
    let address = client.register(None).await.map_err(refused)?;
    Ok(Device {
        name: name.to_owned(),
        client,
        address,
    })
}

/// The code in the newest text to a number.
pub fn code_for(number: &PhoneNumber, texts: &[OutboxMessage]) -> Option<Code> {
    let text = texts.iter().rfind(|text| text.to == number.as_str())?;
    code_in(&text.body)
}

/// What a runner shows at its outbox.
#[derive(Deserialize)]
struct Texts {
    messages: Vec<Text>,
}

#[derive(Deserialize)]
struct Text {
    to: String,
    body: String,
}

/// The code in the newest text to a number, read where a runner on this machine shows it.
///
/// # Errors
/// If that cannot be read.
pub async fn newest_code(outbox_url: &str, number: &PhoneNumber) -> Result<Option<Code>, reqwest::Error> {
    let texts: Texts = reqwest::get(outbox_url).await?.json().await?;
    let text = texts.messages.iter().rfind(|text| text.to == number.as_str());
    Ok(text.and_then(|text| code_in(&text.body)))
}

/// The code in a text: the first six digits in a row.
pub fn code_in(text: &str) -> Option<Code> {
    let mut runs = text.split(|character: char| !character.is_ascii_digit());
    runs.find_map(|run| run.parse().ok())
}

/// Opens a further device and links it to the account of `first`, which registered the account and is not connected:
/// it is for as long as this takes, to be asked. The new device reads the QR code, the person says yes on the other.
///
/// # Errors
/// [`PeopleError`].
pub async fn link(first: &Device, name: &str, config: ClientConfig) -> Result<Device, PeopleError> {
    let client = open_without_receipts(name, config).await?;
    let refused = |error| PeopleError::Link(name.to_owned(), error);
    let called = DeviceName::new(name).map_err(|error| PeopleError::Name(name.to_owned(), error))?;
    let mut events = first
        .client
        .observe()
        .await
        .map_err(|error| PeopleError::Store(first.name.clone(), error))?;
    let code = first.client.offer_link().await.map_err(refused)?;
    first.client.connect();
    let answering = async {
        while let Some(event) = events.next().await {
            if let Event::LinkRequested { request, .. } = event {
                return first.client.answer_link(request, true).await.map_err(refused);
            }
        }
        Err(PeopleError::NotAsked(first.name.clone(), name.to_owned()))
    };
    let linking = async { client.link(&code, &called).await.map_err(refused) };
    let linked = tokio::try_join!(linking, answering);
    first.client.disconnect().await;
    let (address, ()) = linked?;
    Ok(Device {
        name: name.to_owned(),
        client,
        address,
    })
}

/// Where the device of a name on this machine keeps its state: encrypted, with the key in a file beside it that only its
/// owner can read. So a store that is copied alone shows nothing; who reads the whole folder reads the store. A person
/// at a terminal is not asked for a passphrase at every start: what protects the folder is the account on the machine.
pub fn store(folder: &Path, name: &Name) -> StoreLocation {
    let file = |ending| folder.join(format!("{name}.{ending}"));
    StoreLocation::file(file("db"), KeyFile::new(file("key")))
}

/// Opens a device's store.
///
/// # Errors
/// [`PeopleError::Open`].
pub async fn open(name: &str, config: ClientConfig) -> Result<Client, PeopleError> {
    Client::open(config)
        .await
        .map_err(|error| PeopleError::Open(name.to_owned(), error))
}

/// Opens the store of a device whose messages are counted: receipts, which are messages too, would be counted with them.
async fn open_without_receipts(name: &str, config: ClientConfig) -> Result<Client, PeopleError> {
    let client = open(name, config).await?;
    let none = ReceiptSettings {
        delivered: false,
        read: false,
    };
    let set = client.set_receipts(none).await;
    set.map_err(|error| PeopleError::Store(name.to_owned(), error))?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_people_get_one_number_and_no_block_gets_more_codes_than_its_budget() {
        let most = AREA_CODES.len() * NUMBERS_OF_AN_AREA;
        let numbers: Vec<_> = (0..most).map(|index| fictional_number(index).unwrap()).collect();
        let distinct: BTreeSet<_> = numbers.iter().map(PhoneNumber::as_str).collect();
        assert_eq!(distinct.len(), most);
        assert_eq!(fictional_number(most), None);
        for number in distinct {
            assert!(number.get(5..9) == Some("5550") && number.len() == 12, "{number}");
        }
    }

    #[test]
    fn the_code_is_found_wherever_it_stands() {
        let code = |text| code_in(text).map(String::from);
        assert_eq!(
            code("Your code is 271828. It ends in 10 minutes."),
            Some("271828".to_owned())
        );
        assert_eq!(code("10 minutes: 271828"), Some("271828".to_owned()));
        assert_eq!(code("no code"), None);
    }
}
