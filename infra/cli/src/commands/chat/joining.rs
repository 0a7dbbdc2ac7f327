//! How the device of a person at a terminal gets into an account: once, by phone number and code.

use std::{io::BufRead, time::Duration};

use waxwing_client::{
    Client, ClientConfig, Code, DeviceAddress, DeviceName, LinkError, NameError, PhoneNumber, RegisterError,
    StoreError,
};
use zeroize::Zeroizing;

use super::Args;
use crate::{
    console::Console,
    people::{self, Device, PeopleError, fictional_number},
};

/// How often a device that is being linked looks whether its keys are made.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Why a device did not get in.
#[derive(Debug, thiserror::Error)]
pub enum JoiningError {
    /// Its store does not open, or the service did not take it.
    #[error("{0}\nIs the service running? Start it in another shell with: cargo waxwing local")]
    People(#[from] PeopleError),
    /// A service elsewhere sends codes to real phones only.
    #[error("say your phone number for the first time: --phone +...")]
    NumberNeeded,
    /// The texts of a service on this machine cannot be read.
    #[error("the code could not be read where the service keeps what phones would get: {0}")]
    Outbox(#[from] reqwest::Error),
    /// No code came, or none was typed.
    #[error("there is no code; start again to get another")]
    NoCode,
    /// It was not linked.
    #[error("the device was not linked: {0}")]
    Link(#[from] LinkError),
    /// No account has a device of that name.
    #[error("the device cannot be called that: {0}")]
    Name(#[from] NameError),
    /// Its store failed.
    #[error("the local store failed: {0}")]
    Store(#[from] StoreError),
    /// The terminal cannot be read.
    #[error("the terminal cannot be read: {0}")]
    Terminal(#[from] std::io::Error),
}

/// Opens the device and registers it if it has no account yet.
pub(super) async fn join(
    args: &Args,
    config: ClientConfig,
    console: &Console,
) -> Result<Device, JoiningError> {
    let name = args.name.to_string();
    let http_url = config.endpoints.http_url.clone();
    let client = people::open(&name, config).await?;
    let address = match client.address() {
        Some(address) => address,
        None if args.link => link(&client, &name, console).await?,
        None => {
            let refused = |error| PeopleError::Register(name.clone(), error);
            if let Some(number) = &args.phone {
                // If it has an account, this device takes it over.
                confirm(&client, number, &http_url, console).await?;
            } else {
                confirm_some_number(&client, &http_url, console).await?;
            }
            client.register(None).await.map_err(refused)?
        }
    };
    Ok(Device {
        name,
        client,
        address,
    })
}

/// Takes a place in an account that another device offers, and waits until that has answered.
async fn link(client: &Client, name: &str, console: &Console) -> Result<DeviceAddress, JoiningError> {
    console.say(
        "In the chat of the account's first device press Ctrl-O and offer a place, or say /link; then type the code it shows:",
    );
    let code = Zeroizing::new(typed_line().await?);
    let called = DeviceName::new(name)?;
    let linking = client.link(code.trim(), &called);
    tokio::pin!(linking);
    let mut shown = false;
    loop {
        tokio::select! {
            linked = &mut linking => return Ok(linked?),
            () = tokio::time::sleep(LOOK_AGAIN), if !shown => {
                if let Some(fingerprint) = client.fingerprint()? {
                    console.say(format_args!("The other device asks for this one, and shows: {fingerprint}"));
                    shown = true;
                }
            }
        }
    }
}

/// Finds a number set aside for fiction that nobody has yet.
async fn confirm_some_number(client: &Client, http_url: &str, console: &Console) -> Result<(), JoiningError> {
    if outbox_url(http_url).is_none() {
        return Err(JoiningError::NumberNeeded);
    }
    let mut index = 0;
    while let Some(number) = fictional_number(index) {
        match confirm(client, &number, http_url, console).await {
            // Somebody else on this machine has it.
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(JoiningError::People(PeopleError::Register(_, RegisterError::Http(error)))) => {
                // A code was sent to it a moment ago.
                tracing::debug!(%error, "another number is taken");
            }
            Err(error) => return Err(error),
        }
        index += 1;
    }
    Err(PeopleError::NoNumber.into())
}

/// Proves a number. Returns whether it has an account.
async fn confirm(
    client: &Client,
    number: &PhoneNumber,
    http_url: &str,
    console: &Console,
) -> Result<bool, JoiningError> {
    let refused = |error| PeopleError::Register(number.as_str().to_owned(), error);
    client.request_code(number).await.map_err(refused)?;
    let code = match outbox_url(http_url) {
        Some(url) => people::newest_code(&url, number)
            .await?
            .ok_or(JoiningError::NoCode)?,
        None => {
            console.say("Type the code that was sent to your phone:");
            typed_code().await?
        }
    };
    let confirmed = client.confirm(number, &code).await.map_err(refused)?;
    Ok(confirmed.has_account)
}

/// Where a service on this machine shows what phones would get.
fn outbox_url(http_url: &str) -> Option<String> {
    let rest = http_url.strip_prefix("http://")?;
    let host = rest.split('/').next()?;
    let local = ["127.0.0.1:", "localhost:", "[::1]:"];
    local
        .iter()
        .any(|address| host.starts_with(address))
        .then(|| format!("http://{host}{}", waxwing_local::outbox::PATH))
}

async fn typed_code() -> Result<Code, JoiningError> {
    typed_line()
        .await?
        .trim()
        .parse()
        .map_err(|_| JoiningError::NoCode)
}

async fn typed_line() -> Result<String, JoiningError> {
    let reading = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).map(|_| line)
    });
    Ok(reading.await.map_err(|_| JoiningError::NoCode)??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_on_this_machine_shows_its_texts() {
        let url = outbox_url("http://127.0.0.1:8080/prod");
        assert_eq!(url.as_deref(), Some("http://127.0.0.1:8080/_local/outbox"));
        for elsewhere in [
            "https://127.0.0.1:8080/prod",
            "https://abc.execute-api.eu-central-1.amazonaws.com/prod",
            "http://127.0.0.1.example.com/prod",
            "http://example.com:80/127.0.0.1:1",
        ] {
            assert_eq!(outbox_url(elsewhere), None, "{elsewhere}");
        }
    }
}
