//! One-time prekeys under a crowd. I5.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use scenarios::{RawDevice, Service};
use serde_json::json;

#[tokio::test]
async fn i5_sixty_four_claimers_get_each_of_thirty_keys_once_and_then_none() {
    let service = Service::start().await;
    let target = RawDevice::register(&service, 30).await;
    let mut owner = target.connect().await;
    owner.request(json!({"action": "receive"})).await;

    let (keys, without) = claimed_by_a_crowd(&service, &target).await;
    let distinct: BTreeSet<_> = keys.iter().copied().collect();
    assert_eq!(keys.len(), 30, "every key is handed out");
    assert_eq!(distinct.len(), 30, "none twice");
    assert_eq!(without, 64 - 30, "and then it says there is none");

    let news = owner.next_news("prekeys_low").await;
    assert!(news["remaining"].as_u64().unwrap() <= 20);
}

/// The budget of a target holds whatever the crowd; the target stays in reach, and others are not concerned.
#[tokio::test]
async fn x9_sixty_four_claimers_do_not_drain_one_target() {
    let service = Service::start().await;
    let target = RawDevice::register(&service, 100).await;
    let other = RawDevice::register(&service, 5).await;
    let (keys, without) = claimed_by_a_crowd(&service, &target).await;
    assert_eq!(keys.len(), 40, "as many as an hour allows");
    assert_eq!(
        without,
        64 - 40,
        "the others are told that there is none for them"
    );
    let claimer = RawDevice::register(&service, 0).await;
    let claim = json!({"action": "claim", "account": other.account()});
    let reply = claimer.connect().await.request(claim).await;
    assert!(reply["bundles"][0]["one_time_prekey"].is_object(), "{reply}");
}

/// The ids of the keys that 64 accounts get who claim at once, and how many get none.
async fn claimed_by_a_crowd(service: &Service, target: &RawDevice) -> (Vec<u64>, usize) {
    let claimers = join_all((0..64).map(async |_| RawDevice::register(service, 0).await)).await;
    let mut sockets = join_all(claimers.iter().map(RawDevice::connect)).await;
    let claim = json!({"action": "claim", "account": target.account()});
    let replies = join_all(sockets.iter_mut().map(|socket| socket.request(claim.clone()))).await;
    let (mut keys, mut without) = (Vec::new(), 0);
    for reply in replies {
        assert_eq!(reply["type"], "bundles", "{reply}");
        let bundle = &reply["bundles"][0];
        assert_eq!(bundle["device"], 1);
        match bundle["one_time_prekey"].as_object() {
            Some(key) => keys.push(key["id"].as_u64().unwrap()),
            None => without += 1,
        }
    }
    (keys, without)
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
    let again = upload().await;
    assert_eq!((&again["stored"], &again["highest"]), (&json!(0), &json!(10)));
    assert_eq!(again["gone"].as_array().unwrap().len(), 4, "{again}");
    assert_eq!(service.items("PrekeysTable").await.len(), 6);
}
