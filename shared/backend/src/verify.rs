//! Checks of published keys: points that lie on P-256, signatures by the device's own key.
//!
//! The service checks what it publishes so that one bad upload does not reach every sender; each client checks
//! again, because it does not trust the service. ECDSA over P-256 with SHA-256 (FIPS 186-5, section 6), `s` in
//! its lower half so that a signature has one form only.

use p256::{
    PublicKey as Point,
    ecdsa::{Signature as EcdsaSignature, VerifyingKey, signature::Verifier},
};
use waxwing_wire::{
    ErrorCode, Problem, PublicKey, Signature,
    keys::{DeviceIdentity, NewDevice, OneTimePrekey, SignedPrekey},
};

/// What goes before an identity key when its device signs it.
const IDENTITY_LABEL: &[u8] = b"Waxwing v1 identity key";

/// What goes before a signed prekey's id and key when its device signs it.
const SIGNED_PREKEY_LABEL: &[u8] = b"Waxwing v1 signed prekey";

/// Why keys were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A public key is not a point of P-256.
    #[error("A public key is not a point of P-256.")]
    NotAPoint,
    /// The same key serves for signing and for key agreement.
    #[error("The signing key and the identity key must be different keys.")]
    SharedKey,
    /// A signature does not verify, or is not in its lower form.
    #[error("A signature does not verify under the device's signing key.")]
    Signature,
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let code = match error {
            KeyError::NotAPoint | KeyError::SharedKey => ErrorCode::InvalidKey,
            KeyError::Signature => ErrorCode::InvalidSignature,
        };
        Self::new(code, error.to_string())
    }
}

/// Checks everything a new device publishes.
pub(crate) fn new_device(device: &NewDevice) -> Result<(), KeyError> {
    identity(&device.identity)?;
    signed_prekey(&device.identity.signing_key, &device.signed_prekey)?;
    one_time_prekeys(&device.one_time_prekeys)
}

/// Checks a signed prekey under the device's signing key.
pub(crate) fn signed_prekey(signing_key: &PublicKey, prekey: &SignedPrekey) -> Result<(), KeyError> {
    point(&prekey.key)?;
    let id = prekey.id.get().to_be_bytes();
    let signed = [SIGNED_PREKEY_LABEL, &id, prekey.key.as_bytes()].concat();
    signature(signing_key, &signed, &prekey.signature)
}

/// Checks one-time prekeys.
pub(crate) fn one_time_prekeys(prekeys: &[OneTimePrekey]) -> Result<(), KeyError> {
    prekeys.iter().try_for_each(|prekey| point(&prekey.key).map(drop))
}

/// A key's point on the curve. A compressed point cannot encode the identity.
pub(crate) fn point(key: &PublicKey) -> Result<Point, KeyError> {
    Point::from_sec1_bytes(key.as_bytes()).map_err(|_| KeyError::NotAPoint)
}

fn identity(identity: &DeviceIdentity) -> Result<(), KeyError> {
    point(&identity.identity_key)?;
    // −P agrees on the same secrets as P: neither may stand in for the signing key.
    let (signing, agreement) = (identity.signing_key.as_bytes(), identity.identity_key.as_bytes());
    if signing.get(1..) == agreement.get(1..) {
        return Err(KeyError::SharedKey);
    }
    let signed = [IDENTITY_LABEL, agreement.as_slice()].concat();
    signature(&identity.signing_key, &signed, &identity.identity_signature)
}

fn signature(key: &PublicKey, signed: &[u8], signature: &Signature) -> Result<(), KeyError> {
    let key = VerifyingKey::from(point(key)?);
    let signature = EcdsaSignature::from_slice(signature.as_bytes()).map_err(|_| KeyError::Signature)?;
    if signature.normalize_s() != signature {
        return Err(KeyError::Signature);
    }
    key.verify(signed, &signature).map_err(|_| KeyError::Signature)
}

#[cfg(test)]
pub(crate) mod tests {
    use p256::ecdsa::{SigningKey, signature::Signer};
    use waxwing_wire::{KeyId, RegistrationId};

    use super::*;

    /// A device whose keys follow from `seed`.
    pub(crate) struct TestDevice {
        pub(crate) signing: SigningKey,
        pub(crate) published: NewDevice,
    }

    impl TestDevice {
        pub(crate) fn new(seed: u8) -> Self {
            let signing = key(seed, 1);
            let identity_key = public(&key(seed, 2));
            let identity = DeviceIdentity {
                signing_key: public(&signing),
                identity_key,
                identity_signature: sign(&signing, &[IDENTITY_LABEL, identity_key.as_bytes()].concat()),
            };
            let prekey = public(&key(seed, 3));
            let id = KeyId::new(7).unwrap();
            let signed = [SIGNED_PREKEY_LABEL, &[0, 0, 0, 7], prekey.as_bytes()].concat();
            let signed_prekey = SignedPrekey {
                id,
                key: prekey,
                signature: sign(&signing, &signed),
            };
            let one_time_prekeys = vec![OneTimePrekey {
                id,
                key: public(&key(seed, 4)),
            }];
            let registration = RegistrationId::new(u64::from(seed) + 1).unwrap();
            let published = NewDevice {
                registration,
                identity,
                signed_prekey,
                one_time_prekeys,
            };
            Self { signing, published }
        }
    }

    fn key(seed: u8, number: u8) -> SigningKey {
        let mut scalar = [0x11; 32];
        scalar[0] = seed;
        scalar[1] = number;
        SigningKey::from_slice(&scalar).unwrap()
    }

    fn public(key: &SigningKey) -> PublicKey {
        PublicKey::from_slice(key.verifying_key().to_sec1_point(true).as_bytes()).unwrap()
    }

    fn sign(key: &SigningKey, message: &[u8]) -> Signature {
        let signature: EcdsaSignature = key.sign(message);
        Signature::from_slice(&signature.normalize_s().to_bytes()).unwrap()
    }

    /// A compressed encoding whose x has no point on P-256.
    fn off_curve() -> PublicKey {
        (0..=255)
            .map(|last| {
                let mut bytes = [0; 33];
                (bytes[0], bytes[32]) = (2, last);
                PublicKey::new(bytes).unwrap()
            })
            .find(|key| point(key).is_err())
            .unwrap()
    }

    fn beyond_the_field() -> PublicKey {
        let mut bytes = [0xff; 33];
        bytes[0] = 3;
        PublicKey::new(bytes).unwrap()
    }

    #[test]
    fn what_a_device_signed_itself_is_accepted() {
        assert_eq!(new_device(&TestDevice::new(1).published), Ok(()));
    }

    #[test]
    fn x01_a_key_off_the_curve_is_refused_wherever_it_stands() {
        for bad in [off_curve(), beyond_the_field()] {
            let places: [fn(&mut NewDevice) -> &mut PublicKey; 4] = [
                |device| &mut device.identity.signing_key,
                |device| &mut device.identity.identity_key,
                |device| &mut device.signed_prekey.key,
                |device| &mut device.one_time_prekeys[0].key,
            ];
            for place in places {
                let mut device = TestDevice::new(1).published;
                *place(&mut device) = bad;
                assert_eq!(new_device(&device), Err(KeyError::NotAPoint));
            }
        }
    }

    #[test]
    fn x08_a_signed_prekey_is_refused_after_any_change() {
        let (device, other) = (TestDevice::new(1).published, TestDevice::new(2).published);
        let changes: [&dyn Fn(&mut NewDevice); 6] = [
            &|device| device.signed_prekey.id = KeyId::new(8).unwrap(),
            &|device| device.signed_prekey.key = other.signed_prekey.key,
            &|device| device.signed_prekey.signature = other.signed_prekey.signature,
            &|device| device.signed_prekey.signature = device.identity.identity_signature,
            &|device| device.identity.identity_signature = other.identity.identity_signature,
            &|device| device.identity.identity_key = other.identity.identity_key,
        ];
        for change in changes {
            let mut changed = device.clone();
            change(&mut changed);
            assert_eq!(new_device(&changed), Err(KeyError::Signature));
        }
    }

    #[test]
    fn x05_the_other_form_of_a_valid_signature_is_refused() {
        let mut device = TestDevice::new(1).published;
        let low = EcdsaSignature::from_slice(device.signed_prekey.signature.as_bytes()).unwrap();
        let (r, s) = low.split_scalars();
        let high = EcdsaSignature::from_scalars(r.to_bytes(), (-s).to_bytes()).unwrap();
        device.signed_prekey.signature = Signature::from_slice(&high.to_bytes()).unwrap();
        assert_eq!(new_device(&device), Err(KeyError::Signature));
    }

    #[test]
    fn x05_signatures_of_zeros_are_refused() {
        let mut device = TestDevice::new(1).published;
        device.signed_prekey.signature = Signature::new([0; 64]);
        assert_eq!(new_device(&device), Err(KeyError::Signature));
    }

    #[test]
    fn x07_one_key_for_signing_and_agreement_is_refused_negated_too() {
        let signing = key(1, 1);
        let negated = {
            let mut bytes = *public(&signing).as_bytes();
            bytes[0] ^= 1;
            PublicKey::new(bytes).unwrap()
        };
        for identity_key in [public(&signing), negated] {
            let mut device = TestDevice::new(1).published;
            device.identity.identity_key = identity_key;
            device.identity.identity_signature =
                sign(&signing, &[IDENTITY_LABEL, identity_key.as_bytes()].concat());
            assert_eq!(new_device(&device), Err(KeyError::SharedKey));
        }
    }
}
