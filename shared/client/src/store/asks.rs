//! Tables `sent`, `missing` and `asks`: what can be sent again, what is missing, and how often that was asked for.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_wire::{AccountId, MessageId};

use super::{StoreError, columns, messages::MessageRow, peers::PeerId};

/// A message as it was sent.
pub(crate) struct SentMessage {
    pub(crate) message: MessageId,
    pub(crate) conversation: AccountId,
    pub(crate) sent_at_millis: u64,
    pub(crate) text: String,
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asker {
    Us,
    Them,
}

/// Notes what a number of the channel to a device was used for, and forgets those that are `keep` numbers older.
pub(crate) fn note_sent(
    tx: &Transaction<'_>,
    peer: PeerId,
    sequence: u64,
    message: Option<MessageRow>,
    keep: u64,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO sent VALUES (?1, ?2, ?3)")?
        .execute(params![
            peer.0,
            columns::to_integer(sequence),
            message.map(|row| row.0)
        ])?;
    tx.prepare_cached("DELETE FROM sent WHERE peer = ?1 AND sequence <= ?2")?
        .execute(params![
            peer.0,
            columns::to_integer(sequence.saturating_sub(keep))
        ])?;
    Ok(())
}

/// Notes that a number was used for what an earlier one was used for, once more.
pub(crate) fn note_sent_again(
    tx: &Transaction<'_>,
    peer: PeerId,
    sequence: u64,
    earlier: u64,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT OR REPLACE INTO sent SELECT peer, ?2, message FROM sent WHERE peer = ?1 AND sequence = ?3",
    )?
    .execute(params![
        peer.0,
        columns::to_integer(sequence),
        columns::to_integer(earlier)
    ])?;
    Ok(())
}

/// What a number was used for. The outer `None`: that is not known any more; the inner one: nothing for people.
pub(crate) fn sent(
    tx: &Transaction<'_>,
    peer: PeerId,
    sequence: u64,
) -> Result<Option<Option<SentMessage>>, StoreError> {
    let select = "SELECT sent.message, messages.message, conversation, sent_at, body
                  FROM sent LEFT JOIN messages ON messages.id = sent.message WHERE peer = ?1 AND sent.sequence = ?2";
    let read = |row: &rusqlite::Row<'_>| columns::optional(row, 0, |row, _| read_sent(row));
    Ok(tx
        .prepare_cached(select)?
        .query_row(params![peer.0, columns::to_integer(sequence)], read)
        .optional()?)
}

/// What was sent to a device under an id, and the number that it had.
pub(crate) fn sent_as(
    tx: &Transaction<'_>,
    peer: PeerId,
    message: MessageId,
) -> Result<Option<(u64, SentMessage)>, StoreError> {
    let select = "SELECT sent.sequence, messages.message, conversation, sent_at, body
                  FROM sent JOIN messages ON messages.id = sent.message
                  WHERE peer = ?1 AND messages.message = ?2 ORDER BY sent.sequence LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| Ok((columns::count(row, 0)?, read_sent(row)?));
    Ok(tx
        .prepare_cached(select)?
        .query_row(params![peer.0, message.to_bytes()], read)
        .optional()?)
}

/// Notes that numbers of the channel from a device are missing.
pub(crate) fn note_missing(
    tx: &Transaction<'_>,
    peer: PeerId,
    sequences: impl Iterator<Item = u64>,
) -> Result<(), StoreError> {
    let mut insert = tx.prepare_cached("INSERT OR IGNORE INTO missing VALUES (?1, ?2, 0)")?;
    for sequence in sequences {
        insert.execute(params![peer.0, columns::to_integer(sequence)])?;
    }
    Ok(())
}

/// A number has come. Returns whether it was missing.
pub(crate) fn found(tx: &Transaction<'_>, peer: PeerId, sequence: u64) -> Result<bool, StoreError> {
    let deleted = tx
        .prepare_cached("DELETE FROM missing WHERE peer = ?1 AND sequence = ?2")?
        .execute(params![peer.0, columns::to_integer(sequence)])?;
    Ok(deleted > 0)
}

/// Whether a number is missing.
pub(crate) fn is_missing(tx: &Transaction<'_>, peer: PeerId, sequence: u64) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM missing WHERE peer = ?1 AND sequence = ?2")?
        .exists(params![peer.0, columns::to_integer(sequence)])?)
}

/// The devices that are to be asked.
pub(crate) fn to_ask(tx: &Transaction<'_>) -> Result<Vec<PeerId>, StoreError> {
    let mut select = tx.prepare_cached("SELECT DISTINCT peer FROM missing WHERE asked = 0")?;
    let rows = select.query_map([], |row| row.get(0).map(PeerId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a device is to be asked.
pub(crate) fn is_to_be_asked(tx: &Transaction<'_>, peer: PeerId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM missing WHERE peer = ?1 AND asked = 0")?
        .exists([peer.0])?)
}

/// Takes the first numbers that a device was not asked for yet, in a row, at most so many.
pub(crate) fn take_missing(
    tx: &Transaction<'_>,
    peer: PeerId,
    count: u64,
) -> Result<Option<(u64, u64)>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT sequence FROM missing WHERE peer = ?1 AND asked = 0 ORDER BY sequence LIMIT ?2",
    )?;
    let rows = select.query_map(params![peer.0, columns::to_integer(count)], |row| {
        columns::count(row, 0)
    })?;
    let mut range: Option<(u64, u64)> = None;
    for sequence in rows {
        let sequence = sequence?;
        range = match range {
            None => Some((sequence, sequence)),
            Some((first, last)) if last.checked_add(1) == Some(sequence) => Some((first, sequence)),
            Some(_) => break,
        };
    }
    if let Some((first, last)) = range {
        tx.prepare_cached("UPDATE missing SET asked = 1 WHERE peer = ?1 AND sequence BETWEEN ?2 AND ?3")?
            .execute(params![
                peer.0,
                columns::to_integer(first),
                columns::to_integer(last)
            ])?;
    }
    Ok(range)
}

/// Asks within a budget: `most` since `since`. Returns whether there was one left.
pub(crate) fn take_ask(
    tx: &Transaction<'_>,
    peer: PeerId,
    asker: Asker,
    (most, since_millis): (u64, u64),
    now_millis: u64,
) -> Result<bool, StoreError> {
    let ours = asker == Asker::Us;
    tx.prepare_cached("DELETE FROM asks WHERE peer = ?1 AND ours = ?2 AND at <= ?3")?
        .execute(params![peer.0, ours, columns::to_integer(since_millis)])?;
    let made = tx
        .prepare_cached("SELECT count(*) FROM asks WHERE peer = ?1 AND ours = ?2")?
        .query_row(params![peer.0, ours], |row| columns::count(row, 0))?;
    if made >= most {
        return Ok(false);
    }
    tx.prepare_cached("INSERT INTO asks VALUES (?1, ?2, ?3)")?
        .execute(params![peer.0, ours, columns::to_integer(now_millis)])?;
    Ok(true)
}

/// Whatever a device was asked for and did not send is to be asked for once more.
pub(crate) fn ask_anew(tx: &Transaction<'_>, peer: PeerId) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE missing SET asked = 0 WHERE peer = ?1 AND asked = 1")?
        .execute([peer.0])?;
    Ok(())
}

/// A message, from column 1 on.
fn read_sent(row: &rusqlite::Row<'_>) -> rusqlite::Result<SentMessage> {
    Ok(SentMessage {
        message: columns::message(row, 1)?,
        conversation: columns::account(row, 2)?,
        sent_at_millis: columns::count(row, 3)?,
        text: row.get(4)?,
    })
}
