//! `POST /v1/links`: a device that can sign the account's list offers a place for one new device.

use serde::{Deserialize, Serialize};

use crate::secret::LinkToken;

/// Offer a place. Repeating it with the same token changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferRequest {
    /// Random. The new device reads it from a QR code.
    pub token: LinkToken,
}

/// The offer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offered {
    /// Seconds until it ends.
    pub expires_in_seconds: u32,
}
