//! A session as bytes, for our own store only: it holds every secret of the session.
//!
//! ```text
//! state     = version u8, role u8, used one-time prekey u8, id 32, base key 33, [opening 1,259 if role is 0],
//!             [ephemeral keys of initiator and responder, 32 each, in version 2], root key 32, epoch u32, length of our previous chain u32, turn, chains, kem
//! turn      = 0, their ratchet key 65 (uncompressed)
//!           | 1, our private ratchet key 32, our ratchet key 33, chain key 32, index u32
//! chains    = number of chains u8, current, closed…          (the most recent first)
//! current   = ratchet key 33, chain key 32, index u32, skipped
//! closed    = ratchet key 33, length u32, skipped
//! skipped   = floor u32, number of keys u16, (message u32, key 32)…
//! kem       = messages since the last step u32, since when u64 (0: nothing encrypted), attempt u8, phase
//! phase     = 0                                                                               idle
//!           | 1, seed 64, key 1,184, next block u8, blocks present u64, [answer 1,120 if any]   asking
//!           | 2, secret 32                                                                    decided
//!           | 3, blocks present u64, key 1,184                                                hearing
//!           | 4, key 1,184                                                                    heard
//!           | 5, answer 1,120, next block u8, secret 32                                       answering
//! ```
//!
//! Version 1 is a session of before there were ephemeral messages, which has no keys for them; all others are version 2.
//! Roles: 0 initiator that has heard nothing yet, 1 initiator, 2 responder. Numbers are big-endian. The
//! reader accepts only what the writer can have written, as far as that shows without arithmetic: it does not
//! compute public keys from private ones again.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::{
    EphemeralKeys, MAX_CHAINS, MAX_SKIPPED_KEYS, Role, RootKey, Session, StateError, asks,
    chain_key::ChainKey,
    kem::{ANSWER_BYTES, Answering, Asking, BLOCK_BYTES, Blocks, KemSteps, Kind, Phase},
    message_key::MessageKey,
    ratchet::{DoubleRatchet, SendingChain, Turn},
    receiving::{ClosedChain, CurrentChain, ReceivingChains},
    skipped::SkippedKeys,
};
use crate::{
    codec::Reader,
    keys::PUBLIC_KEY_BYTES,
    message::Opening,
    primitives::{
        KEM_KEY_BYTES, KEM_SEED_BYTES, KemPublicKey, Point, SECRET_BYTES, Scalar, Secret, is_compressed,
    },
};

/// The version of the layout.
const VERSION: u8 = 2;

/// The version of a session without keys for ephemeral messages.
const VERSION_WITHOUT_EPHEMERAL_KEYS: u8 = 1;

/// Bytes of a state without chains and skipped keys at most.
const FIXED_BYTES: usize = 512 + Opening::BYTES + KEM_SEED_BYTES + KEM_KEY_BYTES + ANSWER_BYTES;
/// Bytes of a chain without skipped keys at most.
const CHAIN_BYTES: usize = 80;
/// Bytes of a skipped key.
const SKIPPED_BYTES: usize = 4 + SECRET_BYTES;

impl Session {
    /// The state, for our own store only. It belongs into the same transaction as what it led to: the
    /// ciphertext in the outbox, or the plaintext received.
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        // Room for all of it, so that no secret stays behind in a buffer that became too small.
        let receiving = &self.ratchet.receiving;
        let room = FIXED_BYTES + MAX_CHAINS * CHAIN_BYTES + receiving.skipped_len() * SKIPPED_BYTES;
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        self.write(&mut bytes);
        bytes
    }

    /// Reads a state.
    ///
    /// # Errors
    /// [`StateError`], by what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StateError> {
        let mut reader = Reader::new(bytes);
        let session = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(session)
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let (role, opening) = match &self.role {
            Role::Opening(opening) => (0, Some(opening)),
            Role::Initiator => (1, None),
            Role::Responder => (2, None),
        };
        let version = match self.ephemeral {
            Some(_) => VERSION,
            None => VERSION_WITHOUT_EPHEMERAL_KEYS,
        };
        bytes.extend_from_slice(&[version, role, self.used_one_time_prekey.into()]);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.base_key);
        if let Some(opening) = opening {
            opening.write(bytes);
        }
        if let Some(keys) = &self.ephemeral {
            keys.secrets()
                .iter()
                .for_each(|key| bytes.extend_from_slice(key.as_bytes()));
        }
        self.ratchet.write(bytes);
        self.kem.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let version = reader.u8()?;
        if version != VERSION && version != VERSION_WITHOUT_EPHEMERAL_KEYS {
            return Err(StateError::Version(version));
        }
        let role = reader.u8()?;
        let used_one_time_prekey = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(StateError::Value),
        };
        let id = *reader.array()?;
        let base_key = read_point(reader)?;
        let role = match role {
            0 => Role::Opening(Box::new(Opening::read(reader).map_err(|_| StateError::Value)?)),
            1 => Role::Initiator,
            2 => Role::Responder,
            _ => return Err(StateError::Value),
        };
        let ephemeral = match version {
            VERSION => {
                let (initiator, responder) = (reader.array()?, reader.array()?);
                Some(EphemeralKeys::restore(
                    Secret::copy_of(initiator),
                    Secret::copy_of(responder),
                ))
            }
            _ => None,
        };
        let ratchet = DoubleRatchet::read(reader)?;
        let kem = KemSteps::read(reader)?;
        let heard = ratchet.receiving.current.is_some();
        let fits = match &role {
            Role::Opening(opening) => {
                !heard
                    && opening.base_key == base_key
                    && opening.one_time_prekey_id.is_some() == used_one_time_prekey
            }
            Role::Initiator | Role::Responder => heard,
        };
        let fits = fits && kem.phase.fits(asks(&role, ratchet.epoch));
        let session = Self {
            id,
            base_key,
            used_one_time_prekey,
            role,
            ratchet,
            kem,
            ephemeral,
        };
        fits.then_some(session).ok_or(StateError::Value)
    }
}

impl DoubleRatchet {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.root.secret().as_bytes());
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.previous_length.to_be_bytes());
        match &self.turn {
            Turn::Theirs(theirs) => {
                bytes.push(0);
                bytes.extend_from_slice(&theirs.to_stored_bytes());
            }
            Turn::Ours(chain) => {
                bytes.push(1);
                bytes.extend_from_slice(chain.ratchet.to_bytes().as_ref());
                bytes.extend_from_slice(&chain.ratchet_key);
                chain.chain_key.write(bytes);
            }
        }
        self.receiving.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let root = RootKey::new(Secret::copy_of(reader.array()?));
        let epoch = reader.u32()?;
        let previous_length = reader.u32()?;
        let turn = match reader.u8()? {
            0 => Turn::Theirs(Point::from_stored_bytes(reader.array()?).map_err(|_| StateError::Value)?),
            1 => Turn::Ours(SendingChain {
                ratchet: Scalar::from_bytes(reader.array()?).map_err(|_| StateError::Value)?,
                ratchet_key: read_point(reader)?,
                chain_key: ChainKey::read(reader)?,
            }),
            _ => return Err(StateError::Value),
        };
        let receiving = ReceivingChains::read(reader)?;
        Ok(Self {
            root,
            epoch,
            previous_length,
            turn,
            receiving,
        })
    }
}

impl ReceivingChains {
    fn write(&self, bytes: &mut Vec<u8>) {
        let count = usize::from(self.current.is_some()) + self.closed.len();
        bytes.push(u8::try_from(count).unwrap_or(u8::MAX));
        if let Some(chain) = &self.current {
            bytes.extend_from_slice(&chain.ratchet_key);
            chain.chain_key.write(bytes);
            chain.skipped.write(bytes);
        }
        for chain in &self.closed {
            bytes.extend_from_slice(&chain.ratchet_key);
            bytes.extend_from_slice(&chain.length.to_be_bytes());
            chain.skipped.write(bytes);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let count = usize::from(reader.u8()?);
        if count > MAX_CHAINS {
            return Err(StateError::Value);
        }
        let mut chains = Self::default();
        if count > 0 {
            let ratchet_key = read_point(reader)?;
            let chain_key = ChainKey::read(reader)?;
            let skipped = SkippedKeys::read(reader, chain_key.index())?;
            chains.current = Some(CurrentChain {
                ratchet_key,
                chain_key,
                skipped,
            });
        }
        for _ in 1..count {
            let ratchet_key = read_point(reader)?;
            let length = reader.u32()?;
            let skipped = SkippedKeys::read(reader, length)?;
            chains.closed.push_back(ClosedChain {
                ratchet_key,
                length,
                skipped,
            });
        }
        let fits = chains.skipped_len() <= MAX_SKIPPED_KEYS;
        fits.then_some(chains).ok_or(StateError::Value)
    }
}

impl SkippedKeys {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.floor().to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(self.len()).unwrap_or(u16::MAX).to_be_bytes());
        for (counter, key) in self.iter() {
            bytes.extend_from_slice(&counter.to_be_bytes());
            bytes.extend_from_slice(key.secret().as_bytes());
        }
    }

    /// Reads the skipped keys of a chain of `length` messages so far.
    fn read(reader: &mut Reader<'_>, length: u32) -> Result<Self, StateError> {
        let floor = reader.u32()?;
        let count = usize::from(u16::from_be_bytes(*reader.array()?));
        if count > MAX_SKIPPED_KEYS {
            return Err(StateError::Value);
        }
        let mut keys = VecDeque::with_capacity(count);
        for _ in 0..count {
            let counter = reader.u32()?;
            keys.push_back((counter, MessageKey::new(Secret::copy_of(reader.array()?))));
        }
        let below = floor <= length && keys.back().is_none_or(|(counter, _)| *counter < length);
        Self::restore(floor, keys)
            .filter(|_| below)
            .ok_or(StateError::Value)
    }
}

impl ChainKey {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.secret().as_bytes());
        bytes.extend_from_slice(&self.index().to_be_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let key = Secret::copy_of(reader.array()?);
        Ok(Self::new(key, reader.u32()?))
    }
}

impl KemSteps {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.messages.to_be_bytes());
        bytes.extend_from_slice(&self.since_millis.unwrap_or(0).to_be_bytes());
        bytes.push(self.attempt);
        match &self.phase {
            Phase::Idle => bytes.push(0),
            Phase::Asking(asking) => {
                bytes.push(1);
                bytes.extend_from_slice(asking.seed.as_ref());
                bytes.extend_from_slice(asking.key.as_bytes());
                bytes.push(asking.next);
                bytes.extend_from_slice(&asking.answer.present.to_be_bytes());
                if asking.answer.present != 0 {
                    bytes.extend_from_slice(&asking.answer.bytes);
                }
            }
            Phase::Decided(secret) => {
                bytes.push(2);
                bytes.extend_from_slice(secret.as_bytes());
            }
            Phase::Hearing(key) => {
                bytes.push(3);
                bytes.extend_from_slice(&key.present.to_be_bytes());
                bytes.extend_from_slice(&key.bytes);
            }
            Phase::Heard(key) => {
                bytes.push(4);
                bytes.extend_from_slice(key.as_bytes());
            }
            Phase::Answering(answering) => {
                bytes.push(5);
                bytes.extend_from_slice(&answering.answer);
                bytes.push(answering.next);
                bytes.extend_from_slice(answering.secret.as_bytes());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let messages = reader.u32()?;
        let since_millis = Some(reader.u64()?).filter(|since| *since != 0);
        let attempt = reader.u8()?;
        let phase = match reader.u8()? {
            0 => Phase::Idle,
            1 => Phase::Asking(Box::new(Asking {
                seed: Zeroizing::new(*reader.array()?),
                key: KemPublicKey::from_stored_bytes(reader.array()?),
                next: read_next(reader, Kind::Key)?,
                answer: Blocks::read(reader, Kind::Answer)?,
            })),
            2 => Phase::Decided(Secret::copy_of(reader.array()?)),
            3 => Phase::Hearing(Blocks::read(reader, Kind::Key)?),
            4 => Phase::Heard(KemPublicKey::from_stored_bytes(reader.array()?)),
            5 => Phase::Answering(Box::new(Answering {
                answer: *reader.array()?,
                next: read_next(reader, Kind::Answer)?,
                secret: Secret::copy_of(reader.array()?),
            })),
            _ => return Err(StateError::Value),
        };
        Ok(Self {
            messages,
            since_millis,
            attempt,
            phase,
        })
    }
}

impl Phase {
    /// Whether the side that asks, or the one that does not, can be in this phase.
    fn fits(&self, asks: bool) -> bool {
        match self {
            Self::Idle => true,
            Self::Asking(_) | Self::Decided(_) => asks,
            Self::Hearing(_) | Self::Heard(_) | Self::Answering(_) => !asks,
        }
    }
}

impl Blocks {
    /// Reads blocks of which some are missing. A key is there only if a block of it is.
    fn read(reader: &mut Reader<'_>, kind: Kind) -> Result<Self, StateError> {
        let mut blocks = Self::none(kind);
        blocks.present = reader.u64()?;
        match kind {
            Kind::Answer if blocks.present == 0 => {}
            Kind::Answer => blocks.bytes = reader.array::<ANSWER_BYTES>()?.to_vec(),
            Kind::Key => blocks.bytes = reader.array::<KEM_KEY_BYTES>()?.to_vec(),
        }
        let some = blocks.present < blocks.all() && (blocks.present != 0 || kind == Kind::Answer);
        some.then_some(blocks).ok_or(StateError::Value)
    }
}

/// Reads the number of the block to send next.
fn read_next(reader: &mut Reader<'_>, kind: Kind) -> Result<u8, StateError> {
    let next = reader.u8()?;
    let fits = usize::from(next) < kind.bytes() / BLOCK_BYTES;
    fits.then_some(next).ok_or(StateError::Value)
}

fn read_point(reader: &mut Reader<'_>) -> Result<[u8; PUBLIC_KEY_BYTES], StateError> {
    let bytes = reader.array()?;
    if is_compressed(bytes) {
        Ok(*bytes)
    } else {
        Err(StateError::Value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::{prelude::*, sample::Index};

    use super::*;
    use crate::{
        handshake::initiate,
        testing::{Device, NOW, fresh, receive, sessions},
    };

    /// Bytes of a state behind its chains when no step is under way.
    const KEM_IDLE_BYTES: usize = 4 + 8 + 1 + 1;

    /// Sessions in every shape a state can have.
    fn samples() -> Vec<Session> {
        let (alice, bob) = Device::alice_and_bob();
        let fresh_session = alice.initiate(&bob);
        let without = initiate(
            &mut fresh(),
            &alice.keys,
            &alice.address,
            &bob.bundle_with(None),
            &bob.address,
        );
        let (unanswered, responder) = alice.sessions(&bob);
        let (mut ours, mut theirs) = sessions();
        let answered = ours.clone();
        for round in 0..6 {
            for from_us in [true, false] {
                let (from, to) = if from_us {
                    (&mut ours, &mut theirs)
                } else {
                    (&mut theirs, &mut ours)
                };
                let mut messages = (0..=round % 4).map(|_| from.encrypt(&mut fresh(), b"some", NOW).unwrap());
                receive(to, &messages.next_back().unwrap()).unwrap();
            }
        }
        let mut of_before = answered.clone();
        of_before.ephemeral = None;
        vec![
            fresh_session,
            without.unwrap(),
            unanswered,
            responder,
            answered,
            ours,
            theirs,
            of_before,
        ]
    }

    #[test]
    fn every_state_survives_its_stored_form_and_goes_on() {
        for session in samples() {
            let stored = session.to_bytes();
            let mut loaded = Session::from_bytes(&stored).unwrap();
            assert_eq!(loaded.to_bytes(), stored);
            assert_eq!(
                (
                    loaded.id(),
                    loaded.base_key(),
                    loaded.has_received(),
                    loaded.used_one_time_prekey()
                ),
                (
                    session.id(),
                    session.base_key(),
                    session.has_received(),
                    session.used_one_time_prekey()
                )
            );
            assert!(loaded.encrypt(&mut fresh(), b"goes on", NOW).is_ok());
        }
    }

    #[test]
    fn a_state_is_small_and_written_without_growing_its_buffer() {
        let sizes: Vec<_> = samples().iter().map(|session| session.to_bytes().len()).collect();
        assert_eq!(sizes[..5], [1512, 1512, 1548, 328, 328]);
        let (mut alice, mut bob) = sessions();
        let last = (0..=MAX_SKIPPED_KEYS)
            .map(|_| alice.encrypt(&mut fresh(), b"", NOW).unwrap())
            .last()
            .unwrap();
        receive(&mut bob, &last).unwrap();
        let stored = bob.to_bytes();
        assert!(stored.len() > MAX_SKIPPED_KEYS * SKIPPED_BYTES);
        assert!(stored.len() <= FIXED_BYTES + MAX_CHAINS * CHAIN_BYTES + MAX_SKIPPED_KEYS * SKIPPED_BYTES);
        assert_eq!(Session::from_bytes(&stored).unwrap().to_bytes(), stored);
    }

    #[test]
    fn a_state_cut_or_prolonged_anywhere_is_refused() {
        for session in samples() {
            let stored = session.to_bytes();
            for length in 0..stored.len() {
                assert!(Session::from_bytes(&stored[..length]).is_err(), "{length}");
            }
            let prolonged = [stored.as_slice(), &[0]].concat();
            assert_eq!(Session::from_bytes(&prolonged).err(), Some(StateError::Length));
        }
    }

    #[test]
    fn another_version_role_or_flag_is_refused() {
        let stored = samples().remove(3).to_bytes();
        for (at, byte, error) in [
            (0, 0, StateError::Version(0)),
            (0, 3, StateError::Version(3)),
            (1, 3, StateError::Value),
            (2, 2, StateError::Value),
            (35, 4, StateError::Value),
        ] {
            let mut stored = stored.to_vec();
            stored[at] = byte;
            assert_eq!(Session::from_bytes(&stored).err(), Some(error), "{byte} at {at}");
        }
        // A responder that has heard nothing, and an initiator that has, yet would repeat its opening.
        let mut unheard = stored.to_vec();
        let chains = stored.len() - (1 + PUBLIC_KEY_BYTES + 36 + 6) - KEM_IDLE_BYTES;
        unheard.drain(chains..stored.len() - KEM_IDLE_BYTES);
        unheard.insert(chains, 0);
        assert_eq!(Session::from_bytes(&unheard).err(), Some(StateError::Value));
        let (opening, mut mixed) = (samples().remove(0), samples().remove(4));
        mixed.role = opening.role;
        mixed.base_key = opening.base_key;
        assert_eq!(
            Session::from_bytes(&mixed.to_bytes()).err(),
            Some(StateError::Value)
        );
    }

    #[test]
    fn x18_skipped_keys_beyond_the_bounds_or_out_of_order_are_refused() {
        let key = |counter: u32| (counter, MessageKey::new(Secret::zero()));
        let with = |floor, keys: Vec<u32>| {
            let mut session = samples().remove(4);
            let chain = session.ratchet.receiving.current.as_mut().unwrap();
            chain.chain_key = ChainKey::new(Secret::zero(), 5_000);
            let skipped = SkippedKeys::unchecked(floor, keys.into_iter().map(key).collect());
            chain.skipped = skipped;
            Session::from_bytes(&session.to_bytes()).map(|_| ())
        };
        let most = u32::try_from(MAX_SKIPPED_KEYS).unwrap();
        assert_eq!(with(0, vec![0, 1, 4_999]), Ok(()));
        assert_eq!(with(0, (0..most).collect()), Ok(()));
        assert_eq!(with(5_000, vec![]), Ok(()));
        let bad = Err(StateError::Value);
        assert_eq!(with(0, (0..=most).collect()), bad, "too many");
        assert_eq!(with(0, vec![0, 0]), bad, "twice");
        assert_eq!(with(0, vec![1, 0]), bad, "out of order");
        assert_eq!(with(2, vec![1, 3]), bad, "below the floor");
        assert_eq!(with(0, vec![5_000]), bad, "not skipped yet");
        assert_eq!(with(5_001, vec![]), bad, "a floor above all");
    }

    proptest! {
        #[test]
        fn what_loads_is_stored_the_same_again(
            which in 0..8_usize,
            changes in proptest::collection::vec((any::<Index>(), any::<u8>()), 1..4),
        ) {
            static STATES: LazyLock<Vec<Vec<u8>>> =
                LazyLock::new(|| samples().iter().map(|session| session.to_bytes().to_vec()).collect());
            let mut stored = STATES[which].clone();
            for (at, byte) in changes {
                *at.get_mut(&mut stored) = byte;
            }
            if let Ok(session) = Session::from_bytes(&stored) {
                prop_assert_eq!(session.to_bytes().to_vec(), stored);
            }
        }

        #[test]
        fn no_bytes_make_loading_fail_otherwise_than_by_its_error(
            version in 0..4_u8, role in 0..4_u8, bytes in proptest::collection::vec(any::<u8>(), 0..400)
        ) {
            let bytes = [&[version, role, 0], bytes.as_slice()].concat();
            if let Ok(session) = Session::from_bytes(&bytes) {
                prop_assert_eq!(session.to_bytes().to_vec(), bytes);
            }
        }
    }
}
