//! Table `peers`: the long-term keys other devices were seen to use. One row is one life of a device; one
//! that registers again has other keys and is another peer, with sessions and a channel of its own.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_protocol::{
    keys::TheirDevice,
    management::{ForkWitness, ResetBudget},
};
use waxwing_wire::DeviceAddress;

use super::{StoreError, columns};

/// The row of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerId(pub(super) i64);

/// Signing key and identity key, as [`TheirDevice::to_bytes`] gives them.
pub(crate) type PeerKeys = [u8; TheirDevice::BYTES];

/// The peer of this device with these keys, made if it was not known.
pub(crate) fn meet(
    tx: &Transaction<'_>,
    address: DeviceAddress,
    keys: &PeerKeys,
) -> Result<PeerId, StoreError> {
    if let Some(peer) = find(tx, address, keys)? {
        return Ok(peer);
    }
    tx.prepare_cached("INSERT INTO peers (account, device, keys) VALUES (?1, ?2, ?3)")?
        .execute(params![address.account.to_bytes(), address.device.get(), keys,])?;
    Ok(PeerId(tx.last_insert_rowid()))
}

/// The peer of this device with these keys.
pub(crate) fn find(
    tx: &Transaction<'_>,
    address: DeviceAddress,
    keys: &PeerKeys,
) -> Result<Option<PeerId>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT id FROM peers WHERE account = ?1 AND device = ?2 AND keys = ?3")?
        .query_row(
            params![address.account.to_bytes(), address.device.get(), keys,],
            |row| row.get(0).map(PeerId),
        )
        .optional()?)
}

/// Which device a peer is a life of.
pub(crate) fn address(tx: &Transaction<'_>, peer: PeerId) -> Result<DeviceAddress, StoreError> {
    Ok(tx
        .prepare_cached("SELECT account, device FROM peers WHERE id = ?1")?
        .query_row([peer.0], |row| columns::address(row, 0))?)
}

/// What is remembered of a peer's latest contents.
pub(crate) fn witness(tx: &Transaction<'_>, peer: PeerId) -> Result<ForkWitness, StoreError> {
    let bytes: Vec<u8> = tx
        .prepare_cached("SELECT witness FROM peers WHERE id = ?1")?
        .query_row([peer.0], |row| row.get(0))?;
    ForkWitness::from_bytes(&bytes).ok_or(StoreError::Damaged("witness"))
}

/// Stores what is remembered of a peer's latest contents.
pub(crate) fn set_witness(
    tx: &Transaction<'_>,
    peer: PeerId,
    witness: &ForkWitness,
) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE peers SET witness = ?2 WHERE id = ?1")?
        .execute(params![peer.0, witness.to_bytes()])?;
    Ok(())
}

/// Notes that a peer was cloned. Returns whether that is news.
pub(crate) fn set_cloned(tx: &Transaction<'_>, peer: PeerId) -> Result<bool, StoreError> {
    let changed = tx
        .prepare_cached("UPDATE peers SET cloned = 1 WHERE id = ?1 AND cloned = 0")?
        .execute([peer.0])?;
    Ok(changed == 1)
}

/// Who resets sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resetter {
    /// This device.
    Us,
    /// The peer.
    Them,
}

/// Takes one reset of the sessions with a peer, if there is one left.
pub(crate) fn take_reset(
    tx: &Transaction<'_>,
    peer: PeerId,
    who: Resetter,
    now_millis: u64,
) -> Result<bool, StoreError> {
    let column = match who {
        Resetter::Us => "resets_made",
        Resetter::Them => "resets_taken",
    };
    let bytes: Vec<u8> = tx
        .prepare_cached(&format!("SELECT {column} FROM peers WHERE id = ?1"))?
        .query_row([peer.0], |row| row.get(0))?;
    let mut budget = ResetBudget::from_bytes(&bytes).ok_or(StoreError::Damaged("budget for resets"))?;
    let granted = budget.take(now_millis);
    if granted {
        tx.prepare_cached(&format!("UPDATE peers SET {column} = ?2 WHERE id = ?1"))?
            .execute(params![peer.0, budget.to_bytes()])?;
    }
    Ok(granted)
}

/// The session in which this device last said that it reset those before.
pub(crate) fn reset_in(tx: &Transaction<'_>, peer: PeerId) -> Result<Option<[u8; 32]>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT reset_in FROM peers WHERE id = ?1")?
        .query_row([peer.0], |row| row.get(0))?)
}

/// Notes in which session this device says that it reset those before.
pub(crate) fn set_reset_in(tx: &Transaction<'_>, peer: PeerId, session: &[u8; 32]) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE peers SET reset_in = ?2 WHERE id = ?1")?
        .execute(params![peer.0, session])?;
    Ok(())
}

/// Notes whether the sessions with a peer are to be reset when the budget allows.
pub(crate) fn owe_reset(tx: &Transaction<'_>, peer: PeerId, owed: bool) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE peers SET reset_owed = ?2 WHERE id = ?1 AND reset_owed <> ?2")?
        .execute(params![peer.0, owed])?;
    Ok(())
}

/// The peers whose sessions are to be reset when the budget allows.
pub(crate) fn owed_resets(tx: &Transaction<'_>) -> Result<Vec<(PeerId, DeviceAddress)>, StoreError> {
    let mut select = tx.prepare_cached("SELECT id, account, device FROM peers WHERE reset_owed = 1")?;
    let rows = select.query_map([], |row| Ok((PeerId(row.get(0)?), columns::address(row, 1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
