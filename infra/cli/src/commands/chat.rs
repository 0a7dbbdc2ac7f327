//! `cargo waxwing chat`: a person at a terminal, line by line.

mod input;
mod joining;

use std::{collections::BTreeMap, fmt, io, path::PathBuf, str::FromStr, time::Duration};

use waxwing_client::{
    AccountId, ClientConfig, DeviceChange, DisconnectReason, Endpoints, Event, Fingerprint, PhoneNumber,
    SendError, StoreError,
};

use self::{input::Input, joining::JoiningError};
use crate::{
    address_book::AddressBook,
    commands::{Outcome, local::DEFAULT_PORT},
    console::{Console, printable},
    logging,
    name::Name,
    people::{self, Device, PeopleError},
    service::AUDIENCE,
};

/// Where people's stores and the address book are kept unless told otherwise.
pub(super) const DEFAULT_DATA: &str = ".waxwing/chat";

/// How long the end waits for what is still in the outbox, unless the connection breaks.
const LAST_WAIT: Duration = Duration::from_secs(10);

/// Talk with somebody from a terminal. Start one in each of two shells.
///
/// The name's device is registered on its first use. Its store is kept in .waxwing/chat, so the conversation
/// goes on after a restart. A name that was used on this machine can be written to by that name, everybody
/// else by their account id. Whoever is away gets the messages when they come back.
///
/// Lines are messages, except: /to NAME (whom to write to), /who (who is known here), /verify NAME (the safety number),
/// /trust NAME (a changed key), /help, /quit.
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
    logging::begin();
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
    let device = joining::join(&args, config, console).await?;
    let mut chat = Chat::new(&args, device, console);
    chat.welcome();
    if let Some(peer) = args.to {
        chat.turn_to(peer);
    }
    chat.talk().await?;
    chat.end().await?;
    Ok(Outcome::Kept)
}

/// One person at a terminal.
struct Chat<'console> {
    console: &'console Console,
    book: AddressBook,
    directory: PathBuf,
    name: Name,
    device: Device,
    to: Option<AccountId>,
    /// Names by account, as last read from the book.
    names: BTreeMap<AccountId, Name>,
    link: Link,
    /// Account keys that wait for an answer.
    changed: BTreeMap<AccountId, Fingerprint>,
}

/// How things stand with the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// The first attempt is on its way.
    Opening,
    /// Connected.
    Open,
    /// Lost, or not to be had.
    Broken,
}

impl<'console> Chat<'console> {
    fn new(args: &Args, device: Device, console: &'console Console) -> Self {
        Self {
            console,
            book: AddressBook::in_directory(&args.data),
            directory: args.data.clone(),
            name: args.name.clone(),
            device,
            to: None,
            names: BTreeMap::new(),
            link: Link::Opening,
            changed: BTreeMap::new(),
        }
    }

    fn welcome(&mut self) {
        let account = self.device.address.account;
        if let Err(error) = self.book.enter(&self.name, account) {
            self.note(format_args!("{} is not in the address book: {error}", self.name));
        }
        self.note(format_args!(
            "You are {}, account {account}. /help says what there is.",
            self.name
        ));
    }

    /// Passes lines to the service and events to the terminal, until one of them ends.
    async fn talk(&mut self) -> Result<(), ChatError> {
        let mut events = self.device.client.events().await?;
        let mut lines = input::lines();
        self.device.client.connect();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.show(event),
                    None => break,
                },
                line = lines.recv() => match line.map(|line| line.parse::<Input>()) {
                    Some(Ok(Input::Text(text))) => self.send(&text).await?,
                    Some(Ok(Input::To(peer))) => self.turn_to(peer),
                    Some(Ok(Input::Who)) => self.who(),
                    Some(Ok(Input::Verify(peer))) => self.verify(peer).await,
                    Some(Ok(Input::Trust(peer))) => self.trust(peer).await,
                    Some(Ok(Input::Help)) => self.help(),
                    Some(Ok(Input::Nothing)) => {}
                    Some(Err(error)) => self.note(error),
                    Some(Ok(Input::Quit)) | None => break,
                },
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        events.confirm().await;
        Ok(())
    }

    async fn send(&self, text: &str) -> Result<(), ChatError> {
        let Some(to) = self.to else {
            self.note("Whom to? Say /to NAME first, or start with --to NAME.");
            return Ok(());
        };
        match self.device.client.send_text(to, text).await {
            Err(error @ SendError::Store(_)) => return Err(error.into()),
            Err(error) => self.note(format_args!("Not sent: {error}")),
            Ok(_) if self.link == Link::Broken => self.note("Not connected: it waits in the outbox."),
            Ok(_) => {}
        }
        Ok(())
    }

    /// Leaves the outbox a moment to get empty, and closes.
    async fn end(self) -> Result<(), ChatError> {
        let mut events = self.device.client.observe().await?;
        let emptied = async {
            while self.link != Link::Broken && self.device.client.pending()? > 0 {
                if let None | Some(Event::Disconnected { .. }) = events.next().await {
                    break;
                }
            }
            Ok::<_, StoreError>(())
        };
        if let Ok(emptied) = tokio::time::timeout(LAST_WAIT, emptied).await {
            emptied?;
        }
        let pending = self.device.client.pending()?;
        if pending > 0 {
            self.note(format_args!(
                "Left in the outbox: {pending}. It goes when you are back."
            ));
        }
        self.device.client.close().await?;
        Ok(())
    }

    fn show(&mut self, event: Event) {
        match event {
            Event::Message(message) if message.from == self.device.address => {}
            Event::Message(message) => {
                let from = self.name_of(message.from.account);
                self.console
                    .say(format_args!("{from}: {}", printable(&message.text)));
            }
            Event::Connected => {
                self.link = Link::Open;
                self.note("Connected.");
            }
            Event::Disconnected { reason, .. } => self.show_disconnected(&reason),
            Event::Handshake {
                peer,
                one_time_prekey,
                ..
            } => {
                let peer = self.name_of(peer.account);
                let how = if one_time_prekey { "with" } else { "without" };
                self.note(format_args!(
                    "A session with {peer} was opened, {how} a one-time prekey."
                ));
            }
            Event::Gap { from, missing } => {
                let from = self.name_of(from.account);
                let count = missing.end().saturating_sub(*missing.start()).saturating_add(1);
                self.note(format_args!("{count} messages of {from} are missing here."));
            }
            Event::Failed { reason, .. } => self.note(format_args!("A message was not sent: {reason}.")),
            Event::Undecryptable { envelope, reason } => {
                let from = self.name_of(envelope.from.account);
                self.note(format_args!("A message of {from} could not be read: {reason}."));
            }
            Event::AccountKeyChanged { account, fingerprint } => self.show_key_change(account, fingerprint),
            Event::DevicesChanged { account, changes } => {
                let whose = self.name_of(account);
                self.note(format_args!("{whose}'s devices changed: {}.", told(&changes)));
            }
            Event::UnlistedDevice { device } => {
                let whose = self.name_of(device.account);
                self.note(format_args!(
                    "The service presents a device that {whose} did not sign. Nothing is sent to it."
                ));
            }
            Event::ClonedDevice { device } => {
                let whose = self.name_of(device.account);
                self.note(format_args!(
                    "A device of {whose} runs twice, from a copy. They had better remove it and link it anew."
                ));
            }
            Event::RegistrationAttempted => {
                self.note("Somebody tried to register your number and did not have your PIN.");
            }
            Event::Removed { .. } => self.note("This device is not in your account any more."),
            _ => {}
        }
    }

    fn show_key_change(&mut self, account: AccountId, fingerprint: Fingerprint) {
        let whose = self.name_of(account);
        self.note(format_args!(
            "{whose} has another account key than before. Nothing is sent to them until you say /trust {whose}. \
             Ask them first: /verify {whose} shows the number to compare."
        ));
        self.changed.insert(account, fingerprint);
    }

    fn show_disconnected(&mut self, reason: &DisconnectReason) {
        let was = std::mem::replace(&mut self.link, Link::Broken);
        if matches!(reason, DisconnectReason::Unauthorized) {
            self.note(format_args!(
                "The service does not know this device. If the service started afresh since, remove {} and its \
                 companions, and start again.",
                self.directory.join(format!("{}.db", self.name)).display(),
            ));
        } else if was != Link::Broken {
            self.note(format_args!(
                "Not connected: {reason}. What you write waits in the outbox."
            ));
        }
    }

    /// Shows the number to compare with somebody.
    async fn verify(&mut self, peer: Peer) {
        let Ok(Some(account)) = self.find(&peer) else {
            return self.note(format_args!("Nobody is called {peer} here."));
        };
        match self.device.client.safety_number(account).await {
            Ok(number) => {
                self.note(format_args!(
                    "Your safety number with {peer}, the same on both sides:"
                ));
                self.note(&number);
                self.note(format_args!("To scan: {}", number.code()));
            }
            Err(error) => self.note(format_args!("There is no safety number: {error}")),
        }
    }

    /// Believes a changed account key.
    async fn trust(&mut self, peer: Peer) {
        let Ok(Some(account)) = self.find(&peer) else {
            return self.note(format_args!("Nobody is called {peer} here."));
        };
        let Some(fingerprint) = self.changed.get(&account).copied() else {
            return self.note(format_args!("The key of {peer} did not change."));
        };
        match self.device.client.trust(account, fingerprint).await {
            Ok(()) => {
                self.changed.remove(&account);
                self.note(format_args!("You trust {peer}'s new key."));
            }
            Err(error) => self.note(format_args!("Not trusted: {error}")),
        }
    }

    fn find(&self, peer: &Peer) -> io::Result<Option<AccountId>> {
        match peer {
            Peer::Account(account) => Ok(Some(*account)),
            Peer::Name(name) => self.book.find(name),
        }
    }

    fn turn_to(&mut self, peer: Peer) {
        match self.find(&peer) {
            Ok(Some(account)) if account == self.device.address.account => {
                self.note("That is you. /who says who else is known here.");
            }
            Ok(Some(account)) => {
                self.to = Some(account);
                self.note(format_args!("You write to {peer}."));
            }
            Ok(None) => self.note(format_args!(
                "Nobody is called {peer} on this machine yet. Start `cargo waxwing chat --as {peer}` once, then say /to {peer}."
            )),
            Err(error) => self.note(format_args!("The address book's entry for {peer} cannot be read: {error}")),
        }
    }

    fn who(&mut self) {
        self.read_names();
        for (account, name) in &self.names {
            let note = if *account == self.device.address.account {
                "  (you)"
            } else if Some(*account) == self.to {
                "  (you write to them)"
            } else {
                ""
            };
            self.note(format_args!("{name:<16}{account}{note}"));
        }
    }

    fn help(&self) {
        for line in input::HELP {
            self.note(line);
        }
    }

    /// A name for an account: as in the book, or else its id.
    fn name_of(&mut self, account: AccountId) -> String {
        if !self.names.contains_key(&account) {
            self.read_names();
        }
        self.names
            .get(&account)
            .map_or_else(|| account.to_string(), Name::to_string)
    }

    fn read_names(&mut self) {
        match self.book.everybody() {
            Ok(names) => self.names = names,
            Err(error) => self.note(format_args!("The address book cannot be read: {error}")),
        }
    }

    fn note(&self, note: impl fmt::Display) {
        self.console.say(format_args!("-- {note}"));
    }
}

/// Changes in words.
fn told(changes: &[DeviceChange]) -> String {
    let word = |change: &DeviceChange| match change {
        DeviceChange::Added(device) => format!("device {device} came"),
        DeviceChange::Removed(device) => format!("device {device} is gone"),
        DeviceChange::Replaced(device) => format!("device {device} was set up anew"),
        _ => "something else".to_owned(),
    };
    changes.iter().map(word).collect::<Vec<_>>().join(", ")
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

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
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
