//! What a message says, inside its encryption.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | kind of the body: 1 text, 2 reset, 3 nothing, 4 receipt, 5 ask again, 6 read state, 7 history, 8 again, 9 person, 10 ask for |
//! | 8 | sequence number in the channel from sending to receiving device |
//! | 8 | time of sending, milliseconds since 1970 |
//! | 16 | conversation |
//! | … | body |
//!
//! A text is UTF-8. A reset is one byte: 1 unreadable, 2 overdue. Nothing is empty. A receipt is one byte, 1 delivered, 2
//! read, and 1 to 35 names of messages. Ask again is the first and the last sequence number, 8 bytes each. A read state is
//! the conversation and the name of a message. Again is sequence number, id, time and conversation of a message, 8, 16, 8
//! and 16 bytes, then one byte, 0: not for people, or 1 and the text. Ask for is 1 to 37 ids of messages, 16 bytes each. A name is the sending device, 1 byte, and the message's id, 16 bytes.
//! History and person are what own devices say to each other alone; docs/protocol.md has their layouts.
//!
//! Numbers are big-endian. A [`Session`](crate::Session) pads it when it encrypts. The layout up to the body is the same for every kind, so that a client counts messages of kinds it does not know yet.

mod bodies;
mod history;

use std::fmt;

pub use bodies::{
    Again, AskAgain, AskFor, MAX_ASKED, MAX_ASKED_FOR, MAX_RECEIPTED, MessageName, ReadState, Receipt, Stage,
};
pub use history::{
    Chunk, History, HistoryMatter, MAX_CHUNK_MESSAGES, MAX_CONTACTS, PastMessage, PastState, Person, Wish,
};

use crate::{
    codec::{LengthError, Reader},
    padding,
};

/// The version of the layout.
const VERSION: u8 = 1;

/// Bytes before the body.
const HEAD_BYTES: usize = 1 + 1 + 8 + 8 + 16;

/// Bytes of a body at most. Larger content travels as media.
pub const MAX_BODY_BYTES: usize = padding::MAX_CONTENT_BYTES - HEAD_BYTES;

const TEXT_KIND: u8 = 1;
const RESET_KIND: u8 = 2;
const NOTHING_KIND: u8 = 3;
const RECEIPT_KIND: u8 = 4;
const ASK_AGAIN_KIND: u8 = 5;
const READ_STATE_KIND: u8 = 6;
const HISTORY_KIND: u8 = 7;
const AGAIN_KIND: u8 = 8;
const PERSON_KIND: u8 = 9;
const ASK_FOR_KIND: u8 = 10;

/// One inner message.
#[derive(Clone, PartialEq, Eq)]
pub struct Content {
    /// Counts the messages from the sending device to the receiving one; a gap means that one is missing.
    pub sequence: u64,
    /// When it was sent, by the sender's clock: milliseconds since 1970.
    pub sent_at_millis: u64,
    /// The conversation it belongs to.
    pub conversation: [u8; 16],
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Body {
    /// A text for people.
    Text(String),
    /// First message of a session that was opened on purpose: all older ones with its sender are to be retired.
    Reset(ResetReason),
    /// Nothing to show; it counts. A message goes to all devices of an account, also if it concerns but one of them.
    Nothing,
    /// What became of messages that the recipient's account sent.
    Receipt(Receipt),
    /// A request to one device to send again what did not arrive.
    AskAgain(AskAgain),
    /// How far a conversation was read, for the own other devices.
    ReadState(ReadState),
    /// A message once more.
    Again(Again),
    /// A history, for one own device.
    History(History),
    /// What the person wants and whom the person knows, for the own other devices.
    Person(Person),
    /// A request to one device to send again what came and could not be read.
    AskFor(AskFor),
}

/// Why a session was replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetReason {
    /// What came could not be decrypted.
    Unreadable,
    /// A post-quantum step was [overdue](crate::Session::post_quantum_step_is_overdue).
    Overdue,
}

/// Why content could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The body is longer than [`MAX_BODY_BYTES`].
    #[error("the body is too long")]
    TooLong,
}

/// Why bytes are not content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Ends before the body begins.
    #[error("wrong length")]
    Length,
    /// A version of the layout this code does not know.
    #[error("unknown content version {0}")]
    Version(u8),
    /// A kind of body this code does not know. The message counts all the same.
    #[error("unknown kind of body {kind}")]
    Kind {
        /// The kind.
        kind: u8,
        /// The message's number in its channel.
        sequence: u64,
    },
    /// A body that its kind does not allow. The message counts all the same.
    #[error("a body of kind {kind} that is none")]
    Body {
        /// The kind.
        kind: u8,
        /// The message's number in its channel.
        sequence: u64,
    },
}

impl DecodeError {
    /// The message's number in its channel, if it could be read.
    pub fn sequence(&self) -> Option<u64> {
        match *self {
            Self::Kind { sequence, .. } | Self::Body { sequence, .. } => Some(sequence),
            Self::Length | Self::Version(_) => None,
        }
    }

    /// Whether it may have been said about a history: it was, in a way this code does not know, or its version does not tell.
    pub fn may_be_of_a_history(self) -> bool {
        matches!(
            self,
            Self::Body {
                kind: HISTORY_KIND,
                ..
            } | Self::Version(_)
        )
    }
}

impl From<LengthError> for DecodeError {
    fn from(_: LengthError) -> Self {
        Self::Length
    }
}

impl Content {
    /// Writes the content.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let body = self.body.to_bytes();
        // The kind is part of the head.
        if body.len() > MAX_BODY_BYTES + 1 {
            return Err(EncodeError::TooLong);
        }
        let (kind, body) = body.split_at(1);
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
        bytes.push(VERSION);
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.sent_at_millis.to_be_bytes());
        bytes.extend_from_slice(&self.conversation);
        bytes.extend_from_slice(body);
        Ok(bytes)
    }

    /// Reads the content.
    ///
    /// # Errors
    /// [`DecodeError`], by what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let kind = reader.u8()?;
        let sequence = reader.u64()?;
        let sent_at_millis = reader.u64()?;
        let conversation = *reader.array()?;
        let body = Body::read(kind, reader.rest(), sequence)?;
        Ok(Self {
            sequence,
            sent_at_millis,
            conversation,
            body,
        })
    }
}

impl Body {
    /// The kind, one byte, and the body: what a store keeps of it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Self::Text(text) => (TEXT_KIND, text.as_bytes().to_vec()),
            Self::Reset(ResetReason::Unreadable) => (RESET_KIND, vec![1]),
            Self::Reset(ResetReason::Overdue) => (RESET_KIND, vec![2]),
            Self::Nothing => (NOTHING_KIND, Vec::new()),
            Self::Receipt(receipt) => (RECEIPT_KIND, receipt.encode()),
            Self::AskAgain(range) => (ASK_AGAIN_KIND, range.encode()),
            Self::ReadState(state) => (READ_STATE_KIND, state.encode()),
            Self::Again(again) => (AGAIN_KIND, again.encode()),
            Self::History(history) => (HISTORY_KIND, history.encode()),
            Self::Person(person) => (PERSON_KIND, person.encode()),
            Self::AskFor(ask) => (ASK_FOR_KIND, ask.encode()),
        };
        [&[kind], body.as_slice()].concat()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// [`DecodeError`]; the sequence number in it is 0.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let (&kind, body) = bytes.split_first().ok_or(DecodeError::Length)?;
        Self::read(kind, body, 0)
    }

    fn read(kind: u8, body: &[u8], sequence: u64) -> Result<Self, DecodeError> {
        let read = match (kind, body) {
            (TEXT_KIND, text) => str::from_utf8(text).ok().map(|text| Self::Text(text.to_owned())),
            (RESET_KIND, [1]) => Some(Self::Reset(ResetReason::Unreadable)),
            (RESET_KIND, [2]) => Some(Self::Reset(ResetReason::Overdue)),
            (NOTHING_KIND, []) => Some(Self::Nothing),
            (RESET_KIND | NOTHING_KIND, _) => None,
            (RECEIPT_KIND, body) => Receipt::decode(body).ok().map(Self::Receipt),
            (ASK_AGAIN_KIND, body) => AskAgain::decode(body).ok().map(Self::AskAgain),
            (READ_STATE_KIND, body) => ReadState::decode(body).ok().map(Self::ReadState),
            (AGAIN_KIND, body) => Again::decode(body).ok().map(Self::Again),
            (HISTORY_KIND, body) => History::decode(body).ok().map(Self::History),
            (PERSON_KIND, body) => Person::decode(body).ok().map(Self::Person),
            (ASK_FOR_KIND, body) => AskFor::decode(body).ok().map(Self::AskFor),
            (kind, _) => return Err(DecodeError::Kind { kind, sequence }),
        };
        read.ok_or(DecodeError::Body { kind, sequence })
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("sequence", &self.sequence)
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Reset(reason) => write!(f, "Reset({reason:?})"),
            Self::Nothing => f.write_str("Nothing"),
            Self::Receipt(Receipt { stage, messages }) => {
                write!(f, "Receipt({stage:?}, {} messages)", messages.len())
            }
            Self::AskAgain(AskAgain { first, last }) => write!(f, "AskAgain({first}..={last})"),
            Self::ReadState(_) => f.write_str("ReadState"),
            Self::Again(again) => write!(f, "Again({})", again.sequence),
            Self::History(History { matter, .. }) => match matter {
                HistoryMatter::Offer { messages, .. } => write!(f, "History(offer of {messages})"),
                HistoryMatter::Taken { next, wish } => write!(f, "History(taken {next}, {wish:?})"),
                HistoryMatter::Chunk(chunk) => {
                    write!(
                        f,
                        "History(chunk {}, {} messages)",
                        chunk.number,
                        chunk.messages.len()
                    )
                }
            },
            Self::Person(person) => write!(f, "Person({} contacts)", person.contacts.len()),
            Self::AskFor(ask) => write!(f, "AskFor({} messages)", ask.messages.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(text: &str) -> Content {
        Content {
            sequence: 0x0102_0304_0506_0708,
            sent_at_millis: 0x1112_1314_1516_1718,
            conversation: [0x20; 16],
            body: Body::Text(text.to_owned()),
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let encoded = content("héllo").encode().unwrap();
        let head = [
            [1, 1].as_slice(),
            &[1, 2, 3, 4, 5, 6, 7, 8],
            &[0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18],
            &[0x20; 16],
            "héllo".as_bytes(),
        ];
        assert_eq!(encoded, head.concat());
        assert_eq!(Content::decode(&encoded), Ok(content("héllo")));
    }

    #[test]
    fn a_text_has_at_most_what_the_largest_bucket_holds() {
        let longest = content(&"x".repeat(MAX_BODY_BYTES));
        let encoded = longest.encode().unwrap();
        assert_eq!(
            padding::bucket(encoded.len() + 1),
            Some(padding::LAST_BUCKET_BYTES)
        );
        assert_eq!(Content::decode(&encoded), Ok(longest));
        assert_eq!(
            content(&"x".repeat(MAX_BODY_BYTES + 1)).encode(),
            Err(EncodeError::TooLong)
        );
    }

    #[test]
    fn a_kind_not_known_yet_still_counts() {
        let mut encoded = content("hello").encode().unwrap();
        encoded[1] = 200;
        let error = Content::decode(&encoded).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Kind {
                kind: 200,
                sequence: 0x0102_0304_0506_0708
            }
        );
        assert_eq!(error.sequence(), Some(0x0102_0304_0506_0708));
    }

    #[test]
    fn a_text_that_is_not_utf_8_still_counts() {
        let mut encoded = content("hello").encode().unwrap();
        encoded[HEAD_BYTES] = 0xff;
        let error = Content::decode(&encoded).unwrap_err();
        assert_eq!(
            error,
            DecodeError::Body {
                kind: 1,
                sequence: 0x0102_0304_0506_0708
            }
        );
        assert_eq!(error.sequence(), Some(0x0102_0304_0506_0708));
    }

    #[test]
    fn x28_a_reset_is_a_body_like_any_other() {
        for (reason, byte) in [(ResetReason::Unreadable, 1), (ResetReason::Overdue, 2)] {
            let reset = Content {
                body: Body::Reset(reason),
                ..content("")
            };
            let encoded = reset.encode().unwrap();
            assert_eq!((encoded[1], &encoded[HEAD_BYTES..]), (2, [byte].as_slice()));
            assert_eq!(Content::decode(&encoded), Ok(reset));
        }
        for body in [[].as_slice(), &[0], &[3], &[1, 1]] {
            let mut encoded = content("").encode().unwrap();
            encoded[1] = 2;
            encoded.extend_from_slice(body);
            let sequence = 0x0102_0304_0506_0708;
            assert_eq!(
                Content::decode(&encoded),
                Err(DecodeError::Body { kind: 2, sequence })
            );
        }
    }

    #[test]
    fn nothing_is_nothing_and_counts() {
        let nothing = Content {
            body: Body::Nothing,
            ..content("")
        };
        let mut encoded = nothing.encode().unwrap();
        assert_eq!((encoded[1], encoded.len()), (3, HEAD_BYTES));
        assert_eq!(Content::decode(&encoded), Ok(nothing));
        encoded.push(0);
        let sequence = 0x0102_0304_0506_0708;
        assert_eq!(
            Content::decode(&encoded),
            Err(DecodeError::Body { kind: 3, sequence })
        );
    }

    fn name(seed: u8) -> MessageName {
        MessageName {
            device: seed,
            message: [seed; 16],
        }
    }

    /// The bytes of a body behind its kind.
    fn refused(kind: u8, body: &[u8]) -> bool {
        let mut encoded = content("").encode().unwrap();
        encoded[1] = kind;
        encoded.extend_from_slice(body);
        let sequence = 0x0102_0304_0506_0708;
        Content::decode(&encoded) == Err(DecodeError::Body { kind, sequence })
    }

    #[test]
    fn receipts_requests_and_read_states_have_the_documented_layouts_and_no_others() {
        let receipt = Body::Receipt(Receipt {
            stage: Stage::Read,
            messages: vec![name(1), name(9)],
        });
        let expected = [[4, 2].as_slice(), &[1; 17], &[9; 17]].concat();
        let ask = Body::AskAgain(AskAgain { first: 3, last: 4 });
        let state = Body::ReadState(ReadState {
            conversation: [7; 16],
            until: name(2),
        });
        let ask_for = Body::AskFor(AskFor {
            messages: vec![[3; 16], [4; 16]],
        });
        let again = Body::Again(Again {
            sequence: 5,
            message: [6; 16],
            sent_at_millis: 7,
            conversation: [8; 16],
            text: None,
        });
        let numbers = [[8].as_slice(), &5u64.to_be_bytes(), &[6; 16], &7u64.to_be_bytes()].concat();
        let layouts = [
            (again, [numbers.as_slice(), &[8; 16], &[0]].concat()),
            (receipt, expected),
            (
                ask,
                [[5].as_slice(), &3u64.to_be_bytes(), &4u64.to_be_bytes()].concat(),
            ),
            (state, [[6].as_slice(), &[7; 16], &[2; 17]].concat()),
            (ask_for, [[10].as_slice(), &[3; 16], &[4; 16]].concat()),
        ];
        for (body, expected) in layouts {
            assert_eq!(body.to_bytes(), expected);
            assert_eq!(Body::from_bytes(&expected), Ok(body.clone()));
            let whole = Content { body, ..content("") };
            assert_eq!(Content::decode(&whole.encode().unwrap()), Ok(whole));
            let (kind, body) = (expected[0], &expected[1..]);
            assert!(refused(kind, &body[..body.len() - 1]));
            assert!(refused(kind, &[body, &[0]].concat()));
            assert!(refused(kind, &[]));
        }
    }

    #[test]
    fn a_receipt_names_as_many_messages_as_fit_the_smallest_bucket() {
        let receipt = |count: usize| Content {
            body: Body::Receipt(Receipt {
                stage: Stage::Delivered,
                messages: vec![name(1); count],
            }),
            ..content("")
        };
        let bucket = |count| padding::bucket(receipt(count).encode().unwrap().len() + 1);
        assert_eq!(bucket(MAX_RECEIPTED), Some(padding::FIRST_BUCKET_BYTES));
        assert_ne!(bucket(MAX_RECEIPTED + 1), bucket(MAX_RECEIPTED));
        for count in [0, MAX_RECEIPTED + 1] {
            assert!(Content::decode(&receipt(count).encode().unwrap()).is_err());
        }
        assert!(refused(4, &[&[3], [0; 17].as_slice()].concat()));
    }

    #[test]
    fn a_request_by_id_names_as_many_messages_as_fit_the_smallest_bucket() {
        let ask = |count: usize| Content {
            body: Body::AskFor(AskFor {
                messages: vec![[7; 16]; count],
            }),
            ..content("")
        };
        let bucket = |count| padding::bucket(ask(count).encode().unwrap().len() + 1);
        assert_eq!(bucket(MAX_ASKED_FOR), Some(padding::FIRST_BUCKET_BYTES));
        assert_ne!(bucket(MAX_ASKED_FOR + 1), bucket(MAX_ASKED_FOR));
        for count in [0, MAX_ASKED_FOR + 1] {
            assert!(Content::decode(&ask(count).encode().unwrap()).is_err());
        }
    }

    #[test]
    fn a_message_once_more_says_what_it_said() {
        let again = |text: &str| {
            Body::Again(Again {
                sequence: 5,
                message: [6; 16],
                sent_at_millis: 7,
                conversation: [8; 16],
                text: Some(text.to_owned()),
            })
        };
        let bytes = again("héllo").to_bytes();
        assert!(bytes.ends_with(&[&[1], "héllo".as_bytes()].concat()));
        assert_eq!(Body::from_bytes(&bytes), Ok(again("héllo")));
        assert_eq!(Body::from_bytes(&again("").to_bytes()), Ok(again("")));
        assert!(refused(8, &[&bytes[1..], &[0xff]].concat()));
        assert!(refused(8, &[&[0; 48], [2].as_slice()].concat()));
        assert_eq!(format!("{:?}", again("secret")), "Again(5)");
        let longest = |length: usize| Content {
            body: again(&"x".repeat(length)),
            ..content("")
        };
        assert!(longest(MAX_BODY_BYTES - 49).encode().is_ok());
        assert_eq!(longest(MAX_BODY_BYTES - 48).encode(), Err(EncodeError::TooLong));
    }

    #[test]
    fn a_request_names_numbers_that_rise_and_not_too_many() {
        let ask = |first: u64, last: u64| [first.to_be_bytes(), last.to_be_bytes()].concat();
        for (first, last) in [(0, 1), (2, 1), (1, MAX_ASKED + 1), (1, u64::MAX), (0, u64::MAX)] {
            assert!(refused(5, &ask(first, last)), "{first}..={last}");
        }
        assert!(!refused(5, &ask(1, MAX_ASKED)));
        assert!(!refused(5, &ask(u64::MAX, u64::MAX)));
    }

    #[test]
    fn what_is_not_content_is_refused() {
        assert_eq!(Content::decode(&[]), Err(DecodeError::Length));
        assert_eq!(Content::decode(&[2, 1]), Err(DecodeError::Version(2)));
        assert_eq!(Content::decode(&[1; HEAD_BYTES - 1]), Err(DecodeError::Length));
        assert_eq!(
            Content::decode(&[1; HEAD_BYTES]).map(|content| content.body),
            Ok(Body::Text(String::new()))
        );
        assert_eq!(DecodeError::Length.sequence(), None);
    }

    #[test]
    fn x86_content_does_not_print() {
        let printed = format!("{:?}", content("the secret"));
        assert_eq!(
            printed,
            "Content { sequence: 72623859790382856, body: Text(10 bytes), .. }"
        );
    }

    proptest! {
        #[test]
        fn content_survives_its_encoding(
            sequence: u64, sent_at_millis: u64, conversation: [u8; 16], text in "\\PC{0,3000}"
        ) {
            let content = Content { sequence, sent_at_millis, conversation, body: Body::Text(text) };
            let encoded = content.encode().unwrap();
            prop_assert_eq!(Content::decode(&encoded), Ok(content));
        }

        #[test]
        fn no_bytes_make_decoding_fail_otherwise_than_by_its_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..64)
        ) {
            if let Ok(content) = Content::decode(&bytes) {
                prop_assert_eq!(content.encode().unwrap(), bytes);
            }
        }
    }
}
