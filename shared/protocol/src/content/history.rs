//! What two devices of one person say to each other about the history that one of them gives to the other, and about what
//! the person wants on all of them.

use crate::{
    codec::{LengthError, Reader},
    keys::TheirDevice,
};

/// Messages in one chunk of a history at most: so few that storing them holds up what arrives meanwhile for a moment only.
pub const MAX_CHUNK_MESSAGES: usize = 64;

/// Contacts in one body at most: 4 KB. Who has more sends several.
pub const MAX_CONTACTS: usize = 256;

/// Something about one history, between the device that gives it and the one that takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Which: drawn at random by the device that gives it.
    pub history: [u8; 16],
    /// What about it.
    pub matter: HistoryMatter,
}

/// What is said about a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryMatter {
    /// The sender would give it.
    Offer {
        /// The time of the oldest message in it, milliseconds since 1970. 0: it has all.
        since_millis: u64,
        /// How many messages it has.
        messages: u64,
    },
    /// The sender has all chunks below `next`.
    Taken {
        /// The number of the first chunk that it has not.
        next: u32,
        /// What it wants now.
        wish: Wish,
    },
    /// A part of it.
    Chunk(Chunk),
}

/// What the device that takes a history wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// More.
    More,
    /// All again that was not taken: something may have been lost.
    Again,
    /// No more, on either side.
    End,
}

/// A part of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Chunks are numbered from 0.
    pub number: u32,
    /// Whether no other follows.
    pub last: bool,
    /// Whether these came while the history was given: they are newer than all of it, oldest first. Otherwise each is older
    /// than the one before it.
    pub newer: bool,
    /// The messages, at most [`MAX_CHUNK_MESSAGES`].
    pub messages: Vec<PastMessage>,
}

/// A message as another device of the same person stored it.
#[derive(Clone, PartialEq, Eq)]
pub struct PastMessage {
    /// Its id.
    pub message: [u8; 16],
    /// The device that sent it: of the own account, or of the conversation's.
    pub device: u8,
    /// Whether it is of the own account.
    pub own: bool,
    /// The conversation: the other account.
    pub conversation: [u8; 16],
    /// When it was sent, milliseconds since 1970.
    pub sent_at_millis: u64,
    /// Whether it was shown after its place was reported as a gap.
    pub late: bool,
    /// Whether the person read it; of an own one always `false`.
    pub read: bool,
    /// How far it got; of one of another account always [`Received`](PastState::Received).
    pub state: PastState,
    /// The long-term keys of its sender, as [`TheirDevice::to_bytes`] gives them, if they are on no list that was trusted.
    pub unconfirmed: Option<[u8; TheirDevice::BYTES]>,
    /// What it says.
    pub text: String,
}

/// How far a message got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PastState {
    /// It was received; nothing more is known.
    Received,
    /// The service has it.
    Accepted,
    /// A device of the recipient stored it.
    Delivered,
    /// The recipient read it.
    Read,
    /// It was given up, for a reason that only devices of this software understand: at most 255 bytes.
    Failed(String),
}

/// What the person wants on all devices, and whom the person has to do with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// When the receipts were set; the latest counts. 0: never.
    pub receipts_set_at: u64,
    /// Whether receipts of *delivered* go out.
    pub delivered_receipts: bool,
    /// Whether receipts of *read* go out.
    pub read_receipts: bool,
    /// Accounts that the person wrote to or let in, at most [`MAX_CONTACTS`]: some of them.
    pub contacts: Vec<[u8; 16]>,
}

const OFFER: u8 = 1;
const TAKEN: u8 = 2;
const CHUNK: u8 = 3;

const LAST: u8 = 1;
const NEWER: u8 = 2;

const OWN: u8 = 1;
const LATE: u8 = 2;
const READ: u8 = 4;
const UNCONFIRMED: u8 = 8;

const DELIVERED_RECEIPTS: u8 = 1;
const READ_RECEIPTS: u8 = 2;

impl History {
    pub(super) fn encode(&self) -> Vec<u8> {
        let matter = match &self.matter {
            HistoryMatter::Offer { .. } => OFFER,
            HistoryMatter::Taken { .. } => TAKEN,
            HistoryMatter::Chunk(_) => CHUNK,
        };
        let mut bytes = vec![matter];
        bytes.extend_from_slice(&self.history);
        match &self.matter {
            HistoryMatter::Offer {
                since_millis,
                messages,
            } => {
                bytes.extend_from_slice(&since_millis.to_be_bytes());
                bytes.extend_from_slice(&messages.to_be_bytes());
            }
            HistoryMatter::Taken { next, wish } => {
                bytes.extend_from_slice(&next.to_be_bytes());
                bytes.push(match wish {
                    Wish::More => 1,
                    Wish::Again => 2,
                    Wish::End => 3,
                });
            }
            HistoryMatter::Chunk(chunk) => {
                bytes.extend_from_slice(&chunk.number.to_be_bytes());
                bytes.push(flag(chunk.last, LAST) | flag(chunk.newer, NEWER));
                chunk
                    .messages
                    .iter()
                    .for_each(|message| message.write(&mut bytes));
            }
        }
        bytes
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, LengthError> {
        let mut reader = Reader::new(body);
        let (matter, history) = (reader.u8()?, *reader.array()?);
        let matter = match matter {
            OFFER => {
                let (since_millis, messages) = (reader.u64()?, reader.u64()?);
                reader.finish()?;
                HistoryMatter::Offer {
                    since_millis,
                    messages,
                }
            }
            TAKEN => {
                let next = reader.u32()?;
                let wish = match reader.u8()? {
                    1 => Wish::More,
                    2 => Wish::Again,
                    3 => Wish::End,
                    _ => return Err(LengthError),
                };
                reader.finish()?;
                HistoryMatter::Taken { next, wish }
            }
            CHUNK => HistoryMatter::Chunk(Chunk::read(reader)?),
            _ => return Err(LengthError),
        };
        Ok(Self { history, matter })
    }
}

impl Chunk {
    fn read(mut reader: Reader<'_>) -> Result<Self, LengthError> {
        let (number, flags) = (reader.u32()?, reader.u8()?);
        if flags > LAST | NEWER {
            return Err(LengthError);
        }
        let mut messages = Vec::new();
        while !reader.is_empty() {
            if messages.len() == MAX_CHUNK_MESSAGES {
                return Err(LengthError);
            }
            messages.push(PastMessage::read(&mut reader)?);
        }
        Ok(Self {
            number,
            last: flags & LAST != 0,
            newer: flags & NEWER != 0,
            messages,
        })
    }
}

impl PastMessage {
    /// Bytes that it takes in a chunk.
    pub fn encoded_bytes(&self) -> usize {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes.len()
    }

    fn write(&self, bytes: &mut Vec<u8>) {
        let flags = [
            flag(self.own, OWN),
            flag(self.late, LATE),
            flag(self.read, READ),
            flag(self.unconfirmed.is_some(), UNCONFIRMED),
        ];
        bytes.push(flags.iter().fold(0, |all, flag| all | flag));
        bytes.push(self.device);
        bytes.extend_from_slice(&self.message);
        bytes.extend_from_slice(&self.conversation);
        bytes.extend_from_slice(&self.sent_at_millis.to_be_bytes());
        match &self.state {
            PastState::Received => bytes.push(1),
            PastState::Accepted => bytes.push(2),
            PastState::Delivered => bytes.push(3),
            PastState::Read => bytes.push(4),
            PastState::Failed(reason) => {
                let reason = reason.as_bytes();
                // A reason that is longer is none: its end is cut off, and nobody reads it.
                let length = u8::try_from(reason.len()).unwrap_or(u8::MAX);
                bytes.extend_from_slice(&[5, length]);
                bytes.extend(reason.iter().take(length.into()));
            }
        }
        bytes.extend_from_slice(self.unconfirmed.as_ref().map_or(&[][..], |keys| keys));
        let text = self.text.as_bytes();
        // A text has at most `MAX_BODY_BYTES`, which is less.
        let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend(text.iter().take(length.into()));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, LengthError> {
        let (flags, device) = (reader.u8()?, reader.u8()?);
        let (message, conversation) = (*reader.array()?, *reader.array()?);
        let sent_at_millis = reader.u64()?;
        let state = match reader.u8()? {
            1 => PastState::Received,
            2 => PastState::Accepted,
            3 => PastState::Delivered,
            4 => PastState::Read,
            5 => {
                let length = reader.u8()?;
                PastState::Failed(text(reader.bytes(length.into())?)?)
            }
            _ => return Err(LengthError),
        };
        let unconfirmed = match flags & UNCONFIRMED {
            0 => None,
            _ => Some(*reader.array()?),
        };
        let length = reader.u16()?;
        let text = text(reader.bytes(length.into())?)?;
        let (own, read) = (flags & OWN != 0, flags & READ != 0);
        let possible = if own { !read } else { state == PastState::Received };
        if flags > OWN | LATE | READ | UNCONFIRMED || !possible {
            return Err(LengthError);
        }
        Ok(Self {
            message,
            device,
            own,
            conversation,
            sent_at_millis,
            late: flags & LATE != 0,
            read,
            state,
            unconfirmed,
            text,
        })
    }
}

impl Person {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.receipts_set_at.to_be_bytes().to_vec();
        bytes.push(
            flag(self.delivered_receipts, DELIVERED_RECEIPTS) | flag(self.read_receipts, READ_RECEIPTS),
        );
        bytes.extend(self.contacts.iter().flatten());
        bytes
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, LengthError> {
        let mut reader = Reader::new(body);
        let (receipts_set_at, flags) = (reader.u64()?, reader.u8()?);
        let mut contacts = Vec::new();
        while !reader.is_empty() {
            contacts.push(*reader.array()?);
        }
        if flags > DELIVERED_RECEIPTS | READ_RECEIPTS || contacts.len() > MAX_CONTACTS {
            return Err(LengthError);
        }
        Ok(Self {
            receipts_set_at,
            delivered_receipts: flags & DELIVERED_RECEIPTS != 0,
            read_receipts: flags & READ_RECEIPTS != 0,
            contacts,
        })
    }
}

fn flag(set: bool, bit: u8) -> u8 {
    if set { bit } else { 0 }
}

fn text(bytes: &[u8]) -> Result<String, LengthError> {
    str::from_utf8(bytes).map(str::to_owned).map_err(|_| LengthError)
}

impl std::fmt::Debug for PastMessage {
    /// All but the text (attack X86).
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PastMessage")
            .field("own", &self.own)
            .field("state", &self.state)
            .field("text", &format_args!("{} bytes", self.text.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::content::{Body, MAX_BODY_BYTES};

    fn message() -> impl Strategy<Value = PastMessage> {
        let state = prop_oneof![
            Just(PastState::Received),
            Just(PastState::Accepted),
            Just(PastState::Delivered),
            Just(PastState::Read),
            "[a-z_]{0,40}".prop_map(PastState::Failed),
        ];
        let keys = proptest::option::of(proptest::array::uniform32(any::<u8>()));
        let ids = any::<([u8; 16], u8, [u8; 16], u64)>();
        (ids, any::<(bool, bool, bool)>(), state, keys, "\\PC{0,60}").prop_map(
            |((message, device, conversation, sent_at_millis), (own, late, read), state, keys, text)| {
                PastMessage {
                    message,
                    device,
                    own,
                    conversation,
                    sent_at_millis,
                    late,
                    read: read && !own,
                    state: if own { state } else { PastState::Received },
                    unconfirmed: keys.map(|half| {
                        let mut keys = [7; TheirDevice::BYTES];
                        keys[..32].copy_from_slice(&half);
                        keys
                    }),
                    text,
                }
            },
        )
    }

    fn matter() -> impl Strategy<Value = HistoryMatter> {
        let wish = prop_oneof![Just(Wish::More), Just(Wish::Again), Just(Wish::End)];
        let chunk = (any::<(u32, bool, bool)>(), prop::collection::vec(message(), 0..6));
        prop_oneof![
            any::<(u64, u64)>().prop_map(|(since_millis, messages)| HistoryMatter::Offer {
                since_millis,
                messages
            }),
            (any::<u32>(), wish).prop_map(|(next, wish)| HistoryMatter::Taken { next, wish }),
            chunk.prop_map(|((number, last, newer), messages)| {
                HistoryMatter::Chunk(Chunk {
                    number,
                    last,
                    newer,
                    messages,
                })
            }),
        ]
    }

    proptest! {
        #[test]
        fn what_is_said_of_a_history_survives_its_encoding_and_nothing_shorter_is_it(
            history: [u8; 16], matter in matter()
        ) {
            let said = History { history, matter };
            let bytes = said.encode();
            prop_assert_eq!(History::decode(&bytes), Ok(said.clone()));
            for length in 0..bytes.len() {
                // What is left may be a history of fewer messages; it is never this one.
                prop_assert_ne!(History::decode(&bytes[..length]), Ok(said.clone()));
            }
        }

        #[test]
        fn no_bytes_but_the_one_encoding_are_read(body in prop::collection::vec(any::<u8>(), 0..120), matter in 0..5_u8) {
            let body = [&[matter], body.as_slice()].concat();
            if let Ok(said) = History::decode(&body) {
                prop_assert_eq!(said.encode(), body.clone());
            }
            if let Ok(person) = Person::decode(&body) {
                prop_assert_eq!(person.encode(), body);
            }
        }
    }

    fn empty_message() -> PastMessage {
        PastMessage {
            message: [1; 16],
            device: 2,
            own: false,
            conversation: [3; 16],
            sent_at_millis: 4,
            late: false,
            read: true,
            state: PastState::Received,
            unconfirmed: None,
            text: "hi".to_owned(),
        }
    }

    #[test]
    fn the_layouts_are_the_documented_ones() {
        let said = |matter| {
            Body::History(History {
                history: [9; 16],
                matter,
            })
        };
        let head = |matter: u8| [&[7, matter], [9; 16].as_slice()].concat();
        let offer = said(HistoryMatter::Offer {
            since_millis: 5,
            messages: 6,
        });
        let expected = [
            head(1),
            5_u64.to_be_bytes().to_vec(),
            6_u64.to_be_bytes().to_vec(),
        ]
        .concat();
        assert_eq!(offer.to_bytes(), expected);
        let taken = said(HistoryMatter::Taken {
            next: 7,
            wish: Wish::Again,
        });
        assert_eq!(taken.to_bytes(), [head(2), vec![0, 0, 0, 7, 2]].concat());
        let chunk = said(HistoryMatter::Chunk(Chunk {
            number: 8,
            last: true,
            newer: false,
            messages: vec![empty_message()],
        }));
        let message = [
            &[4, 2],
            [1; 16].as_slice(),
            &[3; 16],
            &4_u64.to_be_bytes(),
            &[1, 0, 2],
            b"hi",
        ]
        .concat();
        assert_eq!(chunk.to_bytes(), [head(3), vec![0, 0, 0, 8, 1], message].concat());
        let person = Body::Person(Person {
            receipts_set_at: 5,
            delivered_receipts: false,
            read_receipts: true,
            contacts: vec![[6; 16]],
        });
        let expected = [&[9], 5_u64.to_be_bytes().as_slice(), &[2], &[6; 16]].concat();
        assert_eq!(person.to_bytes(), expected);
        for body in [offer, taken, chunk, person] {
            assert_eq!(Body::from_bytes(&body.to_bytes()), Ok(body));
        }
    }

    #[test]
    fn what_cannot_be_of_a_message_is_refused() {
        let encoded = |message: PastMessage| {
            let matter = HistoryMatter::Chunk(Chunk {
                number: 0,
                last: false,
                newer: false,
                messages: vec![message],
            });
            History {
                history: [0; 16],
                matter,
            }
            .encode()
        };
        assert!(History::decode(&encoded(empty_message())).is_ok());
        let own_and_read = PastMessage {
            own: true,
            ..empty_message()
        };
        let of_another_and_accepted = PastMessage {
            state: PastState::Accepted,
            ..empty_message()
        };
        for message in [own_and_read, of_another_and_accepted] {
            assert!(History::decode(&encoded(message)).is_err());
        }
    }

    #[test]
    fn a_chunk_and_a_body_have_their_bounds() {
        let chunk = |count| {
            let matter = HistoryMatter::Chunk(Chunk {
                number: 0,
                last: false,
                newer: false,
                messages: vec![empty_message(); count],
            });
            History {
                history: [0; 16],
                matter,
            }
            .encode()
        };
        assert!(History::decode(&chunk(MAX_CHUNK_MESSAGES)).is_ok());
        assert!(History::decode(&chunk(MAX_CHUNK_MESSAGES + 1)).is_err());
        let person = |count| {
            Person {
                receipts_set_at: 0,
                delivered_receipts: true,
                read_receipts: true,
                contacts: vec![[1; 16]; count],
            }
            .encode()
        };
        assert!(person(MAX_CONTACTS).len() <= MAX_BODY_BYTES);
        assert!(Person::decode(&person(MAX_CONTACTS)).is_ok());
        assert!(Person::decode(&person(MAX_CONTACTS + 1)).is_err());
    }
}
