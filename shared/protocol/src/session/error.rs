//! Why a session refused.

use crate::{codec::LengthError, keys::KeyError, primitives::ZeroSecret};

/// Why nothing could be encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptError {
    /// The content is longer than [`MAX_CONTENT_BYTES`](crate::padding::MAX_CONTENT_BYTES).
    #[error("the content is too long")]
    TooLong,
    /// 2³² − 1 messages were sent without an answer. A new session is needed.
    #[error("the chain is at its end")]
    ChainEnd,
    /// A shared secret is zero.
    #[error("a shared secret is zero")]
    ZeroSecret,
}

impl From<ZeroSecret> for EncryptError {
    fn from(_: ZeroSecret) -> Self {
        Self::ZeroSecret
    }
}

/// Why a message was not decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecryptError {
    /// The message opens another session.
    #[error("the message belongs to another session")]
    WrongSession,
    /// Our own message came back.
    #[error("our own message came back")]
    Reflected,
    /// The message was decrypted before.
    #[error("the message was decrypted before")]
    Duplicate,
    /// The message comes so late that its key was deleted, or it was decrypted long ago.
    #[error("the key of the message was deleted")]
    TooOld,
    /// The message lies further ahead than [`MAX_JUMP`](super::MAX_JUMP).
    #[error("the message is too far ahead")]
    TooFarAhead,
    /// The message lies beyond the end that its sender gave the chain.
    #[error("the message lies beyond the end of its chain")]
    BeyondEnd,
    /// A ratchet key of no chain that is remembered ([`MAX_CHAINS`](super::MAX_CHAINS)), and none that can be
    /// new: the other side cannot have seen our latest.
    #[error("the message belongs to a chain long gone, or to none")]
    UnknownChain,
    /// The ratchet key is no key.
    #[error("ratchet key: {0}")]
    RatchetKey(#[source] KeyError),
    /// A shared secret is zero.
    #[error("a shared secret is zero")]
    ZeroSecret,
    /// The chain names a post-quantum step that was not prepared, or leaves out one that was made. Whether the
    /// message is genuine cannot be known.
    #[error("the chain has another number of post-quantum steps")]
    Epoch,
    /// The other side wrote the message, but padded it in a way no implementation does.
    #[error("bad padding")]
    Padding,
    /// The message is forged, damaged, or of another session.
    #[error("the message does not authenticate")]
    Authentication,
}

impl From<ZeroSecret> for DecryptError {
    fn from(_: ZeroSecret) -> Self {
        Self::ZeroSecret
    }
}

/// Why bytes are not the state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The bytes end too early or too late.
    #[error("wrong length")]
    Length,
    /// Another version of the state's layout.
    #[error("unknown version {0}")]
    Version(u8),
    /// A value that no session has.
    #[error("a value no session has")]
    Value,
}

impl From<LengthError> for StateError {
    fn from(_: LengthError) -> Self {
        Self::Length
    }
}
