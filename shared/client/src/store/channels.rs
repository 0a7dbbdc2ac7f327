//! The channel from each peer: which sequence number comes next, and what arrived ahead of a gap. In table
//! `peers` (`next_expected`, `gap_since`) and table `held`.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{StoreError, columns, messages::MessageRow, peers::PeerId};

/// Where a channel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) peer: PeerId,
    /// The next sequence number to show.
    pub(crate) next_expected: u64,
    /// When the first message ahead of the gap came; `None` without a gap.
    pub(crate) gap_since: Option<u64>,
}

/// Something that arrived ahead of a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    row: i64,
    pub(crate) sequence: u64,
    /// `None`: nothing to show, it only counts.
    pub(crate) message: Option<MessageRow>,
}

/// Where the channel from a peer stands.
pub(crate) fn load(tx: &Transaction<'_>, peer: PeerId) -> Result<Channel, StoreError> {
    Ok(tx
        .prepare_cached("SELECT next_expected, gap_since FROM peers WHERE id = ?1")?
        .query_row([peer.0], |row| {
            Ok(Channel {
                peer,
                next_expected: columns::count(row, 0)?,
                gap_since: columns::optional(row, 1, columns::count)?,
            })
        })?)
}

/// Stores where a channel stands.
pub(crate) fn store(tx: &Transaction<'_>, channel: Channel) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE peers SET next_expected = ?2, gap_since = ?3 WHERE id = ?1")?
        .execute(params![
            channel.peer.0,
            columns::to_integer(channel.next_expected),
            channel.gap_since.map(columns::to_integer),
        ])?;
    Ok(())
}

/// The channels that have a gap.
pub(crate) fn with_gaps(tx: &Transaction<'_>) -> Result<Vec<Channel>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT id, next_expected, gap_since FROM peers WHERE gap_since IS NOT NULL")?;
    let rows = select.query_map([], |row| {
        Ok(Channel {
            peer: PeerId(row.get(0)?),
            next_expected: columns::count(row, 1)?,
            gap_since: columns::optional(row, 2, columns::count)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Holds something back that is ahead of a gap.
pub(crate) fn hold(
    tx: &Transaction<'_>,
    peer: PeerId,
    sequence: u64,
    message: Option<MessageRow>,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO held (peer, sequence, message) VALUES (?1, ?2, ?3)")?
        .execute(params![
            peer.0,
            columns::to_integer(sequence),
            message.map(|message| message.0)
        ])?;
    Ok(())
}

/// What is held with the lowest sequence number.
pub(crate) fn first_held(tx: &Transaction<'_>, peer: PeerId) -> Result<Option<Held>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT id, sequence, message FROM held WHERE peer = ?1 ORDER BY sequence, id LIMIT 1",
        )?
        .query_row([peer.0], |row| {
            Ok(Held {
                row: row.get(0)?,
                sequence: columns::count(row, 1)?,
                message: row.get::<_, Option<i64>>(2)?.map(MessageRow),
            })
        })
        .optional()?)
}

/// How much is held.
pub(crate) fn held_count(tx: &Transaction<'_>, peer: PeerId) -> Result<u64, StoreError> {
    Ok(tx
        .prepare_cached("SELECT count(*) FROM held WHERE peer = ?1")?
        .query_row([peer.0], |row| columns::count(row, 0))?)
}

/// Lets go of something held.
pub(crate) fn release(tx: &Transaction<'_>, held: Held) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM held WHERE id = ?1")?
        .execute([held.row])?;
    Ok(())
}
