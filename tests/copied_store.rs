//! A device goes on from a copy of its store. X24.

use scenarios::{Phone, Service, until, within_patience};
use waxwing_client::{Client, Event, Events, MessageState, StoreLocation, UndecryptableReason};

/// Bob is away while both the original and its copy write, so that neither hears of anything but its own state.
#[tokio::test]
async fn x24_what_a_copied_store_says_is_read_again_after_a_reset_and_its_contact_is_told() {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let opened = async |name: &str| {
        let store = StoreLocation::Unencrypted(file(name));
        Client::open(Service::config_at(service.endpoints(), store))
            .await
            .unwrap()
    };

    let alice = Phone::registered_as(opened("original.db").await, &service).await;
    alice.client.connect();
    let bob = Phone::of_a_new_person(&service).await;
    alice.meet(&bob).await;
    // Bob was told that his was delivered: Alice has nothing more to say.
    until("quiet", async || {
        let own = bob.shown(&alice).into_iter().find(|message| message.own);
        own.unwrap().state == MessageState::Delivered && service.mailbox().await.is_empty()
    })
    .await;
    let before = bob.texts(&alice);

    bob.client.disconnect().await;
    alice.say(&bob, "before the copy").await;
    alice.until_accepted().await;
    let number = alice.number.clone();
    alice.client.close().await.unwrap();
    std::fs::copy(file("original.db"), file("copy.db")).unwrap();

    let original = Phone {
        client: opened("original.db").await,
        number: number.clone(),
    };
    original.client.connect();
    for text in ["of the original", "and another"] {
        original.say(&bob, text).await;
    }
    original.until_accepted().await;
    original.client.close().await.unwrap();

    let copy = Phone {
        client: opened("copy.db").await,
        number,
    };
    copy.client.connect();
    copy.say(&bob, "of the copy").await;
    copy.until_accepted().await;

    let mut told = bob.client.events().await.unwrap();
    bob.client.connect();
    let expected = before.len() + 4;
    bob.until_shown(&copy, expected).await;
    let reason = until_told(&mut told, |event| match event {
        Event::Undecryptable { reason, .. } => Some(reason),
        _ => None,
    });
    assert_eq!(reason.await, UndecryptableReason::UsedNumber);
    let device = until_told(&mut told, |event| match event {
        Event::ClonedDevice { device } => Some(device),
        _ => None,
    });
    assert_eq!(device.await, copy.address());

    // From here on it is heard as any other.
    copy.say(&bob, "and on").await;
    bob.until_shown(&copy, expected + 1).await;
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
    let said = [
        "before the copy",
        "of the original",
        "and another",
        "of the copy",
        "and on",
    ];
    assert_eq!(bob.texts(&copy)[before.len()..], said);
}

/// Waits until something is told.
async fn until_told<T>(told: &mut Events, is_meant: impl Fn(Event) -> Option<T>) -> T {
    within_patience("an event", async {
        loop {
            if let Some(meant) = is_meant(told.next().await.unwrap()) {
                return meant;
            }
        }
    })
    .await
}
