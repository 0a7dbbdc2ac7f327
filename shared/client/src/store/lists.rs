//! Table `accounts`: the newest list of devices that each account's owner signed, and whether to ask for a newer.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_protocol::device_list::{ExpectedKey, SignedDeviceList};
use waxwing_wire::{AccountId, Signature};

use super::{StoreError, columns};

/// How long a list is believed without asking again. A changed list shows at the next message anyway, since the
/// service compares; this bounds how long a service can hide a change that removes nobody (K12).
pub(crate) const LIST_LIFE_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// What is known of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Knowledge {
    /// Nobody here ever had to do with it.
    None,
    /// There is reason to ask before sending.
    Stale,
    /// The account key is another, and the app has not answered yet.
    Held,
    /// The list of its owner, as far as we know.
    Fresh,
}

/// What is known of an account.
pub(crate) fn knowledge(
    tx: &Transaction<'_>,
    account: AccountId,
    now_millis: u64,
) -> Result<Knowledge, StoreError> {
    let row = tx
        .prepare_cached(
            "SELECT stale OR list IS NULL, checked_at, offered IS NOT NULL FROM accounts WHERE account = ?1",
        )?
        .query_row([account.to_bytes()], |row| {
            Ok((
                row.get::<_, bool>(0)?,
                columns::count(row, 1)?,
                row.get::<_, bool>(2)?,
            ))
        })
        .optional()?;
    Ok(match row {
        None => Knowledge::None,
        Some((_, _, true)) => Knowledge::Held,
        Some((true, ..)) => Knowledge::Stale,
        // A clock that was set back makes it stale too.
        Some((_, checked_at, _)) if now_millis.abs_diff(checked_at) >= LIST_LIFE_MILLIS => Knowledge::Stale,
        Some(_) => Knowledge::Fresh,
    })
}

/// Whether a list of the account was ever seen.
pub(crate) fn is_known(tx: &Transaction<'_>, account: AccountId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM accounts WHERE account = ?1 AND list IS NOT NULL")?
        .exists([account.to_bytes()])?)
}

/// Notes that there is reason to ask again. Returns whether that is new.
pub(crate) fn set_stale(tx: &Transaction<'_>, account: AccountId) -> Result<bool, StoreError> {
    let changed = tx
        .prepare_cached(
            "INSERT INTO accounts (account, stale, checked_at) VALUES (?1, 1, 0)
             ON CONFLICT DO UPDATE SET stale = 1 WHERE stale = 0",
        )?
        .execute([account.to_bytes()])?;
    Ok(changed == 1)
}

/// The accounts of which there is reason to ask again.
pub(crate) fn stale(tx: &Transaction<'_>) -> Result<Vec<AccountId>, StoreError> {
    let mut select = tx.prepare_cached("SELECT account FROM accounts WHERE stale = 1 ORDER BY account")?;
    let rows = select.query_map([], |row| columns::account(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Notes that the service was asked, and said nothing that is not stored.
pub(crate) fn checked(tx: &Transaction<'_>, account: AccountId, now_millis: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE accounts SET stale = 0, checked_at = ?2 WHERE account = ?1")?
        .execute(params![account.to_bytes(), columns::to_integer(now_millis)])?;
    Ok(())
}

/// The list that is trusted.
pub(crate) fn trusted(
    tx: &Transaction<'_>,
    account: AccountId,
) -> Result<Option<SignedDeviceList>, StoreError> {
    read(
        tx,
        account,
        "SELECT list, signature FROM accounts WHERE account = ?1",
    )
}

/// A list under another account key that waits for the app's answer.
pub(crate) fn offered(
    tx: &Transaction<'_>,
    account: AccountId,
) -> Result<Option<SignedDeviceList>, StoreError> {
    read(
        tx,
        account,
        "SELECT offered, offered_signature FROM accounts WHERE account = ?1",
    )
}

/// Stores the list that is trusted from now on. Whatever waited for an answer is answered by it.
pub(crate) fn trust(
    tx: &Transaction<'_>,
    account: AccountId,
    list: &SignedDeviceList,
    now_millis: u64,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO accounts VALUES (?1, 0, ?2, ?3, ?4, NULL, NULL) ON CONFLICT DO UPDATE SET
         stale = 0, checked_at = ?2, list = ?3, signature = ?4, offered = NULL, offered_signature = NULL",
    )?
    .execute(params![
        account.to_bytes(),
        columns::to_integer(now_millis),
        list.list_bytes(),
        list.signature(),
    ])?;
    Ok(())
}

/// Stores a list under another account key, beside the trusted one.
pub(crate) fn offer(
    tx: &Transaction<'_>,
    account: AccountId,
    list: &SignedDeviceList,
    now_millis: u64,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE accounts SET stale = 0, checked_at = ?2, offered = ?3, offered_signature = ?4 WHERE account = ?1",
    )?
    .execute(params![
        account.to_bytes(),
        columns::to_integer(now_millis),
        list.list_bytes(),
        list.signature(),
    ])?;
    Ok(())
}

fn read(
    tx: &Transaction<'_>,
    account: AccountId,
    select: &str,
) -> Result<Option<SignedDeviceList>, StoreError> {
    let row = tx
        .prepare_cached(select)?
        .query_row([account.to_bytes()], |row| {
            Ok((
                row.get::<_, Option<Vec<u8>>>(0)?,
                row.get::<_, Option<Vec<u8>>>(1)?,
            ))
        })
        .optional()?;
    let Some((Some(list), Some(signature))) = row else {
        return Ok(None);
    };
    let damaged = StoreError::Damaged("list of devices");
    let Ok(signature) = Signature::from_slice(&signature) else {
        return Err(damaged);
    };
    SignedDeviceList::verify(
        &list,
        signature.as_bytes(),
        &account.to_bytes(),
        ExpectedKey::FirstUse,
    )
    .map(Some)
    .map_err(|_| damaged)
}
