//! `link`: another device of an account, added by one that is in.
//!
//! The new device gets the lowest free id, by a conditional put; whoever loses a race for an id looks again. So
//! no two devices share an id, and no account grows past its bound. The same request cannot get two ids either:
//! whoever reads a lower id as taken also reads who took it.
//!
//! Twice, or after a run that broke off: the device is found by its keys, the rest of its pool is filled in, the
//! account's other devices are told (again), and the answer is the same.

use futures_util::future::join_all;
use waxwing_wire::{
    DeviceAddress, DeviceId, ErrorCode, Problem, RegisteredDevice, ServiceFrame,
    frame::DevicesChanged,
    keys::{DeviceIdentity, NewDevice},
    limits::MAX_DEVICES_PER_ACCOUNT,
    link::LinkRequest,
    register::Registered,
};

use crate::{
    Backend,
    fault::Fault,
    publish::{add_device_if_absent, publish_one_time_prekeys},
    tables::devices::DeviceRecord,
    verify::{self, KeyError},
};

/// Races for an id that one link loses before it gives up: more than there are ids.
const MAX_LOST_RACES: usize = MAX_DEVICES_PER_ACCOUNT + 2;

/// Why a device was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// A key or a signature is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The account has as many devices as it may.
    #[error("The account has {MAX_DEVICES_PER_ACCOUNT} devices. Remove one first.")]
    TooMany,
    /// The signing key is in the account already, with another registration or identity key.
    #[error("A device with this signing key and other keys is in the account already.")]
    Taken,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<LinkError> for Problem {
    fn from(error: LinkError) -> Self {
        let code = match error {
            LinkError::Request(problem) => return problem,
            LinkError::Key(error) => return error.into(),
            LinkError::Fault(fault) => return fault.into(),
            LinkError::TooMany => ErrorCode::TooManyDevices,
            LinkError::Taken => ErrorCode::AccountTaken,
        };
        Self::new(code, error.to_string())
    }
}

/// Adds a device to the account of `linker`.
///
/// # Errors
/// [`LinkError`].
pub async fn link(
    backend: &Backend,
    linker: RegisteredDevice,
    request: LinkRequest,
) -> Result<Registered, LinkError> {
    let new = request.device;
    new.check()?;
    verify::new_device(&new)?;
    let account = linker.address.account;
    let (device, others) = find_or_add(backend, linker, &new).await?;
    publish_one_time_prekeys(backend, device, &new.one_time_prekeys)
        .await?
        .ok_or(LinkError::Taken)?;
    tell(
        backend,
        others
            .iter()
            .filter(|other| other.device.address != linker.address),
    )
    .await;
    Ok(Registered {
        account,
        device: device.address.device,
    })
}

/// The new device and those that were in the account.
async fn find_or_add(
    backend: &Backend,
    linker: RegisteredDevice,
    new: &NewDevice,
) -> Result<(RegisteredDevice, Vec<DeviceRecord>), LinkError> {
    let account = linker.address.account;
    for _ in 0..MAX_LOST_RACES {
        let records = backend.devices.find_all(account).await?;
        let signing_key = new.identity.signing_key;
        if let Some(own) = records.iter().find(|record| record.signing_key == signing_key) {
            let device = own.device;
            let is_same = device.registration == new.registration
                && has_identity(backend, device.address, &new.identity).await?;
            return if is_same {
                Ok((device, records))
            } else {
                Err(LinkError::Taken)
            };
        }
        let address = DeviceAddress {
            account,
            device: lowest_free(&records).ok_or(LinkError::TooMany)?,
        };
        let device = RegisteredDevice {
            address,
            registration: new.registration,
        };
        if add_device_if_absent(backend, device, new).await? {
            return Ok((device, records));
        }
    }
    Err(Fault::Unavailable.into())
}

async fn has_identity(
    backend: &Backend,
    address: DeviceAddress,
    identity: &DeviceIdentity,
) -> Result<bool, Fault> {
    let record = backend.keys.find(address).await?;
    Ok(record.is_some_and(|record| record.published.identity == *identity))
}

/// The lowest id of 1 to [`MAX_DEVICES_PER_ACCOUNT`] that no device has.
fn lowest_free(records: &[DeviceRecord]) -> Option<DeviceId> {
    (1..=MAX_DEVICES_PER_ACCOUNT)
        .filter_map(|id| DeviceId::new(u64::try_from(id).ok()?).ok())
        .find(|id| records.iter().all(|record| record.device.address.device != *id))
}

/// Tells connected devices that their account's list changed. A failure is only logged, where it happens: the
/// next `send` to the account answers with the difference.
async fn tell(backend: &Backend, devices: impl Iterator<Item = &DeviceRecord>) {
    let posts = devices.filter_map(|record| {
        let connection = record.connection.as_ref()?;
        let account = record.device.address.account;
        let news = ServiceFrame::DevicesChanged(DevicesChanged { account });
        Some(async move { backend.sockets.post(connection, &news).await })
    });
    join_all(posts).await;
}
