//! What the protocol costs.
//!
//! `cargo bench -p waxwing-protocol` prints the sizes on the wire, then the time of a handshake on either
//! side, of a message of 1 KB on a chain, of a message that begins a new chain on both sides (ping-pong), and
//! of one message of 1 KB to 100 devices.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    missing_docs,
    reason = "a bench is no library"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use rand::{SeedableRng, rngs::StdRng};
use waxwing_protocol::{
    Message, PrekeyMessage, Session,
    handshake::{PrekeyBundle, initiate, respond},
    keys::{DeviceKeys, OneTimePrekeyPair, SignedPrekeyPair, TheirDevice},
    session::MAX_JUMP,
};

const KILOBYTE: [u8; 1024] = [7; 1024];
const DEVICES: usize = 100;

struct Device {
    keys: DeviceKeys,
    signed: SignedPrekeyPair,
    one_time: OneTimePrekeyPair,
}

impl Device {
    fn new(rng: &mut StdRng) -> Self {
        Self {
            keys: DeviceKeys::generate(rng),
            signed: SignedPrekeyPair::generate(1, rng).unwrap(),
            one_time: OneTimePrekeyPair::generate(1, rng).unwrap(),
        }
    }

    fn bundle(&self, device: TheirDevice) -> PrekeyBundle {
        let signature = self.signed.sign(self.keys.signing());
        PrekeyBundle::verify(
            device,
            (1, &self.signed.public().to_bytes(), &signature),
            Some((1, &self.one_time.public().to_bytes())),
        )
        .unwrap()
    }

    fn respond(&self, from: &TheirDevice, message: &PrekeyMessage) -> Session {
        let one_time = Some(&self.one_time);
        respond(
            &self.keys,
            b"bob",
            &self.signed,
            one_time,
            from,
            b"alice",
            message,
        )
        .unwrap()
        .0
    }
}

fn prekey(bytes: &[u8]) -> PrekeyMessage {
    match Message::parse(bytes).unwrap() {
        Message::Prekey(message) => message,
        Message::Ratchet(_) => panic!("not a prekey message"),
    }
}

/// A session in which both sides have heard from each other.
fn sessions(rng: &mut StdRng) -> (Session, Session) {
    let (alice, bob) = (Device::new(rng), Device::new(rng));
    let bundle = bob.bundle(bob.keys.public());
    let mut ours = initiate(rng, &alice.keys, b"alice", &bundle, b"bob").unwrap();
    let opening = ours.encrypt(rng, &KILOBYTE).unwrap();
    let mut theirs = bob.respond(&alice.keys.public(), &prekey(&opening));
    let answer = theirs.encrypt(rng, &KILOBYTE).unwrap();
    ours.decrypt(&Message::parse(&answer).unwrap()).unwrap();
    println!(
        "1 KB on the wire: {} bytes on a chain, {} with a handshake; state {} bytes",
        answer.len(),
        opening.len(),
        ours.to_bytes().len()
    );
    (ours, theirs)
}

fn handshake(c: &mut Criterion) {
    let rng = &mut StdRng::seed_from_u64(1);
    let (alice, bob) = (Device::new(rng), Device::new(rng));
    let bundle = bob.bundle(bob.keys.public());
    let opening = |rng: &mut StdRng| {
        let mut session = initiate(rng, &alice.keys, b"alice", &bundle, b"bob").unwrap();
        session.encrypt(rng, &KILOBYTE).unwrap()
    };
    let message = opening(rng);
    let sender = alice.keys.public();

    let mut group = c.benchmark_group("handshake");
    group.bench_function("initiator: session and first message", |b| {
        b.iter(|| opening(rng))
    });
    group.bench_function("initiator: verify a bundle", |b| {
        let (signing, identity) = (
            bob.keys.signing().public().to_bytes(),
            bob.keys.identity().public().to_bytes(),
        );
        let signature = bob.keys.identity_signature();
        let signed = (
            bob.signed.public().to_bytes(),
            bob.signed.sign(bob.keys.signing()),
        );
        let one_time = bob.one_time.public().to_bytes();
        b.iter(|| {
            let device = TheirDevice::verify(&signing, &identity, &signature).unwrap();
            PrekeyBundle::verify(device, (1, &signed.0, &signed.1), Some((1, &one_time))).unwrap()
        });
    });
    group.bench_function("responder: session and first message, known sender", |b| {
        b.iter(|| bob.respond(&sender, &prekey(black_box(&message))));
    });
    group.bench_function("responder: verify an unknown sender", |b| {
        let message = prekey(&message);
        b.iter(|| message.sender().unwrap());
    });
    group.finish();
}

fn messages(c: &mut Criterion) {
    let rng = &mut StdRng::seed_from_u64(2);
    let (mut alice, mut bob) = sessions(rng);
    let first = alice.encrypt(rng, &KILOBYTE).unwrap();
    bob.decrypt(&Message::parse(&first).unwrap()).unwrap();

    let mut group = c.benchmark_group("message of 1 KB");
    group.bench_function("encrypt on a chain", |b| {
        let mut alice = alice.clone();
        b.iter(|| alice.encrypt(rng, black_box(&KILOBYTE)).unwrap());
    });
    let next = alice.encrypt(rng, &KILOBYTE).unwrap();
    group.bench_function("decrypt on a chain", |b| {
        b.iter_batched_ref(
            || bob.clone(),
            |bob| bob.decrypt(&Message::parse(black_box(&next)).unwrap()).unwrap(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("ping-pong, one message", |b| {
        let (mut from, mut to) = (alice.clone(), bob.clone());
        b.iter(|| {
            let message = from.encrypt(rng, black_box(&KILOBYTE)).unwrap();
            to.decrypt(&Message::parse(&message).unwrap()).unwrap();
            std::mem::swap(&mut from, &mut to);
        });
    });
    group.bench_function("decrypt after the longest jump", |b| {
        let mut ahead = alice.clone();
        for _ in 0..MAX_JUMP - 1 {
            ahead.encrypt(rng, b"lost").unwrap();
        }
        let far = Message::parse(&ahead.encrypt(rng, &KILOBYTE).unwrap()).unwrap();
        b.iter_batched_ref(
            || bob.clone(),
            |bob| bob.decrypt(&far).unwrap(),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("store and load a session", |b| {
        b.iter(|| Session::from_bytes(&black_box(&alice).to_bytes()).unwrap());
    });
    let mut sessions = vec![alice; DEVICES];
    group.bench_function("fan-out to 100 devices", |b| {
        b.iter(|| {
            for session in &mut sessions {
                black_box(session.encrypt(rng, black_box(&KILOBYTE)).unwrap());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, handshake, messages);
criterion_main!(benches);
