use proptest::prelude::*;

use super::*;
use crate::{
    device_list::ListedDevice,
    keys::{AccountKeyPair, DeviceKeys},
    testing::{fresh, negated, rng},
};

const ACCOUNT: [u8; 16] = [0x11; 16];
const TOKEN: [u8; 16] = [0x77; 16];
const NOW: u64 = 1_700_000_000_000;
const END: u64 = NOW + LINK_LIFE_MILLIS;
const REGISTRATION: u32 = 4711;

fn account_key() -> AccountKeyPair {
    AccountKeyPair::generate(&mut rng(100))
}

fn offer() -> LinkOffer {
    LinkOffer::new(&mut fresh(), TOKEN, ACCOUNT, account_key().public(), END)
}

fn keys(seed: u64) -> TheirDevice {
    DeviceKeys::generate(&mut rng(seed)).public()
}

fn name() -> DeviceName {
    DeviceName::new("Anna's laptop").unwrap()
}

fn request(offer: &LinkOffer) -> [u8; SEALED_LINK_BYTES] {
    offer
        .request(&mut fresh(), REGISTRATION, &keys(1), &name())
        .unwrap()
}

fn list(by: &AccountKeyPair, account: [u8; 16], devices: &[(u8, u32, TheirDevice)]) -> SignedDeviceList {
    let devices = devices
        .iter()
        .map(|(number, registration, keys)| ListedDevice::new(*number, *registration, keys.clone()).unwrap())
        .collect();
    SignedDeviceList::sign(by, account, 2, NOW, devices).unwrap()
}

#[test]
fn a_device_that_scans_the_code_is_linked_under_the_name_it_gave_itself() {
    let first = offer();
    let new = LinkOffer::scan(&first.code(), NOW).unwrap();
    assert_eq!((new.token(), new.account()), (TOKEN, ACCOUNT));
    assert_eq!(new.account_key(), account_key().public());
    assert_eq!(new.expires_at_millis(), END);

    let sealed = request(&new);
    assert_eq!(first.accept(NOW, &sealed, REGISTRATION, &keys(1)), Ok(name()));

    let signed = list(
        &account_key(),
        ACCOUNT,
        &[(1, 5, keys(9)), (2, REGISTRATION, keys(1))],
    );
    let confirmed = new.confirm(signed.list_bytes(), &signed.signature(), REGISTRATION, &keys(1));
    assert_eq!(confirmed, Ok((signed, 2)));
}

#[test]
fn x31_x41_the_service_can_put_no_other_keys_in_place_of_the_new_device_s() {
    let offer = offer();
    let sealed = request(&offer);
    let (ours, theirs) = (keys(1), keys(2));
    let join = |signing: [u8; 33], identity: [u8; 33]| {
        TheirDevice::from_bytes(&[signing, identity].concat().try_into().unwrap()).unwrap()
    };
    let (signing, identity) = (ours.signing_key().to_bytes(), ours.identity_key().to_bytes());
    for swapped in [
        theirs.clone(),
        join(signing, theirs.identity_key().to_bytes()),
        join(theirs.signing_key().to_bytes(), identity),
        join(identity, signing),
        join(negated(signing), identity),
        join(signing, negated(identity)),
    ] {
        assert_eq!(
            offer.accept(NOW, &sealed, REGISTRATION, &swapped),
            Err(LinkError::Proof)
        );
    }
    assert_eq!(
        offer.accept(NOW, &sealed, REGISTRATION + 1, &ours),
        Err(LinkError::Proof)
    );
}

#[test]
fn x41_what_a_device_sends_counts_for_one_offer_only() {
    let offer = offer();
    let sealed = request(&offer);
    let with = |token, account, key: &AccountKey, end| {
        let mut other = LinkOffer::new(&mut fresh(), token, account, key, end);
        other.secret = offer.secret.clone();
        other
    };
    let key = account_key();
    let other_key = AccountKeyPair::generate(&mut rng(101));
    assert!(
        with(TOKEN, ACCOUNT, key.public(), END)
            .accept(NOW, &sealed, REGISTRATION, &keys(1))
            .is_ok()
    );
    // Another secret, token, account, account key, end: a code that somebody passed on changed counts for nothing.
    for other in [
        self::offer(),
        with([0x78; 16], ACCOUNT, key.public(), END),
        with(TOKEN, [0x22; 16], key.public(), END),
        with(TOKEN, ACCOUNT, other_key.public(), END),
        with(TOKEN, ACCOUNT, key.public(), END + 1),
    ] {
        assert_eq!(
            other.accept(NOW, &sealed, REGISTRATION, &keys(1)),
            Err(LinkError::Proof)
        );
    }
}

#[test]
fn x41_no_byte_of_name_and_proof_can_be_changed() {
    let offer = offer();
    let sealed = request(&offer);
    for at in 0..sealed.len() {
        let mut changed = sealed;
        changed[at] ^= 1;
        let accepted = offer.accept(NOW, &changed, REGISTRATION, &keys(1));
        assert_eq!(accepted, Err(LinkError::Proof), "byte {at}");
    }
    for length in [0, 1, SEALED_LINK_BYTES - 1] {
        let accepted = offer.accept(NOW, &sealed[..length], REGISTRATION, &keys(1));
        assert_eq!(accepted, Err(LinkError::Length));
    }
    let longer = [sealed.as_slice(), &[0]].concat();
    assert_eq!(
        offer.accept(NOW, &longer, REGISTRATION, &keys(1)),
        Err(LinkError::Length)
    );
}

#[test]
fn x41_an_offer_ends_on_both_devices() {
    let offer = offer();
    let code = offer.code();
    let scan = |now| LinkOffer::scan(&code, now).map(|_| ());
    assert_eq!(scan(NOW), Ok(()));
    assert_eq!(scan(END + MAX_CLOCK_SKEW_MILLIS - 1), Ok(()));
    assert_eq!(scan(END + MAX_CLOCK_SKEW_MILLIS), Err(LinkCodeError::Expired));
    assert_eq!(scan(u64::MAX), Err(LinkCodeError::Expired));
    // A clock behind, within the skew and beyond it.
    assert_eq!(scan(NOW - MAX_CLOCK_SKEW_MILLIS), Ok(()));
    assert_eq!(scan(NOW - MAX_CLOCK_SKEW_MILLIS - 1), Err(LinkCodeError::TooLong));
    assert_eq!(scan(0), Err(LinkCodeError::TooLong));
    assert!(LinkOffer::read(&code).is_ok());

    let sealed = request(&offer);
    assert!(offer.accept(END - 1, &sealed, REGISTRATION, &keys(1)).is_ok());
    assert_eq!(
        offer.accept(END, &sealed, REGISTRATION, &keys(1)),
        Err(LinkError::Expired)
    );
}

#[test]
fn x31_a_new_device_believes_only_a_list_of_its_account_that_names_it() {
    let offer = offer();
    let ours = keys(1);
    let confirm = |list: &SignedDeviceList| {
        offer
            .confirm(list.list_bytes(), &list.signature(), REGISTRATION, &ours)
            .map(|(_, number)| number)
    };
    let key = account_key();
    let entry = (2, REGISTRATION, ours.clone());
    assert_eq!(confirm(&list(&key, ACCOUNT, std::slice::from_ref(&entry))), Ok(2));
    assert_eq!(
        confirm(&list(&key, [0x22; 16], std::slice::from_ref(&entry))),
        Err(LinkError::List(DeviceListError::OtherAccount))
    );
    let other = AccountKeyPair::generate(&mut rng(101));
    assert_eq!(
        confirm(&list(&other, ACCOUNT, &[entry])),
        Err(LinkError::List(DeviceListError::AccountKeyChanged))
    );
    for listed in [
        (1, 5, keys(9)),
        (2, REGISTRATION + 1, ours.clone()),
        (2, REGISTRATION, keys(9)),
    ] {
        assert_eq!(
            confirm(&list(&key, ACCOUNT, &[listed])),
            Err(LinkError::NotListed)
        );
    }
}

#[test]
fn a_code_of_another_version_or_kind_is_no_offer() {
    let code = offer().code();
    let bytes = qr::decode(SCHEME, &code).unwrap().to_vec();
    assert_eq!(bytes.len(), CODE_BYTES);
    let read = |bytes: &[u8]| LinkOffer::read(&qr::encode(SCHEME, bytes)).err();
    for version in [0, 2, 255] {
        let changed = [&[version], &bytes[1..]].concat();
        assert_eq!(read(&changed), Some(LinkCodeError::Version(version)));
        assert_eq!(read(&[version]), Some(LinkCodeError::Version(version)));
    }
    for length in [0, 1, CODE_BYTES - 1] {
        assert_eq!(read(&bytes[..length]), Some(LinkCodeError::Code));
    }
    assert_eq!(
        read(&[bytes.as_slice(), &[0]].concat()),
        Some(LinkCodeError::Code)
    );
    let mut changed = bytes.clone();
    changed[65] = 4;
    assert_eq!(
        read(&changed),
        Some(LinkCodeError::AccountKey(KeyError::Encoding))
    );
    changed[65] = 2;
    changed[66..98].fill(0xff);
    assert_eq!(read(&changed), Some(LinkCodeError::AccountKey(KeyError::Curve)));
    for text in [
        "",
        "waxwing:link?",
        "https://example.com",
        &qr::encode("waxwing:verify?", &bytes),
    ] {
        assert_eq!(LinkOffer::read(text).err(), Some(LinkCodeError::Code));
    }
}

#[test]
fn every_name_is_sealed_in_as_many_bytes_and_repeated_under_another_nonce() {
    let offer = offer();
    let seal = |name: &str| {
        let name = DeviceName::new(name).unwrap();
        offer
            .request(&mut fresh(), REGISTRATION, &keys(1), &name)
            .unwrap()
            .to_vec()
    };
    assert_eq!(seal("a").len(), seal(&"x".repeat(64)).len());
    assert_ne!(seal("a"), seal("a"));
    let sealed = seal("waxwing");
    assert!(!sealed.windows(7).any(|window| window == b"waxwing"));
}

#[test]
fn a_registration_out_of_range_is_neither_asked_for_nor_accepted() {
    let offer = offer();
    let sealed = request(&offer);
    for registration in [0, 1 << 31, u32::MAX] {
        let asked = offer.request(&mut fresh(), registration, &keys(1), &name());
        assert_eq!(asked, Err(LinkError::Registration));
        let accepted = offer.accept(NOW, &sealed, registration, &keys(1));
        assert_eq!(accepted, Err(LinkError::Registration));
    }
}

#[test]
fn x86_an_offer_does_not_print_what_its_code_says() {
    assert_eq!(
        format!("{:?}", offer()),
        format!("LinkOffer {{ expires_at_millis: {END}, .. }}")
    );
}

proptest! {
    #[test]
    fn no_text_and_no_bytes_make_linking_panic(
        text in "(waxwing:link\\?)?[A-Za-z0-9_=-]{0,150}",
        any in ".*",
        bytes in prop::collection::vec(any::<u8>(), 0..130),
    ) {
        let offer = offer();
        for text in [&text, &any] {
            let _ = LinkOffer::scan(text, NOW);
            let _ = DeviceName::new(text);
        }
        let _ = offer.accept(NOW, &bytes, REGISTRATION, &keys(1));
        let _ = offer.confirm(&bytes, &[1; 64], REGISTRATION, &keys(1));
        let _ = LinkOffer::read(&qr::encode(SCHEME, &[&[VERSION], bytes.as_slice()].concat()));
    }
}
