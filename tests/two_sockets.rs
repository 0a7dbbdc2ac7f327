//! Two sockets of one device: the newer one stays, the older one is closed, and no message is lost. X70.

use scenarios::{Phone, RawDevice, Service};
use serde_json::json;

#[tokio::test]
async fn x70_a_second_connection_of_a_device_closes_the_first_and_gets_the_messages() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = RawDevice::register(&service, 1).await;
    let mut first = bob.connect().await;
    assert_eq!(first.request(json!({"action": "receive"})).await["type"], "page");
    let mut second = bob.connect().await;
    assert_eq!(second.request(json!({"action": "receive"})).await["type"], "page");
    let _code = first.close_code().await;

    alice
        .client
        .send_text(bob.account(), "to the newer one")
        .await
        .unwrap();
    let delivery = second.next_news("delivery").await;
    assert_eq!(delivery["envelopes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn x70_the_late_end_of_an_old_connection_does_not_forget_the_new_one() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = RawDevice::register(&service, 1).await;
    let mut first = bob.connect().await;
    let mut second = bob.connect().await;
    let _code = first.close_code().await;
    // The end of the first connection has been told to the service when its `$disconnect` was counted.
    scenarios::until("$disconnect of the first", async || {
        service.invocations("disconnect") == 1
    })
    .await;
    alice.client.send_text(bob.account(), "still here").await.unwrap();
    second.next_news("delivery").await;
}
