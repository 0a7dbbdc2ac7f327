//! The history that one device of a person gives to another, as a rule to one that was linked just now.
//!
//! It goes in messages like all others, encrypted to that one device: the service does not see that it is a history. The
//! device that has it offers it ([`giving`]); the other takes it ([`taking`]), chunk by chunk. Each chunk is stored with the
//! note of how far it has come in one transaction, under the ids that the messages always had: so a crash of either side,
//! a chunk that is lost and one that comes twice change nothing, and what also came in another way is there once.
//!
//! A few chunks are under way at once ([`CHUNKS_UNDER_WAY`]), and the next leaves when one was taken: a device that is away
//! finds no mailbox full of history. In the outbox they are behind whatever else there is to say to the own devices.
//!
//! The newest messages come first. Each gets a place right below the one that came before it ([`keeping`]): what is older than
//! all that the taking device has stands before that, what is missing in between stands where it belongs. What came to the giving device while it gave is sent last: it may have been encrypted before the other device was in.

mod giving;
mod keeping;
mod taking;

use std::{fmt, str::FromStr};

use rand::CryptoRng;
use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use waxwing_protocol::{
    Body,
    content::{Chunk, History, HistoryMatter},
};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, EnvelopeId, MessageId};

use crate::{
    events::{Effects, UndecryptableReason},
    sessions::Me,
    shared::Shared,
    store::{
        StoreError, directory, histories,
        outbox::{self, Control},
        peers::{self, PeerId},
        timeline::{self, Note},
    },
};

/// Chunks of a history that were sent and not taken yet. One less than messages of a conversation may be under way
/// ([`WINDOW`](crate::under_way::WINDOW)), so that a message to the own devices always finds room beside them.
pub(crate) const CHUNKS_UNDER_WAY: u32 = 3;
const _: () = assert!((CHUNKS_UNDER_WAY as u64) < crate::under_way::WINDOW);

/// Chunks that cannot be read, one after another, until a history ends: each that is under way is asked for once more.
pub(crate) const MAX_UNREADABLE_CHUNKS: u32 = 2 * CHUNKS_UNDER_WAY;

/// How much of the past a device is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryChoice {
    /// All of it.
    All,
    /// Messages that were sent in the last days, so many.
    Days(u32),
}

/// A history, on the device that gives it and on the one that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HistoryId([u8; 16]);

impl HistoryId {
    pub(crate) fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0
    }
}

impl fmt::Display for HistoryId {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that names no history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a history is named by 32 hexadecimal digits")]
pub struct HistoryIdError;

impl FromStr for HistoryId {
    type Err = HistoryIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u128::from_str_radix(text, 16).ok().filter(|_| digits);
        id.map(|id| Self(id.to_be_bytes())).ok_or(HistoryIdError)
    }
}

/// Where a history stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryStage {
    /// It waits for the answer of the device that it was offered to.
    Offered,
    /// It is being taken.
    UnderWay,
    /// All of it was taken.
    Complete,
    /// It was declined, or ended before its time.
    Ended,
}

/// How a history ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HistoryEnd {
    /// All of it was taken.
    Complete,
    /// The other device declined it or stopped. What was taken stays.
    Stopped,
    /// The other device is not in the account any more. What was taken stays.
    DeviceGone,
    /// This device could not read what the other one gives, also when that was sent again: one of the two runs a newer
    /// version. What was taken stays. The other device is told that this one stopped.
    Unreadable,
}

/// How far a history has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryState {
    /// Which.
    pub history: HistoryId,
    /// The other device.
    pub device: DeviceId,
    /// Whether this device gives it.
    pub giving: bool,
    /// Where it stands.
    pub stage: HistoryStage,
    /// How many messages the other device, or this one, has stored.
    pub done: u64,
    /// Of how many.
    pub of: u64,
}

/// Why a history was not offered, taken or ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The device has no account.
    #[error("the device has no account; register or link it first")]
    NotRegistered,
    /// The account has no such device beside this one.
    #[error("the account has no such other device; look at its devices")]
    NoSuchDevice,
    /// There is no such history, or it is over.
    #[error("there is no such history any more; offer it again on the device that has it")]
    NoSuchHistory,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Offers a history to another own device.
pub(crate) async fn offer(
    shared: &Shared,
    device: DeviceId,
    choice: HistoryChoice,
) -> Result<HistoryId, HistoryError> {
    let me = shared.me().ok_or(HistoryError::NotRegistered)?;
    let offered = shared.store.write(move |tx| {
        let (rng, now) = (&mut crate::clock::rng(), crate::clock::now_millis());
        let account = me.address().account;
        giving::offer(tx, rng, DeviceAddress { account, device }, choice, now)
    });
    let history = offered.await?;
    shared.outbox_grew.notify_one();
    Ok(history)
}

/// Takes a history that was offered.
pub(crate) async fn take(shared: &Shared, history: HistoryId) -> Result<(), HistoryError> {
    shared.store.write(move |tx| taking::answer(tx, history)).await?;
    shared.outbox_grew.notify_one();
    Ok(())
}

/// Ends a history on either side.
pub(crate) async fn end(shared: &Shared, history: HistoryId) -> Result<(), HistoryError> {
    let ended = shared.store.write(move |tx| {
        let (rng, now) = (&mut crate::clock::rng(), crate::clock::now_millis());
        Ok::<_, HistoryError>(taking::decline(tx, history)? || giving::withdraw(tx, rng, history, now)?)
    });
    if !ended.await? {
        return Err(HistoryError::NoSuchHistory);
    }
    shared.outbox_grew.notify_one();
    Ok(())
}

/// All histories that this device gives or takes, or the last of them.
pub(crate) fn all(tx: &Transaction<'_>) -> Result<Vec<HistoryState>, StoreError> {
    let mut all = Vec::new();
    for given in histories::all_given(tx)? {
        all.push(HistoryState {
            history: given.history,
            device: peers::address(tx, given.peer)?.device,
            giving: true,
            stage: given.stage,
            done: given.done,
            of: given.messages,
        });
    }
    for taken in histories::all_taken(tx)? {
        all.push(HistoryState {
            history: taken.history,
            device: peers::address(tx, taken.peer)?.device,
            giving: false,
            stage: taken.stage,
            done: taken.done,
            of: taken.messages,
        });
    }
    Ok(all)
}

/// Another own device says something about a history. A chunk that cannot be read is noted as such and counts as empty.
pub(crate) fn obey(
    tx: &Transaction<'_>,
    me: &Me,
    (envelope, peer): (EnvelopeId, PeerId),
    said: &History,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let history = HistoryId::new(said.history);
    match &said.matter {
        HistoryMatter::Offer { messages, .. } => {
            taking::offered(tx, (envelope.from.device, peer), history, *messages)
        }
        HistoryMatter::Taken { next, wish } => {
            let mut effects = giving::taken(tx, peer, history, (*next, *wish))?;
            effects.merge(taking::withdrawn(tx, peer, history, *wish)?);
            Ok(effects)
        }
        HistoryMatter::Chunk(chunk) => {
            let us = me.address().account;
            if keeping::is_sound(us, chunk) {
                return taking::chunk(tx, (us, peer), history, chunk);
            }
            let mut effects =
                crate::receive::bury(tx, envelope, UndecryptableReason::UnknownContent, now_millis)?;
            let empty = Chunk {
                messages: Vec::new(),
                ..chunk.clone()
            };
            effects.merge(taking::chunk(tx, (us, peer), history, &empty)?);
            Ok(effects)
        }
    }
}

/// Another own device said something that cannot be read, and that may be a chunk of a history it gives. That is asked for
/// again, so many times ([`MAX_UNREADABLE_CHUNKS`]).
pub(crate) fn unreadable(tx: &Transaction<'_>, peer: PeerId) -> Result<Effects, StoreError> {
    taking::unreadable(tx, peer)
}

/// The own list of devices changed: histories with devices that are not on it end.
pub(crate) fn own_list_changed(tx: &Transaction<'_>, own: AccountId) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    let is_open = |stage| matches!(stage, HistoryStage::Offered | HistoryStage::UnderWay);
    let is_gone = |peer| -> Result<bool, StoreError> {
        let listed = directory::devices(tx, own)?;
        Ok(listed.iter().all(|device| device.peer != peer))
    };
    for given in histories::all_given(tx)? {
        if is_open(given.stage) && is_gone(given.peer)? {
            effects.merge(giving::over(tx, given, HistoryEnd::DeviceGone)?);
        }
    }
    for taken in histories::all_taken(tx)? {
        if is_open(taken.stage) && is_gone(taken.peer)? {
            effects.merge(taking::over(tx, taken, HistoryEnd::DeviceGone)?);
        }
    }
    Ok(effects)
}

/// After a new connection all that waited has been read: whoever is still waited for is asked. Returns whether there is
/// something to send.
pub(crate) fn ask_on(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<bool, StoreError> {
    Ok(taking::ask_on(tx)? | giving::remind(tx, rng, now_millis)?)
}

/// Something that a device said may be lost: whatever history it gives or takes is gone over again.
pub(crate) fn gap(tx: &Transaction<'_>, peer: PeerId) -> Result<(), StoreError> {
    giving::gap(tx, peer)?;
    taking::gap(tx, peer)
}

/// Puts what is due into the outbox: on the giving side chunks, on the taking side what was taken.
pub(crate) fn leave(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<(), StoreError> {
    giving::leave(tx, rng, now_millis)?;
    taking::leave(tx, rng, now_millis)
}

/// Says something about a history to the other device.
fn say(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    (peer, history): (PeerId, HistoryId),
    matter: HistoryMatter,
    now_millis: u64,
) -> Result<(), StoreError> {
    let history = history.to_bytes();
    put(
        tx,
        rng,
        peer,
        Body::History(History { history, matter }),
        now_millis,
    )?;
    Ok(())
}

/// Puts a body for another own device into the outbox. Returns the id that it is sent under.
fn put(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    peer: PeerId,
    body: Body,
    now_millis: u64,
) -> Result<MessageId, StoreError> {
    let message = MessageId::new(now_millis, rng);
    let control = Control {
        message,
        recipient: peers::address(tx, peer)?.account,
        made_at_millis: now_millis,
        body,
        concerns: Some(peer),
    };
    outbox::append_control(tx, &control)?;
    Ok(message)
}

/// Tells that a history is over.
fn tell_end(
    tx: &Transaction<'_>,
    peer: PeerId,
    history: HistoryId,
    end: HistoryEnd,
) -> Result<Effects, StoreError> {
    let device = peers::address(tx, peer)?.device;
    let mut effects = Effects::default();
    effects.grew(timeline::append_note(
        tx,
        &Note::HistoryEnded { history, device, end },
    )?);
    Ok(effects)
}

#[cfg(test)]
mod tests;
