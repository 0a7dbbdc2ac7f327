//! A device leaves its account, and everything it had ends with it. K17, X37, X43, X68, I7, I14.

use aws_sdk_dynamodb::types::AttributeValue;
use reqwest::Method;
use scenarios::{
    RawDevice, Service,
    household::{Household, Newcomer, all_rows},
    send_frame,
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

const MESSAGE: &str = "01999999-0000-7000-8000-000000000001";

fn entry(device: &RawDevice) -> Value {
    json!({
        "device": device.device.address.device,
        "registration": device.device.registration,
        "ciphertext": "A".repeat(64),
    })
}

/// The mailbox, pool, record and keys of a device: how many rows each has.
async fn rows_of(service: &Service, device: &RawDevice) -> [usize; 4] {
    let owned = |item: &scenarios::service::Item| {
        item["o"].as_b().unwrap().as_ref() == device.device.to_bytes().as_slice()
    };
    let addressed = |item: &scenarios::service::Item| {
        let address = device.device.address.to_bytes();
        let key = [
            item["a"].as_b().unwrap().as_ref(),
            item["d"].as_b().unwrap().as_ref(),
        ]
        .concat();
        key == address
    };
    [
        service
            .items("MailboxTable")
            .await
            .iter()
            .filter(|item| owned(item))
            .count(),
        service
            .items("PrekeysTable")
            .await
            .iter()
            .filter(|item| owned(item))
            .count(),
        service
            .items("DevicesTable")
            .await
            .iter()
            .filter(|item| addressed(item))
            .count(),
        service
            .items("KeysTable")
            .await
            .iter()
            .filter(|item| addressed(item))
            .count(),
    ]
}

/// X68: token, socket, prekeys and mailbox of a removed device have ended when the answer comes.
#[tokio::test]
async fn x68_a_device_that_is_removed_while_connected_has_nothing_left() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 3).await;
    let tablet = home.add(&service, 100).await;
    let laptop = home.add(&service, 2).await;
    let bob = RawDevice::register(&service, 0).await;
    let mut bob_socket = bob.connect().await;
    let frame = send_frame(
        MESSAGE,
        json!(home.account()),
        json!([entry(&home.first), entry(&tablet), entry(&laptop)]),
    );
    let sent = bob_socket.outcome(frame.clone()).await;
    assert_eq!(sent["outcome"], "accepted", "{sent}");
    assert_eq!(rows_of(&service, &tablet).await, [1, 100, 1, 1]);
    let mut tablet_socket = tablet.connect().await;
    let mut laptop_socket = laptop.connect().await;

    let list = home.list_without(&[2]);
    let revoked = home.revoke(&list).await;
    assert_eq!(revoked.body, json!({ "ended": 1 }), "{revoked:?}");
    assert_eq!(rows_of(&service, &tablet).await, [0, 0, 0, 0]);
    assert_eq!(rows_of(&service, &laptop).await, [1, 2, 1, 1]);

    let news = tablet_socket.next_news("removed").await;
    assert_eq!(news, json!({ "type": "removed", "reason": "revoked" }));
    let _code = tablet_socket.close_code().await;
    match tablet.connect_with(&format!("Bearer {}", tablet.token())).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 401),
        other => panic!("a removed device must not connect: {:?}", other.err()),
    }
    for (method, path) in [
        (Method::GET, format!("/v1/keys/{}", home.account())),
        (Method::POST, "/v1/keys".to_owned()),
        (Method::POST, "/v1/links".to_owned()),
        (Method::POST, "/v1/devices/revoke".to_owned()),
    ] {
        let answer = tablet.http(method, &path).json(&json!({})).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }

    assert_eq!(
        laptop_socket.next_news("devices_changed").await["account"],
        json!(home.account())
    );
    let claimed = bob_socket
        .request(json!({ "action": "claim", "account": home.account() }))
        .await;
    assert_eq!(claimed["list"], json!(list));
    let devices: Vec<_> = claimed["bundles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bundle| &bundle["device"])
        .collect();
    assert_eq!(devices, [1, 3]);
    let again = send_frame(
        "01999999-0000-7000-8000-000000000002",
        json!(home.account()),
        json!([entry(&home.first), entry(&tablet), entry(&laptop)]),
    );
    let mismatch = bob_socket.outcome(again).await;
    assert_eq!(mismatch["accounts"][0]["gone"], json!([2]), "{mismatch}");
    assert_eq!(
        rows_of(&service, &tablet).await,
        [0, 0, 0, 0],
        "nothing is put for it any more"
    );
}

#[tokio::test]
async fn i14_a_removal_twice_leaves_what_once_leaves() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 2).await;
    home.add(&service, 2).await;
    let list = home.list_without(&[2]);
    assert_eq!(home.revoke(&list).await.body, json!({ "ended": 1 }));
    let before = all_rows(&service).await;
    assert_eq!(home.revoke(&list).await.body, json!({ "ended": 0 }));
    assert_eq!(before, all_rows(&service).await);
    assert!(
        service
            .items("AccountsTable")
            .await
            .iter()
            .all(|item| !item.contains_key("e"))
    );
}

/// X68: should the connection of a removed device still be open, its next frame is refused and the connection closed; no
/// prekey is handed out to it. A message that it sends may have been put before that.
#[tokio::test]
async fn x68_a_device_that_is_gone_is_refused_over_an_open_connection_which_is_closed() {
    for frame in ["send", "claim"] {
        let service = Service::start().await;
        let alice = RawDevice::register(&service, 0).await;
        let bob = RawDevice::register(&service, 1).await;
        let mut socket = alice.connect().await;
        // The record as it is after a removal and another registration whose closing of the connection went wrong.
        let items = service.items("DevicesTable").await;
        let own = |item: &&scenarios::service::Item| {
            item["a"].as_b().unwrap().as_ref() == alice.account().to_bytes()
        };
        let mut item = items.iter().find(own).unwrap().clone();
        let other = alice.device.registration.get() ^ 1;
        item.insert("r".into(), AttributeValue::N(other.to_string()));
        service.put("DevicesTable", item).await;

        let request = match frame {
            "send" => send_frame(MESSAGE, json!(bob.account()), json!([entry(&bob)])),
            _ => json!({ "action": "claim", "account": bob.account() }),
        };
        let mut request = request;
        request["request"] = json!(1);
        socket.send_text(request.to_string()).await;
        let _code = socket.close_code().await;
        assert_eq!(
            service.items("PrekeysTable").await.len(),
            1,
            "no prekey was taken"
        );
    }
}

/// X68: keys that a device uploads while it is removed go with it, whichever of the two comes first.
#[tokio::test]
async fn x68_an_upload_that_races_a_removal_leaves_no_key_behind() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    for _ in 0..5 {
        let tablet = home.add(&service, 0).await;
        let list = home.list_without(&[2]);
        let keys = scenarios::raw::new_keys(100).public.one_time_prekeys;
        let upload = tablet
            .http(Method::POST, "/v1/keys")
            .json(&json!({ "one_time_prekeys": keys }));
        let (uploaded, revoked) = tokio::join!(upload.send(), home.revoke(&list));
        assert_eq!(revoked.status, 200, "{revoked:?}");
        home.list = list;
        let status = uploaded.unwrap().status().as_u16();
        assert!(matches!(status, 200 | 401), "{status}");
        assert_eq!(rows_of(&service, &tablet).await, [0, 0, 0, 0]);
    }
}

/// X37, I7: what is sent after the removal is put for nobody who was removed, whichever of the two comes first.
#[tokio::test]
async fn x43_a_message_that_races_a_removal_reaches_exactly_who_is_left() {
    let service = Service::start().await;
    let bob = RawDevice::register(&service, 0).await;
    let mut socket = bob.connect().await;
    let mut home = Household::register(&service, 0).await;
    for round in 0..5 {
        let tablet = home.add(&service, 0).await;
        let list = home.list_without(&[2]);
        let message = format!("01999999-0000-7000-8000-0000000001{round:02}");
        let both = json!([entry(&home.first), entry(&tablet)]);
        let frame = send_frame(&message, json!(home.account()), both);
        let (outcome, revoked) = tokio::join!(socket.outcome(frame), home.revoke(&list));
        assert_eq!(revoked.status, 200, "{revoked:?}");
        home.list = list;
        match outcome["outcome"].as_str().unwrap() {
            // Then it was in both mailboxes before the removal emptied one of them.
            "accepted" => {}
            "mismatch" => {
                assert_eq!(outcome["accounts"][0]["gone"], json!([2]), "{outcome}");
                let left = json!([entry(&home.first)]);
                let outcome = socket
                    .outcome(send_frame(&message, json!(home.account()), left))
                    .await;
                assert_eq!(outcome["outcome"], "accepted", "{outcome}");
            }
            other => panic!("{other}"),
        }
        assert_eq!(rows_of(&service, &home.first).await[0], round + 1);
    }
}

/// X43, I6: a message that races the acceptance of a device is accepted only without it or with it, never by halves.
#[tokio::test]
async fn x43_a_message_that_races_a_new_device_names_it_or_was_there_before() {
    let service = Service::start().await;
    let bob = RawDevice::register(&service, 0).await;
    let mut socket = bob.connect().await;
    let mut home = Household::register(&service, 0).await;
    for round in 0..5 {
        let laptop = Newcomer::new(0);
        let token = laptop.request.token;
        home.offer(token).await;
        laptop.ask(&service).await;
        let list = home.list_with(&laptop, 2);
        let message = format!("01999999-0000-7000-8000-0000000002{round:02}");
        let frame = send_frame(&message, json!(home.account()), json!([entry(&home.first)]));
        let (outcome, answered) = tokio::join!(socket.outcome(frame), home.answer(token, Some(&list)));
        assert_eq!(answered.status, 200, "{answered:?}");
        home.list = list;
        let laptop = laptop.device(&service, home.account(), 2);
        if outcome["outcome"] == "mismatch" {
            assert_eq!(outcome["accounts"][0]["missing"][0]["device"], 2, "{outcome}");
            let both = json!([entry(&home.first), entry(&laptop)]);
            let outcome = socket
                .outcome(send_frame(&message, json!(home.account()), both))
                .await;
            assert_eq!(outcome["outcome"], "accepted", "{outcome}");
            assert_eq!(rows_of(&service, &laptop).await[0], 1);
        } else {
            assert_eq!(outcome["outcome"], "accepted", "{outcome}");
        }
        // From now on nobody is accepted without the laptop.
        let after = format!("01999999-0000-7000-8000-0000000003{round:02}");
        let frame = send_frame(&after, json!(home.account()), json!([entry(&home.first)]));
        assert_eq!(socket.outcome(frame).await["outcome"], "mismatch");
        home.remove(&[2]).await;
    }
}

#[tokio::test]
async fn a_removed_devices_id_is_free_for_another_that_starts_empty() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    let former = home.add(&service, 1).await;
    home.remove(&[2]).await;
    let latter = home.add(&service, 1).await;
    assert_eq!(latter.device.address, former.device.address);
    assert_ne!(latter.device.registration, former.device.registration);
    let refused = former.connect_with(&format!("Bearer {}", former.token())).await;
    assert!(refused.is_err(), "the former token opens nothing of the latter");
    latter.connect().await;
}
