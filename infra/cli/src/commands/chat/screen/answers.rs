//! What was asked for is done.

use std::cmp::Reverse;

use waxwing_client::{AccountId, Contact, Conversation, DeviceId, LinkRequestId, StoredMessage};

use super::{
    super::{Peer, input},
    app::{App, Pane},
    dialogs::{Devices, Dialog},
    keys, layout,
    tasks::{Answer, Task, Then},
};

/// Takes an answer.
pub(super) fn take(app: &mut App, answer: Answer) -> Vec<Task> {
    match answer {
        Answer::Done => {}
        Answer::Failed(reason) => app.say(reason),
        Answer::Told(what) => app.say(what),
        Answer::Conversations {
            conversations,
            pending,
        } => {
            app.pending = pending;
            take_conversations(app, conversations);
        }
        Answer::Page {
            account,
            before,
            page,
        } => take_page(app, account, before, page),
        Answer::Contact { account, contact } => {
            app.list_is_stale = true;
            if let Some(talk) = app.talk_with(account) {
                talk.contact = contact;
                talk.stale = true;
            }
        }
        Answer::Queued(account) => {
            app.list_is_stale = true;
            if let Some(talk) = app.talk_with(account) {
                talk.stale = true;
                talk.scroll = 0;
            }
        }
        Answer::NotQueued {
            account,
            text,
            reason,
        } => {
            if let Some(talk) = app.talk_with(account) {
                talk.draft.put_back(input::as_typed(text));
            }
            app.say(format!("Not sent: {reason}"));
        }
        Answer::Found { peer, then, found } => return take_found(app, &peer, then, found),
        Answer::Histories(histories) => {
            app.histories = histories;
            for ending in std::mem::take(&mut app.endings) {
                app.alert(ending.told(&app.histories));
            }
        }
        Answer::HistoryChanged(Ok(said) | Err(said)) => {
            app.histories_are_stale = true;
            app.say(said);
        }
        Answer::LinkAnswered { request, result } => return link_answered(app, request, result),
        other => take_in_dialog(app, other),
    }
    Vec::new()
}

fn take_conversations(app: &mut App, conversations: Vec<(Conversation, Contact)>) {
    for (conversation, contact) in conversations {
        if let Some(talk) = app.talk_with(conversation.account) {
            talk.take(conversation, contact);
        }
    }
    let newest = |position: Option<u64>| Reverse(position.unwrap_or(u64::MAX));
    app.talks
        .sort_by_key(|talk| newest(talk.newest.as_ref().map(|message| message.position)));
    if app.chosen.is_none() {
        app.chosen = app.talks.first().map(|talk| talk.account);
    }
}

fn take_page(app: &mut App, account: AccountId, before: Option<u64>, page: Vec<StoredMessage>) {
    // Who reads further up stays there, whatever comes below.
    let scrolled = app.talk().is_some_and(|talk| talk.scroll > 0);
    let lines_before =
        (scrolled && app.chosen == Some(account) && before.is_none()).then(|| layout::height(app));
    if let Some(talk) = app.talk_with(account) {
        talk.take_page(before, page);
    }
    if let Some(lines_before) = lines_before {
        let came = layout::height(app).saturating_sub(lines_before);
        if let Some(talk) = app.talk_mut() {
            talk.scroll = talk.scroll.saturating_add(came);
        }
    }
}

/// A name was looked up.
fn take_found(app: &mut App, peer: &Peer, then: Then, found: Option<(AccountId, Contact)>) -> Vec<Task> {
    let refused = match found {
        None => format!("Nobody is called {peer} on this machine; their account id will do."),
        Some((account, _)) if account == app.me.account => String::from("That is you."),
        Some((account, contact)) => {
            if let Peer::Name(name) = peer {
                app.names.entry(account).or_insert_with(|| name.clone());
            }
            if matches!(app.dialog, Some(Dialog::New { .. })) {
                app.dialog = None;
            }
            app.pane = Pane::Talk;
            let mut tasks = app.choose(account);
            app.list_is_stale = true;
            if let Some(talk) = app.talk_with(account) {
                talk.contact = contact;
            }
            match then {
                Then::Write => {}
                Then::Verify => tasks.extend(keys::verify(app, account)),
                Then::Trust => keys::trust(app),
            }
            return tasks;
        }
    };
    match &mut app.dialog {
        Some(Dialog::New { refused: place, .. }) => *place = Some(refused),
        _ => app.say(refused),
    }
    Vec::new()
}

fn take_in_dialog(app: &mut App, answer: Answer) {
    match (answer, &mut app.dialog) {
        (Answer::Settings { receipts, presence }, _) => {
            app.receipts = receipts;
            app.presence = presence;
        }
        (Answer::Number { account, number }, Some(Dialog::Verify(verify))) if verify.account == account => {
            verify.number = Some(number);
        }
        (Answer::Devices(Ok(devices)), Some(Dialog::Devices(shown))) => {
            shown.devices = devices;
            shown.to_end = None;
            shown.refused = None;
        }
        (Answer::Devices(Err(reason)) | Answer::Offered(Err(reason)), Some(Dialog::Devices(shown))) => {
            shown.refused = Some(reason);
        }
        (Answer::Offered(Ok(code)), Some(Dialog::Devices(shown))) => {
            shown.refused = None;
            shown.code = Some(code);
        }
        _ => {}
    }
}

/// A new device has its answer. One that is in now may be given what is here.
fn link_answered(
    app: &mut App,
    request: LinkRequestId,
    result: Result<Option<DeviceId>, String>,
) -> Vec<Task> {
    match result {
        Ok(came) => {
            app.newcomers.retain(|newcomer| newcomer.request != request);
            app.say("The new device has its answer.");
            let has_messages = app.talks.iter().any(|talk| talk.newest.is_some());
            let Some(to_give) = came.filter(|_| has_messages) else {
                return Vec::new();
            };
            match &mut app.dialog {
                Some(Dialog::Devices(devices)) => devices.to_give = Some(to_give),
                // The person is at something else; the devices' screen has the question, too.
                Some(_) => return Vec::new(),
                none => {
                    *none = Some(Dialog::Devices(Devices {
                        to_give: Some(to_give),
                        ..Devices::default()
                    }));
                }
            }
            vec![Task::Devices]
        }
        Err(reason) => {
            let waiting = app.newcomers.iter_mut().find(|one| one.request == request);
            if let Some(newcomer) = waiting {
                newcomer.answered = false;
            }
            app.say(format!("The new device was not answered: {reason}"));
            Vec::new()
        }
    }
}
