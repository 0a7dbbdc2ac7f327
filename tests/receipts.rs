//! How far a message got, on every device of both people. M7, M9, M10, X44.

use scenarios::{Phone, Service, until, within_patience};
use waxwing_client::{Event, MessageState, ReceiptSettings};

/// Waits until a device says of its last own message that it got this far.
async fn until_state(phone: &Phone, with: &Phone, state: MessageState) {
    until(&format!("the message is {state:?}"), async || {
        let own = phone.shown(with).into_iter().rfind(|message| message.own);
        own.is_some_and(|message| message.state == state)
    })
    .await;
}

fn unread(phone: &Phone) -> u64 {
    let conversations = phone.client.conversations().unwrap();
    conversations.iter().map(|conversation| conversation.unread).sum()
}

async fn read(phone: &Phone, with: &Phone) {
    let newest = phone.shown(with).last().unwrap().position;
    phone.client.mark_read(with.account(), newest).await.unwrap();
}

#[tokio::test]
async fn a_message_is_accepted_then_delivered_then_read_and_every_device_knows() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let laptop = bob.link_another(&service).await;
    bob.say(&alice, "hello").await;
    alice.until_shown(&bob, 1).await;
    laptop.until_shown(&alice, 1).await;
    bob.client.disconnect().await;
    laptop.client.disconnect().await;

    alice.say(&bob, "are you there?").await;
    until_state(&alice, &bob, MessageState::Accepted).await;
    laptop.client.connect();
    laptop.until_shown(&alice, 2).await;
    // One device of Bob's is enough.
    until_state(&alice, &bob, MessageState::Delivered).await;

    bob.client.connect();
    bob.until_shown(&alice, 2).await;
    assert_eq!((unread(&bob), unread(&laptop)), (1, 1));
    let mut on_laptop = laptop.client.observe().await.unwrap();
    read(&bob, &alice).await;
    assert_eq!(unread(&bob), 0);
    until_state(&alice, &bob, MessageState::Read).await;
    within_patience("word of it on the laptop", async {
        let conversation = alice.account();
        while on_laptop.next().await != Some(Event::ReadElsewhere { conversation }) {}
    })
    .await;
    assert_eq!(unread(&laptop), 0);
}

#[tokio::test]
async fn what_was_read_without_a_network_is_told_when_there_is_one() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    bob.say(&alice, "hello").await;
    alice.until_shown(&bob, 1).await;
    alice.say(&bob, "hello").await;
    bob.until_shown(&alice, 2).await;
    bob.client.disconnect().await;
    read(&bob, &alice).await;
    bob.client.connect();
    until_state(&alice, &bob, MessageState::Read).await;
}

#[tokio::test]
async fn x44_a_stranger_learns_nothing_and_a_person_who_tells_nothing_still_knows_what_was_read() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let laptop = bob.link_another(&service).await;
    let off = ReceiptSettings {
        delivered: false,
        read: false,
    };
    bob.client.set_receipts(off).await.unwrap();
    alice.say(&bob, "who is it that reads this?").await;
    bob.until_shown(&alice, 1).await;
    laptop.until_shown(&alice, 1).await;
    let mut on_laptop = laptop.client.observe().await.unwrap();
    read(&bob, &alice).await;
    within_patience("word of it on the laptop", async {
        let conversation = alice.account();
        while on_laptop.next().await != Some(Event::ReadElsewhere { conversation }) {}
    })
    .await;
    // What Bob's devices have to say to each other has been said, and nothing of it was for Alice.
    bob.say(&alice, "I").await;
    alice.until_shown(&bob, 1).await;
    let state = alice.shown(&bob).remove(0).state;
    assert_eq!(state, MessageState::Accepted);
}
