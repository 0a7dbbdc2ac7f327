//! What a message says, inside its encryption.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | kind of the body: 1 text |
//! | 8 | sequence number in the channel from sending to receiving device |
//! | 8 | time of sending, milliseconds since 1970 |
//! | 16 | conversation |
//! | … | body; text is UTF-8 |
//!
//! Numbers are big-endian. The whole is padded as [`padding`](crate::padding) describes. The layout up to
//! the body is the same for every kind, so that a client counts messages of kinds it does not know yet.

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
pub const MAX_BODY_BYTES: usize = padding::LAST_BUCKET_BYTES - HEAD_BYTES - 1;

const TEXT_KIND: u8 = 1;

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
    /// Not padded to a bucket.
    #[error("bad padding")]
    Padding,
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
    /// A text that is not UTF-8. The message counts all the same.
    #[error("the text is not UTF-8")]
    Text {
        /// The message's number in its channel.
        sequence: u64,
    },
}

impl DecodeError {
    /// The message's number in its channel, if it could be read.
    pub fn sequence(&self) -> Option<u64> {
        match *self {
            Self::Kind { sequence, .. } | Self::Text { sequence } => Some(sequence),
            Self::Padding | Self::Length | Self::Version(_) => None,
        }
    }
}

impl From<LengthError> for DecodeError {
    fn from(_: LengthError) -> Self {
        Self::Length
    }
}

impl Content {
    /// Writes and pads the content.
    ///
    /// # Errors
    /// [`EncodeError::TooLong`].
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let (kind, body) = match &self.body {
            Body::Text(text) => (TEXT_KIND, text.as_bytes()),
        };
        if body.len() > MAX_BODY_BYTES {
            return Err(EncodeError::TooLong);
        }
        let mut bytes = Vec::with_capacity(HEAD_BYTES + body.len() + padding::BUCKET_STEP_BYTES);
        bytes.extend_from_slice(&[VERSION, kind]);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.sent_at_millis.to_be_bytes());
        bytes.extend_from_slice(&self.conversation);
        bytes.extend_from_slice(body);
        padding::pad(bytes).map_err(|_| EncodeError::TooLong)
    }

    /// Takes the padding off and reads the content.
    ///
    /// # Errors
    /// [`DecodeError`], by what is wrong.
    pub fn decode(padded: &[u8]) -> Result<Self, DecodeError> {
        let bytes = padding::unpad(padded).map_err(|_| DecodeError::Padding)?;
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
        }
    }
}
