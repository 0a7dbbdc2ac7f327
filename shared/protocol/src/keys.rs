//! The keys of a device.
//!
//! Each device has a *signing key* (ECDSA), an *identity key* (ECDH), a *signed prekey* (ECDH and ML-KEM) that it
//! replaces from time to time, and *one-time prekeys*, one for each session others open with it. The signing key
//! vouches for the identity key and for the signed prekey; no key serves two purposes.
//!
//! Ours and theirs are different types: a pair holds the private half, is zeroized when dropped and does not
//! print it; its public counterpart is a point checked once, when it was read.

mod account;
mod device;
mod identity;
mod prekeys;
mod signing;

pub use account::{AccountKey, AccountKeyPair};
pub use device::{DeviceKeys, TheirDevice};
pub use identity::{IdentityKey, IdentityKeyPair};
pub use prekeys::{OneTimePrekey, OneTimePrekeyPair, SignedPrekey, SignedPrekeyPair};
pub use signing::{SigningKeyPair, VerifyingKey};

use crate::primitives::{
    self, BadSignature, KemKeyError, POINT_BYTES, PointError, SCALAR_BYTES, ScalarError,
};

/// Bytes of a public key: a compressed SEC1 point (SEC 1, section 2.3.3), the only encoding accepted.
pub const PUBLIC_KEY_BYTES: usize = POINT_BYTES;

/// Bytes of an ML-KEM-768 encapsulation key (FIPS 203).
pub const KEM_KEY_BYTES: usize = primitives::KEM_KEY_BYTES;

/// Bytes of a private key: a big-endian scalar.
pub const PRIVATE_KEY_BYTES: usize = SCALAR_BYTES;

/// Bytes of a signature: r and s, 32 bytes each, big-endian.
pub const SIGNATURE_BYTES: usize = primitives::SIGNATURE_BYTES;

/// The largest id of a prekey: 2³¹ − 1, so that ids fit a signed 32-bit integer everywhere. The smallest is 1.
pub const MAX_PREKEY_ID: u32 = i32::MAX as u32;

/// Why bytes or numbers are not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A public key is not 33 bytes that begin with 02 or 03.
    #[error("not a compressed point")]
    Encoding,
    /// No point of the curve has this x-coordinate.
    #[error("not a point of the curve")]
    Curve,
    /// An encapsulation key has another length, or a coefficient that is not reduced.
    #[error("not an ML-KEM-768 encapsulation key")]
    Kem,
    /// A private key has another length, or its scalar is no number from 1 to n − 1.
    #[error("not a private key")]
    Private,
    /// A prekey's id lies outside 1 to [`MAX_PREKEY_ID`].
    #[error("prekey id out of range")]
    Id,
}

impl From<PointError> for KeyError {
    fn from(error: PointError) -> Self {
        match error {
            PointError::Encoding => Self::Encoding,
            PointError::Curve => Self::Curve,
        }
    }
}

impl From<KemKeyError> for KeyError {
    fn from(_: KemKeyError) -> Self {
        Self::Kem
    }
}

impl From<ScalarError> for KeyError {
    fn from(_: ScalarError) -> Self {
        Self::Private
    }
}

/// A signature does not verify, or is not the low-s form of one that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct SignatureError;

impl From<BadSignature> for SignatureError {
    fn from(_: BadSignature) -> Self {
        Self
    }
}

/// Why a device's published keys were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The signing key is no key.
    #[error("signing key: {0}")]
    SigningKey(#[source] KeyError),
    /// The identity key is no key.
    #[error("identity key: {0}")]
    IdentityKey(#[source] KeyError),
    /// The signing key does not vouch for the identity key.
    #[error("the identity key is not signed by the signing key")]
    Signature,
    /// Signing key and identity key are the same key; one key must not serve two purposes.
    #[error("one key for two purposes")]
    SameKey,
}

/// Checks the range of a prekey's id.
fn check_id(id: u32) -> Result<u32, KeyError> {
    if (1..=MAX_PREKEY_ID).contains(&id) {
        Ok(id)
    } else {
        Err(KeyError::Id)
    }
}

/// Reads a private key of any of the pairs.
fn private_key(bytes: &[u8]) -> Result<&[u8; PRIVATE_KEY_BYTES], KeyError> {
    bytes.try_into().map_err(|_| KeyError::Private)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Device, ONE, ZERO_POINT, negated, rng};

    #[test]
    fn x01_x04_every_public_key_is_checked_when_it_is_read() {
        let device = Device::new(1);
        let good = device.keys.identity().public().to_bytes();
        let kem_key = *device.signed.public().kem_key();
        let off_curve = [[2].as_slice(), &[0; 31], &[1]].concat();
        let not_reduced = [[3].as_slice(), &[0xff; 32]].concat();
        let uncompressed = [[4].as_slice(), &[1; 64]].concat();
        let rows: [(&[u8], Result<(), KeyError>); 6] = [
            (&good, Ok(())),
            (&off_curve, Err(KeyError::Curve)),
            (&not_reduced, Err(KeyError::Curve)),
            (&uncompressed, Err(KeyError::Encoding)),
            (&good[..32], Err(KeyError::Encoding)),
            (&[0], Err(KeyError::Encoding)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(VerifyingKey::from_bytes(bytes).map(|_| ()), expected);
            assert_eq!(IdentityKey::from_bytes(bytes).map(|_| ()), expected);
            assert_eq!(SignedPrekey::from_bytes(1, bytes, &kem_key).map(|_| ()), expected);
            assert_eq!(OneTimePrekey::from_bytes(1, bytes).map(|_| ()), expected);
        }
    }

    #[test]
    fn x07_another_identity_key_under_the_same_signing_key_is_refused() {
        let (alice, mallory) = (Device::new(1), Device::new(2));
        let verify = |signing: [u8; 33], identity: [u8; 33], signature| {
            TheirDevice::verify(&signing, &identity, signature)
        };
        let signing = alice.keys.signing().public().to_bytes();
        let identity = alice.keys.identity().public().to_bytes();
        let signature = alice.keys.identity_signature();
        assert_eq!(verify(signing, identity, &signature), Ok(alice.keys.public()));

        let theirs = mallory.keys.identity().public().to_bytes();
        let bad = Err(DeviceError::Signature);
        assert_eq!(verify(signing, theirs, &signature), bad);
        assert_eq!(verify(signing, negated(identity), &signature), bad);
        assert_eq!(verify(negated(signing), identity, &signature), bad);
        assert_eq!(verify(signing, identity, &mallory.keys.identity_signature()), bad);
    }

    #[test]
    fn x07_x16_a_signature_for_one_purpose_serves_no_other() {
        let alice = Device::new(1);
        let identity = alice.keys.identity().public().to_bytes();
        // The identity key, offered as a signed prekey, and a signed prekey, offered as the identity key.
        let prekey = SignedPrekey::from_bytes(7, &identity, alice.signed.public().kem_key()).unwrap();
        let verifier = alice.keys.signing().public();
        assert!(
            verifier
                .verify(&prekey.signed_bytes(), &alice.keys.identity_signature())
                .is_err()
        );
        let signature = alice.signed.sign(alice.keys.signing());
        let swapped = TheirDevice::verify(
            &verifier.to_bytes(),
            &alice.signed.public().to_bytes(),
            &signature,
        );
        assert_eq!(swapped, Err(DeviceError::Signature));
    }

    #[test]
    fn x07_one_key_for_signing_and_for_agreement_is_refused() {
        let signing = SigningKeyPair::generate(&mut rng(1));
        let identity = IdentityKeyPair::from_bytes(signing.to_bytes().as_ref()).unwrap();
        let keys = DeviceKeys::new(signing, identity);
        let (signing, identity) = (
            keys.signing().public().to_bytes(),
            keys.identity().public().to_bytes(),
        );
        assert_eq!(
            TheirDevice::verify(&signing, &identity, &keys.identity_signature()),
            Err(DeviceError::SameKey)
        );
    }

    #[test]
    fn x14_the_id_of_a_prekey_has_31_bits_and_is_not_zero() {
        let device = Device::new(1);
        let (key, kem_key) = (
            device.signed.public().to_bytes(),
            device.signed.public().kem_key(),
        );
        for (id, valid) in [
            (0, false),
            (1, true),
            (MAX_PREKEY_ID, true),
            (1 << 31, false),
            (u32::MAX, false),
        ] {
            let expected = if valid { Ok(id) } else { Err(KeyError::Id) };
            let rng = &mut rng(1);
            assert_eq!(
                SignedPrekeyPair::generate(id, rng).map(|pair| pair.id()),
                expected
            );
            assert_eq!(
                OneTimePrekeyPair::generate(id, rng).map(|pair| pair.id()),
                expected
            );
            assert_eq!(
                SignedPrekeyPair::from_bytes(id, &[ONE; 3].concat()).map(|pair| pair.id()),
                expected
            );
            assert_eq!(
                OneTimePrekeyPair::from_bytes(id, &ONE).map(|pair| pair.id()),
                expected
            );
            assert_eq!(
                SignedPrekey::from_bytes(id, &key, kem_key).map(|prekey| prekey.id()),
                expected
            );
            assert_eq!(
                OneTimePrekey::from_bytes(id, &key).map(|prekey| prekey.id()),
                expected
            );
        }
    }

    #[test]
    fn pairs_survive_their_stored_form_and_nothing_else_is_read() {
        let device = Device::new(1);
        let (signing, identity) = (device.keys.signing(), device.keys.identity());
        let stored = SigningKeyPair::from_bytes(signing.to_bytes().as_ref()).unwrap();
        assert_eq!(stored.public(), signing.public());
        let stored = IdentityKeyPair::from_bytes(identity.to_bytes().as_ref()).unwrap();
        assert_eq!(stored.public(), identity.public());
        let stored = SignedPrekeyPair::from_bytes(7, device.signed.to_bytes().as_ref()).unwrap();
        assert_eq!(stored.public(), device.signed.public());
        let stored = OneTimePrekeyPair::from_bytes(9, device.one_time.to_bytes().as_ref()).unwrap();
        assert_eq!(stored.public(), device.one_time.public());
        for bytes in [[0; 32].as_slice(), &[0xff; 32], &[1; 31], &[1; 33], &[]] {
            assert_eq!(SigningKeyPair::from_bytes(bytes).err(), Some(KeyError::Private));
            assert_eq!(IdentityKeyPair::from_bytes(bytes).err(), Some(KeyError::Private));
            assert_eq!(
                OneTimePrekeyPair::from_bytes(1, bytes).err(),
                Some(KeyError::Private)
            );
        }
        let zero = [[0; 32], ONE, ONE].concat();
        let good = [ONE; 3].concat();
        for bytes in [
            zero.as_slice(),
            &good[..95],
            &[good.as_slice(), &[0]].concat(),
            &ONE,
            &[],
        ] {
            assert_eq!(
                SignedPrekeyPair::from_bytes(1, bytes).err(),
                Some(KeyError::Private)
            );
        }
    }

    #[test]
    fn x01_x16_an_encapsulation_key_is_checked_when_it_is_read() {
        let device = Device::new(1);
        let key = device.signed.public().to_bytes();
        let good = *device.signed.public().kem_key();
        let mut not_reduced = good;
        not_reduced[..3].fill(0xff);
        let rows: [(&[u8], Result<(), KeyError>); 6] = [
            (&good, Ok(())),
            (&not_reduced, Err(KeyError::Kem)),
            (&good[1..], Err(KeyError::Kem)),
            (&[good.as_slice(), &[0]].concat(), Err(KeyError::Kem)),
            (&key, Err(KeyError::Kem)),
            (&[], Err(KeyError::Kem)),
        ];
        for (bytes, expected) in rows {
            assert_eq!(SignedPrekey::from_bytes(1, &key, bytes).map(|_| ()), expected);
        }
        // Nor is one the other.
        assert_eq!(
            SignedPrekey::from_bytes(1, &good, &good).err(),
            Some(KeyError::Encoding)
        );
    }

    #[test]
    fn a_verified_device_survives_its_stored_form() {
        let device = Device::new(1).keys.public();
        let mut bytes = device.to_bytes();
        assert_eq!(TheirDevice::from_bytes(&bytes), Ok(device));
        bytes[33] = 4;
        assert_eq!(
            TheirDevice::from_bytes(&bytes),
            Err(DeviceError::IdentityKey(KeyError::Encoding))
        );
    }

    #[test]
    fn x86_no_pair_prints_its_private_half() {
        let device = Device::new(1);
        assert_eq!(format!("{:?}", device.keys.signing()), "SigningKeyPair { .. }");
        assert_eq!(format!("{:?}", device.keys.identity()), "IdentityKeyPair { .. }");
        assert_eq!(format!("{:?}", device.signed), "SignedPrekeyPair { id: 7, .. }");
        assert_eq!(
            format!("{:?}", device.one_time),
            "OneTimePrekeyPair { id: 9, .. }"
        );
        assert_eq!(format!("{:?}", device.keys), "DeviceKeys { .. }");
        assert_eq!(
            format!("{:?}", OneTimePrekey::from_bytes(9, &ZERO_POINT).unwrap()),
            format!("OneTimePrekey(9, 02{})", "00".repeat(32))
        );
    }
}
