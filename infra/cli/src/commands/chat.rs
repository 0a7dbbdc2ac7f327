//! `cargo waxwing chat`: a person at a terminal. `joining`: how the device gets into an account. `screen`: the terminal
//! app. `plain`: line by line. For both: `input`, what is typed; `history`, what devices give each other;
//! `advice`, what is said of what happens.

mod advice;
mod alerts;
mod history;
mod input;
mod joining;
mod plain;
mod screen;

use std::{
    fmt,
    io::{self, IsTerminal},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use waxwing_client::{AccountId, ClientConfig, Endpoints, Event, PhoneNumber, SendError, StoreError};

use self::{alerts::Alerts, joining::JoiningError};
use crate::{
    commands::{Outcome, local::DEFAULT_PORT},
    console::{Console, printable},
    logging,
    name::Name,
    people::{self, Device, PeopleError},
    service::AUDIENCE,
    waking::WakingError,
};

/// Where people's stores and the address book are kept unless told otherwise.
pub(super) const DEFAULT_DATA: &str = ".waxwing/chat";

/// How long the end waits for what is still in the outbox, unless the connection breaks.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// What is said to who types a phone number: the service tells nobody whose number it is, by design.
const NOT_BY_NUMBER: &str =
    "nobody is found by phone number; ask for their account id, or use a name of this machine";

/// Talk with somebody from a terminal. Start one in each of two shells.
///
/// The name's device is registered on its first use. Its store is kept in .waxwing/chat, so the conversation
/// goes on after a restart. A name that was used on this machine can be written to by that name, everybody
/// else by their account id. Whoever is away gets the messages when they come back.
///
/// In a terminal it fills the screen; ? shows its keys. With --plain, or when input or output is no terminal, lines are
/// messages. What begins with a slash is a command in both: /to NAME says whom to write to, /help names the others, //text
/// sends a text that begins with a slash.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who you are on this machine: a-z, 0-9 and -, for example alice
    #[arg(long = "as", value_name = "NAME")]
    name: Name,
    /// Whom to write to: a name used on this machine, or an account id
    #[arg(long, value_name = "ACCOUNT|NAME")]
    to: Option<Peer>,
    /// The WebSocket URL of the service [default: that of a running `cargo waxwing local`]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The HTTP URL of the service [default: the WebSocket URL with http in place of ws]
    #[arg(long, value_name = "URL")]
    http_endpoint: Option<String>,
    /// Your phone number, with a plus sign and country code, for the first time [default: one set aside for fiction,
    /// which only a service on this machine sends codes to]
    #[arg(long, value_name = "NUMBER")]
    phone: Option<PhoneNumber>,
    /// Make this a further device of an account you have: asks for the code that its first device shows (Ctrl-O there)
    #[arg(long, conflicts_with = "phone")]
    link: bool,
    /// Line by line, also in a terminal
    #[arg(long)]
    plain: bool,
    /// Be woken as a phone is: shows each alert that a phone would get, and connects. Only with a service on this machine
    #[arg(long)]
    push: bool,
    /// What tokens name as their audience: the template's TokenAudience
    #[arg(long, value_name = "NAME", default_value = AUDIENCE)]
    audience: String,
    /// Where the stores and the address book are kept
    #[arg(long, value_name = "DIR", default_value = DEFAULT_DATA)]
    data: PathBuf,
}

/// Why there is nothing to talk through.
#[derive(Debug, thiserror::Error)]
pub enum ChatError {
    /// The directory cannot be used.
    #[error("{} cannot be used: {reason}; choose another with --data", directory.display())]
    Directory {
        /// Which directory.
        directory: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The device did not get in.
    #[error(transparent)]
    Joining(#[from] JoiningError),
    /// The device did not get in.
    #[error("{0}\nIs the service running? Start it in another shell with: cargo waxwing local")]
    People(#[from] PeopleError),
    /// A message could not be stored.
    #[error("the message could not be stored: {0}")]
    Send(#[from] SendError),
    /// The store failed.
    #[error("the local store failed: {0}")]
    Store(#[from] StoreError),
    /// There are no alerts to hear.
    #[error("--push: {0}")]
    Push(#[from] WakingError),
    /// The terminal failed.
    #[error("the terminal failed: {0}; try --plain")]
    Terminal(#[from] io::Error),
}

/// Somebody to write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// By account.
    Account(AccountId),
    /// By a name used on this machine.
    Name(Name),
}

/// Talks until the person has had enough.
///
/// # Errors
/// [`ChatError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, ChatError> {
    let fills_the_screen = !args.plain && io::stdin().is_terminal() && io::stdout().is_terminal();
    if fills_the_screen {
        logging::begin_beside_a_screen();
    } else {
        logging::begin();
    }
    std::fs::create_dir_all(&args.data).map_err(|reason| ChatError::Directory {
        directory: args.data.clone(),
        reason,
    })?;
    let store = people::store(&args.data, &args.name);
    let config = ClientConfig::new(
        store,
        endpoints(
            args.endpoint.as_deref(),
            args.http_endpoint.as_deref(),
            &args.audience,
        ),
    );
    let http_url = config.endpoints.http_url.clone();
    let device = joining::join(&args, config, console).await?;
    let alerts = match args.push {
        true => Alerts::of(&device.client, &http_url).await?,
        false => Alerts::none(),
    };
    let (device, connected) = if fills_the_screen {
        screen::talk(&args, device, alerts, console).await?
    } else {
        plain::talk(&args, device, alerts, console).await?
    };
    end(device, connected, console).await?;
    Ok(Outcome::Kept)
}

/// Leaves the outbox a moment to get empty, and closes.
async fn end(device: Device, connected: bool, console: &Console) -> Result<(), ChatError> {
    let mut events = device.client.observe().await?;
    let emptied = async {
        while connected && device.client.pending()? > 0 {
            if let None | Some(Event::Disconnected { .. }) = events.next().await {
                break;
            }
        }
        Ok::<_, StoreError>(())
    };
    if let Ok(emptied) = tokio::time::timeout(LAST_WAIT, emptied).await {
        emptied?;
    }
    let pending = device.client.pending()?;
    if pending > 0 {
        console.say(format_args!(
            "-- Left in the outbox: {pending}. It goes when you are back."
        ));
    }
    device.client.close().await?;
    Ok(())
}

/// The service at these addresses, or on this machine.
pub(super) fn endpoints(websocket: Option<&str>, http: Option<&str>, audience: &str) -> Endpoints {
    let websocket_url = match websocket {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("ws://127.0.0.1:{DEFAULT_PORT}/prod"),
    };
    let http_url = match http {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => websocket_url.replacen("ws", "http", 1),
    };
    Endpoints {
        websocket_url,
        http_url,
        audience: audience.to_owned(),
    }
}

/// Whether somebody meant a phone number. Without the plus sign it may as well be a name.
fn is_phone_number(text: &str) -> bool {
    text.strip_prefix('+').is_some_and(|rest| {
        rest.contains(|one: char| one.is_ascii_digit())
            && rest
                .chars()
                .all(|one| one.is_ascii_digit() || " ()-./".contains(one))
    })
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if is_phone_number(text) {
            return Err(String::from(NOT_BY_NUMBER));
        }
        let account = text.parse().map(Self::Account).ok();
        let name = || text.parse().map(Self::Name).ok();
        account
            .or_else(name)
            .ok_or_else(|| format!("{} is neither a name nor an account id", printable(text)))
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => account.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_types_a_phone_number_is_told_what_to_use_instead() {
        for number in ["+491713920001", "+49 171 392-0001", "+1 (202) 555.0100"] {
            assert_eq!(number.parse::<Peer>(), Err(NOT_BY_NUMBER.into()), "{number}");
        }
        for other in ["+", "+bob", "Bob!"] {
            let refused = other.parse::<Peer>().unwrap_err();
            assert!(refused.contains("neither a name"), "{refused}");
        }
    }
}
