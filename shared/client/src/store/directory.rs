//! Tables `accounts` and `devices`: what the service last said an account's devices are.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, RegisteredDevice, RegistrationId};

use super::{StoreError, columns, peers::PeerId};

/// What is known of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knowledge {
    /// It was never asked for.
    None,
    /// There is reason to ask again before sending.
    Stale,
    /// The service's list, as far as we know.
    Fresh,
}

/// A device on the list of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownDevice {
    pub(crate) device: DeviceId,
    pub(crate) registration: RegistrationId,
    /// `None`: its keys are not known yet.
    pub(crate) peer: Option<PeerId>,
}

/// What is known of an account.
pub(crate) fn knowledge(tx: &Transaction<'_>, account: AccountId) -> Result<Knowledge, StoreError> {
    let stale: Option<bool> = tx
        .prepare_cached("SELECT stale FROM accounts WHERE account = ?1")?
        .query_row([account.to_bytes()], |row| row.get(0))
        .optional()?;
    Ok(match stale {
        None => Knowledge::None,
        Some(true) => Knowledge::Stale,
        Some(false) => Knowledge::Fresh,
    })
}

/// Notes whether there is reason to ask again. An account that was never asked for becomes known by `Fresh`.
pub(crate) fn set_stale(tx: &Transaction<'_>, account: AccountId, stale: bool) -> Result<(), StoreError> {
    let statement = if stale {
        "UPDATE accounts SET stale = 1 WHERE account = ?1"
    } else {
        "INSERT INTO accounts VALUES (?1, 0) ON CONFLICT DO UPDATE SET stale = 0"
    };
    tx.prepare_cached(statement)?.execute([account.to_bytes()])?;
    Ok(())
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

/// Lists a device with this registration, and with its keys if they are known. Its former registration is
/// not listed any more.
pub(crate) fn list(
    tx: &Transaction<'_>,
    device: RegisteredDevice,
    peer: Option<PeerId>,
) -> Result<(), StoreError> {
    unlist(tx, device.address)?;
    tx.prepare_cached(
        "INSERT INTO devices (account, device, registration, listed, peer) VALUES (?1, ?2, ?3, 1, ?4)
         ON CONFLICT DO UPDATE SET listed = 1, peer = coalesce(excluded.peer, peer)",
    )?
    .execute(params![
        device.address.account.to_bytes(),
        device.address.device.get(),
        device.registration.get(),
        peer.map(|peer| peer.0),
    ])?;
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
        peer: row.get::<_, Option<i64>>(2)?.map(PeerId),
    })
}
