//! The messages that cross the network.
//!
//! | message | bytes |
//! |---|---|
//! | ratchet | version 1, type 2, header, ciphertext, tag |
//! | prekey | version 1, type 1, opening, header, ciphertext, tag |
//!
//! The *header* (53 bytes) says which message key opens the ciphertext: ratchet key (33), length of the
//! sender's previous chain (u32), number of the message in this chain (u32), nonce (12). The *opening* (171
//! bytes) says how to make the session: id of the signed prekey (u32), id of the one-time prekey (u32, 0 for
//! none), the sender's signing key (33), identity key (33), identity signature (64), base key (33). Numbers
//! are big-endian. Everything before the ciphertext is authenticated with it.
//!
//! Parsing checks the layout and the encoding of points, not the curve: whoever computes with a key checks it
//! first, and most messages bring no key that is new.

use crate::{
    codec::{LengthError, Reader},
    keys::{DeviceError, MAX_PREKEY_ID, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, TheirDevice},
    primitives::{NONCE_BYTES, TAG_BYTES, is_compressed},
};

/// The version of the protocol, and with it the whole suite: X3DH on P-256, HKDF-SHA-256, AES-256-GCM.
pub const VERSION: u8 = 1;

/// Bytes of a message at most: what a mailbox takes as one ciphertext.
pub const MAX_MESSAGE_BYTES: usize = 12_800;

/// Bytes a ratchet message is longer than its plaintext.
pub const RATCHET_OVERHEAD_BYTES: usize = PREFIX_BYTES + Header::BYTES + TAG_BYTES;

/// Bytes a prekey message is longer than its plaintext.
pub const PREKEY_OVERHEAD_BYTES: usize = RATCHET_OVERHEAD_BYTES + Opening::BYTES;

/// Version and type.
const PREFIX_BYTES: usize = 2;

const PREKEY_TYPE: u8 = 1;
const RATCHET_TYPE: u8 = 2;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Shorter than the shortest message of its type, or longer than [`MAX_MESSAGE_BYTES`].
    #[error("wrong length")]
    Length,
    /// Another version of the protocol.
    #[error("unknown version {0}")]
    Version(u8),
    /// A type this version does not have.
    #[error("unknown type {0}")]
    Type(u8),
    /// A public key does not begin with 02 or 03.
    #[error("a key is not a compressed point")]
    Encoding,
    /// The id of a prekey is out of range.
    #[error("prekey id out of range")]
    PrekeyId,
}

impl From<LengthError> for ParseError {
    fn from(_: LengthError) -> Self {
        Self::Length
    }
}

/// A message as it arrived: well-formed, not yet authenticated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Opens a session, or repeats the opening because the sender has heard nothing yet.
    Prekey(PrekeyMessage),
    /// Belongs to a session both sides have.
    Ratchet(RatchetMessage),
}

impl Message {
    /// Reads a message.
    ///
    /// # Errors
    /// [`ParseError`], by what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(ParseError::Length);
        }
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(ParseError::Version(version));
        }
        match reader.u8()? {
            PREKEY_TYPE => Ok(Self::Prekey(PrekeyMessage {
                opening: Opening::read(&mut reader)?,
                message: RatchetMessage::read(reader)?,
            })),
            RATCHET_TYPE => Ok(Self::Ratchet(RatchetMessage::read(reader)?)),
            other => Err(ParseError::Type(other)),
        }
    }
}

/// A message of a session both sides have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatchetMessage {
    pub(crate) header: Header,
    /// Ciphertext and tag.
    pub(crate) sealed: Vec<u8>,
}

impl RatchetMessage {
    fn read(mut reader: Reader<'_>) -> Result<Self, ParseError> {
        let header = Header::read(&mut reader)?;
        let sealed = reader.rest();
        if sealed.len() < TAG_BYTES {
            return Err(ParseError::Length);
        }
        Ok(Self {
            header,
            sealed: sealed.to_vec(),
        })
    }
}

/// A message that brings along all its recipient needs to make the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrekeyMessage {
    pub(crate) opening: Opening,
    pub(crate) message: RatchetMessage,
}

impl PrekeyMessage {
    /// Which of our signed prekeys the sender used.
    pub fn signed_prekey_id(&self) -> u32 {
        self.opening.signed_prekey_id
    }

    /// Which of our one-time prekeys the sender used, if there was one.
    pub fn one_time_prekey_id(&self) -> Option<u32> {
        self.opening.one_time_prekey_id
    }

    /// The sender's signing key, as it claims.
    pub fn signing_key(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.opening.signing_key
    }

    /// The sender's identity key, as it claims.
    pub fn identity_key(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.opening.identity_key
    }

    /// The key the sender made for this session alone: all prekey messages of a session have the same, and
    /// no two sessions do.
    pub fn base_key(&self) -> &[u8; PUBLIC_KEY_BYTES] {
        &self.opening.base_key
    }

    /// The sender's long-term keys, if its signing key vouches for its identity key. Not needed for a sender
    /// whose [`TheirDevice`] is already known.
    ///
    /// # Errors
    /// [`DeviceError`], by what is wrong.
    pub fn sender(&self) -> Result<TheirDevice, DeviceError> {
        let opening = &self.opening;
        TheirDevice::verify(
            &opening.signing_key,
            &opening.identity_key,
            &opening.identity_signature,
        )
    }
}

/// Which message key opens a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) ratchet_key: [u8; PUBLIC_KEY_BYTES],
    /// How many messages the sender's previous chain has.
    pub(crate) previous_length: u32,
    /// How many messages of this chain came before.
    pub(crate) counter: u32,
    pub(crate) nonce: [u8; NONCE_BYTES],
}

impl Header {
    const BYTES: usize = PUBLIC_KEY_BYTES + 4 + 4 + NONCE_BYTES;

    fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            ratchet_key: read_point(reader)?,
            previous_length: reader.u32()?,
            counter: reader.u32()?,
            nonce: *reader.array()?,
        })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.ratchet_key);
        bytes.extend_from_slice(&self.previous_length.to_be_bytes());
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        bytes.extend_from_slice(&self.nonce);
    }
}

/// How to make the session a message belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) signed_prekey_id: u32,
    pub(crate) one_time_prekey_id: Option<u32>,
    pub(crate) signing_key: [u8; PUBLIC_KEY_BYTES],
    pub(crate) identity_key: [u8; PUBLIC_KEY_BYTES],
    pub(crate) identity_signature: [u8; SIGNATURE_BYTES],
    pub(crate) base_key: [u8; PUBLIC_KEY_BYTES],
}

impl Opening {
    pub(crate) const BYTES: usize = 4 + 4 + 3 * PUBLIC_KEY_BYTES + SIGNATURE_BYTES;

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        let signed_prekey_id = reader.u32()?;
        let one_time_prekey_id = reader.u32()?;
        if !(1..=MAX_PREKEY_ID).contains(&signed_prekey_id) || one_time_prekey_id > MAX_PREKEY_ID {
            return Err(ParseError::PrekeyId);
        }
        Ok(Self {
            signed_prekey_id,
            one_time_prekey_id: (one_time_prekey_id != 0).then_some(one_time_prekey_id),
            signing_key: read_point(reader)?,
            identity_key: read_point(reader)?,
            identity_signature: *reader.array()?,
            base_key: read_point(reader)?,
        })
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.signed_prekey_id.to_be_bytes());
        bytes.extend_from_slice(&self.one_time_prekey_id.unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(&self.signing_key);
        bytes.extend_from_slice(&self.identity_key);
        bytes.extend_from_slice(&self.identity_signature);
        bytes.extend_from_slice(&self.base_key);
    }
}

/// Writes all of a message that comes before its ciphertext.
pub(crate) fn write_head(opening: Option<&Opening>, header: &Header, bytes: &mut Vec<u8>) {
    let kind = if opening.is_some() {
        PREKEY_TYPE
    } else {
        RATCHET_TYPE
    };
    bytes.extend_from_slice(&[VERSION, kind]);
    if let Some(opening) = opening {
        opening.write(bytes);
    }
    header.write(bytes);
}

fn read_point(reader: &mut Reader<'_>) -> Result<[u8; PUBLIC_KEY_BYTES], ParseError> {
    let bytes = reader.array()?;
    if is_compressed(bytes) {
        Ok(*bytes)
    } else {
        Err(ParseError::Encoding)
    }
}
