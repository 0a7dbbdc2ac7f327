//! Who is there. I16.

use scenarios::{Phone, Service, until, within_patience};
use waxwing_client::{Event, Events};

/// The next word about presence, or the end of a connection.
async fn next(events: &mut Events) -> Event {
    within_patience("presence", async {
        loop {
            let event = events.next().await.unwrap();
            if matches!(event, Event::Presence { .. }) {
                return event;
            }
        }
    })
    .await
}

fn presence(of: &Phone, present: bool) -> Event {
    let account = of.account();
    Event::Presence { account, present }
}

#[tokio::test]
async fn i16_who_shares_is_seen_by_a_contact_until_the_app_leaves_the_screen() {
    let service = Service::start().await;
    let (alice, bob) = Phone::acquainted(&service).await;
    alice.client.share_presence(true).await.unwrap();
    bob.client.share_presence(true).await.unwrap();
    let mut events = alice.client.observe().await.unwrap();
    alice.client.watch_presence(bob.account());
    assert_eq!(next(&mut events).await, presence(&bob, true));
    bob.client.background();
    assert_eq!(next(&mut events).await, presence(&bob, false));
    let asked = service.invocations("ephemeral");

    // Behind the screen nobody answers; Alice asks anew when she looks again.
    alice.client.unwatch_presence(bob.account());
    alice.client.watch_presence(bob.account());
    until("the question", async || service.invocations("ephemeral") > asked).await;
    bob.client.foreground();
    alice.client.unwatch_presence(bob.account());
    alice.client.background();
    alice.client.foreground();
    alice.client.watch_presence(bob.account());
    assert_eq!(next(&mut events).await, presence(&bob, true));
}

#[tokio::test]
async fn i16_who_disconnects_says_farewell_and_a_connection_that_ends_leaves_nobody_there() {
    let service = Service::start().await;
    let (alice, bob) = Phone::acquainted(&service).await;
    alice.client.share_presence(true).await.unwrap();
    bob.client.share_presence(true).await.unwrap();
    let mut events = alice.client.observe().await.unwrap();
    alice.client.watch_presence(bob.account());
    assert_eq!(next(&mut events).await, presence(&bob, true));
    bob.client.disconnect().await;
    assert_eq!(next(&mut events).await, presence(&bob, false));

    alice.client.disconnect().await;
    bob.client.connect();
    alice.client.connect();
    assert_eq!(next(&mut events).await, presence(&bob, true));
    alice.client.disconnect().await;
    assert_eq!(next(&mut events).await, presence(&bob, false));
}

/// Nobody is told anything unless both want it, and a stranger never is.
#[tokio::test]
async fn x44_without_both_sharing_or_between_strangers_nothing_is_said() {
    let service = Service::start().await;
    let (alice, bob) = Phone::acquainted(&service).await;
    assert!(!alice.client.shares_presence().unwrap());
    alice.client.watch_presence(bob.account());
    bob.client.share_presence(true).await.unwrap();
    bob.client.watch_presence(alice.account());
    // Bob's question reaches Alice, who does not answer and does not ask.
    until("the question", async || service.invocations("ephemeral") == 1).await;

    let carol = Phone::of_a_new_person(&service).await;
    carol.client.share_presence(true).await.unwrap();
    carol.say(&bob, "we have not met").await;
    bob.until_shown(&carol, 1).await;
    carol.client.watch_presence(bob.account());
    until("the stranger's question", async || {
        service.invocations("ephemeral") == 2
    })
    .await;
    // Whatever would have been answered would have gone before this message.
    bob.say(&alice, "the end").await;
    alice.until_shown(&bob, 3).await;
    assert_eq!(service.invocations("ephemeral"), 2);
}

#[tokio::test]
async fn sharing_is_kept_and_taking_it_back_is_told_at_once() {
    let service = Service::start().await;
    let (alice, bob) = Phone::acquainted(&service).await;
    alice.client.share_presence(true).await.unwrap();
    bob.client.share_presence(true).await.unwrap();
    assert!(bob.client.shares_presence().unwrap());
    let mut events = alice.client.observe().await.unwrap();
    alice.client.watch_presence(bob.account());
    assert_eq!(next(&mut events).await, presence(&bob, true));
    bob.client.share_presence(false).await.unwrap();
    assert_eq!(next(&mut events).await, presence(&bob, false));
}
