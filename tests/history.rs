//! A device that was linked is given what another one has. M13.

use std::path::Path;

use scenarios::{Phone, Service, people::reopened, until, within_patience};
use waxwing_client::{
    ClientConfig, Event, Events, HistoryChoice, HistoryEnd, HistoryId, HistoryStage, MessageId, MessageState,
    ReceiptSettings, StoreLocation, UndecryptableReason,
};

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// So many messages between two people, every third from the second one.
async fn talk(alice: &Phone, bob: &Phone, count: usize) {
    let before = alice.shown(bob).len();
    for number in 0..count {
        let text = format!("message {number}");
        if number % 3 == 0 {
            bob.say(alice, &text).await;
        } else {
            alice.say(bob, &text).await;
        }
    }
    alice.until_accepted().await;
    alice.until_shown(bob, before + count).await;
    bob.until_shown(alice, before + count).await;
}

/// What a person sees of a conversation: id, text, whose, how far it got.
fn seen(phone: &Phone, with: &Phone) -> Vec<(MessageId, String, bool, MessageState)> {
    let shown = phone.shown(with).into_iter();
    shown
        .map(|message| (message.id, message.text, message.own, message.state))
        .collect()
}

/// Waits for what is looked for among the events.
async fn told<T>(what: &str, events: &mut Events, is_it: impl Fn(Event) -> Option<T>) -> T {
    within_patience(what, async {
        loop {
            if let Some(found) = events.next().await.and_then(&is_it) {
                return found;
            }
        }
    })
    .await
}

/// Waits for the offer of a history.
async fn offered(events: &mut Events) -> HistoryId {
    let history = |event| match event {
        Event::HistoryOffered { history, .. } => Some(history),
        _ => None,
    };
    told("an offer", events, history).await
}

/// Waits for the end of a history.
async fn ended(events: &mut Events) -> HistoryEnd {
    let end = |event| match event {
        Event::HistoryEnded { end, .. } => Some(end),
        _ => None,
    };
    told("the end of the history", events, end).await
}

/// Waits until more of a history was taken. Returns how much, of how many.
async fn progressed(events: &mut Events) -> (u64, u64) {
    let progress = |event| match event {
        Event::HistoryProgress { done, of, .. } => Some((done, of)),
        Event::HistoryEnded { end, .. } => panic!("over before there was more: {end:?}"),
        _ => None,
    };
    told("progress", events, progress).await
}

/// Gives a history from one device to another, to its end.
async fn give(giver: &Phone, taker: &Phone, choice: HistoryChoice) {
    let mut events = taker.client.observe().await.unwrap();
    let device = taker.address().device;
    let history = giver.client.offer_history(device, choice).await.unwrap();
    assert_eq!(offered(&mut events).await, history);
    taker.client.take_history(history).await.unwrap();
    assert_eq!(ended(&mut events).await, HistoryEnd::Complete);
}

/// For a client whose store is in a file that a story can look into.
fn in_file(service: &Service, file: &Path) -> ClientConfig {
    let location = StoreLocation::Unencrypted(file.to_owned());
    Service::config_at(service.endpoints(), location)
}

/// Changes something in a closed store.
fn change(file: &Path, statement: &str) {
    let store = rusqlite::Connection::open(file).unwrap();
    store.execute_batch(statement).unwrap();
}

/// The phone of a new person, connected, with its store in this file.
async fn registered_in(service: &Service, file: &Path) -> Phone {
    let phone = Phone::registered_as(reopened(&in_file(service, file)).await, service).await;
    phone.client.connect();
    phone
}

/// A phone with so many messages that it sent long ago.
async fn with_a_past(service: &Service, file: &Path, bob: &Phone, count: usize) -> Phone {
    let mut phone = registered_in(service, file).await;
    talk(&phone, bob, 2).await;
    phone.client.clone().close().await.unwrap();
    // As many copies of the one it sent, each under an id and at a place of its own.
    let copies = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}),
                        first AS (SELECT min(position) AS place FROM messages)
         INSERT INTO messages (message, account, device, conversation, sequence, sent_at, body, own, late, state, position)
         SELECT unhex(substr(hex(message), 1, 24) || printf('%08x', n)), account, device, conversation, 0, sent_at,
                'long ago ' || n, 1, 0, 3, place - n
         FROM messages, numbers, first WHERE own = 1"
    );
    change(file, &copies);
    phone.client = reopened(&in_file(service, file)).await;
    phone.client.connect();
    assert_eq!(phone.shown(bob).len(), count + 2);
    phone
}

#[tokio::test]
async fn all_of_it_comes_with_its_states_and_unread_counts_and_nothing_is_there_twice() {
    let service = Service::start().await;
    let phone = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    talk(&phone, &bob, 100).await;
    let places = phone.shown(&bob);
    phone
        .client
        .mark_read(bob.account(), places[49].position)
        .await
        .unwrap();
    bob.client
        .mark_read(phone.account(), bob.shown(&phone)[49].position)
        .await
        .unwrap();
    let read = bob.shown(&phone)[..50]
        .iter()
        .filter(|message| !message.own)
        .count();
    until("all was delivered and half of it read", async || {
        let own = phone.shown(&bob).into_iter().filter(|message| message.own);
        let states: Vec<_> = own.map(|message| message.state).collect();
        let count = |wanted| states.iter().filter(|state| **state == wanted).count();
        count(MessageState::Read) == read && count(MessageState::Delivered) == states.len() - read
    })
    .await;
    let laptop = phone.link_another(&service).await;
    // Live, before the history and while it comes.
    bob.say(&phone, "live").await;
    laptop.until_shown(&bob, 1).await;
    phone.until_shown(&bob, 101).await;
    give(&phone, &laptop, HistoryChoice::All).await;
    assert_eq!(seen(&laptop, &bob), seen(&phone, &bob));
    let unread = |phone: &Phone| phone.client.conversations().unwrap()[0].unread;
    assert!(unread(&phone) > 5);
    assert_eq!(unread(&laptop), unread(&phone));
    // And again: nothing changes.
    give(&phone, &laptop, HistoryChoice::Days(3)).await;
    assert_eq!(seen(&laptop, &bob), seen(&phone, &bob));
    let page = laptop.client.page(bob.account(), None, 3).unwrap();
    assert_eq!(page.last().unwrap().text, "live");
    // It goes on from here like any other device.
    laptop.say(&bob, "from the laptop").await;
    phone.until_shown(&bob, 102).await;
    assert_eq!(laptop.texts(&bob), phone.texts(&bob));
}

#[tokio::test]
async fn of_the_last_days_only_those_come() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("phone.db");
    let mut phone = registered_in(&service, &file).await;
    let bob = Phone::of_a_new_person(&service).await;
    talk(&phone, &bob, 12).await;
    phone.client.clone().close().await.unwrap();
    change(
        &file,
        &format!("UPDATE messages SET sent_at = sent_at - {}", 10 * DAY_MILLIS),
    );
    phone.client = reopened(&in_file(&service, &file)).await;
    phone.client.connect();
    phone.say(&bob, "of today").await;
    phone.until_accepted().await;
    let laptop = phone.link_another(&service).await;
    give(&phone, &laptop, HistoryChoice::Days(7)).await;
    assert_eq!(laptop.texts(&bob), ["of today"]);
    give(&phone, &laptop, HistoryChoice::Days(11)).await;
    assert_eq!(laptop.texts(&bob), phone.texts(&bob));
}

#[tokio::test]
async fn a_new_device_that_is_given_nothing_still_knows_settings_and_contacts_and_hears_of_changes() {
    let service = Service::start().await;
    let phone = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let carol = Phone::of_a_new_person(&service).await;
    talk(&phone, &bob, 3).await;
    phone.client.let_in(carol.account()).await.unwrap();
    let no_read = ReceiptSettings {
        delivered: true,
        read: false,
    };
    phone.client.set_receipts(no_read).await.unwrap();
    let laptop = phone.link_another(&service).await;
    until("the settings", async || {
        laptop.client.receipts().unwrap() == no_read
    })
    .await;
    assert!(laptop.client.conversations().unwrap().is_empty());
    // The laptop alone is there, and knows whom to tell that a message was delivered.
    phone.client.disconnect().await;
    for friend in [&bob, &carol] {
        friend.say(&phone, "are you there?").await;
        until("a receipt", async || {
            let last = friend.shown(&phone).pop().unwrap();
            last.state == MessageState::Delivered
        })
        .await;
    }
    // What changes on the one changes on the other.
    let none = ReceiptSettings {
        delivered: false,
        read: false,
    };
    laptop.client.set_receipts(none).await.unwrap();
    phone.client.connect();
    until("the change", async || phone.client.receipts().unwrap() == none).await;
}

#[tokio::test]
async fn the_new_device_crashes_in_the_middle_and_goes_on_where_it_was() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("laptop.db");
    let bob = Phone::of_a_new_person(&service).await;
    let phone = with_a_past(&service, &folder.path().join("phone.db"), &bob, 3_000).await;
    let mut laptop = phone
        .link_another_as(reopened(&in_file(&service, &file)).await)
        .await;
    let mut events = laptop.client.observe().await.unwrap();
    let device = laptop.address().device;
    let history = phone
        .client
        .offer_history(device, HistoryChoice::All)
        .await
        .unwrap();
    assert_eq!(offered(&mut events).await, history);
    laptop.client.take_history(history).await.unwrap();
    let mut done = Vec::new();
    for _crash in 0..3 {
        let (now, of) = progressed(&mut events).await;
        assert_eq!(of, 3_002);
        done.push(now);
        drop((laptop.client, events));
        laptop.client = reopened(&in_file(&service, &file)).await;
        events = laptop.client.observe().await.unwrap();
        let [state] = laptop.client.histories().unwrap()[..] else {
            panic!()
        };
        assert_eq!((state.stage, state.giving), (HistoryStage::UnderWay, false));
        assert!(state.done >= *done.last().unwrap());
        laptop.client.connect();
    }
    assert_eq!(ended(&mut events).await, HistoryEnd::Complete);
    assert!(done.is_sorted() && done[0] < 3_002, "{done:?}");
    assert_eq!(laptop.texts(&bob), phone.texts(&bob));
    until("the phone knows", async || {
        phone.client.histories().unwrap()[0].stage == HistoryStage::Complete
    })
    .await;
}

#[tokio::test]
async fn the_old_device_goes_away_in_between_and_what_is_live_does_not_wait() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bob = Phone::of_a_new_person(&service).await;
    let phone = with_a_past(&service, &folder.path().join("phone.db"), &bob, 3_000).await;
    let laptop = phone.link_another(&service).await;
    let mut events = laptop.client.observe().await.unwrap();
    let device = laptop.address().device;
    let history = phone
        .client
        .offer_history(device, HistoryChoice::All)
        .await
        .unwrap();
    assert_eq!(
        phone
            .client
            .offer_history(device, HistoryChoice::All)
            .await
            .unwrap(),
        history
    );
    assert_eq!(offered(&mut events).await, history);
    laptop.client.take_history(history).await.unwrap();
    progressed(&mut events).await;
    phone.client.disconnect().await;
    let before = laptop.client.histories().unwrap()[0];
    assert_eq!(before.stage, HistoryStage::UnderWay);
    bob.say(&phone, "live").await;
    until("the live message", async || {
        laptop.texts(&bob).last().is_some_and(|text| text == "live")
    })
    .await;
    assert_eq!(
        laptop.client.histories().unwrap()[0].stage,
        HistoryStage::UnderWay
    );
    phone.client.connect();
    assert_eq!(ended(&mut events).await, HistoryEnd::Complete);
    phone.until_shown(&bob, 3_003).await;
    assert_eq!(laptop.texts(&bob), phone.texts(&bob));
}

#[tokio::test]
async fn a_device_that_is_revoked_while_it_takes_is_told_of_and_one_can_decline() {
    let service = Service::start().await;
    let phone = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    talk(&phone, &bob, 10).await;
    let laptop = phone.link_another(&service).await;
    let device = laptop.address().device;
    let (mut on_laptop, mut on_phone) = (
        laptop.client.observe().await.unwrap(),
        phone.client.observe().await.unwrap(),
    );
    phone
        .client
        .offer_history(device, HistoryChoice::All)
        .await
        .unwrap();
    let history = offered(&mut on_laptop).await;
    laptop.client.end_history(history).await.unwrap();
    assert_eq!(ended(&mut on_phone).await, HistoryEnd::Stopped);
    assert!(laptop.client.take_history(history).await.is_err());
    assert!(laptop.shown(&bob).is_empty());
    phone
        .client
        .offer_history(device, HistoryChoice::All)
        .await
        .unwrap();
    offered(&mut on_laptop).await;
    phone.client.revoke(device).await.unwrap();
    assert_eq!(ended(&mut on_phone).await, HistoryEnd::DeviceGone);
}

#[tokio::test]
async fn what_is_missing_in_the_middle_comes_to_its_place_with_a_second_history_also_in_pages() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("laptop.db");
    let phone = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    talk(&phone, &bob, 30).await;
    let mut laptop = phone
        .link_another_as(reopened(&in_file(&service, &file)).await)
        .await;
    give(&phone, &laptop, HistoryChoice::All).await;
    for number in 0..6 {
        bob.say(&phone, &format!("live {number}")).await;
        laptop.until_shown(&bob, 31 + number).await;
        phone.until_shown(&bob, 31 + number).await;
    }
    // Old ones, live ones and the newest are not there any more.
    laptop.client.clone().close().await.unwrap();
    change(
        &file,
        "CREATE TEMP TABLE lost AS SELECT id FROM (SELECT id, row_number() OVER (ORDER BY position) AS n FROM messages)
             WHERE n IN (1, 5, 6, 7, 20, 32, 33, 36);
         DELETE FROM timeline WHERE message IN (SELECT id FROM lost);
         DELETE FROM messages WHERE id IN (SELECT id FROM lost);",
    );
    laptop.client = reopened(&in_file(&service, &file)).await;
    laptop.client.connect();
    assert_eq!(laptop.shown(&bob).len(), 28);
    give(&phone, &laptop, HistoryChoice::Days(2)).await;
    assert_eq!(laptop.texts(&bob), phone.texts(&bob));
    let (mut paged, mut before) = (Vec::new(), None);
    loop {
        let page = laptop.client.page(bob.account(), before, 5).unwrap();
        let Some(first) = page.first() else { break };
        before = Some(first.position);
        paged.splice(0..0, page.into_iter().map(|message| message.text));
    }
    assert_eq!(paged, phone.texts(&bob));
    bob.say(&phone, "and on").await;
    laptop.until_shown(&bob, 37).await;
    assert_eq!(laptop.texts(&bob).last().unwrap(), "and on");
}

#[tokio::test]
async fn a_receipt_that_reaches_the_new_device_before_the_history_is_not_lost() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("phone.db");
    let mut phone = registered_in(&service, &file).await;
    let bob = Phone::of_a_new_person(&service).await;
    talk(&phone, &bob, 3).await;
    let laptop = phone.link_another(&service).await;
    // Bob hears of the laptop, and reads.
    laptop.say(&bob, "from the laptop").await;
    bob.until_shown(&phone, 4).await;
    let newest = bob.shown(&phone).last().unwrap().position;
    bob.client.mark_read(phone.account(), newest).await.unwrap();
    let read = |phone: &Phone, count: usize| {
        let shown = phone.shown(&bob).into_iter();
        let read = shown.filter(|message| message.state == MessageState::Read);
        read.count() == count
    };
    until("the receipt, on both", async || {
        read(&phone, 3) && read(&laptop, 1)
    })
    .await;
    // As it would be had the phone's been lost.
    phone.client.clone().close().await.unwrap();
    change(&file, "UPDATE messages SET state = 3 WHERE state = 8");
    phone.client = reopened(&in_file(&service, &file)).await;
    phone.client.connect();
    give(&phone, &laptop, HistoryChoice::All).await;
    assert!(read(&phone, 0) && read(&laptop, 3), "{:?}", laptop.shown(&bob));
}

/// X40: what only own devices may say is refused of anybody else, with its reason, and holds nothing up.
#[tokio::test]
async fn x40_a_chunk_of_somebody_else_is_refused() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mallory.db");
    let phone = Phone::of_a_new_person(&service).await;
    let mut mallory = registered_in(&service, &file).await;
    mallory.say(&phone, "hello").await;
    phone.until_shown(&mallory, 1).await;
    let mut on_phone = phone.client.observe().await.unwrap();
    mallory.client.clone().close().await.unwrap();
    // What a dishonest client would send: kind 7, a chunk with one message that the victim would have written.
    let message = format!(
        "01{device:02x}{id}{conversation}{time:016x}01{text}",
        device = u64::from(phone.address().device),
        id = hex(&phone.shown(&mallory)[0].id.to_bytes()),
        conversation = hex(&mallory.account().to_bytes()),
        time = 1,
        text = "0002".to_owned() + &hex(b"no"),
    );
    let body = format!("0703{history}0000000000{message}", history = "55".repeat(16));
    let id = hex(&phone.shown(&mallory)[0].id.to_bytes().map(|byte| byte));
    let name = format!("{}{:02x}", &id[..30], 0x5A);
    change(
        &file,
        &format!(
            "INSERT INTO outbox (recipient, first, name, made_at, body) VALUES (x'{}', 0, x'{name}', 1, x'{body}')",
            hex(&phone.account().to_bytes())
        ),
    );
    mallory.client = reopened(&in_file(&service, &file)).await;
    mallory.client.connect();
    let refusal = |event| match event {
        Event::Undecryptable { reason, .. } => Some(reason),
        _ => None,
    };
    let reason = told("the refusal", &mut on_phone, refusal).await;
    assert_eq!(reason, UndecryptableReason::OwnDevicesOnly);
    mallory.say(&phone, "still here").await;
    phone.until_shown(&mallory, 2).await;
    assert_eq!(phone.texts(&mallory), ["hello", "still here"]);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
