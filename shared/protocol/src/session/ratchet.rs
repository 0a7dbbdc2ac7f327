//! The Double Ratchet (Signal specification "The Double Ratchet Algorithm", revision 4).
//!
//! Each side begins a new chain, under a new ratchet key, when it writes for the first time after the other
//! has. Whoever steals one state can so read on only until both sides have written once more. Steps are
//! taken as late as possible: a new chain of ours is made when we write, not when we read.

use rand::CryptoRng;

use super::{
    chain_key::ChainKey,
    error::{DecryptError, EncryptError},
    message_key::MessageKey,
    receiving::{Advance, ReceivingChains, check_jump},
    root_key::RootKey,
};
use crate::{
    keys::PUBLIC_KEY_BYTES,
    message::Header,
    primitives::{NONCE_BYTES, Point, Scalar, Secret, agree},
};

/// The state of the ratchet.
#[derive(Clone)]
pub(super) struct DoubleRatchet {
    pub(super) root: RootKey,
    /// How many of the steps that led to it had a KEM secret.
    pub(super) epoch: u32,
    /// How many messages our previous chain has.
    pub(super) previous_length: u32,
    pub(super) turn: Turn,
    pub(super) receiving: ReceivingChains,
}

/// Who began the latest chain.
#[derive(Clone)]
pub(super) enum Turn {
    /// The other side. Our next message begins a new chain towards this ratchet key; what we had is deleted.
    Theirs(Point),
    /// We did. The next chain of the other side will be towards our ratchet key.
    Ours(SendingChain),
}

/// Our chain.
#[derive(Clone)]
pub(super) struct SendingChain {
    pub(super) ratchet: Scalar,
    pub(super) ratchet_key: [u8; PUBLIC_KEY_BYTES],
    pub(super) chain_key: ChainKey,
}

impl DoubleRatchet {
    /// The state of who opens the session: the other side's signed prekey is its first ratchet key.
    pub(super) fn initiator(root: RootKey, their_prekey: Point) -> Self {
        Self {
            root,
            epoch: 0,
            previous_length: 0,
            turn: Turn::Theirs(their_prekey),
            receiving: ReceivingChains::default(),
        }
    }

    /// The state of the other side, from the first message that arrived, and that message.
    pub(super) fn responder<T>(
        root: &RootKey,
        signed_prekey: &Scalar,
        prekey: &[u8; PUBLIC_KEY_BYTES],
        header: &Header,
        open: impl FnOnce(&MessageKey) -> Result<T, DecryptError>,
    ) -> Result<(Self, T), DecryptError> {
        if header.epoch != 0 {
            return Err(DecryptError::Epoch);
        }
        let step = Step::receive(root, None, signed_prekey, prekey, header)?;
        let opened = open(&step.advance.key)?;
        let mut receiving = ReceivingChains::default();
        receiving.begin(header.ratchet_key, step.advance, 0);
        let ratchet = Self {
            root: step.root,
            epoch: 0,
            previous_length: 0,
            turn: Turn::Theirs(step.theirs),
            receiving,
        };
        Ok((ratchet, opened))
    }

    /// The header, without its nonce, and the key of our next message. Begins a new chain if it is our turn, and
    /// takes `kem` into its root key; the epoch grows then.
    pub(super) fn next_message(
        &mut self,
        rng: &mut impl CryptoRng,
        kem: Option<&Secret>,
    ) -> Result<(Header, MessageKey), EncryptError> {
        match &mut self.turn {
            Turn::Ours(chain) => chain.next_message(self.epoch, self.previous_length),
            Turn::Theirs(theirs) => {
                let kem = kem.zip(self.epoch.checked_add(1));
                let (kem, epoch) = kem.map_or((None, self.epoch), |(kem, next)| (Some(kem), next));
                let (root, mut chain) = SendingChain::begin(rng, &self.root, (kem, epoch), theirs)?;
                let message = chain.next_message(epoch, self.previous_length)?;
                self.root = root;
                self.epoch = epoch;
                self.turn = Turn::Ours(chain);
                Ok(message)
            }
        }
    }

    /// Decrypts a message with `open`. Nothing changes unless it succeeds. `kem` is the secret that the next
    /// chain of the other side may take into its root key; the epoch grows if it did.
    pub(super) fn decrypt<T>(
        &mut self,
        header: &Header,
        kem: Option<&Secret>,
        open: impl FnOnce(&MessageKey) -> Result<T, DecryptError>,
    ) -> Result<T, DecryptError> {
        if self.receiving.knows(&header.ratchet_key) {
            return self.receiving.decrypt(header, open);
        }
        let Turn::Ours(ours) = &self.turn else {
            return Err(DecryptError::UnknownChain);
        };
        if ours.ratchet_key == header.ratchet_key {
            return Err(DecryptError::Reflected);
        }
        self.receiving.check_end(header.previous_length)?;
        let kem = match header.epoch.checked_sub(self.epoch) {
            Some(0) => None,
            Some(1) => Some(kem.ok_or(DecryptError::Epoch)?),
            _ => return Err(DecryptError::Epoch),
        };
        let step = Step::receive(&self.root, kem, &ours.ratchet, &ours.ratchet_key, header)?;
        let opened = open(&step.advance.key)?;
        self.root = step.root;
        self.epoch = header.epoch;
        self.previous_length = ours.chain_key.index();
        self.turn = Turn::Theirs(step.theirs);
        self.receiving
            .begin(header.ratchet_key, step.advance, header.previous_length);
        Ok(opened)
    }
}

impl SendingChain {
    /// A new chain of ours under a fresh ratchet key, and the root key after it.
    fn begin(
        rng: &mut impl CryptoRng,
        root: &RootKey,
        (kem, epoch): (Option<&Secret>, u32),
        theirs: &Point,
    ) -> Result<(RootKey, Self), EncryptError> {
        let ratchet = Scalar::generate(rng);
        let ratchet_key = *ratchet.point().as_bytes();
        let shared = agree(&ratchet, theirs)?;
        let (root, chain_key) = root.step(&shared, kem, &ratchet_key, theirs.as_bytes(), epoch);
        Ok((
            root,
            Self {
                ratchet,
                ratchet_key,
                chain_key,
            },
        ))
    }

    fn next_message(
        &mut self,
        epoch: u32,
        previous_length: u32,
    ) -> Result<(Header, MessageKey), EncryptError> {
        let (key, next) = self.chain_key.next().ok_or(EncryptError::ChainEnd)?;
        let header = Header {
            ratchet_key: self.ratchet_key,
            epoch,
            previous_length,
            counter: self.chain_key.index(),
            nonce: [0; NONCE_BYTES],
        };
        self.chain_key = next;
        Ok((header, key))
    }
}

/// A step to a new chain of the other side, to be stored when its message has proved genuine.
struct Step {
    root: RootKey,
    theirs: Point,
    advance: Advance,
}

impl Step {
    fn receive(
        root: &RootKey,
        kem: Option<&Secret>,
        ours: &Scalar,
        our_key: &[u8; PUBLIC_KEY_BYTES],
        header: &Header,
    ) -> Result<Self, DecryptError> {
        check_jump(0, header.counter)?;
        let theirs =
            Point::from_bytes(&header.ratchet_key).map_err(|e| DecryptError::RatchetKey(e.into()))?;
        let shared = agree(ours, &theirs)?;
        let (root, chain_key) = root.step(&shared, kem, theirs.as_bytes(), our_key, header.epoch);
        let advance = Advance::to(&chain_key, header.counter)?;
        Ok(Self {
            root,
            theirs,
            advance,
        })
    }
}
