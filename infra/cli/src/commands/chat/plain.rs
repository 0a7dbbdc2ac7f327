//! The chat line by line: for pipes, and for terminals that cannot do more.

mod input;

use std::{collections::BTreeMap, fmt, io, path::PathBuf};

use waxwing_client::{AccountId, DeviceChange, DisconnectReason, Event, SendError};

use self::input::Input;
use super::{Args, ChatError, Peer};
use crate::{
    address_book::AddressBook,
    console::{Console, printable},
    name::Name,
    people::Device,
};

/// Talks until the person has had enough. Gives the device back, and whether it is connected.
pub(super) async fn talk(
    args: &Args,
    device: Device,
    console: &Console,
) -> Result<(Device, bool), ChatError> {
    let mut chat = Chat::new(args, device, console);
    chat.welcome();
    if let Some(peer) = args.to.clone() {
        chat.turn_to(peer);
    }
    chat.talk().await?;
    Ok((chat.device, chat.link != Link::Broken))
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
            Event::AccountKeyChanged { account, .. } => self.show_key_change(account),
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

    fn show_key_change(&mut self, account: AccountId) {
        let whose = self.name_of(account);
        self.note(format_args!(
            "{whose} has another account key than before. Nothing is sent to them until you say /trust {whose}. \
             Ask them first: /verify {whose} shows the number to compare."
        ));
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
        let new_key = match self.device.client.contact(account) {
            Ok(contact) => contact.new_key,
            Err(error) => return self.note(format_args!("Not trusted: {error}")),
        };
        let Some(fingerprint) = new_key else {
            return self.note(format_args!("The key of {peer} did not change."));
        };
        match self.device.client.trust(account, fingerprint).await {
            Ok(()) => self.note(format_args!("You trust {peer}'s new key.")),
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
