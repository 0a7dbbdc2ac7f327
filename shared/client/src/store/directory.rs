//! Tables `accounts` and `devices`: what the service last said an account's devices are.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, RegistrationId};

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

/// The devices of an account, by rising number.
pub(crate) fn devices(tx: &Transaction<'_>, account: AccountId) -> Result<Vec<KnownDevice>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT device, registration, peer FROM devices WHERE account = ?1 ORDER BY device",
    )?;
    let rows = select.query_map([account.to_bytes()], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One device of an account.
pub(crate) fn device(
    tx: &Transaction<'_>,
    address: DeviceAddress,
) -> Result<Option<KnownDevice>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT device, registration, peer FROM devices WHERE account = ?1 AND device = ?2")?
        .query_row(params![address.account.to_bytes(), address.device.get()], read)
        .optional()?)
}

/// Notes that a device has this registration, and its keys if they are known. A registration other than the
/// one before starts a new channel: nothing was sent to it yet.
pub(crate) fn put(
    tx: &Transaction<'_>,
    address: DeviceAddress,
    registration: RegistrationId,
    peer: Option<PeerId>,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO devices (account, device, registration, peer) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET
             next_sequence = iif(registration = excluded.registration, next_sequence, 1),
             registration = excluded.registration,
             peer = excluded.peer",
    )?
    .execute(params![
        address.account.to_bytes(),
        address.device.get(),
        registration.get(),
        peer.map(|peer| peer.0),
    ])?;
    Ok(())
}

/// Notes that a device is gone.
pub(crate) fn remove(tx: &Transaction<'_>, address: DeviceAddress) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM devices WHERE account = ?1 AND device = ?2")?
        .execute(params![address.account.to_bytes(), address.device.get()])?;
    Ok(())
}

/// The sequence number of the next message of the channel to a device.
pub(crate) fn next_sequence(tx: &Transaction<'_>, address: DeviceAddress) -> Result<u64, StoreError> {
    Ok(tx
        .prepare_cached("SELECT next_sequence FROM devices WHERE account = ?1 AND device = ?2")?
        .query_row(params![address.account.to_bytes(), address.device.get()], |row| {
            columns::count(row, 0)
        })?)
}

/// Notes that this number is taken.
pub(crate) fn take_sequence(tx: &Transaction<'_>, address: DeviceAddress) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE devices SET next_sequence = next_sequence + 1 WHERE account = ?1 AND device = ?2",
    )?
    .execute(params![address.account.to_bytes(), address.device.get()])?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<KnownDevice> {
    Ok(KnownDevice {
        device: columns::device(row, 0)?,
        registration: columns::registration(row, 1)?,
        peer: row.get::<_, Option<i64>>(2)?.map(PeerId),
    })
}
