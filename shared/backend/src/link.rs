//! `link`: a new device takes up an offer and asks until it is answered.
//!
//! The first request for an offer gets it, by a conditional write that keeps the request's hash; any other request
//! for the same offer is refused, the token notwithstanding. The device that made the offer is told of the request
//! each time it is repeated, so that news lost on the way does not matter.
//!
//! `answer` adds the device to the account. Its one-time prekeys are not kept meanwhile: the device brings them with
//! each repetition, and the one that finds it linked publishes them. So an accepted device is in its account at once,
//! and for the moment until it asks again sessions with it open without a one-time prekey.
//!
//! Twice, or after a run that broke off: the same request finds itself, tells again or publishes what is not in yet,
//! and gives the same answer.

use sha2::{Digest, Sha256};
use waxwing_wire::{
    DeviceId, ErrorCode, Problem, RegisteredDevice, ServiceFrame,
    limits::{LINK_POLL_SECONDS, MAX_DEVICES_PER_ACCOUNT},
    link::{LinkKeys, LinkRequest, LinkRequested, LinkStatus},
    register::Registered,
};

use crate::{
    Backend,
    fault::Fault,
    news::tell,
    publish::{PublishError, publish_one_time_prekeys},
    tables::{
        devices::DeviceRecord,
        links::{RequestDigest, Stage},
    },
    verify::{self, KeyError},
};

/// Why a link was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// A key or a signature is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The offer is unknown, expired, declined, taken up by another request, or its maker is gone.
    #[error("This offer has ended or was used. Ask the other device for a new one.")]
    Ended,
    /// The account has as many devices as it may.
    #[error("The account has {MAX_DEVICES_PER_ACCOUNT} devices. Remove one first.")]
    TooMany,
    /// One-time prekeys are published with other bytes.
    #[error(transparent)]
    Publish(PublishError),
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        let code = match error {
            LinkError::Request(problem) => return problem,
            LinkError::Key(error) => return error.into(),
            LinkError::Publish(error) => return error.into(),
            LinkError::Fault(fault) => return fault.into(),
            LinkError::Ended => ErrorCode::InvalidLink,
            LinkError::TooMany => ErrorCode::TooManyDevices,
        };
        Self::new(code, error.to_string())
    }
}

/// Takes up an offer, or says what became of that.
///
/// # Errors
/// [`LinkError`].
pub async fn link(backend: &Backend, request: LinkRequest) -> Result<LinkStatus, LinkError> {
    request.check()?;
    let digest = digest(&request)?;
    let now = backend.clock.now();
    let mut link = backend.links.find_alive(&request.token, now).await?;
    if link.as_ref().is_some_and(|link| link.stage == Stage::Offered) {
        verify::new_device(&request.device)?;
        let links = &backend.links;
        link = links
            .take_up_if_open(&request.token, digest, &request.device, now)
            .await?;
    }
    let link = link.ok_or(LinkError::Ended)?;
    match link.stage {
        Stage::TakenUp { request: by, .. } if by == digest => {
            ask(backend, link.offerer, request).await?;
            Ok(LinkStatus::Waiting {
                next_in_seconds: LINK_POLL_SECONDS,
            })
        }
        Stage::Linked { request: by, device } if by == digest => {
            settle_in(backend, device, &request).await.map(LinkStatus::Linked)
        }
        _ => Err(LinkError::Ended),
    }
}

/// Tells the device that made the offer.
async fn ask(backend: &Backend, offerer: RegisteredDevice, request: LinkRequest) -> Result<(), LinkError> {
    let devices = backend.devices.find_all(offerer.address.account).await?;
    let offerer = devices.iter().find(|record| record.device == offerer);
    let offerer = offerer.ok_or(LinkError::Ended)?;
    let LinkRequest {
        token,
        device: new,
        sealed,
    } = request;
    let news = ServiceFrame::LinkRequested(LinkRequested {
        token,
        device: lowest_free(&devices).ok_or(LinkError::TooMany)?,
        keys: LinkKeys {
            registration: new.registration,
            signing_key: new.identity.signing_key,
            identity_key: new.identity.identity_key,
        },
        sealed,
    });
    tell(backend, [offerer], &news).await;
    Ok(())
}

/// Fills the pool of a device that was accepted.
async fn settle_in(
    backend: &Backend,
    device: RegisteredDevice,
    request: &LinkRequest,
) -> Result<Registered, LinkError> {
    let published = publish_one_time_prekeys(backend, device, &request.device.one_time_prekeys).await;
    published.map_err(|error| match error {
        // Revoked since.
        PublishError::Unknown => LinkError::Ended,
        PublishError::Conflict => LinkError::Publish(error),
        PublishError::Fault(fault) => LinkError::Fault(fault),
    })?;
    Ok(Registered {
        account: device.address.account,
        device: device.address.device,
    })
}

/// The hash of all that the request says: the token alone, once photographed, repeats nothing.
fn digest(request: &LinkRequest) -> Result<RequestDigest, Fault> {
    let bytes = serde_json::to_vec(request).map_err(|_| Fault::Internal)?;
    Ok(Sha256::digest(bytes).into())
}

/// The lowest id of 1 to [`MAX_DEVICES_PER_ACCOUNT`] that no device has.
fn lowest_free(records: &[DeviceRecord]) -> Option<DeviceId> {
    (1..=MAX_DEVICES_PER_ACCOUNT)
        .filter_map(|id| DeviceId::new(u64::try_from(id).ok()?).ok())
        .find(|id| records.iter().all(|record| record.device.address.device != *id))
}
