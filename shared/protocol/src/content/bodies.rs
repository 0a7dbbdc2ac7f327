//! Bodies that are not for people to read: what became of messages, and what is missing.

use crate::codec::{LengthError, Reader};

/// Messages that one receipt names at most: as many as fit the smallest bucket, so that a receipt looks like a short
/// text.
pub const MAX_RECEIPTED: usize = 35;

/// Messages that one request to send again names at most. Who asks for more asks again.
pub const MAX_ASKED: u64 = 64;

/// Messages that one request by id names at most: as many as fit the smallest bucket.
pub const MAX_ASKED_FOR: usize = 37;

/// Bytes of a named message.
const NAME_BYTES: usize = 1 + 16;

/// A message, by what does not change on its way: 17 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageName {
    /// The device that sent it, of the account that context gives.
    pub device: u8,
    /// Its id.
    pub message: [u8; 16],
}

/// What became of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How far they got.
    pub stage: Stage,
    /// Which: 1 to [`MAX_RECEIPTED`], sent by devices of the account that the receipt is written to.
    pub messages: Vec<MessageName>,
}

/// How far a message got on the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// A device stored it.
    Delivered,
    /// The person read it.
    Read,
}

/// A request to the device that it is for: to send again what it sent to the asking device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AskAgain {
    /// The first of the channel's sequence numbers that are missing.
    pub first: u64,
    /// The last, at most [`MAX_ASKED`] numbers in all.
    pub last: u64,
}

/// A request to the device that it is for: to send again what it sent to the asking device under these ids. The number
/// of what cannot be read is not known, and may have been used for something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskFor {
    /// Ids, 1 to [`MAX_ASKED_FOR`].
    pub messages: Vec<[u8; 16]>,
}

/// A message once more, which the recipient asked for: it was sent before under another number.
#[derive(Clone, PartialEq, Eq)]
pub struct Again {
    /// The number in the channel that it had.
    pub sequence: u64,
    /// Its id.
    pub message: [u8; 16],
    /// When it was sent, milliseconds since 1970.
    pub sent_at_millis: u64,
    /// The conversation it belongs to.
    pub conversation: [u8; 16],
    /// What it says, at most 10,794 bytes. `None`: it was not for people to read.
    pub text: Option<String>,
}

/// How far a person has read a conversation, for the own other devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadState {
    /// The conversation: the other account.
    pub conversation: [u8; 16],
    /// The newest message that was read, of a device of the other account.
    pub until: MessageName,
}

impl Receipt {
    pub(super) fn encode(&self) -> Vec<u8> {
        let stage = match self.stage {
            Stage::Delivered => 1,
            Stage::Read => 2,
        };
        let mut bytes = vec![stage];
        self.messages.iter().for_each(|name| name.write(&mut bytes));
        bytes
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, LengthError> {
        let mut reader = Reader::new(body);
        let stage = match reader.u8()? {
            1 => Stage::Delivered,
            2 => Stage::Read,
            _ => return Err(LengthError),
        };
        let names = reader.rest();
        let messages: Vec<_> = names
            .chunks(NAME_BYTES)
            .map(|name| {
                let mut reader = Reader::new(name);
                let name = MessageName::read(&mut reader)?;
                reader.finish().map(|()| name)
            })
            .collect::<Result<_, _>>()?;
        if messages.is_empty() || messages.len() > MAX_RECEIPTED {
            return Err(LengthError);
        }
        Ok(Self { stage, messages })
    }
}

impl AskAgain {
    pub(super) fn encode(self) -> Vec<u8> {
        [self.first.to_be_bytes(), self.last.to_be_bytes()].concat()
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, LengthError> {
        let mut reader = Reader::new(body);
        let (first, last) = (reader.u64()?, reader.u64()?);
        reader.finish()?;
        let count = last.checked_sub(first).ok_or(LengthError)?;
        if first == 0 || count >= MAX_ASKED {
            return Err(LengthError);
        }
        Ok(Self { first, last })
    }
}

impl AskFor {
    pub(super) fn encode(&self) -> Vec<u8> {
        self.messages.concat()
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, LengthError> {
        let (messages, rest) = body.as_chunks::<16>();
        if messages.is_empty() || messages.len() > MAX_ASKED_FOR || !rest.is_empty() {
            return Err(LengthError);
        }
        Ok(Self {
            messages: messages.to_vec(),
        })
    }
}

impl Again {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.sequence.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.message);
        bytes.extend_from_slice(&self.sent_at_millis.to_be_bytes());
        bytes.extend_from_slice(&self.conversation);
        bytes.push(self.text.is_some().into());
        bytes.extend_from_slice(self.text.as_deref().unwrap_or_default().as_bytes());
        bytes
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, LengthError> {
        let mut reader = Reader::new(body);
        let (sequence, message) = (reader.u64()?, *reader.array()?);
        let (sent_at_millis, conversation) = (reader.u64()?, *reader.array()?);
        let text = match (reader.u8()?, reader.rest()) {
            (0, []) => None,
            (1, text) => Some(str::from_utf8(text).map_err(|_| LengthError)?.to_owned()),
            _ => return Err(LengthError),
        };
        Ok(Self {
            sequence,
            message,
            sent_at_millis,
            conversation,
            text,
        })
    }
}

impl ReadState {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = self.conversation.to_vec();
        self.until.write(&mut bytes);
        bytes
    }

    pub(super) fn decode(body: &[u8]) -> Result<Self, LengthError> {
        let mut reader = Reader::new(body);
        let (conversation, until) = (*reader.array()?, MessageName::read(&mut reader)?);
        reader.finish()?;
        Ok(Self { conversation, until })
    }
}

impl MessageName {
    fn write(self, bytes: &mut Vec<u8>) {
        bytes.push(self.device);
        bytes.extend_from_slice(&self.message);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, LengthError> {
        Ok(Self {
            device: reader.u8()?,
            message: *reader.array()?,
        })
    }
}
