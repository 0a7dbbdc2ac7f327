//! What the client tells, and what the app makes of it. Messages and how far they got are read from the store; here is
//! only noted that there is something to read.

use std::collections::BTreeSet;

use waxwing_client::{AccountId, DeviceAddress, DeviceChange, DisconnectReason, Event, ResetCause};

use super::{
    super::history::Ending,
    app::{App, Link, Newcomer},
    talk::Notice,
};
use crate::console::printable;

/// What is said when another process has the place of this one.
const ELSEWHERE: &str = "This device is connected elsewhere, and waits here. End the other chat, then Ctrl-R. If there is none, \
                         its store was copied: begin anew with an empty one, and link it anew.";

/// Takes an event; `at` is its position in the timeline, if it is kept.
pub(super) fn hear(app: &mut App, event: Event, at: Option<u64>) {
    app.list_is_stale |= at.is_some();
    match event {
        Event::Message(message) => touch(app, message.conversation),
        Event::Receipt { from, .. } => touch(app, from),
        Event::ReadElsewhere { conversation } => touch(app, conversation),
        Event::SenderConfirmed { device } => touch(app, device.account),
        // The event does not say where the message is: the store does.
        Event::Accepted { .. } | Event::Failed { .. } => touch_all(app),
        Event::Typing { conversation, from } => {
            if let Some(talk) = app.known_talk(conversation) {
                talk.typing.insert(from);
            }
        }
        Event::TypingStopped { conversation, from } => {
            if let Some(talk) = app.known_talk(conversation) {
                talk.typing.remove(&from);
            }
        }
        Event::Presence { account, present } => {
            if let Some(talk) = app.known_talk(account) {
                talk.present = present;
            }
        }
        Event::Connected => {
            app.link = Link::Open;
            app.list_is_stale = true;
            app.alerts.retain(|alert| alert != ELSEWHERE);
        }
        Event::Renewed => {
            app.link = Link::Open;
            app.say("On a new connection; nothing was lost.");
        }
        Event::Disconnected { reason, retry_in } => disconnected(app, reason, retry_in),
        Event::LinkRequested {
            request,
            name,
            fingerprint,
        } => {
            if !app.newcomers.iter().any(|known| known.request == request) {
                app.newcomers.push(Newcomer {
                    request,
                    name: printable(&name),
                    fingerprint,
                    answered: false,
                });
            }
        }
        Event::Drained { .. } => app.list_is_stale = true,
        other => hear_what_happened(app, other, at),
    }
}

/// What is told between messages, or of the whole account.
fn hear_what_happened(app: &mut App, event: Event, at: Option<u64>) {
    match event {
        Event::Gap { from, missing } => {
            let came = BTreeSet::new();
            tell(app, from.account, at, Notice::Gap { from, missing, came });
        }
        Event::Recovered { from, sequence } => {
            if let Some(talk) = app.known_talk(from.account) {
                talk.recovered(from, sequence);
                talk.stale = true;
            }
        }
        Event::Undecryptable { envelope, reason } => {
            let whose = app.name_of(envelope.from.account);
            let what = format!("A message of {whose} could not be read: {reason}.");
            tell(app, envelope.from.account, at, Notice::Warning(what));
        }
        Event::AccountKeyChanged { account, .. } => {
            let whose = app.name_of(account);
            let what = format!(
                "{whose} has another account key than before. Nothing is sent to them until you answer: Ctrl-T."
            );
            tell(app, account, at, Notice::Warning(what));
        }
        Event::DevicesChanged { account, changes } => {
            let whose = app.name_of(account);
            let what = format!("The devices of {whose} changed: {}.", told(&changes));
            tell(app, account, at, Notice::Note(what));
        }
        Event::UnlistedDevice { device } => {
            let whose = app.name_of(device.account);
            let what =
                format!("The service presents a device that {whose} did not sign. Nothing is sent to it.");
            tell(app, device.account, at, Notice::Warning(what));
        }
        Event::ClonedDevice { device } => {
            let whose = app.name_of(device.account);
            let what = format!(
                "Device {} of {whose} runs twice, from a copy. It had better be ended and linked anew.",
                device.device
            );
            tell(app, device.account, at, Notice::Warning(what));
        }
        Event::SessionReset { peer, cause, .. } => {
            let whose = app.name_of(peer.account);
            let why = match cause {
                ResetCause::Unreadable => "something could not be read",
                _ => "only one side wrote for long",
            };
            let what = format!(
                "The session with device {} of {whose} began anew: {why}.",
                peer.device
            );
            tell(app, peer.account, at, Notice::Note(what));
        }
        Event::RegistrationAttempted => {
            app.alert("Somebody tried to register your number and did not have your PIN.");
        }
        Event::RefusedRepeatedly => {
            app.alert(
                "The service refuses this device again and again. It was probably removed from its account, or the service \
                 began anew without it.",
            );
        }
        Event::Removed { .. } => {
            app.alert("This device is not in its account any more. What it stored stays readable.");
        }
        Event::PushTokenRefused { reason } => app.alert(format!(
            "The service does not take the push token ({reason:?}): no alert wakes this device. Start anew to get another."
        )),
        Event::HistoryOffered { .. } => app.histories_are_stale = true,
        Event::HistoryProgress { .. } => past_came(app),
        Event::HistoryEnded { history, device, end } => {
            let id = history;
            app.endings.push(Ending { id, device, end });
            past_came(app);
        }
        _ => {}
    }
}

/// Messages came that stand before all others.
fn past_came(app: &mut App) {
    app.histories_are_stale = true;
    for talk in &mut app.talks {
        talk.more = true;
    }
    touch_all(app);
}

/// Something of a conversation is to be read anew.
fn touch(app: &mut App, account: AccountId) {
    app.list_is_stale = true;
    if let Some(talk) = app.known_talk(account) {
        talk.stale = true;
    }
}

fn touch_all(app: &mut App) {
    app.list_is_stale = true;
    for talk in &mut app.talks {
        talk.stale = true;
    }
}

/// Tells something in the conversation with an account; of the own account, over all.
fn tell(app: &mut App, account: AccountId, at: Option<u64>, notice: Notice) {
    if account == app.me.account {
        let what = in_words(app, &notice);
        app.alert(what);
    } else if let Some(talk) = app.talk_with(account) {
        talk.tell(at, notice);
    }
}

/// A notice as it is shown.
pub(super) fn in_words(app: &App, notice: &Notice) -> String {
    match notice {
        Notice::Gap { from, missing, came } => gap_in_words(&whose(app, *from), missing, came.len()),
        Notice::Note(what) | Notice::Warning(what) => what.clone(),
    }
}

fn whose(app: &App, device: DeviceAddress) -> String {
    if device.account == app.me.account {
        String::from("your other device")
    } else {
        app.name_of(device.account)
    }
}

/// What is missing of it, and what came.
fn gap_in_words(whose: &str, missing: &std::ops::RangeInclusive<u64>, came: usize) -> String {
    let count = missing.end().saturating_sub(*missing.start()).saturating_add(1);
    let came = u64::try_from(came).unwrap_or(u64::MAX);
    match (count, came) {
        (1, 0) => format!("A message of {whose} is missing, asked again."),
        (1, _) => format!("A message of {whose} was missing, and came late."),
        (_, 0) => format!("{count} messages of {whose} are missing, asked again."),
        (_, came) if came >= count => format!("{count} messages of {whose} were missing, and came late."),
        (_, came) => format!("{count} messages of {whose} were missing; {came} came late."),
    }
}

/// Changes of a list of devices in words.
fn told(changes: &[DeviceChange]) -> String {
    let word = |change: &DeviceChange| match change {
        DeviceChange::Added(device) => format!("device {device} came"),
        DeviceChange::Removed(device) => format!("device {device} is gone"),
        DeviceChange::Replaced(device) => format!("device {device} was set up anew"),
        _ => String::from("something else"),
    };
    changes.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn disconnected(app: &mut App, reason: DisconnectReason, retry_in: Option<std::time::Duration>) {
    let next = retry_in.map(|wait| {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        app.now.saturating_add(wait)
    });
    if reason == DisconnectReason::TakenOver {
        app.alerts.retain(|alert| alert != ELSEWHERE);
        app.alert(ELSEWHERE);
    }
    app.link = Link::Broken { reason, next };
    // Nobody is heard any more.
    for talk in &mut app.talks {
        talk.present = false;
        talk.typing.clear();
    }
}
