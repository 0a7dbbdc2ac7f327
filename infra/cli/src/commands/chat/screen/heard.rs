//! What the client tells, and what the app makes of it. Messages and how far they got are read from the store; here is
//! only noted that there is something to read.

use std::collections::BTreeSet;

use waxwing_client::{AccountId, DeviceAddress, DisconnectReason, Event};

use super::{
    super::{
        advice::{self, By},
        history::Ending,
    },
    app::{App, Link, Newcomer},
    talk::Notice,
};
use crate::console::printable;

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
            let elsewhere = advice::elsewhere(By::Keys);
            app.alerts.retain(|alert| *alert != elsewhere);
        }
        Event::Renewed => {
            app.link = Link::Open;
            app.say(advice::RENEWED);
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
        Event::HistoryOffered { .. } => app.histories_are_stale = true,
        Event::HistoryProgress { .. } => past_came(app),
        Event::HistoryEnded { history, device, end } => {
            let id = history;
            app.endings.push(Ending { id, device, end });
            past_came(app);
            // Some of it may stand between messages that were read further back.
            for talk in &mut app.talks {
                talk.messages.clear();
            }
        }
        other => advise(app, &other, at),
    }
}

/// What both chats say.
fn advise(app: &mut App, event: &Event, at: Option<u64>) {
    if let Some((account, said)) = advice::of_somebody(event, By::Keys, |account| app.name_of(account)) {
        let notice = if said.warns { Notice::Warning } else { Notice::Note };
        tell(app, account, at, notice(said.what));
    }
    if let Some(what) = advice::of_the_account(event) {
        app.alert(what);
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

fn disconnected(app: &mut App, reason: DisconnectReason, retry_in: Option<std::time::Duration>) {
    let next = retry_in.map(|wait| {
        let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        app.now.saturating_add(wait)
    });
    if reason == DisconnectReason::TakenOver {
        let elsewhere = advice::elsewhere(By::Keys);
        app.alerts.retain(|alert| *alert != elsewhere);
        app.alert(elsewhere);
    }
    app.link = Link::Broken { reason, next };
    // Nobody is heard any more.
    for talk in &mut app.talks {
        talk.present = false;
        talk.typing.clear();
    }
}
