//! `POST /v1/keys`: publish more one-time prekeys, or a new signed prekey, for the token's device.

use serde::{Deserialize, Serialize};

use crate::{
    error::Problem,
    ids::KeyId,
    keys::{OneTimePrekey, SignedPrekey, check_one_time_prekeys},
};

/// Publish keys. A repeated upload changes nothing: a one-time prekey that is there with the same bytes is fine,
/// one whose id was published before and is not there any more has been handed out and stays gone. An id that is
/// there with other bytes refuses the whole (`prekey_conflict`).
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uploaded {
    /// How many one-time prekeys this request added.
    pub stored: u32,
    /// The highest id of a one-time prekey ever published by this registration, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub highest: Option<KeyId>,
    /// Ids of the request that were handed out before: their private halves are to be kept, not published again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<KeyId>,
}
