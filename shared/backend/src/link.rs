//! `link`: another device of an account, added by one that is in.
//!
//! The new device gets the lowest free id, by a conditional put; whoever loses a race for an id looks again. So
//! no two devices share an id, and no account grows past its bound. The same request cannot get two ids either:
//! whoever reads a lower id as taken also reads who took it.
//!
//! Twice, or after a run that broke off: the device is found by its keys, the rest of its pool is filled in,
//! the account's other devices are told (again), and the answer is the same.

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
    let (device, records) = find_or_add(backend, linker, &new).await?;
    publish_one_time_prekeys(backend, device, &new.one_time_prekeys)
        .await?
        .ok_or(LinkError::Taken)?;
    let told = records
        .iter()
        .filter(|record| ![linker, device].contains(&record.device));
    tell(backend, told).await;
    Ok(Registered {
        account,
        device: device.address.device,
    })
}

/// The new device and what was read of the account.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        testing::{Answer, backend, device, device_item, done, operations, refused, standard_base64},
        verify::tests::TestDevice,
    };

    fn record(id: u64) -> DeviceRecord {
        let signing_key = waxwing_wire::PublicKey::new([2; 33]).unwrap();
        DeviceRecord {
            device: device(1, id, 7),
            signing_key,
            connection: None,
            waiting_since: None,
        }
    }

    #[test]
    fn a_device_gets_the_lowest_free_id_and_a_full_account_has_none() {
        let free = |ids: &[u64]| lowest_free(&ids.iter().map(|id| record(*id)).collect::<Vec<_>>());
        assert_eq!(free(&[1]), DeviceId::new(2).ok());
        assert_eq!(free(&[1, 2, 4]), DeviceId::new(3).ok());
        assert_eq!(free(&[1, 2, 3, 4, 5]), DeviceId::new(6).ok());
        assert_eq!(free(&[1, 2, 3, 4, 5, 6]), None);
    }

    fn condition_failed() -> Answer {
        let (status, mut body) = refused("TransactionCanceledException");
        body["CancellationReasons"] = json!([{ "Code": "ConditionalCheckFailed" }]);
        (status, body)
    }

    fn keys_item(new: &NewDevice) -> Value {
        let binary = |bytes: &[u8]| json!({ "B": standard_base64(bytes) });
        json!({
            "d": binary(&[2]),
            "r": { "N": new.registration.to_string() },
            "s": binary(new.identity.signing_key.as_bytes()),
            "i": binary(new.identity.identity_key.as_bytes()),
            "n": binary(new.identity.identity_signature.as_bytes()),
            "k": { "N": new.signed_prekey.id.to_string() },
            "p": binary(new.signed_prekey.key.as_bytes()),
            "g": binary(new.signed_prekey.signature.as_bytes()),
        })
    }

    #[tokio::test]
    async fn whoever_loses_a_race_for_an_id_takes_the_next() {
        let lost = AtomicBool::new(false);
        let new = TestDevice::new(3).published;
        let published = keys_item(&new);
        let (backend, calls) = backend(move |call| match call.operation.as_str() {
            "Query" if lost.load(Ordering::Relaxed) => {
                let items = [1, 2].map(|id| device_item(device(1, id, 7), Some("open")));
                (200, json!({ "Items": items }))
            }
            "Query" => (200, json!({ "Items": [device_item(device(1, 1, 7), None)] })),
            "TransactWriteItems" if !lost.swap(true, Ordering::Relaxed) => condition_failed(),
            "GetItem" => (200, json!({ "Item": published })),
            _ => done(),
        });
        let linked = link(&backend, device(1, 1, 7), LinkRequest { device: new })
            .await
            .unwrap();
        assert_eq!(linked.device, DeviceId::new(3).unwrap());
        let posts = operations(&calls);
        // The other device is told, the one that asked is not.
        assert_eq!(posts.iter().filter(|call| *call == "POST open").count(), 1);
    }

    /// I14: the second run of the same request finds the device and adds nothing.
    #[tokio::test]
    async fn the_same_keys_again_give_the_same_device() {
        let new = TestDevice::new(3).published;
        let mut own = device_item(device(1, 2, u64::from(new.registration.get())), None);
        own["v"] = json!({ "B": standard_base64(new.identity.signing_key.as_bytes()) });
        let mut published = keys_item(&new);
        published["h"] = json!({ "N": "7" });
        let script = move |call: &crate::testing::Call| match call.operation.as_str() {
            "Query" => (200, json!({ "Items": [device_item(device(1, 1, 7), None), own] })),
            "GetItem" => (200, json!({ "Item": published })),
            _ => done(),
        };
        let (backend, calls) = backend(script);
        let same = LinkRequest { device: new.clone() };
        assert_eq!(
            link(&backend, device(1, 1, 7), same).await.unwrap().device,
            DeviceId::new(2).unwrap()
        );
        assert!(!operations(&calls).iter().any(|call| call.starts_with("Transact")));

        let mut other = new;
        other.registration = waxwing_wire::RegistrationId::MAX;
        let other = LinkRequest { device: other };
        assert_eq!(
            link(&backend, device(1, 1, 7), other).await,
            Err(LinkError::Taken)
        );
    }

    #[tokio::test]
    async fn x08_nothing_is_read_or_written_for_keys_that_do_not_verify() {
        let mut new = TestDevice::new(3).published;
        new.signed_prekey.id = waxwing_wire::KeyId::MAX;
        let (backend, calls) = backend(|_| done());
        let result = link(&backend, device(1, 1, 7), LinkRequest { device: new }).await;
        assert_eq!(result, Err(LinkError::Key(KeyError::Signature)));
        assert!(operations(&calls).is_empty());
    }
}
