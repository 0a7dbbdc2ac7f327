//! A session as bytes, for our own store only: it holds every secret of the session.
//!
//! ```text
//! state     = version 1, role u8, used one-time prekey u8, id 32, base key 33, [opening 171 if role is 0],
//!             root key 32, length of our previous chain u32, turn, chains
//! turn      = 0, their ratchet key 65 (uncompressed)
//!           | 1, our private ratchet key 32, our ratchet key 33, chain key 32, index u32
//! chains    = number of chains u8, current, closed…          (the most recent first)
//! current   = ratchet key 33, chain key 32, index u32, skipped
//! closed    = ratchet key 33, length u32, skipped
//! skipped   = floor u32, number of keys u16, (message u32, key 32)…
//! ```
//!
//! Roles: 0 initiator that has heard nothing yet, 1 initiator, 2 responder. Numbers are big-endian. The
//! reader accepts only what the writer can have written.

use std::collections::VecDeque;

use zeroize::Zeroizing;

use super::{
    MAX_CHAINS, MAX_SKIPPED_KEYS, Role, RootKey, Session, StateError,
    chain_key::ChainKey,
    message_key::MessageKey,
    ratchet::{DoubleRatchet, SendingChain, Turn},
    receiving::{ClosedChain, CurrentChain, ReceivingChains},
    skipped::SkippedKeys,
};
use crate::{
    codec::Reader,
    keys::PUBLIC_KEY_BYTES,
    message::Opening,
    primitives::{Point, SECRET_BYTES, Scalar, Secret, is_compressed},
};

/// The version of the layout.
const VERSION: u8 = 1;

/// Bytes of a state without chains and skipped keys at most.
const FIXED_BYTES: usize = 512;
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
        bytes.extend_from_slice(&[VERSION, role, self.used_one_time_prekey.into()]);
        bytes.extend_from_slice(&self.id);
        bytes.extend_from_slice(&self.base_key);
        if let Some(opening) = opening {
            opening.write(bytes);
        }
        self.ratchet.write(bytes);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, StateError> {
        let version = reader.u8()?;
        if version != VERSION {
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
        let ratchet = DoubleRatchet::read(reader)?;
        let heard = ratchet.receiving.current.is_some();
        let fits = match &role {
            Role::Opening(opening) => {
                !heard
                    && opening.base_key == base_key
                    && opening.one_time_prekey_id.is_some() == used_one_time_prekey
            }
            Role::Initiator | Role::Responder => heard,
        };
        let session = Self {
            id,
            base_key,
            used_one_time_prekey,
            role,
            ratchet,
        };
        fits.then_some(session).ok_or(StateError::Value)
    }
}

impl DoubleRatchet {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.root.secret().as_bytes());
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

fn read_point(reader: &mut Reader<'_>) -> Result<[u8; PUBLIC_KEY_BYTES], StateError> {
    let bytes = reader.array()?;
    if is_compressed(bytes) {
        Ok(*bytes)
    } else {
        Err(StateError::Value)
    }
}
