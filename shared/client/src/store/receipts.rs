//! Table `due_receipts`: messages of which their senders are to be told how far they got.

use rusqlite::{Transaction, params};
use waxwing_protocol::content::{MessageName, Stage};
use waxwing_wire::{AccountId, DeviceAddress, MessageId};

use super::{StoreError, columns};

/// Notes that the sender of a message is to be told. That it was read says that it was delivered, too.
pub(crate) fn due(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    message: MessageId,
    stage: Stage,
    due_at_millis: u64,
) -> Result<(), StoreError> {
    let account = from.account.to_bytes();
    if stage == Stage::Read {
        tx.prepare_cached("DELETE FROM due_receipts WHERE account = ?1 AND device = ?2 AND message = ?3")?
            .execute(params![account, from.device.get(), message.to_bytes()])?;
    }
    tx.prepare_cached("INSERT OR IGNORE INTO due_receipts VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            account,
            to_column(stage),
            from.device.get(),
            message.to_bytes(),
            columns::to_integer(due_at_millis),
        ])?;
    Ok(())
}

/// When the next receipt is due.
pub(crate) fn next_due(tx: &Transaction<'_>) -> Result<Option<u64>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT min(due_at) FROM due_receipts")?
        .query_row([], |row| columns::optional(row, 0, columns::count))?)
}

/// The accounts and stages of which something is due by now.
pub(crate) fn due_by(tx: &Transaction<'_>, now_millis: u64) -> Result<Vec<(AccountId, Stage)>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT DISTINCT account, stage FROM due_receipts WHERE due_at <= ?1")?;
    let rows = select.query_map([columns::to_integer(now_millis)], |row| {
        Ok((columns::account(row, 0)?, row.get::<_, i64>(1)?))
    })?;
    rows.map(|row| {
        let (account, stage) = row?;
        Ok((account, from_column(stage)?))
    })
    .collect()
}

/// Takes out the messages of an account of which so much is to be told, those that are not due yet too: up to so many.
pub(crate) fn take(
    tx: &Transaction<'_>,
    account: AccountId,
    stage: Stage,
    count: usize,
) -> Result<Vec<MessageName>, StoreError> {
    let mut take = tx.prepare_cached(
        "DELETE FROM due_receipts WHERE (account, stage, device, message) IN (
             SELECT account, stage, device, message FROM due_receipts WHERE account = ?1 AND stage = ?2
             ORDER BY due_at, message LIMIT ?3)
         RETURNING device, message",
    )?;
    let bounds = params![
        account.to_bytes(),
        to_column(stage),
        columns::to_integer(count as u64)
    ];
    let rows = take.query_map(bounds, |row| {
        Ok(MessageName {
            device: columns::device(row, 0)?.get(),
            message: columns::message(row, 1)?.to_bytes(),
        })
    })?;
    let mut names: Vec<_> = rows.collect::<Result<_, _>>()?;
    names.sort_unstable();
    Ok(names)
}

/// Forgets what was to be told of this stage.
pub(crate) fn forget(tx: &Transaction<'_>, stage: Stage) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM due_receipts WHERE stage = ?1")?
        .execute([to_column(stage)])?;
    Ok(())
}

fn to_column(stage: Stage) -> i64 {
    match stage {
        Stage::Delivered => 1,
        Stage::Read => 2,
    }
}

fn from_column(stage: i64) -> Result<Stage, StoreError> {
    match stage {
        1 => Ok(Stage::Delivered),
        2 => Ok(Stage::Read),
        _ => Err(StoreError::Damaged("receipt")),
    }
}
