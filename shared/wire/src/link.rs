//! `POST /v1/devices`: add a device to the account of the token's device.
//!
//! The new device makes its keys and hands only their public halves to a device that is in already; that one
//! makes the request. The answer has the same shape as that of `register`.

use serde::{Deserialize, Serialize};

use crate::keys::NewDevice;

/// Add a device. Repeating it with the same keys changes nothing and gives the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// The new device.
    pub device: NewDevice,
}
