//! `claim`: prekey bundles of an account's devices, each with a one-time prekey that nobody else gets.

use serde::{Deserialize, Serialize};

use crate::{
    devices::DeviceList,
    error::{ErrorCode, Problem},
    ids::{AccountId, DeviceId, RequestId},
    keys::{OneTimePrekey, PublishedDevice},
    limits::MAX_DEVICES_PER_ACCOUNT,
};

/// Ask for the bundles needed to open sessions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Repeated in the reply.
    pub request: RequestId,
    /// Whose devices.
    pub account: AccountId,
    /// Only these of them; without it, all. The claiming device itself is always left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub devices: Option<Vec<DeviceId>>,
}

impl ClaimRequest {
    /// Checks the bound on the list.
    ///
    /// # Errors
    /// [`ErrorCode::TooLarge`].
    pub fn check(&self) -> Result<(), Problem> {
        if self
            .devices
            .as_ref()
            .is_some_and(|devices| devices.len() > MAX_DEVICES_PER_ACCOUNT)
        {
            let message = format!("An account has at most {MAX_DEVICES_PER_ACCOUNT} devices.");
            return Err(Problem::new(ErrorCode::TooLarge, message));
        }
        Ok(())
    }
}

/// The bundles.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundles {
    /// The request.
    pub request: RequestId,
    /// Whose devices.
    pub account: AccountId,
    /// Its signed list. A device below that is not on it was made up by somebody else.
    pub list: DeviceList,
    /// One for each device asked for that exists.
    pub bundles: Vec<PrekeyBundle>,
}

/// All that is needed to open a session with one device while it sleeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrekeyBundle {
    /// What the device published, of one version.
    #[serde(flatten)]
    pub published: PublishedDevice,
    /// Handed out to this claim only. `null` says that the pool is empty: the session opens with three
    /// Diffie-Hellman agreements instead of four, and both sides know it.
    pub one_time_prekey: Option<OneTimePrekey>,
}
