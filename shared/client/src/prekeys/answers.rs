//! What the service says to an upload of one-time prekeys.

use rusqlite::Transaction;
use waxwing_wire::{KeyId, upload::Uploaded};

use crate::store::{StoreError, prekeys};

/// Takes the answer to an upload whose last key was `last`. Returns `false` if the service has had ids beyond it: then
/// this store is an older copy of itself, and the next batch begins beyond (attack X12). What was handed out already is
/// kept and not published again.
pub(crate) fn take_answer(
    tx: &Transaction<'_>,
    last: Option<KeyId>,
    uploaded: &Uploaded,
) -> Result<bool, StoreError> {
    if let Some(last) = last {
        prekeys::confirm_one_time(tx, last.get())?;
    }
    match uploaded.highest {
        Some(highest) if last.is_some_and(|last| highest > last) => {
            prekeys::skip_to(tx, highest)?;
            Ok(false)
        }
        _ => Ok(true),
    }
}
