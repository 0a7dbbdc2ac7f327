//! An account's devices, as its owner vouches for them: a list signed by the account key.
//!
//! The service stores the list and hands it out; it cannot write one. So a device that the service made up is on
//! no list, and nobody encrypts to it.

use serde::{Deserialize, Serialize};

use crate::{
    bytes::{PublicKey, Signature},
    error::{ErrorCode, Problem},
    ids::{AccountId, DeviceId, ListVersion, RegistrationId},
    limits::MAX_DEVICES_PER_ACCOUNT,
};

/// What goes before the bytes of a list when the account key signs it.
const LABEL: &[u8] = b"Waxwing v1 device list";

/// A device on the list: the registration and long-term keys that the account's owner saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedDevice {
    /// Which device of the account.
    pub device: DeviceId,
    /// Its registration.
    pub registration: RegistrationId,
    /// Verifies the device's signatures.
    pub signing_key: PublicKey,
    /// Takes part in key agreements.
    pub identity_key: PublicKey,
}

/// The signed list of an account's devices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceList {
    /// Verifies the list (ECDSA over P-256 with SHA-256). None of the devices' keys.
    pub account_key: PublicKey,
    /// Rises by one with every list of the account, also when the account key is another.
    pub version: ListVersion,
    /// When the list was made: milliseconds of Unix time.
    pub issued_at: u64,
    /// 1 to [`MAX_DEVICES_PER_ACCOUNT`], by rising id.
    pub devices: Vec<ListedDevice>,
    /// By the account key, over [`signing_bytes`](Self::signing_bytes).
    pub signature: Signature,
}

impl DeviceList {
    /// The bytes that the account key signs: the label, version (4 bytes), account (16), account key (33), time
    /// (8), number of devices (1), and for each its id (1), registration (4), signing key (33) and identity key
    /// (33). Numbers are big-endian.
    pub fn signing_bytes(&self, account: AccountId) -> Vec<u8> {
        let count = u8::try_from(self.devices.len()).unwrap_or(u8::MAX);
        let mut bytes = LABEL.to_vec();
        bytes.extend(self.version.get().to_be_bytes());
        bytes.extend(account.to_bytes());
        bytes.extend(self.account_key.as_bytes());
        bytes.extend(self.issued_at.to_be_bytes());
        bytes.push(count);
        for listed in &self.devices {
            bytes.push(listed.device.get());
            bytes.extend(listed.registration.get().to_be_bytes());
            bytes.extend(listed.signing_key.as_bytes());
            bytes.extend(listed.identity_key.as_bytes());
        }
        bytes
    }

    /// The entry of a device.
    pub fn find(&self, device: DeviceId) -> Option<&ListedDevice> {
        self.devices.iter().find(|listed| listed.device == device)
    }

    /// Checks what JSON's shape alone does not: the number of devices and the order of their ids.
    ///
    /// # Errors
    /// [`ErrorCode::TooManyDevices`] or [`ErrorCode::Malformed`].
    pub fn check(&self) -> Result<(), Problem> {
        if self.devices.len() > MAX_DEVICES_PER_ACCOUNT {
            let message =
                format!("An account has at most {MAX_DEVICES_PER_ACCOUNT} devices. Remove one first.");
            return Err(Problem::new(ErrorCode::TooManyDevices, message));
        }
        if self.devices.is_empty() || !self.devices.is_sorted_by(|a, b| a.device < b.device) {
            return Err(Problem::new(
                ErrorCode::Malformed,
                "A device list names at least one device, ids rising from one to the next.",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(first: u8, fill: u8) -> PublicKey {
        let mut bytes = [fill; 33];
        bytes[0] = first;
        PublicKey::new(bytes).unwrap()
    }

    fn list(devices: &[u64]) -> DeviceList {
        DeviceList {
            account_key: key(2, 9),
            version: ListVersion::MIN,
            issued_at: 7,
            devices: devices
                .iter()
                .map(|id| ListedDevice {
                    device: DeviceId::new(*id).unwrap(),
                    registration: RegistrationId::new(5).unwrap(),
                    signing_key: key(2, 1),
                    identity_key: key(3, 2),
                })
                .collect(),
            signature: Signature::new([0; 64]),
        }
    }

    #[test]
    fn the_signed_bytes_have_one_fixed_layout() {
        let account = AccountId::from_bytes(&[0x44; 16])
            .unwrap_or_else(|_| "3b9f2c64-7d1e-4a58-9c0b-5e8d4f6a1b20".parse().unwrap());
        let bytes = list(&[1, 2]).signing_bytes(account);
        assert_eq!(
            bytes.len(),
            LABEL.len() + 4 + 16 + 33 + 8 + 1 + 2 * (1 + 4 + 33 + 33)
        );
        assert!(bytes.starts_with(b"Waxwing v1 device list\0\0\0\x01"));
    }

    #[test]
    fn a_list_has_one_to_six_devices_with_rising_ids() {
        assert!(list(&[1]).check().is_ok());
        assert!(list(&[1, 2, 3, 4, 5, 9]).check().is_ok());
        for (devices, code) in [
            (&[][..], ErrorCode::Malformed),
            (&[2, 1], ErrorCode::Malformed),
            (&[1, 1], ErrorCode::Malformed),
            (&[1, 2, 3, 4, 5, 6, 7], ErrorCode::TooManyDevices),
        ] {
            assert_eq!(list(devices).check().unwrap_err().code, code, "{devices:?}");
        }
    }
}
