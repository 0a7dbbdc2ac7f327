//! What a message says, inside its encryption.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | kind of the body: 1 text, 2 reset, 3 nothing |
//! | 8 | sequence number in the channel from sending to receiving device |
//! | 8 | time of sending, milliseconds since 1970 |
//! | 16 | conversation |
//! | … | body; text is UTF-8, a reset is one byte: 1 unreadable, 2 overdue; nothing is empty |
//!
//! Numbers are big-endian. A [`Session`](crate::Session) pads it when it encrypts. The layout up to the body is the same for every kind, so that a client counts messages of kinds it does not know yet.

use std::fmt;

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
    /// A reset for no reason this code knows. The message counts all the same.
    #[error("unknown reason of a reset")]
    Reset {
        /// The message's number in its channel.
        sequence: u64,
    },
    /// A text that is not UTF-8. The message counts all the same.
    #[error("the text is not UTF-8")]
    Text {
        /// The message's number in its channel.
        sequence: u64,
    },
    /// Something where nothing belongs. The message counts all the same.
    #[error("there is something where nothing belongs")]
    Nothing {
        /// The message's number in its channel.
        sequence: u64,
    },
}

impl DecodeError {
    /// The message's number in its channel, if it could be read.
    pub fn sequence(&self) -> Option<u64> {
        match *self {
            Self::Kind { sequence, .. }
            | Self::Reset { sequence }
            | Self::Text { sequence }
            | Self::Nothing { sequence } => Some(sequence),
            Self::Length | Self::Version(_) => None,
        }
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
        let (kind, body) = match &self.body {
            Body::Text(text) => (TEXT_KIND, text.as_bytes()),
            Body::Reset(ResetReason::Unreadable) => (RESET_KIND, [1].as_slice()),
            Body::Reset(ResetReason::Overdue) => (RESET_KIND, [2].as_slice()),
            Body::Nothing => (NOTHING_KIND, [].as_slice()),
        };
        if body.len() > MAX_BODY_BYTES {
            return Err(EncodeError::TooLong);
        }
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len());
        bytes.extend_from_slice(&[VERSION, kind]);
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
        let body = match kind {
            TEXT_KIND => str::from_utf8(reader.rest())
                .map(|text| Body::Text(text.to_owned()))
                .map_err(|_| DecodeError::Text { sequence })?,
            RESET_KIND => match reader.rest() {
                [1] => Body::Reset(ResetReason::Unreadable),
                [2] => Body::Reset(ResetReason::Overdue),
                _ => return Err(DecodeError::Reset { sequence }),
            },
            NOTHING_KIND => match reader.rest() {
                [] => Body::Nothing,
                _ => return Err(DecodeError::Nothing { sequence }),
            },
            kind => return Err(DecodeError::Kind { kind, sequence }),
        };
        Ok(Self {
            sequence,
            sent_at_millis,
            conversation,
            body,
        })
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
            DecodeError::Text {
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
            assert_eq!(Content::decode(&encoded), Err(DecodeError::Reset { sequence }));
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
        assert_eq!(Content::decode(&encoded), Err(DecodeError::Nothing { sequence }));
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
