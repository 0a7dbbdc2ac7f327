//! What the client tells, line by line.

use waxwing_client::{AccountId, DeviceChange, DisconnectReason, Event, HistoryId};

use super::{Chat, Link};
use crate::{
    commands::chat::history::{self, Ending},
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
            other => self.hear_of_the_account(other),
        }
    }

    /// What concerns this device or the whole account.
    fn hear_of_the_account(&mut self, event: Event) {
        match event {
            Event::RegistrationAttempted => {
                self.note("Somebody tried to register your number and did not have your PIN.");
            }
            Event::RefusedRepeatedly => self.note(format_args!(
                "The service refuses this device again and again. It was probably removed from its account, or the \
                 service began anew without it. What is stored stays readable. To begin anew, leave, remove {} and its \
                 companions, and start again.",
                self.directory.join(format!("{}.db", self.name)).display(),
            )),
            Event::Removed { .. } => self.note(
                "This device is not in your account any more. It sends and receives nothing; what it stored stays.",
            ),
            Event::PushTokenRefused { reason } => self.note(format_args!(
                "The service does not take the push token ({reason:?}): no alert wakes this device. Start anew to get another."
            )),
            Event::Renewed => self.note("On a new connection; nothing was lost."),
            Event::HistoryOffered { device, messages, .. } => self.note(format_args!(
                "Device {device} offers its messages, {messages} of them: /history take, or /history decline."
            )),
            Event::HistoryProgress { history, done, of } => self.show_progress(history, done, of),
            Event::HistoryEnded { history, device, end } => {
                let id = history;
                let histories = history::all(&self.device.client).unwrap_or_default();
                self.note(Ending { id, device, end }.told(&histories));
            }
            _ => {}
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

    fn show_key_change(&mut self, account: AccountId) {
        let whose = self.name_of(account);
        self.note(format_args!(
            "{whose} has another account key than before. Nothing is sent to them until you say /trust {whose}. \
             Ask them first: /verify {whose} shows the number to compare."
        ));
    }

    fn show_disconnected(&mut self, reason: &DisconnectReason) {
        let was = std::mem::replace(&mut self.link, Link::Broken);
        match reason {
            DisconnectReason::TakenOver => self.note(
                "This device is connected elsewhere, and waits here. End the other chat, then say /connect. If there is none, \
                 its store was copied: begin anew with an empty one, and link it anew.",
            ),
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
