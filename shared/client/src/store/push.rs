//! Table `push`: where this device is to be woken.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_wire::{ErrorCode, RegistrationId, subscribe::PushAddress};

use super::{StoreError, columns, timeline};

/// What the app said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Where; `None` for nowhere.
    pub(crate) address: Option<PushAddress>,
    /// For which registration the service knows it, and since when.
    pub(crate) told: Option<(RegistrationId, u64)>,
    /// Why the service does not take it, if it does not.
    pub(crate) refused: Option<ErrorCode>,
}

/// What the app said last, if it ever said anything.
pub(crate) fn load(tx: &Transaction<'_>) -> Result<Option<Wish>, StoreError> {
    let row = tx
        .prepare_cached("SELECT address, told_as, told_at, refused FROM push")?
        .query_row([], |row| {
            let json = |row: &rusqlite::Row<'_>, at: usize| row.get::<_, String>(at);
            Ok(Wish {
                address: columns::optional(row, 0, |row, at| timeline::from_json(&json(row, at)?, at))?,
                told: columns::optional(row, 1, columns::registration)?.zip(columns::optional(
                    row,
                    2,
                    columns::count,
                )?),
                refused: columns::optional(row, 3, |row, at| timeline::from_json(&json(row, at)?, at))?,
            })
        })
        .optional()?;
    Ok(row)
}

/// Notes what the app says now. What the service knows is kept if the app says the same again.
pub(crate) fn wish(tx: &Transaction<'_>, address: Option<&PushAddress>) -> Result<(), StoreError> {
    let address = address.map(timeline::to_json).transpose()?;
    tx.prepare_cached(
        "INSERT INTO push (one, address) VALUES (1, ?1)
         ON CONFLICT (one) DO UPDATE SET address = ?1, told_as = NULL, told_at = NULL, refused = NULL
         WHERE address IS NOT ?1 OR refused IS NOT NULL",
    )?
    .execute([address])?;
    Ok(())
}

/// The service took the address, unless the app has said another meanwhile.
pub(crate) fn told(
    tx: &Transaction<'_>,
    address: Option<&PushAddress>,
    registration: RegistrationId,
    now_millis: u64,
) -> Result<(), StoreError> {
    let address = address.map(timeline::to_json).transpose()?;
    tx.prepare_cached("UPDATE push SET told_as = ?2, told_at = ?3, refused = NULL WHERE address IS ?1")?
        .execute(params![
            address,
            registration.get(),
            columns::to_integer(now_millis)
        ])?;
    Ok(())
}

/// The service does not take the address, unless the app has said another meanwhile.
pub(crate) fn refused(
    tx: &Transaction<'_>,
    address: Option<&PushAddress>,
    registration: RegistrationId,
    code: ErrorCode,
    now_millis: u64,
) -> Result<(), StoreError> {
    let address = address.map(timeline::to_json).transpose()?;
    tx.prepare_cached("UPDATE push SET told_as = ?2, told_at = ?3, refused = ?4 WHERE address IS ?1")?
        .execute(params![
            address,
            registration.get(),
            columns::to_integer(now_millis),
            timeline::to_json(&code)?
        ])?;
    Ok(())
}
