//! A phone that is asleep is woken once, by an alert that says nothing. M21, M22, I10, I11, X52, X66, X68.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sns as sns;
use futures_util::future::join_all;
use reqwest::Method;
use scenarios::{
    Phone, RawDevice, Service,
    accounts::{Answer, answer},
    household::Household,
    raw::RawSocket,
    send_frame,
    service::Item,
    until, within_patience,
};
use serde_json::{Value, json};
use waxwing_client::{Event, Platform, PushState, wire::limits::ALERT_PAUSE_SECONDS};
use waxwing_local::{
    aws::TOOLS_ACCESS_KEY,
    outbox::OutboxMessage,
    runner::{Runner, RunnerConfig},
};

/// Longer than anybody may be at an alert before it counts as left.
const LEASE_SECONDS: i64 = 31;

/// Longer than API Gateway lets a connection live.
const LONG_AGO_SECONDS: u64 = 3 * 60 * 60;

fn token(seed: u8) -> String {
    format!("{seed:02x}").repeat(32)
}

fn apns(token: &str) -> Value {
    json!({ "address": { "platform": "apns", "token": token } })
}

async fn subscribe(device: &RawDevice, body: &Value) -> Answer {
    answer(device.http(Method::POST, "/v1/push").json(body)).await
}

/// A registered device that is away and is to be woken at `token`.
async fn asleep(service: &Service, token: &str) -> RawDevice {
    let device = RawDevice::register(service, 0).await;
    let subscribed = subscribe(&device, &apns(token)).await;
    assert_eq!(
        (subscribed.status, &subscribed.body),
        (200, &json!({ "subscribed": true }))
    );
    device
}

/// Somebody who writes.
struct Writer {
    socket: RawSocket,
    written: u64,
}

impl Writer {
    async fn new(service: &Service) -> Self {
        let device = RawDevice::register(service, 0).await;
        Self {
            socket: device.connect().await,
            written: 0,
        }
    }

    fn frame(&mut self, to: &RawDevice) -> Value {
        self.written += 1;
        let message = format!("01999999-0000-7000-8000-{:012x}", self.written);
        let entry = json!({
            "device": to.device.address.device,
            "registration": to.device.registration,
            "ciphertext": "A".repeat(64),
        });
        send_frame(&message, json!(to.account()), json!([entry]))
    }

    async fn write(&mut self, to: &RawDevice) {
        let frame = self.frame(to);
        self.send(frame).await;
    }

    async fn write_quietly(&mut self, to: &RawDevice) {
        let mut frame = self.frame(to);
        frame["messages"][0]["recipients"][0]["urgent"] = json!(false);
        self.send(frame).await;
    }

    async fn send(&mut self, frame: Value) {
        let outcome = self.socket.outcome(frame).await;
        assert_eq!(outcome["outcome"], "accepted", "{outcome}");
    }
}

fn alerts(service: &Service, token: &str) -> usize {
    service.runner.pushes(token).len()
}

/// Runs what the clock runs every few minutes.
async fn wake(service: &Service) -> Value {
    let event: Value = serde_json::from_str(include_str!("../events/wake.json")).unwrap();
    service.runner.invoke("wake", event).await.unwrap()
}

/// The device's row.
async fn row(service: &Service, device: &RawDevice) -> Item {
    let rows = service.items("DevicesTable").await;
    let key = device.device.address.to_bytes();
    let of_row = |row: &Item| {
        [
            row["a"].as_b().unwrap().as_ref(),
            row["d"].as_b().unwrap().as_ref(),
        ]
        .concat()
    };
    rows.into_iter().find(|row| of_row(row) == key).expect("a row")
}

/// Has the device's record name a connection that is nobody's, opened so many seconds ago.
async fn name_a_dead_connection(service: &Service, device: &RawDevice, ago: u64) {
    let mut row = row(service, device).await;
    row.remove("p");
    row.remove("q");
    let opened = (service.clock().now() - ago) * 1000;
    row.insert("c".to_owned(), AttributeValue::S("dead".to_owned()));
    row.insert("t".to_owned(), AttributeValue::N(opened.to_string()));
    service.put("DevicesTable", row).await;
}

/// Connects, takes and acks all that waits.
async fn drained(device: &RawDevice) -> RawSocket {
    let mut socket = device.connect().await;
    let page = socket.request(json!({ "action": "receive" })).await;
    let ids: Vec<_> = page["envelopes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|envelope| envelope["id"].clone())
        .collect();
    if !ids.is_empty() {
        socket.request(json!({ "action": "ack", "ids": ids })).await;
    }
    socket
}

/// Leaves, and waits until the service knows.
async fn leave(service: &Service, device: &RawDevice, socket: RawSocket) {
    drop(socket);
    until("the connection forgotten", async || {
        !row(service, device).await.contains_key("c")
    })
    .await;
}

/// SNS, as its owner sees it.
fn sns_of(runner: &Runner) -> sns::Client {
    let config = sns::Config::builder()
        .behavior_version(sns::config::BehaviorVersion::latest())
        .region(sns::config::Region::new("us-east-1"))
        .endpoint_url(runner.aws_endpoint())
        .credentials_provider(sns::config::Credentials::new(
            TOOLS_ACCESS_KEY,
            "any",
            None,
            None,
            "scenarios",
        ));
    sns::Client::from_conf(config.build())
}

async fn endpoint(service: &Service, device: &RawDevice) -> String {
    row(service, device).await["e"].as_s().unwrap().clone()
}

/// What SNS does when the platform says that the app is not on the phone any more.
async fn disable(service: &Service, endpoint: &str) {
    let set = sns_of(&service.runner).set_endpoint_attributes();
    let set = set.endpoint_arn(endpoint).attributes("Enabled", "false");
    set.send().await.unwrap();
}

async fn exists(service: &Service, endpoint: &str) -> bool {
    let get = sns_of(&service.runner).get_endpoint_attributes();
    get.endpoint_arn(endpoint).send().await.is_ok()
}

#[tokio::test]
async fn x52_many_messages_raise_one_alert_that_names_nobody_and_nothing() {
    let parameters = [("LogLevel".to_owned(), "debug".to_owned())].into();
    let service = Service::start_with(RunnerConfig {
        parameters,
        ..RunnerConfig::default()
    })
    .await;
    let token = token(1);
    let bob = asleep(&service, &token).await;
    let mut writers = join_all((0..4).map(|_| Writer::new(&service))).await;
    join_all(writers.iter_mut().enumerate().map(async |(number, writer)| {
        writer.written = number as u64 * 100;
        for _ in 0..5 {
            writer.write(&bob).await;
        }
    }))
    .await;
    assert_eq!(service.mailbox().await.len(), 20);

    let pushes = service.runner.pushes(&token);
    let [
        OutboxMessage {
            body, collapse_id, ..
        },
    ] = pushes.as_slice()
    else {
        panic!("{} alerts", pushes.len());
    };
    let payload: Value = serde_json::from_str(body).unwrap();
    let expected = json!({ "aps": {
        "alert": { "loc-key": "WAXWING_NEW_MESSAGES" }, "sound": "default",
        "thread-id": "waxwing", "mutable-content": 1,
    }});
    assert_eq!(payload, expected);
    assert_eq!(collapse_id.as_deref(), Some("waxwing"));
    assert_eq!(
        subscribe(&bob, &apns(&token[2..])).await.code(),
        "invalid_push_token"
    );
    let logs = service.runner.logs().join("\n");
    assert!(logs.contains("a request was refused"), "the functions log");
    assert!(
        !logs.contains(&token[2..]) && !logs.contains("endpoint/"),
        "x66: {logs}"
    );
}

#[tokio::test]
async fn who_is_connected_gets_no_alert_and_who_leaves_again_gets_the_next() {
    let service = Service::start().await;
    let token = token(1);
    let bob = asleep(&service, &token).await;
    let mut alice = Writer::new(&service).await;
    alice.write(&bob).await;
    assert_eq!(alerts(&service, &token), 1);

    let mut socket = drained(&bob).await;
    alice.write(&bob).await;
    let delivery = socket.next_news("delivery").await;
    let ids = json!([delivery["envelopes"][0]["id"]]);
    socket.request(json!({ "action": "ack", "ids": ids })).await;
    leave(&service, &bob, socket).await;
    assert_eq!(alerts(&service, &token), 1, "all was taken while connected");

    alice.write(&bob).await;
    alice.write(&bob).await;
    assert_eq!(alerts(&service, &token), 2);
}

#[tokio::test]
async fn who_stays_away_is_alerted_again_by_the_next_message_after_the_pause() {
    let service = Service::start().await;
    let token = token(1);
    let bob = asleep(&service, &token).await;
    let mut alice = Writer::new(&service).await;
    alice.write(&bob).await;
    service.let_time_pass(i64::try_from(ALERT_PAUSE_SECONDS).unwrap() - 5);
    alice.write(&bob).await;
    assert_eq!(alerts(&service, &token), 1);
    service.let_time_pass(10);
    assert_eq!(wake(&service).await, json!({ "alerted": 0, "left": 0 }));
    assert_eq!(alerts(&service, &token), 1, "a message raises it, not the time");
    alice.write(&bob).await;
    assert_eq!(alerts(&service, &token), 2);
}

/// I10: what was posted to a socket that was dying may not have arrived.
#[tokio::test]
async fn who_leaves_with_something_unacked_is_alerted() {
    let service = Service::start().await;
    let token = token(1);
    let bob = asleep(&service, &token).await;
    let mut alice = Writer::new(&service).await;
    let mut socket = drained(&bob).await;
    alice.write_quietly(&bob).await;
    socket.next_news("delivery").await;
    leave(&service, &bob, socket).await;
    assert_eq!(alerts(&service, &token), 0, "a receipt is worth no alert");

    let mut socket = drained(&bob).await;
    alice.write(&bob).await;
    socket.next_news("delivery").await;
    leave(&service, &bob, socket).await;
    until("an alert", async || alerts(&service, &token) == 1).await;
}

/// I11: a post that meets 410 becomes an alert.
#[tokio::test]
async fn a_message_for_a_connection_that_is_dead_raises_an_alert() {
    let service = Service::start().await;
    let token = token(1);
    let bob = asleep(&service, &token).await;
    let mut alice = Writer::new(&service).await;
    name_a_dead_connection(&service, &bob, 60).await;
    alice.write_quietly(&bob).await;
    assert_eq!(alerts(&service, &token), 0);
    assert!(
        row(&service, &bob).await.contains_key("c"),
        "who forgets it must see to what waits"
    );
    alice.write(&bob).await;
    assert_eq!(alerts(&service, &token), 1);
}

/// I10: SNS being out of order is nothing to the sender, and the alert comes when SNS is back.
#[tokio::test]
async fn an_alert_that_could_not_be_published_is_published_later_by_the_clock_or_the_next_message() {
    let service = Service::start().await;
    let (first, second) = (token(1), token(2));
    let bob = asleep(&service, &first).await;
    let carol = asleep(&service, &second).await;
    let mut alice = Writer::new(&service).await;
    service.runner.fail_pushes(u32::MAX);
    for to in [&bob, &carol] {
        alice.write(to).await;
    }
    service.let_time_pass(LEASE_SECONDS);
    assert_eq!(wake(&service).await, json!({ "alerted": 0, "left": 2 }));
    service.runner.fail_pushes(0);
    assert_eq!(alerts(&service, &first) + alerts(&service, &second), 0);

    service.let_time_pass(LEASE_SECONDS);
    alice.write(&carol).await;
    assert_eq!(alerts(&service, &second), 1);
    assert_eq!(wake(&service).await, json!({ "alerted": 1, "left": 0 }));
    assert_eq!(wake(&service).await, json!({ "alerted": 0, "left": 0 }));
    assert_eq!((alerts(&service, &first), alerts(&service, &second)), (1, 1));
}

/// I10: API Gateway promises no `$disconnect`, and nobody need write again.
#[tokio::test]
async fn what_waits_behind_a_connection_older_than_any_lives_raises_an_alert() {
    let service = Service::start().await;
    let token = token(1);
    let bob = RawDevice::register(&service, 0).await;
    let mut alice = Writer::new(&service).await;
    alice.write(&bob).await;
    name_a_dead_connection(&service, &bob, LONG_AGO_SECONDS).await;
    subscribe(&bob, &apns(&token)).await;
    assert_eq!(alerts(&service, &token), 0);
    assert_eq!(wake(&service).await, json!({ "alerted": 1, "left": 0 }));
    assert_eq!(alerts(&service, &token), 1);
    assert!(!row(&service, &bob).await.contains_key("c"));

    let idle = asleep(&service, "ab".repeat(40).as_str()).await;
    name_a_dead_connection(&service, &idle, LONG_AGO_SECONDS).await;
    assert_eq!(
        wake(&service).await,
        json!({ "alerted": 0, "left": 0 }),
        "nothing waits there"
    );
    assert!(!row(&service, &idle).await.contains_key("c"));
}

#[tokio::test]
async fn a_phone_that_lost_the_app_is_cleaned_up_and_published_to_no_more() {
    let service = Service::start().await;
    let token = token(1);
    let bob = asleep(&service, &token).await;
    let mut alice = Writer::new(&service).await;
    let endpoint = endpoint(&service, &bob).await;
    disable(&service, &endpoint).await;
    alice.write(&bob).await;
    assert!(!exists(&service, &endpoint).await);
    assert!(!row(&service, &bob).await.contains_key("e"));
    let before = service.runner.meter().notifications;
    service.let_time_pass(i64::try_from(ALERT_PAUSE_SECONDS).unwrap());
    alice.write(&bob).await;
    wake(&service).await;
    assert_eq!(service.runner.meter().notifications, before, "SNS was not asked");

    // The app is back, with the same token, and something has waited all the time.
    subscribe(&bob, &apns(&token)).await;
    assert_eq!(alerts(&service, &token), 1);
}

#[tokio::test]
async fn an_endpoint_that_vanished_is_forgotten() {
    let service = Service::start().await;
    let token = token(1);
    let bob = asleep(&service, &token).await;
    let mut alice = Writer::new(&service).await;
    let endpoint = endpoint(&service, &bob).await;
    let delete = sns_of(&service.runner).delete_endpoint();
    delete.endpoint_arn(&endpoint).send().await.unwrap();
    alice.write(&bob).await;
    assert!(!row(&service, &bob).await.contains_key("e"));
}

#[tokio::test]
async fn a_changed_token_takes_the_place_of_the_former_and_a_cleared_one_leaves_nothing() {
    let service = Service::start().await;
    let (first, second) = (token(1), token(2));
    let bob = asleep(&service, &first).await;
    let mut alice = Writer::new(&service).await;
    let former = endpoint(&service, &bob).await;
    for _ in 0..2 {
        assert_eq!(subscribe(&bob, &apns(&second)).await.status, 200);
    }
    assert!(!exists(&service, &former).await);
    alice.write(&bob).await;
    assert_eq!((alerts(&service, &first), alerts(&service, &second)), (0, 1));

    let latter = endpoint(&service, &bob).await;
    for _ in 0..2 {
        let cleared = subscribe(&bob, &json!({})).await;
        assert_eq!(cleared.body, json!({ "subscribed": false }));
    }
    assert!(!exists(&service, &latter).await);
    leave(&service, &bob, drained(&bob).await).await;
    alice.write(&bob).await;
    assert_eq!((alerts(&service, &first), alerts(&service, &second)), (0, 1));
}

/// X66: whoever has got hold of another's token gains nothing by it as long as that one is registered.
#[tokio::test]
async fn x66_a_token_that_wakes_another_device_is_neither_taken_nor_silenced() {
    let service = Service::start().await;
    let token = token(1);
    let bob = asleep(&service, &token).await;
    let mallory = RawDevice::register(&service, 0).await;
    let mut alice = Writer::new(&service).await;
    let refused = subscribe(&mallory, &apns(&token)).await;
    assert_eq!((refused.status, refused.code()), (409, "push_token_taken"));
    subscribe(&mallory, &json!({})).await;
    alice.write(&mallory).await;
    assert_eq!(alerts(&service, &token), 0, "the phone is not Mallory's to ring");
    alice.write(&bob).await;
    assert_eq!(alerts(&service, &token), 1);
}

#[tokio::test]
async fn x66_a_token_that_is_none_is_refused_by_name_and_changes_nothing() {
    let service = Service::start_with(RunnerConfig {
        parameters: [("FcmApplicationArn".to_owned(), String::new())].into(),
        ..RunnerConfig::default()
    })
    .await;
    let bob = RawDevice::register(&service, 0).await;
    let before = row(&service, &bob).await;
    let fcm = json!({ "address": { "platform": "fcm", "token": "c2Vj:APA91b" } });
    for (body, status, code) in [
        (apns("not hexadecimal"), 400, "malformed"),
        (apns("nothexadecimal"), 400, "invalid_push_token"),
        (apns(&"a".repeat(63)), 400, "invalid_push_token"),
        (apns(&"a".repeat(2000)), 400, "malformed"),
        (apns(""), 400, "malformed"),
        (
            json!({ "address": { "platform": "adm", "token": "a" } }),
            400,
            "malformed",
        ),
        (
            json!({ "address": { "platform": "apns", "token": token(1), "topic": "a" } }),
            400,
            "malformed",
        ),
        (fcm, 404, "push_not_offered"),
    ] {
        let refused = subscribe(&bob, &body).await;
        assert_eq!((refused.status, refused.code()), (status, code), "{body}");
    }
    assert_eq!(row(&service, &bob).await, before);
    let anonymous = answer(reqwest::Client::new().post(format!("{}/v1/push", service.endpoints().http_url)));
    assert_eq!(anonymous.await.code(), "unauthorized");
}

/// X68: the phone of a device that was removed is not rung any more, and its token is free.
#[tokio::test]
async fn x68_the_endpoint_of_a_removed_device_is_deleted_and_its_token_is_free() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    let tablet = home.add(&service, 0).await;
    let token = token(1);
    assert_eq!(subscribe(&tablet, &apns(&token)).await.status, 200);
    let endpoint = endpoint(&service, &tablet).await;
    home.remove(&[2]).await;
    assert!(!exists(&service, &endpoint).await);
    assert_eq!(subscribe(&tablet, &apns(&token)).await.code(), "unauthorized");
    let other = RawDevice::register(&service, 0).await;
    assert_eq!(subscribe(&other, &apns(&token)).await.status, 200);
}

async fn until_on(phone: &Phone) {
    until("the service knows where to wake the phone", async || {
        phone.client.push_state().unwrap() == PushState::On
    })
    .await;
}

#[tokio::test]
async fn a_phone_whose_app_is_set_up_anew_is_woken_under_its_old_token() {
    let service = Service::start().await;
    let token = token(1);
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    bob.client
        .set_push_token(Platform::ApnsSandbox, &token)
        .await
        .unwrap();
    until_on(&bob).await;
    bob.client.disconnect().await;

    let anew = bob.registered_anew(&service).await;
    anew.client
        .set_push_token(Platform::ApnsSandbox, &token)
        .await
        .unwrap();
    assert_eq!(anew.client.push_state().unwrap(), PushState::Pending);
    anew.client.connect();
    until_on(&anew).await;
    anew.client.disconnect().await;
    let before = alerts(&service, &token);
    alice.say(&bob, "are you there again?").await;
    until("an alert", async || alerts(&service, &token) == before + 1).await;
}

/// M21: what an app on a phone does.
#[tokio::test]
async fn a_sleeping_client_is_woken_by_the_alert_and_shows_what_waited() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let token = "d2F4d2luZw:APA91b-bob";
    bob.client.set_push_token(Platform::Fcm, token).await.unwrap();
    until_on(&bob).await;
    bob.client.disconnect().await;

    let url = format!(
        "{}?token={}&after=0",
        service.runner.pushes_url(),
        token.replace(':', "%3A")
    );
    let rung = tokio::spawn(async move { reqwest::get(url).await.unwrap().json::<Value>().await.unwrap() });
    alice.say(&bob, "wake up").await;
    let heard = within_patience("an alert", rung).await.unwrap();
    let payload: Value = serde_json::from_str(heard["pushes"][0]["body"].as_str().unwrap()).unwrap();
    let android = &payload["fcmV1Message"]["message"]["android"];
    assert_eq!(android["notification"]["body_loc_key"], "WAXWING_NEW_MESSAGES");
    bob.client.connect();
    bob.until_shown(&alice, 1).await;
    assert_eq!(bob.texts(&alice), ["wake up"]);
}

#[tokio::test]
async fn receipts_and_copies_for_the_own_devices_wake_nobody() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let laptop = alice.link_another(&service).await;
    let (phone_token, laptop_token) = (token(1), token(2));
    for (device, token) in [(&alice, &phone_token), (&laptop, &laptop_token)] {
        device.client.set_push_token(Platform::Apns, token).await.unwrap();
        until_on(device).await;
    }
    bob.say(&alice, "hello").await;
    alice.until_shown(&bob, 1).await;
    laptop.until_shown(&bob, 1).await;
    bob.until_accepted().await;
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
    laptop.client.disconnect().await;

    alice.say(&bob, "hello yourself").await;
    alice.until_accepted().await;
    bob.until_shown(&alice, 2).await;
    until("the copy waits", async || !service.mailbox().await.is_empty()).await;
    assert_eq!(alerts(&service, &laptop_token), 0);
    alice.client.disconnect().await;
    let position = bob.shown(&alice).last().unwrap().position;
    let for_alice = async || {
        let account = alice.account().to_bytes();
        let rows = service.mailbox().await;
        rows.iter()
            .filter(|row| row["o"].as_b().unwrap().as_ref().starts_with(&account))
            .count()
    };
    let waiting = for_alice().await;
    bob.client.mark_read(alice.account(), position).await.unwrap();
    until("the receipt waits", async || for_alice().await >= waiting + 2).await;
    assert_eq!(
        (alerts(&service, &phone_token), alerts(&service, &laptop_token)),
        (0, 0)
    );

    bob.say(&alice, "and this is worth it").await;
    bob.until_accepted().await;
    assert_eq!(
        (alerts(&service, &phone_token), alerts(&service, &laptop_token)),
        (1, 1)
    );
}

#[tokio::test]
async fn a_client_tells_its_token_when_it_can_and_what_the_service_thinks_of_it() {
    let service = Service::start().await;
    let token = token(1);
    let bob = Phone::registered(&service).await;
    bob.client.set_push_token(Platform::Apns, &token).await.unwrap();
    assert_eq!(bob.client.push_state().unwrap(), PushState::Pending);
    assert!(
        bob.client
            .set_push_token(Platform::Apns, "no token")
            .await
            .is_err()
    );
    bob.client.connect();
    until_on(&bob).await;
    let told = service.invocations("subscribe");
    bob.client.set_push_token(Platform::Apns, &token).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(service.invocations("subscribe"), told, "the same again is known");

    let carol = Phone::of_a_new_person(&service).await;
    let mut events = carol.client.observe().await.unwrap();
    carol.client.set_push_token(Platform::Apns, &token).await.unwrap();
    let refused = async {
        loop {
            if let Some(Event::PushTokenRefused { reason }) = events.next().await {
                return reason;
            }
        }
    };
    let reason = within_patience("a refusal", refused).await;
    assert_eq!(carol.client.push_state().unwrap(), PushState::Refused(reason));

    bob.client.clear_push_token().await.unwrap();
    until("it is off", async || {
        bob.client.push_state().unwrap() == PushState::Off
    })
    .await;
    // Now it is free, and Carol's app hands it over again.
    carol.client.set_push_token(Platform::Apns, &token).await.unwrap();
    until_on(&carol).await;
}

/// Every grant for phones is needed by somebody, of one platform as of three.
#[tokio::test]
async fn every_grant_for_phones_is_used() {
    let none = || String::new();
    let service = Service::start_with(RunnerConfig {
        parameters: [
            ("ApnsSandboxApplicationArn".to_owned(), none()),
            ("FcmApplicationArn".to_owned(), none()),
        ]
        .into(),
        ..RunnerConfig::default()
    })
    .await;
    let mut alice = Writer::new(&service).await;
    let token = token(1);
    let bob = asleep(&service, &token).await;
    // Whoever meets an endpoint that wakes nobody publishes, looks whose it is, and deletes it.
    disable(&service, &endpoint(&service, &bob).await).await;
    alice.write(&bob).await;

    let mut socket = drained(&bob).await;
    subscribe(&bob, &apns(&token)).await;
    disable(&service, &endpoint(&service, &bob).await).await;
    alice.write(&bob).await;
    socket.next_news("delivery").await;
    leave(&service, &bob, socket).await;
    until("the endpoint forgotten", async || {
        !row(&service, &bob).await.contains_key("e")
    })
    .await;

    subscribe(&bob, &apns(&token)).await;
    disable(&service, &endpoint(&service, &bob).await).await;
    assert_eq!(subscribe(&bob, &apns(&token)).await.status, 200, "enabled again");
    name_a_dead_connection(&service, &bob, LONG_AGO_SECONDS).await;
    disable(&service, &endpoint(&service, &bob).await).await;
    wake(&service).await;
    assert!(!row(&service, &bob).await.contains_key("e"));

    subscribe(&bob, &apns(&token)).await;
    subscribe(&bob, &json!({})).await;
    let mut home = Household::register(&service, 0).await;
    let tablet = home.add(&service, 0).await;
    subscribe(&tablet, &apns(&token)).await;
    home.remove(&[2]).await;
    let carol = Phone::of_a_new_person(&service).await;
    carol.client.set_push_token(Platform::Apns, &token).await.unwrap();
    until_on(&carol).await;
    carol.registered_anew(&service).await;

    let unused = service.runner.unused_grants().into_iter();
    let unused: Vec<_> = unused
        .filter(|grant| grant.resource.contains(":app/") || grant.resource.contains(":endpoint/"))
        .map(|grant| (grant.function, grant.action))
        .collect();
    // `answer` finishes what a removal that broke off left to do.
    let expected = ["sns:DeleteEndpoint", "sns:GetEndpointAttributes"];
    assert_eq!(
        unused,
        expected.map(|action| ("answer".to_owned(), action.to_owned()))
    );
}
