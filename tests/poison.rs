//! What cannot be read is told once and stands in the way of nothing. X78, I13.

use std::time::Duration;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use scenarios::{Phone, Service, until, within_patience};
use waxwing_client::{Client, Event, StoreLocation, UndecryptableReason};

#[tokio::test]
async fn x78_garbage_in_the_mailbox_is_told_once_and_what_is_behind_it_is_shown() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let mut config = Service::config_at(service.endpoints(), StoreLocation::Memory);
    config.timings.gap_wait = Duration::from_millis(500);
    let bob = Phone::registered_as(Client::open(config).await.unwrap(), &service).await;
    bob.client.connect();
    alice.say(&bob, "before").await;
    bob.until_shown(&alice, 1).await;
    until("an empty mailbox", async || service.mailbox().await.is_empty()).await;
    bob.client.disconnect().await;
    alice.say(&bob, "damaged on its way").await;
    alice.until_accepted().await;
    // At the head of the mailbox: the message, with its last byte changed.
    let mut item = service.mailbox().await.remove(0);
    let mut bytes = item["c"].as_b().unwrap().as_ref().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    item.insert("c".to_owned(), AttributeValue::B(Blob::new(bytes)));
    service.put("MailboxTable", item).await;
    let behind: Vec<_> = (0..30).map(|number| format!("behind it {number}")).collect();
    for text in &behind {
        alice.say(&bob, text).await;
    }
    alice.until_accepted().await;
    let mut events = bob.client.observe().await.unwrap();
    bob.client.connect();
    bob.until_shown(&alice, 31).await;
    let shown = bob.texts(&alice);
    let of_those: Vec<_> = shown.iter().filter(|text| text.starts_with("behind")).collect();
    assert!(of_those.into_iter().eq(&behind), "{shown:?}");
    // Its sender is asked for it, and it comes.
    bob.until_shown(&alice, 32).await;
    assert!(bob.texts(&alice).contains(&"damaged on its way".to_owned()));
    until("an empty mailbox", async || service.mailbox().await.is_empty()).await;
    bob.client.disconnect().await;
    bob.client.connect();
    let (mut told, mut drained) = (Vec::new(), 0);
    within_patience("two connections", async {
        while drained < 2 {
            match events.next().await {
                Some(Event::Undecryptable { reason, .. }) => told.push(reason),
                Some(Event::Drained { .. }) => drained += 1,
                _ => {}
            }
        }
    })
    .await;
    assert_eq!(told, [UndecryptableReason::NotAuthentic]);
}
