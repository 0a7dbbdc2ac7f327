//! The main story: two people, three devices.

use std::collections::BTreeSet;

use scenarios::{Phone, Service, service::Item, until};
use waxwing_client::ReceiptSettings;

#[tokio::test]
async fn every_device_of_both_people_shows_the_message_once_and_the_mailboxes_are_empty_after() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let laptop = alice.link_another(&service).await;
    let bob = Phone::of_a_new_person(&service).await;

    alice.say(&bob, "Are the waxwings back?").await;
    bob.until_shown(&alice, 1).await;
    bob.say(&alice, "Twelve of them, in the rowan.").await;
    alice.until_shown(&bob, 2).await;
    laptop.until_shown(&bob, 2).await;

    let said = ["Are the waxwings back?", "Twelve of them, in the rowan."];
    assert_eq!(alice.texts(&bob), said);
    assert_eq!(laptop.texts(&bob), said);
    assert_eq!(bob.texts(&alice), said);
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
}

/// I4: order holds from each sending device, though frames of one connection run at the same time.
#[tokio::test]
async fn a_burst_arrives_complete_and_in_order_both_ways() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let count = 60;
    for number in 0..count {
        alice.say(&bob, &format!("from Alice, {number}")).await;
        bob.say(&alice, &format!("from Bob, {number}")).await;
    }
    alice.until_shown(&bob, 2 * count).await;
    bob.until_shown(&alice, 2 * count).await;
    for (shown, sender) in [(alice.texts(&bob), "Bob"), (bob.texts(&alice), "Alice")] {
        let from_peer: Vec<_> = shown
            .iter()
            .filter(|text| text.starts_with(&format!("from {sender}")))
            .collect();
        let expected: Vec<_> = (0..count)
            .map(|number| format!("from {sender}, {number}"))
            .collect();
        assert_eq!(from_peer, expected.iter().collect::<Vec<_>>());
    }
}

/// M22 and cost: a short text's mailbox item is billed as one write unit, attribute names counted. With a hybrid
/// handshake in front of it, as two.
#[tokio::test]
async fn a_short_texts_mailbox_item_fits_one_write_unit() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::registered(&service).await;
    alice
        .say(&bob, "Short, and with a handshake in front of it.")
        .await;
    alice.until_accepted().await;
    let first = service.mailbox().await;
    assert_eq!(first.len(), 1);
    let first = bytes_of(&first[0]);
    assert!(first <= 2 * 1024, "{first} bytes");

    // Alice's receipts would lie beside the message that is weighed.
    let none = ReceiptSettings {
        delivered: false,
        read: false,
    };
    alice.client.set_receipts(none).await.unwrap();
    bob.client.connect();
    bob.until_shown(&alice, 1).await;
    bob.say(&alice, "An answer.").await;
    alice.until_shown(&bob, 2).await;
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
    bob.client.disconnect().await;
    alice.say(&bob, "Short, in a session that both know.").await;
    alice.until_accepted().await;
    let items = service.mailbox().await;
    assert_eq!(items.len(), 1);
    let size = bytes_of(&items[0]);
    assert!(size <= 1024, "{size} bytes");
    let names: BTreeSet<_> = items[0].keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["c", "expires_at", "i", "o"]));
}

/// What DynamoDB bills an item as.
fn bytes_of(item: &Item) -> usize {
    let sizes = item.iter().map(|(name, value)| {
        let bytes = match value {
            aws_sdk_dynamodb::types::AttributeValue::B(blob) => blob.as_ref().len(),
            // A number takes a byte for each two digits, and one.
            aws_sdk_dynamodb::types::AttributeValue::N(number) => number.len().div_ceil(2) + 1,
            other => panic!("unexpected attribute {name}: {other:?}"),
        };
        name.len() + bytes
    });
    sizes.sum()
}
