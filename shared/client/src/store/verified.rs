//! Table `verified`: the account keys whose safety number the person compared. A key that is another by now is in
//! here, too, and counts for nothing.

use rusqlite::{Transaction, params};
use waxwing_protocol::keys::AccountKey;
use waxwing_wire::AccountId;

use super::StoreError;

/// The person compared this key of an account.
pub(crate) fn mark(tx: &Transaction<'_>, account: AccountId, key: &AccountKey) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR REPLACE INTO verified VALUES (?1, ?2)")?
        .execute(params![account.to_bytes(), key.to_bytes()])?;
    Ok(())
}

/// The person takes it back.
pub(crate) fn unmark(tx: &Transaction<'_>, account: AccountId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM verified WHERE account = ?1")?
        .execute([account.to_bytes()])?;
    Ok(())
}

/// Whether it was this very key that was compared.
pub(crate) fn is_marked(
    tx: &Transaction<'_>,
    account: AccountId,
    key: &AccountKey,
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM verified WHERE account = ?1 AND account_key = ?2")?
        .exists(params![account.to_bytes(), key.to_bytes()])?)
}
