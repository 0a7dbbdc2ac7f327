//! Tables `outbox` and `ciphertexts`: messages on their way to the service, those for people and those for devices.

use rand::CryptoRng;
use rusqlite::{OptionalExtension, Transaction, params, types::Type};
use waxwing_protocol::{
    Body,
    content::{History, HistoryMatter},
};
use waxwing_wire::{AccountId, Ciphertext, MessageId, RegisteredDevice};

use super::{StoreError, columns, messages::MessageRow, peers::PeerId};

/// The row of an entry. Rows rise in the order they were put in.
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
    pub(crate) message: MessageId,
    pub(crate) recipient: AccountId,
    pub(crate) sent_at_millis: u64,
    pub(crate) body: Body,
    pub(crate) matter: Matter,
}

/// What an entry is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matter {
    /// A message for people.
    Message(MessageRow),
    /// Something between devices: for this one, the others get nothing; or for all.
    Control(Option<PeerId>),
}

/// Something between devices, to be put into the outbox.
pub(crate) struct Control {
    /// The id it is sent under.
    pub(crate) message: MessageId,
    pub(crate) recipient: AccountId,
    pub(crate) made_at_millis: u64,
    pub(crate) body: Body,
    /// The device it is for, or all.
    pub(crate) concerns: Option<PeerId>,
}

impl Control {
    /// A body under an id of its own.
    pub(crate) fn new(
        rng: &mut impl CryptoRng,
        now_millis: u64,
        recipient: AccountId,
        body: Body,
        concerns: Option<PeerId>,
    ) -> Self {
        Self {
            message: MessageId::new(now_millis, rng),
            recipient,
            made_at_millis: now_millis,
            body,
            concerns,
        }
    }
}

/// What an entry was encrypted to: one device, and the bytes for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) device: RegisteredDevice,
    pub(crate) ciphertext: Ciphertext,
}

const SELECT: &str = "SELECT outbox.id, recipient, outbox.message, coalesce(messages.message, name),
                             coalesce(sent_at, made_at), messages.body, outbox.body, concerns
                      FROM outbox LEFT JOIN messages ON messages.id = outbox.message";

/// Puts a message at the end of the outbox.
pub(crate) fn append(
    tx: &Transaction<'_>,
    message: MessageRow,
    recipient: AccountId,
) -> Result<EntryId, StoreError> {
    tx.prepare_cached("INSERT INTO outbox (recipient, first, message) VALUES (?1, 0, ?2)")?
        .execute(params![recipient.to_bytes(), message.0])?;
    Ok(EntryId(tx.last_insert_rowid()))
}

/// Puts something between devices into the outbox: at its end, but a reset before all else to the recipient, and a
/// part of a history behind all else.
pub(crate) fn append_control(tx: &Transaction<'_>, control: &Control) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO outbox (recipient, first, name, made_at, body, concerns) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        control.recipient.to_bytes(),
        rank(&control.body),
        control.message.to_bytes(),
        columns::to_integer(control.made_at_millis),
        control.body.to_bytes(),
        control.concerns.map(|peer| peer.0),
    ])?;
    Ok(())
}

fn rank(body: &Body) -> i64 {
    match body {
        Body::Reset(_) => FIRST,
        Body::History(History {
            matter: HistoryMatter::Chunk(_),
            ..
        }) => LAST,
        _ => 0,
    }
}

/// What leaves before all else to a recipient, and what leaves behind it.
const FIRST: i64 = 1;
const LAST: i64 = -1;

/// Whether an entry is still there, by the id it is sent under.
pub(crate) fn holds(tx: &Transaction<'_>, name: MessageId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM outbox WHERE name = ?1")?
        .exists([name.to_bytes()])?)
}

/// Takes the parts of a history for a device out.
pub(crate) fn remove_chunks(tx: &Transaction<'_>, peer: PeerId) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM outbox WHERE concerns = ?1 AND first = ?2")?
        .execute([peer.0, LAST])?;
    Ok(())
}

/// Whether the sessions with a device are being reset.
pub(crate) fn is_resetting(tx: &Transaction<'_>, peer: PeerId) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM outbox WHERE concerns = ?1 AND first = 1")?
        .exists([peer.0])?)
}

/// How many messages for people are not accepted yet.
pub(crate) fn pending(tx: &Transaction<'_>) -> Result<usize, StoreError> {
    let count = tx
        .prepare_cached("SELECT count(*) FROM outbox WHERE message IS NOT NULL")?
        .query_row([], |row| columns::count(row, 0))?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

/// The recipients of all entries: those with a reset, then the one whose message waits longest.
pub(crate) fn recipients(tx: &Transaction<'_>) -> Result<Vec<AccountId>, StoreError> {
    let select = "SELECT recipient FROM outbox GROUP BY recipient ORDER BY max(first) DESC, min(id)";
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
    let select = format!("{SELECT} WHERE recipient = ?1 ORDER BY first DESC, outbox.id LIMIT ?2");
    let mut select = tx.prepare_cached(&select)?;
    let count = count.map_or(i64::MAX, columns::to_integer);
    let rows = select.query_map(params![recipient.to_bytes(), count], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The messages for people among the entries to a recipient.
pub(crate) fn rows_to(tx: &Transaction<'_>, recipient: AccountId) -> Result<Vec<MessageRow>, StoreError> {
    let select = "SELECT message FROM outbox WHERE recipient = ?1 AND message IS NOT NULL";
    let mut select = tx.prepare_cached(select)?;
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
    let matter = match columns::optional(row, 2, |row, at| Ok(MessageRow(row.get(at)?)))? {
        Some(message) => Matter::Message(message),
        None => Matter::Control(columns::optional(row, 7, |row, at| Ok(PeerId(row.get(at)?)))?),
    };
    let body = match matter {
        Matter::Message(_) => Body::Text(row.get(5)?),
        Matter::Control(_) => Body::from_bytes(&row.get::<_, Vec<u8>>(6)?)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(6, Type::Blob, Box::new(error)))?,
    };
    Ok(Entry {
        id: EntryId(row.get(0)?),
        recipient: columns::account(row, 1)?,
        message: columns::message(row, 3)?,
        sent_at_millis: columns::count(row, 4)?,
        body,
        matter,
    })
}
