//! Limits: how many requests an account makes, and how many one-time prekeys of an account are handed out.

use std::{collections::BTreeSet, time::Duration};

use futures_util::future::join_all;
use reqwest::Method;
use scenarios::{
    RawDevice, Service,
    accounts::{answer, service_at_the_beginning_of},
};
use serde_json::{Value, json};
use waxwing_local::runner::RunnerConfig;

/// I15, R9: two instances serve the account, one of `connect` and one of `ack`. The first of its requests that is refused is
/// within 2 · 15 of the 512th; others are not touched, and the next minute is a new one.
#[tokio::test]
async fn i15_an_account_gets_its_requests_of_a_minute_and_a_stated_slack() {
    let service = service_at_the_beginning_of(60).await;
    let (busy, calm) = (
        RawDevice::register(&service, 0).await,
        RawDevice::register(&service, 0).await,
    );
    let mut socket = busy.connect().await;
    let mut passed = 0;
    let refusal = loop {
        let reply = socket
            .request(json!({"action": "ack", "ids": [ack_of_nothing(&calm)]}))
            .await;
        match reply["type"].as_str() {
            Some("acked") => passed += 1,
            _ => break reply,
        }
        assert!(passed < 600, "no bound");
    };
    // Before them the connection passed, and after them one was refused.
    let refused = 1 + passed + 1;
    assert!((512 - 2 * 15..=512 + 2 * 15).contains(&refused), "{refused}");
    assert_eq!(refusal["code"], "rate_limited");
    assert_eq!(refusal["retryable"], true);
    assert!((1..=60).contains(&refusal["retry_after_seconds"].as_u64().unwrap()));

    let mut other = calm.connect().await;
    assert_eq!(other.request(json!({"action": "receive"})).await["type"], "page");
    service.let_time_pass(60);
    assert_eq!(socket.request(json!({"action": "receive"})).await["type"], "page");
}

fn ack_of_nothing(device: &RawDevice) -> Value {
    json!({
        "message": "019b78ff-f900-7c3e-8d21-4b5f60718293",
        "from": { "account": device.account(), "device": 1 },
    })
}

/// I15: the sockets' and the HTTP routes' requests are counted together.
#[tokio::test]
async fn i15_http_requests_count_with_the_frames() {
    let service = service_at_the_beginning_of(60).await;
    let busy = RawDevice::register(&service, 0).await;
    let path = format!("/v1/keys/{}", busy.account());
    let mut socket = busy.connect().await;
    let requests = (0..640).map(|_| answer(busy.http(Method::GET, &path)));
    let mut refused = 0;
    let mut requests = requests.collect::<Vec<_>>();
    while !requests.is_empty() {
        let batch = requests.split_off(requests.len().saturating_sub(40));
        for answer in join_all(batch).await {
            if answer.status != 200 {
                assert_eq!((answer.status, answer.code()), (429, "rate_limited"));
                assert!((1..=60).contains(&answer.retry_after.unwrap()));
                refused += 1;
            }
        }
    }
    assert!(refused > 0);
    // Forty at a time: those that were under way when the bound was met pass.
    let mut seen = 0;
    while socket.request(json!({"action": "receive"})).await["type"] == "page" {
        seen += 1;
        assert!(
            seen <= 16,
            "another function writes its sixteenth request down and is told"
        );
    }
}

/// R9: at most a sixteenth of a write for each request.
#[tokio::test]
async fn r09_counting_costs_a_sixteenth_of_a_write() {
    let service = service_at_the_beginning_of(60).await;
    let device = RawDevice::register(&service, 0).await;
    let mut socket = device.connect().await;
    for _ in 0..320 {
        assert_eq!(socket.request(json!({"action": "receive"})).await["type"], "page");
    }
    let counted = service.items("LimitsTable").await;
    let sum: u64 = counted
        .iter()
        .filter(|item| item["k"].as_b().unwrap().as_ref()[0] == 1)
        .map(|item| item["n"].as_n().unwrap().parse::<u64>().unwrap())
        .sum();
    assert!(
        (320..=336).contains(&sum),
        "twenty writes, one more for what the memory began with: {sum}"
    );
}

/// X9: a crowd that drains one account gets forty of its one-time prekeys in an hour. The account stays in reach, and
/// no other account is touched.
#[tokio::test]
async fn x09_sixty_four_claimers_do_not_drain_a_target() {
    let service = service_at_the_beginning_of(3_600).await;
    let target = RawDevice::register(&service, 100).await;
    let bystander = RawDevice::register(&service, 100).await;
    let crowd = join_all((0..64).map(async |_| RawDevice::register(&service, 0).await)).await;
    let mut sockets = join_all(crowd.iter().map(RawDevice::connect)).await;
    let claim = json!({"action": "claim", "account": target.account()});
    let replies = join_all(sockets.iter_mut().map(|socket| socket.request(claim.clone()))).await;
    let (mut with, mut without) = (0, 0);
    for reply in replies {
        assert_eq!(reply["type"], "bundles", "{reply}");
        match reply["bundles"][0]["one_time_prekey"].is_object() {
            true => with += 1,
            false => without += 1,
        }
    }
    assert_eq!((with, without), (40, 24));
    assert_eq!(service.items("PrekeysTable").await.len(), 60 + 100);
    let other = json!({"action": "claim", "account": bystander.account()});
    let reply = sockets[0].request(other).await;
    assert!(reply["bundles"][0]["one_time_prekey"].is_object(), "{reply}");

    service.let_time_pass(3_600);
    let reply = sockets[1].request(claim).await;
    assert!(
        reply["bundles"][0]["one_time_prekey"].is_object(),
        "an hour later: {reply}"
    );
}

/// X9: one account claims another's bundles thirty times in an hour, its own freely.
#[tokio::test]
async fn x09_one_claimer_cannot_spend_the_targets_budget() {
    let service = service_at_the_beginning_of(3_600).await;
    let target = RawDevice::register(&service, 100).await;
    let claimer = RawDevice::register(&service, 5).await;
    let mut socket = claimer.connect().await;
    let claim = json!({"action": "claim", "account": target.account()});
    for _ in 0..30 {
        let reply = socket.request(claim.clone()).await;
        assert!(reply["bundles"][0]["one_time_prekey"].is_object(), "{reply}");
    }
    let refused = socket.request(claim.clone()).await;
    assert_eq!(refused["code"], "rate_limited");
    assert!((1..=3_600).contains(&refused["retry_after_seconds"].as_u64().unwrap()));
    assert_eq!(service.items("PrekeysTable").await.len(), 70 + 5);
    let other = RawDevice::register(&service, 0).await;
    let reply = other.connect().await.request(claim).await;
    assert!(reply["bundles"][0]["one_time_prekey"].is_object(), "{reply}");
    let own = json!({"action": "claim", "account": claimer.account()});
    for _ in 0..35 {
        assert_eq!(socket.request(own.clone()).await["type"], "bundles");
    }
}

/// I3: whoever is refused asks again, and has to know that the others are not to be asked again.
#[tokio::test]
async fn i3_a_refusal_of_the_gateway_fails_one_request_and_neither_the_others_nor_the_connection() {
    const AT_ONCE: u64 = 20;
    let mut config = RunnerConfig::default();
    for (name, value) in [("RequestsPerSecond", "1"), ("RequestBurst", "8")] {
        config.parameters.insert(name.to_owned(), value.to_owned());
    }
    let service = Service::start_with(config).await;
    let device = RawDevice::register(&service, 0).await;
    let mut socket = device.connect().await;
    for request in 1..=AT_ONCE {
        let frame = json!({"action": "receive", "request": 100 + request});
        socket.send_text(frame.to_string()).await;
    }
    let (mut answered, mut refused) = (BTreeSet::new(), 0);
    for _ in 0..AT_ONCE {
        let frame = socket.next_json().await;
        if frame["message"] == "Too Many Requests" {
            assert!(frame["request"].is_null(), "it names none: {frame}");
            refused += 1;
        } else {
            assert_eq!(frame["type"], "page", "{frame}");
            assert!(
                answered.insert(frame["request"].as_u64().unwrap()),
                "answered twice: {frame}"
            );
        }
    }
    assert!(
        refused > 0 && answered.len() >= 7,
        "{refused} refused, {answered:?} answered"
    );
    // What was let in is the beginning: nothing that was let in is lost behind what was refused.
    assert!(
        (101..=107).all(|request| answered.contains(&request)),
        "{answered:?}"
    );
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(socket.request(json!({"action": "receive"})).await["type"], "page");
}
