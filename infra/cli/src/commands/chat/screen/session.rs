//! The app and what it talks to: the client, its events, the address book. What the app asks for is done here.

use std::collections::VecDeque;

use jiff::tz::TimeZone;
use ratatui::layout::Size;
use tokio::sync::mpsc;
use waxwing_client::{Client, Event, Events, StoreError};

use super::{
    super::{Peer, alerts::Alerts},
    app::{App, Happening, Link},
    tasks::{Answer, Task, Then},
};
use crate::{address_book::AddressBook, name::Name, people::Device};

/// Rounds of reading before a screen is drawn. What is read may show that there is more to read: a list that names a
/// conversation, its messages, and that they are read now.
const ROUNDS: usize = 4;

/// A running app.
pub(super) struct Session {
    app: App,
    client: Client,
    book: AddressBook,
    events: Events,
    answer: mpsc::UnboundedSender<Answer>,
    answers: mpsc::UnboundedReceiver<Answer>,
    alerts: Alerts,
}

impl Session {
    /// Begins, not connected yet.
    pub(super) async fn begin(
        device: &Device,
        name: Name,
        book: AddressBook,
        zone: TimeZone,
        size: Size,
        now: u64,
    ) -> Result<Self, StoreError> {
        let (answer, answers) = mpsc::unbounded_channel();
        let mut session = Self {
            app: App::new(device.address, name, zone, size, now),
            client: device.client.clone(),
            book,
            events: device.client.events().await?,
            answer,
            answers,
            alerts: Alerts::none(),
        };
        session.read_names();
        session.carry_out(vec![Task::Settings]).await;
        Ok(session)
    }

    /// Says when an alert comes.
    pub(super) fn hear(&mut self, alerts: Alerts) {
        self.alerts = alerts;
    }

    /// Shows the conversation with somebody.
    pub(super) async fn turn_to(&mut self, peer: Peer) {
        let then = Then::Write;
        self.carry_out(vec![Task::Find { peer, then }]).await;
    }

    /// The app as it is now.
    pub(super) fn app(&self) -> &App {
        &self.app
    }

    /// Whether it is connected, or about to be.
    pub(super) fn is_connected(&self) -> bool {
        !matches!(self.app.link, Link::Broken { .. })
    }

    /// The next thing that happens by itself. `None` once the client is closed. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Option<Happening> {
        tokio::select! {
            answer = self.answers.recv() => answer.map(Happening::Answered),
            () = self.alerts.next() => Some(Happening::Woken),
            event = self.events.next() => {
                let event = event?;
                let at = is_kept(&event).then(|| self.events.position());
                Some(Happening::Told { event: Box::new(event), at })
            }
        }
    }

    /// Takes what happened, and does what follows from it.
    pub(super) async fn take(&mut self, happening: Happening) {
        let names_a_stranger = match &happening {
            Happening::Told { event, .. } => {
                matches!(&**event, Event::Message(message) if !self.app.names.contains_key(&message.conversation))
            }
            _ => false,
        };
        if names_a_stranger {
            self.read_names();
        }
        let tasks = self.app.update(happening);
        self.carry_out(tasks).await;
    }

    /// Reads what the screen is to show.
    pub(super) async fn catch_up(&mut self) {
        for _ in 0..ROUNDS {
            let tasks = self.app.wanted();
            if tasks.is_empty() {
                break;
            }
            self.carry_out(tasks).await;
        }
    }

    /// Says that all that was told was handled.
    pub(super) async fn end(mut self) {
        self.events.confirm().await;
    }

    async fn carry_out(&mut self, tasks: Vec<Task>) {
        let mut tasks = VecDeque::from(tasks);
        while let Some(task) = tasks.pop_front() {
            if task.takes_time() {
                let (client, book, answer) = (self.client.clone(), self.book.clone(), self.answer.clone());
                tokio::spawn(async move {
                    // Nobody waits for it when the app has ended.
                    let _ = answer.send(task.carry_out(&client, &book).await);
                });
                continue;
            }
            let answer = task.carry_out(&self.client, &self.book).await;
            tasks.extend(self.app.update(Happening::Answered(answer)));
        }
    }

    fn read_names(&mut self) {
        match self.book.everybody() {
            Ok(names) => {
                self.app.update(Happening::Names(names));
            }
            Err(error) => self.app.say(format!("The address book cannot be read: {error}")),
        }
    }
}

/// Whether an event has a place among the messages, as [`waxwing_client::events`] lists them.
fn is_kept(event: &Event) -> bool {
    matches!(
        event,
        Event::Message(_)
            | Event::Gap { .. }
            | Event::Failed { .. }
            | Event::Undecryptable { .. }
            | Event::DevicesChanged { .. }
            | Event::AccountKeyChanged { .. }
            | Event::UnlistedDevice { .. }
            | Event::ClonedDevice { .. }
            | Event::RegistrationAttempted
            | Event::RefusedRepeatedly
            | Event::Removed { .. }
            | Event::HistoryOffered { .. }
            | Event::HistoryEnded { .. }
    )
}

#[cfg(test)]
mod tests {
    use waxwing_client::{DeviceId, HistoryEnd, HistoryId};

    use super::*;

    #[test]
    fn what_is_told_of_a_history_is_kept_and_how_far_it_came_passes() {
        let history: HistoryId = "00112233445566778899aabbccddeeff".parse().unwrap();
        let (device, end) = (DeviceId::MIN, HistoryEnd::Complete);
        assert!(is_kept(&Event::HistoryOffered {
            history,
            device,
            messages: 1
        }));
        assert!(is_kept(&Event::HistoryEnded { history, device, end }));
        assert!(!is_kept(&Event::HistoryProgress {
            history,
            done: 1,
            of: 1
        }));
        assert!(!is_kept(&Event::Renewed));
    }
}
