//! Devices, sessions and random sources for the tests of this crate.

use std::{cell::Cell, collections::VecDeque, convert::Infallible};

use rand::{SeedableRng, TryCryptoRng, TryRng, rngs::StdRng};

use crate::{
    handshake::{
        AnsweredOpenings, OneTime, PrekeyBundle, PublishedSignedPrekey, RespondError, initiate, respond,
    },
    keys::{DeviceKeys, OneTimePrekeyPair, PUBLIC_KEY_BYTES, SignedPrekeyPair},
    message::{Message, ParseError, PrekeyMessage},
    session::{DecryptError, Session},
};

/// The point of the curve with x = 0: multiplied by 1, it gives a shared secret of zero.
pub(crate) const ZERO_POINT: [u8; PUBLIC_KEY_BYTES] = {
    let mut bytes = [0; PUBLIC_KEY_BYTES];
    bytes[0] = 2;
    bytes
};

/// When everything happens in tests that are not about time.
pub(crate) const NOW: u64 = 1_700_000_000_000;

/// The private key 1.
pub(crate) const ONE: [u8; 32] = {
    let mut bytes = [0; 32];
    bytes[31] = 1;
    bytes
};

pub(crate) fn rng(seed: u64) -> StdRng {
    StdRng::seed_from_u64(seed)
}

/// A random source that no other call within the test gets.
pub(crate) fn fresh() -> StdRng {
    thread_local! {
        static CALLS: Cell<u64> = const { Cell::new(1 << 32) };
    }
    rng(CALLS.replace(CALLS.get() + 1))
}

/// The other point with the same x-coordinate.
pub(crate) fn negated(point: [u8; PUBLIC_KEY_BYTES]) -> [u8; PUBLIC_KEY_BYTES] {
    let mut negated = point;
    negated[0] ^= 1;
    negated
}

/// The private key of the other point with the same x-coordinate: n − k.
pub(crate) fn negated_private(private: &[u8; 32]) -> [u8; 32] {
    let n = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut negated = [0; 32];
    let mut borrow = 0;
    for at in (0..32).rev() {
        let digit = i16::from(n[at]) - i16::from(private[at]) - borrow;
        borrow = i16::from(digit < 0);
        negated[at] = u8::try_from(digit.rem_euclid(256)).unwrap();
    }
    negated
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// A random source that gives what it was told, and nothing more.
pub(crate) struct Scripted(VecDeque<u8>);

impl Scripted {
    pub(crate) fn new(parts: &[&[u8]]) -> Self {
        Self(parts.concat().into())
    }

    pub(crate) fn is_used_up(&self) -> bool {
        self.0.is_empty()
    }
}

impl TryRng for Scripted {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        panic!("the protocol draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        panic!("the protocol draws bytes")
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill_with(|| self.0.pop_front().expect("the script is long enough"));
        Ok(())
    }
}

impl TryCryptoRng for Scripted {}

/// A device with all its keys.
pub(crate) struct Device {
    pub(crate) keys: DeviceKeys,
    pub(crate) address: Vec<u8>,
    pub(crate) signed: SignedPrekeyPair,
    pub(crate) one_time: OneTimePrekeyPair,
}

impl Device {
    pub(crate) fn new(seed: u64) -> Self {
        let rng = &mut rng(seed);
        Self {
            keys: DeviceKeys::generate(rng),
            address: format!("device {seed}").into_bytes(),
            signed: SignedPrekeyPair::generate(7, rng).unwrap(),
            one_time: OneTimePrekeyPair::generate(9, rng).unwrap(),
        }
    }

    /// The two that talk in most tests.
    pub(crate) fn alice_and_bob() -> (Self, Self) {
        (Self::new(1), Self::new(2))
    }

    pub(crate) fn bundle(&self) -> PrekeyBundle {
        self.bundle_with(Some(&self.one_time))
    }

    pub(crate) fn bundle_with(&self, one_time: Option<&OneTimePrekeyPair>) -> PrekeyBundle {
        let signed = self.signed.public();
        let one_time = one_time.map(|pair| (pair.id(), pair.public().to_bytes()));
        PrekeyBundle::verify(
            self.keys.public(),
            PublishedSignedPrekey {
                id: signed.id(),
                key: &signed.to_bytes(),
                kem_key: signed.kem_key(),
                signature: &self.signed.sign(self.keys.signing()),
            },
            one_time.as_ref().map(|(id, key)| (*id, key.as_slice())),
        )
        .unwrap()
    }

    pub(crate) fn initiate(&self, to: &Self) -> Session {
        initiate(&mut fresh(), &self.keys, &self.address, &to.bundle(), &to.address).unwrap()
    }

    /// As a client does it: with the private halves the message names, and the sender the message names.
    pub(crate) fn respond(&self, from: &Self, bytes: &[u8]) -> Result<(Session, Vec<u8>), RespondError> {
        let message = prekey(bytes);
        let answered = AnsweredOpenings::new(self.signed.id());
        let one_time = self.one_time(&message, &answered);
        let sender = message.sender().unwrap();
        respond(
            &self.keys,
            &self.address,
            &self.signed,
            one_time,
            &sender,
            &from.address,
            &message,
        )
    }

    /// The private half a message names, if it names one.
    pub(crate) fn one_time<'a>(
        &'a self,
        message: &PrekeyMessage,
        answered: &'a AnsweredOpenings,
    ) -> OneTime<'a> {
        match message.one_time_prekey_id() {
            Some(_) => OneTime::Prekey(&self.one_time),
            None => OneTime::Answered(answered),
        }
    }

    /// Both sides of a session after the first message.
    pub(crate) fn sessions(&self, to: &Self) -> (Session, Session) {
        let mut ours = self.initiate(to);
        let first = ours.encrypt(&mut fresh(), b"first", NOW).unwrap();
        let (theirs, plaintext) = to.respond(self, &first).unwrap();
        assert_eq!(plaintext, b"first");
        (ours, theirs)
    }
}

/// Both sides of a session in which each has heard from the other.
pub(crate) fn sessions() -> (Session, Session) {
    let (alice, bob) = Device::alice_and_bob();
    let (mut alice, mut bob) = alice.sessions(&bob);
    let answer = bob.encrypt(&mut fresh(), b"answer", NOW).unwrap();
    assert_eq!(receive(&mut alice, &answer).unwrap(), b"answer");
    (alice, bob)
}

pub(crate) fn prekey(bytes: &[u8]) -> PrekeyMessage {
    match Message::parse(bytes).unwrap() {
        Message::Prekey(message) => message,
        Message::Ratchet(_) => panic!("a ratchet message"),
    }
}

/// Why bytes from the network came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    Parse(ParseError),
    Decrypt(DecryptError),
}

/// Parses and decrypts; checks that a refusal leaves the session as it was.
pub(crate) fn receive(session: &mut Session, bytes: &[u8]) -> Result<Vec<u8>, Refused> {
    let before = session.to_bytes();
    let result = Message::parse(bytes)
        .map_err(Refused::Parse)
        .and_then(|message| session.decrypt(&message).map_err(Refused::Decrypt));
    if result.is_err() {
        assert_eq!(
            session.to_bytes(),
            before,
            "x19: a refused message changed the session"
        );
    }
    result
}
