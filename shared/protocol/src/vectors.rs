//! The test vectors of `docs/vectors/protocol.json`.
//!
//! The messages come from the crate; everything in between (transcript, keys, associated data) is derived here
//! a second time, step by step as `docs/protocol.md` says, and must open them. The file is compared with what
//! this makes. After a deliberate change of the protocol, write it anew:
//! `cargo test -p waxwing-protocol -- --ignored write_the_vectors`.

mod bodies;

use std::convert::Infallible;

use rand::{TryCryptoRng, TryRng};
use serde_json::{Value, json};

use crate::{
    content::{Body, Content},
    ephemeral::{Ephemeral, EphemeralBody},
    handshake::{AnsweredOpenings, OneTime, PrekeyBundle, PublishedSignedPrekey, initiate, respond},
    keys::{DeviceKeys, IdentityKeyPair, OneTimePrekeyPair, SignedPrekeyPair, SigningKeyPair, VerifyingKey},
    message::{Message, PrekeyMessage},
    padding,
    primitives::{KemPublicKey, KemSecret, Point, Prk, Scalar, Secret, agree, hash, open},
    session::Session,
    testing::{NOW, Scripted, ZERO_POINT, hex, negated, negated_private, unhex},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/protocol.json");

#[test]
fn the_vectors_of_the_documentation_are_those_of_the_code() {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let made = vectors();
    for section in made.as_object().unwrap().keys() {
        assert_eq!(file[section], made[section], "{section}");
    }
    assert_eq!(file, made);
}

#[test]
#[ignore = "writes docs/vectors/protocol.json"]
fn write_the_vectors() {
    std::fs::write(FILE, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
}

fn vectors() -> Value {
    let (alice, bob) = (Party::new("Alice", 0x11), Party::new("Bob", 0x22));
    json!({
        "about": "Test vectors of docs/protocol.md. All bytes are in hexadecimal.",
        "devices": { "alice": alice.to_json(), "bob": bob.to_json() },
        "points": points(&alice),
        "signatures": signatures(&alice),
        "conversations": [
            conversation("with a one-time prekey", &alice, &bob, true, THERE_AND_BACK),
            conversation("without a one-time prekey", &alice, &bob, false, &[step(true, "hello", 0)]),
            conversation("with post-quantum steps", &alice, &bob, true, TWO_STEPS),
        ],
        "content": content(),
        "bodies": bodies::bodies(),
    })
}

/// Bytes that are the same every time and have no other meaning.
fn fixed(name: &str) -> [u8; 32] {
    hash(&[b"Waxwing test vectors: ", name.as_bytes()])
}

struct Party {
    name: &'static str,
    address: Vec<u8>,
    keys: DeviceKeys,
    signed: SignedPrekeyPair,
    one_time: OneTimePrekeyPair,
}

impl Party {
    fn new(name: &'static str, account: u8) -> Self {
        let key = |purpose: &str| fixed(&format!("{name}, {purpose}"));
        Self {
            name,
            address: [[account; 16].as_slice(), &[1]].concat(),
            keys: DeviceKeys::new(
                SigningKeyPair::from_bytes(&key("signing key")).unwrap(),
                IdentityKeyPair::from_bytes(&key("identity key")).unwrap(),
            ),
            signed: SignedPrekeyPair::from_bytes(
                3,
                &[key("signed prekey"), key("ML-KEM seed d"), key("ML-KEM seed z")].concat(),
            )
            .unwrap(),
            one_time: OneTimePrekeyPair::from_bytes(100, &key("one-time prekey")).unwrap(),
        }
    }

    fn bundle(&self, with_one_time: bool) -> PrekeyBundle {
        let one_time = self.one_time.public().to_bytes();
        let signature = self.signed.sign(self.keys.signing());
        PrekeyBundle::verify(
            self.keys.public(),
            PublishedSignedPrekey {
                id: self.signed.id(),
                key: &self.signed.public().to_bytes(),
                kem_key: self.signed.public().kem_key(),
                signature: &signature,
            },
            with_one_time.then_some((self.one_time.id(), one_time.as_slice())),
        )
        .unwrap()
    }

    fn respond(&self, from: &Self, with_one_time: bool, message: &PrekeyMessage) -> (Session, Vec<u8>) {
        let answered = AnsweredOpenings::new(self.signed.id());
        let one_time = if with_one_time {
            OneTime::Prekey(&self.one_time)
        } else {
            OneTime::Answered(&answered)
        };
        let sender = message.sender().unwrap();
        let (keys, address) = (&self.keys, &self.address);
        respond(
            keys,
            address,
            &self.signed,
            one_time,
            &sender,
            &from.address,
            message,
        )
        .unwrap()
    }

    fn to_json(&self) -> Value {
        let pair =
            |private: &[u8; 32], public: [u8; 33]| json!({ "private": hex(private), "public": hex(&public) });
        let (signing, identity) = (self.keys.signing(), self.keys.identity());
        let with = |mut pair: Value, more: Value| {
            pair.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            pair
        };
        json!({
            "address": hex(&self.address),
            "signing_key": pair(&signing.to_bytes(), signing.public().to_bytes()),
            "identity_key": with(
                pair(&identity.to_bytes(), identity.public().to_bytes()),
                json!({ "signature": hex(&self.keys.identity_signature()) }),
            ),
            "signed_prekey": with(
                pair(
                    self.signed.to_bytes().first_chunk().unwrap(),
                    self.signed.public().to_bytes(),
                ),
                json!({
                    "id": self.signed.id(),
                    "kem_seed": hex(&self.signed.to_bytes()[32..]),
                    "kem_key": hex(self.signed.public().kem_key()),
                    "signature": hex(&self.signed.sign(signing)),
                }),
            ),
            "one_time_prekey": with(
                pair(&self.one_time.to_bytes(), self.one_time.public().to_bytes()),
                json!({ "id": self.one_time.id() }),
            ),
        })
    }
}

fn points(alice: &Party) -> Value {
    let valid = alice.keys.identity().public().to_bytes();
    let uncompressed = Point::from_bytes(&valid).unwrap().to_stored_bytes();
    let tagged = |tag: u8| [&[tag], &uncompressed[1..]].concat();
    let p = unhex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
    let mut off_curve = ZERO_POINT;
    off_curve[32] = 1;
    let rows: Vec<(&str, Vec<u8>)> = vec![
        ("a key", valid.to_vec()),
        ("its negative", negated(valid).to_vec()),
        ("x = 0, a point of the curve", ZERO_POINT.to_vec()),
        ("no point of the curve", off_curve.to_vec()),
        ("x = p", [[2].as_slice(), &p].concat()),
        ("uncompressed", uncompressed.to_vec()),
        ("hybrid", tagged(6)),
        ("hybrid", tagged(7)),
        ("unknown tag", [&[5], &valid[1..]].concat()),
        ("the identity", vec![0]),
        ("too short", valid[..32].to_vec()),
        ("too long", [valid.as_slice(), &[0]].concat()),
        ("nothing", vec![]),
    ];
    rows.iter()
        .map(|(comment, bytes)| {
            json!({ "comment": comment, "bytes": hex(bytes), "valid": Point::from_bytes(bytes).is_ok() })
        })
        .collect()
}

fn signatures(alice: &Party) -> Value {
    let message = b"a message".as_slice();
    let good = alice.keys.signing().sign(message);
    let (r, s) = good.split_at(32);
    let high = negated_private(s.try_into().unwrap());
    let zero = [0; 32].as_slice();
    let n = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let rows = [
        ("deterministic, low s", message, [r, s]),
        ("the same with n - s in place of s", message, [r, &high]),
        ("another message", b"another message", [r, s]),
        ("r = 0", message, [zero, s]),
        ("s = 0", message, [r, zero]),
        ("r = n", message, [&n, s]),
        ("s = n", message, [r, &n]),
    ];
    let verifier = VerifyingKey::from_bytes(&alice.keys.signing().public().to_bytes()).unwrap();
    rows.iter()
        .map(|(comment, message, signature)| {
            let signature: [u8; 64] = signature.concat().try_into().unwrap();
            json!({
                "comment": comment,
                "key": hex(&verifier.to_bytes()),
                "message": hex(message),
                "signature": hex(&signature),
                "valid": verifier.verify(message, &signature).is_ok(),
            })
        })
        .collect()
}

/// Who writes what next, on which day.
struct Step {
    alice: bool,
    text: &'static str,
    day: u64,
}

const fn step(alice: bool, text: &'static str, day: u64) -> Step {
    Step { alice, text, day }
}

/// Out of order within what one side writes before the other answers: see [`conversation`].
const THERE_AND_BACK: &[Step] = &[
    step(true, "first", 0),
    step(true, "second", 0),
    step(true, "third", 0),
    step(false, "answer", 0),
    step(false, "", 0),
    step(true, "next chain", 0),
    step(false, "and another", 0),
];

/// Three days pass, so that a post-quantum step begins; then six, so that messages grow for the next one.
const TWO_STEPS: &[Step] = &[
    step(true, "hello", 0),
    step(false, "hello", 0),
    step(true, "key, first blocks", 3),
    step(true, "key, last blocks", 3),
    step(false, "answer, first blocks", 3),
    step(false, "answer, last blocks", 3),
    step(true, "first step", 3),
    step(false, "from here on the time counts", 3),
    step(true, "for both", 3),
    step(false, "key, all blocks", 9),
    step(true, "answer, all blocks", 9),
    step(false, "second step", 9),
    step(true, "after it", 9),
];

/// Gives bytes that are the same every time, and tells which.
struct Told<'a> {
    name: &'a str,
    message: usize,
    drawn: Vec<Vec<u8>>,
}

impl TryRng for Told<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("the protocol draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("the protocol draws bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        let (name, message, draw) = (self.name, self.message, self.drawn.len());
        for (part, place) in bytes.chunks_mut(32).enumerate() {
            let fixed = fixed(&format!("{name}, message {message}, draw {draw}, part {part}"));
            place.copy_from_slice(&fixed[..place.len()]);
        }
        self.drawn.push(bytes.to_vec());
        Ok(())
    }
}

impl TryCryptoRng for Told<'_> {}

/// A handshake and what follows. Each turn's messages are received last first.
fn conversation(name: &str, alice: &Party, bob: &Party, with_one_time: bool, steps: &[Step]) -> Value {
    let private_base = fixed(&format!("{name}, base key"));
    let randomness = fixed(&format!("{name}, encapsulation"));
    let source = &mut Scripted::new(&[&private_base, &randomness]);
    let bundle = bob.bundle(with_one_time);
    let mut session = initiate(source, &alice.keys, &alice.address, &bundle, &bob.address).unwrap();
    let base = Scalar::from_bytes(&private_base).unwrap();
    let handshake = Handshake::new(alice, bob, with_one_time, &base, randomness);
    assert_eq!(session.id(), handshake.transcript);

    let mut reference = Reference::new(&handshake, bob);
    let mut answering: Option<Session> = None;
    let mut messages = Vec::new();
    for turn in steps.chunk_by(|a, b| a.alice == b.alice) {
        let from_alice = turn[0].alice;
        let mut under_way = Vec::new();
        for step in turn {
            let source = &mut Told {
                name,
                message: messages.len(),
                drawn: Vec::new(),
            };
            let sender = if from_alice {
                &mut session
            } else {
                answering.as_mut().unwrap()
            };
            let now = NOW + step.day * 24 * 60 * 60 * 1_000;
            let bytes = sender.encrypt(source, step.text.as_bytes(), now).unwrap();
            messages.push(reference.explain(step, now, &source.drawn, &bytes));
            under_way.push((bytes, step.text));
        }
        for (bytes, text) in under_way.iter().rev() {
            let message = Message::parse(bytes).unwrap();
            let content = match (&message, from_alice, &mut answering) {
                (_, false, _) => session.decrypt(&message).unwrap(),
                (_, true, Some(answering)) => answering.decrypt(&message).unwrap(),
                (Message::Prekey(message), true, none) => {
                    let (made, content) = bob.respond(alice, with_one_time, message);
                    *none = Some(made);
                    content
                }
                (Message::Ratchet(_), true, None) => panic!("no session yet"),
            };
            assert_eq!(content, text.as_bytes());
        }
    }
    assert_eq!(session.post_quantum_steps(), reference.epoch);
    json!({
        "name": name,
        "initiator": alice.name,
        "responder": bob.name,
        "handshake": handshake.to_json(&private_base, &base),
        "messages": messages,
        "ephemeral": handshake.ephemeral(name, [&session, answering.as_ref().unwrap()]),
    })
}

/// A handshake, as section "Handshake" of the documentation computes it.
struct Handshake {
    shared: Vec<Secret>,
    randomness: [u8; 32],
    kem_ciphertext: Vec<u8>,
    kem_secret: Secret,
    bound: Vec<u8>,
    transcript: [u8; 32],
    root: Secret,
    ephemeral: [Secret; 2],
}

impl Handshake {
    fn new(alice: &Party, bob: &Party, with_one_time: bool, base: &Scalar, randomness: [u8; 32]) -> Self {
        let side = |party: &Party| {
            [
                &[u8::try_from(party.address.len()).unwrap()],
                party.address.as_slice(),
                &party.keys.signing().public().to_bytes(),
                &party.keys.identity().public().to_bytes(),
            ]
            .concat()
        };
        let mut bound = b"Waxwing v1 transcript P-256 ML-KEM-768 HKDF-SHA-256 AES-256-GCM\0".to_vec();
        bound.extend(side(alice));
        bound.extend(side(bob));
        bound.extend(base.point().as_bytes());
        bound.extend(bob.signed.id().to_be_bytes());
        bound.extend(bob.signed.public().to_bytes());
        bound.extend(bob.signed.public().kem_key());
        bound.push(with_one_time.into());
        let point = |bytes: [u8; 33]| Point::from_bytes(&bytes).unwrap();
        let signed = point(bob.signed.public().to_bytes());
        let identity = Scalar::from_bytes(&alice.keys.identity().to_bytes()).unwrap();
        let mut shared = vec![
            agree(&identity, &signed).unwrap(),
            agree(base, &point(bob.keys.identity().public().to_bytes())).unwrap(),
            agree(base, &signed).unwrap(),
        ];
        if with_one_time {
            bound.extend(bob.one_time.id().to_be_bytes());
            bound.extend(bob.one_time.public().to_bytes());
            shared.push(agree(base, &point(bob.one_time.public().to_bytes())).unwrap());
        }
        let (kem, kem_key) = KemSecret::from_seed(bob.signed.to_bytes().last_chunk().unwrap());
        let (kem_ciphertext, _) = kem_key.encapsulate(&mut Scripted::new(&[&randomness]));
        let kem_secret = kem.decapsulate(&kem_ciphertext);
        bound.extend(kem_ciphertext.as_ref());
        let transcript = hash(&[&bound]);
        let mut secret: Vec<u8> = shared.iter().flat_map(|secret| *secret.as_bytes()).collect();
        secret.extend(kem_secret.as_bytes());
        let prk = Prk::extract(b"Waxwing v1 handshake X3DH ML-KEM-768\0", &secret);
        let root = prk.expand(&[b"Waxwing v1 session root\0", &transcript]);
        let ephemeral =
            [1, 2].map(|direction| prk.expand(&[b"Waxwing v1 ephemeral key\0", &transcript, &[direction]]));
        Self {
            shared,
            randomness,
            kem_ciphertext: kem_ciphertext.to_vec(),
            kem_secret,
            bound,
            transcript,
            root,
            ephemeral,
        }
    }

    fn to_json(&self, private_base: &[u8], base: &Scalar) -> Value {
        json!({
            "base_key": { "private": hex(private_base), "public": hex(base.point().as_bytes()) },
            "dh": self.shared.iter().map(|secret| hex(secret.as_bytes())).collect::<Vec<_>>(),
            "kem": {
                "randomness": hex(&self.randomness),
                "ciphertext": hex(&self.kem_ciphertext),
                "secret": hex(self.kem_secret.as_bytes()),
            },
            "transcript_input": hex(&self.bound),
            "transcript": hex(&self.transcript),
            "root_key": hex(self.root.as_bytes()),
            "ephemeral_keys": self.ephemeral.iter().map(|key| hex(key.as_bytes())).collect::<Vec<_>>(),
        })
    }

    /// An ephemeral message of each side, as section "Ephemeral messages" of the documentation makes it.
    fn ephemeral(&self, name: &str, sides: [&Session; 2]) -> Value {
        let bodies = [EphemeralBody::Typing, EphemeralBody::Present { asks: true }];
        let messages = bodies.into_iter().enumerate().map(|(side, body)| {
            let message = Ephemeral {
                conversation: [0x44; 16],
                sent_at_millis: NOW,
                body,
            };
            let salt = fixed(&format!("{name}, salt {side}"));
            let sealed = sides[side]
                .seal_ephemeral(&mut Scripted::new(&[&salt]), &message)
                .unwrap();
            assert_eq!(sides[1 - side].open_ephemeral(&sealed), Ok(message));
            let direction = [u8::try_from(side + 1).unwrap()];
            let key =
                Prk::from_key(&self.ephemeral[side]).expand(&[b"Waxwing v1 ephemeral message key\0", &salt]);
            let associated_data = [
                b"Waxwing v1 ephemeral\0".as_slice(),
                &self.transcript,
                &direction,
                &[1],
                &salt,
            ]
            .concat();
            let (ciphertext, tag) = sealed[33..].split_last_chunk().unwrap();
            let mut content = ciphertext.to_vec();
            open(&key, &[0; 12], &associated_data, &mut content, tag).unwrap();
            assert_eq!(content, message.to_bytes());
            json!({
                "direction": direction[0],
                "salt": hex(&salt),
                "message_key": hex(key.as_bytes()),
                "associated_data": hex(&associated_data),
                "content": hex(&content),
                "message": hex(&sealed),
            })
        });
        messages.collect()
    }
}

/// The ratchet, as sections "Double Ratchet" and "Post-quantum steps" of the documentation compute it, seen by
/// one who knows all private keys.
struct Reference {
    transcript: [u8; 32],
    root: Secret,
    epoch: u32,
    chain: Secret,
    /// Whose latest ratchet key, to which the next chain is made.
    towards: Scalar,
    latest: Scalar,
    /// The step under way: key, answer, and the secret it gives.
    key: Vec<u8>,
    answer: Vec<u8>,
    kem_secret: Option<Secret>,
}

impl Reference {
    fn new(handshake: &Handshake, bob: &Party) -> Self {
        let prekey = Scalar::from_bytes(bob.signed.to_bytes().first_chunk().unwrap()).unwrap();
        Self {
            transcript: handshake.transcript,
            root: handshake.root.clone(),
            epoch: 0,
            chain: Secret::zero(),
            towards: prekey.clone(),
            latest: prekey,
            key: Vec::new(),
            answer: Vec::new(),
            kem_secret: None,
        }
    }

    /// Derives the key of a message and opens it.
    fn explain(&mut self, step: &Step, now: u64, drawn: &[Vec<u8>], bytes: &[u8]) -> Value {
        let header = &bytes[if bytes[1] == 1 { 1261 } else { 2 }..][..57];
        let number = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().unwrap());
        let (epoch, counter) = (number(33), number(41));
        let (nonce, mut drawn) = drawn.split_last().unwrap();
        let mut new_chain = None;
        let mut mixed = None;
        if counter == 0 {
            let (private, rest) = drawn.split_first().unwrap();
            drawn = rest;
            mixed = (epoch == self.epoch + 1).then(|| self.kem_secret.take().unwrap());
            self.epoch = epoch;
            self.begin_chain(private, mixed.as_ref());
            new_chain = Some(private);
        }
        assert_eq!(epoch, self.epoch);
        let prepared = self.prepare(drawn);

        let prk = Prk::from_key(&self.chain);
        let key = prk.expand(&[b"Waxwing v1 chain message\0"]);
        let chain = std::mem::replace(&mut self.chain, prk.expand(&[b"Waxwing v1 chain next\0"]));

        let head = if bytes[1] == 1 { 1261 + 57 } else { 2 + 57 };
        let (head, sealed) = bytes.split_at(head);
        let direction = [if step.alice { 1 } else { 2 }];
        let associated_data = [
            b"Waxwing v1 message\0".as_slice(),
            &self.transcript,
            &direction,
            head,
        ]
        .concat();
        let (ciphertext, tag) = sealed.split_last_chunk().unwrap();
        let mut plaintext = ciphertext.to_vec();
        assert_eq!(nonce, head.last_chunk::<12>().unwrap());
        open(
            &key,
            head.last_chunk().unwrap(),
            &associated_data,
            &mut plaintext,
            tag,
        )
        .unwrap();
        let chunk = self.read(&plaintext, step.text);
        json!({
            "from": if step.alice { "Alice" } else { "Bob" },
            "now_millis": now,
            "new_private_ratchet_key": new_chain.map(|private| hex(private)),
            "mixed_kem_secret": mixed.map(|secret| hex(secret.as_bytes())),
            "epoch": epoch,
            "root_key": hex(self.root.as_bytes()),
            "chain_key": hex(chain.as_bytes()),
            "message_key": hex(key.as_bytes()),
            "nonce": hex(nonce),
            "associated_data": hex(&associated_data),
            "prepared": prepared,
            "chunk": chunk,
            "plaintext_bytes": plaintext.len(),
            "content": hex(step.text.as_bytes()),
            "message": hex(bytes),
        })
    }

    fn begin_chain(&mut self, private: &[u8], kem: Option<&Secret>) {
        let private = Scalar::from_bytes(private.try_into().unwrap()).unwrap();
        self.towards = std::mem::replace(&mut self.latest, private);
        let (sender, receiver) = (self.latest.point(), self.towards.point());
        let mut shared = agree(&self.latest, &receiver).unwrap().as_bytes().to_vec();
        shared.extend(kem.iter().flat_map(|secret| *secret.as_bytes()));
        let prk = Prk::extract(self.root.as_bytes(), &shared);
        let expand = |label: &[u8]| {
            prk.expand(&[
                label,
                sender.as_bytes(),
                receiver.as_bytes(),
                &self.epoch.to_be_bytes(),
            ])
        };
        (self.root, self.chain) = (
            expand(b"Waxwing v1 ratchet root\0"),
            expand(b"Waxwing v1 ratchet chain\0"),
        );
    }

    /// The key made, or the answer given, with what was drawn beyond a ratchet key and a nonce.
    fn prepare(&mut self, drawn: &[Vec<u8>]) -> Value {
        let Some(drawn) = drawn.first() else {
            return Value::Null;
        };
        if let Ok(seed) = drawn.as_slice().try_into() {
            self.key = KemSecret::from_seed(seed).1.as_bytes().to_vec();
            return json!({ "kem_seed": hex(drawn), "kem_key": hex(&self.key) });
        }
        let key = KemPublicKey::from_bytes(&self.key).unwrap();
        let (ciphertext, shared) = key.encapsulate(&mut Scripted::new(&[drawn]));
        let bound = hash(&[&self.key, ciphertext.as_ref()]);
        let prk = Prk::from_key(&shared);
        let secret = prk.expand(&[b"Waxwing v1 ratchet kem secret\0", &bound]);
        let confirmation = prk.expand(&[b"Waxwing v1 ratchet kem confirmation\0", &bound]);
        self.answer = [ciphertext.as_slice(), confirmation.as_bytes()].concat();
        let prepared = json!({
            "randomness": hex(drawn),
            "shared": hex(shared.as_bytes()),
            "ciphertext": hex(ciphertext.as_ref()),
            "confirmation": hex(confirmation.as_bytes()),
            "secret": hex(secret.as_bytes()),
        });
        self.kem_secret = Some(secret);
        prepared
    }

    /// Takes a plaintext apart: content, mark, zeros, chunk.
    fn read(&self, plaintext: &[u8], text: &str) -> Value {
        let whole = match plaintext.last() {
            Some(1) => Some(("key", &self.key)),
            Some(2) => Some(("answer", &self.answer)),
            _ => None,
        };
        let (padded, chunk) = match whole {
            None => (plaintext, Value::Null),
            Some((kind, whole)) => {
                let (rest, &[first, count, attempt, _]) = plaintext.split_last_chunk().unwrap();
                let (padded, blocks) = rest.split_at(rest.len() - 32 * usize::from(count));
                assert_eq!(blocks, &whole[32 * usize::from(first)..][..blocks.len()]);
                let chunk = json!({ "kind": kind, "attempt": attempt, "first": first, "count": count });
                (padded, chunk)
            }
        };
        let mut expected = text.as_bytes().to_vec();
        expected.push(0x80);
        expected.resize(padded.len(), 0);
        assert_eq!(padded, expected);
        assert!(padding::is_bucket(plaintext.len()));
        chunk
    }
}

fn content() -> Value {
    let content = |text: &str| Content {
        sequence: 42,
        sent_at_millis: 1_700_000_000_123,
        conversation: [0x33; 16],
        body: Body::Text(text.to_owned()),
    };
    let encoded = content("Grüße 🐦").encode().unwrap();
    let lengths = [0, 603, 604, 990, 991, 1627, 1628, 10_843].map(|length| {
        let encoded = content(&"x".repeat(length)).encode().unwrap();
        json!({
            "text_bytes": length,
            "encoded_bytes": encoded.len(),
            "padded_bytes": padding::bucket(encoded.len() + 1),
        })
    });
    json!({
        "sequence": 42,
        "sent_at_millis": 1_700_000_000_123_u64,
        "conversation": hex(&[0x33; 16]),
        "text": "Grüße 🐦",
        "encoded": hex(&encoded),
        "lengths": lengths,
    })
}
