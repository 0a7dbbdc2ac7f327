//! Tables `timeline` and `shown`: what the app is to be told, in order, and how far it was told.

use rusqlite::{Row, Transaction, params, types::Type};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, EnvelopeId, MessageId, frame::RemovalReason};

use super::{
    StoreError, columns,
    messages::{self, MessageRow},
    places,
};
use crate::{
    events::{Event, FailureReason, UndecryptableReason},
    history::{HistoryEnd, HistoryId},
    trust::{DeviceChange, Fingerprint},
};

/// A kept event that is not a message, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Note {
    Gap {
        from: DeviceAddress,
        first: u64,
        last: u64,
    },
    Failed {
        message: MessageId,
        reason: FailureReason,
    },
    Undecryptable {
        envelope: EnvelopeId,
        reason: UndecryptableReason,
    },
    DevicesChanged {
        account: AccountId,
        changes: Vec<DeviceChange>,
    },
    AccountKeyChanged {
        account: AccountId,
        fingerprint: Fingerprint,
    },
    UnlistedDevice {
        device: DeviceAddress,
    },
    ClonedDevice {
        device: DeviceAddress,
    },
    RegistrationAttempted,
    RefusedRepeatedly,
    Removed {
        reason: RemovalReason,
    },
    HistoryOffered {
        history: HistoryId,
        device: DeviceId,
        messages: u64,
    },
    HistoryEnded {
        history: HistoryId,
        device: DeviceId,
        end: HistoryEnd,
    },
}

/// A message of this very device: it has a place among the messages, but the app need not be told.
const SENT: i64 = 0;
const MESSAGE: i64 = 1;
const NOTE: i64 = 2;

/// Gives a message of this device its place.
pub(crate) fn append_sent(tx: &Transaction<'_>, message: MessageRow) -> Result<(), StoreError> {
    append_message(tx, SENT, message).map(drop)
}

/// Gives a received message its place; the app will be told. Returns its position here, and its place among the messages.
pub(crate) fn append_received(tx: &Transaction<'_>, message: MessageRow) -> Result<(u64, u64), StoreError> {
    append_message(tx, MESSAGE, message)
}

/// Writes down something else that the app will be told.
pub(crate) fn append_note(tx: &Transaction<'_>, note: &Note) -> Result<u64, StoreError> {
    tx.prepare_cached("INSERT INTO timeline (kind, detail) VALUES (?1, ?2)")?
        .execute(params![NOTE, to_json(note)?])?;
    position(tx)
}

/// The same, unless the app was told the very same before.
pub(crate) fn append_note_once(tx: &Transaction<'_>, note: &Note) -> Result<Option<u64>, StoreError> {
    let told = tx
        .prepare_cached("SELECT 1 FROM timeline WHERE kind = ?1 AND detail = ?2")?
        .exists(params![NOTE, to_json(note)?])?;
    if told {
        Ok(None)
    } else {
        append_note(tx, note).map(Some)
    }
}

/// The kept events after one position and up to another, at most `count`, each with its position.
pub(crate) fn events_between(
    tx: &Transaction<'_>,
    after: u64,
    until: u64,
    count: usize,
) -> Result<Vec<(u64, Event)>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT messages.position, messages.message, account, device, conversation, sequence, sent_at, body,
                own, late, state, failure, unconfirmed, kind, detail, timeline.position
         FROM timeline LEFT JOIN messages ON messages.id = timeline.message
         WHERE timeline.position > ?1 AND timeline.position <= ?2 AND kind <> ?3
         ORDER BY timeline.position LIMIT ?4",
    )?;
    let bounds = params![
        columns::to_integer(after),
        columns::to_integer(until),
        SENT,
        columns::to_integer(count as u64)
    ];
    let rows = select.query_map(bounds, read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The newest position; 0 if there is none.
pub(crate) fn newest(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    let newest = "SELECT coalesce(max(position), 0) FROM timeline";
    Ok(tx
        .prepare_cached(newest)?
        .query_row([], |row| columns::count(row, 0))?)
}

/// How far the app was told.
pub(crate) fn shown(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    let shown = "SELECT position FROM shown";
    Ok(tx
        .prepare_cached(shown)?
        .query_row([], |row| columns::count(row, 0))?)
}

/// Notes that the app was told up to here.
pub(crate) fn mark_shown(tx: &Transaction<'_>, position: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE shown SET position = max(position, ?1)")?
        .execute([columns::to_integer(position)])?;
    Ok(())
}

/// A small value as JSON.
pub(crate) fn to_json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|_| StoreError::Damaged("timeline"))
}

/// A small value from JSON in a column.
pub(crate) fn from_json<T: DeserializeOwned>(json: &str, column: usize) -> rusqlite::Result<T> {
    serde_json::from_str(json)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

fn append_message(tx: &Transaction<'_>, kind: i64, message: MessageRow) -> Result<(u64, u64), StoreError> {
    tx.prepare_cached("INSERT INTO timeline (kind, message) VALUES (?1, ?2)")?
        .execute(params![kind, message.0])?;
    let position = position(tx)?;
    let place = places::of_timeline(tx, message, position)?;
    Ok((position, place))
}

fn position(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    u64::try_from(tx.last_insert_rowid()).map_err(|_| StoreError::Damaged("timeline"))
}

fn read(row: &Row<'_>) -> rusqlite::Result<(u64, Event)> {
    let event = match row.get::<_, i64>(13)? {
        MESSAGE => Event::Message(messages::read(row)?),
        _ => match from_json(&row.get::<_, String>(14)?, 14)? {
            Note::Gap { from, first, last } => Event::Gap {
                from,
                missing: first..=last,
            },
            Note::Failed { message, reason } => Event::Failed { message, reason },
            Note::Undecryptable { envelope, reason } => Event::Undecryptable { envelope, reason },
            Note::DevicesChanged { account, changes } => Event::DevicesChanged { account, changes },
            Note::AccountKeyChanged { account, fingerprint } => {
                Event::AccountKeyChanged { account, fingerprint }
            }
            Note::UnlistedDevice { device } => Event::UnlistedDevice { device },
            Note::ClonedDevice { device } => Event::ClonedDevice { device },
            Note::RegistrationAttempted => Event::RegistrationAttempted,
            Note::RefusedRepeatedly => Event::RefusedRepeatedly,
            Note::Removed { reason } => Event::Removed { reason },
            Note::HistoryOffered {
                history,
                device,
                messages,
            } => Event::HistoryOffered {
                history,
                device,
                messages,
            },
            Note::HistoryEnded { history, device, end } => Event::HistoryEnded { history, device, end },
        },
    };
    Ok((columns::count(row, 15)?, event))
}
