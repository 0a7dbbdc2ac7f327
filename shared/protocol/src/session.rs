//! A session between two devices: what the Double Ratchet gives, tied to the handshake it came from.

mod chain_key;
mod error;
mod message_key;
mod ratchet;
mod receiving;
mod root_key;
mod skipped;
mod state;

use std::fmt;

use rand::CryptoRng;

pub use error::{DecryptError, EncryptError, StateError};
pub use receiving::{MAX_CHAINS, MAX_JUMP};
pub(crate) use root_key::RootKey;
pub use skipped::{MAX_KEY_AGE, MAX_SKIPPED_KEYS};

use crate::{
    keys::{PUBLIC_KEY_BYTES, SignedPrekeyPair},
    labels,
    message::{
        MAX_MESSAGE_BYTES, Message, Opening, PREKEY_OVERHEAD_BYTES, PrekeyMessage, RATCHET_OVERHEAD_BYTES,
        RatchetMessage, write_head,
    },
    primitives::{HASH_BYTES, Point},
};
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
        root: RootKey,
        their_prekey: Point,
    ) -> Self {
        Self {
            id,
            base_key: opening.base_key,
            used_one_time_prekey: opening.one_time_prekey_id.is_some(),
            role: Role::Opening(Box::new(opening)),
            ratchet: DoubleRatchet::initiator(root, their_prekey),
        }
    }

    pub(crate) fn responded(
        id: [u8; HASH_BYTES],
        root: RootKey,
        signed_prekey: &SignedPrekeyPair,
        message: &PrekeyMessage,
    ) -> Result<(Self, Vec<u8>), DecryptError> {
        let PrekeyMessage { opening, message } = message;
        let (ratchet, plaintext) = DoubleRatchet::responder(
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
        };
        Ok((session, plaintext))
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

    /// Encrypts a message. Store the session before the ciphertext leaves.
    ///
    /// Draws from `rng` a nonce of 12 bytes, and before it 32 bytes for a new ratchet key if the other side
    /// wrote last.
    ///
    /// # Errors
    /// [`EncryptError`]; the session is unchanged then.
    pub fn encrypt(&mut self, rng: &mut impl CryptoRng, plaintext: &[u8]) -> Result<Vec<u8>, EncryptError> {
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
        if plaintext.len() > MAX_MESSAGE_BYTES - overhead {
            return Err(EncryptError::TooLong);
        }
        let (mut header, key) = self.ratchet.next_message(rng)?;
        rng.fill_bytes(&mut header.nonce);
        let mut message = Vec::with_capacity(overhead + plaintext.len());
        write_head(opening, &header, &mut message);
        let associated_data = associated_data(&self.id, direction, &message);
        let head = message.len();
        message.extend_from_slice(plaintext);
        if let Some(buffer) = message.get_mut(head..) {
            let tag = key.seal(&header.nonce, &associated_data, buffer);
            message.extend_from_slice(&tag);
        }
        Ok(message)
    }

    /// Decrypts a message of this session.
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
        let plaintext = self.ratchet.decrypt(&message.header, |key| {
            open(key, &self.id, direction, opening, message)
        })?;
        if let Role::Opening(_) = self.role {
            self.role = Role::Initiator;
        }
        Ok(plaintext)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Opens a message with its key.
fn open(
    key: &MessageKey,
    id: &[u8; HASH_BYTES],
    direction: Direction,
    opening: Option<&Opening>,
    message: &RatchetMessage,
) -> Result<Vec<u8>, DecryptError> {
    let mut head = Vec::with_capacity(PREKEY_OVERHEAD_BYTES);
    write_head(opening, &message.header, &mut head);
    key.open(
        &message.header.nonce,
        &associated_data(id, direction, &head),
        &message.sealed,
    )
}

/// What is authenticated with a ciphertext: label, transcript, direction, and all of the message before it.
fn associated_data(id: &[u8; HASH_BYTES], direction: Direction, head: &[u8]) -> Vec<u8> {
    [labels::MESSAGE, id, &[direction as u8], head].concat()
}
