use proptest::prelude::*;

use super::*;
use crate::{
    keys::{DeviceKeys, IdentityKeyPair, SigningKeyPair},
    testing::{negated, negated_private, rng},
};

const ACCOUNT: [u8; 16] = [0x11; 16];

fn account_key() -> AccountKeyPair {
    AccountKeyPair::generate(&mut rng(100))
}

fn keys(seed: u64) -> TheirDevice {
    DeviceKeys::generate(&mut rng(seed)).public()
}

fn device(number: u8) -> ListedDevice {
    ListedDevice::new(number, 1000 + u32::from(number), keys(number.into())).unwrap()
}

fn list(version: u32, devices: Vec<ListedDevice>) -> SignedDeviceList {
    SignedDeviceList::sign(&account_key(), ACCOUNT, version, 1_700_000_000_000, devices).unwrap()
}

/// Signs what an honest client would not.
fn verify_signed(bytes: &[u8]) -> Result<SignedDeviceList, DeviceListError> {
    SignedDeviceList::verify(bytes, &account_key().sign(bytes), &ACCOUNT, ExpectedKey::FirstUse)
}

/// Where things stand in the bytes of a list.
const VERSION: usize = 22;
const ACCOUNT_KEY: usize = VERSION + 4 + 16;
const COUNT: usize = ACCOUNT_KEY + 33 + 8;
const FIRST: usize = COUNT + 1;
const SECOND: usize = FIRST + 71;

#[test]
fn x31_a_list_of_one_to_six_devices_comes_back_as_it_was_signed() {
    let key = account_key();
    for count in 1..=6 {
        let devices: Vec<_> = (1..=count).rev().map(device).collect();
        let signed = list(7, devices);
        let verified = SignedDeviceList::verify(
            signed.list_bytes(),
            &signed.signature(),
            &ACCOUNT,
            ExpectedKey::Known(key.public()),
        )
        .unwrap();
        assert_eq!(verified, signed);
        assert_eq!(signed.list_bytes().len(), 84 + 71 * usize::from(count));
        let numbers: Vec<_> = verified.devices().iter().map(ListedDevice::number).collect();
        assert_eq!(numbers, (1..=count).collect::<Vec<_>>());
        assert_eq!(verified.device(count), Some(&device(count)));
        assert_eq!(verified.device(count + 1), None);
        assert_eq!(
            (
                verified.version(),
                verified.issued_at_millis(),
                verified.account()
            ),
            (7, 1_700_000_000_000, ACCOUNT)
        );
    }
    assert_eq!(
        list(1, (1..=6).map(device).collect()).list_bytes().len(),
        MAX_LIST_BYTES
    );
}

#[test]
fn x31_a_device_the_service_adds_removes_or_swaps_breaks_the_signature() {
    let signed = list(7, vec![device(1), device(2)]);
    let ghost = list(7, vec![device(1), device(2), device(3)]);
    let fewer = list(7, vec![device(1)]);
    let swapped = list(7, vec![device(1), ListedDevice::new(2, 1002, keys(9)).unwrap()]);
    for other in [ghost, fewer, swapped] {
        let verified = SignedDeviceList::verify(
            other.list_bytes(),
            &signed.signature(),
            &ACCOUNT,
            ExpectedKey::FirstUse,
        );
        assert_eq!(verified, Err(DeviceListError::Signature));
    }
}

#[test]
fn x31_no_byte_of_list_or_signature_can_be_changed() {
    let signed = list(7, vec![device(1), device(2)]);
    for at in 0..signed.list_bytes().len() {
        for bit in [1, 0x80] {
            let mut bytes = signed.list_bytes().to_vec();
            bytes[at] ^= bit;
            let result =
                SignedDeviceList::verify(&bytes, &signed.signature(), &ACCOUNT, ExpectedKey::FirstUse);
            assert!(result.is_err(), "byte {at}");
        }
    }
    for at in 0..64 {
        let mut signature = signed.signature();
        signature[at] ^= 1;
        let result =
            SignedDeviceList::verify(signed.list_bytes(), &signature, &ACCOUNT, ExpectedKey::FirstUse);
        assert_eq!(result, Err(DeviceListError::Signature), "byte {at}");
    }
}

#[test]
fn x05_the_high_twin_of_a_list_s_signature_is_refused() {
    let signed = list(1, vec![device(1)]);
    let mut twin = signed.signature();
    let s: [u8; 32] = twin[32..].try_into().unwrap();
    twin[32..].copy_from_slice(&negated_private(&s));
    assert_eq!(
        SignedDeviceList::verify(signed.list_bytes(), &twin, &ACCOUNT, ExpectedKey::FirstUse),
        Err(DeviceListError::Signature)
    );
}

#[test]
fn x31_a_list_of_another_account_or_under_another_key_is_named_as_such() {
    let signed = list(1, vec![device(1)]);
    let verify = |account, expected| {
        SignedDeviceList::verify(signed.list_bytes(), &signed.signature(), account, expected)
    };
    assert_eq!(
        verify(&[0x22; 16], ExpectedKey::FirstUse),
        Err(DeviceListError::OtherAccount)
    );
    let other = AccountKeyPair::generate(&mut rng(101));
    assert_eq!(
        verify(&ACCOUNT, ExpectedKey::Known(other.public())),
        Err(DeviceListError::AccountKeyChanged)
    );
    // What does not verify raises no alarm about keys.
    let forged = SignedDeviceList::verify(
        signed.list_bytes(),
        &other.sign(signed.list_bytes()),
        &ACCOUNT,
        ExpectedKey::Known(other.public()),
    );
    assert_eq!(forged, Err(DeviceListError::Signature));
}

#[test]
fn x07_no_key_stands_twice_on_a_list() {
    let account = account_key();
    let as_device = |signing: &[u8], identity: &[u8]| {
        TheirDevice::from_bytes(&[signing, identity].concat().try_into().unwrap())
    };
    let (one, two) = (keys(1), keys(2));
    let (signing, identity) = (one.signing_key().to_bytes(), one.identity_key().to_bytes());
    let account_public = account.public().to_bytes();
    let other = two.identity_key().to_bytes();
    for (number, keys) in [
        (1, as_device(&account_public, &other)),
        (1, as_device(&other, &account_public)),
        (3, as_device(&signing, &other)),
        (3, as_device(&other, &signing)),
        (3, as_device(&identity, &other)),
        (3, as_device(&other, &identity)),
        // The other point with the same x-coordinate agrees on the same secrets.
        (1, as_device(&negated(account_public), &other)),
        (1, as_device(&other, &negated(account_public))),
        (1, as_device(&other, &negated(other))),
        (3, as_device(&other, &negated(signing))),
        (3, as_device(&negated(identity), &other)),
    ] {
        let extra = ListedDevice::new(number, 5, keys.unwrap()).unwrap();
        let mut devices = vec![extra];
        if number == 3 {
            devices.push(device(1));
        }
        let signed = SignedDeviceList::sign(&account, ACCOUNT, 1, 0, devices);
        assert_eq!(signed, Err(DeviceListError::SharedKey { number }));
    }
    // One device, one key for both purposes: no such device can be made, nor read from a list.
    assert_eq!(as_device(&signing, &signing), Err(DeviceError::SameKey));
    let mut bytes = list(1, vec![device(1)]).list_bytes().to_vec();
    bytes.copy_within(FIRST + 5..FIRST + 38, FIRST + 38);
    let error = DeviceError::SameKey;
    assert_eq!(
        verify_signed(&bytes),
        Err(DeviceListError::Device { number: 1, error })
    );
}

#[test]
fn x07_a_signature_of_a_list_is_one_of_nothing_else() {
    // The account key of one is the signing key of another: still no signature serves both purposes.
    let account = account_key();
    let signing = SigningKeyPair::from_bytes(account.to_bytes().as_ref()).unwrap();
    let identity = IdentityKeyPair::generate(&mut rng(5));
    let device = DeviceKeys::new(signing, identity);
    let signed = list(1, vec![self::device(1)]);
    assert_eq!(
        SignedDeviceList::verify(
            signed.list_bytes(),
            &device.identity_signature(),
            &ACCOUNT,
            ExpectedKey::FirstUse
        ),
        Err(DeviceListError::Signature)
    );
    let as_identity = TheirDevice::verify(
        &account.public().to_bytes(),
        &device.identity().public().to_bytes(),
        &signed.signature(),
    );
    assert_eq!(as_identity, Err(DeviceError::Signature));
}

#[test]
fn x04_a_list_has_one_encoding() {
    let good = list(1, vec![device(1), device(2)]);
    let good = good.list_bytes();
    assert!(verify_signed(good).is_ok());
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        verify_signed(&bytes).err()
    };
    let rows: [(&str, Option<DeviceListError>, DeviceListError); 17] = [
        ("label", changed(&|b| b[9] = b'2'), DeviceListError::Label),
        ("empty", changed(&|b| b.clear()), DeviceListError::Label),
        ("longer", changed(&|b| b.push(0)), DeviceListError::Length),
        (
            "shorter",
            changed(&|b| b.truncate(SECOND + 70)),
            DeviceListError::Length,
        ),
        (
            "label only",
            changed(&|b| b.truncate(22)),
            DeviceListError::Length,
        ),
        (
            "version 0",
            changed(&|b| b[VERSION..VERSION + 4].fill(0)),
            DeviceListError::Version,
        ),
        (
            "version 2^31",
            changed(&|b| b[VERSION] = 0x80),
            DeviceListError::Version,
        ),
        (
            "count too low",
            changed(&|b| b[COUNT] = 1),
            DeviceListError::Length,
        ),
        (
            "count too high",
            changed(&|b| b[COUNT] = 3),
            DeviceListError::Length,
        ),
        (
            "seven devices",
            changed(&|b| b[COUNT] = 7),
            DeviceListError::Count,
        ),
        (
            "255 devices",
            changed(&|b| b[COUNT] = 255),
            DeviceListError::Count,
        ),
        (
            "uncompressed account key",
            changed(&|b| b[ACCOUNT_KEY] = 4),
            DeviceListError::AccountKey(KeyError::Encoding),
        ),
        ("number 0", changed(&|b| b[FIRST] = 0), DeviceListError::Number(0)),
        (
            "number 128",
            changed(&|b| b[SECOND] = 128),
            DeviceListError::Number(128),
        ),
        (
            "number twice",
            changed(&|b| b[SECOND] = 1),
            DeviceListError::Order { number: 1 },
        ),
        (
            "registration 0",
            changed(&|b| b[FIRST + 1..FIRST + 5].fill(0)),
            DeviceListError::Registration { number: 1 },
        ),
        (
            "registration 2^31",
            changed(&|b| b[SECOND + 1..SECOND + 5].copy_from_slice(&[0x80, 0, 0, 0])),
            DeviceListError::Registration { number: 2 },
        ),
    ];
    for (name, found, expected) in rows {
        assert_eq!(found, Some(expected), "{name}");
    }
    let without_devices = |b: &mut Vec<u8>| {
        b.truncate(FIRST);
        b[COUNT] = 0;
    };
    assert_eq!(changed(&without_devices), Some(DeviceListError::Count));
    let mut falling = good[..FIRST].to_vec();
    falling.extend(&good[SECOND..]);
    falling.extend(&good[FIRST..SECOND]);
    assert_eq!(verify_signed(&falling), Err(DeviceListError::Order { number: 1 }));
}

#[test]
fn x01_a_point_off_the_curve_is_no_key_of_a_list() {
    let mut bytes = list(1, vec![device(1)]).list_bytes().to_vec();
    bytes[FIRST + 5] = 2;
    bytes[FIRST + 6..FIRST + 38].fill(0xff);
    let error = DeviceError::SigningKey(KeyError::Curve);
    assert_eq!(
        verify_signed(&bytes),
        Err(DeviceListError::Device { number: 1, error })
    );
}

#[test]
fn what_would_not_verify_is_not_signed() {
    let sign = |version, devices| SignedDeviceList::sign(&account_key(), ACCOUNT, version, 0, devices);
    for version in [0, 1 << 31, u32::MAX] {
        assert_eq!(sign(version, vec![device(1)]), Err(DeviceListError::Version));
    }
    assert_eq!(sign(1, vec![]), Err(DeviceListError::Count));
    assert_eq!(
        sign(1, (1..=7).map(device).collect()),
        Err(DeviceListError::Count)
    );
    let twice = vec![device(1), ListedDevice::new(1, 9, keys(9)).unwrap()];
    assert_eq!(sign(1, twice), Err(DeviceListError::Order { number: 1 }));
    for number in [0, 128, 255] {
        let expected = Err(DeviceListError::Number(number));
        assert_eq!(ListedDevice::new(number, 1, keys(1)), expected);
    }
    for registration in [0, 1 << 31, u32::MAX] {
        let expected = Err(DeviceListError::Registration { number: 1 });
        assert_eq!(ListedDevice::new(1, registration, keys(1)), expected);
    }
}

#[test]
fn x31_a_new_list_names_every_difference() {
    let known = list(4, vec![device(1), device(2), device(3)]);
    assert_eq!(known.advance(&known), Ok(vec![]));
    let registered_anew = ListedDevice::new(2, 77, keys(2)).unwrap();
    let other_keys = ListedDevice::new(3, 1003, keys(33)).unwrap();
    let new = list(9, vec![registered_anew.clone(), other_keys.clone(), device(5)]);
    assert_eq!(
        known.advance(&new),
        Ok(vec![
            DeviceChange::Removed(device(1)),
            DeviceChange::Changed {
                before: device(2),
                after: registered_anew
            },
            DeviceChange::Changed {
                before: device(3),
                after: other_keys
            },
            DeviceChange::Added(device(5)),
        ])
    );
    // A later version may say the same.
    assert_eq!(known.advance(&list(5, known.devices().to_vec())), Ok(vec![]));
}

#[test]
fn x31_a_rollback_an_equivocation_and_another_key_do_not_follow() {
    let known = list(4, vec![device(1), device(2)]);
    let rollback = AdvanceError::Rollback {
        known: 4,
        presented: 3,
    };
    assert_eq!(known.advance(&list(3, known.devices().to_vec())), Err(rollback));
    assert_eq!(
        known.advance(&list(4, vec![device(1)])),
        Err(AdvanceError::Equivocation { version: 4 })
    );
    let later = SignedDeviceList::sign(&account_key(), ACCOUNT, 4, 1, known.devices().to_vec()).unwrap();
    assert_eq!(
        known.advance(&later),
        Err(AdvanceError::Equivocation { version: 4 })
    );
    let other = AccountKeyPair::generate(&mut rng(101));
    for version in [3, 4, 5] {
        let new = SignedDeviceList::sign(&other, ACCOUNT, version, 0, known.devices().to_vec()).unwrap();
        assert_eq!(known.advance(&new), Err(AdvanceError::AccountKeyChanged));
    }
    let new = SignedDeviceList::sign(&account_key(), [0x22; 16], 5, 0, vec![device(1)]).unwrap();
    assert_eq!(known.advance(&new), Err(AdvanceError::OtherAccount));
}

#[test]
fn x35_a_device_key_is_no_account_key_and_an_id_no_key() {
    // An account whose id is the beginning of another account's key gets nothing of it: ids and keys have types,
    // lengths and places of their own.
    let key = account_key();
    let id: [u8; 16] = key.public().to_bytes()[1..17].try_into().unwrap();
    let signed = SignedDeviceList::sign(&key, id, 1, 0, vec![device(1)]).unwrap();
    let verify = |account: &[u8; 16]| {
        SignedDeviceList::verify(
            signed.list_bytes(),
            &signed.signature(),
            account,
            ExpectedKey::Known(key.public()),
        )
    };
    assert!(verify(&id).is_ok());
    assert_eq!(verify(&ACCOUNT), Err(DeviceListError::OtherAccount));
    // A list signed by a device's signing key names that key as account key, and so is another account's.
    let signing = DeviceKeys::generate(&mut rng(1)).signing().to_bytes();
    let device_as_account = AccountKeyPair::from_bytes(signing.as_ref()).unwrap();
    let forged = SignedDeviceList::sign(&device_as_account, id, 2, 0, vec![device(2)]).unwrap();
    assert_eq!(signed.advance(&forged), Err(AdvanceError::AccountKeyChanged));
}

#[test]
fn a_list_prints_version_key_and_devices() {
    let text = format!("{:?}", list(7, vec![device(1)]));
    assert!(
        text.starts_with("SignedDeviceList { version: 7, account_key: AccountKey(0"),
        "{text}"
    );
    assert!(text.ends_with(".. }"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_the_parser_panic_and_what_it_takes_has_one_encoding(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        labelled in any::<bool>(),
    ) {
        let bytes = if labelled { [labels::DEVICE_LIST_SIGNATURE, &bytes].concat() } else { bytes };
        let _ = SignedDeviceList::verify(&bytes, &[1; 64], &ACCOUNT, ExpectedKey::FirstUse);
        if let Ok(contents) = Contents::parse(&bytes) {
            prop_assert_eq!(contents.encode(), Ok(bytes));
        }
    }

    #[test]
    fn a_list_damaged_anywhere_is_refused_and_what_is_read_has_one_encoding(
        at in 0..226_usize, byte in any::<u8>(), cut in 0..227_usize,
    ) {
        let signed = list(3, vec![device(1), device(2)]);
        let mut bytes = signed.list_bytes().to_vec();
        let same = bytes[at] == byte && cut == bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut);
        let verified = SignedDeviceList::verify(&bytes, &signed.signature(), &ACCOUNT, ExpectedKey::FirstUse);
        prop_assert_eq!(verified.is_ok(), same);
        if let Ok(contents) = Contents::parse(&bytes) {
            prop_assert_eq!(contents.encode(), Ok(bytes));
        }
    }

    #[test]
    fn changes_lead_from_the_known_list_to_the_new_one(
        known in prop::collection::btree_map(1..9_u8, 0..2_u32, 1..=6),
        new in prop::collection::btree_map(1..9_u8, 0..2_u32, 1..=6),
    ) {
        let devices = |map: &std::collections::BTreeMap<u8, u32>| {
            map.iter()
                .map(|(number, again)| ListedDevice::new(*number, 1 + again, keys((*number).into())).unwrap())
                .collect::<Vec<_>>()
        };
        let (known, new) = (list(1, devices(&known)), list(2, devices(&new)));
        let mut present: std::collections::BTreeMap<_, _> =
            known.devices().iter().map(|device| (device.number(), device.clone())).collect();
        for change in known.advance(&new).unwrap() {
            match change {
                DeviceChange::Removed(device) => {
                    prop_assert_eq!(present.remove(&device.number()), Some(device));
                }
                DeviceChange::Added(device) => {
                    prop_assert_eq!(present.insert(device.number(), device), None);
                }
                DeviceChange::Changed { before, after } => {
                    prop_assert!(before != after);
                    prop_assert_eq!(present.insert(after.number(), after), Some(before));
                }
            }
        }
        prop_assert_eq!(present.into_values().collect::<Vec<_>>(), new.devices());
    }
}
