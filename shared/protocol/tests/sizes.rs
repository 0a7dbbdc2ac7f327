//! What a message of 1 KB is on the wire, and what a session is in the store.

use rand::{SeedableRng, rngs::StdRng};
use waxwing_protocol::{
    Message, Session,
    handshake::{OneTime, PrekeyBundle, PublishedSignedPrekey, initiate, respond},
    keys::{DeviceKeys, OneTimePrekeyPair, SignedPrekeyPair},
};

const NOW: u64 = 1_800_000_000_000;
const KILOBYTE: [u8; 1024] = [7; 1024];

/// Bytes of 1 KB on the wire at most, in a chain and with a handshake.
const ON_A_CHAIN: usize = 1_100;
const WITH_A_HANDSHAKE: usize = 2_800;

#[test]
fn a_kilobyte_takes_1_100_bytes_on_a_chain_and_2_800_with_a_handshake() {
    let rng = &mut StdRng::seed_from_u64(1);
    let (alice, bob) = (DeviceKeys::generate(rng), DeviceKeys::generate(rng));
    let signed = SignedPrekeyPair::generate(1, rng).unwrap();
    let one_time = OneTimePrekeyPair::generate(1, rng).unwrap();
    let published = PublishedSignedPrekey {
        id: 1,
        key: &signed.public().to_bytes(),
        kem_key: signed.public().kem_key(),
        signature: &signed.sign(bob.signing()),
    };
    let prekey = Some((1, one_time.public().to_bytes()));
    let bundle = PrekeyBundle::verify(
        bob.public(),
        published,
        prekey.as_ref().map(|(id, key)| (*id, key.as_slice())),
    )
    .unwrap();
    let mut ours = initiate(rng, &alice, b"alice", &bundle, b"bob").unwrap();
    let opening = ours.encrypt(rng, &KILOBYTE, NOW).unwrap();
    assert!(opening.len() <= WITH_A_HANDSHAKE, "{}", opening.len());

    let Message::Prekey(message) = Message::parse(&opening).unwrap() else {
        panic!("not a prekey message")
    };
    let one_time = OneTime::Prekey(&one_time);
    let (mut theirs, content) = respond(
        &bob,
        b"bob",
        &signed,
        one_time,
        &alice.public(),
        b"alice",
        &message,
    )
    .unwrap();
    assert_eq!(content, KILOBYTE);

    let mut write = |from: &mut Session, to: &mut Session| {
        let message = from.encrypt(rng, &KILOBYTE, NOW).unwrap();
        assert_eq!(to.decrypt(&Message::parse(&message).unwrap()).unwrap(), KILOBYTE);
        message.len()
    };
    // Long enough for post-quantum steps to come and go. What a step adds is counted, too.
    let mut lengths = Vec::new();
    for _ in 0..200 {
        lengths.push(write(&mut theirs, &mut ours));
        lengths.push(write(&mut ours, &mut theirs));
    }
    lengths.sort_unstable();
    let (median, mean) = (lengths[200], lengths.iter().sum::<usize>() / lengths.len());
    assert!(median <= ON_A_CHAIN, "{median}");
    println!(
        "1 KB in {median} bytes, {mean} on average, {} at most",
        lengths[399]
    );
}
