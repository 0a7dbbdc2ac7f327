//! `POST /v1/devices`: a new device takes up an offer. Needs the offer's token instead of one of its own.
//!
//! The device that made the offer is told ([`LinkRequested`]) and decides by [`answer`](crate::answer). The new
//! device repeats its request until it is answered: that also tells the other device again.

use serde::{Deserialize, Serialize};

use crate::{
    bytes::SealedLink, error::Problem, ids::DeviceId, keys::NewDevice, register::Registered,
    secret::LinkToken,
};

/// Take up an offer. Only the first device that does so gets it; its repetitions change nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkRequest {
    /// From the QR code.
    pub token: LinkToken,
    /// The new device.
    pub device: NewDevice,
    /// The device's name and a proof that it read the QR code, for the other device only.
    pub sealed: SealedLink,
}

impl LinkRequest {
    /// Checks what JSON's shape alone does not.
    ///
    /// # Errors
    /// As [`NewDevice::check`].
    pub fn check(&self) -> Result<(), Problem> {
        self.device.check()
    }
}

/// How the link stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum LinkStatus {
    /// The other device has not answered yet. Ask again after this many seconds.
    Waiting {
        /// At least one.
        next_in_seconds: u32,
    },
    /// The device is in the account.
    Linked(Registered),
}

/// News for the device that made the offer: a new device took it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkRequested {
    /// The offer.
    pub token: LinkToken,
    /// The lowest free id, which the new device would get.
    pub device: DeviceId,
    /// The registration and long-term keys of the new device.
    #[serde(flatten)]
    pub keys: LinkKeys,
    /// As in the request.
    pub sealed: SealedLink,
}

/// What the list will say of the new device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkKeys {
    /// Its registration.
    pub registration: crate::RegistrationId,
    /// Its signing key.
    pub signing_key: crate::PublicKey,
    /// Its identity key.
    pub identity_key: crate::PublicKey,
}
