//! Olm as vodozemac does it: 3DH on Curve25519, AES-256-CBC with HMAC-SHA-256.

use vodozemac::olm::{Account, OlmMessage, Session, SessionConfig};

use crate::{
    DEVICES, KILOBYTE,
    harness::{Sample, Sizes, timed},
};

/// A message as it crosses the network: its type and its bytes.
type Wire = (usize, Vec<u8>);

fn encrypt_to_wire(session: &mut Session) -> Wire {
    session.encrypt(KILOBYTE).unwrap().to_parts()
}

fn decrypt_from_wire(session: &mut Session, (kind, bytes): &Wire) -> Vec<u8> {
    session
        .decrypt(&OlmMessage::from_parts(*kind, bytes).unwrap())
        .unwrap()
}

/// A session of Alice's with an account of Bob's, and that account.
fn outbound(alice: &Account) -> (Session, Account) {
    let mut bob = Account::new();
    bob.generate_one_time_keys(1);
    let one_time = *bob.one_time_keys().values().next().unwrap();
    let session = alice
        .create_outbound_session(SessionConfig::version_1(), bob.curve25519_key(), one_time)
        .unwrap();
    (session, bob)
}

fn respond(bob: &mut Account, alice: &Account, (kind, bytes): &Wire) -> Session {
    let OlmMessage::PreKey(message) = OlmMessage::from_parts(*kind, bytes).unwrap() else {
        panic!("not a prekey message")
    };
    let created = bob.create_inbound_session(SessionConfig::version_1(), alice.curve25519_key(), &message);
    let created = created.unwrap();
    assert_eq!(created.plaintext, KILOBYTE);
    created.session
}

/// A session in which both sides have heard from each other.
fn sessions() -> (Session, Session) {
    let alice = Account::new();
    let (mut ours, mut bob) = outbound(&alice);
    let opening = encrypt_to_wire(&mut ours);
    let mut theirs = respond(&mut bob, &alice, &opening);
    let answer = encrypt_to_wire(&mut theirs);
    decrypt_from_wire(&mut ours, &answer);
    (ours, theirs)
}

fn copy(session: &Session) -> Session {
    Session::from_pickle(session.pickle())
}

pub(crate) fn sizes() -> Sizes {
    let alice = Account::new();
    let (mut ours, mut bob) = outbound(&alice);
    let opening = encrypt_to_wire(&mut ours);
    let answer = encrypt_to_wire(&mut respond(&mut bob, &alice, &opening));
    Sizes {
        chain: answer.1.len(),
        handshake: opening.1.len(),
        state: 0,
    }
}

pub(crate) fn initiator() -> Sample {
    let (alice, mut bob) = (Account::new(), Account::new());
    bob.generate_one_time_keys(1);
    let (identity, one_time) = (
        bob.curve25519_key(),
        *bob.one_time_keys().values().next().unwrap(),
    );
    Box::new(move || {
        timed(5, || {
            let session = alice.create_outbound_session(SessionConfig::version_1(), identity, one_time);
            encrypt_to_wire(&mut session.unwrap())
        })
    })
}

pub(crate) fn responder() -> Sample {
    let alice = Account::new();
    let (mut session, bob) = outbound(&alice);
    let opening = encrypt_to_wire(&mut session);
    Box::new(move || {
        // Responding uses the one-time key up.
        let mut bob = Account::from_pickle(bob.pickle());
        timed(1, || respond(&mut bob, &alice, &opening))
    })
}

pub(crate) fn encrypt() -> Sample {
    let (mut alice, mut bob) = sessions();
    decrypt_from_wire(&mut bob, &encrypt_to_wire(&mut alice));
    Box::new(move || timed(50, || encrypt_to_wire(&mut alice)))
}

pub(crate) fn decrypt() -> Sample {
    let (mut alice, mut bob) = sessions();
    decrypt_from_wire(&mut bob, &encrypt_to_wire(&mut alice));
    Box::new(move || {
        let messages: Vec<_> = (0..50).map(|_| encrypt_to_wire(&mut alice)).collect();
        let mut messages = messages.iter();
        timed(50, || decrypt_from_wire(&mut bob, messages.next().unwrap()))
    })
}

pub(crate) fn ping_pong() -> Sample {
    let (mut from, mut to) = sessions();
    Box::new(move || {
        timed(10, || {
            let message = encrypt_to_wire(&mut from);
            decrypt_from_wire(&mut to, &message);
            std::mem::swap(&mut from, &mut to);
        })
    })
}

pub(crate) fn fan_out() -> Sample {
    let (mut alice, _) = sessions();
    encrypt_to_wire(&mut alice);
    let mut sessions: Vec<_> = (0..DEVICES).map(|_| copy(&alice)).collect();
    Box::new(move || timed(1, || sessions.iter_mut().map(encrypt_to_wire).collect::<Vec<_>>()))
}
