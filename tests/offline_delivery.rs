//! A phone that is away misses nothing. I1, I2, I3.

use scenarios::{Phone, Service, until};

#[tokio::test]
async fn what_was_sent_while_a_phone_was_away_is_shown_when_it_returns() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.say(&bob, "before").await;
    bob.until_shown(&alice, 1).await;
    until("empty mailbox", async || service.mailbox().await.is_empty()).await;

    bob.client.disconnect().await;
    let while_away: Vec<_> = (0..150).map(|number| format!("while away, {number}")).collect();
    for text in &while_away {
        alice.say(&bob, text).await;
    }
    alice.until_accepted().await;
    // Beside the texts there is what opens a new session: one side has written for long without an answer.
    let waiting = service.mailbox().await.len();
    assert!(
        waiting >= while_away.len(),
        "accepted means in the mailbox: {waiting}"
    );
    assert_eq!(bob.texts(&alice), ["before"]);

    bob.client.connect();
    bob.until_shown(&alice, 1 + while_away.len()).await;
    assert_eq!(bob.texts(&alice)[1..], while_away);
    until("empty mailbox", async || service.mailbox().await.is_empty()).await;
}

#[tokio::test]
async fn a_message_written_without_a_network_leaves_when_there_is_one() {
    let service = Service::start().await;
    let alice = Phone::registered(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.say(&bob, "written on a mountain").await;
    assert_eq!(alice.client.pending().unwrap(), 1);
    assert_eq!(
        alice.texts(&bob),
        ["written on a mountain"],
        "shown to its author at once"
    );
    alice.client.connect();
    bob.until_shown(&alice, 1).await;
    alice.until_accepted().await;
}

/// I10 in its simplest form: a device that is not connected is marked for push once, and the mark goes when
/// it connects.
#[tokio::test]
async fn a_message_for_a_sleeping_device_marks_it_for_push() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::registered(&service).await;
    let marked = async || {
        service
            .items("DevicesTable")
            .await
            .iter()
            .filter(|item| item.contains_key("p"))
            .count()
    };
    assert_eq!(marked().await, 0);
    alice.say(&bob, "wake up").await;
    alice.until_accepted().await;
    assert_eq!(marked().await, 1);
    bob.client.connect();
    bob.until_shown(&alice, 1).await;
    assert_eq!(marked().await, 0);
}
