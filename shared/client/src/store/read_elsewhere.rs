//! Table `read_elsewhere`: messages that another own device says were read, and that did not arrive here yet.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_wire::{AccountId, DeviceAddress, MessageId};

use super::{StoreError, columns, messages::MessageRow};

/// Remembers that a message was read, or it and all before it.
pub(crate) fn remember(
    tx: &Transaction<'_>,
    (from, message): (DeviceAddress, MessageId),
    and_before: bool,
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO read_elsewhere VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET and_before = max(and_before, excluded.and_before)",
    )?
    .execute(params![
        from.account.to_bytes(),
        from.device.get(),
        message.to_bytes(),
        and_before
    ])?;
    Ok(())
}

/// Takes out what is remembered of a message: its conversation, and whether all before it was read, too.
pub(crate) fn take(
    tx: &Transaction<'_>,
    message: MessageRow,
) -> Result<Option<(AccountId, bool)>, StoreError> {
    let found = tx
        .prepare_cached(
            "SELECT conversation, and_before, account, device, message
             FROM messages JOIN read_elsewhere USING (account, device, message) WHERE id = ?1",
        )?
        .query_row([message.0], |row| {
            Ok((
                columns::account(row, 0)?,
                row.get::<_, bool>(1)?,
                columns::address(row, 2)?,
                columns::message(row, 4)?,
            ))
        })
        .optional()?;
    let Some((conversation, and_before, from, id)) = found else {
        return Ok(None);
    };
    tx.prepare_cached("DELETE FROM read_elsewhere WHERE account = ?1 AND device = ?2 AND message = ?3")?
        .execute(params![from.account.to_bytes(), from.device.get(), id.to_bytes()])?;
    Ok(Some((conversation, and_before)))
}
