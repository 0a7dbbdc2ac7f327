//! What the client tells, line by line.

use waxwing_client::{DisconnectReason, Event, HistoryId};

use super::{Chat, Link};
use crate::{
    commands::chat::{
        advice::{self, By},
        history::{self, Ending},
    },
    console::printable,
};

/// A history is told of each time another such part of it came.
const PARTS: u64 = 10;

impl Chat<'_> {
    /// Shows an event.
    pub(super) fn hear(&mut self, event: Event) {
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
            other => self.hear_of_the_account(other),
        }
    }

    /// What concerns this device or the whole account.
    fn hear_of_the_account(&mut self, event: Event) {
        match event {
            Event::Renewed => self.note(advice::RENEWED),
            Event::LinkRequested {
                request,
                name,
                fingerprint,
            } => {
                self.asking = Some(request);
                self.note(advice::asks_for_a_place(&name, fingerprint));
            }
            Event::HistoryOffered { device, messages, .. } => self.note(format_args!(
                "Device {device} offers its messages, {messages} of them: /history take, or /history decline."
            )),
            Event::HistoryProgress { history, done, of } => self.show_progress(history, done, of),
            Event::HistoryEnded { history, device, end } => {
                let id = history;
                let histories = history::all(&self.device.client).unwrap_or_default();
                self.note(Ending { id, device, end }.told(&histories));
            }
            other => self.advise(&other),
        }
    }

    /// What both chats say.
    fn advise(&mut self, event: &Event) {
        if let Some((_, said)) = advice::of_somebody(event, By::Commands, |account| self.name_of(account)) {
            self.note(said.what);
        }
        if let Some(what) = advice::of_the_account(event) {
            self.note(what);
        }
        if matches!(event, Event::RefusedRepeatedly) {
            self.note(format_args!(
                "To begin anew, leave, remove {} and its companions, and start again.",
                self.directory.join(format!("{}.db", self.name)).display(),
            ));
        }
    }

    /// A large history comes in many steps; only some are told.
    fn show_progress(&mut self, id: HistoryId, done: u64, of: u64) {
        let parts = done.saturating_mul(PARTS) / of.max(1);
        if self.said == Some((id, parts)) {
            return;
        }
        self.said = Some((id, parts));
        let histories = history::all(&self.device.client).unwrap_or_default();
        if let Some(history) = histories
            .iter()
            .find(|history| history.id == id && history.is_open())
        {
            self.note(history.told());
        }
    }

    fn show_disconnected(&mut self, reason: &DisconnectReason) {
        let was = std::mem::replace(&mut self.link, Link::Broken);
        match reason {
            DisconnectReason::TakenOver => self.note(advice::elsewhere(By::Commands)),
            DisconnectReason::Background => {
                self.note("Away, and not connected until /back. What you write waits in the outbox.");
            }
            // It goes on trying; what it means if it stays so is told by another event.
            _ if was != Link::Broken => self.note(format_args!(
                "Not connected: {reason}. What you write waits in the outbox."
            )),
            _ => {}
        }
    }
}
