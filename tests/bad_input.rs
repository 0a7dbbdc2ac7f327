//! Whatever a stranger sends gets a typed error, and nothing changes.

use scenarios::{RawDevice, RawSocket, Service, send_frame};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

async fn refused(socket: &mut RawSocket, frame: Value, code: &str) {
    let reply = socket.request(frame.clone()).await;
    assert_eq!(reply["type"], "error", "{frame} → {reply}");
    assert_eq!(reply["code"], code, "{frame} → {reply}");
    assert!(
        reply["message"].as_str().is_some_and(|text| text.len() > 10),
        "a sentence for a person: {reply}"
    );
    assert!(reply["retryable"].is_boolean(), "{reply}");
}

#[tokio::test]
async fn every_bad_frame_gets_a_typed_error_and_changes_nothing() {
    let service = Service::start().await;
    let device = RawDevice::register(&service, 5).await;
    let other = RawDevice::register(&service, 5).await;
    let mut socket = device.connect().await;
    let before = service.everything().await.len();

    let account = other.account();
    let registration = other.device.registration.get();
    let message = "01999999-0000-7000-8000-000000000001";
    let nobody = "6f9619ff-8b86-4011-b42d-00c04fc964ff";
    let ciphertext = "A".repeat(64);
    let to = |account: Value, device: Value| send_frame(message, account, vec![device]);
    let good = json!({"device": 1, "registration": registration, "ciphertext": ciphertext});
    let with = |field: &str, value: Value| {
        let mut device = good.clone();
        device[field] = value;
        to(json!(account), device)
    };

    refused(&mut socket, json!({"action": "fly"}), "unknown_action").await;
    refused(&mut socket, json!({"action": 7}), "unknown_action").await;
    refused(&mut socket, json!({"action": "send"}), "malformed").await;
    refused(
        &mut socket,
        json!({"action": "send", "messages": []}),
        "malformed",
    )
    .await;
    let to_nobody = json!({"action": "send", "messages": [{"message": message, "recipients": []}]});
    refused(&mut socket, to_nobody, "malformed").await;
    let outcome = socket.outcome(to(json!(nobody), good.clone())).await;
    assert_eq!(outcome["code"], "unknown_account", "{outcome}");
    // X72: text from outside never becomes part of a key.
    for id in [
        "#",
        "a#b",
        "\u{0}",
        "🐦",
        &"x".repeat(2048),
        &account.to_string().to_uppercase(),
    ] {
        refused(&mut socket, to(json!(id), good.clone()), "malformed").await;
        refused(
            &mut socket,
            json!({"action": "claim", "account": id}),
            "malformed",
        )
        .await;
    }
    for (field, value) in [
        ("device", json!(0)),
        ("device", json!(128)),
        ("device", json!(-1)),
        ("registration", json!(0)),
        ("registration", json!(1u64 << 31)),
        ("ciphertext", json!("")),
        ("ciphertext", json!("not base64!")),
        ("ciphertext", json!("A".repeat(20_000))),
        ("unknown", json!(true)),
    ] {
        refused(&mut socket, with(field, value), "malformed").await;
    }
    let twice = send_frame(message, json!(account), vec![good.clone(), good]);
    refused(&mut socket, twice, "malformed").await;
    refused(&mut socket, json!({"action": "ack", "ids": []}), "malformed").await;
    let id = json!({"message": message, "from": {"account": account, "device": 1}});
    refused(
        &mut socket,
        json!({"action": "ack", "ids": vec![id.clone(); 101]}),
        "too_large",
    )
    .await;
    // X71: an ack cannot name another device's mailbox.
    refused(
        &mut socket,
        json!({"action": "ack", "ids": [id], "device": 1}),
        "malformed",
    )
    .await;
    refused(&mut socket, json!({"action": "receive", "after": 3}), "malformed").await;
    refused(
        &mut socket,
        json!({"action": "claim", "account": nobody}),
        "unknown_account",
    )
    .await;

    for text in [
        "",
        "[]",
        "null",
        "{\"action\":\"send\"",
        "no json at all",
        "{\"action\":\"ack\",\"action\":\"ack\"}",
    ] {
        socket.send_text(text).await;
        let reply = socket.next_json().await;
        assert_eq!(reply["type"], "error", "{text:?} → {reply}");
    }
    assert_eq!(service.everything().await.len(), before);
}

/// X71, I2: the mailbox of an ack is the connection's own.
#[tokio::test]
async fn x71_a_foreign_ack_deletes_nothing() {
    let service = Service::start().await;
    let alice = RawDevice::register(&service, 0).await;
    let bob = RawDevice::register(&service, 0).await;
    let mallory = RawDevice::register(&service, 0).await;
    let message = "01999999-0000-7000-8000-000000000001";
    let device =
        json!({"device": 1, "registration": bob.device.registration.get(), "ciphertext": "A".repeat(64)});
    let send = send_frame(message, json!(bob.account()), vec![device]);
    assert_eq!(alice.connect().await.outcome(send).await["outcome"], "accepted");

    let ack = json!({"action": "ack", "ids": [{"message": message, "from": {"account": alice.account(), "device": 1}}]});
    mallory.connect().await.request(ack.clone()).await;
    assert_eq!(service.mailbox().await.len(), 1, "still there");
    let named = json!({"action": "ack", "ids": ack["ids"], "account": bob.account()});
    refused(&mut mallory.connect().await, named, "malformed").await;
    assert_eq!(service.mailbox().await.len(), 1, "still there");
    assert_eq!(bob.connect().await.request(ack).await["type"], "acked");
    assert!(service.mailbox().await.is_empty());
}

/// The same id with other bytes is refused: what was accepted stays as it was.
#[tokio::test]
async fn a_message_id_used_again_for_other_bytes_is_refused() {
    let service = Service::start().await;
    let alice = RawDevice::register(&service, 0).await;
    let bob = RawDevice::register(&service, 0).await;
    let mut socket = alice.connect().await;
    let send = |letter: &str| {
        let device = json!({"device": 1, "registration": bob.device.registration.get(), "ciphertext": letter.repeat(64)});
        send_frame(
            "01999999-0000-7000-8000-000000000001",
            json!(bob.account()),
            vec![device],
        )
    };
    assert_eq!(socket.outcome(send("A")).await["outcome"], "accepted");
    let before = service.mailbox().await;
    assert_eq!(
        socket.outcome(send("A")).await["outcome"],
        "accepted",
        "a repetition changes nothing"
    );
    assert_eq!(socket.outcome(send("B")).await["code"], "message_id_reused");
    assert_eq!(service.mailbox().await, before);
}

/// X82: at the limit, below it and above it.
#[tokio::test]
async fn x82_frames_and_messages_beyond_api_gateways_limits_close_the_connection() {
    let service = Service::start().await;
    let device = RawDevice::register(&service, 0).await;
    let frame = |bytes: usize| {
        let empty = r#"{"action":"fly","x":""}"#;
        empty.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - empty.len())))
    };
    for bytes in [32 * 1024 - 1, 32 * 1024] {
        let mut socket = device.connect().await;
        socket.send_text(frame(bytes)).await;
        assert_eq!(socket.next_json().await["code"], "unknown_action");
    }
    let mut socket = device.connect().await;
    socket.send_text(frame(32 * 1024 + 1)).await;
    assert_eq!(socket.close_code().await, 1009);
    let mut socket = device.connect().await;
    socket.send_message(Message::binary(vec![1, 2, 3])).await;
    assert_eq!(socket.close_code().await, 1003);
}

/// X82: at the limit, below it and above it, through the HTTP API.
#[tokio::test]
async fn x82_a_body_beyond_its_bound_is_refused_by_its_size() {
    let service = Service::start().await;
    let device = RawDevice::register(&service, 0).await;
    for (bytes, status, code) in [
        (32 * 1024 - 1, 400, "malformed"),
        (32 * 1024, 400, "malformed"),
        (32 * 1024 + 1, 413, "too_large"),
    ] {
        let request = device.http(reqwest::Method::POST, "/v1/keys");
        let response = request.body(" ".repeat(bytes)).send().await.unwrap();
        assert_eq!(response.status(), status, "{bytes}");
        assert_eq!(response.json::<Value>().await.unwrap()["code"], code);
    }
}

#[tokio::test]
async fn every_bad_http_request_gets_a_status_and_a_typed_error() {
    let service = Service::start().await;
    let device = RawDevice::register(&service, 0).await;
    let keys = scenarios::raw::new_keys(101).public.one_time_prekeys;
    let before = service.everything().await.len();
    for (body, status, code) in [
        (json!({"one_time_prekeys": keys}).to_string(), 413, "too_large"),
        (
            json!({"one_time_prekeys": [keys[1], keys[0]]}).to_string(),
            400,
            "malformed",
        ),
        // X1: 02 followed by 32 bytes of 01 is no point of the curve with this x-coordinate's parity, or it is
        // not on it; all-ones certainly exceeds the field.
        (
            json!({"one_time_prekeys": [{"id": 1, "key": format!("Av{}", "_".repeat(42))}]}).to_string(),
            400,
            "invalid_key",
        ),
        ("{".to_owned(), 400, "malformed"),
        (String::new(), 400, "malformed"),
    ] {
        let response = device
            .http(reqwest::Method::POST, "/v1/keys")
            .body(body.clone())
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), status, "{:.80}", body);
        let problem: Value = response.json().await.unwrap();
        assert_eq!(problem["code"], code, "{:.80} → {problem}", body);
    }
    for id in ["nobody", "%23", "6f9619ff-8b86-4011-b42d-00c04fc964ff"] {
        let response = device
            .http(reqwest::Method::GET, &format!("/v1/keys/{id}"))
            .send()
            .await
            .unwrap();
        assert!(
            matches!(response.status().as_u16(), 400 | 404),
            "{id}: {}",
            response.status()
        );
        assert!(response.json::<Value>().await.unwrap()["code"].is_string());
    }
    assert_eq!(service.everything().await.len(), before);
}
