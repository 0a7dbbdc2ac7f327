//! Tables `settings` and `contacts`: what the person wants, and whom the person has to do with.

use rusqlite::{Transaction, params};
use waxwing_wire::AccountId;

use super::StoreError;
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
