//! The recipients' devices are others than the sender thought. I6, K11, K18, X43.

use scenarios::{Phone, RawDevice, Service, send_frame};
use serde_json::json;

#[tokio::test]
async fn x43_a_device_linked_after_the_first_message_gets_the_next_one() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.say(&bob, "before the tablet").await;
    bob.until_shown(&alice, 1).await;
    let tablet = bob.link_another(&service).await;
    alice.say(&bob, "after the tablet").await;
    tablet.until_shown(&alice, 1).await;
    bob.until_shown(&alice, 2).await;
    assert_eq!(
        tablet.texts(&alice),
        ["after the tablet"],
        "a new device gets new messages only"
    );
    bob.say(&alice, "and from Bob's phone").await;
    tablet.until_shown(&alice, 2).await;
    assert_eq!(tablet.texts(&alice)[1], "and from Bob's phone");
}

#[tokio::test]
async fn i6_a_wrong_list_is_answered_with_the_missing_the_gone_and_the_reregistered() {
    let service = Service::start().await;
    let alice = RawDevice::register(&service, 0).await;
    let bob = RawDevice::register(&service, 0).await;
    let mut socket = alice.connect().await;
    let registration = bob.device.registration.get();
    let ciphertext = "A".repeat(64);
    let list = |devices: serde_json::Value| {
        send_frame(
            "01999999-0000-7000-8000-000000000001",
            json!(bob.account()),
            devices,
        )
    };

    let reply = socket.outcome(list(json!([]))).await;
    assert_eq!(reply["outcome"], "mismatch", "{reply}");
    let expected = json!([{"account": bob.account(), "gone": [], "reregistered": [],
                           "missing": [{"device": 1, "registration": registration}]}]);
    assert_eq!(reply["accounts"], expected);

    let stale = json!([{"device": 1, "registration": registration ^ 1, "ciphertext": ciphertext},
                       {"device": 2, "registration": 5, "ciphertext": ciphertext}]);
    let reply = socket.outcome(list(stale)).await;
    let expected = json!([{"account": bob.account(), "missing": [], "gone": [2],
                           "reregistered": [{"device": 1, "registration": registration}]}]);
    assert_eq!(reply["accounts"], expected, "{reply}");
    assert!(
        service.mailbox().await.is_empty(),
        "nothing is left for devices that do not exist"
    );

    let right = json!([{"device": 1, "registration": registration, "ciphertext": ciphertext}]);
    let reply = socket.outcome(list(right)).await;
    assert_eq!(reply["outcome"], "accepted", "{reply}");
    assert_eq!(service.mailbox().await.len(), 1);
}
