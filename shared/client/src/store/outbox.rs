//! Tables `outbox` and `ciphertexts`: messages on their way to the service.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_wire::{AccountId, Ciphertext, MessageId, RegisteredDevice};

use super::{StoreError, columns, messages::MessageRow, peers::PeerId, timeline};
use crate::events::ResetCause;

/// The row of an entry. Rows rise in the order the app sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct EntryId(i64);

#[cfg(test)]
impl EntryId {
    pub(crate) fn from_row(id: i64) -> Self {
        Self(id)
    }
}

/// A message that is not accepted yet.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) id: EntryId,
    pub(crate) row: MessageRow,
    pub(crate) message: MessageId,
    pub(crate) recipient: AccountId,
    pub(crate) sent_at_millis: u64,
    pub(crate) text: String,
    /// It has no text, but resets the sessions with this device.
    pub(crate) reset: Option<(PeerId, ResetCause)>,
}

/// What an entry was encrypted to: one device, and the bytes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) device: RegisteredDevice,
    pub(crate) ciphertext: Ciphertext,
}

const SELECT: &str = "SELECT outbox.id, messages.id, messages.message, recipient, sent_at, body,
                             reset_of, reset_reason
                      FROM outbox JOIN messages ON messages.id = outbox.message";

/// Puts a message at the end of the outbox.
pub(crate) fn append(
    tx: &Transaction<'_>,
    message: MessageRow,
    recipient: AccountId,
) -> Result<EntryId, StoreError> {
    tx.prepare_cached("INSERT INTO outbox (message, recipient) VALUES (?1, ?2)")?
        .execute(params![message.0, recipient.to_bytes()])?;
    Ok(EntryId(tx.last_insert_rowid()))
}

/// Puts a reset of the sessions with a device of the recipient into the outbox, before all else to it.
pub(crate) fn append_reset(
    tx: &Transaction<'_>,
    message: MessageRow,
    recipient: AccountId,
    (peer, cause): (PeerId, ResetCause),
) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO outbox (message, recipient, reset_of, reset_reason) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![
        message.0,
        recipient.to_bytes(),
        peer.0,
        timeline::to_json(&cause)?
    ])?;
    Ok(())
}

/// Whether the sessions with a device are being reset.
pub(crate) fn is_resetting(tx: &Transaction<'_>, peer: PeerId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM outbox WHERE reset_of = ?1")?
        .exists([peer.0])?)
}

/// How many messages are not accepted yet.
pub(crate) fn pending(tx: &Transaction<'_>) -> Result<usize, StoreError> {
    let count = tx
        .prepare_cached("SELECT count(*) FROM outbox WHERE reset_of IS NULL")?
        .query_row([], |row| columns::count(row, 0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The recipients of all entries: those with a reset, then the one whose message waits longest.
pub(crate) fn recipients(tx: &Transaction<'_>) -> Result<Vec<AccountId>, StoreError> {
    let select = "SELECT recipient FROM outbox GROUP BY recipient ORDER BY max(reset_of) IS NULL, min(id)";
    let mut select = tx.prepare_cached(select)?;
    let rows = select.query_map([], |row| columns::account(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The entries to a recipient, resets and then the oldest first, at most so many.
pub(crate) fn entries_to(
    tx: &Transaction<'_>,
    recipient: AccountId,
    count: Option<u64>,
) -> Result<Vec<Entry>, StoreError> {
    let select = format!("{SELECT} WHERE recipient = ?1 ORDER BY reset_of IS NULL, outbox.id LIMIT ?2");
    let mut select = tx.prepare_cached(&select)?;
    let count = count.map_or(i64::MAX, columns::to_integer);
    let rows = select.query_map(params![recipient.to_bytes(), count], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The messages of all entries to a recipient.
pub(crate) fn rows_to(tx: &Transaction<'_>, recipient: AccountId) -> Result<Vec<MessageRow>, StoreError> {
    let mut select = tx.prepare_cached("SELECT message FROM outbox WHERE recipient = ?1")?;
    let rows = select.query_map([recipient.to_bytes()], |row| row.get(0).map(MessageRow))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// One entry, if it is still there.
pub(crate) fn entry(tx: &Transaction<'_>, id: EntryId) -> Result<Option<Entry>, StoreError> {
    let select = format!("{SELECT} WHERE outbox.id = ?1");
    Ok(tx.prepare_cached(&select)?.query_row([id.0], read).optional()?)
}

/// Takes an entry out, with its ciphertexts.
pub(crate) fn remove(tx: &Transaction<'_>, id: EntryId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM outbox WHERE id = ?1")?
        .execute([id.0])?;
    Ok(())
}

/// Stores what an entry was encrypted to: in the transaction that stores the session it came from (I17).
pub(crate) fn seal(tx: &Transaction<'_>, id: EntryId, sealed: &Sealed) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO ciphertexts VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![
            id.0,
            sealed.device.address.account.to_bytes(),
            sealed.device.address.device.get(),
            sealed.device.registration.get(),
            sealed.ciphertext.as_bytes(),
        ])?;
    Ok(())
}

/// What an entry was encrypted to, of the devices that are listed.
pub(crate) fn sealed(tx: &Transaction<'_>, id: EntryId) -> Result<Vec<Sealed>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT account, device, registration, ciphertext
         FROM ciphertexts JOIN devices USING (account, device, registration)
         WHERE entry = ?1 AND listed = 1 ORDER BY account, device",
    )?;
    let rows = select.query_map([id.0], |row| {
        let device = RegisteredDevice {
            address: columns::address(row, 0)?,
            registration: columns::registration(row, 2)?,
        };
        Ok((device, row.get::<_, Vec<u8>>(3)?))
    })?;
    rows.map(|row| {
        let (device, bytes) = row?;
        let ciphertext = Ciphertext::from_vec(bytes).map_err(|_| StoreError::Damaged("ciphertext"))?;
        Ok(Sealed { device, ciphertext })
    })
    .collect()
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    Ok(Entry {
        id: EntryId(row.get(0)?),
        row: MessageRow(row.get(1)?),
        message: columns::message(row, 2)?,
        recipient: columns::account(row, 3)?,
        sent_at_millis: columns::count(row, 4)?,
        text: row.get(5)?,
        reset: columns::optional(row, 6, |row, at| Ok(PeerId(row.get(at)?)))?
            .map(|peer| Ok::<_, rusqlite::Error>((peer, timeline::from_json(&row.get::<_, String>(7)?, 7)?)))
            .transpose()?,
    })
}
