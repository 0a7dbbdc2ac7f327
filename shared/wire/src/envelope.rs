//! One ciphertext on its way to one device.

use serde::{Deserialize, Serialize};

use crate::{
    bytes::Ciphertext,
    ids::{DeviceAddress, IdError, MessageId},
};

/// What names an envelope inside one device's mailbox, and what an `ack` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeId {
    /// The message.
    pub message: MessageId,
    /// The device that sent it: two devices may never pick the same message id, but nothing relies on that.
    pub from: DeviceAddress,
}

impl EnvelopeId {
    /// Bytes of the binary form.
    pub const BYTES: usize = MessageId::BYTES + DeviceAddress::BYTES;

    /// The binary form: message (16 bytes, time-ordered), sender (17 bytes).
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        if let Some(message) = bytes.first_chunk_mut() {
            *message = self.message.to_bytes();
        }
        if let Some(from) = bytes.last_chunk_mut() {
            *from = self.from.to_bytes();
        }
        bytes
    }

    /// Reads the binary form.
    ///
    /// # Errors
    /// As for its two parts, or [`IdError::Length`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, IdError> {
        let (message, from) = bytes
            .split_first_chunk::<{ MessageId::BYTES }>()
            .ok_or(IdError::Length)?;
        Ok(Self {
            message: MessageId::from_bytes(message)?,
            from: DeviceAddress::from_bytes(from)?,
        })
    }
}

/// One ciphertext as its recipient gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Envelope {
    /// What to name in the `ack`.
    pub id: EnvelopeId,
    /// What the sender's device encrypted for this device.
    pub ciphertext: Ciphertext,
}
