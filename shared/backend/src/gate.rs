//! The gate that every flow passes which takes over a phone number that has an account.
//!
//! There is one: registering anew. Whatever flow joins it (another way to register, a change of number) calls
//! `pass` and puts the part that it gives into its transaction, so that a lock which is set in that very moment is
//! not overlooked.
//!
//! A try is counted before it is compared; after five, the account waits a day from the last of them. What cannot
//! be counted is not compared. A lock ends when no device of the account has connected for a week: then its owner
//! has lost them all, and may have lost the PIN as well. Whoever stops at the gate is announced to the account's
//! devices, once a ticket.

use aws_sdk_dynamodb::types::TransactWriteItem;
use waxwing_wire::{
    AccountId, ErrorCode, Problem, ServiceFrame, frame::RegistrationAttempted, limits::TICKET_LIFE_SECONDS,
    secret::LockProof,
};

use crate::{
    Backend,
    budgets::RateLimited,
    clock::UnixSeconds,
    fault::Fault,
    keyed_hash::Hash,
    news,
    tables::{
        devices::DeviceRecord,
        limits::{Counter, seconds_until},
        locks::LockRecord,
    },
};

/// Wrong PINs before the pause.
const MAX_TRIES: u32 = 5;

/// Seconds of the pause, since the last try: a four-digit PIN lasts years on average.
const PAUSE_SECONDS: u64 = 24 * 60 * 60;

/// Seconds without any device's connection after which a lock ends.
const LOCK_LIFE_SECONDS: u64 = 7 * 24 * 60 * 60;

/// Why the gate stayed shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// The account is locked and there is no proof.
    #[error("A PIN protects this number. Enter it.")]
    Locked,
    /// The proof is wrong.
    #[error("The PIN is wrong.")]
    WrongPin,
    /// Too many proofs were wrong.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<GateError> for Problem {
    fn from(error: GateError) -> Self {
        let code = match error {
            GateError::RateLimited(limited) => return limited.into(),
            GateError::Fault(fault) => return fault.into(),
            GateError::Locked => ErrorCode::RegistrationLocked,
            GateError::WrongPin => ErrorCode::WrongPin,
        };
        Self::new(code, error.to_string())
    }
}

/// The gate is open.
#[derive(Debug)]
pub(crate) struct Passed {
    /// The part of the flow's transaction that holds only if the lock is still what it was.
    pub(crate) part: TransactWriteItem,
}

/// The account's lock, if it has one that has not ended. `devices` are all of the account's.
pub(crate) async fn live_lock(
    backend: &Backend,
    account: AccountId,
    devices: &[DeviceRecord],
    now: UnixSeconds,
) -> Result<Option<LockRecord>, Fault> {
    let lock = backend.locks.find(account).await?;
    Ok(lock.filter(|_| is_alive(devices, now)))
}

/// Who knocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt<'a> {
    /// The name of the ticket for the number.
    pub(crate) ticket: Hash,
    /// The proof of the PIN.
    pub(crate) proof: Option<&'a LockProof>,
}

/// Lets a flow pass that takes over the number of `account`, whose devices are `devices`.
pub(crate) async fn pass(
    backend: &Backend,
    account: AccountId,
    devices: &[DeviceRecord],
    attempt: Attempt<'_>,
    now: UnixSeconds,
) -> Result<Passed, GateError> {
    let part = match backend.locks.find(account).await? {
        None => backend.locks.is_unchanged(account, None)?,
        Some(lock) if !is_alive(devices, now) => backend.locks.delete_if(account, &lock)?,
        Some(lock) => {
            if let Err(error) = check(backend, account, &lock, attempt.proof, now).await {
                announce(backend, account, devices, attempt.ticket, now).await;
                return Err(error);
            }
            backend.locks.is_unchanged(account, Some(&lock))?
        }
    };
    Ok(Passed { part })
}

async fn check(
    backend: &Backend,
    account: AccountId,
    lock: &LockRecord,
    proof: Option<&LockProof>,
    now: UnixSeconds,
) -> Result<(), GateError> {
    let proof = proof.ok_or(GateError::Locked)?;
    let hash = backend.keyed_hash()?;
    let tries = Counter::LockTries(account);
    let counted = backend
        .limits
        .take_try(tries, MAX_TRIES, PAUSE_SECONDS, now)
        .await?;
    counted.map_err(|until| RateLimited {
        retry_after_seconds: seconds_until(until, now),
    })?;
    if hash.lock_proof(account, proof) == lock.proof {
        // A failure is logged where it happens, and leaves fewer tries.
        let _ = backend.limits.delete(tries).await;
        Ok(())
    } else {
        Err(GateError::WrongPin)
    }
}

fn is_alive(devices: &[DeviceRecord], now: UnixSeconds) -> bool {
    devices
        .iter()
        .any(|device| device.seen_at.plus(LOCK_LIFE_SECONDS) > now)
}

/// Once a ticket: whoever repeats a request does not ring the same bell again, and a ticket takes a code.
async fn announce(
    backend: &Backend,
    account: AccountId,
    devices: &[DeviceRecord],
    ticket: Hash,
    now: UnixSeconds,
) {
    let counter = Counter::Announced(ticket);
    let end = now.plus(TICKET_LIFE_SECONDS);
    // A failure is logged where it happens; then it is better told twice than not at all.
    if backend.limits.take(counter, 1, end).await == Ok(false) {
        return;
    }
    let frame = ServiceFrame::RegistrationAttempted(RegistrationAttempted { account });
    news::tell(backend, devices, &frame).await;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use waxwing_wire::PublicKey;

    use super::*;
    use crate::keyed_hash::KeyedHash;
    use crate::testing::{
        Answer, Call, backend, condition_failed, device, done, operations, refused, standard_base64,
    };

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn proof(fill: u8) -> LockProof {
        LockProof::new([fill; LockProof::BYTES])
    }

    fn hash() -> KeyedHash {
        KeyedHash::new("a secret that only the tests know")
    }

    fn attempt(proof: Option<&LockProof>) -> Attempt<'_> {
        let ticket = Hash::from_slice(&[3; 32]).unwrap();
        Attempt { ticket, proof }
    }

    fn account() -> AccountId {
        device(1, 1, 7).address.account
    }

    /// The account's one device, last seen so many seconds ago.
    fn seen(ago: u64) -> [DeviceRecord; 1] {
        [DeviceRecord {
            device: device(1, 1, 7),
            signing_key: PublicKey::new([2; 33]).unwrap(),
            connection: None,
            owed_since: None,
            alerted_at: None,
            endpoint: None,
            seen_at: UnixSeconds(NOW.0 - ago),
        }]
    }

    /// A lock that `proof(1)` opens, in a table whose counters answer `counted`.
    fn locked(counted: Answer) -> impl Fn(&Call) -> Answer + Send + Sync {
        let lock = json!({
            "s": { "B": standard_base64(&[9; 16]) },
            "p": { "B": standard_base64(hash().lock_proof(account(), &proof(1)).as_bytes()) },
        });
        move |call| match call.operation.as_str() {
            "GetItem" => (200, json!({ "Item": lock })),
            "UpdateItem" => counted.clone(),
            _ => done(),
        }
    }

    async fn knock(
        script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
        ago: u64,
        proof: Option<LockProof>,
    ) -> (Result<(), GateError>, Vec<String>) {
        let (backend, calls) = backend(script);
        let passed = pass(&backend, account(), &seen(ago), attempt(proof.as_ref()), NOW).await;
        (passed.map(drop), operations(&calls))
    }

    #[tokio::test]
    async fn x65_the_right_pin_opens_and_gives_the_tries_back() {
        let (passed, calls) = knock(locked(done()), 0, Some(proof(1))).await;
        assert_eq!(passed, Ok(()));
        assert_eq!(calls, ["GetItem locks", "UpdateItem limits", "DeleteItem limits"]);
    }

    #[tokio::test]
    async fn x65_a_wrong_pin_is_counted_before_it_is_compared() {
        let (passed, calls) = knock(locked(done()), 0, Some(proof(2))).await;
        assert_eq!(passed, Err(GateError::WrongPin));
        let announced = "UpdateItem limits";
        assert_eq!(calls, ["GetItem locks", "UpdateItem limits", announced]);
    }

    #[tokio::test]
    async fn x65_with_all_tries_used_even_the_right_pin_waits() {
        let until = (NOW.0 + 500).to_string();
        let counted = condition_failed(&json!({ "n": { "N": "5" }, "expires_at": { "N": until } }));
        let (passed, _) = knock(locked(counted), 0, Some(proof(1))).await;
        let retry_after_seconds = 500;
        assert_eq!(passed, Err(RateLimited { retry_after_seconds }.into()));
    }

    /// X81: the PIN fails closed.
    #[tokio::test]
    async fn x81_a_pin_that_cannot_be_counted_is_not_compared() {
        let (passed, _) = knock(locked(refused("ValidationException")), 0, Some(proof(1))).await;
        assert_eq!(passed, Err(GateError::Fault(Fault::Internal)));
    }

    #[tokio::test]
    async fn x64_a_lock_lasts_a_week_after_the_last_connection() {
        let week = LOCK_LIFE_SECONDS;
        assert_eq!(
            knock(locked(done()), week - 1, None).await.0,
            Err(GateError::Locked)
        );
        assert_eq!(knock(locked(done()), week, None).await.0, Ok(()));
    }

    /// X64: what the gate saw holds in the flow's own transaction, or the flow begins again.
    #[tokio::test]
    async fn x64_every_way_through_the_gate_pins_the_lock_it_saw() {
        let none = |_: &Call| done();
        let ways: [(Option<LockProof>, u64, bool, &str); 3] = [
            (None, 0, false, "attribute_not_exists(a)"),
            (Some(proof(1)), 0, true, "p = :proof"),
            (None, LOCK_LIFE_SECONDS, true, "p = :proof"),
        ];
        for (proof, ago, is_locked, expected) in ways {
            let (backend, _) = match is_locked {
                true => backend(locked(done())),
                false => backend(none),
            };
            let passed = pass(&backend, account(), &seen(ago), attempt(proof.as_ref()), NOW).await;
            let part = passed.unwrap().part;
            let check = part.condition_check.map(|check| check.condition_expression);
            let delete = part.delete.and_then(|delete| delete.condition_expression);
            assert_eq!(check.or(delete).as_deref(), Some(expected));
        }
    }

    #[tokio::test]
    async fn x63_whoever_stops_at_the_gate_is_announced_to_the_connected_devices() {
        let (backend, calls) = backend(|call| match call.operation.as_str() {
            "GetItem" => locked(done())(call),
            _ => (200, Value::Null),
        });
        let mut devices = seen(0);
        devices[0].connection = crate::sockets::ConnectionId::new("own");
        let passed = pass(&backend, account(), &devices, attempt(None), NOW).await;
        assert!(matches!(passed, Err(GateError::Locked)));
        assert_eq!(
            operations(&calls),
            ["GetItem locks", "UpdateItem limits", "POST own"]
        );
        assert_eq!(calls.lock().unwrap()[2].body["type"], "registration_attempted");
    }

    /// Whoever repeats a refused request does not ring the bell again. What cannot be counted rings it all the same.
    #[tokio::test]
    async fn x63_an_attempt_is_announced_once_a_ticket() {
        for (counted, is_told) in [
            (condition_failed(&Value::Null), false),
            (refused("ValidationException"), true),
        ] {
            let (backend, calls) = backend(locked(counted));
            let mut devices = seen(0);
            devices[0].connection = crate::sockets::ConnectionId::new("own");
            let passed = pass(&backend, account(), &devices, attempt(None), NOW).await;
            assert!(matches!(passed, Err(GateError::Locked)));
            assert_eq!(operations(&calls).contains(&"POST own".to_owned()), is_told);
        }
    }
}
