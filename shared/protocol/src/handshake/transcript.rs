//! All that both sides of a handshake must agree on, as one hash.

use crate::{
    keys::{OneTimePrekey, PUBLIC_KEY_BYTES, SignedPrekey, TheirDevice},
    labels,
    primitives::{HASH_BYTES, KemCiphertext, hash},
};

/// What a handshake binds. Every part has a fixed length or brings its length along, so no two handshakes
/// hash the same bytes.
pub(super) struct Transcript<'a> {
    pub(super) initiator: Party<'a>,
    pub(super) responder: Party<'a>,
    pub(super) base_key: &'a [u8; PUBLIC_KEY_BYTES],
    pub(super) signed_prekey: &'a SignedPrekey,
    pub(super) one_time_prekey: Option<&'a OneTimePrekey>,
    pub(super) kem_ciphertext: &'a KemCiphertext,
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
            self.signed_prekey.kem_key(),
            &one_time_prekey,
            self.kem_ciphertext,
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::testing::{Device, negated};

    #[test]
    fn x03_x16_whatever_a_handshake_binds_changes_its_transcript() {
        let (alice, bob, other) = (Device::new(1), Device::new(2), Device::new(3));
        let (alice_device, bob_device, other_device) =
            (alice.keys.public(), bob.keys.public(), other.keys.public());
        let twin = |device: &TheirDevice, signing: bool, identity: bool| {
            let flip = |bytes, negate| if negate { negated(bytes) } else { bytes };
            let keys = [
                flip(device.signing_key().to_bytes(), signing),
                flip(device.identity_key().to_bytes(), identity),
            ];
            TheirDevice::from_bytes(&keys.concat().try_into().unwrap()).unwrap()
        };
        let signed = bob.signed.public();
        let signed_as = |id, key: [u8; 33], of: &Device| {
            SignedPrekey::from_bytes(id, &key, of.signed.public().kem_key()).unwrap()
        };
        let one_time = bob.one_time.public();
        let one_time_as = |id, key: [u8; 33]| OneTimePrekey::from_bytes(id, &key).unwrap();
        let base_key = other.signed.public().to_bytes();

        let initiators = [
            (alice.address.as_slice(), alice_device.clone()),
            (&other.address, alice_device.clone()),
            (&alice.address, other_device.clone()),
            (&alice.address, twin(&alice_device, true, false)),
            (&alice.address, twin(&alice_device, false, true)),
        ];
        let responders = [
            (bob.address.as_slice(), bob_device.clone()),
            (&other.address, bob_device.clone()),
            (&bob.address, other_device),
            (&bob.address, twin(&bob_device, true, false)),
            (&bob.address, twin(&bob_device, false, true)),
        ];
        let base_keys = [base_key, negated(base_key)];
        let signed_prekeys = [
            signed_as(7, signed.to_bytes(), &bob),
            signed_as(8, signed.to_bytes(), &bob),
            signed_as(7, negated(signed.to_bytes()), &bob),
            signed_as(7, signed.to_bytes(), &other),
        ];
        let one_time_prekeys = [
            Some(one_time_as(9, one_time.to_bytes())),
            Some(one_time_as(10, one_time.to_bytes())),
            Some(one_time_as(9, negated(one_time.to_bytes()))),
            None,
        ];
        let kem_ciphertexts = [[1; 1088], [2; 1088]];
        let mut hashes = HashSet::new();
        let mut count = 0;
        for (address, device) in &initiators {
            for (their_address, their_device) in &responders {
                for base_key in &base_keys {
                    for signed_prekey in &signed_prekeys {
                        for one_time_prekey in &one_time_prekeys {
                            for kem_ciphertext in &kem_ciphertexts {
                                let transcript = Transcript {
                                    initiator: Party { address, device },
                                    responder: Party {
                                        address: their_address,
                                        device: their_device,
                                    },
                                    base_key,
                                    signed_prekey,
                                    one_time_prekey: one_time_prekey.as_ref(),
                                    kem_ciphertext,
                                };
                                hashes.insert(transcript.hash());
                                count += 1;
                            }
                        }
                    }
                }
            }
        }
        assert_eq!((hashes.len(), count), (1600, 1600));
    }
}
