//! Table `devices`: the devices on the newest list of each account, and those that once were.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, RegisteredDevice, RegistrationId};

use super::{StoreError, columns, peers::PeerId};

/// A device on the list of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownDevice {
    pub(crate) device: DeviceId,
    pub(crate) registration: RegistrationId,
    /// The life of it that has the listed keys.
    pub(crate) peer: PeerId,
}

/// The devices on an account's list, by rising number.
pub(crate) fn devices(tx: &Transaction<'_>, account: AccountId) -> Result<Vec<KnownDevice>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT device, registration, peer FROM devices WHERE account = ?1 AND listed = 1 ORDER BY device",
    )?;
    let rows = select.query_map([account.to_bytes()], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One device, if it is on its account's list.
pub(crate) fn device(
    tx: &Transaction<'_>,
    address: DeviceAddress,
) -> Result<Option<KnownDevice>, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT device, registration, peer FROM devices WHERE account = ?1 AND device = ?2 AND listed = 1",
        )?
        .query_row(
            params![address.account.to_bytes(), address.device.get()],
            read,
        )
        .optional()?)
}

/// Lists a device with this registration and these keys. Its former registration is not listed any more. If it had
/// other keys under this one, what was encrypted to those is encrypted anew: nobody could read it.
pub(crate) fn list(tx: &Transaction<'_>, device: RegisteredDevice, peer: PeerId) -> Result<(), StoreError> {
    unlist(tx, device.address)?;
    let (account, number, registration) = key(device);
    tx.prepare_cached(
        "DELETE FROM ciphertexts
         WHERE account = ?1 AND device = ?2 AND registration = ?3 AND NOT EXISTS (
             SELECT 1 FROM devices WHERE account = ?1 AND device = ?2 AND registration = ?3 AND peer = ?4)",
    )?
    .execute(params![account, number, registration, peer.0])?;
    tx.prepare_cached(
        "INSERT INTO devices (account, device, registration, listed, peer) VALUES (?1, ?2, ?3, 1, ?4)
         ON CONFLICT DO UPDATE SET listed = 1, peer = excluded.peer",
    )?
    .execute(params![account, number, registration, peer.0])?;
    Ok(())
}

/// Takes a device off the list.
pub(crate) fn unlist(tx: &Transaction<'_>, address: DeviceAddress) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE devices SET listed = 0 WHERE account = ?1 AND device = ?2 AND listed = 1")?
        .execute(params![address.account.to_bytes(), address.device.get()])?;
    Ok(())
}

/// Whether a device appears under a registration that is new, but with the keys of a former one.
pub(crate) fn has_moved(
    tx: &Transaction<'_>,
    device: RegisteredDevice,
    peer: PeerId,
) -> Result<bool, StoreError> {
    let (account, number, registration) = key(device);
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM devices WHERE account = ?1 AND device = ?2 AND peer = ?4
             AND NOT EXISTS (SELECT 1 FROM devices
                             WHERE account = ?1 AND device = ?2 AND registration = ?3 AND peer = ?4)",
        )?
        .exists(params![account, number, registration, peer.0])?)
}

/// The sequence number of the next message of the channel to a device.
pub(crate) fn next_sequence(tx: &Transaction<'_>, device: RegisteredDevice) -> Result<u64, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT next_sequence FROM devices WHERE account = ?1 AND device = ?2 AND registration = ?3",
        )?
        .query_row(key(device), |row| columns::count(row, 0))?)
}

/// Notes that this number is taken.
pub(crate) fn take_sequence(tx: &Transaction<'_>, device: RegisteredDevice) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE devices SET next_sequence = next_sequence + 1
         WHERE account = ?1 AND device = ?2 AND registration = ?3",
    )?
    .execute(key(device))?;
    Ok(())
}

fn key(device: RegisteredDevice) -> ([u8; 16], u8, u32) {
    (
        device.address.account.to_bytes(),
        device.address.device.get(),
        device.registration.get(),
    )
}

fn read(row: &Row<'_>) -> rusqlite::Result<KnownDevice> {
    Ok(KnownDevice {
        device: columns::device(row, 0)?,
        registration: columns::registration(row, 1)?,
        peer: PeerId(row.get(2)?),
    })
}
