//! `cargo waxwing verify`: compare keys with another person.
//!
//! Both see the same number if each has the other's true account key. Whoever stands between them cannot make it so.

use std::path::PathBuf;

use serde::Serialize;
use waxwing_client::{AccountId, ClientConfig, Comparison, StoreError, VerifyError};

use crate::{
    address_book::AddressBook,
    commands::{
        Outcome,
        chat::{self, Peer},
    },
    console::Console,
    logging,
    name::Name,
    people::{self, PeopleError},
    service::AUDIENCE,
};

/// Show the safety number with somebody, or compare theirs. End the chat of that name first.
///
/// Without --code or --digits both forms are printed, to be read out or scanned. With one of them what the other person
/// shows is compared: exit code 1 if it differs.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who you are on this machine, as in `chat --as`
    #[arg(long = "as", value_name = "NAME")]
    name: Name,
    /// With whom: a name used on this machine, or an account id
    #[arg(long, value_name = "ACCOUNT|NAME")]
    with: Peer,
    /// What the other person's QR code says
    #[arg(long, value_name = "TEXT", conflicts_with = "digits")]
    code: Option<String>,
    /// The 60 digits the other person reads out
    #[arg(long, value_name = "DIGITS")]
    digits: Option<String>,
    /// The WebSocket URL of the service [default: that of a running `cargo waxwing local`]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The HTTP URL of the service [default: the WebSocket URL with http in place of ws]
    #[arg(long, value_name = "URL")]
    http_endpoint: Option<String>,
    /// Where the stores and the address book are kept
    #[arg(long, value_name = "DIR", default_value = chat::DEFAULT_DATA)]
    data: PathBuf,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum VerifyCommandError {
    /// The store does not open.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// Nobody is called that.
    #[error("nobody is called {0} on this machine; say their account id")]
    Nobody(Peer),
    /// There is no number.
    #[error("there is no safety number: {0}")]
    Number(#[from] VerifyError),
    /// What was handed over is not comparable.
    #[error("what the other person shows cannot be compared: {0}")]
    Code(String),
    /// The store failed.
    #[error("the local store failed: {0}")]
    Store(#[from] StoreError),
    /// The address book or the terminal failed.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

/// What is printed with `--json`.
#[derive(Serialize)]
struct Verified {
    account: AccountId,
    digits: String,
    code: String,
    /// `match`, `mismatch`, `other_person` or `other_version`; `null` if nothing was compared.
    comparison: Option<&'static str>,
}

/// Shows or compares.
///
/// # Errors
/// [`VerifyCommandError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, VerifyCommandError> {
    logging::begin();
    let store = people::store(&args.data, &args.name);
    let endpoints = chat::endpoints(args.endpoint.as_deref(), args.http_endpoint.as_deref(), AUDIENCE);
    let account = match &args.with {
        Peer::Account(account) => Some(*account),
        Peer::Name(name) => AddressBook::in_directory(&args.data).find(name)?,
    };
    let account = account.ok_or_else(|| VerifyCommandError::Nobody(args.with.clone()))?;
    let client = people::open(&args.name.to_string(), ClientConfig::new(store, endpoints)).await?;
    let number = client.safety_number(account).await;
    client.close().await?;
    let number = number?;

    let unreadable = |error| VerifyCommandError::Code(format!("{error}"));
    let compared = match (&args.code, &args.digits) {
        (Some(code), _) => Some(number.compare_code(code).map_err(unreadable)?),
        (None, Some(digits)) => Some(number.compare_digits(digits).map_err(unreadable)?),
        (None, None) => None,
    };
    match compared {
        None => {
            console.say(format_args!(
                "The safety number with {}, the same on both sides:\n",
                args.with
            ));
            console.say(format_args!("  {number}\n\nTo scan:\n\n  {}", number.code()));
        }
        Some(comparison) => console.say(in_words(comparison)),
    }
    console.result(&Verified {
        account,
        digits: number.digits().to_owned(),
        code: number.code(),
        comparison: compared.map(in_a_word),
    })?;
    Ok(match compared {
        None | Some(Comparison::Match) => Outcome::Kept,
        Some(_) => Outcome::Broken,
    })
}

fn in_words(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Match => "They match: nobody stands between the two of you.",
        Comparison::Mismatch => {
            "They differ. Somebody may read along: write nothing secret, and find out why."
        }
        Comparison::OtherPerson => "That is the number of other people. Compare with the right person.",
        Comparison::OtherVersion => "One of you has to update the app first.",
    }
}

fn in_a_word(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Match => "match",
        Comparison::Mismatch => "mismatch",
        Comparison::OtherPerson => "other_person",
        Comparison::OtherVersion => "other_version",
    }
}
