//! `POST /v1/links/answer`: the device that made an offer accepts or declines the device that took it up.

use serde::{Deserialize, Serialize};

use crate::{devices::DeviceList, error::Problem, secret::LinkToken};

/// Accept or decline. Repeating it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// The offer.
    pub token: LinkToken,
    /// The account's next list, which has the new device on it; without it, the device is declined and the offer
    /// ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<DeviceList>,
}

impl AnswerRequest {
    /// Checks what JSON's shape alone does not.
    ///
    /// # Errors
    /// As [`DeviceList::check`].
    pub fn check(&self) -> Result<(), Problem> {
        self.list.as_ref().map_or(Ok(()), DeviceList::check)
    }
}

/// The offer has ended as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// Whether the new device is in the account.
    pub linked: bool,
}
