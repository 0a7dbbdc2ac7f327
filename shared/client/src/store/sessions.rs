//! Table `sessions`: the ratchet states, and what the protocol's rules need to know of each. Which session is sent
//! with, replaced or forgotten is for [`waxwing_protocol::management`] to say.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use waxwing_protocol::{
    Session,
    keys::PUBLIC_KEY_BYTES,
    management::{KnownSession, session_to_send_with, sessions_to_forget, sessions_to_retire},
};
use waxwing_wire::DeviceAddress;
use zeroize::Zeroizing;

use super::{StoreError, columns, peers::PeerId};

/// A session of the store.
#[derive(Debug)]
pub(crate) struct StoredSession {
    row: i64,
    pub(crate) peer: PeerId,
    pub(crate) session: Session,
}

const COLUMNS: &str = "sessions.id, peer, state";

/// The session to send with.
pub(crate) fn current(tx: &Transaction<'_>, peer: PeerId) -> Result<Option<StoredSession>, StoreError> {
    let known = Known::of_peer(tx, peer)?;
    let Some(row) = known.row_to_send_with() else {
        return Ok(None);
    };
    let select = format!("SELECT {COLUMNS} FROM sessions WHERE id = ?1");
    open(tx.prepare_cached(&select)?.query_row([row], read)?).map(Some)
}

/// Whether there is a session to send with.
pub(crate) fn has_current(tx: &Transaction<'_>, peer: PeerId) -> Result<bool, StoreError> {
    Ok(Known::of_peer(tx, peer)?.row_to_send_with().is_some())
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
         ORDER BY used_at DESC, sessions.id DESC"
    );
    let mut select = tx.prepare_cached(&select)?;
    let rows = select.query_map(params![address.account.to_bytes(), address.device.get()], read)?;
    rows.map(|row| open(row?)).collect()
}

/// Stores a session that was just opened.
pub(crate) fn insert(
    tx: &Transaction<'_>,
    peer: PeerId,
    session: Session,
    now_millis: u64,
) -> Result<StoredSession, StoreError> {
    tx.prepare_cached(
        "INSERT INTO sessions (peer, session, base_key, state, confirmed, used_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
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
    })
}

/// Stores what became of a session.
pub(crate) fn update(
    tx: &Transaction<'_>,
    stored: &StoredSession,
    now_millis: u64,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE sessions SET state = ?2, confirmed = ?3, used_at = ?4 WHERE id = ?1")?
        .execute(params![
            stored.row,
            stored.session.to_bytes().as_slice(),
            stored.session.has_received(),
            columns::to_integer(now_millis),
        ])?;
    Ok(())
}

/// Retires all sessions with a peer: none of them is sent with again.
pub(crate) fn retire_all(tx: &Transaction<'_>, peer: PeerId, now_millis: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE sessions SET retired_at = ?2 WHERE peer = ?1 AND retired_at IS NULL")?
        .execute(params![peer.0, columns::to_integer(now_millis)])?;
    Ok(())
}

/// Retires the sessions with a peer that this one replaces, but not an unanswered one with the id `unanswered`.
pub(crate) fn retire_others(
    tx: &Transaction<'_>,
    peer: PeerId,
    replacement: &[u8; 32],
    unanswered: Option<[u8; 32]>,
    now_millis: u64,
) -> Result<(), StoreError> {
    let known = Known::of_peer(tx, peer)?;
    let mut retire = tx.prepare_cached("UPDATE sessions SET retired_at = ?2 WHERE id = ?1")?;
    for at in sessions_to_retire(&known.sessions, replacement) {
        let stays = |session: &KnownSession| !session.confirmed && Some(session.id) == unanswered;
        if let (Some(row), false) = (known.rows.get(at), known.sessions.get(at).is_some_and(stays)) {
            retire.execute(params![row, columns::to_integer(now_millis)])?;
        }
    }
    Ok(())
}

/// Deletes the sessions with a device, all its lives together, that are over the bound or were replaced long ago.
pub(crate) fn forget(
    tx: &Transaction<'_>,
    address: DeviceAddress,
    now_millis: u64,
) -> Result<(), StoreError> {
    let known = Known::of_device(tx, address)?;
    let mut delete = tx.prepare_cached("DELETE FROM sessions WHERE id = ?1")?;
    for at in sessions_to_forget(&known.sessions, now_millis) {
        if let Some(row) = known.rows.get(at) {
            delete.execute([row])?;
        }
    }
    Ok(())
}

/// The same for every device.
pub(crate) fn forget_old(tx: &Transaction<'_>, now_millis: u64) -> Result<(), StoreError> {
    let devices = "SELECT DISTINCT account, device FROM peers JOIN sessions ON peer = peers.id
                   WHERE retired_at IS NOT NULL";
    let mut select = tx.prepare_cached(devices)?;
    let rows = select.query_map([], |row| columns::address(row, 0))?;
    let devices: Vec<_> = rows.collect::<Result<_, _>>()?;
    devices
        .into_iter()
        .try_for_each(|device| forget(tx, device, now_millis))
}

/// Sessions as the protocol's rules see them, and the row of each.
#[derive(Default)]
struct Known {
    rows: Vec<i64>,
    sessions: Vec<KnownSession>,
}

impl Known {
    fn of_peer(tx: &Transaction<'_>, peer: PeerId) -> Result<Self, StoreError> {
        let select = "SELECT id, session, confirmed, retired_at, used_at FROM sessions WHERE peer = ?1";
        let mut select = tx.prepare_cached(select)?;
        Self::collect(select.query_map([peer.0], Self::read)?)
    }

    fn of_device(tx: &Transaction<'_>, address: DeviceAddress) -> Result<Self, StoreError> {
        let select = "SELECT sessions.id, session, confirmed, retired_at, used_at
                      FROM sessions JOIN peers ON peers.id = peer WHERE account = ?1 AND device = ?2";
        let mut select = tx.prepare_cached(select)?;
        let address = params![address.account.to_bytes(), address.device.get()];
        Self::collect(select.query_map(address, Self::read)?)
    }

    fn collect(
        rows: impl Iterator<Item = rusqlite::Result<(i64, KnownSession)>>,
    ) -> Result<Self, StoreError> {
        let (rows, sessions) = rows.collect::<Result<(Vec<_>, Vec<_>), _>>()?;
        Ok(Self { rows, sessions })
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<(i64, KnownSession)> {
        let session = KnownSession {
            id: row.get(1)?,
            confirmed: row.get(2)?,
            retired_at_millis: columns::optional(row, 3, columns::count)?,
            used_at_millis: columns::count(row, 4)?,
        };
        Ok((row.get(0)?, session))
    }

    fn row_to_send_with(&self) -> Option<i64> {
        session_to_send_with(&self.sessions).and_then(|at| self.rows.get(at).copied())
    }
}

/// A row before its state was read.
struct Closed {
    row: i64,
    peer: PeerId,
    state: Zeroizing<Vec<u8>>,
}

fn read(row: &Row<'_>) -> rusqlite::Result<Closed> {
    Ok(Closed {
        row: row.get(0)?,
        peer: PeerId(row.get(1)?),
        state: columns::secret(row, 2)?,
    })
}

fn open(closed: Closed) -> Result<StoredSession, StoreError> {
    let session = Session::from_bytes(&closed.state).map_err(|_| StoreError::Damaged("session"))?;
    Ok(StoredSession {
        row: closed.row,
        peer: closed.peer,
        session,
    })
}
