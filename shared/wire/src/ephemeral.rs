//! `ephemeral`: something for now alone, to those devices of an account that are connected.
//!
//! Nothing of it is kept and nothing answers it: the sender does not learn who is connected, also not by how long
//! an answer takes. It may be lost at any point.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    bytes::SealedEphemeral,
    error::{ErrorCode, Problem},
    ids::{AccountId, DeviceAddress, DeviceId, RegistrationId},
    limits::MAX_DEVICES_PER_ACCOUNT,
};

/// One ephemeral message, for devices of one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EphemeralRequest {
    /// Whose devices.
    pub account: AccountId,
    /// 1 to [`MAX_DEVICES_PER_ACCOUNT`], none twice. Not all that the account has need be there.
    pub devices: Vec<EphemeralDevice>,
}

/// A device and what is for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EphemeralDevice {
    /// The device.
    pub device: DeviceId,
    /// As the sender knows it. A device that registered anew gets nothing.
    pub registration: RegistrationId,
    /// What the sender's device sealed for it.
    pub sealed: SealedEphemeral,
}

impl EphemeralRequest {
    /// Checks the bound on the list.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`] or, for an empty list or a device listed twice, [`ErrorCode::Malformed`].
    pub fn check(&self) -> Result<(), Problem> {
        let devices: BTreeSet<_> = self.devices.iter().map(|device| device.device).collect();
        if self.devices.len() > MAX_DEVICES_PER_ACCOUNT {
            let message = format!("An account has at most {MAX_DEVICES_PER_ACCOUNT} devices.");
            Err(Problem::new(ErrorCode::TooLarge, message))
        } else if devices.is_empty() || devices.len() != self.devices.len() {
            let message = "An ephemeral message needs at least one device, and none twice.";
            Err(Problem::new(ErrorCode::Malformed, message))
        } else {
            Ok(())
        }
    }
}

/// News: a device said something for now alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ephemeral {
    /// Which device, as the service authenticated it.
    pub from: DeviceAddress,
    /// What it sealed for this device.
    pub sealed: SealedEphemeral,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(devices: &[u64]) -> EphemeralRequest {
        let devices = devices.iter().map(|device| EphemeralDevice {
            device: DeviceId::new(*device).unwrap(),
            registration: RegistrationId::MAX,
            sealed: SealedEphemeral::new([7; SealedEphemeral::BYTES]),
        });
        EphemeralRequest {
            account: AccountId::from_bytes(&[
                0x3b, 0x9f, 0x2c, 0x64, 0x7d, 0x1e, 0x4a, 0x58, 0x9c, 0x0b, 0x5e, 0x8d, 0x4f, 0x6a, 0x1b,
                0x20,
            ])
            .unwrap(),
            devices: devices.collect(),
        }
    }

    #[test]
    fn x83_a_list_is_refused_that_is_empty_too_long_or_names_a_device_twice() {
        let code = |devices: &[u64]| request(devices).check().err().map(|problem| problem.code);
        assert_eq!(code(&[1, 2, 3, 4, 5, 6]), None);
        assert_eq!(code(&[1, 2, 3, 4, 5, 6, 7]), Some(ErrorCode::TooLarge));
        assert_eq!(code(&[]), Some(ErrorCode::Malformed));
        assert_eq!(code(&[1, 2, 1]), Some(ErrorCode::Malformed));
    }

    #[test]
    fn x51_nothing_but_the_one_length_is_accepted() {
        for (bytes, accepted) in [(96, false), (97, true), (98, false)] {
            let json = serde_json::to_string(&crate::bytes::to_base64(&vec![7; bytes])).unwrap();
            assert_eq!(
                serde_json::from_str::<SealedEphemeral>(&json).is_ok(),
                accepted,
                "{bytes}"
            );
        }
    }
}
