//! Somebody types. M22, M23.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use scenarios::{
    Network, Phone, RawDevice, Service,
    accounts::service_at_the_beginning_of,
    network::{Verdict, Way},
    until, within_patience,
};
use serde_json::{Value, json};
use waxwing_client::{Event, Events};

async fn next(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
    within_patience("an event", async {
        loop {
            let event = events.next().await.unwrap();
            if wanted(&event) {
                return event;
            }
        }
    })
    .await
}

fn is_typing(event: &Event) -> bool {
    matches!(event, Event::Typing { .. } | Event::TypingStopped { .. })
}

#[tokio::test]
async fn typing_is_shown_and_ends_with_the_message_and_nothing_of_it_is_kept() {
    let service = Service::start().await;
    let (alice, bob) = Phone::acquainted(&service).await;
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
    // Receipts come and go in the mailboxes; nothing else may change.
    let kept = async || {
        let rows = service.everything().await.into_iter();
        rows.filter(|(table, _)| table != "MailboxTable").count()
    };
    let before = kept().await;
    let mut events = bob.client.observe().await.unwrap();
    alice.client.set_typing(bob.account(), true);
    let (conversation, from) = (alice.account(), alice.address());
    assert_eq!(
        next(&mut events, is_typing).await,
        Event::Typing { conversation, from }
    );
    assert_eq!(kept().await, before);

    alice.say(&bob, "what was typed").await;
    assert_eq!(
        next(&mut events, is_typing).await,
        Event::TypingStopped { conversation, from }
    );
    bob.until_shown(&alice, 3).await;
    alice.client.set_typing(bob.account(), true);
    assert_eq!(
        next(&mut events, is_typing).await,
        Event::Typing { conversation, from }
    );
    alice.client.set_typing(bob.account(), false);
    assert_eq!(
        next(&mut events, is_typing).await,
        Event::TypingStopped { conversation, from }
    );
}

#[tokio::test]
async fn typing_ends_by_itself_when_no_more_is_heard_and_costs_no_frame_a_keystroke() {
    let service = Service::start().await;
    let (alice, bob) = Phone::acquainted(&service).await;
    let mut events = bob.client.observe().await.unwrap();
    for _ in 0..100 {
        alice.client.set_typing(bob.account(), true);
    }
    next(&mut events, |event| matches!(event, Event::Typing { .. })).await;
    next(&mut events, |event| matches!(event, Event::TypingStopped { .. })).await;
    assert_eq!(service.invocations("ephemeral"), 1);
}

/// X44: strangers are not told, and not heard.
#[tokio::test]
async fn x44_nobody_sees_a_stranger_type() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.say(&bob, "you do not know me").await;
    bob.until_shown(&alice, 1).await;
    let mut events = bob.client.observe().await.unwrap();
    alice.client.set_typing(bob.account(), true);
    until("the frame", async || service.invocations("ephemeral") == 1).await;
    // Bob, who never wrote, says nothing at all.
    bob.client.set_typing(alice.account(), true);
    alice.say(&bob, "the end").await;
    let end = |event: &Event| is_typing(event) || matches!(event, Event::Message(_));
    assert!(matches!(next(&mut events, end).await, Event::Message(_)));
    assert_eq!(service.invocations("ephemeral"), 1);
}

/// M22: whoever is connected or not, and whatever is in it, the sender hears nothing.
#[tokio::test]
async fn nothing_tells_the_sender_who_is_connected() {
    let service = Service::start().await;
    let (here, away) = (
        RawDevice::register(&service, 1).await,
        RawDevice::register(&service, 1).await,
    );
    let mut socket = here.connect().await;
    let sender = RawDevice::register(&service, 1).await;
    let mut asking = sender.connect().await;
    let sealed = waxwing_client::wire::bytes::to_base64(&[7; 97]);
    for to in [&here, &away] {
        let device = json!({"device": 1, "registration": to.device.registration, "sealed": sealed});
        let frame = json!({"action": "ephemeral", "account": to.account(), "devices": [device]});
        asking.send_text(frame.to_string()).await;
    }
    asking.send_text(r#"{"action":"ephemeral"}"#).await;
    let news = socket.next_news("ephemeral").await;
    assert_eq!(news["from"]["account"], json!(sender.account()));
    assert_eq!(news["sealed"], json!(sealed));
    until("all three", async || service.invocations("ephemeral") == 3).await;
    asking
        .send_text(json!({"action": "receive", "request": 1}).to_string())
        .await;
    assert_eq!(
        asking.next_json().await["type"],
        "page",
        "the first frame that comes back at all"
    );
}

/// The failure of all this touches nothing: messages go on when no ephemeral frame gets through.
#[tokio::test]
async fn messages_go_on_when_nothing_ephemeral_gets_through() {
    let service = Service::start().await;
    let is_ephemeral = |_, frame: &Value| frame["action"] == "ephemeral" || frame["type"] == "ephemeral";
    let all = |_| Verdict::Lose;
    let (network, lost) = Network::where_some(&service.endpoints(), is_ephemeral, all).await;
    let alice = Phone::registered_behind(&network, &service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.client.connect();
    alice.meet(&bob).await;
    for number in 0..20 {
        alice.client.set_typing(bob.account(), true);
        alice.say(&bob, &format!("number {number}")).await;
    }
    bob.until_shown(&alice, 22).await;
    alice.until_accepted().await;
    assert!(lost.load(Ordering::SeqCst) > 0);
}

/// More than an account may send in a minute, however the count begins, and fewer than close its connection.
const FLOOD: u64 = 170;

/// I15: who says too much is not heard any more, and its messages are.
#[tokio::test]
async fn i15_a_flood_is_dropped_and_leaves_the_messages_of_its_account_alone() {
    let service = service_at_the_beginning_of(60).await;
    let (to, from) = (
        RawDevice::register(&service, 1).await,
        RawDevice::register(&service, 1).await,
    );
    let mut socket = to.connect().await;
    let mut asking = from.connect().await;
    let sealed = waxwing_client::wire::bytes::to_base64(&[7; 97]);
    let device = json!({"device": 1, "registration": to.device.registration, "sealed": sealed});
    let frame = json!({"action": "ephemeral", "account": to.account(), "devices": [device]}).to_string();
    // From the 113th to the 144th on, as the count begins, they are dropped; the 64th dropped one would close the connection.
    let mut received = 0;
    for _ in 0..FLOOD {
        asking.send_text(frame.clone()).await;
        // A socket that is not read is posted to no more.
        while tokio::time::timeout(Duration::from_millis(2), socket.next_news("ephemeral"))
            .await
            .is_ok()
        {
            received += 1;
        }
    }
    until("all of them", async || service.invocations("ephemeral") == FLOOD).await;
    assert_eq!(asking.request(json!({"action": "receive"})).await["type"], "page");
    while tokio::time::timeout(Duration::from_secs(1), socket.next_news("ephemeral"))
        .await
        .is_ok()
    {
        received += 1;
    }
    assert!((112..=143).contains(&received), "{received}");
}

/// X51: what passes the service has one length, whatever it says.
#[tokio::test]
async fn x51_typing_and_stopping_look_alike() {
    let service = Service::start().await;
    let lengths = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = lengths.clone();
    let network = Network::between(&service.endpoints(), move |way, frame| {
        if way == Way::ToService && frame["action"] == "ephemeral" {
            seen.lock()
                .unwrap()
                .push(frame["devices"][0]["sealed"].as_str().unwrap().len());
        }
        Verdict::Pass
    })
    .await;
    let alice = Phone::registered_behind(&network, &service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.client.connect();
    alice.meet(&bob).await;
    alice.client.set_typing(bob.account(), true);
    alice.client.set_typing(bob.account(), false);
    until("both", async || lengths.lock().unwrap().len() == 2).await;
    let lengths = lengths.lock().unwrap();
    assert_eq!(lengths[0], lengths[1]);
}
