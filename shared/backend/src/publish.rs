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
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::{Value, json};
    use waxwing_wire::PublicKey;

    use super::*;
    use crate::{
        testing::{
            Answer, Call, backend, device, done, keys_item, operations, standard_base64,
            transaction_condition_failed,
        },
        verify::tests::TestDevice,
    };

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

    /// The device's keys, published up to `highest`, and a pool of these ids with the key of `prekeys`.
    fn published_up_to(highest: u64, pool: &[u64]) -> impl Fn(&Call) -> Answer + use<> {
        let mut keys = keys_item(device(1, 1, 7), &TestDevice::new(1).published);
        keys["r"] = json!({ "N": "7" });
        keys["h"] = json!({ "N": highest.to_string() });
        let key = standard_base64(&[2; 33]);
        let item = |id: &u64| json!({ "i": { "N": id.to_string() }, "k": { "B": key } });
        let pool: Vec<_> = pool.iter().map(item).collect();
        move |call| match call.operation.as_str() {
            "GetItem" => (200, json!({ "Item": keys })),
            "Query" => (200, json!({ "Items": pool })),
            _ => done(),
        }
    }

    fn ids_of(numbers: &[u64]) -> Vec<KeyId> {
        numbers.iter().map(|id| KeyId::new(*id).unwrap()).collect()
    }

    /// I5, X12: of a batch from an old copy of a device, what is in the pool stays, what was handed out stays gone,
    /// and only what is new goes in.
    #[tokio::test]
    async fn x12_ids_that_were_handed_out_are_named_and_stay_gone() {
        let (backend, calls) = backend(published_up_to(4, &[2, 4]));
        let published = publish_one_time_prekeys(&backend, device(1, 1, 7), &prekeys(1..=6)).await;
        assert_eq!(
            published,
            Ok(Published {
                stored: 2,
                highest: KeyId::new(6).ok(),
                gone: ids_of(&[1, 3]),
            })
        );
        let calls = calls.lock().unwrap();
        let written = &calls.last().unwrap().body["TransactItems"];
        let added: Vec<_> = written
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|item| item["Put"]["Item"]["i"]["N"].as_str())
            .collect();
        assert_eq!(added, ["5", "6"]);
    }

    #[tokio::test]
    async fn x12_an_id_that_is_published_with_other_bytes_refuses_the_whole() {
        let (backend, calls) = backend(published_up_to(4, &[2, 4]));
        let mut prekeys = prekeys(1..=6);
        prekeys[3].key = PublicKey::new([3; 33]).unwrap();
        let published = publish_one_time_prekeys(&backend, device(1, 1, 7), &prekeys).await;
        assert_eq!(published, Err(PublishError::Conflict));
        assert!(!operations(&calls).iter().any(|call| call.starts_with("Transact")));
    }

    /// The ids of an upload that lost a race are looked at again: the winner may have published them otherwise.
    #[tokio::test]
    async fn x12_a_lost_race_compares_again() {
        let lost = AtomicBool::new(false);
        let (before, after) = (published_up_to(0, &[]), published_up_to(2, &[1, 2]));
        let (backend, _) = backend(move |call| {
            if call.operation == "TransactWriteItems" && !lost.swap(true, Ordering::Relaxed) {
                return transaction_condition_failed();
            }
            let before_race = !lost.load(Ordering::Relaxed);
            let mut answer = if before_race { before(call) } else { after(call) };
            if before_race && let Some(item) = answer.1.get_mut("Item").and_then(Value::as_object_mut) {
                item.remove("h");
            }
            answer
        });
        let published = publish_one_time_prekeys(&backend, device(1, 1, 7), &prekeys(1..=3)).await;
        assert_eq!(
            published,
            Ok(Published {
                stored: 1,
                highest: KeyId::new(3).ok(),
                gone: Vec::new(),
            })
        );
    }

    #[tokio::test]
    async fn x68_a_registration_that_is_gone_publishes_nothing() {
        let (backend, calls) = backend(published_up_to(4, &[]));
        let gone = device(1, 1, 8);
        let published = publish_one_time_prekeys(&backend, gone, &prekeys(5..=6)).await;
        assert_eq!(published, Err(PublishError::Unknown));
        assert_eq!(operations(&calls), ["GetItem keys"]);
    }
}
