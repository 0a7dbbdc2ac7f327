//! Checks of published keys and device lists: points that lie on P-256, signatures by the device's own key or by
//! the account's.
//!
//! The service checks what it publishes so that one bad upload does not reach every sender; each client checks
//! again, because it does not trust the service. ECDSA over P-256 with SHA-256 (FIPS 186-5, section 6), `s` in
//! its lower half so that a signature has one form only.

use std::collections::BTreeSet;

use p256::{
    PublicKey as Point,
    ecdsa::{Signature as EcdsaSignature, VerifyingKey, signature::Verifier},
};
use waxwing_wire::{
    AccountId, DeviceId, DeviceList, ErrorCode, KemKey, Problem, PublicKey, Signature,
    devices::ListedDevice,
    keys::{DeviceIdentity, NewDevice, OneTimePrekey, SignedPrekey},
};

/// What goes before an identity key when its device signs it.
const IDENTITY_LABEL: &[u8] = b"Waxwing v1 identity key";

/// What goes before a signed prekey's id, key and KEM key when its device signs it.
const SIGNED_PREKEY_LABEL: &[u8] = b"Waxwing v1 signed prekey";

/// Coefficients of an ML-KEM-768 key are numbers below this one (FIPS 203, section 2.4).
const KEM_MODULUS: u16 = 3329;

/// Bytes of an ML-KEM-768 key that hold coefficients, two in three bytes; the rest is a seed (FIPS 203, section
/// 7.2).
const KEM_COEFFICIENT_BYTES: usize = 1152;

/// Why keys were refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A public key is not a point of P-256.
    #[error("A public key is not a point of P-256.")]
    NotAPoint,
    /// A KEM key holds a number that is out of range.
    #[error("A KEM key is not a key of ML-KEM-768.")]
    NotAKemKey,
    /// One key serves for two things: signing and key agreement, or two devices.
    #[error("The signing key, the identity key and the account key must all be different keys.")]
    SharedKey,
    /// A signature does not verify, or is not in its lower form.
    #[error("A signature does not verify under the key that should have made it.")]
    Signature,
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        let code = match error {
            KeyError::NotAPoint | KeyError::NotAKemKey | KeyError::SharedKey => ErrorCode::InvalidKey,
            KeyError::Signature => ErrorCode::InvalidSignature,
        };
        Self::new(code, error.to_string())
    }
}

/// Why a device list was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A key or the signature is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The version does not follow that of the present list.
    #[error("Another device list was accepted since. Fetch it and sign the one that follows.")]
    Stale,
    /// The list does not say what this request is for.
    #[error("The device list is not what this request takes: {0}.")]
    Content(&'static str),
}

impl From<ListError> for Problem {
    fn from(error: ListError) -> Self {
        let code = match error {
            ListError::Key(error) => return error.into(),
            ListError::Stale => ErrorCode::StaleList,
            ListError::Content(_) => ErrorCode::InvalidList,
        };
        Self::new(code, error.to_string())
    }
}

/// Checks a list by itself, beyond [`DeviceList::check`]: all keys points and all different, signed by the account
/// key it names.
pub(crate) fn device_list(account: AccountId, list: &DeviceList) -> Result<(), ListError> {
    let devices = list.devices.iter();
    let mut keys: Vec<_> = devices
        .flat_map(|listed| [listed.signing_key, listed.identity_key])
        .collect();
    keys.iter().try_for_each(|key| point(key).map(drop))?;
    keys.push(list.account_key);
    // −P agrees on the same secrets as P: the two count as one key.
    let distinct: BTreeSet<_> = keys.iter().filter_map(|key| key.as_bytes().get(1..)).collect();
    if distinct.len() != keys.len() {
        return Err(KeyError::SharedKey.into());
    }
    signature(&list.account_key, &list.signing_bytes(account), &list.signature)?;
    Ok(())
}

/// Checks that `next` is a list ([`device_list`]) that may follow `current`: one version on, the same account key.
pub(crate) fn next_device_list(
    account: AccountId,
    current: &DeviceList,
    next: &DeviceList,
) -> Result<(), ListError> {
    if next.account_key != current.account_key {
        return Err(ListError::Content("its account key is another"));
    }
    if current.version.next() != Some(next.version) {
        return Err(ListError::Stale);
    }
    device_list(account, next)
}

/// What a list says of a new device.
pub(crate) fn listed(device: DeviceId, new: &NewDevice) -> ListedDevice {
    ListedDevice {
        device,
        registration: new.registration,
        signing_key: new.identity.signing_key,
        identity_key: new.identity.identity_key,
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
    kem_key(&prekey.kem_key)?;
    signature(signing_key, &signed_prekey_bytes(prekey), &prekey.signature)
}

/// What a device signs of its signed prekey: label, id (4 bytes, big-endian), key (33), KEM key (1,184).
fn signed_prekey_bytes(prekey: &SignedPrekey) -> Vec<u8> {
    let id = prekey.id.get().to_be_bytes();
    let (key, kem_key) = (prekey.key.as_bytes(), prekey.kem_key.as_bytes());
    [SIGNED_PREKEY_LABEL, &id, key, kem_key].concat()
}

/// Checks that the coefficients of a KEM key are in range (FIPS 203, section 7.2, modulus check).
fn kem_key(key: &KemKey) -> Result<(), KeyError> {
    let coefficients = key.as_bytes().iter().take(KEM_COEFFICIENT_BYTES);
    let bytes: Vec<_> = coefficients.map(|byte| u16::from(*byte)).collect();
    let pairs = bytes.chunks_exact(3);
    let in_range = pairs.into_iter().all(|pair| match pair {
        [low, middle, high] => {
            let first = low | (middle & 0x0f) << 8;
            let second = middle >> 4 | high << 4;
            first < KEM_MODULUS && second < KEM_MODULUS
        }
        _ => false,
    });
    in_range.then_some(()).ok_or(KeyError::NotAKemKey)
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
mod vectors;

#[cfg(test)]
pub(crate) mod tests {
    use p256::ecdsa::{SigningKey, signature::Signer};
    use waxwing_wire::{KeyId, ListVersion, RegistrationId};

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
            let id = KeyId::new(7).unwrap();
            let mut signed_prekey = SignedPrekey {
                id,
                key: public(&key(seed, 3)),
                kem_key: KemKey::new([seed & 0x0f; 1184]),
                signature: Signature::new([0; 64]),
            };
            signed_prekey.signature = sign(&signing, &signed_prekey_bytes(&signed_prekey));
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

    /// An account with one device, which is `TestDevice::new(seed)`, as its key signs it.
    pub(crate) fn first_list(account: AccountId, seed: u8) -> DeviceList {
        let device = listed(DeviceId::MIN, &TestDevice::new(seed).published);
        signed_list(account, seed, 1, &[device])
    }

    /// A list signed by the account key that follows from `seed`.
    pub(crate) fn signed_list(
        account: AccountId,
        seed: u8,
        version: u64,
        devices: &[ListedDevice],
    ) -> DeviceList {
        let account_key = key(seed, 9);
        let mut list = DeviceList {
            account_key: public(&account_key),
            version: ListVersion::new(version).unwrap(),
            issued_at: 1_767_261_600_000,
            devices: devices.to_vec(),
            signature: Signature::new([0; 64]),
        };
        list.signature = sign(&account_key, &list.signing_bytes(account));
        list
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
        let changes: [&dyn Fn(&mut NewDevice); 7] = [
            &|device| device.signed_prekey.id = KeyId::new(8).unwrap(),
            &|device| device.signed_prekey.key = other.signed_prekey.key,
            &|device| device.signed_prekey.kem_key = other.signed_prekey.kem_key.clone(),
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

    /// The last coefficient that is in range and the first that is not, at both places of a triple of bytes.
    #[test]
    fn a_kem_key_whose_coefficients_are_out_of_range_is_refused() {
        for (bytes, valid) in [
            ([0x00, 0x0d, 0x00], true),
            ([0x01, 0x0d, 0x00], false),
            ([0x00, 0x00, 0xd0], true),
            ([0x00, 0x10, 0xd0], false),
            ([0xff, 0xff, 0xff], false),
        ] {
            for place in [0, KEM_COEFFICIENT_BYTES - 3] {
                let mut key = [0; KemKey::BYTES];
                key[place..place + 3].copy_from_slice(&bytes);
                let checked = kem_key(&KemKey::new(key));
                assert_eq!(checked.is_ok(), valid, "{bytes:02x?} at {place}");
            }
        }
        let mut seed_only = [0; KemKey::BYTES];
        seed_only[KEM_COEFFICIENT_BYTES..].fill(0xff);
        assert_eq!(kem_key(&KemKey::new(seed_only)), Ok(()));
    }

    fn account() -> AccountId {
        crate::testing::device(1, 1, 7).address.account
    }

    #[test]
    fn x31_a_list_is_refused_after_any_change() {
        let list = first_list(account(), 1);
        assert_eq!(device_list(account(), &list), Ok(()));
        let other = listed(DeviceId::MIN, &TestDevice::new(2).published);
        let changes: [&dyn Fn(&mut DeviceList); 7] = [
            &|list| list.version = ListVersion::MAX,
            &|list| list.issued_at += 1,
            &|list| list.account_key = first_list(account(), 2).account_key,
            &|list| list.devices[0].device = DeviceId::MAX,
            &|list| list.devices[0].registration = RegistrationId::MAX,
            &|list| list.devices[0].identity_key = other.identity_key,
            &|list| {
                list.devices.push(ListedDevice {
                    device: DeviceId::MAX,
                    ..other
                })
            },
        ];
        for change in changes {
            let mut changed = list.clone();
            change(&mut changed);
            let refused = ListError::Key(KeyError::Signature);
            assert_eq!(device_list(account(), &changed), Err(refused));
        }
        let other_account = crate::testing::device(2, 1, 7).address.account;
        let refused = ListError::Key(KeyError::Signature);
        assert_eq!(device_list(other_account, &list), Err(refused));
    }

    #[test]
    fn x03_a_list_that_names_a_key_twice_is_refused() {
        let device = listed(DeviceId::MIN, &TestDevice::new(1).published);
        let second = |change: &dyn Fn(&mut ListedDevice)| {
            let mut second = listed(DeviceId::MAX, &TestDevice::new(2).published);
            change(&mut second);
            device_list(account(), &signed_list(account(), 1, 1, &[device, second]))
        };
        assert_eq!(second(&|_| {}), Ok(()));
        let account_key = first_list(account(), 1).account_key;
        let negated = {
            let mut bytes = *device.identity_key.as_bytes();
            bytes[0] ^= 1;
            PublicKey::new(bytes).unwrap()
        };
        let changes: [&dyn Fn(&mut ListedDevice); 4] = [
            &|second| second.signing_key = device.signing_key,
            &|second| second.identity_key = device.signing_key,
            &|second| second.identity_key = negated,
            &|second| second.signing_key = account_key,
        ];
        for change in changes {
            assert_eq!(second(change), Err(ListError::Key(KeyError::SharedKey)));
        }
    }

    #[test]
    fn a_list_follows_only_the_version_before_it_under_the_same_account_key() {
        let devices = first_list(account(), 1).devices;
        let list = |seed, version| signed_list(account(), seed, version, &devices);
        let follows = |next: &DeviceList| next_device_list(account(), &list(1, 5), next);
        assert_eq!(follows(&list(1, 6)), Ok(()));
        for version in [1, 4, 5, 7] {
            assert_eq!(follows(&list(1, version)), Err(ListError::Stale), "{version}");
        }
        assert!(matches!(follows(&list(2, 6)), Err(ListError::Content(_))));
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
