//! `POST /v1/keys`: publish more one-time prekeys, or a new signed prekey, for the token's device.

use serde::{Deserialize, Serialize};

use crate::{
    error::Problem,
    ids::KeyId,
    keys::{OneTimePrekey, SignedPrekey, check_one_time_prekeys},
};

/// Publish keys. One-time prekeys whose ids are not above the highest ever published are left out: each may
/// have been handed out already. So a repeated upload changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UploadRequest {
    /// Replaces the published one, if its id is higher.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_prekey: Option<SignedPrekey>,
    /// More one-time keys, ids rising.
    #[serde(default)]
    pub one_time_prekeys: Vec<OneTimePrekey>,
}

impl UploadRequest {
    /// Checks what JSON's shape alone does not.
    ///
    /// # Errors
    /// As [`check_one_time_prekeys`].
    pub fn check(&self) -> Result<(), Problem> {
        check_one_time_prekeys(&self.one_time_prekeys)
    }
}

/// What the upload did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// How many one-time prekeys this request added.
    pub stored: u32,
    /// The highest id of a one-time prekey ever published by this registration, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest: Option<KeyId>,
}
