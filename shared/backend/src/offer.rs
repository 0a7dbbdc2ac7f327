//! `offer`: a device offers a place in its account for one new device.
//!
//! The offer is a conditional put under the hash of its token. Twice: the second run finds the offer and changes
//! nothing, not even its time. There is no partial run: it is one write.

use waxwing_wire::{
    ErrorCode, Problem, RegisteredDevice,
    limits::MAX_DEVICES_PER_ACCOUNT,
    offer::{OfferRequest, Offered},
};

use crate::{Backend, fault::Fault, tables::links::Stage};

/// Why an offer was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The account has as many devices as it may.
    #[error("The account has {MAX_DEVICES_PER_ACCOUNT} devices. Remove one first.")]
    TooMany,
    /// The token was used for another offer, or for one that has ended.
    #[error("This offer has ended. Make a new one.")]
    Ended,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<OfferError> for Problem {
    fn from(error: OfferError) -> Self {
        let code = match error {
            OfferError::Fault(fault) => return fault.into(),
            OfferError::TooMany => ErrorCode::TooManyDevices,
            OfferError::Ended => ErrorCode::InvalidLink,
        };
        Self::new(code, error.to_string())
    }
}

/// Makes an offer of `offerer`.
///
/// # Errors
/// [`OfferError`].
pub async fn offer(
    backend: &Backend,
    offerer: RegisteredDevice,
    request: OfferRequest,
) -> Result<Offered, OfferError> {
    let devices = backend.devices.find_all(offerer.address.account).await?;
    if devices.len() >= MAX_DEVICES_PER_ACCOUNT {
        return Err(OfferError::TooMany);
    }
    let now = backend.clock.now();
    let link = backend.links.put_if_absent(&request.token, offerer, now).await?;
    let link = link.filter(|link| {
        link.offerer == offerer && matches!(link.stage, Stage::Offered | Stage::TakenUp { .. })
    });
    let left = link.ok_or(OfferError::Ended)?.expires_at.0.saturating_sub(now.0);
    Ok(Offered {
        expires_in_seconds: u32::try_from(left).unwrap_or(u32::MAX),
    })
}
