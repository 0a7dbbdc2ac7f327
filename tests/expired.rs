//! TTL deletion lags by days: what has expired is in the table and must not be delivered. I12, X73.

use scenarios::{Phone, RawDevice, Service};
use serde_json::json;

const DAY: i64 = 24 * 60 * 60;

#[tokio::test]
async fn x73_an_expired_message_still_in_the_table_is_never_delivered() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = RawDevice::register(&service, 1).await;
    alice
        .client
        .send_text(bob.account(), "thirty days ago")
        .await
        .unwrap();
    alice.until_accepted().await;

    service.let_time_pass(30 * DAY - 60);
    let page = bob.connect().await.request(json!({"action": "receive"})).await;
    assert_eq!(
        page["envelopes"].as_array().unwrap().len(),
        1,
        "alive is never hidden: {page}"
    );

    service.let_time_pass(120);
    assert_eq!(service.mailbox().await.len(), 1, "the table still has it");
    let page = bob.connect().await.request(json!({"action": "receive"})).await;
    assert_eq!(page["envelopes"].as_array().unwrap().len(), 0, "{page}");
}

#[tokio::test]
async fn x73_the_time_to_live_is_seconds_thirty_days_ahead() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::registered(&service).await;
    let sent = alice
        .client
        .send_text(bob.account(), "for a month")
        .await
        .unwrap();
    alice.until_accepted().await;
    // A message id begins with the time it was made, in milliseconds.
    let millis = u64::from_str_radix(&sent.to_string().replace('-', "")[..12], 16).unwrap();
    let expires: u64 = service.mailbox().await[0]["expires_at"]
        .as_n()
        .unwrap()
        .parse()
        .unwrap();
    let life = expires - millis / 1000;
    assert!(
        (30 * 24 * 60 * 60..30 * 24 * 60 * 60 + 60).contains(&life),
        "{life} seconds"
    );
}
