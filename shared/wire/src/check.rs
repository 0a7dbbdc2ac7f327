//! `POST /v1/keys/check`: does the service publish what the device believes it does?

use serde::{Deserialize, Serialize};

use crate::{
    bytes::KeyDigest,
    ids::RegistrationId,
    keys::{DeviceIdentity, SignedPrekey},
};

/// What goes before the bytes of a digest.
const LABEL: &[u8] = b"Waxwing v1 published keys";

/// Compare. The answer is [`Checked`], or the error `keys_differ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// SHA-256 of [`published_bytes`].
    pub digest: KeyDigest,
}

/// Both agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// How many one-time prekeys the service has left.
    pub one_time_prekeys: u32,
}

/// The bytes that client and service hash: the label, registration (4 bytes), signing key (33), identity key (33),
/// signed prekey's id (4), key (33), KEM key (1,184). Numbers are big-endian.
pub fn published_bytes(
    registration: RegistrationId,
    identity: &DeviceIdentity,
    signed_prekey: &SignedPrekey,
) -> Vec<u8> {
    [
        LABEL,
        &registration.get().to_be_bytes(),
        identity.signing_key.as_bytes(),
        identity.identity_key.as_bytes(),
        &signed_prekey.id.get().to_be_bytes(),
        signed_prekey.key.as_bytes(),
        signed_prekey.kem_key.as_bytes(),
    ]
    .concat()
}
