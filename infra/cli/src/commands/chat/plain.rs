//! The chat line by line: for pipes, and for terminals that cannot do more.

mod heard;

use std::{
    collections::BTreeMap,
    fmt,
    io::{self, BufRead},
    path::PathBuf,
};

use tokio::sync::mpsc;
use waxwing_client::{AccountId, HistoryId, LinkRequestId, SendError};

use super::{
    Args, ChatError, Peer, advice,
    alerts::Alerts,
    history::{self, Wish},
    input::{COMMANDS, Input},
};
use crate::{address_book::AddressBook, console::Console, name::Name, people::Device};

/// Talks until the person has had enough. Gives the device back, and whether it is connected.
pub(super) async fn talk(
    args: &Args,
    device: Device,
    mut alerts: Alerts,
    console: &Console,
) -> Result<(Device, bool), ChatError> {
    let mut chat = Chat::new(args, device, console);
    chat.welcome();
    if let Some(peer) = args.to.clone() {
        chat.turn_to(peer);
    }
    chat.talk(&mut alerts).await?;
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
    /// How many tenths of a history were said to be taken.
    said: Option<(HistoryId, u64)>,
    /// The new device that asks for a place.
    asking: Option<LinkRequestId>,
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
            said: None,
            asking: None,
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
    async fn talk(&mut self, alerts: &mut Alerts) -> Result<(), ChatError> {
        let mut events = self.device.client.events().await?;
        let mut lines = lines();
        self.device.client.connect();
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => self.hear(event),
                    None => break,
                },
                line = lines.recv() => match line.map(|line| line.parse()) {
                    Some(Ok(Input::Quit)) | None => break,
                    Some(Ok(input)) => self.obey(input).await?,
                    Some(Err(error)) => self.note(error),
                },
                () = alerts.next() => self.note(advice::WOKEN),
                _ = tokio::signal::ctrl_c() => break,
            }
        }
        events.confirm().await;
        Ok(())
    }

    async fn obey(&mut self, input: Input) -> Result<(), ChatError> {
        match input {
            Input::Text(text) => self.send(&text).await?,
            Input::To(peer) => self.turn_to(peer),
            Input::Who => self.who(),
            Input::Verify(peer) => self.verify(peer).await,
            Input::Trust(peer) => self.trust(peer).await,
            Input::Link => self.offer_link().await,
            Input::AnswerLink(accept) => self.answer_link(accept).await,
            Input::Histories => self.histories(),
            Input::History(wish) => self.change_history(wish).await,
            Input::Connect => self.device.client.connect(),
            Input::Network => self.device.client.network_changed(),
            Input::Away => {
                self.device.client.background();
                self.note("You are away: the connection ends in a moment. /back ends that.");
            }
            Input::Back => {
                self.device.client.foreground();
                self.note("You are back.");
            }
            Input::Help => self.help(),
            Input::Quit | Input::Nothing => {}
        }
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

    /// Offers a place to another device.
    async fn offer_link(&self) {
        match self.device.client.offer_link().await {
            Ok(code) => {
                self.note(
                    "Type this there, in `cargo waxwing chat --as NAME --link`; show it to nobody else:",
                );
                self.note(code.as_str());
            }
            Err(error) => self.note(format_args!("No place was offered: {error}")),
        }
    }

    /// Lets the device in that asks for a place, or does not.
    async fn answer_link(&mut self, accept: bool) {
        let Some(request) = self.asking else {
            return self.note("No device asks. /link shows the code that it needs.");
        };
        match self.device.client.answer_link(request, accept).await {
            Ok(()) => {
                self.asking = None;
                self.note(if accept {
                    "It is your device now. /history all gives it your messages."
                } else {
                    "It was declined."
                });
            }
            Err(error) => self.note(format_args!("The new device was not answered: {error}")),
        }
    }

    /// Says how histories stand.
    fn histories(&self) {
        match history::all(&self.device.client) {
            Ok(histories) if histories.is_empty() => {
                self.note(
                    "Your devices gave each other nothing. /history all gives another device your messages.",
                );
            }
            Ok(histories) => histories.iter().for_each(|history| self.note(history.told())),
            Err(error) => self.note(error),
        }
    }

    async fn change_history(&self, wish: Wish) {
        match history::carry_out(&self.device.client, wish).await {
            Ok(said) | Err(said) => self.note(said),
        }
    }

    fn help(&self) {
        for (command, what) in COMMANDS {
            self.note(format_args!("{command:<24}{what}"));
        }
        self.note("Everything else is sent as it is, also while the other is away.");
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

/// The lines of standard input, as they come. Ends with the input.
fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // A thread of its own: a read from a terminal cannot be cancelled, and must not hold up the end.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}
