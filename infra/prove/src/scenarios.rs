//! Each function in the situations that differ for it.

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::{Value, json};
use waxwing_wire::{
    ClientFrame,
    ack::AckRequest,
    bytes::SealedEphemeral,
    claim::ClaimRequest,
    ephemeral::{EphemeralDevice, EphemeralRequest},
    limits::{MESSAGE_LIFE_SECONDS, OFFER_LIFE_SECONDS},
    receive::ReceiveRequest,
    secret::{LinkToken, LockProof, Salt, Ticket},
};

use crate::{
    Trouble,
    devices::{Account, Device, listed, one_time_prekeys_from},
    story::{Request, Story, authorized, post},
};

/// Makes the situation, and gives the request.
pub type Setup = for<'a> fn(&'a mut Story) -> BoxFuture<'a, Result<Request, Trouble>>;

/// A function in a situation.
pub struct Scenario {
    /// The function.
    pub function: &'static str,
    /// The situation, in a few words.
    pub name: &'static str,
    /// Makes it.
    pub setup: Setup,
    /// What may differ, after a fault, from a run without one: a table or `answer`, and why that is right.
    pub may_differ: &'static [(&'static str, &'static str)],
    /// Promises that are known not to hold after some faults here, and why.
    pub open: &'static [(&'static str, &'static str)],
    /// Whether the request is delivered once only: API Gateway tells of a closed connection once.
    pub once: bool,
}

const PHONES: [&str; 3] = ["+4915200000001", "+4915200000002", "+4915200000003"];

const COUNTED_TWICE: (&str, &str) = ("Limits", "a repetition counts as another request");
const BURNT: (&str, &str) = ("Prekeys", "a key whose handing out was not heard of is burnt");
const ANOTHER_KEY: (&str, &str) = ("answer", "a repetition hands out another key");
const LOW_UNTOLD: (&str, &str) = ("Devices", "that a pool runs low is told by the next claim again");
const STAYS_OWED: (&str, &str) = (
    "Devices",
    "an alert that was not published, or of which nobody heard that it was, stays owed; `wake` takes it over",
);
const UNCOUNTED: (&str, &str) = (
    "Limits",
    "this is the one request in sixteen that is written down; if it cannot be, it is let through",
);
const NEXT_RUN: (&str, &str) = ("answer", "what one run leaves the next one does");
const STORED_BEFORE: (&str, &str) = (
    "answer",
    "what is in the pool already is not counted as stored again",
);

macro_rules! scenario {
    ($function:literal, $name:literal, $setup:path $(, $differs:expr)* $(,)?) => {
        Scenario {
            function: $function,
            name: $name,
            setup: |story| $setup(story).boxed(),
            may_differ: &[$($differs),*],
            open: &[],
            once: false,
        }
    };
}

/// Every scenario, in the order of the functions.
pub const SCENARIOS: &[Scenario] = &[
    scenario!("authorize", "a good token", authorize),
    scenario!("connect", "the first connection", connect_first),
    scenario!("connect", "something waits", connect_waiting),
    scenario!("connect", "an older connection is open", connect_again),
    Scenario {
        once: true,
        ..scenario!(
            "disconnect",
            "nothing waits",
            disconnect_idle,
            ("Devices", "told once: the next post finds out by 410")
        )
    },
    Scenario {
        once: true,
        ..scenario!(
            "disconnect",
            "a message was posted and not acked, the device can be woken",
            disconnect_unacked,
            (
                "Devices",
                "told once: the next post finds out by 410, or `wake` hours later"
            )
        )
    },
    scenario!(
        "disconnect",
        "told late, when a newer connection is open",
        disconnect_late
    ),
    scenario!("send", "to a device that is connected", send_connected),
    scenario!("send", "to a device that is away", send_away),
    scenario!("send", "to a device whose connection is dead", send_dead),
    scenario!(
        "send",
        "to a device that is away and can be woken",
        send_asleep,
        STAYS_OWED
    ),
    scenario!(
        "send",
        "to a device whose connection is dead and that can be woken",
        send_dead_asleep,
        STAYS_OWED
    ),
    scenario!("send", "nothing urgent, to a device that is away", send_quiet),
    scenario!(
        "send",
        "to two devices, of which the sender knows one",
        send_mismatch
    ),
    scenario!("send", "to a device that was revoked", send_gone),
    scenario!(
        "send",
        "three messages to two accounts, the own devices too",
        send_many
    ),
    scenario!("ack", "two of three, the newest first", ack_some),
    scenario!("ack", "thirty, which are two batches", ack_many),
    scenario!("receive", "three wait", receive_some),
    scenario!(
        "receive",
        "expired ones before one that is alive",
        receive_expired
    ),
    scenario!(
        "claim",
        "a full pool",
        claim_full,
        COUNTED_TWICE,
        BURNT,
        ANOTHER_KEY,
        LOW_UNTOLD
    ),
    scenario!(
        "claim",
        "two devices",
        claim_two,
        COUNTED_TWICE,
        BURNT,
        ANOTHER_KEY,
        LOW_UNTOLD
    ),
    scenario!(
        "claim",
        "one key left, the owner away",
        claim_last,
        COUNTED_TWICE,
        BURNT,
        ANOTHER_KEY,
        LOW_UNTOLD
    ),
    Scenario {
        once: true,
        ..scenario!("ephemeral", "to two devices, one of them connected", ephemeral)
    },
    scenario!("reject", "a frame that is no JSON", reject),
    scenario!(
        "challenge",
        "a new number",
        challenge,
        COUNTED_TWICE,
        ("Codes", "the run that is repeated sends a code of its own"),
        ("answer", "the pause that is left is told")
    ),
    scenario!(
        "confirm",
        "the right code",
        confirm,
        ("Codes", "a try that broke off counts as a try")
    ),
    scenario!("register", "a new account", register_new),
    scenario!(
        "register",
        "an account is taken over, its device connected, messages waiting",
        register_over,
        COUNTED_TWICE
    ),
    scenario!("lock", "a first lock", lock),
    scenario!("offer", "a first offer", offer),
    scenario!("link", "takes up an offer", link),
    scenario!("link", "was accepted, and fills the pool", link_accepted),
    scenario!("answer", "accepts", answer),
    scenario!("answer", "declines", answer_no),
    scenario!(
        "revoke",
        "a device that is connected and can be woken, with messages waiting",
        revoke,
        ("answer", "a repetition counts what was left to do")
    ),
    scenario!("upload", "one-time prekeys", upload, STORED_BEFORE),
    scenario!(
        "upload",
        "a signed prekey and one-time prekeys",
        upload_both,
        STORED_BEFORE
    ),
    scenario!(
        "upload",
        "again, one of them handed out",
        upload_again,
        STORED_BEFORE
    ),
    scenario!("check", "the keys that are published", check),
    scenario!("fetch", "another account", fetch),
    scenario!("subscribe", "a first token", subscribe),
    scenario!(
        "subscribe",
        "another token, while an alert is owed",
        subscribe_again,
        STAYS_OWED,
        UNCOUNTED
    ),
    scenario!(
        "subscribe",
        "the token of a device that was removed",
        subscribe_inherited,
        UNCOUNTED
    ),
    scenario!("subscribe", "none any more", unsubscribe),
    Scenario {
        once: true,
        ..scenario!("wake", "an alert is owed", wake_owed, STAYS_OWED, NEXT_RUN)
    },
    Scenario {
        once: true,
        ..scenario!(
            "wake",
            "a connection older than any lives, a message behind it",
            wake_old,
            STAYS_OWED,
            NEXT_RUN
        )
    },
];

/// Alice and Bob, one device each, both connected.
async fn two(story: &mut Story) -> Result<(usize, usize), Trouble> {
    let (_, alice) = story.person(PHONES[0]).await?;
    let (_, bob) = story.person(PHONES[1]).await?;
    for place in [alice, bob] {
        story.come(place).await?;
    }
    Ok((alice, bob))
}

/// `count` messages from one device to another, accepted.
async fn messages(story: &mut Story, from: usize, to: usize, count: usize) -> Result<(), Trouble> {
    let to = story.device(to)?.device;
    for _ in 0..count {
        let message = story.message(&[to]);
        let send = story.send(from, vec![message])?;
        story.well(&send).await?;
    }
    Ok(())
}

/// The device leaves, and API Gateway says so.
async fn leave(story: &mut Story, place: usize) -> Result<(), Trouble> {
    story.well(&Request::Disconnect(place)).await?;
    story.devices.get_mut(place).ok_or("no such device")?.socket = None;
    Ok(())
}

async fn authorize(story: &mut Story) -> Result<Request, Trouble> {
    let (_, alice) = story.person(PHONES[0]).await?;
    Ok(Request::Authorize(alice))
}

async fn connect_first(story: &mut Story) -> Result<Request, Trouble> {
    let (_, alice) = story.person(PHONES[0]).await?;
    Ok(Request::Connect(alice))
}

async fn connect_waiting(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    leave(story, bob).await?;
    messages(story, alice, bob, 2).await?;
    Ok(Request::Connect(bob))
}

async fn connect_again(story: &mut Story) -> Result<Request, Trouble> {
    let (_, bob) = two(story).await?;
    Ok(Request::Connect(bob))
}

async fn disconnect_idle(story: &mut Story) -> Result<Request, Trouble> {
    let (_, bob) = two(story).await?;
    Ok(Request::Disconnect(bob))
}

async fn disconnect_unacked(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    story.well(&token(bob, Some(1))).await?;
    messages(story, alice, bob, 1).await?;
    Ok(Request::Disconnect(bob))
}

async fn disconnect_late(story: &mut Story) -> Result<Request, Trouble> {
    let (_, bob) = two(story).await?;
    story.come(bob).await?;
    Ok(Request::LateDisconnect(bob))
}

async fn send_connected(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    let message = story.message(&[story.device(bob)?.device]);
    story.send(alice, vec![message])
}

async fn send_away(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    leave(story, bob).await?;
    let message = story.message(&[story.device(bob)?.device]);
    story.send(alice, vec![message])
}

async fn send_dead(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    story.device(bob)?.cut(&story.service);
    // A connection younger than this may still be opening.
    story.service.pass(60);
    let message = story.message(&[story.device(bob)?.device]);
    story.send(alice, vec![message])
}

async fn send_asleep(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    story.well(&token(bob, Some(1))).await?;
    leave(story, bob).await?;
    let message = story.message(&[story.device(bob)?.device]);
    story.send(alice, vec![message])
}

async fn send_dead_asleep(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    story.well(&token(bob, Some(1))).await?;
    story.device(bob)?.cut(&story.service);
    // A connection younger than this may still be opening.
    story.service.pass(60);
    let message = story.message(&[story.device(bob)?.device]);
    story.send(alice, vec![message])
}

async fn send_quiet(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    story.well(&token(bob, Some(1))).await?;
    leave(story, bob).await?;
    let mut message = story.message(&[story.device(bob)?.device]);
    for recipient in &mut message.recipients {
        recipient.urgent = false;
    }
    story.send(alice, vec![message])
}

async fn send_mismatch(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    story.second_device(1, bob).await?;
    let message = story.message(&[story.device(bob)?.device]);
    story.send(alice, vec![message])
}

async fn send_gone(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    let second = story.second_device(1, bob).await?;
    let revoke = revocation(story, 1, bob)?;
    story.well(&revoke).await?;
    let to = [story.device(bob)?.device, story.device(second)?.device];
    let message = story.message(&to);
    story.send(alice, vec![message])
}

async fn send_many(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    let other = story.second_device(0, alice).await?;
    let (_, carol) = story.person(PHONES[2]).await?;
    let (bob, carol, other) = (
        story.device(bob)?.device,
        story.device(carol)?.device,
        story.device(other)?.device,
    );
    let messages = vec![
        story.message(&[bob, other]),
        story.message(&[carol, other]),
        story.message(&[bob, carol, other]),
    ];
    story.send(alice, messages)
}

async fn waiting(story: &mut Story, count: usize) -> Result<(usize, Vec<waxwing_wire::EnvelopeId>), Trouble> {
    let (alice, bob) = two(story).await?;
    messages(story, alice, bob, count).await?;
    let owner = story.device(bob)?.device;
    let ids = story
        .ledger
        .accepted
        .keys()
        .filter(|(device, _)| *device == owner);
    Ok((bob, ids.map(|(_, id)| *id).collect()))
}

async fn ack_some(story: &mut Story) -> Result<Request, Trouble> {
    let (bob, ids) = waiting(story, 3).await?;
    let ids = ids.into_iter().rev().take(2).collect();
    let request = story.next_request()?;
    Ok(Request::Frame(bob, ClientFrame::Ack(AckRequest { request, ids })))
}

async fn ack_many(story: &mut Story) -> Result<Request, Trouble> {
    let (bob, ids) = waiting(story, 30).await?;
    let request = story.next_request()?;
    Ok(Request::Frame(bob, ClientFrame::Ack(AckRequest { request, ids })))
}

async fn receive_some(story: &mut Story) -> Result<Request, Trouble> {
    let (bob, _) = waiting(story, 3).await?;
    let request = story.next_request()?;
    Ok(Request::Frame(
        bob,
        ClientFrame::Receive(ReceiveRequest { request, after: None }),
    ))
}

async fn receive_expired(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    leave(story, bob).await?;
    messages(story, alice, bob, 12).await?;
    story.service.pass(MESSAGE_LIFE_SECONDS);
    messages(story, alice, bob, 1).await?;
    let request = story.next_request()?;
    story.well(&Request::Connect(bob)).await?;
    Ok(Request::Frame(
        bob,
        ClientFrame::Receive(ReceiveRequest { request, after: None }),
    ))
}

async fn claim(story: &mut Story, from: usize, of: usize) -> Result<Request, Trouble> {
    let (request, account) = (story.next_request()?, story.account(of)?.id);
    let claim = ClaimRequest {
        request,
        account,
        devices: None,
    };
    Ok(Request::Frame(from, ClientFrame::Claim(claim)))
}

async fn claim_full(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, _) = two(story).await?;
    claim(story, alice, 1).await
}

async fn claim_two(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    story.second_device(1, bob).await?;
    claim(story, alice, 1).await
}

async fn claim_last(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    leave(story, bob).await?;
    for _ in 0..3 {
        let claim = claim(story, alice, 1).await?;
        story.well(&claim).await?;
    }
    claim(story, alice, 1).await
}

async fn ephemeral(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    let second = story.second_device(1, bob).await?;
    let account = story.account(1)?.id;
    let devices = [story.device(bob)?.device, story.device(second)?.device].map(|device| EphemeralDevice {
        device: device.address.device,
        registration: device.registration,
        sealed: SealedEphemeral::new([7; SealedEphemeral::BYTES]),
    });
    let request = EphemeralRequest {
        account,
        devices: devices.to_vec(),
    };
    Ok(Request::Frame(alice, ClientFrame::Ephemeral(request)))
}

async fn reject(story: &mut Story) -> Result<Request, Trouble> {
    let (_, bob) = waiting(story, 1).await.map(|(bob, _)| ((), bob))?;
    Ok(Request::Nonsense(bob, "not JSON"))
}

async fn challenge(_: &mut Story) -> Result<Request, Trouble> {
    Ok(post("POST /v1/verification", json!({ "phone": PHONES[0] })))
}

async fn confirm(story: &mut Story) -> Result<Request, Trouble> {
    let phone = PHONES[0];
    story
        .well(&post("POST /v1/verification", json!({ "phone": phone })))
        .await?;
    let ticket = Ticket::random(&mut story.service.rng);
    let body = json!({ "phone": phone, "code": story.code(phone)?, "ticket": ticket });
    Ok(post("POST /v1/verification/confirm", body))
}

async fn register_new(story: &mut Story) -> Result<Request, Trouble> {
    story.newcomer(PHONES[0]).await.map(|(_, _, request)| request)
}

async fn register_over(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    messages(story, alice, bob, 2).await?;
    // The pause between two codes to a number.
    story.service.pass(3600);
    let ticket = story.ticket(PHONES[1]).await?;
    let id = story.account(1)?.id;
    let fresh = Device::new(id, waxwing_wire::DeviceId::MIN, 4, &mut story.service.rng)?;
    let list = story
        .account(1)?
        .next_list(vec![listed(waxwing_wire::DeviceId::MIN, &fresh.published)])?;
    let body = json!({ "account": id, "ticket": ticket, "list": list, "device": fresh.published });
    story.add(fresh);
    Ok(post("POST /v1/accounts", body))
}

async fn lock(story: &mut Story) -> Result<Request, Trouble> {
    let (_, alice) = story.person(PHONES[0]).await?;
    let (salt, proof) = (
        Salt::random(&mut story.service.rng),
        LockProof::random(&mut story.service.rng),
    );
    Ok(authorized(
        alice,
        "POST /v1/lock",
        json!({ "lock": { "salt": salt, "proof": proof } }),
    ))
}

async fn offer(story: &mut Story) -> Result<Request, Trouble> {
    let (_, alice) = story.person(PHONES[0]).await?;
    let token = LinkToken::random(&mut story.service.rng);
    Ok(authorized(alice, "POST /v1/links", json!({ "token": token })))
}

async fn link(story: &mut Story) -> Result<Request, Trouble> {
    let (_, bob) = two(story).await?;
    let linking = story.candidate(1, bob).await?;
    story.well(&linking.offer).await?;
    Ok(linking.link)
}

async fn link_accepted(story: &mut Story) -> Result<Request, Trouble> {
    let (_, bob) = two(story).await?;
    let linking = story.candidate(1, bob).await?;
    for request in [&linking.offer, &linking.link, &linking.answer] {
        story.well(request).await?;
    }
    Ok(linking.link)
}

async fn answer(story: &mut Story) -> Result<Request, Trouble> {
    let (_, bob) = two(story).await?;
    let linking = story.candidate(1, bob).await?;
    story.well(&linking.offer).await?;
    story.well(&linking.link).await?;
    Ok(linking.answer)
}

async fn answer_no(story: &mut Story) -> Result<Request, Trouble> {
    let mut request = answer(story).await?;
    if let Request::Http {
        body: Value::Object(body),
        ..
    } = &mut request
    {
        body.remove("list");
    }
    Ok(request)
}

/// The request that removes the account's other devices, of which `by` is not one.
pub(crate) fn revocation(story: &Story, account: usize, by: usize) -> Result<Request, Trouble> {
    let account: &Account = story.account(account)?;
    let own = story.device(by)?.device.address.device;
    let stay = account.list.devices.iter().filter(|listed| listed.device == own);
    let list = account.next_list(stay.copied().collect())?;
    Ok(authorized(by, "POST /v1/devices/revoke", json!({ "list": list })))
}

async fn revoke(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    let second = story.second_device(1, bob).await?;
    story.well(&token(second, Some(1))).await?;
    story.come(second).await?;
    let to = [story.device(bob)?.device, story.device(second)?.device];
    for _ in 0..2 {
        let message = story.message(&to);
        let send = story.send(alice, vec![message])?;
        story.well(&send).await?;
    }
    revocation(story, 1, bob)
}

async fn upload(story: &mut Story) -> Result<Request, Trouble> {
    let (_, alice) = story.person(PHONES[0]).await?;
    let prekeys = one_time_prekeys_from(5, 3, &mut story.service.rng)?;
    Ok(authorized(
        alice,
        "POST /v1/keys",
        json!({ "one_time_prekeys": prekeys }),
    ))
}

async fn upload_both(story: &mut Story) -> Result<Request, Trouble> {
    let (_, alice) = story.person(PHONES[0]).await?;
    let prekeys = one_time_prekeys_from(5, 3, &mut story.service.rng)?;
    let Story { devices, service, .. } = story;
    let device = devices.get(alice).ok_or("no such device")?;
    let signed = device.next_signed_prekey(2, &mut service.rng)?;
    let body = json!({ "signed_prekey": signed, "one_time_prekeys": prekeys });
    Ok(authorized(alice, "POST /v1/keys", body))
}

async fn upload_again(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    let claim = claim(story, alice, 1).await?;
    story.well(&claim).await?;
    let mut prekeys = story.device(bob)?.published.one_time_prekeys.clone();
    prekeys.extend(one_time_prekeys_from(5, 3, &mut story.service.rng)?);
    Ok(authorized(
        bob,
        "POST /v1/keys",
        json!({ "one_time_prekeys": prekeys }),
    ))
}

async fn check(story: &mut Story) -> Result<Request, Trouble> {
    let (_, alice) = story.person(PHONES[0]).await?;
    // Another digest than the published keys have: the answer is the same each time.
    let digest = waxwing_wire::bytes::to_base64(&[7; 32]);
    Ok(authorized(
        alice,
        "POST /v1/keys/check",
        json!({ "digest": digest }),
    ))
}

async fn fetch(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, _) = two(story).await?;
    story.service.pass(OFFER_LIFE_SECONDS);
    let path = format!("/v1/keys/{}", story.account(1)?.id);
    Ok(Request::Http {
        device: Some(alice),
        route: "GET /v1/keys/{userId}",
        path: Some(path),
        body: Value::Null,
    })
}

/// Wakes a device at the token of this number, or nowhere.
fn token(device: usize, number: Option<u8>) -> Request {
    let address =
        number.map(|number| json!({ "platform": "apns", "token": format!("{number:02x}").repeat(32) }));
    let body = match address {
        Some(address) => json!({ "address": address }),
        None => json!({}),
    };
    authorized(device, "POST /v1/push", body)
}

async fn subscribe(story: &mut Story) -> Result<Request, Trouble> {
    let (_, bob) = story.person(PHONES[1]).await?;
    Ok(token(bob, Some(1)))
}

/// Bob can be woken and is away, and a message waits whose alert could not be published.
async fn owed(story: &mut Story) -> Result<usize, Trouble> {
    let (alice, bob) = two(story).await?;
    story.well(&token(bob, Some(1))).await?;
    leave(story, bob).await?;
    story.service.cloud.outbox.fail_pushes(u32::MAX);
    messages(story, alice, bob, 1).await?;
    story.service.cloud.outbox.fail_pushes(0);
    // Longer than anybody may be at it.
    story.service.pass(60);
    Ok(bob)
}

async fn subscribe_again(story: &mut Story) -> Result<Request, Trouble> {
    Ok(token(owed(story).await?, Some(2)))
}

async fn subscribe_inherited(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    let second = story.second_device(1, bob).await?;
    story.well(&token(second, Some(1))).await?;
    let revoke = revocation(story, 1, bob)?;
    story.well(&revoke).await?;
    Ok(token(alice, Some(1)))
}

async fn unsubscribe(story: &mut Story) -> Result<Request, Trouble> {
    let (_, bob) = story.person(PHONES[1]).await?;
    story.well(&token(bob, Some(1))).await?;
    Ok(token(bob, None))
}

async fn wake_owed(story: &mut Story) -> Result<Request, Trouble> {
    owed(story).await?;
    Ok(Request::Wake)
}

async fn wake_old(story: &mut Story) -> Result<Request, Trouble> {
    let (alice, bob) = two(story).await?;
    story.well(&token(bob, Some(1))).await?;
    messages(story, alice, bob, 1).await?;
    // It breaks off, and nobody says so.
    story.device(bob)?.cut(&story.service);
    story.service.pass(3 * 60 * 60);
    Ok(Request::Wake)
}
