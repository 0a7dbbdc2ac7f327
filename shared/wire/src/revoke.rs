//! `POST /v1/devices/revoke`: end devices of the own account.

use serde::{Deserialize, Serialize};

use crate::{devices::DeviceList, error::Problem};

/// End the devices that the next list leaves out. Repeating it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeRequest {
    /// The account's next list: the present one with fewer devices.
    pub list: DeviceList,
}

impl RevokeRequest {
    /// Checks what JSON's shape alone does not.
    ///
    /// # Errors
    /// As [`DeviceList::check`].
    pub fn check(&self) -> Result<(), Problem> {
        self.list.check()
    }
}

/// The devices have ended: token, connection, prekeys and mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// How many this request ended.
    pub ended: u32,
}
