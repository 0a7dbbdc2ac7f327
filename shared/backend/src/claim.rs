//! `claim`: prekey bundles of an account's devices, each with a one-time prekey that nobody else gets.
//!
//! A one-time prekey is handed out by a conditional delete that returns what it deleted. Candidates are read
//! from a random place of the pool and tried in random order, so that claims at the same moment seldom meet.
//! One that loses a race tries the next candidate, and after a few reads again, until a read finds the pool
//! empty. Then the bundle comes without, and so it does when the account has been claimed too often within the
//! hour: its pool is not drained, and it stays in reach (see [`budgets`]).
//!
//! Twice, or an answer that was lost: the second run takes another key, and the first is burnt. That is
//! allowed; handing one out twice is not.

use futures_util::future::{try_join, try_join_all};
use rand::{RngExt, seq::SliceRandom};
use waxwing_wire::{
    DeviceAddress, ErrorCode, KeyId, Problem, RegisteredDevice, ServiceFrame,
    claim::{Bundles, ClaimRequest, PrekeyBundle},
    frame::PrekeysLow,
    keys::OneTimePrekey,
    limits::PREKEYS_LOW,
};

use crate::{
    Backend,
    budgets::{self, ClaimBudget, RateLimited},
    directory,
    fault::Fault,
    random::Random,
    tables::keys::KeysRecord,
};

/// Ids read at a time: enough to see whether more than [`PREKEYS_LOW`] keys stay behind the one taken, and so
/// that many claims at once have candidates of their own.
const CANDIDATES: usize = PREKEYS_LOW + 2;

/// Candidates tried before others are read: after so many lost races in a row most of those read have gone, and
/// a lost race costs as much as five reads.
const TRIES_PER_READ: usize = 4;

/// Why a claim was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// There is no such account.
    #[error("There is no such account.")]
    UnknownAccount,
    /// The claimer's registration is gone.
    #[error("This device is not registered (any more).")]
    Unknown,
    /// The claimer has claimed this account too often.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The service could not do its work. Keys it took are burnt.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ClaimError> for Problem {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Request(problem) => problem,
            ClaimError::UnknownAccount => Self::new(ErrorCode::UnknownAccount, error.to_string()),
            ClaimError::Unknown => Self::new(ErrorCode::Unauthorized, error.to_string()),
            ClaimError::RateLimited(limited) => limited.into(),
            ClaimError::Fault(fault) => fault.into(),
        }
    }
}

/// Bundles of the devices asked for, `claimer` itself left out.
///
/// # Errors
/// [`ClaimError`].
pub async fn claim(
    backend: &Backend,
    claimer: RegisteredDevice,
    request: ClaimRequest,
) -> Result<Bundles, ClaimError> {
    request.check()?;
    let account = request.account;
    let (own, directory) = try_join(
        backend.devices.find(claimer.address),
        directory::read(backend, account),
    )
    .await?;
    // A claim is rare, so a device that was removed while it was connected is found out by a read.
    if own.is_none_or(|own| own.device != claimer) {
        return Err(ClaimError::Unknown);
    }
    let directory = directory.ok_or(ClaimError::UnknownAccount)?;
    let now = backend.clock.now();
    let budget = budgets::take_claim(backend, claimer.address.account, account, now).await?;
    let wanted = directory.keys.iter().filter(|record| {
        let device = record.published.device;
        let is_claimer = claimer.address == DeviceAddress { account, device };
        let is_named = request
            .devices
            .as_ref()
            .is_none_or(|devices| devices.contains(&device));
        is_named && !is_claimer
    });
    let bundles = wanted.map(|record| async {
        let address = DeviceAddress {
            account,
            device: record.published.device,
        };
        bundle(backend, address, record, budget).await
    });
    let bundles = try_join_all(bundles).await?;
    Ok(Bundles {
        request: request.request,
        account,
        list: directory.list,
        bundles,
    })
}

async fn bundle(
    backend: &Backend,
    address: DeviceAddress,
    record: &KeysRecord,
    budget: ClaimBudget,
) -> Result<PrekeyBundle, Fault> {
    let owner = RegisteredDevice {
        address,
        registration: record.published.registration,
    };
    let taken = match (budget, record.highest) {
        (ClaimBudget::OneTimePrekeys, Some(highest)) => take_any(backend, owner, highest).await?,
        (ClaimBudget::OneTimePrekeys, None) => Taken {
            prekey: None,
            remaining: Some(0),
        },
        (ClaimBudget::BundlesOnly, _) => Taken {
            prekey: None,
            remaining: None,
        },
    };
    if let Some(remaining) = taken.remaining {
        tell_owner(backend, owner, remaining).await;
    }
    if taken.prekey.is_none() && budget == ClaimBudget::OneTimePrekeys {
        // The template counts this line and raises an alarm when there are many.
        tracing::warn!("a device has no one-time prekeys left");
    }
    Ok(PrekeyBundle {
        published: record.published.clone(),
        one_time_prekey: taken.prekey,
    })
}

/// What a claim got from a pool.
struct Taken {
    /// `None` if the pool is empty, or the budget of its account.
    prekey: Option<OneTimePrekey>,
    /// How many are left, if that is few.
    remaining: Option<u32>,
}

/// Takes one key of the pool, whose ids went up to `highest` a moment ago.
async fn take_any(backend: &Backend, owner: RegisteredDevice, highest: KeyId) -> Result<Taken, Fault> {
    loop {
        let candidates = read_candidates(backend, owner, highest).await?;
        if candidates.is_empty() {
            return Ok(Taken {
                prekey: None,
                remaining: Some(0),
            });
        }
        let found = candidates.len();
        let candidates = shuffled(candidates, &backend.random);
        for id in candidates.into_iter().take(TRIES_PER_READ) {
            if let Some(prekey) = backend.prekeys.take(owner, id).await? {
                return Ok(Taken {
                    prekey: Some(prekey),
                    remaining: remaining_if_few(found),
                });
            }
        }
    }
}

/// Up to [`CANDIDATES`] ids from a random place of the pool, going round at its end (keys published since
/// `highest` was read are among them). Fewer mean that the pool has no more.
async fn read_candidates(
    backend: &Backend,
    owner: RegisteredDevice,
    highest: KeyId,
) -> Result<Vec<KeyId>, Fault> {
    let prekeys = &backend.prekeys;
    let start = backend.random.draw(|rng| rng.random_range(1..=highest.get()));
    let start = KeyId::new(start.into()).map_err(|_| Fault::Internal)?;
    let mut ids = prekeys.some_between(owner, start, KeyId::MAX, CANDIDATES).await?;
    let before_start = KeyId::new(u64::from(start.get()) - 1).ok();
    if let (Some(last), true) = (before_start, ids.len() < CANDIDATES) {
        let lacking = CANDIDATES - ids.len();
        ids.extend(prekeys.some_between(owner, KeyId::MIN, last, lacking).await?);
    }
    Ok(ids)
}

fn shuffled(mut ids: Vec<KeyId>, random: &Random) -> Vec<KeyId> {
    random.draw(|rng| ids.shuffle(rng));
    ids
}

/// How many keys are left after one of `found` candidates was taken, if that is at most [`PREKEYS_LOW`]: then
/// the candidates were the whole pool.
fn remaining_if_few(found: usize) -> Option<u32> {
    let remaining = found.saturating_sub(1);
    (remaining <= PREKEYS_LOW)
        .then_some(remaining)
        .and_then(|remaining| u32::try_from(remaining).ok())
}

/// Tells the owner that its pool runs low, if it is connected. Nobody is woken for it: a claim concerns a person only when a
/// message follows, which does wake, and strangers must not ring a phone by claims. Of no account to the claim, so a failure
/// is only logged, where it happens; the next claim tells again.
async fn tell_owner(backend: &Backend, owner: RegisteredDevice, remaining: u32) {
    let found = backend.devices.find(owner.address).await;
    let Ok(Some(record)) = found else {
        return;
    };
    if record.device != owner {
        return;
    }
    if let Some(connection) = record.connection {
        let news = ServiceFrame::PrekeysLow(PrekeysLow { remaining });
        // One that is dead is found out by whoever sends.
        let _ = backend.sockets.post(&connection, &news).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        sync::{Arc, Mutex},
    };

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{
        Answer, Call, condition_failed, device, device_item, done, operations, standard_base64,
    };

    fn owner() -> RegisteredDevice {
        device(2, 1, 7)
    }

    fn prekey_item(id: u64) -> Value {
        let key = [[2].as_slice(), &[1; 32]].concat();
        json!({ "i": { "N": id.to_string() }, "k": { "B": standard_base64(&key) } })
    }

    /// A pool, of which some keys are always lost to another claim the moment they are tried.
    fn pool(
        ids: impl IntoIterator<Item = u64>,
        lost: &'static [u64],
    ) -> impl Fn(&Call) -> Answer + Send + Sync {
        let pool = Mutex::new(ids.into_iter().collect::<BTreeSet<_>>());
        move |call| {
            let mut pool = pool.lock().unwrap();
            let number = |value: &Value| value["N"].as_str().unwrap().parse::<u64>().unwrap();
            match call.operation.as_str() {
                "Query" => {
                    let values = &call.body["ExpressionAttributeValues"];
                    let range = number(&values[":first"])..=number(&values[":last"]);
                    let limit = usize::try_from(call.body["Limit"].as_u64().unwrap()).unwrap();
                    let items: Vec<_> = pool.range(range).take(limit).map(|id| prekey_item(*id)).collect();
                    (200, json!({ "Items": items }))
                }
                "DeleteItem" => {
                    let id = number(&call.body["Key"]["i"]);
                    match pool.remove(&id) && !lost.contains(&id) {
                        true => (200, json!({ "Attributes": prekey_item(id) })),
                        false => condition_failed(&Value::Null),
                    }
                }
                _ => done(),
            }
        }
    }

    async fn take(script: impl Fn(&Call) -> Answer + Send + Sync + 'static) -> (Option<u32>, Option<u32>) {
        let (backend, _) = crate::testing::backend(script);
        let highest = KeyId::new(100).unwrap();
        let taken = take_any(&backend, owner(), highest).await.unwrap();
        (taken.prekey.map(|prekey| prekey.id.get()), taken.remaining)
    }

    /// I5: a key that another claim took is not handed out; the next candidate is.
    #[tokio::test]
    async fn x10_a_lost_race_moves_to_the_next_candidate() {
        let (prekey, _) = take(pool([3, 50, 97], &[3, 97])).await;
        assert_eq!(prekey, Some(50));
    }

    #[tokio::test]
    async fn a_pool_that_others_empty_meanwhile_ends_with_none_left() {
        assert_eq!(take(pool([3, 50, 97], &[3, 50, 97])).await, (None, Some(0)));
        assert_eq!(take(pool([], &[])).await, (None, Some(0)));
    }

    #[tokio::test]
    async fn every_key_of_the_pool_is_found_wherever_the_search_begins() {
        let script = Arc::new(pool(1..=100, &[]));
        let (backend, _) = crate::testing::backend(move |call| script(call));
        let mut taken = BTreeSet::new();
        while let Some(prekey) = take_any(&backend, owner(), KeyId::new(100).unwrap())
            .await
            .unwrap()
            .prekey
        {
            assert!(taken.insert(prekey.id));
        }
        assert_eq!(taken.len(), 100);
    }

    #[tokio::test]
    async fn a_pool_runs_low_at_the_bound_and_not_before() {
        let low = u64::try_from(PREKEYS_LOW).unwrap();
        let (_, remaining) = take(pool(1..=low + 2, &[])).await;
        assert_eq!(remaining, None);
        let (_, remaining) = take(pool(1..=low + 1, &[])).await;
        assert_eq!(remaining, Some(20));
    }

    #[tokio::test]
    async fn x74_candidates_are_read_strongly() {
        let script = pool([1], &[]);
        let (backend, calls) = crate::testing::backend(script);
        take_any(&backend, owner(), KeyId::MAX).await.unwrap();
        let calls = calls.lock().unwrap();
        let mut queries = calls.iter().filter(|call| call.operation == "Query");
        assert!(queries.all(|call| call.body["ConsistentRead"] == true));
    }

    #[tokio::test]
    async fn an_owner_that_cannot_be_told_does_not_fail_the_claim() {
        let (backend, calls) = crate::testing::backend(|_| (400, json!({ "__type": "ValidationException" })));
        tell_owner(&backend, owner(), 3).await;
        assert_eq!(operations(&calls), ["GetItem devices"]);
    }

    /// X9, X66: claims tell a device that is there that its pool runs low, and wake nobody.
    #[tokio::test]
    async fn x09_an_owner_that_is_connected_is_told_and_one_that_is_away_or_another_is_not_woken() {
        let away = device_item(owner(), None);
        let dead = device_item(owner(), Some("dead"));
        let other = device_item(device(2, 1, 8), Some("other"));
        let read = "GetItem devices";
        for (item, expected) in [
            (away, [read].as_slice()),
            (dead, &[read, "POST dead"]),
            (other, &[read]),
        ] {
            let (backend, calls) = crate::testing::backend(move |call| match call.operation.as_str() {
                "GetItem" => (200, json!({ "Item": item })),
                "POST dead" => (410, json!({})),
                _ => done(),
            });
            tell_owner(&backend, owner(), 3).await;
            assert_eq!(operations(&calls), expected);
        }
    }

    #[tokio::test]
    async fn x68_a_claimer_that_is_gone_takes_no_key() {
        for own in [Value::Null, json!({ "Item": device_item(device(1, 1, 8), None) })] {
            let (backend, calls) = crate::testing::backend(move |call| match call.operation.as_str() {
                "GetItem" if call.table == "devices" && !own.is_null() => (200, own.clone()),
                _ => done(),
            });
            let request = ClaimRequest {
                request: waxwing_wire::RequestId::MIN,
                account: owner().address.account,
                devices: None,
            };
            let refused = claim(&backend, device(1, 1, 7), request).await;
            assert_eq!(refused, Err(ClaimError::Unknown));
            assert!(
                !operations(&calls)
                    .iter()
                    .any(|call| call.starts_with("DeleteItem"))
            );
        }
    }
}
