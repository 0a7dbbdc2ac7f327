//! Tables `received` and `dead_letters`: which envelopes were dealt with, and which could not be read.

use rusqlite::{Transaction, params};
use waxwing_wire::{DeviceAddress, EnvelopeId, MessageId, limits::MESSAGE_LIFE_SECONDS};

use super::{StoreError, columns, timeline};
use crate::events::UndecryptableReason;

/// How long it is remembered that an envelope was dealt with: a week longer than one can lie in a mailbox.
/// The ratchet refuses what is repeated later.
const MEMORY_MILLIS: u64 = (MESSAGE_LIFE_SECONDS + 7 * 24 * 60 * 60) * 1000;

/// Whether an envelope was dealt with.
pub(crate) fn contains(tx: &Transaction<'_>, envelope: EnvelopeId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM received WHERE message = ?1 AND account = ?2 AND device = ?3")?
        .exists(key(envelope))?)
}

/// Notes that an envelope is dealt with.
pub(crate) fn insert(tx: &Transaction<'_>, envelope: EnvelopeId, now_millis: u64) -> Result<(), StoreError> {
    let (message, account, device) = key(envelope);
    tx.prepare_cached("INSERT INTO received VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![message, account, device, columns::to_integer(now_millis)])?;
    Ok(())
}

/// Forgets what no mailbox can hold any more.
pub(crate) fn forget_old(tx: &Transaction<'_>, now_millis: u64) -> Result<(), StoreError> {
    let oldest = columns::to_integer(now_millis.saturating_sub(MEMORY_MILLIS));
    tx.execute("DELETE FROM received WHERE received_at < ?1", [oldest])?;
    tx.execute("DELETE FROM dead_letters WHERE last_at < ?1", [oldest])?;
    Ok(())
}

/// Notes that an envelope could not be read. Returns how often that was so by now.
pub(crate) fn bury(
    tx: &Transaction<'_>,
    envelope: EnvelopeId,
    reason: UndecryptableReason,
    now_millis: u64,
) -> Result<u64, StoreError> {
    let (message, account, device) = key(envelope);
    Ok(tx
        .prepare_cached(
            "INSERT INTO dead_letters (message, account, device, reason, times, last_at) VALUES (?1, ?2, ?3, ?4, 1, ?5)
             ON CONFLICT DO UPDATE SET reason = excluded.reason, times = times + 1, last_at = excluded.last_at
             RETURNING times",
        )?
        .query_row(
            params![
                message,
                account,
                device,
                timeline::to_json(&reason)?,
                columns::to_integer(now_millis)
            ],
            |row| columns::count(row, 0),
        )?)
}

/// An envelope that could not be read before can be read now.
pub(crate) fn unbury(tx: &Transaction<'_>, envelope: EnvelopeId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM dead_letters WHERE message = ?1 AND account = ?2 AND device = ?3")?
        .execute(key(envelope))?;
    Ok(())
}

/// Notes that the sender of what could not be read is to be asked for it.
pub(crate) fn ask_for(tx: &Transaction<'_>, envelope: EnvelopeId) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE dead_letters SET asked = 0 WHERE message = ?1 AND account = ?2 AND device = ?3 AND asked IS NULL",
    )?
    .execute(key(envelope))?;
    Ok(())
}

/// Whether the sender of what could not be read was asked for it, or is to be.
pub(crate) fn is_asked_for(tx: &Transaction<'_>, envelope: EnvelopeId) -> Result<bool, StoreError> {
    let select = "SELECT 1 FROM dead_letters WHERE message = ?1 AND account = ?2 AND device = ?3 AND asked IS NOT NULL";
    Ok(tx.prepare_cached(select)?.exists(key(envelope))?)
}

/// The devices that are to be asked for what could not be read.
pub(crate) fn senders_to_ask(tx: &Transaction<'_>) -> Result<Vec<DeviceAddress>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT DISTINCT account, device FROM dead_letters WHERE asked = 0")?;
    let rows = select.query_map([], |row| columns::address(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a device is to be asked.
pub(crate) fn is_to_be_asked(tx: &Transaction<'_>, from: DeviceAddress) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM dead_letters WHERE account = ?1 AND device = ?2 AND asked = 0")?
        .exists(params![from.account.to_bytes(), from.device.get()])?)
}

/// Takes what a device was not asked for yet, the oldest first, at most so many.
pub(crate) fn take_unasked(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    count: usize,
) -> Result<Vec<MessageId>, StoreError> {
    let mut take = tx.prepare_cached(
        "UPDATE dead_letters SET asked = 1 WHERE account = ?1 AND device = ?2 AND message IN (
             SELECT message FROM dead_letters
             WHERE account = ?1 AND device = ?2 AND asked = 0 ORDER BY message LIMIT ?3)
         RETURNING message",
    )?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let rows = take.query_map(
        params![from.account.to_bytes(), from.device.get(), count],
        |row| columns::message(row, 0),
    )?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whatever a device was asked for is to be asked for once more.
pub(crate) fn ask_anew(tx: &Transaction<'_>, from: DeviceAddress) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE dead_letters SET asked = 0 WHERE account = ?1 AND device = ?2 AND asked = 1")?
        .execute(params![from.account.to_bytes(), from.device.get()])?;
    Ok(())
}

fn key(envelope: EnvelopeId) -> ([u8; 16], [u8; 16], u8) {
    (
        envelope.message.to_bytes(),
        envelope.from.account.to_bytes(),
        envelope.from.device.get(),
    )
}
