//! One-time prekeys under a crowd. I5.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use scenarios::{RawDevice, Service};
use serde_json::json;

#[tokio::test]
async fn i5_sixty_four_claimers_get_each_of_a_hundred_keys_once_and_then_none() {
    let service = Service::start().await;
    let target = RawDevice::register(&service, 100).await;
    let mut owner = target.connect().await;
    owner.request(json!({"action": "receive"})).await;

    let claimers = join_all((0..64).map(async |_| RawDevice::register(&service, 0).await)).await;
    let mut sockets = join_all(claimers.iter().map(RawDevice::connect)).await;
    let mut keys = Vec::new();
    let mut without = 0;
    for _round in 0..2 {
        let claim = json!({"action": "claim", "account": target.account()});
        let replies = join_all(sockets.iter_mut().map(|socket| socket.request(claim.clone()))).await;
        for reply in replies {
            assert_eq!(reply["type"], "bundles", "{reply}");
            let bundle = &reply["bundles"][0];
            assert_eq!(bundle["device"], 1);
            match bundle["one_time_prekey"].as_object() {
                Some(key) => keys.push(key["id"].as_u64().unwrap()),
                None => without += 1,
            }
        }
    }
    let distinct: BTreeSet<_> = keys.iter().copied().collect();
    assert_eq!(keys.len(), 100, "every key is handed out");
    assert_eq!(distinct.len(), 100, "none twice");
    assert_eq!(without, 2 * 64 - 100, "and then it says there is none");
    assert!(service.items("PrekeysTable").await.is_empty());

    let news = owner.next_news("prekeys_low").await;
    assert!(news["remaining"].as_u64().unwrap() <= 20);
}

/// X12: uploading a batch again, taken keys among it, brings none back.
#[tokio::test]
async fn x12_a_repeated_upload_never_brings_a_taken_key_back() {
    let service = Service::start().await;
    let target = RawDevice::register(&service, 0).await;
    let claimer = RawDevice::register(&service, 0).await;
    let mut socket = claimer.connect().await;
    let keys = scenarios::raw::new_keys(10).public.one_time_prekeys;
    let body = json!({"one_time_prekeys": keys});
    let upload = async || {
        let response = target
            .http(reqwest::Method::POST, "/v1/keys")
            .json(&body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        response.json::<serde_json::Value>().await.unwrap()
    };
    assert_eq!(upload().await, json!({"stored": 10, "highest": 10}));
    let claim = json!({"action": "claim", "account": target.account()});
    for _ in 0..4 {
        assert!(socket.request(claim.clone()).await["bundles"][0]["one_time_prekey"].is_object());
    }
    assert_eq!(upload().await, json!({"stored": 0, "highest": 10}));
    assert_eq!(service.items("PrekeysTable").await.len(), 6);
}
