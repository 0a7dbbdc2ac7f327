//! Valid inputs for each target, to begin from.

use waxwing_protocol::{
    Body, Content, Message, ResetReason,
    keys::KEM_KEY_BYTES,
    management::{ForkWitness, ResetBudget},
};

use crate::fixture::{Device, FIXTURE, Fixture, NOW, parse, rng};

/// The valid inputs: target, name, bytes.
pub fn seeds() -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let fixture = &*FIXTURE;
    let mut seeds = vec![
        ("bundle", "valid", bundle(&fixture.bob, true)),
        (
            "bundle",
            "valid_without_one_time_prekey",
            bundle(&fixture.bob, false),
        ),
        (
            "device_list",
            "valid",
            [&fixture.list.signature(), fixture.list.list_bytes()].concat(),
        ),
        ("link_code", "valid", fixture.offer.code().as_bytes().to_vec()),
        ("safety_code", "valid", fixture.safety_code.clone().into_bytes()),
        ("message", "valid_opening", fixture.opening.clone()),
        ("message", "valid_ratchet", fixture.pending.clone()),
    ];
    seeds.extend(content());
    seeds.extend(management());
    seeds.extend(keys(&fixture.bob));
    seeds.extend(states(fixture));
    seeds.extend(conversations());
    seeds
}

fn bundle(device: &Device, with_one_time: bool) -> Vec<u8> {
    let (signed, one_time) = (&device.signed, &device.one_time);
    let mut bytes = [
        device.keys.public().to_bytes().as_slice(),
        &device.keys.identity_signature(),
        &signed.id().to_be_bytes(),
        &signed.public().to_bytes(),
        signed.public().kem_key(),
        &signed.sign(device.keys.signing()),
    ]
    .concat();
    if with_one_time {
        bytes.extend_from_slice(&one_time.id().to_be_bytes());
        bytes.extend_from_slice(&one_time.public().to_bytes());
    }
    bytes
}

fn content() -> [(&'static str, &'static str, Vec<u8>); 3] {
    let content = |body| {
        let content = Content {
            sequence: 1,
            sent_at_millis: NOW,
            conversation: [5; 16],
            body,
        };
        content.encode().expect("a short body")
    };
    let text = |text: &str| content(Body::Text(text.to_owned()));
    [
        ("content", "valid_text", text("Zwölf Seidenschwänze")),
        ("content", "valid_empty_text", text("")),
        (
            "content",
            "valid_reset",
            content(Body::Reset(ResetReason::Overdue)),
        ),
    ]
}

fn management() -> [(&'static str, &'static str, Vec<u8>); 2] {
    let (mut witness, mut budget) = (ForkWitness::default(), ResetBudget::default());
    for sequence in [1, 2, 4] {
        witness.observe(sequence, b"content");
    }
    let _ = budget.take(NOW);
    [
        ("management", "valid_witness", witness.to_bytes()),
        ("management", "valid_budget", budget.to_bytes()),
    ]
}

fn keys(device: &Device) -> [(&'static str, &'static str, Vec<u8>); 4] {
    let public = device.keys.signing().public().to_bytes();
    let signed = [
        public.as_slice(),
        &device.keys.signing().sign(b"message"),
        b"message",
    ]
    .concat();
    let kem: &[u8; KEM_KEY_BYTES] = device.signed.public().kem_key();
    [
        ("keys", "valid_point", public.to_vec()),
        ("keys", "valid_signature", signed),
        ("keys", "valid_kem_key", kem.to_vec()),
        (
            "keys",
            "valid_private_key",
            device.keys.signing().to_bytes().to_vec(),
        ),
    ]
}

/// States of an initiator that heard nothing, of both sides in the middle, and of one with skipped keys and closed
/// chains.
fn states(fixture: &Fixture) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let rng = &mut rng(6);
    let opening = fixture.alice.initiate(rng, &fixture.bob);
    let (mut alice, mut bob) = (fixture.alice_session.clone(), fixture.bob_session.clone());
    bob.decrypt(&parse(&fixture.pending)).expect("a good message");
    for _ in 0..3 {
        let mut messages: Vec<Message> = Vec::new();
        for _ in 0..3 {
            messages.push(parse(&alice.encrypt(rng, b"there", NOW).expect("short")));
        }
        bob.decrypt(&messages[2]).expect("a good message");
        let back = bob.encrypt(rng, b"back", NOW).expect("short");
        alice.decrypt(&parse(&back)).expect("a good message");
    }
    let state = |name, session: &waxwing_protocol::Session| ("state", name, session.to_bytes().to_vec());
    vec![
        state("valid_opening", &opening),
        state("valid_ours", &fixture.alice_session),
        state("valid_theirs", &fixture.bob_session),
        state("valid_skipped", &bob),
    ]
}

/// Conversations, in steps of `session`: what, which.
fn conversations() -> [(&'static str, &'static str, Vec<u8>); 4] {
    // What: 0 send, 1 deliver, 2 deliver and keep, 3 lose, 4 damage, 5 reflect, 6 store, 7 time; to Alice or Bob.
    let (to_alice, to_bob) = (0, 1);
    let step = |what: u8, to: u8, which: u8| [what << 1 | to, which];
    let ping_pong = [
        step(0, to_bob, 1),
        step(1, to_bob, 0),
        step(6, to_bob, 0),
        step(0, to_alice, 1),
        step(1, to_alice, 0),
        step(6, to_alice, 0),
    ];
    let reordered = [
        step(0, to_bob, 3),
        step(0, to_bob, 0),
        step(0, to_bob, 0),
        step(0, to_bob, 0),
        step(2, to_bob, 3),
        step(1, to_bob, 1),
        step(1, to_bob, 0),
        step(0, to_alice, 0),
        step(2, to_alice, 0),
        step(2, to_alice, 0),
        step(1, to_bob, 0),
    ];
    let hostile = [
        step(0, to_bob, 0),
        step(4, to_bob, 8),
        step(4, to_bob, 3),
        step(1, to_bob, 0),
        step(0, to_alice, 0),
        step(5, to_bob, 0),
        step(4, to_alice, 100),
        step(3, to_alice, 0),
        step(0, to_alice, 0),
        step(1, to_alice, 0),
    ];
    let slow = [
        step(0, to_bob, 0),
        step(1, to_bob, 0),
        step(7, 0, 200),
        step(0, to_alice, 0),
        step(1, to_alice, 0),
        step(7, 0, 255),
    ];
    [
        ("session", "valid_ping_pong", ping_pong.repeat(12).concat()),
        ("session", "valid_reordered", reordered.repeat(4).concat()),
        ("session", "valid_hostile", hostile.repeat(6).concat()),
        ("session", "valid_slow", slow.repeat(12).concat()),
    ]
}
