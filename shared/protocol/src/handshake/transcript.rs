//! All that both sides of a handshake must agree on, as one hash.

use crate::{
    keys::{OneTimePrekey, PUBLIC_KEY_BYTES, SignedPrekey, TheirDevice},
    labels,
    primitives::{HASH_BYTES, hash},
};

/// What a handshake binds. Every part has a fixed length or brings its length along, so no two handshakes
/// hash the same bytes.
pub(super) struct Transcript<'a> {
    pub(super) initiator: Party<'a>,
    pub(super) responder: Party<'a>,
    pub(super) base_key: &'a [u8; PUBLIC_KEY_BYTES],
    pub(super) signed_prekey: &'a SignedPrekey,
    pub(super) one_time_prekey: Option<&'a OneTimePrekey>,
}

/// One side.
pub(super) struct Party<'a> {
    pub(super) address: &'a [u8],
    pub(super) device: &'a TheirDevice,
}

impl Transcript<'_> {
    /// The hash. Full encodings go in: P and −P share their x-coordinate and with it every shared secret, but
    /// not their encoding.
    pub(super) fn hash(&self) -> [u8; HASH_BYTES] {
        let one_time_prekey = match self.one_time_prekey {
            Some(prekey) => [&[1], prekey.id().to_be_bytes().as_slice(), &prekey.to_bytes()].concat(),
            None => vec![0],
        };
        hash(&[
            labels::TRANSCRIPT,
            &self.initiator.to_bytes(),
            &self.responder.to_bytes(),
            self.base_key,
            &self.signed_prekey.id().to_be_bytes(),
            &self.signed_prekey.to_bytes(),
            &one_time_prekey,
        ])
    }
}

impl Party<'_> {
    /// Length of the address, address, signing key, identity key.
    fn to_bytes(&self) -> Vec<u8> {
        let length = u8::try_from(self.address.len()).unwrap_or(u8::MAX);
        [&[length], self.address, &self.device.to_bytes()].concat()
    }
}
