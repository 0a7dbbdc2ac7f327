//! Table `peers`: the long-term keys other devices were seen to use. One row is one life of a device; one
//! that registers again has other keys and is another peer, with sessions and a channel of its own.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_protocol::keys::TheirDevice;
use waxwing_wire::{AccountId, DeviceAddress};

use super::{StoreError, columns};

/// The row of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerId(pub(super) i64);

/// Signing key and identity key, as [`TheirDevice::to_bytes`] gives them.
pub(crate) type PeerKeys = [u8; TheirDevice::BYTES];

/// What was known of a device when its keys were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquaintance {
    /// These very keys.
    Known,
    /// Nothing.
    First,
    /// Other keys.
    Changed,
}

/// The peer of this device with these keys, made if it was not known.
pub(crate) fn meet(
    tx: &Transaction<'_>,
    address: DeviceAddress,
    keys: &PeerKeys,
) -> Result<(PeerId, Acquaintance), StoreError> {
    if let Some(peer) = find(tx, address, keys)? {
        return Ok((peer, Acquaintance::Known));
    }
    let before: bool = tx
        .prepare_cached("SELECT 1 FROM peers WHERE account = ?1 AND device = ?2")?
        .exists(params![address.account.to_bytes(), address.device.get()])?;
    tx.prepare_cached("INSERT INTO peers (account, device, keys) VALUES (?1, ?2, ?3)")?
        .execute(params![address.account.to_bytes(), address.device.get(), keys,])?;
    let peer = PeerId(tx.last_insert_rowid());
    let acquaintance = if before {
        Acquaintance::Changed
    } else {
        Acquaintance::First
    };
    Ok((peer, acquaintance))
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

/// Whether there is a session to send with to any device of an account.
pub(crate) fn any_session(tx: &Transaction<'_>, account: AccountId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM sessions JOIN peers ON peers.id = peer WHERE account = ?1 AND current = 1",
        )?
        .exists([account.to_bytes()])?)
}
