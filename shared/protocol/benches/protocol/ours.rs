//! Waxwing: P-256 and ML-KEM-768, AES-256-GCM.

use rand::{SeedableRng, rngs::StdRng};
use waxwing_protocol::{
    Message, PrekeyMessage, Session,
    handshake::{OneTime, PrekeyBundle, PublishedSignedPrekey, initiate, respond},
    keys::{DeviceKeys, OneTimePrekeyPair, SignedPrekeyPair, TheirDevice},
    session::MAX_JUMP,
};

use crate::{
    DEVICES, KILOBYTE,
    harness::{Sample, Sizes, timed},
};

/// The time of every message, in milliseconds since 1970.
const NOW: u64 = 1_800_000_000_000;

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

    fn bundle(&self) -> PrekeyBundle {
        PrekeyBundle::verify(
            self.keys.public(),
            PublishedSignedPrekey {
                id: 1,
                key: &self.signed.public().to_bytes(),
                kem_key: self.signed.public().kem_key(),
                signature: &self.signed.sign(self.keys.signing()),
            },
            Some((1, &self.one_time.public().to_bytes())),
        )
        .unwrap()
    }

    fn initiate(&self, rng: &mut StdRng, bundle: &PrekeyBundle) -> (Session, Vec<u8>) {
        let mut session = initiate(rng, &self.keys, b"alice", bundle, b"bob").unwrap();
        let first = session.encrypt(rng, &KILOBYTE, NOW).unwrap();
        (session, first)
    }

    fn respond(&self, from: &TheirDevice, opening: &[u8]) -> Session {
        let one_time = OneTime::Prekey(&self.one_time);
        let (session, plaintext) = respond(
            &self.keys,
            b"bob",
            &self.signed,
            one_time,
            from,
            b"alice",
            &prekey(opening),
        )
        .unwrap();
        assert_eq!(plaintext, KILOBYTE);
        session
    }
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(1)
}

fn prekey(bytes: &[u8]) -> PrekeyMessage {
    match Message::parse(bytes).unwrap() {
        Message::Prekey(message) => message,
        Message::Ratchet(_) => panic!("not a prekey message"),
    }
}

fn decrypt_from_wire(session: &mut Session, bytes: &[u8]) -> Vec<u8> {
    session.decrypt(&Message::parse(bytes).unwrap()).unwrap()
}

/// A session in which both sides have heard from each other.
fn sessions(rng: &mut StdRng) -> (Session, Session) {
    let (alice, bob) = (Device::new(rng), Device::new(rng));
    let (mut ours, opening) = alice.initiate(rng, &bob.bundle());
    let mut theirs = bob.respond(&alice.keys.public(), &opening);
    let answer = theirs.encrypt(rng, &KILOBYTE, NOW).unwrap();
    decrypt_from_wire(&mut ours, &answer);
    (ours, theirs)
}

pub(crate) fn sizes() -> Sizes {
    let rng = &mut rng();
    let (alice, bob) = (Device::new(rng), Device::new(rng));
    let (mut ours, opening) = alice.initiate(rng, &bob.bundle());
    let mut theirs = bob.respond(&alice.keys.public(), &opening);
    let answer = theirs.encrypt(rng, &KILOBYTE, NOW).unwrap();
    decrypt_from_wire(&mut ours, &answer);
    Sizes {
        chain: answer.len(),
        handshake: opening.len(),
        state: ours.to_bytes().len(),
    }
}

pub(crate) fn initiator() -> Sample {
    let mut rng = rng();
    let (alice, bob) = (Device::new(&mut rng), Device::new(&mut rng));
    let bundle = bob.bundle();
    Box::new(move || timed(5, || alice.initiate(&mut rng, &bundle)))
}

pub(crate) fn responder() -> Sample {
    let mut rng = rng();
    let (alice, bob) = (Device::new(&mut rng), Device::new(&mut rng));
    let (_, opening) = alice.initiate(&mut rng, &bob.bundle());
    let sender = alice.keys.public();
    Box::new(move || timed(5, || bob.respond(&sender, &opening)))
}

pub(crate) fn verify_bundle() -> Sample {
    let bob = Device::new(&mut rng());
    let device = bob.keys.public();
    let signature = bob.signed.sign(bob.keys.signing());
    let (key, one_time) = (bob.signed.public().to_bytes(), bob.one_time.public().to_bytes());
    Box::new(move || {
        timed(5, || {
            let signed_prekey = PublishedSignedPrekey {
                id: 1,
                key: &key,
                kem_key: bob.signed.public().kem_key(),
                signature: &signature,
            };
            PrekeyBundle::verify(device.clone(), signed_prekey, Some((1, &one_time))).unwrap()
        })
    })
}

pub(crate) fn verify_device() -> Sample {
    let bob = Device::new(&mut rng());
    let (signing, identity) = (
        bob.keys.signing().public().to_bytes(),
        bob.keys.identity().public().to_bytes(),
    );
    let signature = bob.keys.identity_signature();
    Box::new(move || {
        timed(5, || {
            TheirDevice::verify(&signing, &identity, &signature).unwrap()
        })
    })
}

pub(crate) fn encrypt() -> Sample {
    let mut rng = rng();
    let (mut alice, _) = sessions(&mut rng);
    Box::new(move || timed(50, || alice.encrypt(&mut rng, &KILOBYTE, NOW).unwrap()))
}

pub(crate) fn decrypt() -> Sample {
    let mut rng = rng();
    let (mut alice, mut bob) = sessions(&mut rng);
    Box::new(move || {
        let messages: Vec<_> = (0..50)
            .map(|_| alice.encrypt(&mut rng, &KILOBYTE, NOW).unwrap())
            .collect();
        let mut messages = messages.iter();
        timed(50, || decrypt_from_wire(&mut bob, messages.next().unwrap()))
    })
}

pub(crate) fn ping_pong() -> Sample {
    let mut rng = rng();
    let (mut from, mut to) = sessions(&mut rng);
    Box::new(move || {
        timed(10, || {
            let message = from.encrypt(&mut rng, &KILOBYTE, NOW).unwrap();
            decrypt_from_wire(&mut to, &message);
            std::mem::swap(&mut from, &mut to);
        })
    })
}

pub(crate) fn fan_out() -> Sample {
    let mut rng = rng();
    let (mut alice, _) = sessions(&mut rng);
    alice.encrypt(&mut rng, &KILOBYTE, NOW).unwrap();
    let mut sessions = vec![alice; DEVICES];
    Box::new(move || {
        timed(1, || {
            let messages = sessions.iter_mut();
            messages
                .map(|session| session.encrypt(&mut rng, &KILOBYTE, NOW).unwrap())
                .collect::<Vec<_>>()
        })
    })
}

pub(crate) fn store_and_load() -> Sample {
    let (alice, _) = sessions(&mut rng());
    Box::new(move || timed(50, || Session::from_bytes(&alice.to_bytes()).unwrap()))
}

pub(crate) fn longest_jump() -> Sample {
    let mut rng = rng();
    let (mut alice, bob) = sessions(&mut rng);
    decrypt_from_wire(&mut bob.clone(), &alice.encrypt(&mut rng, b"first", NOW).unwrap());
    for _ in 0..MAX_JUMP - 1 {
        alice.encrypt(&mut rng, b"lost", NOW).unwrap();
    }
    let far = alice.encrypt(&mut rng, &KILOBYTE, NOW).unwrap();
    Box::new(move || {
        let mut bob = bob.clone();
        timed(1, || decrypt_from_wire(&mut bob, &far))
    })
}
