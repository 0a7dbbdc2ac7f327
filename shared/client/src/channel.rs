//! The order of what a device sends: shown by rising sequence number, once each, and a gap never silently.
//!
//! What is ahead of a gap is held back in the store. The gap closes when what is missing arrives; if it does
//! not, it is reported after a while and what was held is shown. What arrives even later is shown then, out
//! of order and marked as late: better than not at all.

use rusqlite::Transaction;
use waxwing_wire::DeviceAddress;

use crate::{
    events::Effects,
    store::{
        StoreError,
        channels::{self, Channel},
        messages::MessageRow,
        peers::{self, PeerId},
        timeline::{self, Note},
    },
};

/// Messages held back in one channel at most. As many as a session keeps the keys of missing messages for:
/// beyond it, what is missing could not be decrypted any more.
pub(crate) const MAX_HELD: u64 = 1_000;
const _: () = assert!(MAX_HELD as usize <= waxwing_protocol::session::MAX_SKIPPED_KEYS);

/// Where a message stands in its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its turn was over: a gap was reported there, or its sender counts wrongly.
    Late,
    /// It is the next.
    Next,
    /// Something before it is missing.
    Ahead,
}

impl Channel {
    /// Where a message with this number stands.
    pub(crate) fn place(&self, sequence: u64) -> Place {
        match sequence.cmp(&self.next_expected) {
            std::cmp::Ordering::Less => Place::Late,
            std::cmp::Ordering::Equal => Place::Next,
            std::cmp::Ordering::Greater => Place::Ahead,
        }
    }
}

/// Takes a message of a channel: shows it, and what waited for it, or holds it back. `None` for a message
/// there is nothing to show of; it counts all the same.
pub(crate) fn arrive(
    tx: &Transaction<'_>,
    peer: PeerId,
    sequence: u64,
    message: Option<MessageRow>,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let mut channel = channels::load(tx, peer)?;
    let mut effects = Effects::default();
    match channel.place(sequence) {
        Place::Late => show(tx, message, &mut effects)?,
        Place::Next => {
            show(tx, message, &mut effects)?;
            channel.next_expected = sequence.saturating_add(1);
            release(tx, &mut channel, now_millis, &mut effects)?;
            channels::store(tx, channel)?;
        }
        Place::Ahead => {
            channels::hold(tx, peer, sequence, message)?;
            if channel.gap_since.is_none() {
                channel.gap_since = Some(now_millis);
                channels::store(tx, channel)?;
            }
            while channels::held_count(tx, peer)? > MAX_HELD {
                skip(tx, &mut channel, now_millis, &mut effects)?;
            }
        }
    }
    Ok(effects)
}

/// Reports the gaps that are older than `wait_millis` and shows what they held back.
pub(crate) fn skip_old_gaps(
    tx: &Transaction<'_>,
    wait_millis: u64,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    for mut channel in channels::with_gaps(tx)? {
        let since = channel.gap_since.unwrap_or(now_millis);
        if now_millis.saturating_sub(since) >= wait_millis {
            skip(tx, &mut channel, now_millis, &mut effects)?;
        }
    }
    Ok(effects)
}

/// When the oldest gap was noticed, if there is one.
pub(crate) fn oldest_gap(tx: &Transaction<'_>) -> Result<Option<u64>, StoreError> {
    let gaps = channels::with_gaps(tx)?;
    Ok(gaps.iter().filter_map(|channel| channel.gap_since).min())
}

/// Reports the gap at the head of a channel and shows what it held back, up to the next gap.
fn skip(
    tx: &Transaction<'_>,
    channel: &mut Channel,
    now_millis: u64,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    if let Some(first) = channels::first_held(tx, channel.peer)? {
        let from: DeviceAddress = peers::address(tx, channel.peer)?;
        effects.grew(timeline::append_note(
            tx,
            &Note::Gap {
                from,
                first: channel.next_expected,
                last: first.sequence.saturating_sub(1),
            },
        )?);
        channel.next_expected = first.sequence;
    }
    release(tx, channel, now_millis, effects)?;
    channels::store(tx, *channel)
}

/// Shows what is held and now is next.
fn release(
    tx: &Transaction<'_>,
    channel: &mut Channel,
    now_millis: u64,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    let before = channel.next_expected;
    let remaining = loop {
        let first = channels::first_held(tx, channel.peer)?;
        let Some(next) = first.filter(|held| held.sequence <= channel.next_expected) else {
            break first;
        };
        show(tx, next.message, effects)?;
        channels::release(tx, next)?;
        channel.next_expected = channel.next_expected.max(next.sequence.saturating_add(1));
    };
    // A gap further on is as old as the first message that waits for it; its own wait begins now, which is
    // later and errs towards patience.
    channel.gap_since = match remaining {
        None => None,
        Some(_) if channel.next_expected > before => Some(now_millis),
        Some(_) => channel.gap_since,
    };
    Ok(())
}

fn show(tx: &Transaction<'_>, message: Option<MessageRow>, effects: &mut Effects) -> Result<(), StoreError> {
    if let Some(message) = message {
        effects.grew(timeline::append_received(tx, message)?);
    }
    Ok(())
}
