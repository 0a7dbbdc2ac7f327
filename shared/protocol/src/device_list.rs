//! An account's devices, as its owner vouches for them.
//!
//! The service stores the list and hands it out, but cannot write one: the account key signs it. So a device that the
//! service made up is on no list, and nobody encrypts to it. Lists are numbered: who has seen one takes no older one,
//! and two lists under one number prove that somebody lies.
//!
//! A [`SignedDeviceList`] exists only verified. [`SignedDeviceList::advance`] compares a new one with the one known
//! before and names what changed. The layout is in `docs/accounts.md`, "Device list".

mod changes;

use std::fmt;

pub use changes::{AdvanceError, DeviceChange};

use crate::{
    codec::{LengthError, Reader},
    keys::{
        AccountKey, AccountKeyPair, DeviceError, KeyError, PUBLIC_KEY_BYTES, SIGNATURE_BYTES, TheirDevice,
    },
    labels,
};

/// Bytes of an account's id.
pub const ACCOUNT_BYTES: usize = 16;

/// Devices of one account. Every message costs one ciphertext a device, so this bounds cost as well.
pub const MAX_DEVICES: usize = 6;

/// The largest number of a device. The smallest is 1.
pub const MAX_DEVICE_NUMBER: u8 = 127;

/// The largest registration id: 2³¹ − 1, so that it fits a signed 32-bit integer everywhere. The smallest is 1.
pub const MAX_REGISTRATION: u32 = i32::MAX as u32;

/// The largest version of a list: 2³¹ − 1, as for other numbers that cross the network. The smallest is 1.
pub const MAX_VERSION: u32 = i32::MAX as u32;

/// Bytes of a list with [`MAX_DEVICES`] devices.
pub const MAX_LIST_BYTES: usize = HEAD_BYTES + MAX_DEVICES * ENTRY_BYTES;

/// Label, version, account, account key, time, number of devices.
const HEAD_BYTES: usize = labels::DEVICE_LIST_SIGNATURE.len() + 4 + ACCOUNT_BYTES + PUBLIC_KEY_BYTES + 8 + 1;

/// Number, registration, signing key, identity key.
const ENTRY_BYTES: usize = 1 + 4 + TheirDevice::BYTES;

/// A device on a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedDevice {
    number: u8,
    registration: u32,
    keys: TheirDevice,
}

impl ListedDevice {
    /// An entry for a list.
    ///
    /// # Errors
    /// [`DeviceListError::Number`] or [`DeviceListError::Registration`].
    pub fn new(number: u8, registration: u32, keys: TheirDevice) -> Result<Self, DeviceListError> {
        if !(1..=MAX_DEVICE_NUMBER).contains(&number) {
            return Err(DeviceListError::Number(number));
        }
        if !(1..=MAX_REGISTRATION).contains(&registration) {
            return Err(DeviceListError::Registration { number });
        }
        Ok(Self {
            number,
            registration,
            keys,
        })
    }

    /// Which device of the account.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Its registration: another one after it was set up anew.
    pub fn registration(&self) -> u32 {
        self.registration
    }

    /// Its long-term keys.
    pub fn keys(&self) -> &TheirDevice {
        &self.keys
    }
}

/// By which key a list has to be signed.
#[derive(Clone, Copy, Debug)]
pub enum ExpectedKey<'a> {
    /// By whichever it names: nothing is known of the account yet, or [`SignedDeviceList::advance`] is to compare.
    FirstUse,
    /// By this one.
    Known(&'a AccountKey),
}

/// A list of devices with a signature that verifies.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedDeviceList {
    contents: Contents,
    bytes: Vec<u8>,
    signature: [u8; SIGNATURE_BYTES],
}

impl SignedDeviceList {
    /// Signs a list. The devices may come in any order.
    ///
    /// # Errors
    /// [`DeviceListError`], if the list would not verify.
    pub fn sign(
        by: &AccountKeyPair,
        account: [u8; ACCOUNT_BYTES],
        version: u32,
        issued_at_millis: u64,
        mut devices: Vec<ListedDevice>,
    ) -> Result<Self, DeviceListError> {
        devices.sort_by_key(ListedDevice::number);
        let contents = Contents {
            account,
            account_key: by.public().clone(),
            version,
            issued_at_millis,
            devices,
        };
        contents.check()?;
        let bytes = contents.encode()?;
        let signature = by.sign(&bytes);
        Ok(Self {
            contents,
            bytes,
            signature,
        })
    }

    /// Reads a list of `account`, label included, and verifies its signature.
    ///
    /// # Errors
    /// [`DeviceListError`], by what is wrong. [`DeviceListError::OtherAccount`] and
    /// [`DeviceListError::AccountKeyChanged`] come only of lists that verify otherwise.
    pub fn verify(
        list: &[u8],
        signature: &[u8; SIGNATURE_BYTES],
        account: &[u8; ACCOUNT_BYTES],
        expected: ExpectedKey<'_>,
    ) -> Result<Self, DeviceListError> {
        let contents = Contents::parse(list)?;
        contents
            .account_key
            .verify(list, signature)
            .map_err(|_| DeviceListError::Signature)?;
        if contents.account != *account {
            return Err(DeviceListError::OtherAccount);
        }
        match expected {
            ExpectedKey::Known(key) if *key != contents.account_key => {
                Err(DeviceListError::AccountKeyChanged)
            }
            ExpectedKey::Known(_) | ExpectedKey::FirstUse => Ok(Self {
                contents,
                bytes: list.to_vec(),
                signature: *signature,
            }),
        }
    }

    /// The signed bytes, label included.
    pub fn list_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The account key's signature over [`list_bytes`](Self::list_bytes).
    pub fn signature(&self) -> [u8; SIGNATURE_BYTES] {
        self.signature
    }

    /// Whose devices.
    pub fn account(&self) -> [u8; ACCOUNT_BYTES] {
        self.contents.account
    }

    /// The key that signed the list.
    pub fn account_key(&self) -> &AccountKey {
        &self.contents.account_key
    }

    /// The number of the list: 1 or more, rising.
    pub fn version(&self) -> u32 {
        self.contents.version
    }

    /// When it was signed, by the clock of who did, in milliseconds of Unix time. For people to read; clocks jump, so
    /// nothing is decided by it.
    pub fn issued_at_millis(&self) -> u64 {
        self.contents.issued_at_millis
    }

    /// The devices, by rising number.
    pub fn devices(&self) -> &[ListedDevice] {
        &self.contents.devices
    }

    /// The device with this number.
    pub fn device(&self, number: u8) -> Option<&ListedDevice> {
        self.devices().iter().find(|device| device.number == number)
    }
}

impl fmt::Debug for SignedDeviceList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedDeviceList")
            .field("version", &self.contents.version)
            .field("account_key", &self.contents.account_key)
            .field("devices", &self.contents.devices)
            .finish_non_exhaustive()
    }
}

/// Why a list was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceListError {
    /// The bytes do not begin with the label of this version of the protocol.
    #[error("not a device list of this version of the protocol")]
    Label,
    /// The bytes end too early or go on after the list.
    #[error("wrong length")]
    Length,
    /// The version lies outside 1 to [`MAX_VERSION`].
    #[error("version out of range")]
    Version,
    /// There is no device, or there are more than [`MAX_DEVICES`].
    #[error("a list names 1 to {MAX_DEVICES} devices")]
    Count,
    /// A device's number lies outside 1 to [`MAX_DEVICE_NUMBER`].
    #[error("device number {0} out of range")]
    Number(u8),
    /// Numbers do not rise from one device to the next.
    #[error("device {number} is out of order")]
    Order {
        /// The later of the two.
        number: u8,
    },
    /// A registration lies outside 1 to [`MAX_REGISTRATION`].
    #[error("device {number}: registration out of range")]
    Registration {
        /// Whose.
        number: u8,
    },
    /// The account key is no key.
    #[error("account key: {0}")]
    AccountKey(#[source] KeyError),
    /// The keys of a device are none, or one key twice.
    #[error("device {number}: {error}")]
    Device {
        /// Which.
        number: u8,
        /// What is wrong.
        #[source]
        error: DeviceError,
    },
    /// A device has a key that is the account's or another device's, or the negative of one on the list.
    #[error("device {number} shares a key")]
    SharedKey {
        /// The later of the two.
        number: u8,
    },
    /// The account key did not sign these bytes.
    #[error("the list is not signed by its account key")]
    Signature,
    /// A list of another account.
    #[error("a list of another account")]
    OtherAccount,
    /// Signed by another account key than the one expected.
    #[error("the account key is another one")]
    AccountKeyChanged,
}

impl From<LengthError> for DeviceListError {
    fn from(_: LengthError) -> Self {
        Self::Length
    }
}

/// What a list says.
#[derive(Clone, PartialEq, Eq)]
struct Contents {
    account: [u8; ACCOUNT_BYTES],
    account_key: AccountKey,
    version: u32,
    issued_at_millis: u64,
    devices: Vec<ListedDevice>,
}

impl Contents {
    /// Reads the one encoding a list has.
    fn parse(list: &[u8]) -> Result<Self, DeviceListError> {
        let rest = list
            .strip_prefix(labels::DEVICE_LIST_SIGNATURE)
            .ok_or(DeviceListError::Label)?;
        let mut reader = Reader::new(rest);
        let version = reader.u32()?;
        let account = *reader.array()?;
        let account_key = reader.array::<PUBLIC_KEY_BYTES>()?;
        let issued_at_millis = reader.u64()?;
        let count = usize::from(reader.u8()?);
        if count > MAX_DEVICES {
            return Err(DeviceListError::Count);
        }
        let account_key = AccountKey::from_bytes(account_key).map_err(DeviceListError::AccountKey)?;
        let mut devices = Vec::with_capacity(count);
        for _ in 0..count {
            let (number, registration) = (reader.u8()?, reader.u32()?);
            let keys = TheirDevice::from_bytes(reader.array()?)
                .map_err(|error| DeviceListError::Device { number, error })?;
            devices.push(ListedDevice::new(number, registration, keys)?);
        }
        reader.finish()?;
        let contents = Self {
            account,
            account_key,
            version,
            issued_at_millis,
            devices,
        };
        contents.check()?;
        Ok(contents)
    }

    /// Checks what no single field shows.
    fn check(&self) -> Result<(), DeviceListError> {
        if !(1..=MAX_VERSION).contains(&self.version) {
            return Err(DeviceListError::Version);
        }
        if !(1..=MAX_DEVICES).contains(&self.devices.len()) {
            return Err(DeviceListError::Count);
        }
        let mut known = vec![coordinate(self.account_key.to_bytes())];
        let mut previous = 0;
        for device in &self.devices {
            let number = device.number;
            if number <= previous {
                return Err(DeviceListError::Order { number });
            }
            previous = number;
            let keys = [
                device.keys.signing_key().to_bytes(),
                device.keys.identity_key().to_bytes(),
            ];
            for key in keys.map(coordinate) {
                if known.contains(&key) {
                    return Err(DeviceListError::SharedKey { number });
                }
                known.push(key);
            }
        }
        Ok(())
    }

    fn encode(&self) -> Result<Vec<u8>, DeviceListError> {
        let count = u8::try_from(self.devices.len()).map_err(|_| DeviceListError::Count)?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.devices.len() * ENTRY_BYTES);
        bytes.extend_from_slice(labels::DEVICE_LIST_SIGNATURE);
        bytes.extend_from_slice(&self.version.to_be_bytes());
        bytes.extend_from_slice(&self.account);
        bytes.extend_from_slice(&self.account_key.to_bytes());
        bytes.extend_from_slice(&self.issued_at_millis.to_be_bytes());
        bytes.push(count);
        for device in &self.devices {
            bytes.push(device.number);
            bytes.extend_from_slice(&device.registration.to_be_bytes());
            bytes.extend_from_slice(&device.keys.to_bytes());
        }
        Ok(bytes)
    }
}

/// The x-coordinate of a key. P and −P agree on the same secrets, so on a list they count as one key.
fn coordinate([_, x @ ..]: [u8; PUBLIC_KEY_BYTES]) -> [u8; PUBLIC_KEY_BYTES - 1] {
    x
}

#[cfg(test)]
mod tests;
