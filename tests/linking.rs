//! A new device joins an account. K18, X41, X43, I14.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use scenarios::{
    Service,
    accounts::post,
    household::{Household, Newcomer, all_rows},
};
use serde_json::json;
use waxwing_client::wire::{DeviceList, limits::OFFER_LIFE_SECONDS, secret::LinkToken};

fn token() -> LinkToken {
    let mut rng: StdRng = rand::make_rng();
    LinkToken::random(&mut rng)
}

#[tokio::test]
async fn a_new_device_is_in_the_account_once_the_first_has_accepted_it() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 3).await;
    let tablet = home.add(&service, 0).await;
    let mut first = home.first.connect().await;
    let mut tablet = tablet.connect().await;

    let laptop = Newcomer::new(5);
    assert_eq!(
        home.offer(laptop.request.token).await.body["expires_in_seconds"],
        300
    );
    let waiting = laptop.ask(&service).await;
    assert_eq!(waiting.body, json!({ "status": "waiting", "next_in_seconds": 2 }));
    let news = first.next_news("link_requested").await;
    assert_eq!(news["device"], 3);
    assert_eq!(news["token"], json!(laptop.request.token));
    assert_eq!(news["sealed"], json!(laptop.request.sealed));
    assert_eq!(news["registration"], json!(laptop.request.device.registration));
    assert_eq!(
        news["signing_key"],
        json!(laptop.request.device.identity.signing_key)
    );
    let before = home
        .first
        .http(reqwest::Method::GET, &format!("/v1/keys/{}", home.account()));
    let before: serde_json::Value = before.send().await.unwrap().json().await.unwrap();
    assert_eq!(
        before["devices"].as_array().unwrap().len(),
        2,
        "not in before the answer"
    );

    let list = home.list_with(&laptop, 3);
    let answered = home.answer(laptop.request.token, Some(&list)).await;
    assert_eq!(answered.body, json!({ "linked": true }), "{answered:?}");
    let news = tablet.next_news("devices_changed").await;
    assert_eq!(
        news["account"],
        json!(home.account()),
        "X41: all other devices hear of it"
    );
    let linked = laptop.ask(&service).await;
    assert_eq!(
        linked.body,
        json!({ "status": "linked", "account": home.account(), "device": 3 })
    );
    let laptop = laptop.device(&service, home.account(), 3);
    let fetch = laptop.http(reqwest::Method::GET, &format!("/v1/keys/{}", home.account()));
    let fetched: serde_json::Value = fetch.send().await.unwrap().json().await.unwrap();
    assert_eq!(fetched["list"], json!(list));
    assert_eq!(fetched["devices"].as_array().unwrap().len(), 3);
    assert_eq!(fetched["own_one_time_prekeys"], 5);
}

#[tokio::test]
async fn x41_an_offer_is_good_for_one_device_and_its_token_never_again() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    let laptop = Newcomer::new(2);
    let token = laptop.request.token;
    let thief = Newcomer::with_token(2, token);
    assert_eq!(
        thief.ask(&service).await.code(),
        "invalid_link",
        "nobody has offered yet"
    );
    home.offer(token).await;
    assert_eq!(laptop.ask(&service).await.status, 200);
    let refused = thief.ask(&service).await;
    assert_eq!((refused.status, refused.code()), (410, "invalid_link"));

    // The list can only have the device in it that took the offer up.
    let with_thief = home.list_with(&thief, 2);
    assert_eq!(home.answer(token, Some(&with_thief)).await.code(), "invalid_list");

    home.list = {
        let list = home.list_with(&laptop, 2);
        assert_eq!(home.answer(token, Some(&list)).await.status, 200);
        list
    };
    assert_eq!(thief.ask(&service).await.code(), "invalid_link");
    assert_eq!(home.offer(token).await.code(), "invalid_link");
    assert_eq!(laptop.ask(&service).await.body["status"], "linked");
}

#[tokio::test]
async fn x41_x73_an_expired_offer_is_none_although_the_table_still_has_it() {
    let service = Service::start().await;
    let home = Household::register(&service, 0).await;
    let (late, early) = (Newcomer::new(1), Newcomer::new(1));
    home.offer(late.request.token).await;
    home.offer(early.request.token).await;
    assert_eq!(early.ask(&service).await.status, 200);
    service.let_time_pass(OFFER_LIFE_SECONDS.cast_signed());
    assert_eq!(service.items("LinksTable").await.len(), 2);
    assert_eq!(late.ask(&service).await.code(), "invalid_link");
    assert_eq!(early.ask(&service).await.code(), "invalid_link");
    let list = home.list_with(&early, 2);
    let answered = home.answer(early.request.token, Some(&list)).await;
    assert_eq!(answered.code(), "invalid_link");
    assert_eq!(home.offer(late.request.token).await.code(), "invalid_link");
}

/// A device that was accepted in the last second still learns of it.
#[tokio::test]
async fn an_accepted_device_may_ask_after_the_offers_end() {
    let service = Service::start().await;
    let home = Household::register(&service, 0).await;
    let laptop = Newcomer::new(4);
    home.offer(laptop.request.token).await;
    laptop.ask(&service).await;
    service.let_time_pass(OFFER_LIFE_SECONDS.cast_signed() - 2);
    let list = home.list_with(&laptop, 2);
    assert_eq!(home.answer(laptop.request.token, Some(&list)).await.status, 200);
    service.let_time_pass(60 * 60);
    assert_eq!(laptop.ask(&service).await.body["status"], "linked");
    service.let_time_pass(24 * 60 * 60);
    assert_eq!(laptop.ask(&service).await.code(), "invalid_link");
}

#[tokio::test]
async fn x41_only_the_device_that_offered_answers_and_only_for_its_account() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    let tablet = home.add(&service, 0).await;
    let mallory = Household::register(&service, 0).await;
    let laptop = Newcomer::new(1);
    let token = laptop.request.token;
    home.offer(token).await;
    laptop.ask(&service).await;

    let own_list = mallory.list_with(&laptop, 2);
    assert_eq!(
        mallory.answer(token, Some(&own_list)).await.code(),
        "invalid_link"
    );
    assert_eq!(mallory.answer(token, None).await.code(), "invalid_link");
    assert_eq!(mallory.offer(token).await.code(), "invalid_link");

    let list = home.list_with(&laptop, 3);
    let body = json!({ "token": token, "list": list });
    let sibling = tablet.http(reqwest::Method::POST, "/v1/links/answer").json(&body);
    assert_eq!(sibling.send().await.unwrap().status(), 410);

    let mut forged = list.clone();
    mallory.sign(&mut forged);
    assert_eq!(
        home.answer(token, Some(&forged)).await.code(),
        "invalid_signature"
    );
    assert_eq!(home.answer(token, Some(&list)).await.status, 200);
}

#[tokio::test]
async fn a_declined_device_hears_so_and_the_offer_is_over() {
    let service = Service::start().await;
    let home = Household::register(&service, 0).await;
    let laptop = Newcomer::new(1);
    let token = laptop.request.token;
    home.offer(token).await;
    laptop.ask(&service).await;
    for _ in 0..2 {
        assert_eq!(home.answer(token, None).await.body, json!({ "linked": false }));
        assert_eq!(laptop.ask(&service).await.code(), "invalid_link");
    }
    let list = home.list_with(&laptop, 2);
    assert_eq!(home.answer(token, Some(&list)).await.code(), "invalid_link");
}

#[tokio::test]
async fn the_list_of_an_answer_is_the_present_one_and_the_new_device_and_nothing_else() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    home.add(&service, 0).await;
    let laptop = Newcomer::new(1);
    let token = laptop.request.token;
    home.offer(token).await;
    laptop.ask(&service).await;
    let good = home.list_with(&laptop, 3);
    let changed = |change: fn(&mut DeviceList)| {
        let mut list = good.clone();
        change(&mut list);
        home.sign(&mut list);
        list
    };
    type Change = fn(&mut DeviceList);
    let refusals: [(Change, &str); 6] = [
        (|list| list.devices.truncate(1), "invalid_list"),
        (|list| list.devices.truncate(2), "invalid_list"),
        (|list| list.devices.swap(0, 1), "malformed"),
        (
            |list| list.devices[2].registration = list.devices[0].registration,
            "invalid_list",
        ),
        (
            |list| list.devices[2].identity_key = list.devices[0].identity_key,
            "invalid_key",
        ),
        (|list| list.version = list.version.next().unwrap(), "stale_list"),
    ];
    for (change, code) in refusals {
        assert_eq!(home.answer(token, Some(&changed(change))).await.code(), code);
    }
    assert_eq!(home.answer(token, Some(&good)).await.status, 200);
}

/// Two places are offered and both answered at once: one list is the next one, the other answer signs again.
#[tokio::test]
async fn of_two_acceptances_at_once_one_wins_and_the_other_signs_again() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    let newcomers = [Newcomer::new(1), Newcomer::new(1)];
    for newcomer in &newcomers {
        home.offer(newcomer.request.token).await;
        newcomer.ask(&service).await;
    }
    let lists = [home.list_with(&newcomers[0], 2), home.list_with(&newcomers[1], 2)];
    let answers = tokio::join!(
        home.answer(newcomers[0].request.token, Some(&lists[0])),
        home.answer(newcomers[1].request.token, Some(&lists[1])),
    );
    let answers = [answers.0, answers.1];
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    let winner = statuses.iter().position(|status| *status == 200).unwrap();
    let loser = 1 - winner;
    assert_eq!(answers[loser].code(), "stale_list");
    home.list = lists[winner].clone();
    let list = home.list_with(&newcomers[loser], 3);
    let again = home.answer(newcomers[loser].request.token, Some(&list)).await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(service.items("DevicesTable").await.len(), 3);
    assert_eq!(service.items("KeysTable").await.len(), 3);
}

#[tokio::test]
async fn i14_every_step_of_a_link_twice_leaves_what_once_leaves() {
    let service = Service::start().await;
    let home = Household::register(&service, 2).await;
    let laptop = Newcomer::new(3);
    let token = laptop.request.token;
    let list = home.list_with(&laptop, 2);
    let mut before = BTreeSet::new();
    for step in ["offer", "link", "answer", "link again"] {
        for repetition in 0..2 {
            let answer = match step {
                "offer" => home.offer(token).await,
                "answer" => home.answer(token, Some(&list)).await,
                _ => laptop.ask(&service).await,
            };
            assert_eq!(answer.status, 200, "{step}: {answer:?}");
            let after = all_rows(&service).await;
            if repetition == 1 {
                assert_eq!(before, after, "{step}");
            }
            before = after;
        }
    }
    assert_eq!(service.items("PrekeysTable").await.len(), 2 + 3);
}

#[tokio::test]
async fn a_seventh_device_is_refused_before_anybody_scans_anything() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    let early = Newcomer::new(0);
    home.offer(early.request.token).await;
    for _ in 2..=6 {
        home.add(&service, 0).await;
    }
    let refused = home.offer(token()).await;
    assert_eq!((refused.status, refused.code()), (409, "too_many_devices"));
    assert_eq!(early.ask(&service).await.code(), "too_many_devices");
    home.remove(&[4]).await;
    assert_eq!(home.offer(token()).await.status, 200);
    assert_eq!(early.ask(&service).await.body["status"], "waiting");
}

/// X72, X82: whatever stands where an id belongs is refused before any table is asked.
#[tokio::test]
async fn x72_x82_what_is_no_id_no_list_or_too_long_is_refused_and_changes_nothing() {
    let service = Service::start().await;
    let home = Household::register(&service, 1).await;
    let before = all_rows(&service).await;
    let newcomer = serde_json::to_value(&Newcomer::new(1).request).unwrap();
    let list = serde_json::to_value(home.list_without(&[])).unwrap();
    let long = "x".repeat(2048);
    for text in ["", "#", "a#b", "\u{0}", "🐦", "AAAA#AAAAAAAAAAAAAAAAA", &long] {
        assert_eq!(
            home.request("/v1/links", json!({ "token": text })).await.code(),
            "malformed"
        );
        let body = json!({ "token": text, "list": list });
        assert_eq!(home.request("/v1/links/answer", body).await.code(), "malformed");
        for field in ["token", "sealed"] {
            let mut body = newcomer.clone();
            body[field] = text.into();
            if field == "token" || text.len() != 2048 {
                assert_eq!(
                    post(&service, "/v1/devices", &body).await.code(),
                    "malformed",
                    "{field} {text:?}"
                );
            }
        }
        for pointer in [
            "/account_key",
            "/signature",
            "/version",
            "/devices/0/device",
            "/devices/0/signing_key",
        ] {
            let mut list = list.clone();
            *list.pointer_mut(pointer).unwrap() = text.into();
            let refused = home.request("/v1/devices/revoke", json!({ "list": list })).await;
            assert_eq!(refused.code(), "malformed", "{pointer} {text:?}");
        }
        let path = format!("/v1/keys/{}", urlencoded(text));
        let fetched = home.first.http(reqwest::Method::GET, &path).send().await.unwrap();
        assert!(!fetched.status().is_success(), "{text:?}");
    }
    let mut body = newcomer.clone();
    body["sealed"] = "A".repeat(684).into();
    assert_eq!(post(&service, "/v1/devices", &body).await.code(), "malformed");
    let mut body = newcomer;
    body["device"]["one_time_prekeys"] = vec![body["device"]["one_time_prekeys"][0].clone(); 101].into();
    assert_eq!(post(&service, "/v1/devices", &body).await.code(), "too_large");
    assert_eq!(before, all_rows(&service).await);
}

fn urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
