//! The registration lock: a PIN without which nobody takes the account's number over.
//!
//! The service keeps a salt and a digest of what a slow function makes of PIN and salt; it counts the tries.

use waxwing_protocol::pin::{OutOfMemory, Pin};
use waxwing_wire::{
    lock::{LockRequest, LockSet, NewLock},
    secret::Salt,
};

use crate::{clock, registration, shared::Shared, transport::http::HttpError};

/// Why the lock is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The device has no account.
    #[error("the device has no account; register or link it first")]
    NotRegistered,
    /// The device has not the memory to derive a proof.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The service refused or could not be reached.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// Sets, changes or removes the lock.
pub(crate) async fn set(shared: &Shared, pin: Option<&Pin>) -> Result<(), LockError> {
    let me = shared.me().ok_or(LockError::NotRegistered)?;
    let lock = match pin {
        Some(pin) => {
            let salt = Salt::random(&mut clock::rng());
            let proof = registration::proof_of(pin.clone(), salt, me.address().account).await?;
            Some(NewLock { salt, proof })
        }
        None => None,
    };
    let request = LockRequest { lock };
    let wanted = request.lock.is_some();
    let set: LockSet = shared
        .http
        .post("/v1/lock", Some(&me.credentials), &request)
        .await?;
    if set.locked != wanted {
        return Err(HttpError::Unexpected(200).into());
    }
    Ok(())
}
