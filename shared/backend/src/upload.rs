//! `upload`: a device publishes more one-time prekeys, or a new signed prekey.
//!
//! Twice, or after a run that broke off: the signed prekey is there already, and of the one-time prekeys
//! exactly those are added that are not yet in. The signed prekey goes first, so that a stale one refuses the
//! whole.

use waxwing_wire::{
    ErrorCode, Problem, RegisteredDevice,
    keys::SignedPrekey,
    upload::{UploadRequest, Uploaded},
};

use crate::{
    Backend,
    authorize::Authorized,
    fault::Fault,
    publish::publish_one_time_prekeys,
    verify::{self, KeyError},
};

/// Why an upload was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// A key or a signature is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The published signed prekey is newer, or another of the same id.
    #[error("A signed prekey with this id or a higher one is published already. Use a higher id.")]
    StalePrekey,
    /// The registration is gone.
    #[error("This device is not registered (any more).")]
    Unknown,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let code = match error {
            UploadError::Request(problem) => return problem,
            UploadError::Key(error) => return error.into(),
            UploadError::Fault(fault) => return fault.into(),
            UploadError::StalePrekey => ErrorCode::StalePrekey,
            UploadError::Unknown => ErrorCode::Unauthorized,
        };
        Self::new(code, error.to_string())
    }
}

/// Publishes keys of the device.
///
/// # Errors
/// [`UploadError`].
pub async fn upload(
    backend: &Backend,
    uploader: Authorized,
    request: UploadRequest,
) -> Result<Uploaded, UploadError> {
    request.check()?;
    verify::one_time_prekeys(&request.one_time_prekeys)?;
    if let Some(prekey) = &request.signed_prekey {
        verify::signed_prekey(&uploader.signing_key, prekey)?;
        replace_signed_prekey(backend, uploader.device, prekey).await?;
    }
    let published = publish_one_time_prekeys(backend, uploader.device, &request.one_time_prekeys).await?;
    let published = published.ok_or(UploadError::Unknown)?;
    Ok(Uploaded {
        stored: published.stored,
        highest: published.highest,
    })
}

async fn replace_signed_prekey(
    backend: &Backend,
    device: RegisteredDevice,
    prekey: &SignedPrekey,
) -> Result<(), UploadError> {
    if backend
        .keys
        .replace_signed_prekey_if_older(device, prekey)
        .await?
    {
        return Ok(());
    }
    let record = backend.keys.find(device.address).await?;
    let published = record
        .map(|record| record.published)
        .filter(|published| published.registration == device.registration)
        .ok_or(UploadError::Unknown)?;
    // The same key again is a repetition; a signature may differ from one signing to the next.
    let is_same = published.signed_prekey.id == prekey.id && published.signed_prekey.key == prekey.key;
    if is_same {
        Ok(())
    } else {
        Err(UploadError::StalePrekey)
    }
}
