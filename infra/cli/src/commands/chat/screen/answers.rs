//! What was asked for is done.

use std::cmp::Reverse;

use waxwing_client::{AccountId, Contact, Conversation, StoredMessage};

use super::{
    super::Peer,
    app::{App, Pane},
    dialogs::Dialog,
    layout,
    tasks::{Answer, Task},
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
                talk.draft.put_back(text);
            }
            app.say(format!("Not sent: {reason}"));
        }
        Answer::Found { peer, account } => return found(app, &peer, account),
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
fn found(app: &mut App, peer: &Peer, account: Option<AccountId>) -> Vec<Task> {
    let refused = match account {
        None => format!("Nobody is called {peer} on this machine; their account id will do."),
        Some(account) if account == app.me.account => String::from("That is you."),
        Some(account) => {
            if matches!(app.dialog, Some(Dialog::New { .. })) {
                app.dialog = None;
            }
            app.pane = Pane::Talk;
            let tasks = app.choose(account);
            app.list_is_stale = true;
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
        (Answer::LinkAnswered { request, result }, _) => link_answered(app, request, result),
        _ => {}
    }
}

fn link_answered(app: &mut App, request: waxwing_client::LinkRequestId, result: Result<(), String>) {
    match result {
        Ok(()) => {
            app.newcomers.retain(|newcomer| newcomer.request != request);
            app.say("The new device has its answer.");
        }
        Err(reason) => {
            let waiting = app.newcomers.iter_mut().find(|one| one.request == request);
            if let Some(newcomer) = waiting {
                newcomer.answered = false;
            }
            app.say(format!("The new device was not answered: {reason}"));
        }
    }
}
