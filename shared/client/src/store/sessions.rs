//! Table `sessions`: the ratchet states, of each peer one to send with and others that only decrypt.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use waxwing_protocol::{Session, keys::PUBLIC_KEY_BYTES};
use waxwing_wire::DeviceAddress;
use zeroize::Zeroizing;

use super::{StoreError, columns, peers::PeerId};

/// Sessions kept for one device, all its lives together: those that messages on the way may still need, and
/// a bound on what one who opens session after session can make us store (attack X27).
pub(crate) const MAX_SESSIONS_PER_DEVICE: usize = 40;

/// A session of the store.
#[derive(Debug)]
pub(crate) struct StoredSession {
    row: i64,
    pub(crate) peer: PeerId,
    pub(crate) session: Session,
    /// The highest sequence number it brought; 0 if none.
    pub(crate) highest: u64,
}

const COLUMNS: &str = "sessions.id, peer, state, highest";

/// The session to send with.
pub(crate) fn current(tx: &Transaction<'_>, peer: PeerId) -> Result<Option<StoredSession>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM sessions WHERE peer = ?1 AND current = 1");
    let row = tx.prepare_cached(&select)?.query_row([peer.0], read).optional()?;
    row.map(open).transpose()
}

/// Whether there is a session to send with.
pub(crate) fn has_current(tx: &Transaction<'_>, peer: PeerId) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM sessions WHERE peer = ?1 AND current = 1";
    Ok(tx.prepare_cached(select)?.exists([peer.0])?)
}

/// The session that this handshake opened.
pub(crate) fn by_base_key(
    tx: &Transaction<'_>,
    peer: PeerId,
    base_key: &[u8; PUBLIC_KEY_BYTES],
) -> Result<Option<StoredSession>, StoreError> {
    let select = format!("SELECT {COLUMNS} FROM sessions WHERE peer = ?1 AND base_key = ?2");
    let row = tx
        .prepare_cached(&select)?
        .query_row(params![peer.0, base_key], read)
        .optional()?;
    row.map(open).transpose()
}

/// All sessions with a device, of all its lives, the likeliest first.
pub(crate) fn of_device(
    tx: &Transaction<'_>,
    address: DeviceAddress,
) -> Result<Vec<StoredSession>, StoreError> {
    let select = format!(
        "SELECT {COLUMNS} FROM sessions JOIN peers ON peers.id = peer WHERE account = ?1 AND device = ?2
         ORDER BY used_at DESC, current DESC, sessions.id DESC"
    );
    let mut select = tx.prepare_cached(&select)?;
    let rows = select.query_map(params![address.account.to_bytes(), address.device.get()], read)?;
    rows.map(|row| open(row?)).collect()
}

/// Stores a session that was just opened. It is not sent with until [`choose`] says so.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    peer: PeerId,
    session: Session,
    now_millis: u64,
) -> Result<StoredSession, StoreError> {
    tx.prepare_cached(
        "INSERT INTO sessions (peer, session, base_key, state, confirmed, retired, current, highest, used_at)
         VALUES (?1, ?2, ?3, ?4, ?5, 0, 0, 0, ?6)",
    )?
    .execute(params![
        peer.0,
        session.id(),
        session.base_key(),
        session.to_bytes().as_slice(),
        session.has_received(),
        columns::to_integer(now_millis),
    ])?;
    Ok(StoredSession {
        row: tx.last_insert_rowid(),
        peer,
        session,
        highest: 0,
    })
}

/// Stores what became of a session.
pub(crate) fn update(
    tx: &Transaction<'_>,
    stored: &StoredSession,
    now_millis: u64,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE sessions SET state = ?2, confirmed = ?3, highest = ?4, used_at = ?5 WHERE id = ?1",
    )?
    .execute(params![
        stored.row,
        stored.session.to_bytes().as_slice(),
        stored.session.has_received(),
        columns::to_integer(stored.highest),
        columns::to_integer(now_millis),
    ])?;
    Ok(())
}

/// The highest sequence number any session brought that may be sent with.
pub(crate) fn highest(tx: &Transaction<'_>, peer: PeerId) -> Result<u64, StoreError> {
    let select = "SELECT coalesce(max(highest), 0) FROM sessions WHERE peer = ?1 AND retired = 0";
    Ok(tx
        .prepare_cached(select)?
        .query_row([peer.0], |row| columns::count(row, 0))?)
}

/// Retires all sessions with a peer: none of them is sent with again.
pub(crate) fn retire_all(tx: &Transaction<'_>, peer: PeerId) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE sessions SET retired = 1, current = 0 WHERE peer = ?1")?
        .execute([peer.0])?;
    Ok(())
}

/// Chooses which session to send with: of those not retired, one that both sides have before one that the
/// other side may not know, and then the one with the lowest id.
pub(crate) fn choose(tx: &Transaction<'_>, peer: PeerId) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE sessions SET current = 0 WHERE peer = ?1 AND current = 1")?
        .execute([peer.0])?;
    tx.prepare_cached(
        "UPDATE sessions SET current = 1 WHERE id =
         (SELECT id FROM sessions WHERE peer = ?1 AND retired = 0 ORDER BY confirmed DESC, session LIMIT 1)",
    )?
    .execute([peer.0])?;
    Ok(())
}

/// Deletes the sessions with a device that are over the bound: those not used the longest, and the ones to
/// send with last.
pub(crate) fn prune(tx: &Transaction<'_>, address: DeviceAddress) -> Result<(), StoreError> {
    tx.prepare_cached(
        "DELETE FROM sessions WHERE id IN
         (SELECT sessions.id FROM sessions JOIN peers ON peers.id = peer
          WHERE account = ?1 AND device = ?2
          ORDER BY current DESC, used_at DESC, sessions.id DESC LIMIT -1 OFFSET ?3)",
    )?
    .execute(params![
        address.account.to_bytes(),
        address.device.get(),
        columns::to_integer(MAX_SESSIONS_PER_DEVICE as u64),
    ])?;
    Ok(())
}

/// A row before its state was read.
struct Closed {
    row: i64,
    peer: PeerId,
    state: Zeroizing<Vec<u8>>,
    highest: u64,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Closed> {
    Ok(Closed {
        row: row.get(0)?,
        peer: PeerId(row.get(1)?),
        state: columns::secret(row, 2)?,
        highest: columns::count(row, 3)?,
    })
}

fn open(closed: Closed) -> Result<StoredSession, StoreError> {
    let session = Session::from_bytes(&closed.state).map_err(|_| StoreError::Damaged("session"))?;
    Ok(StoredSession {
        row: closed.row,
        peer: closed.peer,
        session,
        highest: closed.highest,
    })
}
