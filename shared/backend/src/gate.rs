//! The gate that every flow passes which takes over a phone number that has an account.
//!
//! There is one: registering anew. Whatever flow joins it (another way to register, a change of number) calls
//! [`pass`] and puts [`Passed::part`] into its transaction, so that a lock which is set in that very moment is
//! not overlooked.
//!
//! A try is counted before it is compared; after five, the account waits a day from the last of them. What cannot
//! be counted is not compared. A lock ends when no device of the account has connected for a week: then its owner
//! has lost them all, and may have lost the PIN as well. Whoever stops at the gate is announced to the account's
//! devices.

use aws_sdk_dynamodb::types::TransactWriteItem;
use waxwing_wire::{
    AccountId, ErrorCode, Problem, ServiceFrame, frame::RegistrationAttempted, secret::LockProof,
};

use crate::{
    Backend,
    budgets::RateLimited,
    clock::UnixSeconds,
    fault::Fault,
    keyed_hash::KeyedHash,
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

/// Lets a flow pass that takes over the number of `account`, whose devices are `devices`.
pub(crate) async fn pass(
    backend: &Backend,
    hash: &KeyedHash,
    account: AccountId,
    devices: &[DeviceRecord],
    proof: Option<&LockProof>,
    now: UnixSeconds,
) -> Result<Passed, GateError> {
    let part = match backend.locks.find(account).await? {
        None => backend.locks.is_unchanged(account, None)?,
        Some(lock) if !is_alive(devices, now) => backend.locks.delete_if(account, &lock)?,
        Some(lock) => {
            if let Err(error) = check(backend, hash, account, &lock, proof, now).await {
                announce(backend, account, devices).await;
                return Err(error);
            }
            backend.locks.is_unchanged(account, Some(&lock))?
        }
    };
    Ok(Passed { part })
}

async fn check(
    backend: &Backend,
    hash: &KeyedHash,
    account: AccountId,
    lock: &LockRecord,
    proof: Option<&LockProof>,
    now: UnixSeconds,
) -> Result<(), GateError> {
    let proof = proof.ok_or(GateError::Locked)?;
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

async fn announce(backend: &Backend, account: AccountId, devices: &[DeviceRecord]) {
    let frame = ServiceFrame::RegistrationAttempted(RegistrationAttempted { account });
    news::tell(backend, devices, &frame).await;
}
