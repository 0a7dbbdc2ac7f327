//! `lock`: set, change or remove the PIN that registering the number again must prove.
//!
//! Only the account's first device may, which holds the account key: the lock decides who can take the account from it,
//! and a linked device that is stolen must not. The lock is written only if the device is still in the account, in one transaction: a device that was removed
//! a moment ago cannot lock its owner out. Twice: the same is written again.

use waxwing_wire::{
    DeviceId, ErrorCode, Problem, RegisteredDevice,
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
    /// It is not the account's first device.
    #[error("Only the first device of the account, which holds its key, sets or removes the PIN.")]
    FirstDeviceOnly,
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
            LockError::FirstDeviceOnly => Self::new(ErrorCode::FirstDeviceOnly, error.to_string()),
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
    if device.address.device != DeviceId::MIN {
        return Err(LockError::FirstDeviceOnly);
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{backend, device, done, operations};

    /// X64: a linked device in a thief's hands neither opens the number nor shuts its owner out.
    #[tokio::test]
    async fn x64_only_the_first_device_sets_or_removes_the_lock() {
        let (backend, calls) = backend(|_| done());
        let request = || LockRequest { lock: None };
        let linked = lock(&backend, device(1, 2, 7), request()).await;
        assert_eq!(linked, Err(LockError::FirstDeviceOnly));
        assert!(operations(&calls).is_empty());
        let first = lock(&backend, device(1, 1, 7), request()).await;
        assert_eq!(first, Ok(LockSet { locked: false }));
    }
}
