//! A contact's keys change: the app is told what changed, and is asked where it matters. K19, X31, X63.

use aws_sdk_dynamodb::types::AttributeValue;
use scenarios::{Phone, Service, until, within_patience};
use waxwing_client::{Comparison, DeviceChange, Event, MessageState, VerifyError};

#[tokio::test]
async fn x63_what_is_written_to_a_person_whose_account_key_changed_waits_for_the_app() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.say(&bob, "before").await;
    bob.until_shown(&alice, 1).await;
    let mut events = alice.client.observe().await.unwrap();

    let again = bob.registered_anew(&service).await;
    again.client.connect();
    again.say(&alice, "my new phone").await;
    let fingerprint = within_patience("the alert", async {
        loop {
            match events.next().await {
                Some(Event::AccountKeyChanged { account, fingerprint }) if account == again.account() => {
                    return fingerprint;
                }
                _ => {}
            }
        }
    })
    .await;
    alice.until_shown(&again, 2).await;
    let shown = alice.shown(&again);
    assert!(shown[1].unconfirmed && shown[1].text == "my new phone");

    alice.say(&again, "is it you?").await;
    assert_eq!(alice.shown(&again)[2].state, MessageState::Held);
    // The two compare over another line. The number is of the new key.
    let (ours, theirs) = (
        alice.client.safety_number(again.account()).await.unwrap(),
        again.client.safety_number(alice.account()).await.unwrap(),
    );
    assert_eq!(ours.compare_code(&theirs.code()), Ok(Comparison::Match));
    alice.client.trust(again.account(), fingerprint).await.unwrap();
    again.until_shown(&alice, 2).await;
    assert_eq!(again.texts(&alice), ["my new phone", "is it you?"]);
    until("accepted", async || alice.client.pending().unwrap() == 0).await;
}

#[tokio::test]
async fn a_new_device_under_the_same_account_key_is_told_and_needs_no_answer() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.say(&bob, "before").await;
    bob.until_shown(&alice, 1).await;
    let mut events = alice.client.observe().await.unwrap();
    let laptop = bob.link_another(&service).await;
    alice.say(&bob, "after").await;
    laptop.until_shown(&alice, 1).await;
    let expected = Event::DevicesChanged {
        account: bob.account(),
        changes: vec![DeviceChange::Added(laptop.address().device)],
    };
    within_patience("the news", async {
        while events.next().await != Some(expected.clone()) {}
    })
    .await;
}

/// The service's operator writes a device of their own straight into the tables.
#[tokio::test]
async fn x31_nobody_encrypts_to_a_device_that_somebody_put_into_the_table() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let ghost = Phone::registered(&service).await;
    plant(&service, &bob, &ghost).await;
    alice.say(&bob, "for Bob alone").await;
    bob.until_shown(&alice, 1).await;
    let letters = service.mailbox().await;
    assert!(
        letters.len() <= 1,
        "one for Bob's phone at most, until it acks: {}",
        letters.len()
    );
}

/// Copies what the ghost published into Bob's account, as its device 2.
async fn plant(service: &Service, bob: &Phone, ghost: &Phone) {
    let binary = |bytes: &[u8]| AttributeValue::B(bytes.to_vec().into());
    let (from, to) = (
        binary(&ghost.account().to_bytes()),
        binary(&bob.account().to_bytes()),
    );
    for table in ["DevicesTable", "KeysTable"] {
        let items = service.items(table).await;
        let mut item = items.into_iter().find(|item| item["a"] == from).unwrap();
        item.insert("a".to_owned(), to.clone());
        item.insert("d".to_owned(), binary(&[2]));
        service.put(table, item).await;
    }
}

#[tokio::test]
async fn who_was_compared_counts_as_compared_until_the_account_key_is_another() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let known = |of: &Phone| alice.client.contact(of.account()).unwrap();
    assert!(!known(&bob).let_in && !known(&bob).verified);
    alice.say(&bob, "before").await;
    bob.until_shown(&alice, 1).await;
    assert!(!bob.client.contact(alice.account()).unwrap().let_in, "a stranger");
    let number = alice.client.safety_number(bob.account()).await.unwrap();
    alice.client.mark_verified(bob.account(), &number).await.unwrap();
    assert!(known(&bob).let_in && known(&bob).verified);

    let again = bob.registered_anew(&service).await;
    again.client.connect();
    again.say(&alice, "my new phone").await;
    until("the question", async || known(&again).new_key.is_some()).await;
    assert!(!known(&again).verified);
    let refused = alice.client.mark_verified(again.account(), &number).await;
    assert!(matches!(refused, Err(VerifyError::OtherNumber)), "{refused:?}");

    let new_key = known(&again).new_key.unwrap();
    alice.client.trust(again.account(), new_key).await.unwrap();
    assert_eq!(known(&again).new_key, None);
    assert!(!known(&again).verified, "believed is not compared");
    let number = alice.client.safety_number(again.account()).await.unwrap();
    alice
        .client
        .mark_verified(again.account(), &number)
        .await
        .unwrap();
    assert!(known(&again).verified);
    alice.client.unmark_verified(again.account()).await.unwrap();
    assert!(!known(&again).verified);
}
