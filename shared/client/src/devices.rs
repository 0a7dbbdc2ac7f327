//! The devices of the own account: who is on the list, and how the next list is signed.
//!
//! Only the device that registered the account has its key. A list is stored before it leaves, and no second one is
//! signed under its version as long as the first says what is wanted: two lists of one version would look like a lie
//! to whoever sees both.

use std::sync::Arc;

use rusqlite::Transaction;
use serde::Serialize;
use waxwing_protocol::{
    device_list::{ListedDevice, SignedDeviceList},
    keys::TheirDevice,
};
use waxwing_wire::{
    DeviceAddress, DeviceId, DeviceList, ErrorCode, RegistrationId,
    revoke::{RevokeRequest, Revoked},
};

use crate::{
    clock,
    connection::keeper::{self, FetchError},
    directory::TakeError,
    sessions::Me,
    shared::Shared,
    store::{StoreError, identity, lists},
    transport::http::HttpError,
    trust,
};

/// Why the own devices are as they were.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevicesError {
    /// The device has no account.
    #[error("the device has no account; register or link it first")]
    NotRegistered,
    /// Only the device that registered the account can change its list.
    #[error("only the device that registered the account can do this")]
    NotPrimary,
    /// This very device cannot remove itself: who has the account's key must stay on its list.
    #[error("this device has the account's key; it cannot remove itself")]
    OwnDevice,
    /// There is no such device.
    #[error("the account has no such device")]
    NoSuchDevice,
    /// The account has as many devices as it may.
    #[error("the account has as many devices as it may; remove one first")]
    TooMany,
    /// The service presents a list that cannot be the account's.
    #[error("the service presents a wrong list of the own devices: {0}")]
    List(#[from] trust::ListError),
    /// The service refused or could not be reached.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<FetchError> for DevicesError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Http(error) => error.into(),
            FetchError::Take(error) => error.into(),
        }
    }
}

impl From<TakeError> for DevicesError {
    fn from(error: TakeError) -> Self {
        match error {
            TakeError::List(error) => error.into(),
            TakeError::Keys(_) => trust::ListError::Invalid.into(),
            TakeError::Store(error) => error.into(),
        }
    }
}

/// A device of the own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct OwnDevice {
    /// Where it is.
    pub address: DeviceAddress,
    /// Whether it is this one.
    pub this: bool,
}

/// The devices on the newest list of the own account that is known here, by rising number.
pub(crate) fn own(shared: &Shared) -> Result<Vec<OwnDevice>, DevicesError> {
    let me = shared.me().ok_or(DevicesError::NotRegistered)?;
    let account = me.address().account;
    let list = shared.store.read_now(|tx| lists::trusted(tx, account))?;
    let devices = list.iter().flat_map(SignedDeviceList::devices);
    Ok(devices
        .map(|listed| {
            let address = trust::registered(account, listed)?.address;
            let this = address == me.address();
            Ok(OwnDevice { address, this })
        })
        .collect::<Result<_, StoreError>>()?)
}

/// Ends a device of the own account.
pub(crate) async fn revoke(shared: &Shared, device: DeviceId) -> Result<(), DevicesError> {
    let _one_at_a_time = shared.joining.lock().await;
    let me = shared.me().ok_or(DevicesError::NotRegistered)?;
    if device == me.address().device {
        return Err(DevicesError::OwnDevice);
    }
    keeper::fetch(shared, &me, me.address().account).await?;
    let list = sign_next(shared, &me, move |devices| {
        let before = devices.len();
        devices.retain(|listed| listed.number() != device.get());
        if devices.len() < before {
            Ok(())
        } else {
            Err(DevicesError::NoSuchDevice)
        }
    })
    .await?;
    let request = RevokeRequest { list };
    let _: Revoked = shared
        .http
        .post("/v1/devices/revoke", Some(&me.credentials), &request)
        .await?;
    published(shared, &me, request.list).await
}

/// Signs the account's next list: the present one as `change` makes it. Stored before it is returned.
pub(crate) async fn sign_next(
    shared: &Shared,
    me: &Arc<Me>,
    change: impl FnOnce(&mut Vec<ListedDevice>) -> Result<(), DevicesError> + Send + 'static,
) -> Result<DeviceList, DevicesError> {
    let account = me.address().account;
    shared
        .store
        .write(move |tx| {
            let present = lists::trusted(tx, account)?.ok_or(StoreError::Damaged("own list of devices"))?;
            let mut devices = present.devices().to_vec();
            change(&mut devices)?;
            sign(tx, &present, devices, clock::now_millis())
        })
        .await
}

fn sign(
    tx: &Transaction<'_>,
    present: &SignedDeviceList,
    devices: Vec<ListedDevice>,
    now_millis: u64,
) -> Result<DeviceList, DevicesError> {
    let this = identity::load(tx)?.ok_or(DevicesError::NotRegistered)?;
    let key = this.account_key.ok_or(DevicesError::NotPrimary)?;
    let version = present.version().saturating_add(1);
    if let Some(before) = identity::next_list(tx)?
        && before.version.get() == version
        && trust::verify(this.account, &before)?.devices() == devices
    {
        return Ok(before);
    }
    let signed = SignedDeviceList::sign(&key, present.account(), version, now_millis, devices)
        .map_err(|_| DevicesError::TooMany)?;
    let list = trust::to_wire(&signed)?;
    identity::set_next_list(tx, &list)?;
    Ok(list)
}

/// The service has taken a list that this device signed.
pub(crate) async fn published(shared: &Shared, me: &Arc<Me>, list: DeviceList) -> Result<(), DevicesError> {
    let me = me.clone();
    shared
        .apply(move |tx| trust::take_own(tx, &me, &list, clock::now_millis()))
        .await?;
    // What is in the outbox is for the devices that are in now.
    shared.outbox_grew.notify_one();
    Ok(())
}

/// An entry of a list.
pub(crate) fn entry(
    device: DeviceId,
    registration: RegistrationId,
    keys: TheirDevice,
) -> Result<ListedDevice, StoreError> {
    ListedDevice::new(device.get(), registration.get(), keys).map_err(|_| StoreError::Damaged("device"))
}

/// Whether the account has room for one more device.
pub(crate) fn no_room(error: &HttpError) -> bool {
    error.is(ErrorCode::TooManyDevices)
}
