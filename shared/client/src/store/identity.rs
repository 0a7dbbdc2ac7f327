//! Table `this_device`: who this device is.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_protocol::keys::{AccountKeyPair, DeviceKeys, IdentityKeyPair, SigningKeyPair};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, RegisteredDevice, RegistrationId, frame::RemovalReason,
};

use super::{StoreError, columns, timeline};

/// This device, from the moment its keys are made.
#[derive(Clone, Debug)]
pub(crate) struct ThisDevice {
    pub(crate) keys: DeviceKeys,
    pub(crate) registration: RegistrationId,
    pub(crate) account: AccountId,
    /// `None` until the service has answered.
    pub(crate) device: Option<DeviceId>,
    /// Only on the device that registered the account.
    pub(crate) account_key: Option<AccountKeyPair>,
    /// Why it is not in the account any more, if it is not.
    pub(crate) removed: Option<RemovalReason>,
}

impl ThisDevice {
    /// The device as the service knows it, once it does.
    pub(crate) fn registered(&self) -> Option<RegisteredDevice> {
        let address = DeviceAddress {
            account: self.account,
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
        .prepare_cached(
            "SELECT account, device, registration, signing_key, identity_key, account_key, removed
             FROM this_device",
        )?
        .query_row([], |row| {
            Ok((
                columns::account(row, 0)?,
                columns::optional(row, 1, columns::device)?,
                columns::registration(row, 2)?,
                columns::secret(row, 3)?,
                columns::secret(row, 4)?,
                columns::optional(row, 5, columns::secret)?,
                columns::optional(row, 6, |row, at| {
                    timeline::from_json(&row.get::<_, String>(at)?, at)
                })?,
            ))
        })
        .optional()?;
    let Some((account, device, registration, signing, identity, account_key, removed)) = row else {
        return Ok(None);
    };
    let signing = SigningKeyPair::from_bytes(&signing).map_err(|_| StoreError::Damaged("signing key"))?;
    let identity = IdentityKeyPair::from_bytes(&identity).map_err(|_| StoreError::Damaged("identity key"))?;
    let account_key = account_key
        .map(|key| AccountKeyPair::from_bytes(&key))
        .transpose()
        .map_err(|_| StoreError::Damaged("account key"))?;
    Ok(Some(ThisDevice {
        keys: DeviceKeys::new(signing, identity),
        registration,
        account,
        device,
        account_key,
        removed,
    }))
}

/// Stores a device that was just made, in place of one that never got in.
pub(crate) fn insert(tx: &Transaction<'_>, device: &ThisDevice) -> Result<(), StoreError> {
    tx.execute("DELETE FROM this_device", [])?;
    tx.execute(
        "INSERT INTO this_device VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, NULL, 1, 1, 0, NULL)",
        params![
            device.account.to_bytes(),
            device.device.map(DeviceId::get),
            device.registration.get(),
            device.keys.signing().to_bytes().as_slice(),
            device.keys.identity().to_bytes().as_slice(),
            device.account_key.as_ref().map(|key| key.to_bytes().to_vec()),
        ],
    )?;
    Ok(())
}

/// Stores what the service answered: the device is in.
pub(crate) fn complete(tx: &Transaction<'_>, device: DeviceId) -> Result<(), StoreError> {
    tx.execute("UPDATE this_device SET device = ?1", [device.get()])?;
    Ok(())
}

/// Whether this device has the account's key: whether it registered the account.
pub(crate) fn has_account_key(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM this_device WHERE account_key IS NOT NULL")?
        .exists([])?)
}

/// Notes that this device is not in its account any more. Returns whether that is new.
pub(crate) fn remove(tx: &Transaction<'_>, reason: RemovalReason) -> Result<bool, StoreError> {
    let set = "UPDATE this_device SET removed = ?1 WHERE removed IS NULL";
    Ok(tx.execute(set, [timeline::to_json(&reason)?])? == 1)
}

/// The list of devices that was signed last, whether or not the service took it.
pub(crate) fn next_list(tx: &Transaction<'_>) -> Result<Option<DeviceList>, StoreError> {
    let list: Option<String> = tx
        .query_row("SELECT next_list FROM this_device", [], |row| row.get(0))
        .optional()?
        .flatten();
    list.map(|list| serde_json::from_str(&list).map_err(|_| StoreError::Damaged("signed list")))
        .transpose()
}

/// Stores a list of devices before it leaves.
pub(crate) fn set_next_list(tx: &Transaction<'_>, list: &DeviceList) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE this_device SET next_list = ?1",
        [timeline::to_json(list)?],
    )?;
    Ok(())
}

/// When the service was last asked what it publishes of this device; 0 for never.
pub(crate) fn keys_checked_at(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    Ok(
        tx.query_row("SELECT keys_checked_at FROM this_device", [], |row| {
            columns::count(row, 0)
        })?,
    )
}

/// Notes that the service was asked what it publishes of this device.
pub(crate) fn set_keys_checked(tx: &Transaction<'_>, now_millis: u64) -> Result<(), StoreError> {
    let set = "UPDATE this_device SET keys_checked_at = ?1";
    tx.execute(set, [columns::to_integer(now_millis)])?;
    Ok(())
}
