//! One frame is lost on the way. I3, I9: at least once on the wire, exactly once on the screen.

use std::sync::atomic::Ordering;

use scenarios::{
    Network, Phone, Service,
    network::{Verdict, Way},
    until, within_patience,
};
use serde_json::Value;
use waxwing_client::Event;

fn first_two_cut(before: usize) -> Verdict {
    if before < 2 { Verdict::Cut } else { Verdict::Pass }
}

#[tokio::test]
async fn a_lost_accepted_is_sent_again_and_shown_once() {
    let service = Service::start().await;
    let is_accepted = |way, frame: &Value| way == Way::ToClient && frame["type"] == "sent";
    let (network, lost) = Network::where_some(&service.endpoints(), is_accepted, first_two_cut).await;
    let alice = Phone::registered_behind(&network, &service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.client.connect();
    alice.say(&bob, "sent three times").await;
    alice.say(&bob, "and the next").await;
    alice.until_accepted().await;
    bob.until_shown(&alice, 2).await;
    assert!(
        lost.load(Ordering::SeqCst) > 2,
        "the network lost the first two answers"
    );
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
    assert_eq!(bob.texts(&alice), ["sent three times", "and the next"]);
}

#[tokio::test]
async fn a_lost_ack_is_delivered_again_and_shown_once() {
    let service = Service::start().await;
    let is_ack = |way, frame: &Value| way == Way::ToService && frame["action"] == "ack";
    let (network, lost) = Network::where_some(&service.endpoints(), is_ack, first_two_cut).await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::registered_behind(&network, &service).await;
    bob.client.connect();
    alice.say(&bob, "acked three times").await;
    bob.until_shown(&alice, 1).await;
    until("empty mailbox", async || service.mailbox().await.is_empty()).await;
    assert!(
        lost.load(Ordering::SeqCst) > 2,
        "the network lost the first two acks"
    );
    assert_eq!(bob.texts(&alice), ["acked three times"]);
}

#[tokio::test]
async fn a_lost_delivery_waits_in_the_mailbox_until_the_phone_asks() {
    let service = Service::start().await;
    let network = Network::between(&service.endpoints(), |way, frame| {
        let delivery = way == Way::ToClient && frame["type"] == "delivery";
        if delivery { Verdict::Lose } else { Verdict::Pass }
    })
    .await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::registered_behind(&network, &service).await;
    let mut events = bob.client.observe().await.unwrap();
    bob.client.connect();
    // Only after the first drain does a message depend on being posted.
    within_patience("the first drain", async {
        while !matches!(events.next().await, Some(Event::Drained { .. })) {}
    })
    .await;
    alice.say(&bob, "never posted").await;
    alice.until_accepted().await;
    bob.client.disconnect().await;
    assert_eq!(service.mailbox().await.len(), 1);
    bob.client.connect();
    bob.until_shown(&alice, 1).await;
    until("empty mailbox", async || service.mailbox().await.is_empty()).await;
}
