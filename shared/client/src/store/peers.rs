//! Table `peers`: the long-term keys other devices were seen to use. One row is one life of a device; one
//! that registers again has other keys and is another peer, with sessions and a channel of its own.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_protocol::keys::TheirDevice;
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
