//! Tables `histories_given`, `chunks_given`, `histories_taken`, `chunks_ahead` and `history_places`: histories between own
//! devices, and how far each has come.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use waxwing_wire::{AccountId, MessageId};

use super::{StoreError, columns, messages, peers::PeerId};
use crate::{
    history::{HistoryId, HistoryStage},
    messages::StoredMessage,
};

/// A history that this device gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) peer: PeerId,
    pub(crate) history: HistoryId,
    /// 0: all.
    pub(crate) days: u32,
    pub(crate) since_millis: u64,
    pub(crate) messages: u64,
    pub(crate) stage: HistoryStage,
    pub(crate) older_than: u64,
    pub(crate) newer_than: u64,
    pub(crate) next_chunk: u32,
    /// The last chunk was made.
    pub(crate) finished: bool,
    pub(crate) done: u64,
    /// What is not taken is to be sent again.
    pub(crate) again: bool,
    /// When the other device was last asked where it is.
    pub(crate) reminded_at: u64,
}

/// A chunk that was not taken yet.
pub(crate) struct GivenChunk {
    pub(crate) number: u32,
    pub(crate) messages: u64,
    pub(crate) name: MessageId,
    /// Kind and body.
    pub(crate) body: Vec<u8>,
}

/// A history that this device takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) peer: PeerId,
    pub(crate) history: HistoryId,
    pub(crate) messages: u64,
    pub(crate) stage: HistoryStage,
    pub(crate) next_chunk: u32,
    pub(crate) done: u64,
    /// Where the message stands that came last of it.
    pub(crate) place: Option<u64>,
    /// How many chunks could not be read since one was taken.
    pub(crate) unreadable: u32,
    /// What the other device is to be told.
    pub(crate) tell: Option<Tell>,
}

/// What the device that gives a history is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tell {
    More,
    Again,
    End,
}

const GIVEN: &str =
    "SELECT peer, history, days, since, messages, stage, older_than, newer_than, next_chunk, finished, done,
                            again, reminded_at FROM histories_given";
const TAKEN: &str =
    "SELECT peer, history, messages, stage, next_chunk, done, tell, place, unreadable FROM histories_taken";

/// All histories that this device gave or gives.
pub(crate) fn all_given(tx: &Transaction<'_>) -> Result<Vec<Given>, StoreError> {
    let mut select = tx.prepare_cached(GIVEN)?;
    let rows = select.query_map([], read_given)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The latest that it gave to a device.
pub(crate) fn given(tx: &Transaction<'_>, peer: PeerId) -> Result<Option<Given>, StoreError> {
    let select = format!("{GIVEN} WHERE peer = ?1");
    let mut select = tx.prepare_cached(&select)?;
    Ok(select.query_row([peer.0], read_given).optional()?)
}

/// Stores a history that is given. One before it to the same device is forgotten, with its chunks.
pub(crate) fn give(tx: &Transaction<'_>, given: &Given) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM histories_given WHERE peer = ?1")?
        .execute([given.peer.0])?;
    tx.prepare_cached(
        "INSERT INTO histories_given (peer, history, days, since, messages, stage, older_than, newer_than, next_chunk)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0)",
    )?
    .execute(params![
        given.peer.0,
        given.history.to_bytes(),
        given.days,
        columns::to_integer(given.since_millis),
        columns::to_integer(given.messages),
        to_column(given.stage),
        columns::to_integer(given.older_than),
        columns::to_integer(given.newer_than),
    ])?;
    Ok(())
}

/// Stores how far a history that is given has come.
pub(crate) fn update_given(tx: &Transaction<'_>, given: &Given) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE histories_given SET stage = ?2, older_than = ?3, newer_than = ?4, next_chunk = ?5, finished = ?6,
         done = ?7, again = ?8, reminded_at = ?9 WHERE peer = ?1",
    )?
    .execute(params![
        given.peer.0,
        to_column(given.stage),
        columns::to_integer(given.older_than),
        columns::to_integer(given.newer_than),
        given.next_chunk,
        given.finished,
        columns::to_integer(given.done),
        given.again,
        columns::to_integer(given.reminded_at),
    ])?;
    Ok(())
}

/// Stores a chunk until it is taken.
pub(crate) fn keep_chunk(tx: &Transaction<'_>, peer: PeerId, chunk: &GivenChunk) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO chunks_given VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            peer.0,
            chunk.number,
            columns::to_integer(chunk.messages),
            chunk.name.to_bytes(),
            chunk.body,
        ])?;
    Ok(())
}

/// The chunks that were not taken yet, in order.
pub(crate) fn kept_chunks(tx: &Transaction<'_>, peer: PeerId) -> Result<Vec<GivenChunk>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT number, messages, name, body FROM chunks_given WHERE peer = ?1 ORDER BY number",
    )?;
    let rows = select.query_map([peer.0], |row| {
        Ok(GivenChunk {
            number: row.get(0)?,
            messages: columns::count(row, 1)?,
            name: columns::message(row, 2)?,
            body: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Forgets the chunks below a number. Returns how many messages they had.
pub(crate) fn forget_chunks(tx: &Transaction<'_>, peer: PeerId, below: u32) -> Result<u64, StoreError> {
    let mut delete =
        tx.prepare_cached("DELETE FROM chunks_given WHERE peer = ?1 AND number < ?2 RETURNING messages")?;
    let rows = delete.query_map(params![peer.0, below], |row| columns::count(row, 0))?;
    Ok(rows.sum::<Result<_, _>>()?)
}

/// All histories that this device took, takes, or was offered.
pub(crate) fn all_taken(tx: &Transaction<'_>) -> Result<Vec<Taken>, StoreError> {
    let mut select = tx.prepare_cached(TAKEN)?;
    let rows = select.query_map([], read_taken)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The latest that a device offered.
pub(crate) fn taken(tx: &Transaction<'_>, peer: PeerId) -> Result<Option<Taken>, StoreError> {
    let select = format!("{TAKEN} WHERE peer = ?1");
    let mut select = tx.prepare_cached(&select)?;
    Ok(select.query_row([peer.0], read_taken).optional()?)
}

/// Stores a history that was offered. One before it of the same device is forgotten, with its chunks.
pub(crate) fn take(tx: &Transaction<'_>, taken: &Taken) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM histories_taken WHERE peer = ?1")?
        .execute([taken.peer.0])?;
    tx.prepare_cached(
        "INSERT INTO histories_taken (peer, history, messages, stage) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        taken.peer.0,
        taken.history.to_bytes(),
        columns::to_integer(taken.messages),
        to_column(taken.stage),
    ])?;
    Ok(())
}

/// Stores how far a history that is taken has come.
pub(crate) fn update_taken(tx: &Transaction<'_>, taken: &Taken) -> Result<(), StoreError> {
    let tell = taken.tell.map(|tell| match tell {
        Tell::More => 1,
        Tell::Again => 2,
        Tell::End => 3,
    });
    tx.prepare_cached(
        "UPDATE histories_taken SET stage = ?2, next_chunk = ?3, done = ?4, tell = ?5, place = ?6, unreadable = ?7
         WHERE peer = ?1",
    )?
    .execute(params![
        taken.peer.0,
        to_column(taken.stage),
        taken.next_chunk,
        columns::to_integer(taken.done),
        tell,
        taken.place.map(columns::to_integer),
        taken.unreadable,
    ])?;
    Ok(())
}

/// Stores a chunk that came before an earlier one.
pub(crate) fn hold_chunk(
    tx: &Transaction<'_>,
    peer: PeerId,
    number: u32,
    body: &[u8],
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO chunks_ahead VALUES (?1, ?2, ?3)")?
        .execute(params![peer.0, number, body])?;
    Ok(())
}

/// Takes out a chunk that came before an earlier one.
pub(crate) fn take_held(
    tx: &Transaction<'_>,
    peer: PeerId,
    number: u32,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(tx
        .prepare_cached("DELETE FROM chunks_ahead WHERE peer = ?1 AND number = ?2 RETURNING body")?
        .query_row(params![peer.0, number], |row| row.get(0))
        .optional()?)
}

/// Where the message of a conversation stands that came last of a history.
pub(crate) fn place_in(
    tx: &Transaction<'_>,
    peer: PeerId,
    conversation: AccountId,
) -> Result<Option<u64>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT place FROM history_places WHERE peer = ?1 AND conversation = ?2")?
        .query_row(params![peer.0, conversation.to_bytes()], |row| {
            columns::count(row, 0)
        })
        .optional()?)
}

/// Stores it.
pub(crate) fn set_place_in(
    tx: &Transaction<'_>,
    peer: PeerId,
    conversation: AccountId,
    place: u64,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO history_places VALUES (?1, ?2, ?3)")?
        .execute(params![
            peer.0,
            conversation.to_bytes(),
            columns::to_integer(place)
        ])?;
    Ok(())
}

/// Forgets what is needed only while a history is taken: chunks that came before an earlier one, and places.
pub(crate) fn forget_on_the_way(tx: &Transaction<'_>, peer: PeerId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM chunks_ahead WHERE peer = ?1")?
        .execute([peer.0])?;
    tx.prepare_cached("DELETE FROM history_places WHERE peer = ?1")?
        .execute([peer.0])?;
    Ok(())
}

/// A message as a history has it.
pub(crate) struct Past {
    pub(crate) message: StoredMessage,
    pub(crate) read: bool,
    /// The keys of its sender, if it is not confirmed.
    pub(crate) unconfirmed: Option<Vec<u8>>,
}

/// How many messages a history has.
pub(crate) fn count_past(tx: &Transaction<'_>, since_millis: u64) -> Result<u64, StoreError> {
    let select = format!(
        "SELECT count(*) FROM messages WHERE sent_at >= ?1 AND {}",
        messages::HAS_LEFT
    );
    Ok(tx
        .prepare_cached(&select)?
        .query_row([columns::to_integer(since_millis)], |row| columns::count(row, 0))?)
}

/// The next messages of a history below a position, the newest first.
pub(crate) fn past_below(
    tx: &Transaction<'_>,
    (position, since_millis): (u64, u64),
    count: usize,
) -> Result<Vec<Past>, StoreError> {
    past(tx, "position < ?1", "DESC", (position, since_millis), count)
}

/// The next messages of a history above a position, the oldest first.
pub(crate) fn past_above(
    tx: &Transaction<'_>,
    (position, since_millis): (u64, u64),
    count: usize,
) -> Result<Vec<Past>, StoreError> {
    past(tx, "position > ?1", "ASC", (position, since_millis), count)
}

fn past(
    tx: &Transaction<'_>,
    condition: &str,
    order: &str,
    (position, since_millis): (u64, u64),
    count: usize,
) -> Result<Vec<Past>, StoreError> {
    let select = format!(
        "SELECT {}, read, (SELECT keys FROM peers WHERE peers.id = unconfirmed) FROM messages
         WHERE {condition} AND sent_at >= ?2 AND {} ORDER BY position {order} LIMIT ?3",
        messages::COLUMNS,
        messages::HAS_LEFT,
    );
    let mut select = tx.prepare_cached(&select)?;
    let bounds = params![
        columns::to_integer(position),
        columns::to_integer(since_millis),
        columns::to_integer(count as u64)
    ];
    let rows = select.query_map(bounds, |row| {
        Ok(Past {
            message: messages::read(row)?,
            read: row.get(13)?,
            unconfirmed: row.get(14)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn read_given(row: &Row<'_>) -> rusqlite::Result<Given> {
    Ok(Given {
        peer: PeerId(row.get(0)?),
        history: HistoryId::new(row.get(1)?),
        days: row.get(2)?,
        since_millis: columns::count(row, 3)?,
        messages: columns::count(row, 4)?,
        stage: from_column(row, 5)?,
        older_than: columns::count(row, 6)?,
        newer_than: columns::count(row, 7)?,
        next_chunk: row.get(8)?,
        finished: row.get(9)?,
        done: columns::count(row, 10)?,
        again: row.get(11)?,
        reminded_at: columns::count(row, 12)?,
    })
}

fn read_taken(row: &Row<'_>) -> rusqlite::Result<Taken> {
    let tell = match row.get::<_, Option<i64>>(6)? {
        None => None,
        Some(1) => Some(Tell::More),
        Some(2) => Some(Tell::Again),
        Some(3) => Some(Tell::End),
        Some(other) => return Err(rusqlite::Error::IntegralValueOutOfRange(6, other)),
    };
    Ok(Taken {
        peer: PeerId(row.get(0)?),
        history: HistoryId::new(row.get(1)?),
        messages: columns::count(row, 2)?,
        stage: from_column(row, 3)?,
        next_chunk: row.get(4)?,
        done: columns::count(row, 5)?,
        place: columns::optional(row, 7, columns::count)?,
        unreadable: row.get(8)?,
        tell,
    })
}

fn to_column(stage: HistoryStage) -> i64 {
    match stage {
        HistoryStage::Offered => 1,
        HistoryStage::UnderWay => 2,
        HistoryStage::Complete => 3,
        HistoryStage::Ended => 4,
    }
}

fn from_column(row: &Row<'_>, column: usize) -> rusqlite::Result<HistoryStage> {
    match row.get::<_, i64>(column)? {
        1 => Ok(HistoryStage::Offered),
        2 => Ok(HistoryStage::UnderWay),
        3 => Ok(HistoryStage::Complete),
        4 => Ok(HistoryStage::Ended),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
    }
}
