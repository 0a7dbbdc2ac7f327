//! Adding a device and filling its pool: what `register`, `link` and `upload` share.
//!
//! A device's record and its published keys are one transaction, so that neither is ever seen without the
//! other. One-time prekeys go into the pool in transactions that raise the highest published id past them:
//! whatever breaks off or runs twice, a repetition adds exactly the keys that are not in yet, and none that was
//! taken comes back.

use waxwing_wire::{
    KeyId, RegisteredDevice,
    keys::{NewDevice, OneTimePrekey},
};

use crate::{
    Backend,
    fault::Fault,
    tables::{
        database::{Commit, MAX_TRANSACTION_ITEMS},
        keys::KeysRecord,
    },
};

/// Keys in one transaction, beside the highest published id.
const KEYS_PER_TRANSACTION: usize = MAX_TRANSACTION_ITEMS - 1;

/// Races with other uploads of the same device that one upload loses before it gives up.
const MAX_LOST_RACES: usize = 8;

/// What became of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    /// How many keys this call added.
    pub(crate) stored: u32,
    /// The highest id ever published.
    pub(crate) highest: Option<KeyId>,
}

/// Adds a device if its address is free. Says whether it was.
pub(crate) async fn add_device_if_absent(
    backend: &Backend,
    device: RegisteredDevice,
    new: &NewDevice,
) -> Result<bool, Fault> {
    let record = backend.devices.put_if_absent(device, &new.identity.signing_key)?;
    let keys = backend
        .keys
        .put_if_absent(device, &new.identity, &new.signed_prekey)?;
    let commit = backend.database.commit(&[record, keys]).await?;
    Ok(commit == Commit::Done)
}

/// Adds to the pool those of `prekeys` (ids rising) that are above the highest ever published. `None` if the
/// registration is gone.
pub(crate) async fn publish_one_time_prekeys(
    backend: &Backend,
    owner: RegisteredDevice,
    prekeys: &[OneTimePrekey],
) -> Result<Option<Published>, Fault> {
    let mut stored = 0;
    let mut lost_races = 0;
    let mut record = find_registration(backend, owner).await?;
    while let Some(KeysRecord { highest, .. }) = record {
        let next = next_batch(prekeys, highest);
        let Some(last) = next.last() else {
            return Ok(Some(Published { stored, highest }));
        };
        let mut items = vec![backend.keys.raise_highest_if(owner, highest, last.id)?];
        for prekey in next {
            items.push(backend.prekeys.put(owner, prekey)?);
        }
        match backend.database.commit(&items).await? {
            Commit::Done => {
                stored += u32::try_from(next.len()).unwrap_or(u32::MAX);
                record = record.map(|record| KeysRecord {
                    highest: Some(last.id),
                    ..record
                });
            }
            Commit::ConditionFailed if lost_races < MAX_LOST_RACES => {
                lost_races += 1;
                record = find_registration(backend, owner).await?;
            }
            Commit::ConditionFailed => return Err(Fault::Unavailable),
        }
    }
    Ok(None)
}

async fn find_registration(backend: &Backend, owner: RegisteredDevice) -> Result<Option<KeysRecord>, Fault> {
    let record = backend.keys.find(owner.address).await?;
    Ok(record.filter(|record| record.published.registration == owner.registration))
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
