//! `lock`: set, change or remove the PIN that registering the number again must prove.
//!
//! The lock is written only if the device is still in the account, in one transaction: a device that was removed
//! a moment ago cannot lock its owner out. Twice: the same is written again.

use waxwing_wire::{
    ErrorCode, Problem, RegisteredDevice,
    lock::{LockRequest, LockSet, NewLock},
};

use crate::{
    Backend,
    fault::Fault,
    tables::{database::Commit, locks::LockRecord},
};

/// Why a lock was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// The registration is gone.
    #[error("This device is not registered (any more).")]
    Unknown,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<LockError> for Problem {
    fn from(error: LockError) -> Self {
        match error {
            LockError::Unknown => Self::new(ErrorCode::Unauthorized, error.to_string()),
            LockError::Fault(fault) => fault.into(),
        }
    }
}

/// Sets the lock of the device's account as asked.
///
/// # Errors
/// [`LockError`].
pub async fn lock(
    backend: &Backend,
    device: RegisteredDevice,
    request: LockRequest,
) -> Result<LockSet, LockError> {
    let account = device.address.account;
    let hash = backend.keyed_hash()?;
    let change = match &request.lock {
        Some(NewLock { salt, proof }) => {
            let proof = hash.lock_proof(account, proof);
            backend.locks.put(account, &LockRecord { salt: *salt, proof })?
        }
        None => backend.locks.delete(account)?,
    };
    let parts = [change, backend.devices.is_registered(device)?];
    match backend.database.commit(&parts).await? {
        Commit::Done => Ok(LockSet {
            locked: request.lock.is_some(),
        }),
        Commit::ConditionFailed => Err(LockError::Unknown),
    }
}
