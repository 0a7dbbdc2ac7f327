//! Table `newcomers`: own devices that are to be told what the person wants and whom the person knows.

use rusqlite::Transaction;

use super::{StoreError, peers::PeerId};

/// Notes that a device is to be told.
pub(crate) fn welcome(tx: &Transaction<'_>, peer: PeerId) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT OR IGNORE INTO newcomers VALUES (?1)")?
        .execute([peer.0])?;
    Ok(())
}

/// Takes out the devices that are to be told.
pub(crate) fn take(tx: &Transaction<'_>) -> Result<Vec<PeerId>, StoreError> {
    let mut take = tx.prepare_cached("DELETE FROM newcomers RETURNING peer")?;
    let rows = take.query_map([], |row| row.get(0).map(PeerId))?;
    Ok(rows.collect::<Result<_, _>>()?)
}
