//! Taking over a number: with and without its PIN, and what becomes of the devices of before.

use futures_util::future::join_all;
use reqwest::Method;
use scenarios::{
    RawDevice, Service,
    accounts::{Answer, Registrant, answer, some_number},
    household::Household,
};
use serde_json::{Value, json};
use waxwing_client::wire::{
    KeyId,
    secret::{LockProof, Salt, Ticket},
};

fn pin() -> LockProof {
    LockProof::new([7; LockProof::BYTES])
}

fn other_pin() -> LockProof {
    LockProof::new([8; LockProof::BYTES])
}

/// Seconds of a day.
const DAY: i64 = 24 * 60 * 60;

async fn member(service: &Service) -> Registrant {
    let member = Registrant::new(&some_number(), 3);
    assert_eq!(member.verify(service).await.status, 200);
    assert_eq!(member.register(service).await.status, 200);
    member
}

async fn lock(device: &RawDevice, body: &Value) -> Answer {
    answer(device.http(Method::POST, "/v1/lock").json(body)).await
}

async fn set_pin(device: &RawDevice) {
    let body = json!({ "lock": { "salt": Salt::new([9; 16]), "proof": pin() } });
    let set = lock(device, &body).await;
    assert_eq!((set.status, set.body), (200, json!({ "locked": true })));
}

/// Somebody who has got a code for the member's number: the member, or whoever has the SIM now.
async fn newcomer(service: &Service, member: &Registrant, number: u8) -> Registrant {
    service.let_time_pass(DAY / 2);
    let ticket = Ticket::new([number; Ticket::BYTES]);
    let asking = Registrant {
        ticket,
        ..Registrant::new(&member.phone, 0)
    };
    let confirmed = asking.verify(service).await;
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    Registrant::after(&member.phone, &confirmed, ticket)
}

/// X63, X68: the number registered anew: the account is the same, and nothing of the old device works any more.
#[tokio::test]
async fn x63_a_take_over_without_a_lock_ends_the_devices_of_before_and_tells_them() {
    let service = Service::start().await;
    let member = member(&service).await;
    let old = member.device(&service);
    let mut old_socket = old.connect().await;
    old_socket.request(json!({"action": "receive"})).await;
    let token = format!("Bearer {}", old.token());

    let newcomer = newcomer(&service, &member, 1).await;
    assert_eq!(newcomer.account, member.account);
    let registered = newcomer.register(&service).await;
    assert_eq!(registered.status, 200, "{registered:?}");

    let news = old_socket.next_news("removed").await;
    assert_eq!(news["reason"], "registered_anew");
    old_socket.close_code().await;
    assert!(old.connect_with(&token).await.is_err(), "a token of before");
    let fetched = answer(old.http(Method::GET, &format!("/v1/keys/{}", member.account))).await;
    assert_eq!(fetched.code(), "unauthorized");
    let fetched = answer(
        newcomer
            .device(&service)
            .http(Method::GET, &format!("/v1/keys/{}", member.account)),
    )
    .await;
    assert_eq!(fetched.body["list"]["version"], 2);
    assert_eq!(fetched.body["devices"].as_array().unwrap().len(), 1);
    let prekeys = service.items("PrekeysTable").await;
    assert_eq!(prekeys.len(), 3, "only the new device's are left");
}

/// X63, X65: the SIM alone does not open a locked account, and the account's devices hear of the try.
#[tokio::test]
async fn x63_a_locked_number_is_registered_anew_with_its_pin_only() {
    let service = Service::start().await;
    let member = member(&service).await;
    let device = member.device(&service);
    let mut socket = device.connect().await;
    socket.request(json!({"action": "receive"})).await;
    set_pin(&device).await;

    let mut thief = newcomer(&service, &member, 1).await;
    let refused = thief.register(&service).await;
    assert_eq!((refused.status, refused.code()), (423, "registration_locked"));
    socket.next_news("registration_attempted").await;
    thief.proof = Some(other_pin());
    let refused = thief.register(&service).await;
    assert_eq!((refused.status, refused.code()), (403, "wrong_pin"));
    socket
        .send_text(json!({"action": "receive", "request": 7}).to_string())
        .await;
    let next = socket.next_json().await;
    assert_eq!(next["type"], "page", "each ticket is told of once: {next}");
    let second_thief = newcomer(&service, &member, 4).await;
    assert_eq!(second_thief.register(&service).await.status, 423);
    socket.next_news("registration_attempted").await;

    let mut owner = newcomer(&service, &member, 2).await;
    owner.proof = Some(pin());
    assert_eq!(owner.register(&service).await.status, 200);
    let still_locked = newcomer(&service, &member, 3).await.register(&service).await;
    assert_eq!(
        still_locked.code(),
        "registration_locked",
        "the PIN outlives the registration"
    );
}

/// X65: of any number of wrong PINs at once five are compared; then the right one has to wait a day, too.
#[tokio::test]
async fn x65_after_five_wrong_pins_the_account_waits_a_day() {
    let service = Service::start().await;
    let member = member(&service).await;
    set_pin(&member.device(&service)).await;
    let mut thief = newcomer(&service, &member, 1).await;
    thief.proof = Some(other_pin());
    let answers = join_all((0..40).map(|_| thief.register(&service))).await;
    let compared = answers
        .iter()
        .filter(|answer| answer.code() == "wrong_pin")
        .count();
    let waiting = answers
        .iter()
        .filter(|answer| answer.code() == "rate_limited")
        .count();
    assert_eq!((compared, waiting), (5, 35), "{answers:?}");
    thief.proof = Some(pin());
    let refused = thief.register(&service).await;
    assert_eq!(refused.status, 429);
    let wait = i64::try_from(refused.retry_after.unwrap()).unwrap();
    assert!(wait > DAY - 60, "{wait}");

    service.let_time_pass(wait);
    let mut owner = newcomer(&service, &member, 2).await;
    owner.proof = Some(pin());
    assert_eq!(owner.register(&service).await.status, 200);
}

/// X64: a lock ends when no device has connected for a week, and only then; it does not come back by itself.
#[tokio::test]
async fn x64_a_lock_ends_a_week_after_the_last_connection() {
    let service = Service::start().await;
    let member = member(&service).await;
    let device = member.device(&service);
    set_pin(&device).await;
    service.let_time_pass(5 * DAY);
    drop(device.connect().await);
    service.let_time_pass(6 * DAY);
    let early = newcomer(&service, &member, 1).await;
    assert_eq!(early.register(&service).await.code(), "registration_locked");
    service.let_time_pass(DAY);
    let owner = newcomer(&service, &member, 2).await;
    assert_eq!(owner.register(&service).await.status, 200);
    assert!(service.items("LocksTable").await.is_empty());
}

/// X64: one gate: a lock that is removed opens it, and one that is set while a ticket is out shuts it.
#[tokio::test]
async fn x64_the_gate_is_as_the_lock_is_at_the_moment_of_registering() {
    let service = Service::start().await;
    let member = member(&service).await;
    let device = member.device(&service);
    let waiting = newcomer(&service, &member, 1).await;
    set_pin(&device).await;
    assert_eq!(waiting.register(&service).await.code(), "registration_locked");
    let removed = lock(&device, &json!({})).await;
    assert_eq!(removed.body, json!({ "locked": false }));
    assert_eq!(waiting.register(&service).await.status, 200);
    let late = lock(
        &device,
        &json!({ "lock": { "salt": Salt::new([9; 16]), "proof": pin() } }),
    )
    .await;
    assert_eq!(
        late.code(),
        "unauthorized",
        "a device that is gone locks nobody out"
    );
}

/// X63, I14: two who have confirmed the number register at once: it is one's, and the other is told so.
#[tokio::test]
async fn x63_of_two_take_overs_at_once_one_gets_the_number() {
    let service = Service::start().await;
    let member = member(&service).await;
    let first = newcomer(&service, &member, 1).await;
    let second = {
        service.let_time_pass(240);
        let ticket = Ticket::new([2; Ticket::BYTES]);
        let asking = Registrant {
            ticket,
            ..Registrant::new(&member.phone, 0)
        };
        let confirmed = asking.verify(&service).await;
        assert_eq!(confirmed.status, 200, "{confirmed:?}");
        Registrant::after(&member.phone, &confirmed, ticket)
    };
    let (one, other) = tokio::join!(first.register(&service), second.register(&service));
    let (winner, loser, refused) = if one.status == 200 {
        (&first, &second, other)
    } else {
        assert_eq!(other.status, 200, "{one:?}, {other:?}");
        (&second, &first, one)
    };
    assert_eq!((refused.status, refused.code()), (409, "stale_list"));
    let path = format!("/v1/keys/{}", member.account);
    let fetched = answer(winner.device(&service).http(Method::GET, &path)).await;
    assert_eq!(fetched.body["list"], json!(winner.list()));
    assert_eq!(fetched.body["devices"].as_array().unwrap().len(), 1);
    assert_eq!(fetched.body["own_one_time_prekeys"], 3);
    let fetched = answer(loser.device(&service).http(Method::GET, &path)).await;
    assert_eq!(fetched.code(), "unauthorized");
    assert_eq!(service.items("PrekeysTable").await.len(), 3, "the winner's");
    let accounts = service.items("AccountsTable").await;
    assert!(!accounts[0].contains_key("e"), "nothing is left to do");
}

/// X68: mailbox and prekeys belong to a registration; a new device with the one of a device before would share them.
#[tokio::test]
async fn x68_a_registration_of_a_device_before_is_not_taken_over() {
    let service = Service::start().await;
    let member = member(&service).await;
    let mut newcomer = newcomer(&service, &member, 1).await;
    newcomer.keys.public.registration = member.keys.public.registration;
    let refused = newcomer.register(&service).await;
    assert_eq!((refused.status, refused.code()), (400, "invalid_list"));
    newcomer.keys.public.registration = scenarios::raw::new_keys(0).public.registration;
    assert_eq!(newcomer.register(&service).await.status, 200);
}

/// X64: only the device that holds the account key sets or removes the PIN.
#[tokio::test]
async fn x64_a_linked_device_neither_sets_nor_removes_the_lock() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    let tablet = home.add(&service, 0).await;
    set_pin(&home.first).await;
    for body in [
        json!({}),
        json!({ "lock": { "salt": Salt::new([1; 16]), "proof": other_pin() } }),
    ] {
        let refused = lock(&tablet, &body).await;
        assert_eq!((refused.status, refused.code()), (403, "first_device_only"));
    }
    assert_eq!(service.items("LocksTable").await.len(), 1);
}

/// X80, I14: repeated, at once or later, a registration changes nothing and gives the same answer; with other keys it
/// is refused.
#[tokio::test]
async fn x80_a_repeated_registration_gives_the_same_answer() {
    let service = Service::start().await;
    let someone = Registrant::new(&some_number(), 3);
    someone.verify(&service).await;
    for answer in join_all((0..20).map(|_| someone.register(&service))).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let before = service.everything().await.len();
    assert_eq!(someone.register(&service).await.status, 200);
    assert_eq!(service.everything().await.len(), before);
    let other = Registrant {
        ticket: someone.ticket,
        account: someone.account,
        ..Registrant::new(&someone.phone, 0)
    };
    assert_eq!(other.register(&service).await.code(), "invalid_ticket");
}

/// X30: an account is not to be had by its id: it takes its number.
#[tokio::test]
async fn x31_a_ticket_for_one_number_opens_no_other_account() {
    let service = Service::start().await;
    let member = member(&service).await;
    let thief = Registrant {
        account: member.account,
        ..Registrant::new(&some_number(), 0)
    };
    thief.verify(&service).await;
    let refused = thief.register(&service).await;
    assert_eq!((refused.status, refused.code()), (409, "account_taken"));
    let next = Registrant {
        version: thief.version.next().unwrap(),
        ..thief
    };
    assert_eq!(next.register(&service).await.code(), "account_taken");
}

/// A list that is not exactly what registering takes is refused, and nothing is half done.
#[tokio::test]
async fn x31_a_list_that_does_not_fit_is_refused() {
    let service = Service::start().await;
    let someone = Registrant::new(&some_number(), 1);
    someone.verify(&service).await;
    let before = service.everything().await.len();
    type Request = fn(&Registrant) -> Value;
    let cases: [(&str, Request); 5] = [
        ("invalid_signature", |someone| {
            let mut request = someone.request();
            request.list.issued_at += 1;
            serde_json::to_value(request).unwrap()
        }),
        ("invalid_list", |someone| {
            let other = Registrant::new(&someone.phone, 0);
            let mut request = someone.request();
            request.list = Registrant {
                account: someone.account,
                ..other
            }
            .list();
            serde_json::to_value(request).unwrap()
        }),
        ("stale_list", |someone| {
            let account_key = someone.account_key.clone();
            let next = Registrant {
                account: someone.account,
                ticket: someone.ticket,
                version: someone.version.next().unwrap(),
                account_key,
                ..Registrant::new(&someone.phone, 0)
            };
            serde_json::to_value(next.request()).unwrap()
        }),
        ("invalid_signature", |someone| {
            let mut request = someone.request();
            request.device.signed_prekey.id = KeyId::new(2).unwrap();
            serde_json::to_value(request).unwrap()
        }),
        ("invalid_ticket", |someone| {
            let mut request = someone.request();
            request.ticket = Ticket::new([0; 16]);
            serde_json::to_value(request).unwrap()
        }),
    ];
    for (code, case) in cases {
        let refused = scenarios::accounts::post(&service, "/v1/accounts", &case(&someone)).await;
        assert_eq!(refused.code(), code, "{refused:?}");
        assert_eq!(service.everything().await.len(), before, "{code}");
    }
    assert_eq!(someone.register(&service).await.status, 200);
}
