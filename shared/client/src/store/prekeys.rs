//! Tables `signed_prekeys`, `one_time_prekeys` and `answered_openings`: the private halves of what this device publishes.
//!
//! Ids come from a mark that only rises, whatever is deleted: no id ever names two keys (attack X12).

use rand::CryptoRng;
use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_protocol::{
    handshake::AnsweredOpenings,
    keys::{OneTimePrekeyPair, SignedPrekeyPair},
};
use waxwing_wire::{KeyId, limits::MESSAGE_LIFE_SECONDS};

use super::{StoreError, columns};

/// How long a signed prekey is kept after it was replaced: for as long as a message made for it may lie in
/// the mailbox, and a week for those who fetched it shortly before.
const REPLACED_SIGNED_PREKEY_LIFE_MILLIS: u64 = (MESSAGE_LIFE_SECONDS + 7 * 24 * 60 * 60) * 1000;

/// One-time prekeys kept at most. Those that were handed out and never used pile up; ten full pools of them
/// is more than honest use leaves, and a bound on what a dishonest claimer can make of it.
const MAX_ONE_TIME_PREKEYS_KEPT: u32 = 1_000;

/// Makes a signed prekey, stores it as not yet published.
pub(crate) fn make_signed(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<SignedPrekeyPair, StoreError> {
    let id = take_ids(tx, "next_signed_prekey", 1)?;
    let pair = SignedPrekeyPair::generate(id, rng).map_err(|_| StoreError::Damaged("signed prekey ids"))?;
    let now = columns::to_integer(now_millis);
    tx.execute(
        "INSERT INTO signed_prekeys VALUES (?1, ?2, ?3, 0)",
        params![id, pair.to_bytes().as_slice(), now],
    )?;
    Ok(pair)
}

/// Deletes the signed prekeys that were replaced so long ago that nothing made for them can arrive.
pub(crate) fn forget_replaced(tx: &Transaction<'_>, now_millis: u64) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM signed_prekeys WHERE EXISTS
         (SELECT 1 FROM signed_prekeys later WHERE later.id > signed_prekeys.id AND later.made_at < ?1)",
        [columns::to_integer(
            now_millis.saturating_sub(REPLACED_SIGNED_PREKEY_LIFE_MILLIS),
        )],
    )?;
    Ok(())
}

/// The newest signed prekey.
pub(crate) fn newest_signed(tx: &Transaction<'_>) -> Result<Option<SignedPrekeyPair>, StoreError> {
    signed_where(
        tx,
        "SELECT id, key FROM signed_prekeys ORDER BY id DESC LIMIT 1",
        params![],
    )
}

/// The newest signed prekey that the service has confirmed.
pub(crate) fn published_signed(tx: &Transaction<'_>) -> Result<Option<SignedPrekeyPair>, StoreError> {
    let newest = "SELECT id, key FROM signed_prekeys WHERE published = 1 ORDER BY id DESC LIMIT 1";
    signed_where(tx, newest, params![])
}

/// The newest signed prekey, if the service has not confirmed it yet.
pub(crate) fn unpublished_signed(tx: &Transaction<'_>) -> Result<Option<SignedPrekeyPair>, StoreError> {
    let newest =
        "SELECT id, key FROM (SELECT * FROM signed_prekeys ORDER BY id DESC LIMIT 1) WHERE published = 0";
    signed_where(tx, newest, params![])
}

/// Whether the newest signed prekey is to be replaced: it was made before `made_before`, or so many sessions were
/// opened with it alone that no more are.
pub(crate) fn is_worn(tx: &Transaction<'_>, made_before: u64) -> Result<bool, StoreError> {
    let worn =
        "SELECT made_at < ?1 OR (SELECT count(*) FROM answered_openings WHERE signed_prekey = id) >= ?2
                FROM signed_prekeys ORDER BY id DESC LIMIT 1";
    let bounds = [
        columns::to_integer(made_before),
        columns::to_integer(AnsweredOpenings::MAX as u64),
    ];
    Ok(tx
        .query_row(worn, bounds, |row| row.get(0))
        .optional()?
        .unwrap_or(false))
}

/// The service has signed prekeys up to `highest` that this store never gave out: it is a restored copy. Moves the
/// mark beyond them, and forgets those that cannot be published any more.
pub(crate) fn skip_signed_to(tx: &Transaction<'_>, highest: KeyId) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM signed_prekeys WHERE published = 0 AND id <= ?1",
        [highest.get()],
    )?;
    tx.execute(
        "UPDATE this_device SET next_signed_prekey = max(next_signed_prekey, ?1)",
        [i64::from(highest.get()) + 1],
    )?;
    Ok(())
}

/// The signed prekey of this id, if it is kept.
pub(crate) fn signed(tx: &Transaction<'_>, id: u32) -> Result<Option<SignedPrekeyPair>, StoreError> {
    signed_where(
        tx,
        "SELECT id, key FROM signed_prekeys WHERE id = ?1",
        params![id],
    )
}

/// The service has confirmed this one.
pub(crate) fn confirm_signed(tx: &Transaction<'_>, id: u32) -> Result<(), StoreError> {
    tx.execute("UPDATE signed_prekeys SET published = 1 WHERE id = ?1", [id])?;
    Ok(())
}

/// Makes one-time prekeys and stores them as not yet published.
pub(crate) fn make_one_time(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    count: u32,
) -> Result<(), StoreError> {
    let first = take_ids(tx, "next_one_time_prekey", count)?;
    let mut insert = tx.prepare_cached("INSERT INTO one_time_prekeys VALUES (?1, ?2, 0)")?;
    for id in first..first.saturating_add(count) {
        let pair =
            OneTimePrekeyPair::generate(id, rng).map_err(|_| StoreError::Damaged("one-time prekey ids"))?;
        insert.execute(params![id, pair.to_bytes().as_slice()])?;
    }
    tx.execute(
        "DELETE FROM one_time_prekeys WHERE id <= (SELECT max(id) FROM one_time_prekeys) - ?1",
        [MAX_ONE_TIME_PREKEYS_KEPT],
    )?;
    Ok(())
}

/// The one-time prekeys the service has not confirmed, by rising id, at most `count`.
pub(crate) fn unpublished_one_time(
    tx: &Transaction<'_>,
    count: usize,
) -> Result<Vec<OneTimePrekeyPair>, StoreError> {
    let mut select =
        tx.prepare_cached("SELECT id, key FROM one_time_prekeys WHERE published = 0 ORDER BY id LIMIT ?1")?;
    let rows = select.query_map([columns::to_integer(count as u64)], |row| {
        Ok((row.get::<_, u32>(0)?, columns::secret(row, 1)?))
    })?;
    rows.map(|row| {
        let (id, key) = row?;
        OneTimePrekeyPair::from_bytes(id, &key).map_err(|_| StoreError::Damaged("one-time prekey"))
    })
    .collect()
}

/// The service has confirmed all up to `last`.
pub(crate) fn confirm_one_time(tx: &Transaction<'_>, last: u32) -> Result<(), StoreError> {
    tx.execute("UPDATE one_time_prekeys SET published = 1 WHERE id <= ?1", [last])?;
    Ok(())
}

/// The service has ids up to `highest` that this store never gave out: it is a restored copy. Moves the mark
/// beyond them and forgets the keys that cannot be published under theirs.
pub(crate) fn skip_to(tx: &Transaction<'_>, highest: KeyId) -> Result<(), StoreError> {
    tx.execute(
        "DELETE FROM one_time_prekeys WHERE published = 0 AND id <= ?1",
        [highest.get()],
    )?;
    tx.execute(
        "UPDATE this_device SET next_one_time_prekey = max(next_one_time_prekey, ?1)",
        [i64::from(highest.get()) + 1],
    )?;
    Ok(())
}

/// The one-time prekey of this id, if it was not used yet.
pub(crate) fn one_time(tx: &Transaction<'_>, id: u32) -> Result<Option<OneTimePrekeyPair>, StoreError> {
    let key = tx
        .prepare_cached("SELECT key FROM one_time_prekeys WHERE id = ?1")?
        .query_row([id], |row| columns::secret(row, 0))
        .optional()?;
    key.map(|key| OneTimePrekeyPair::from_bytes(id, &key))
        .transpose()
        .map_err(|_| StoreError::Damaged("one-time prekey"))
}

/// Deletes a one-time prekey that was used: only ever in the transaction that stores what it opened (X13).
pub(crate) fn delete_one_time(tx: &Transaction<'_>, id: u32) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM one_time_prekeys WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// What was answered without a one-time prekey under a signed prekey (attack X11).
pub(crate) fn answered(tx: &Transaction<'_>, signed_prekey: u32) -> Result<AnsweredOpenings, StoreError> {
    let mut select = tx.prepare_cached("SELECT digest FROM answered_openings WHERE signed_prekey = ?1")?;
    let digests = select
        .query_map([signed_prekey], |row| row.get(0))?
        .collect::<Result<Vec<[u8; 16]>, _>>()?;
    Ok(AnsweredOpenings::from_digests(signed_prekey, digests))
}

/// Notes that a handshake without a one-time prekey was answered: in the transaction that stores what it opened.
pub(crate) fn note_answered(
    tx: &Transaction<'_>,
    signed_prekey: u32,
    digest: [u8; 16],
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO answered_openings VALUES (?1, ?2)",
        params![signed_prekey, digest],
    )?;
    Ok(())
}

fn signed_where(
    tx: &Transaction<'_>,
    select: &str,
    params: impl rusqlite::Params,
) -> Result<Option<SignedPrekeyPair>, StoreError> {
    let row = tx
        .prepare_cached(select)?
        .query_row(params, |row| {
            Ok((row.get::<_, u32>(0)?, columns::secret(row, 1)?))
        })
        .optional()?;
    row.map(|(id, key)| SignedPrekeyPair::from_bytes(id, &key))
        .transpose()
        .map_err(|_| StoreError::Damaged("signed prekey"))
}

/// Takes `count` ids from a mark of `this_device` and moves it. Returns the first.
fn take_ids(tx: &Transaction<'_>, mark: &'static str, count: u32) -> Result<u32, StoreError> {
    let next: u32 = tx.query_row(
        &format!("UPDATE this_device SET {mark} = {mark} + ?1 RETURNING {mark} - ?1"),
        [count],
        |row| row.get(0),
    )?;
    Ok(next)
}
