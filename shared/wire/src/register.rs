//! `POST /v1/accounts`: create an account with its first device, or take over the account of one's own number.
//! Needs a ticket from [`confirm`](crate::confirm) instead of a token.

use serde::{Deserialize, Serialize};

use crate::{
    devices::DeviceList,
    error::Problem,
    ids::{AccountId, DeviceId},
    keys::NewDevice,
    secret::{LockProof, Ticket},
};

/// Create an account, or take it over. Repeating it with the same ticket and keys changes nothing and gives the
/// same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// The id the device chose, at random; or that of the number's existing account.
    pub account: AccountId,
    /// From `confirm`, good once.
    pub ticket: Ticket,
    /// What the PIN gives, if the existing account is locked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_proof: Option<LockProof>,
    /// The account's first list, or the next one of an existing account. It names one device: the one below,
    /// with id 1.
    pub list: DeviceList,
    /// The device.
    pub device: NewDevice,
}

impl RegisterRequest {
    /// Checks what JSON's shape alone does not.
    ///
    /// # Errors
    /// As [`DeviceList::check`] and [`NewDevice::check`].
    pub fn check(&self) -> Result<(), Problem> {
        self.list.check()?;
        self.device.check()
    }
}

/// The device is in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The account.
    pub account: AccountId,
    /// The id of its new device.
    pub device: DeviceId,
}
