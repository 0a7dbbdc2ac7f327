//! Table `this_device`: who this device is.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_protocol::keys::{DeviceKeys, IdentityKeyPair, SigningKeyPair};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, RegisteredDevice, RegistrationId};

use super::{StoreError, columns};

/// This device, from the moment its keys are made.
#[derive(Clone, Debug)]
pub(crate) struct ThisDevice {
    pub(crate) keys: DeviceKeys,
    pub(crate) registration: RegistrationId,
    /// `None` on a device that is to be linked.
    pub(crate) account: Option<AccountId>,
    /// `None` until the service has answered.
    pub(crate) device: Option<DeviceId>,
}

impl ThisDevice {
    /// The device as the service knows it, once it does.
    pub(crate) fn registered(&self) -> Option<RegisteredDevice> {
        let address = DeviceAddress {
            account: self.account?,
            device: self.device?,
        };
        Some(RegisteredDevice {
            address,
            registration: self.registration,
        })
    }
}

/// This device, if its keys are made.
pub(crate) fn load(tx: &Transaction<'_>) -> Result<Option<ThisDevice>, StoreError> {
    let row = tx
        .prepare_cached("SELECT account, device, registration, signing_key, identity_key FROM this_device")?
        .query_row([], |row| {
            Ok((
                columns::optional(row, 0, columns::account)?,
                columns::optional(row, 1, columns::device)?,
                columns::registration(row, 2)?,
                columns::secret(row, 3)?,
                columns::secret(row, 4)?,
            ))
        })
        .optional()?;
    let Some((account, device, registration, signing, identity)) = row else {
        return Ok(None);
    };
    let signing = SigningKeyPair::from_bytes(&signing).map_err(|_| StoreError::Damaged("signing key"))?;
    let identity = IdentityKeyPair::from_bytes(&identity).map_err(|_| StoreError::Damaged("identity key"))?;
    Ok(Some(ThisDevice {
        keys: DeviceKeys::new(signing, identity),
        registration,
        account,
        device,
    }))
}

/// Stores a device that was just made.
pub(crate) fn insert(tx: &Transaction<'_>, device: &ThisDevice) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO this_device VALUES (1, ?1, ?2, ?3, ?4, ?5, 1, 1)",
        params![
            device.account.map(AccountId::to_bytes),
            device.device.map(DeviceId::get),
            device.registration.get(),
            device.keys.signing().to_bytes().as_slice(),
            device.keys.identity().to_bytes().as_slice(),
        ],
    )?;
    Ok(())
}

/// Stores what the service answered: the device is in.
pub(crate) fn complete(tx: &Transaction<'_>, address: DeviceAddress) -> Result<(), StoreError> {
    let set = "UPDATE this_device SET account = ?1, device = ?2";
    tx.execute(set, params![address.account.to_bytes(), address.device.get()])?;
    Ok(())
}
