//! Ephemeral messages: what is said now or not at all, such as that somebody is typing.
//!
//! They have keys of their own, so that one that is lost leaves no skipped key in a ratchet, and the service keeps none
//! of them. `docs/protocol.md`, section "Ephemeral messages", has the bytes; [`Session::seal_ephemeral`] and
//! [`Session::open_ephemeral`] make and read them. They are worth less than messages: who learns a session's state can
//! read all that were sent in this session, also before.
//!
//! [`Session::seal_ephemeral`]: crate::Session::seal_ephemeral
//! [`Session::open_ephemeral`]: crate::Session::open_ephemeral

use crate::{codec::Reader, primitives::TAG_BYTES};

/// The version of the layout.
pub(crate) const VERSION: u8 = 1;
/// Bytes of the random salt from which the key of one message is derived.
pub(crate) const SALT_BYTES: usize = 32;
/// Bytes of a content with its zeros, whatever it is (attack X51).
pub(crate) const PLAINTEXT_BYTES: usize = 48;
/// Bytes of a sealed message: version, salt, content, tag.
pub const SEALED_BYTES: usize = 1 + SALT_BYTES + PLAINTEXT_BYTES + TAG_BYTES;

/// How far the time of an ephemeral message may be from ours. What comes later than that is not said now any more.
pub const MAX_AGE_MILLIS: u64 = 10_000;

/// How long a device that says it is present counts as present.
pub const LEASE_MILLIS: u64 = 60_000;

/// Something that is said now or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ephemeral {
    /// Which conversation it is about, as in [`Content`](crate::Content): 16 bytes.
    pub conversation: [u8; 16],
    /// When it was sent, in milliseconds of Unix time by the service's clock. Of one sender each is later than the one
    /// before, also if it sends two in one millisecond: so it tells repetitions and order, too.
    pub sent_at_millis: u64,
    /// What is said.
    pub body: EphemeralBody,
}

/// What is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EphemeralBody {
    /// The sender is typing.
    Typing,
    /// The sender stopped typing.
    TypingStopped,
    /// The sender is there, for [`LEASE_MILLIS`] from now.
    Present {
        /// Whether it asks to be told the same.
        asks: bool,
    },
    /// The sender is not there any more.
    Away,
}

impl EphemeralBody {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 4] = [
        Self::Typing,
        Self::TypingStopped,
        Self::Present { asks: true },
        Self::Away,
    ];

    fn kind(self) -> u8 {
        match self {
            Self::Typing => 1,
            Self::TypingStopped => 2,
            Self::Present { asks: true } => 3,
            Self::Present { asks: false } => 4,
            Self::Away => 5,
        }
    }

    fn of_kind(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => Self::Typing,
            2 => Self::TypingStopped,
            3 => Self::Present { asks: true },
            4 => Self::Present { asks: false },
            5 => Self::Away,
            _ => return None,
        })
    }
}

/// Why a sealed message was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session is one of before there were ephemeral messages.
    #[error("the session has no keys for ephemeral messages")]
    NoKeys,
    /// The version is another.
    #[error("unknown version")]
    Version,
    /// It does not authenticate in this session.
    #[error("does not authenticate")]
    Authentication,
    /// What was in it is none that this version knows.
    #[error("unknown content")]
    Content,
}

impl Ephemeral {
    /// Kind, conversation, time, zeros.
    pub(crate) fn to_bytes(self) -> [u8; PLAINTEXT_BYTES] {
        let mut bytes = [0; PLAINTEXT_BYTES];
        let time = self.sent_at_millis.to_be_bytes();
        let kind = [self.body.kind()];
        let parts = kind.iter().chain(&self.conversation).chain(&time);
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Reads a content. `None` if it is not one this version writes.
    pub(crate) fn from_bytes(bytes: &[u8; PLAINTEXT_BYTES]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let body = EphemeralBody::of_kind(reader.u8().ok()?)?;
        let message = Self {
            conversation: *reader.array().ok()?,
            sent_at_millis: reader.u64().ok()?,
            body,
        };
        reader.rest().iter().all(|byte| *byte == 0).then_some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    #[test]
    fn every_body_survives_its_bytes_and_nothing_else_is_read() {
        let with = |body| Ephemeral {
            conversation: [7; 16],
            sent_at_millis: NOW,
            body,
        };
        for body in EphemeralBody::ALL
            .into_iter()
            .chain([EphemeralBody::Present { asks: false }])
        {
            let bytes = with(body).to_bytes();
            assert_eq!(Ephemeral::from_bytes(&bytes), Some(with(body)));
            let mut longer = bytes;
            longer[PLAINTEXT_BYTES - 1] = 1;
            assert_eq!(Ephemeral::from_bytes(&longer), None);
        }
        for kind in [0, 6, 255] {
            let mut bytes = with(EphemeralBody::Typing).to_bytes();
            bytes[0] = kind;
            assert_eq!(Ephemeral::from_bytes(&bytes), None);
        }
    }
}
