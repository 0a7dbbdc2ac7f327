//! The messages that cross the network.
//!
//! | message | bytes |
//! |---|---|
//! | ratchet | version 1, type 2, header, ciphertext, tag |
//! | prekey | version 1, type 1, opening, header, ciphertext, tag |
//!
//! The *header* (57 bytes) says which message key opens the ciphertext: ratchet key (33), how many post-quantum
//! steps the root key of the chain has had (u32), length of the sender's previous chain (u32), number of the
//! message in this chain (u32), nonce (12). The *opening* (1,259 bytes) says how to make the session: id of the
//! signed prekey (u32), id of the one-time prekey (u32, 0 for none), the sender's signing key (33), identity
//! key (33), identity signature (64), base key (33), KEM ciphertext (1,088). Numbers are big-endian.
//! Everything before the ciphertext is authenticated with it.
//!
//! Parsing checks the layout and the encoding of points, not the curve: whoever computes with a key checks it
//! first, and most messages bring no key that is new.

use std::fmt;

use crate::{
    codec::{LengthError, Reader},
    keys::{DeviceError, MAX_PREKEY_ID, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, TheirDevice},
    primitives::{KEM_CIPHERTEXT_BYTES, KemCiphertext, NONCE_BYTES, TAG_BYTES, is_compressed},
};

/// The version of the protocol, and with it the whole suite: X3DH on P-256 with ML-KEM-768, HKDF-SHA-256,
/// AES-256-GCM.
pub const VERSION: u8 = 1;

/// Bytes of a message at most: what a mailbox takes as one ciphertext.
pub const MAX_MESSAGE_BYTES: usize = 12_800;

/// Bytes a ratchet message is longer than its padded content.
pub const RATCHET_OVERHEAD_BYTES: usize = PREFIX_BYTES + Header::BYTES + TAG_BYTES;

/// Bytes a prekey message is longer than its padded content.
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
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for RatchetMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RatchetMessage({} bytes sealed)", self.sealed.len())
    }
}

/// A message that brings along all its recipient needs to make the session.
#[derive(Clone, PartialEq, Eq)]
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

impl fmt::Debug for PrekeyMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrekeyMessage")
            .field("signed_prekey_id", &self.opening.signed_prekey_id)
            .field("one_time_prekey_id", &self.opening.one_time_prekey_id)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

/// Which message key opens a message.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) ratchet_key: [u8; PUBLIC_KEY_BYTES],
    /// How many post-quantum steps the root key of this chain has had.
    pub(crate) epoch: u32,
    /// How many messages the sender's previous chain has.
    pub(crate) previous_length: u32,
    /// How many messages of this chain came before.
    pub(crate) counter: u32,
    pub(crate) nonce: [u8; NONCE_BYTES],
}

impl Header {
    const BYTES: usize = PUBLIC_KEY_BYTES + 4 + 4 + 4 + NONCE_BYTES;

    fn read(reader: &mut Reader<'_>) -> Result<Self, ParseError> {
        Ok(Self {
            ratchet_key: read_point(reader)?,
            epoch: reader.u32()?,
            previous_length: reader.u32()?,
            counter: reader.u32()?,
            nonce: *reader.array()?,
        })
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.ratchet_key);
        bytes.extend_from_slice(&self.epoch.to_be_bytes());
        bytes.extend_from_slice(&self.previous_length.to_be_bytes());
        bytes.extend_from_slice(&self.counter.to_be_bytes());
        bytes.extend_from_slice(&self.nonce);
    }
}

/// How to make the session a message belongs to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) signed_prekey_id: u32,
    pub(crate) one_time_prekey_id: Option<u32>,
    pub(crate) signing_key: [u8; PUBLIC_KEY_BYTES],
    pub(crate) identity_key: [u8; PUBLIC_KEY_BYTES],
    pub(crate) identity_signature: [u8; SIGNATURE_BYTES],
    pub(crate) base_key: [u8; PUBLIC_KEY_BYTES],
    pub(crate) kem_ciphertext: Box<KemCiphertext>,
}

impl Opening {
    pub(crate) const BYTES: usize = 4 + 4 + 3 * PUBLIC_KEY_BYTES + SIGNATURE_BYTES + KEM_CIPHERTEXT_BYTES;

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
            kem_ciphertext: Box::new(*reader.array()?),
        })
    }

    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.signed_prekey_id.to_be_bytes());
        bytes.extend_from_slice(&self.one_time_prekey_id.unwrap_or(0).to_be_bytes());
        bytes.extend_from_slice(&self.signing_key);
        bytes.extend_from_slice(&self.identity_key);
        bytes.extend_from_slice(&self.identity_signature);
        bytes.extend_from_slice(&self.base_key);
        bytes.extend_from_slice(self.kem_ciphertext.as_ref());
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

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::padding::{FIRST_BUCKET_BYTES, MAX_CONTENT_BYTES};
    use crate::testing::{Device, NOW, fresh, hex, sessions};

    fn prekey_message(plaintext: &[u8]) -> Vec<u8> {
        let (alice, bob) = Device::alice_and_bob();
        alice
            .initiate(&bob)
            .encrypt(&mut fresh(), plaintext, NOW)
            .unwrap()
    }

    fn ratchet_message(plaintext: &[u8]) -> Vec<u8> {
        sessions().0.encrypt(&mut fresh(), plaintext, NOW).unwrap()
    }

    /// Writes a parsed message again.
    fn write(message: &Message) -> Vec<u8> {
        let (opening, message) = match message {
            Message::Prekey(PrekeyMessage { opening, message }) => (Some(opening), message),
            Message::Ratchet(message) => (None, message),
        };
        let mut bytes = Vec::new();
        write_head(opening, &message.header, &mut bytes);
        [bytes, message.sealed.clone()].concat()
    }

    #[test]
    fn the_overheads_are_75_and_1334_bytes_and_1_kb_fits_the_bar() {
        assert_eq!((RATCHET_OVERHEAD_BYTES, PREKEY_OVERHEAD_BYTES), (75, 1334));
        assert_eq!(ratchet_message(&[7; 1024]).len(), 1100);
        assert_eq!(prekey_message(&[7; 1024]).len(), 2359);
    }

    #[test]
    fn a_message_is_as_long_as_a_mailbox_takes_and_no_longer() {
        let (alice, bob) = Device::alice_and_bob();
        let mut session = alice.initiate(&bob);
        let longest = vec![7; MAX_CONTENT_BYTES];
        let before = session.to_bytes();
        let error = session.encrypt(&mut fresh(), &[longest.as_slice(), &[7]].concat(), NOW);
        assert_eq!(error, Err(crate::session::EncryptError::TooLong));
        assert_eq!(session.to_bytes(), before);
        let message = session.encrypt(&mut fresh(), &longest, NOW).unwrap();
        assert_eq!(message.len(), PREKEY_OVERHEAD_BYTES + MAX_CONTENT_BYTES + 1);
        assert_eq!(bob.respond(&alice, &message).unwrap().1, longest);
        assert_eq!(
            Message::parse(&vec![message[0]; MAX_MESSAGE_BYTES + 1]),
            Err(ParseError::Length)
        );
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let (alice, _) = Device::alice_and_bob();
        let bytes = prekey_message(b"hello");
        assert_eq!(bytes[..10], [1, 1, 0, 0, 0, 7, 0, 0, 0, 9]);
        assert_eq!(bytes[10..43], alice.keys.signing().public().to_bytes());
        assert_eq!(bytes[43..76], alice.keys.identity().public().to_bytes());
        assert_eq!(bytes[76..140], alice.keys.identity_signature());
        assert_eq!(
            hex(&bytes[1294..1306]),
            "000000000000000000000000",
            "epoch, previous length, counter"
        );
        let Ok(Message::Prekey(message)) = Message::parse(&bytes) else {
            panic!("not a prekey message")
        };
        assert_eq!(message.base_key()[..], bytes[140..173]);
        assert_eq!(message.opening.kem_ciphertext[..], bytes[173..1261]);
        assert_eq!(message.message.header.ratchet_key[..], bytes[1261..1294]);
        assert_eq!(message.message.header.nonce[..], bytes[1306..1318]);
        assert_eq!(message.message.sealed, bytes[1318..]);
        assert_eq!(
            (message.signed_prekey_id(), message.one_time_prekey_id()),
            (7, Some(9))
        );
        assert_eq!(message.signing_key(), &alice.keys.signing().public().to_bytes());
        assert_eq!(message.identity_key(), &alice.keys.identity().public().to_bytes());
        assert_eq!(message.sender(), Ok(alice.keys.public()));
    }

    #[test]
    fn a_message_cut_anywhere_before_its_tag_is_refused() {
        for (bytes, shortest) in [(prekey_message(b""), 1334), (ratchet_message(b""), 75)] {
            assert_eq!(bytes.len(), shortest + FIRST_BUCKET_BYTES);
            for length in 0..shortest {
                assert_eq!(
                    Message::parse(&bytes[..length]),
                    Err(ParseError::Length),
                    "{length}"
                );
            }
        }
    }

    #[test]
    fn x15_another_version_or_type_is_refused_never_guessed() {
        let mut bytes = ratchet_message(b"hello");
        for version in [0, 2, 3, 0x11, 0xff] {
            bytes[0] = version;
            assert_eq!(Message::parse(&bytes), Err(ParseError::Version(version)));
        }
        bytes[0] = VERSION;
        for kind in [0, 3, 4, 0xff] {
            bytes[1] = kind;
            assert_eq!(Message::parse(&bytes), Err(ParseError::Type(kind)));
        }
    }

    #[test]
    fn x04_a_key_in_another_encoding_is_refused() {
        for (bytes, keys) in [
            (prekey_message(b""), [10, 43, 140, 1261].as_slice()),
            (ratchet_message(b""), &[2]),
        ] {
            for &at in keys {
                for tag in [0, 1, 4, 5, 6, 7, 0x82] {
                    let mut bytes = bytes.clone();
                    bytes[at] = tag;
                    assert_eq!(Message::parse(&bytes), Err(ParseError::Encoding), "{at}: {tag}");
                }
            }
        }
    }

    #[test]
    fn x14_a_prekey_id_out_of_range_is_refused() {
        for (id, signed, one_time) in [
            (0, false, true),
            (MAX_PREKEY_ID, true, true),
            (1 << 31, false, false),
            (u32::MAX, false, false),
        ] {
            for (at, valid) in [(2, signed), (6, one_time)] {
                let mut bytes = prekey_message(b"");
                bytes[at..at + 4].copy_from_slice(&id.to_be_bytes());
                let parsed = Message::parse(&bytes).map(|_| ());
                assert_eq!(
                    parsed,
                    if valid { Ok(()) } else { Err(ParseError::PrekeyId) },
                    "{id} at {at}"
                );
            }
        }
    }

    #[test]
    fn x86_messages_do_not_print() {
        let Ok(message) = Message::parse(&prekey_message(b"hello")) else {
            panic!("not a message")
        };
        let printed = "Prekey(PrekeyMessage { signed_prekey_id: 7, one_time_prekey_id: Some(9), \
                       message: RatchetMessage(654 bytes sealed), .. })";
        assert_eq!(format!("{message:?}"), printed);
    }

    proptest! {
        #[test]
        fn what_parses_is_written_the_same_again(
            prekey: bool,
            flips in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..4),
            length in 0..1_500_usize,
        ) {
            static MESSAGES: LazyLock<[Vec<u8>; 2]> =
                LazyLock::new(|| [prekey_message(b"hello"), ratchet_message(b"hello")]);
            let mut bytes = MESSAGES[usize::from(prekey)].clone();
            for (at, byte) in flips {
                *at.get_mut(&mut bytes) = byte;
            }
            bytes.truncate(length);
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert_eq!(write(&message), bytes);
            }
        }

        #[test]
        fn no_bytes_make_parsing_fail_otherwise_than_by_its_error(
            head in 0..4_u8, bytes in proptest::collection::vec(any::<u8>(), 0..1_500)
        ) {
            let bytes = [&[VERSION, head], bytes.as_slice()].concat();
            if let Ok(message) = Message::parse(&bytes) {
                prop_assert_eq!(write(&message), bytes);
            }
        }
    }
}
