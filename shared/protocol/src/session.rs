//! A session between two devices: what the Double Ratchet gives, tied to the handshake it came from.

mod chain_key;
#[cfg(test)]
mod conversation;
pub(crate) mod ephemeral;
mod error;
mod kem;
mod message_key;
mod ratchet;
mod receiving;
mod root_key;
mod skipped;
mod state;
#[cfg(test)]
mod steps;

use std::fmt;

use rand::CryptoRng;

pub(crate) use ephemeral::EphemeralKeys;
pub use error::{DecryptError, EncryptError, StateError};
pub use kem::{
    KEM_STEP_BEGINS_AFTER_MESSAGES, KEM_STEP_BEGINS_AFTER_MILLIS, KEM_STEP_DUE_AFTER_MESSAGES,
    KEM_STEP_DUE_AFTER_MILLIS, KEM_STEP_HURRIES_AFTER_MESSAGES, KEM_STEP_HURRIES_AFTER_MILLIS,
};
pub use receiving::{MAX_CHAINS, MAX_JUMP};
pub(crate) use root_key::RootKey;
pub use skipped::{MAX_KEY_AGE, MAX_SKIPPED_KEYS};

use crate::{
    keys::{PUBLIC_KEY_BYTES, SignedPrekeyPair},
    labels,
    message::{
        Message, Opening, PREKEY_OVERHEAD_BYTES, PrekeyMessage, RATCHET_OVERHEAD_BYTES, RatchetMessage,
        write_head,
    },
    padding::{self, BadPadding},
    primitives::{HASH_BYTES, Point},
};
use kem::{Chunk, KemSteps};
use message_key::MessageKey;
use ratchet::DoubleRatchet;

/// A session with one other device. Every message changes it; store it before a ciphertext leaves.
#[derive(Clone)]
pub struct Session {
    /// The handshake's transcript.
    id: [u8; HASH_BYTES],
    base_key: [u8; PUBLIC_KEY_BYTES],
    used_one_time_prekey: bool,
    role: Role,
    ratchet: DoubleRatchet,
    kem: KemSteps,
    /// None in a session of before there were ephemeral messages.
    ephemeral: Option<EphemeralKeys>,
}

/// Which side of the handshake we are.
#[derive(Clone)]
enum Role {
    /// We opened the session and have heard nothing yet: our messages carry the opening.
    Opening(Box<Opening>),
    /// We opened the session and know that the other side has it.
    Initiator,
    /// The other side opened the session.
    Responder,
}

/// Which way a message goes. Part of its associated data, so none can be sent back to who wrote it.
#[derive(Clone, Copy)]
enum Direction {
    FromInitiator = 1,
    FromResponder = 2,
}

impl Session {
    pub(crate) fn initiated(
        id: [u8; HASH_BYTES],
        opening: Opening,
        (root, ephemeral): (RootKey, EphemeralKeys),
        their_prekey: Point,
    ) -> Self {
        Self {
            id,
            base_key: opening.base_key,
            used_one_time_prekey: opening.one_time_prekey_id.is_some(),
            role: Role::Opening(Box::new(opening)),
            ratchet: DoubleRatchet::initiator(root, their_prekey),
            kem: KemSteps::new(),
            ephemeral: Some(ephemeral),
        }
    }

    pub(crate) fn responded(
        id: [u8; HASH_BYTES],
        (root, ephemeral): (RootKey, EphemeralKeys),
        signed_prekey: &SignedPrekeyPair,
        message: &PrekeyMessage,
    ) -> Result<(Self, Vec<u8>), DecryptError> {
        let PrekeyMessage { opening, message } = message;
        let (ratchet, opened) = DoubleRatchet::responder(
            &root,
            signed_prekey.scalar(),
            &signed_prekey.public().to_bytes(),
            &message.header,
            |key| open(key, &id, Direction::FromInitiator, Some(opening), message),
        )?;
        let session = Self {
            id,
            base_key: opening.base_key,
            used_one_time_prekey: opening.one_time_prekey_id.is_some(),
            role: Role::Responder,
            ratchet,
            kem: KemSteps::new(),
            ephemeral: Some(ephemeral),
        };
        Ok((session, opened.into_content()))
    }

    /// The session's name, equal on both sides: the hash of all its handshake binds. Not secret.
    pub fn id(&self) -> [u8; 32] {
        self.id
    }

    /// The key the initiator made for this session alone. Names the session a prekey message belongs to.
    pub fn base_key(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.base_key
    }

    /// Whether the handshake had a one-time prekey. If not, whoever later learns the responder's signed prekey
    /// and identity key can read the first messages, until the responder answers.
    pub fn used_one_time_prekey(&self) -> bool {
        self.used_one_time_prekey
    }

    /// Whether a message of the other side was decrypted, so that both sides have the session.
    pub fn has_received(&self) -> bool {
        !matches!(self.role, Role::Opening(_))
    }

    /// How many post-quantum steps the session has made since its handshake, which was one itself.
    pub fn post_quantum_steps(&self) -> u32 {
        self.ratchet.epoch
    }

    /// Whether a post-quantum step is overdue by as much again as it may take. That is so when only one side
    /// writes, and when something keeps the two from agreeing; opening a new session helps in both cases.
    pub fn post_quantum_step_is_overdue(&self, now_millis: u64) -> bool {
        let (messages, millis) = (2 * KEM_STEP_DUE_AFTER_MESSAGES, 2 * KEM_STEP_DUE_AFTER_MILLIS);
        self.kem.is_past(messages, millis, now_millis)
    }

    /// Pads and encrypts content. Store the session before the ciphertext leaves. `now_millis` is the time in
    /// milliseconds since 1970; only how much of it passes matters, for post-quantum steps.
    ///
    /// Draws from `rng`, in this order: 32 bytes for a new ratchet key if the other side wrote last; for a
    /// post-quantum step 64 bytes to ask or 32 to answer, seldom; a nonce of 12 bytes.
    ///
    /// # Errors
    /// [`EncryptError`]; the session is unchanged then.
    pub fn encrypt(
        &mut self,
        rng: &mut impl CryptoRng,
        content: &[u8],
        now_millis: u64,
    ) -> Result<Vec<u8>, EncryptError> {
        let (direction, opening) = match &self.role {
            Role::Opening(opening) => (Direction::FromInitiator, Some(&**opening)),
            Role::Initiator => (Direction::FromInitiator, None),
            Role::Responder => (Direction::FromResponder, None),
        };
        let overhead = if opening.is_some() {
            PREKEY_OVERHEAD_BYTES
        } else {
            RATCHET_OVERHEAD_BYTES
        };
        if content.len() > padding::MAX_CONTENT_BYTES {
            return Err(EncryptError::TooLong);
        }
        let epoch = self.ratchet.epoch;
        let (mut header, key) = self.ratchet.next_message(rng, self.kem.to_begin_with())?;
        if header.epoch != epoch {
            self.kem.done();
        }
        self.kem.count_sent(now_millis);
        if opening.is_none() {
            let asks = asks(&self.role, header.epoch);
            self.kem.prepare(rng, asks, now_millis);
        }
        rng.fill_bytes(&mut header.nonce);
        let (messages, millis) = (KEM_STEP_HURRIES_AFTER_MESSAGES, KEM_STEP_HURRIES_AFTER_MILLIS);
        let hurries = header.counter == 0 && self.kem.is_past(messages, millis, now_millis);
        let planned = self.kem.plan(content.len() + 1, hurries);
        let (bucket, chunk) = planned.ok_or(EncryptError::TooLong)?;
        let mut message = Vec::with_capacity(overhead + bucket);
        write_head(opening, &header, &mut message);
        let associated_data = associated_data(&self.id, direction, &message);
        let start = message.len();
        message.extend_from_slice(content);
        padding::pad(&mut message, start, bucket);
        if let Some(chunk) = chunk {
            chunk.write(&mut message);
        }
        key.seal(&header.nonce, &associated_data, &mut message, start);
        Ok(message)
    }

    /// Decrypts a message of this session, and takes the padding off.
    ///
    /// # Errors
    /// [`DecryptError`], by what is wrong; the session is unchanged then.
    pub fn decrypt(&mut self, message: &Message) -> Result<Vec<u8>, DecryptError> {
        let (direction, opening, message) = match (&self.role, message) {
            (Role::Responder, Message::Prekey(PrekeyMessage { opening, message }))
                if opening.base_key == self.base_key =>
            {
                (Direction::FromInitiator, Some(opening), message)
            }
            (Role::Opening(_) | Role::Initiator, Message::Prekey(message))
                if message.opening.base_key == self.base_key =>
            {
                return Err(DecryptError::Reflected);
            }
            (_, Message::Prekey(_)) => return Err(DecryptError::WrongSession),
            (Role::Responder, Message::Ratchet(message)) => (Direction::FromInitiator, None, message),
            (_, Message::Ratchet(message)) => (Direction::FromResponder, None, message),
        };
        let epoch = self.ratchet.epoch;
        let expected = self.kem.to_expect();
        let opened = self.ratchet.decrypt(&message.header, expected, |key| {
            open(key, &self.id, direction, opening, message)
        })?;
        if let Role::Opening(_) = self.role {
            self.role = Role::Initiator;
        }
        if self.ratchet.epoch != epoch {
            self.kem.done();
        }
        self.kem.count_received();
        if message.header.epoch == self.ratchet.epoch
            && let Some(chunk) = opened.chunk()
        {
            self.kem.take_in(chunk, asks(&self.role, message.header.epoch));
        }
        Ok(opened.into_content())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Whether a side asks for the post-quantum step after this epoch: the initiator for the first, then in turn.
fn asks(role: &Role, epoch: u32) -> bool {
    matches!(role, Role::Responder) == (epoch % 2 == 1)
}

/// What was inside a message.
struct Opened {
    /// Content, mark and zeros, chunk.
    plaintext: Vec<u8>,
    content: usize,
}

impl Opened {
    /// Checks that content is padded as this crate does it, perhaps with a larger bucket for the sake of a
    /// chunk.
    fn new(plaintext: Vec<u8>) -> Result<Self, BadPadding> {
        let (padded, chunk) = Chunk::split(&plaintext)?;
        let content = padding::unpad(padded)?;
        let fits = match chunk {
            None => padding::bucket(content + 1) == Some(plaintext.len()),
            Some(_) => padding::is_bucket(plaintext.len()),
        };
        fits.then_some(Self { plaintext, content }).ok_or(BadPadding)
    }

    fn chunk(&self) -> Option<Chunk<'_>> {
        Chunk::split(&self.plaintext).ok()?.1
    }

    fn into_content(mut self) -> Vec<u8> {
        self.plaintext.truncate(self.content);
        self.plaintext
    }
}

/// Opens a message with its key.
fn open(
    key: &MessageKey,
    id: &[u8; HASH_BYTES],
    direction: Direction,
    opening: Option<&Opening>,
    message: &RatchetMessage,
) -> Result<Opened, DecryptError> {
    let mut head = Vec::with_capacity(PREKEY_OVERHEAD_BYTES);
    write_head(opening, &message.header, &mut head);
    let associated_data = associated_data(id, direction, &head);
    let plaintext = key.open(&message.header.nonce, &associated_data, &message.sealed)?;
    Opened::new(plaintext).map_err(|_| DecryptError::Padding)
}

/// What is authenticated with a ciphertext: label, transcript, direction, and all of the message before it.
fn associated_data(id: &[u8; HASH_BYTES], direction: Direction, head: &[u8]) -> Vec<u8> {
    [labels::MESSAGE, id, &[direction as u8], head].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::KeyError,
        primitives::{Scalar, Secret},
        session::{
            chain_key::ChainKey,
            ratchet::{SendingChain, Turn},
        },
        testing::{Device, NOW, ONE, Refused, Scripted, ZERO_POINT, fresh, receive, sessions},
    };

    /// Where a ratchet message has its fields.
    const RATCHET_KEY: usize = 2;
    const PREVIOUS_LENGTH: usize = 39;
    const COUNTER: usize = 43;

    /// Bytes of a stored session at most, whatever arrived.
    const MAX_STATE_BYTES: usize = 40_000;

    fn refused(error: DecryptError) -> Result<Vec<u8>, Refused> {
        Err(Refused::Decrypt(error))
    }

    fn send(session: &mut Session, plaintext: &[u8]) -> Vec<u8> {
        session.encrypt(&mut fresh(), plaintext, NOW).unwrap()
    }

    /// Encrypts `count` messages whose plaintexts are their numbers.
    fn send_many(session: &mut Session, count: u32) -> Vec<Vec<u8>> {
        (0..count)
            .map(|number| send(session, &number.to_be_bytes()))
            .collect()
    }

    fn put<const N: usize>(message: &[u8], at: usize, bytes: [u8; N]) -> Vec<u8> {
        let mut message = message.to_vec();
        message[at..at + N].copy_from_slice(&bytes);
        message
    }

    /// One message each way, so that both sides begin a new chain.
    fn round(alice: &mut Session, bob: &mut Session) {
        let message = send(alice, b"there");
        receive(bob, &message).unwrap();
        let message = send(bob, b"and back");
        receive(alice, &message).unwrap();
    }

    #[test]
    fn a_long_conversation_between_stored_sessions() {
        let (mut alice, mut bob) = sessions();
        for turn in 0..40_u32 {
            let (from, to) = if turn % 2 == 0 {
                (&mut alice, &mut bob)
            } else {
                (&mut bob, &mut alice)
            };
            for message in send_many(from, turn % 5 + 1) {
                *to = Session::from_bytes(&to.to_bytes()).unwrap();
                receive(to, &message).unwrap();
            }
            *from = Session::from_bytes(&from.to_bytes()).unwrap();
        }
    }

    #[test]
    fn the_opening_is_repeated_until_an_answer_was_decrypted() {
        let (alice, bob) = Device::alice_and_bob();
        let (mut ours, mut theirs) = alice.sessions(&bob);
        assert!(!ours.has_received() && theirs.has_received());
        let second = send(&mut ours, b"second");
        assert!(matches!(Message::parse(&second), Ok(Message::Prekey(_))));
        assert_eq!(receive(&mut theirs, &second).unwrap(), b"second");

        let answer = send(&mut theirs, b"answer");
        assert!(matches!(Message::parse(&answer), Ok(Message::Ratchet(_))));
        receive(&mut ours, &answer).unwrap();
        assert!(ours.has_received());
        assert!(matches!(
            Message::parse(&send(&mut ours, b"third")),
            Ok(Message::Ratchet(_))
        ));
    }

    #[test]
    fn the_prekey_message_of_another_session_is_refused() {
        let (alice, bob) = Device::alice_and_bob();
        let (_, mut theirs) = alice.sessions(&bob);
        let other = send(&mut alice.initiate(&bob), b"other");
        assert_eq!(receive(&mut theirs, &other), refused(DecryptError::WrongSession));
    }

    #[test]
    fn messages_arrive_in_any_order_across_chains() {
        let (mut alice, mut bob) = sessions();
        let mut late = Vec::new();
        for _ in 0..MAX_CHAINS - 1 {
            late.push(send(&mut alice, b"late"));
            round(&mut alice, &mut bob);
        }
        for message in late.iter().rev() {
            assert_eq!(receive(&mut bob, message).unwrap(), b"late");
            assert_eq!(receive(&mut bob, message), refused(DecryptError::Duplicate));
        }
    }

    #[test]
    fn x18_a_chain_is_forgotten_after_so_many_others_and_the_oldest_goes_first() {
        let (mut alice, mut bob) = sessions();
        let mut late = Vec::new();
        for _ in 0..MAX_CHAINS {
            late.push(send(&mut alice, b"late"));
            round(&mut alice, &mut bob);
        }
        round(&mut alice, &mut bob);
        // Bob wrote last, so a ratchet key he does not know could be new: it costs an attempt.
        assert_eq!(receive(&mut bob, &late[0]), refused(DecryptError::Authentication));
        assert_eq!(receive(&mut bob, &late[1]).unwrap(), b"late");
        // After reading, none can be new, and no attempt is made.
        let next = send(&mut alice, b"next");
        receive(&mut bob, &next).unwrap();
        assert_eq!(receive(&mut bob, &late[0]), refused(DecryptError::UnknownChain));
    }

    #[test]
    fn x18_a_counter_is_followed_up_to_the_jump_and_no_further() {
        let (mut alice, mut bob) = sessions();
        let known = send(&mut alice, b"known");
        receive(&mut bob, &known).unwrap();
        // Forged: as far as the jump allows keys are derived, beyond it none. 1 is next on this chain.
        for (counter, expected) in [
            (0, DecryptError::Duplicate),
            (1, DecryptError::Authentication),
            (1 + MAX_JUMP, DecryptError::Authentication),
            (2 + MAX_JUMP, DecryptError::TooFarAhead),
            (u32::MAX, DecryptError::TooFarAhead),
        ] {
            let forged = put(&known, COUNTER, counter.to_be_bytes());
            assert_eq!(receive(&mut bob, &forged), refused(expected), "{counter}");
        }
        // The same on a new chain, with the counter and with the length of the chain before.
        let answer = send(&mut bob, b"answer");
        receive(&mut alice, &answer).unwrap();
        let new = send(&mut alice, b"new");
        for (at, counter, expected) in [
            (COUNTER, MAX_JUMP, DecryptError::Authentication),
            (COUNTER, MAX_JUMP + 1, DecryptError::TooFarAhead),
            (COUNTER, u32::MAX, DecryptError::TooFarAhead),
            (PREVIOUS_LENGTH, 0, DecryptError::Authentication),
            (PREVIOUS_LENGTH, 1 + MAX_JUMP, DecryptError::Authentication),
            (PREVIOUS_LENGTH, 2 + MAX_JUMP, DecryptError::TooFarAhead),
            (PREVIOUS_LENGTH, u32::MAX, DecryptError::TooFarAhead),
        ] {
            let forged = put(&new, at, counter.to_be_bytes());
            assert_eq!(receive(&mut bob, &forged), refused(expected), "{counter} at {at}");
        }
        assert_eq!(receive(&mut bob, &new).unwrap(), b"new");
    }

    #[test]
    fn x18_genuine_jumps_are_made_and_cost_bounded_memory() {
        let (mut alice, mut bob) = sessions();
        let mut ahead = alice.clone();
        let messages = send_many(&mut ahead, MAX_JUMP + 2);
        let (reachable, beyond) = (&messages[MAX_JUMP as usize], &messages[MAX_JUMP as usize + 1]);
        assert_eq!(receive(&mut bob, beyond), refused(DecryptError::TooFarAhead));
        assert_eq!(receive(&mut bob, reachable).unwrap(), MAX_JUMP.to_be_bytes());
        assert_eq!(receive(&mut bob, beyond).unwrap(), (MAX_JUMP + 1).to_be_bytes());
        assert!(bob.to_bytes().len() <= MAX_STATE_BYTES);
        // The most recent keys were kept, the others not: neither lost silently nor called duplicates.
        let oldest_kept = MAX_JUMP as usize - MAX_SKIPPED_KEYS;
        assert_eq!(
            receive(&mut bob, &messages[oldest_kept - 1]),
            refused(DecryptError::TooOld)
        );
        assert!(receive(&mut bob, &messages[oldest_kept]).is_ok());

        // The chain ends unseen: the jump to its end is bounded like any other.
        let (mut alice_after, mut bob_after) = (ahead, bob);
        let answer = send(&mut bob_after, b"answer");
        receive(&mut alice_after, &answer).unwrap();
        let next = send(&mut alice_after, b"next");
        assert_eq!(receive(&mut bob_after, &next).unwrap(), b"next");
        assert!(bob_after.to_bytes().len() <= MAX_STATE_BYTES);
        send(&mut alice, b"unused");
    }

    #[test]
    fn x18_of_too_many_skipped_keys_the_oldest_go_first() {
        let (mut alice, mut bob) = sessions();
        // 400 missing on each of three chains: 200 of the first must go.
        let mut chains = Vec::new();
        for _ in 0..3 {
            let messages = send_many(&mut alice, 401);
            receive(&mut bob, &messages[400]).unwrap();
            chains.push(messages);
            round(&mut alice, &mut bob);
        }
        let stored = bob.to_bytes().len();
        assert!((36_000..MAX_STATE_BYTES).contains(&stored), "{stored}");
        let (gone, kept) = chains[0][..400].split_at(200);
        for message in gone {
            assert_eq!(receive(&mut bob, message), refused(DecryptError::TooOld));
        }
        for message in kept.iter().chain(&chains[1][..400]).chain(&chains[2][..400]) {
            assert!(receive(&mut bob, message).is_ok());
            assert_eq!(receive(&mut bob, message), refused(DecryptError::Duplicate));
        }
        assert!(bob.to_bytes().len() < 1_000);
    }

    #[test]
    fn x18_a_skipped_key_is_kept_for_so_many_messages_and_no_longer() {
        let (mut alice, mut bob) = sessions();
        let messages = send_many(&mut alice, MAX_KEY_AGE + 1);
        let (missing, rest) = messages.split_first().unwrap();
        let (last, rest) = rest.split_last().unwrap();
        for message in rest {
            receive(&mut bob, message).unwrap();
        }
        let mut at_the_end = bob.clone();
        assert_eq!(receive(&mut at_the_end, missing).unwrap(), [0; 4]);
        receive(&mut bob, last).unwrap();
        assert_eq!(receive(&mut bob, missing), refused(DecryptError::TooOld));
    }

    #[test]
    fn x18_a_chain_that_was_closed_takes_no_more_messages() {
        let (mut alice, mut bob) = sessions();
        let missing = send(&mut alice, b"missing");
        let mut fork = alice.clone();
        round(&mut alice, &mut bob);
        round(&mut alice, &mut bob);
        // A message the sender has denied: only a copy of its state can have made it.
        let denied = send_many(&mut fork, 2).pop().unwrap();
        assert_eq!(receive(&mut bob, &denied), refused(DecryptError::BeyondEnd));
        assert_eq!(receive(&mut bob, &missing).unwrap(), b"missing");
    }

    #[test]
    fn x19_a_thousand_forged_headers_change_nothing() {
        use rand::Rng;
        let (mut alice, mut bob) = sessions();
        let skipped = send(&mut alice, b"skipped");
        let on_chain = send(&mut alice, b"on the chain");
        receive(&mut bob, &on_chain).unwrap();
        let answer = send(&mut bob, b"answer");
        receive(&mut alice, &answer).unwrap();
        let new_chain = send(&mut alice, b"new chain");
        let rng = &mut fresh();
        for i in 0..1000_u32 {
            let mut forged = if i % 2 == 0 {
                on_chain.clone()
            } else {
                new_chain.clone()
            };
            let mut random = [0; 45];
            rng.fill_bytes(&mut random);
            match i % 8 {
                0 | 1 => forged[RATCHET_KEY + 1..RATCHET_KEY + 33].copy_from_slice(&random[..32]),
                2 | 3 => forged = put(&forged, COUNTER, (rng.next_u32() % 100).to_be_bytes()),
                4 | 5 => forged = put(&forged, PREVIOUS_LENGTH, rng.next_u32().to_be_bytes()),
                _ => forged = put(&forged, COUNTER, rng.next_u32().to_be_bytes()),
            }
            if forged != new_chain {
                // Compares the stored bytes before and after.
                assert!(receive(&mut bob, &forged).is_err());
            }
        }
        assert_eq!(receive(&mut bob, &skipped).unwrap(), b"skipped");
        assert_eq!(receive(&mut bob, &new_chain).unwrap(), b"new chain");
    }

    #[test]
    fn x20_a_replay_is_a_duplicate_at_any_distance() {
        let (mut alice, mut bob) = sessions();
        let messages = send_many(&mut alice, 60);
        for distance in 1..30 {
            let mut bob = bob.clone();
            // Each message `distance` later than the one after it, and each at once a second time.
            let (early, late) = messages.split_at(distance);
            for message in late.iter().chain(early) {
                receive(&mut bob, message).unwrap();
                assert_eq!(receive(&mut bob, message), refused(DecryptError::Duplicate));
            }
            for message in &messages {
                assert_eq!(receive(&mut bob, message), refused(DecryptError::Duplicate));
            }
        }
        // Across chains, too.
        for message in &messages {
            receive(&mut bob, message).unwrap();
        }
        for _ in 0..MAX_CHAINS - 1 {
            round(&mut alice, &mut bob);
            assert_eq!(receive(&mut bob, &messages[7]), refused(DecryptError::Duplicate));
        }
    }

    #[test]
    fn x22_our_own_message_is_refused() {
        let (mut alice, mut bob) = sessions();
        let old = send(&mut alice, b"old");
        receive(&mut bob, &old).unwrap();
        let answer = send(&mut bob, b"answer");
        receive(&mut alice, &answer).unwrap();
        // Our previous chain's while it is our turn, then our present chain's.
        assert_eq!(receive(&mut alice, &old), refused(DecryptError::UnknownChain));
        let present = send(&mut alice, b"present");
        assert_eq!(receive(&mut alice, &present), refused(DecryptError::Reflected));
        assert_eq!(receive(&mut alice, &old), refused(DecryptError::Authentication));

        let (alice, bob) = Device::alice_and_bob();
        let mut opening = alice.initiate(&bob);
        let message = send(&mut opening, b"hello");
        assert_eq!(receive(&mut opening, &message), refused(DecryptError::Reflected));
    }

    #[test]
    fn x22_the_direction_is_part_of_what_is_authenticated() {
        let (alice, bob) = Device::alice_and_bob();
        let (ours, mut theirs) = alice.sessions(&bob);
        // A responder that has the initiator's whole state still cannot pass its messages off as its own.
        let answer = send(&mut theirs, b"answer");
        let mut ours_as_responder = ours.clone();
        ours_as_responder.role = Role::Responder;
        assert_eq!(
            receive(&mut ours_as_responder, &answer),
            refused(DecryptError::Authentication)
        );
        assert_eq!(receive(&mut ours.clone(), &answer).unwrap(), b"answer");
    }

    #[test]
    fn x23_every_bit_of_a_message_is_authenticated() {
        let (mut alice, mut bob) = sessions();
        let current = send(&mut alice, b"current chain");
        let skipped = send(&mut alice, b"skipped");
        let mut later = bob.clone();
        let last = send(&mut alice, b"last");
        receive(&mut later, &last).unwrap();
        for (session, message) in [(&mut bob, &current), (&mut later, &skipped)] {
            for bit in 0..message.len() * 8 {
                let mut flipped = message.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(receive(session, &flipped).is_err(), "bit {bit}");
            }
            assert!(receive(session, &[message.as_slice(), &[0]].concat()).is_err());
            assert!(receive(session, &message[..message.len() - 1]).is_err());
            assert!(receive(session, message).is_ok());
        }
    }

    #[test]
    fn x23_every_byte_of_a_repeated_opening_is_authenticated() {
        let (alice, bob) = Device::alice_and_bob();
        let (mut ours, mut theirs) = alice.sessions(&bob);
        let second = send(&mut ours, b"second");
        for at in 0..second.len() {
            let mut flipped = second.clone();
            flipped[at] ^= 1;
            assert!(receive(&mut theirs, &flipped).is_err(), "byte {at}");
        }
        assert_eq!(receive(&mut theirs, &second).unwrap(), b"second");
        // Nor can the opening be taken off, or put on.
        let third = send(&mut ours, b"third");
        let bare = [&[1, 2], &third[1261..]].concat();
        assert_eq!(receive(&mut theirs, &bare), refused(DecryptError::Authentication));
        let answer = send(&mut theirs, b"answer");
        receive(&mut ours, &answer).unwrap();
        let fourth = send(&mut ours, b"fourth");
        let dressed = [&[1, 1], &third[2..1261], &fourth[2..]].concat();
        assert_eq!(
            receive(&mut theirs, &dressed),
            refused(DecryptError::Authentication)
        );
        assert_eq!(receive(&mut theirs, &third).unwrap(), b"third");
        assert_eq!(receive(&mut theirs, &fourth).unwrap(), b"fourth");
    }

    #[test]
    fn x25_a_session_restored_from_before_never_repeats_a_nonce_under_a_key() {
        let (mut alice, mut bob) = sessions();
        send(&mut alice, b"begins a chain");
        let backup = alice.to_bytes();
        let first = send(&mut alice, b"sent before the crash");
        let mut restored = Session::from_bytes(&backup).unwrap();
        // The message key is the same; the recorder in `primitives` checks that the nonce is not.
        let second = send(&mut restored, b"sent after the crash");
        assert_ne!(
            first[COUNTER + 4..COUNTER + 16],
            second[COUNTER + 4..COUNTER + 16]
        );
        assert!(receive(&mut bob, &first).is_ok());
        assert_eq!(receive(&mut bob, &second), refused(DecryptError::Duplicate));
    }

    #[test]
    fn x02_a_shared_secret_of_zero_is_refused_by_the_ratchet() {
        let (mut alice, mut bob) = sessions();
        let message = send(&mut alice, b"hello");
        receive(&mut bob, &message).unwrap();
        // It is Bob's turn; towards this ratchet key his new one of 1 makes zero.
        bob.ratchet.turn = Turn::Theirs(Point::from_bytes(&ZERO_POINT).unwrap());
        let before = bob.to_bytes();
        let result = bob.encrypt(&mut Scripted::new(&[&ONE]), b"answer", NOW);
        assert_eq!(result, Err(EncryptError::ZeroSecret));
        assert_eq!(bob.to_bytes(), before);
        // And with a ratchet key of 1, what comes under that key makes zero.
        bob.ratchet.turn = Turn::Ours(SendingChain {
            ratchet: Scalar::from_bytes(&ONE).unwrap(),
            ratchet_key: *Scalar::from_bytes(&ONE).unwrap().point().as_bytes(),
            chain_key: ChainKey::new(Secret::zero(), 0),
        });
        let zero = put(&message, RATCHET_KEY, ZERO_POINT);
        assert_eq!(receive(&mut bob, &zero), refused(DecryptError::ZeroSecret));
    }

    #[test]
    fn x01_a_ratchet_key_off_the_curve_is_refused() {
        let (alice, mut bob) = sessions();
        let answer = send(&mut bob, b"hello");
        let mut off_curve = ZERO_POINT;
        off_curve[32] = 1;
        for (key, error) in [(off_curve, KeyError::Curve), ([0xff; 33], KeyError::Curve)] {
            let mut key = key;
            key[0] = 3;
            let forged = put(&answer, RATCHET_KEY, key);
            let mut alice = alice.clone();
            send(&mut alice, b"so that a new chain can come");
            assert_eq!(
                receive(&mut alice, &forged),
                refused(DecryptError::RatchetKey(error))
            );
        }
    }

    #[test]
    fn a_chain_ends_with_its_last_number() {
        let (mut alice, mut bob) = sessions();
        send(&mut alice, b"begins a chain");
        let Turn::Ours(chain) = &mut alice.ratchet.turn else {
            panic!("not our turn")
        };
        chain.chain_key = ChainKey::new(Secret::zero(), u32::MAX - 1);
        send(&mut alice, b"the last one");
        let before = alice.to_bytes();
        assert_eq!(
            alice.encrypt(&mut fresh(), b"one too many", NOW),
            Err(EncryptError::ChainEnd)
        );
        assert_eq!(alice.to_bytes(), before);
        // The other side's answer begins a new one.
        let Turn::Ours(chain) = &mut alice.ratchet.turn else {
            panic!("not our turn")
        };
        chain.chain_key = ChainKey::new(Secret::zero(), 5);
        let answer = send(&mut bob, b"answer");
        receive(&mut alice, &answer).unwrap();
        assert!(alice.encrypt(&mut fresh(), b"on a new chain", NOW).is_ok());
    }

    #[test]
    fn a_stolen_state_reads_on_only_until_both_sides_have_written() {
        let (mut alice, mut bob) = sessions();
        let mut stolen = bob.clone();
        let message = send(&mut alice, b"still readable");
        assert!(receive(&mut stolen, &message).is_ok());
        receive(&mut bob, &message).unwrap();
        let answer = send(&mut bob, b"heals");
        receive(&mut alice, &answer).unwrap();
        let message = send(&mut alice, b"out of reach");
        assert_eq!(
            receive(&mut stolen, &message),
            refused(DecryptError::UnknownChain)
        );
        // Nor does it help to write oneself, under another ratchet key than Bob's.
        send(&mut stolen, b"forged");
        assert_eq!(
            receive(&mut stolen, &message),
            refused(DecryptError::Authentication)
        );
        assert!(receive(&mut bob, &message).is_ok());
    }

    #[test]
    fn a_state_holds_the_keys_of_missing_messages_and_of_no_other() {
        let (mut alice, mut bob) = sessions();
        let mut twin = alice.clone();
        let first = alice
            .encrypt(&mut Scripted::new(&[&ONE, &[1; 12]]), b"first", NOW)
            .unwrap();
        let messages = [first, send(&mut alice, b"second"), send(&mut alice, b"third")];
        // The same state with the same ratchet key gives the same message keys.
        let source = &mut Scripted::new(&[&ONE]);
        let keys = [(); 3].map(|()| twin.ratchet.next_message(source, None).unwrap().1);
        let holds = |bob: &Session| {
            let state = bob.to_bytes();
            keys.each_ref()
                .map(|key| state.windows(32).any(|bytes| bytes == key.secret().as_bytes()))
        };
        receive(&mut bob, &messages[2]).unwrap();
        assert_eq!(holds(&bob), [true, true, false]);
        receive(&mut bob, &messages[0]).unwrap();
        assert_eq!(holds(&bob), [false, true, false]);
        receive(&mut bob, &messages[1]).unwrap();
        assert_eq!(holds(&bob), [false; 3]);
    }

    #[test]
    fn x86_a_session_does_not_print() {
        let (alice, _) = sessions();
        assert_eq!(format!("{alice:?}"), "Session { .. }");
    }
}
