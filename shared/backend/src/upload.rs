//! `upload`: a device publishes more one-time prekeys, or a new signed prekey.
//!
//! Twice, or after a run that broke off: the signed prekey is there already, and of the one-time prekeys
//! exactly those are added that are not yet in. What refuses the whole is looked at first: one-time prekeys that are
//! published with other bytes, then a signed prekey that is stale.

use waxwing_wire::{
    ErrorCode, Problem, RegisteredDevice,
    keys::SignedPrekey,
    upload::{UploadRequest, Uploaded},
};

use crate::{
    Backend,
    authorize::Authorized,
    fault::Fault,
    publish::{PublishError, check_one_time_prekeys, publish_one_time_prekeys},
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
    /// The registration is gone, or one-time prekeys are published with other bytes.
    #[error(transparent)]
    Publish(#[from] PublishError),
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
            UploadError::Publish(error) => return error.into(),
            UploadError::StalePrekey => ErrorCode::StalePrekey,
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
        check_one_time_prekeys(backend, uploader.device, &request.one_time_prekeys).await?;
        replace_signed_prekey(backend, uploader.device, prekey).await?;
    }
    let published = publish_one_time_prekeys(backend, uploader.device, &request.one_time_prekeys).await?;
    Ok(Uploaded {
        stored: published.stored,
        highest: published.highest,
        gone: published.gone,
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
        .ok_or(PublishError::Unknown)?;
    // The same keys again are a repetition; a signature may differ from one signing to the next.
    let there = published.signed_prekey;
    let is_same = there.id == prekey.id && there.key == prekey.key && there.kem_key == prekey.kem_key;
    if is_same {
        Ok(())
    } else {
        Err(UploadError::StalePrekey)
    }
}
