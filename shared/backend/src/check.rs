//! `check`: does the service publish what the device believes it does? Reads only.
//!
//! A device that was restored from an old copy, or a service whose tables were, finds out before anybody encrypts to
//! keys whose private halves are gone.

use sha2::{Digest, Sha256};
use waxwing_wire::{
    ErrorCode, Problem, RegisteredDevice,
    bytes::KeyDigest,
    check::{CheckRequest, Checked, published_bytes},
};

use crate::{Backend, fault::Fault};

/// Why a check failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// Other keys are published.
    #[error("The service publishes other keys of this device. Upload a new signed prekey.")]
    Differ,
    /// The registration is gone.
    #[error("This device is not registered (any more).")]
    Unknown,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<CheckError> for Problem {
    fn from(error: CheckError) -> Self {
        let code = match error {
            CheckError::Fault(fault) => return fault.into(),
            CheckError::Differ => ErrorCode::KeysDiffer,
            CheckError::Unknown => ErrorCode::Unauthorized,
        };
        Self::new(code, error.to_string())
    }
}

/// Compares what `device` believes to be published with what is.
///
/// # Errors
/// [`CheckError`].
pub async fn check(
    backend: &Backend,
    device: RegisteredDevice,
    request: CheckRequest,
) -> Result<Checked, CheckError> {
    let record = backend.keys.find(device.address).await?;
    let published = record
        .map(|record| record.published)
        .filter(|published| published.registration == device.registration)
        .ok_or(CheckError::Unknown)?;
    let bytes = published_bytes(device.registration, &published.identity, &published.signed_prekey);
    if KeyDigest::new(Sha256::digest(bytes).into()) != request.digest {
        return Err(CheckError::Differ);
    }
    Ok(Checked {
        one_time_prekeys: backend.prekeys.count(device).await?,
    })
}
