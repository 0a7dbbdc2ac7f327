//! `POST /v1/accounts`: create an account with its first device. Needs no token.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{AccountId, DeviceId},
    keys::NewDevice,
};

/// Create an account. Repeating it with the same keys changes nothing and gives the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisterRequest {
    /// The id the device chose, at random.
    pub account: AccountId,
    /// The first device.
    pub device: NewDevice,
}

/// The account exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The account.
    pub account: AccountId,
    /// The id of its new device.
    pub device: DeviceId,
}
