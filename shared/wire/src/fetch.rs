//! `GET /v1/keys/{userId}`: the devices of an account and what they published. Takes no one-time prekey.

use serde::{Deserialize, Serialize};

use crate::{devices::DeviceList, ids::AccountId, keys::PublishedDevice};

/// The devices of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The account.
    pub account: AccountId,
    /// Its signed list. A device below that is not on it was made up by somebody else.
    pub list: DeviceList,
    /// Its devices, by rising id.
    pub devices: Vec<PublishedDevice>,
    /// How many one-time prekeys the asking device has left. Only in the answer about one's own account:
    /// nobody else learns how often a device is written to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_one_time_prekeys: Option<u32>,
}
