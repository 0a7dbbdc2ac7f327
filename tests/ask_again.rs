//! What is lost on the way is asked for, and comes. I4, M11.

use std::time::Duration;

use scenarios::{Phone, Service, until, within_patience};
use waxwing_client::{Client, Event, StoreLocation};

#[tokio::test]
async fn a_message_that_vanished_from_the_mailbox_is_reported_asked_for_and_shown() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let mut config = Service::config_at(service.endpoints(), StoreLocation::Memory);
    config.timings.gap_wait = Duration::from_millis(500);
    let bob = Phone::registered_as(Client::open(config).await.unwrap(), &service).await;
    bob.client.connect();
    alice.say(&bob, "one").await;
    bob.until_shown(&alice, 1).await;
    bob.client.disconnect().await;
    alice.say(&bob, "two").await;
    alice.until_accepted().await;
    // What no service may do, and a broken one could.
    service.empty_mailboxes().await;
    alice.say(&bob, "three").await;
    alice.until_accepted().await;
    let mut events = bob.client.observe().await.unwrap();
    bob.client.connect();
    let mut missing = None;
    let recovered = async {
        loop {
            match events.next().await {
                Some(Event::Gap { missing: gap, .. }) => missing = Some(gap),
                Some(Event::Recovered { sequence, .. }) => break sequence,
                _ => {}
            }
        }
    };
    let sequence = within_patience("the lost message", recovered).await;
    assert_eq!(missing, Some(sequence..=sequence));
    until("all three are shown", async || bob.texts(&alice).len() == 3).await;
    assert_eq!(bob.texts(&alice), ["one", "three", "two"]);
    let late: Vec<_> = bob.shown(&alice).iter().map(|message| message.late).collect();
    assert_eq!(late, [false, false, true]);
}
