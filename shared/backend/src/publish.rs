//! Adding a device and filling its pool: what `register`, `link`, `answer` and `upload` share.
//!
//! A device's record, its published keys and the list that names it are one transaction, so that none is ever seen
//! without the others. One-time prekeys go into the pool in transactions that raise the highest published id past
//! them: whatever breaks off or runs twice, a repetition adds exactly the keys that are not in yet, and none that was
//! taken comes back.
//!
//! A key whose id is not above the highest is not added but compared: the same key in the pool is fine, another one
//! refuses the whole, and none means that it was handed out (or that its id was passed over, which nobody can tell
//! apart any more).

use aws_sdk_dynamodb::types::TransactWriteItem;
use waxwing_wire::{
    ErrorCode, KeyId, Problem, RegisteredDevice,
    keys::{NewDevice, OneTimePrekey},
};

use crate::{
    Backend,
    fault::Fault,
    tables::database::{Commit, MAX_TRANSACTION_ITEMS},
};

/// Keys in one transaction, beside the highest published id.
const KEYS_PER_TRANSACTION: usize = MAX_TRANSACTION_ITEMS - 1;

/// Races with other uploads of the same device that one upload loses before it gives up.
const MAX_LOST_RACES: usize = 8;

/// What became of publishing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// How many keys this call added.
    pub(crate) stored: u32,
    /// The highest id ever published.
    pub(crate) highest: Option<KeyId>,
    /// Ids that were published before and are not in the pool any more.
    pub(crate) gone: Vec<KeyId>,
}

/// Why one-time prekeys were not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The registration is gone.
    #[error("This device is not registered (any more).")]
    Unknown,
    /// A key of the same id and other bytes is in the pool.
    #[error("A one-time prekey with this id is published with other bytes. Use ids above the highest.")]
    Conflict,
    /// The service could not do its work. Some keys may be in the pool.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        let code = match error {
            PublishError::Unknown => ErrorCode::Unauthorized,
            PublishError::Conflict => ErrorCode::PrekeyConflict,
            PublishError::Fault(fault) => return fault.into(),
        };
        Self::new(code, error.to_string())
    }
}

/// The parts of a transaction that add a device if its address is free.
pub(crate) fn device_if_absent(
    backend: &Backend,
    device: RegisteredDevice,
    new: &NewDevice,
) -> Result<[TransactWriteItem; 2], Fault> {
    let now = backend.clock.now();
    let record = backend
        .devices
        .put_if_absent(device, &new.identity.signing_key, now)?;
    let keys = backend
        .keys
        .put_if_absent(device, &new.identity, &new.signed_prekey)?;
    Ok([record, keys])
}

/// Adds to the pool those of `prekeys` (ids rising) that are above the highest ever published.
pub(crate) async fn publish_one_time_prekeys(
    backend: &Backend,
    owner: RegisteredDevice,
    prekeys: &[OneTimePrekey],
) -> Result<Published, PublishError> {
    let mut stored = 0;
    for _ in 0..=MAX_LOST_RACES {
        let highest = find_highest(backend, owner).await?;
        let gone = compare(backend, owner, up_to(prekeys, highest)).await?;
        let added = add_above(backend, owner, prekeys, highest).await?;
        stored += added.stored;
        if !added.lost_race {
            return Ok(Published {
                stored,
                highest: added.highest,
                gone,
            });
        }
    }
    Err(Fault::Unavailable.into())
}

/// Refuses what [`publish_one_time_prekeys`] would refuse, and changes nothing.
pub(crate) async fn check_one_time_prekeys(
    backend: &Backend,
    owner: RegisteredDevice,
    prekeys: &[OneTimePrekey],
) -> Result<(), PublishError> {
    let highest = find_highest(backend, owner).await?;
    compare(backend, owner, up_to(prekeys, highest)).await.map(drop)
}

/// The highest id a registration ever published; an error if the registration is gone.
async fn find_highest(backend: &Backend, owner: RegisteredDevice) -> Result<Option<KeyId>, PublishError> {
    let record = backend.keys.find(owner.address).await?;
    let record = record.filter(|record| record.published.registration == owner.registration);
    Ok(record.ok_or(PublishError::Unknown)?.highest)
}

/// Refuses keys that are in the pool with other bytes, and gives the ids of those that are not in it any more.
async fn compare(
    backend: &Backend,
    owner: RegisteredDevice,
    published_before: &[OneTimePrekey],
) -> Result<Vec<KeyId>, PublishError> {
    let (Some(first), Some(last)) = (published_before.first(), published_before.last()) else {
        return Ok(Vec::new());
    };
    let pool = backend.prekeys.all_between(owner, first.id, last.id).await?;
    let mut gone = Vec::new();
    for prekey in published_before {
        match pool.get(&prekey.id) {
            Some(key) if *key == prekey.key => {}
            Some(_) => return Err(PublishError::Conflict),
            None => gone.push(prekey.id),
        }
    }
    Ok(gone)
}

/// What became of adding keys.
struct Added {
    stored: u32,
    highest: Option<KeyId>,
    /// Another upload of the same device raised the highest id meanwhile, or the registration is gone.
    lost_race: bool,
}

async fn add_above(
    backend: &Backend,
    owner: RegisteredDevice,
    prekeys: &[OneTimePrekey],
    highest: Option<KeyId>,
) -> Result<Added, Fault> {
    let mut added = Added {
        stored: 0,
        highest,
        lost_race: false,
    };
    while let batch @ [.., last] = next_batch(prekeys, added.highest) {
        let mut items = vec![backend.keys.raise_highest_if(owner, added.highest, last.id)?];
        for prekey in batch {
            items.push(backend.prekeys.put(owner, prekey)?);
        }
        if backend.database.commit(&items).await? == Commit::ConditionFailed {
            added.lost_race = true;
            break;
        }
        added.stored += u32::try_from(batch.len()).unwrap_or(u32::MAX);
        added.highest = Some(last.id);
    }
    Ok(added)
}

/// The keys whose ids are not above `highest`.
fn up_to(prekeys: &[OneTimePrekey], highest: Option<KeyId>) -> &[OneTimePrekey] {
    let above = prekeys.partition_point(|prekey| Some(prekey.id) <= highest);
    prekeys.get(..above).unwrap_or_default()
}

/// The next keys to add: those above `highest`, as many as one transaction takes.
fn next_batch(prekeys: &[OneTimePrekey], highest: Option<KeyId>) -> &[OneTimePrekey] {
    let first = prekeys.partition_point(|prekey| Some(prekey.id) <= highest);
    let above = prekeys.get(first..).unwrap_or_default();
    above.get(..KEYS_PER_TRANSACTION).unwrap_or(above)
}

#[cfg(test)]
mod tests {
    use waxwing_wire::PublicKey;

    use super::*;

    fn prekeys(ids: std::ops::RangeInclusive<u64>) -> Vec<OneTimePrekey> {
        let key = PublicKey::new([2; 33]).unwrap();
        ids.map(|id| OneTimePrekey {
            id: KeyId::new(id).unwrap(),
            key,
        })
        .collect()
    }

    fn ids(prekeys: &[OneTimePrekey]) -> Vec<u32> {
        prekeys.iter().map(|prekey| prekey.id.get()).collect()
    }

    #[test]
    fn x12_only_ids_above_the_highest_ever_published_are_added() {
        let prekeys = prekeys(1..=5);
        assert_eq!(ids(next_batch(&prekeys, None)), [1, 2, 3, 4, 5]);
        assert_eq!(ids(next_batch(&prekeys, Some(KeyId::new(3).unwrap()))), [4, 5]);
        assert!(next_batch(&prekeys, Some(KeyId::new(5).unwrap())).is_empty());
        assert!(next_batch(&prekeys, Some(KeyId::MAX)).is_empty());
        assert!(next_batch(&[], None).is_empty());
    }

    #[test]
    fn keys_and_the_highest_id_fit_one_transaction() {
        let prekeys = prekeys(1..=100);
        let first = next_batch(&prekeys, None);
        assert_eq!(first.len() + 1, MAX_TRANSACTION_ITEMS);
        let rest = next_batch(&prekeys, first.last().map(|last| last.id));
        assert_eq!(ids(rest), [100]);
    }
}
