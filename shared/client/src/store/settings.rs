//! Tables `settings` and `contacts`: what the person wants, and whom the person has to do with.

use rusqlite::{Transaction, params};
use waxwing_wire::AccountId;

use super::{StoreError, columns};
use crate::receipts::ReceiptSettings;

/// Which receipts the person lets go out.
pub(crate) fn receipts(tx: &Transaction<'_>) -> Result<ReceiptSettings, StoreError> {
    Ok(tx
        .prepare_cached("SELECT delivered_receipts, read_receipts FROM settings")?
        .query_row([], |row| {
            Ok(ReceiptSettings {
                delivered: row.get(0)?,
                read: row.get(1)?,
            })
        })?)
}

/// Sets which receipts go out.
pub(crate) fn set_receipts(tx: &Transaction<'_>, settings: ReceiptSettings) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE settings SET delivered_receipts = ?1, read_receipts = ?2")?
        .execute([settings.delivered, settings.read])?;
    Ok(())
}

/// When they were set, on whichever device. 0: never.
pub(crate) fn receipts_set_at(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    Ok(tx
        .prepare_cached("SELECT receipts_set_at FROM settings")?
        .query_row([], |row| columns::count(row, 0))?)
}

/// Notes when they were set.
pub(crate) fn set_receipts_set_at(tx: &Transaction<'_>, millis: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE settings SET receipts_set_at = ?1")?
        .execute([columns::to_integer(millis)])?;
    Ok(())
}

/// All accounts that the person has to do with.
pub(crate) fn contacts(tx: &Transaction<'_>) -> Result<Vec<AccountId>, StoreError> {
    let mut select = tx.prepare_cached("SELECT account FROM contacts ORDER BY account")?;
    let rows = select.query_map([], |row| columns::account(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// From now on the person has to do with this account.
pub(crate) fn add_contact(tx: &Transaction<'_>, account: AccountId) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO contacts VALUES (?1)")?
        .execute(params![account.to_bytes()])?;
    Ok(())
}

/// Whether the person has to do with this account.
pub(crate) fn is_contact(tx: &Transaction<'_>, account: AccountId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM contacts WHERE account = ?1")?
        .exists(params![account.to_bytes()])?)
}

/// Whether contacts may see that this device is there.
pub(crate) fn shares_presence(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT presence FROM settings")?
        .query_row([], |row| row.get(0))?)
}

/// Sets whether contacts may see that this device is there.
pub(crate) fn set_shares_presence(tx: &Transaction<'_>, shares: bool) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE settings SET presence = ?1")?
        .execute([shares])?;
    Ok(())
}
