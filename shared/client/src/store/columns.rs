//! Ids and keys from columns. What does not parse was not written by this software: the store is damaged.

use rusqlite::{
    Row,
    types::{FromSqlError, FromSqlResult, Type, ValueRef},
};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, ListVersion, MessageId, RegistrationId};
use zeroize::Zeroizing;

/// An account.
pub(crate) fn account(row: &Row<'_>, column: usize) -> rusqlite::Result<AccountId> {
    read(row, column, |value| {
        AccountId::from_bytes(value.as_blob()?).map_err(other)
    })
}

/// A message id.
pub(crate) fn message(row: &Row<'_>, column: usize) -> rusqlite::Result<MessageId> {
    read(row, column, |value| {
        MessageId::from_bytes(value.as_blob()?).map_err(other)
    })
}

/// A device number.
pub(crate) fn device(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceId> {
    read(row, column, |value| {
        DeviceId::new(unsigned(value)?).map_err(other)
    })
}

/// A registration.
pub(crate) fn registration(row: &Row<'_>, column: usize) -> rusqlite::Result<RegistrationId> {
    read(row, column, |value| {
        RegistrationId::new(unsigned(value)?).map_err(other)
    })
}

/// A version of a list of devices.
pub(crate) fn version(row: &Row<'_>, column: usize) -> rusqlite::Result<ListVersion> {
    read(row, column, |value| {
        ListVersion::new(unsigned(value)?).map_err(other)
    })
}

/// An account and a device in two columns, the first of which is `column`.
pub(crate) fn address(row: &Row<'_>, column: usize) -> rusqlite::Result<DeviceAddress> {
    Ok(DeviceAddress {
        account: account(row, column)?,
        device: device(row, column + 1)?,
    })
}

/// A count.
pub(crate) fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    read(row, column, unsigned)
}

/// A private key or session state.
pub(crate) fn secret(row: &Row<'_>, column: usize) -> rusqlite::Result<Zeroizing<Vec<u8>>> {
    read(row, column, |value| Ok(Zeroizing::new(value.as_blob()?.to_vec())))
}

/// What `parse` makes of a column, `None` if it is null.
pub(crate) fn optional<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&Row<'_>, usize) -> rusqlite::Result<T>,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => parse(row, column).map(Some),
    }
}

/// A count as SQLite keeps it. Counts of messages and milliseconds stay far below 2⁶³; what another device
/// claims beyond that is kept as 2⁶³ − 1.
pub(crate) fn to_integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn unsigned(value: ValueRef<'_>) -> FromSqlResult<u64> {
    let number = value.as_i64()?;
    u64::try_from(number).map_err(|_| FromSqlError::OutOfRange(number))
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> FromSqlError {
    FromSqlError::Other(Box::new(error))
}

fn read<T>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(ValueRef<'_>) -> FromSqlResult<T>,
) -> rusqlite::Result<T> {
    let value = row.get_ref(column)?;
    parse(value)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, Box::new(error)))
}
