//! Devices come and go without losing a message. K16, K17, X37, X41, X68.

use scenarios::{Phone, Service, within_patience};
use waxwing_client::{DeviceChange, DeviceName, Event, LinkError, RemovalReason};

#[tokio::test]
async fn x41_a_device_is_linked_only_after_the_person_said_yes_to_its_name() {
    let service = Service::start().await;
    let phone = Phone::of_a_new_person(&service).await;
    let laptop = service.client().await;
    let name = DeviceName::new("Alice's laptop").unwrap();
    let mut events = phone.client.observe().await.unwrap();
    let code = phone.client.offer_link().await.unwrap();
    let declining = async {
        loop {
            if let Some(Event::LinkRequested {
                request,
                name,
                fingerprint,
            }) = events.next().await
            {
                assert_eq!(name, "Alice's laptop");
                assert_eq!(laptop.fingerprint().unwrap(), Some(fingerprint));
                return phone.client.answer_link(request, false).await.unwrap();
            }
        }
    };
    let (linked, ()) = within_patience("an answer", async {
        tokio::join!(laptop.link(&code, &name), declining)
    })
    .await;
    assert!(matches!(linked, Err(LinkError::Ended)), "{linked:?}");
    assert_eq!(phone.client.devices().unwrap().len(), 1);
    // The offer has ended for everybody.
    let other = service.client().await;
    assert!(matches!(other.link(&code, &name).await, Err(LinkError::Ended)));
}

#[tokio::test]
async fn x37_x68_a_revoked_tablet_is_told_and_gets_nothing_more() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let tablet = bob.link_another(&service).await;
    let laptop = bob.link_another(&service).await;
    alice.say(&bob, "to all three").await;
    for device in [&bob, &tablet, &laptop] {
        device.until_shown(&alice, 1).await;
    }
    let mut on_tablet = tablet.client.observe().await.unwrap();
    let mut on_laptop = laptop.client.observe().await.unwrap();
    let number = tablet.address().device;
    bob.client.revoke(number).await.unwrap();
    within_patience("the end of the tablet", async {
        let expected = Event::Removed {
            reason: RemovalReason::Revoked,
        };
        while on_tablet.next().await != Some(expected.clone()) {}
        let expected = Event::DevicesChanged {
            account: bob.account(),
            changes: vec![DeviceChange::Removed(number)],
        };
        while on_laptop.next().await != Some(expected.clone()) {}
    })
    .await;
    alice.say(&bob, "to two").await;
    bob.until_shown(&alice, 2).await;
    laptop.until_shown(&alice, 2).await;
    assert_eq!(
        tablet.texts(&alice),
        ["to all three"],
        "what it stored stays readable"
    );
    bob.client.revoke(number).await.expect_err("it is gone");
}
