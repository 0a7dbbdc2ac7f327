//! The test vectors of `docs/vectors/accounts.json`.
//!
//! The service, which must not contain this crate, and the reference decoder in `tests/python` check themselves against
//! the same file. What lies between input and output is derived here a second time, as `docs/accounts.md` says. After
//! a deliberate change, write the file anew: `cargo test -p waxwing-protocol -- --ignored write_the_vectors`.

use serde_json::{Value, json};

use crate::{
    device_list::{DeviceChange, DeviceListError, ExpectedKey, ListedDevice, SignedDeviceList},
    keys::{AccountKey, AccountKeyPair, DeviceKeys, IdentityKeyPair, SigningKeyPair, TheirDevice},
    linking::{DeviceName, LinkOffer},
    pin::Pin,
    primitives::{Prk, hash, stretch},
    safety_number::{AccountIdentity, SafetyNumber},
    testing::{Scripted, hex, negated, negated_private},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/accounts.json");

#[test]
fn the_account_vectors_of_the_documentation_are_those_of_the_code() {
    let file: Value = serde_json::from_str(&std::fs::read_to_string(FILE).unwrap()).unwrap();
    let made = vectors();
    for section in made.as_object().unwrap().keys() {
        assert_eq!(file[section], made[section], "{section}");
    }
    assert_eq!(file, made);
}

#[test]
#[ignore = "writes docs/vectors/accounts.json"]
fn write_the_vectors_of_accounts() {
    std::fs::write(FILE, serde_json::to_string_pretty(&vectors()).unwrap() + "\n").unwrap();
}

fn vectors() -> Value {
    let (alice, bob) = (Person::new("Alice", 0x11), Person::new("Bob", 0x22));
    json!({
        "about": "Test vectors of docs/accounts.md. All bytes are in hexadecimal.",
        "accounts": { "alice": alice.to_json(), "bob": bob.to_json() },
        "device_lists": {
            "valid": valid_lists(&alice),
            "invalid": invalid_lists(&alice),
            "advance": advances(&alice, &bob),
        },
        "safety_numbers": safety_numbers(&alice, &bob),
        "linking": linking(&alice),
        "registration_lock": registration_lock(&alice),
    })
}

/// Bytes that are the same every time and have no other meaning.
fn fixed(name: &str) -> [u8; 32] {
    hash(&[b"Waxwing test vectors: ", name.as_bytes()])
}

struct Person {
    id: [u8; 16],
    key: AccountKeyPair,
}

impl Person {
    fn new(name: &str, id: u8) -> Self {
        // A UUID of version 4, as the network contract wants account ids.
        let mut id = [id; 16];
        (id[6], id[8]) = (0x40 | id[6] & 0x0f, 0x80 | id[8] & 0x3f);
        let key = AccountKeyPair::from_bytes(&fixed(&format!("{name}, account key"))).unwrap();
        Self { id, key }
    }

    fn identity(&self) -> AccountIdentity {
        AccountIdentity {
            id: self.id,
            key: self.key.public().clone(),
        }
    }

    fn list(&self, version: u32, devices: &[ListedDevice]) -> SignedDeviceList {
        SignedDeviceList::sign(&self.key, self.id, version, 1_700_000_000_123, devices.to_vec()).unwrap()
    }

    fn to_json(&self) -> Value {
        json!({
            "id": hex(&self.id),
            "private_key": hex(self.key.to_bytes().as_ref()),
            "public_key": hex(&self.key.public().to_bytes()),
        })
    }
}

fn keys(name: &str) -> TheirDevice {
    let pair = |purpose: &str| fixed(&format!("{name}, {purpose}"));
    DeviceKeys::new(
        SigningKeyPair::from_bytes(&pair("signing key")).unwrap(),
        IdentityKeyPair::from_bytes(&pair("identity key")).unwrap(),
    )
    .public()
}

fn device(number: u8) -> ListedDevice {
    ListedDevice::new(
        number,
        1000 + u32::from(number),
        keys(&format!("device {number}")),
    )
    .unwrap()
}

fn describe(device: &ListedDevice) -> Value {
    json!({
        "number": device.number(),
        "registration": device.registration(),
        "signing_key": hex(&device.keys().signing_key().to_bytes()),
        "identity_key": hex(&device.keys().identity_key().to_bytes()),
    })
}

fn valid_lists(alice: &Person) -> Value {
    let last = ListedDevice::new(127, i32::MAX as u32, keys("device 127")).unwrap();
    let rows = [
        ("one device", 1, 1_700_000_000_123, vec![device(1)]),
        (
            "three devices, not in a row",
            4,
            1_700_000_000_123,
            vec![device(1), device(2), device(5)],
        ),
        ("six devices", 5, 1_700_000_000_123, (1..=6).map(device).collect()),
        ("the largest numbers", i32::MAX as u32, u64::MAX, vec![last]),
        ("made in 1970", 2, 0, vec![device(1)]),
    ];
    rows.into_iter()
        .map(|(comment, version, issued_at, devices)| {
            let list = SignedDeviceList::sign(&alice.key, alice.id, version, issued_at, devices).unwrap();
            json!({
                "comment": comment,
                "account": hex(&alice.id),
                "account_key": hex(&list.account_key().to_bytes()),
                "version": version,
                "issued_at": issued_at,
                "devices": list.devices().iter().map(describe).collect::<Vec<_>>(),
                "list": hex(list.list_bytes()),
                "signature": hex(&list.signature()),
            })
        })
        .collect()
}

/// Where things stand in a list.
const VERSION: usize = 22;
const ACCOUNT_KEY: usize = VERSION + 4 + 16;
const COUNT: usize = ACCOUNT_KEY + 33 + 8;
const FIRST: usize = COUNT + 1;
const SECOND: usize = FIRST + 71;

/// Each but the last few is signed by Alice's account key all the same.
fn invalid_lists(alice: &Person) -> Value {
    let good = alice.list(4, &[device(1), device(2)]);
    let good = good.list_bytes();
    let account_key = alice.key.public().to_bytes();
    let signing_key = device(1).keys().signing_key().to_bytes();
    let edit = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = good.to_vec();
        change(&mut bytes);
        bytes
    };
    let put = |at: usize, with: &[u8]| edit(&|bytes| bytes[at..at + with.len()].copy_from_slice(with));
    let copy = |from: usize, to: usize| edit(&|bytes| bytes.copy_within(from..from + 33, to));
    let off_curve = [[2].as_slice(), &[0xff; 32]].concat();
    let seven = {
        let mut bytes = good[..FIRST].to_vec();
        for number in 1..=7 {
            let one = alice.list(4, &[device(number)]);
            bytes.extend(&one.list_bytes()[FIRST..]);
        }
        bytes[COUNT] = 7;
        bytes
    };
    let without_devices = edit(&|bytes| {
        bytes.truncate(FIRST);
        bytes[COUNT] = 0;
    });
    let swapped = [&good[..FIRST], &good[SECOND..], &good[FIRST..SECOND]].concat();
    let rows = [
        ("nothing", vec![]),
        ("label of another version", put(9, b"2")),
        ("no label", good[VERSION..].to_vec()),
        ("a byte too few", good[..good.len() - 1].to_vec()),
        ("a byte too many", [good, &[0]].concat()),
        ("version 0", put(VERSION, &[0; 4])),
        ("version 2^31", put(VERSION, &[0x80])),
        ("account key uncompressed", put(ACCOUNT_KEY, &[4])),
        ("no device", without_devices),
        ("seven devices", seven),
        ("count below the devices there are", put(COUNT, &[1])),
        ("count above the devices there are", put(COUNT, &[3])),
        ("device number 0", put(FIRST, &[0])),
        ("device number 128", put(SECOND, &[128])),
        ("device number twice", put(SECOND, &[1])),
        ("device numbers falling", swapped),
        ("registration 0", put(FIRST + 1, &[0; 4])),
        ("registration 2^31", put(SECOND + 1, &[0x80, 0, 0, 0])),
        ("signing key off the curve", put(FIRST + 5, &off_curve)),
        ("identity key off the curve", put(SECOND + 38, &off_curve)),
        ("identity key is the signing key", copy(FIRST + 5, FIRST + 38)),
        ("signing key is the account key", put(FIRST + 5, &account_key)),
        ("identity key is the account key", put(SECOND + 38, &account_key)),
        (
            "identity key is the negative of the signing key",
            put(FIRST + 38, &negated(signing_key)),
        ),
        (
            "identity key is the negative of the account key",
            put(SECOND + 38, &negated(account_key)),
        ),
        ("two devices with one signing key", copy(FIRST + 5, SECOND + 5)),
        ("two devices with one identity key", copy(FIRST + 38, SECOND + 38)),
        (
            "one device's signing key is another's identity key",
            copy(FIRST + 5, SECOND + 38),
        ),
    ];
    let signed = rows
        .into_iter()
        .map(|(comment, list)| (comment, alice.id, alice.key.sign(&list), list));
    let signature = alice.key.sign(good);
    let high = {
        let mut high = signature;
        let s = signature.last_chunk().unwrap();
        high[32..].copy_from_slice(&negated_private(s));
        high
    };
    let stranger = AccountKeyPair::from_bytes(&fixed("a stranger's key")).unwrap();
    let by_others = [
        (
            "signature of another list",
            alice.id,
            alice.key.sign(b"another"),
            good.to_vec(),
        ),
        (
            "signature by another key",
            alice.id,
            stranger.sign(good),
            good.to_vec(),
        ),
        (
            "signature without the label",
            alice.id,
            alice.key.sign(&good[VERSION..]),
            good.to_vec(),
        ),
        ("high s", alice.id, high, good.to_vec()),
        ("signature of zeros", alice.id, [0; 64], good.to_vec()),
        ("another account's list", [0x33; 16], signature, good.to_vec()),
    ];
    signed
        .chain(by_others)
        .map(|(comment, account, signature, list)| {
            let result = SignedDeviceList::verify(&list, &signature, &account, ExpectedKey::FirstUse);
            json!({
                "comment": comment,
                "account": hex(&account),
                "list": hex(&list),
                "signature": hex(&signature),
                "refusal": refusal(result.expect_err(comment)),
            })
        })
        .collect()
}

/// The names of docs/accounts.md.
fn refusal(error: DeviceListError) -> &'static str {
    match error {
        DeviceListError::Label => "Label",
        DeviceListError::Length => "Length",
        DeviceListError::Version => "Version",
        DeviceListError::Count => "Count",
        DeviceListError::Number(_) => "Number",
        DeviceListError::Order { .. } => "Order",
        DeviceListError::Registration { .. } => "Registration",
        DeviceListError::AccountKey(_) => "AccountKey",
        DeviceListError::Device { .. } => "Device",
        DeviceListError::SharedKey { .. } => "SharedKey",
        DeviceListError::Signature => "Signature",
        DeviceListError::OtherAccount => "OtherAccount",
        DeviceListError::AccountKeyChanged => "AccountKeyChanged",
    }
}

fn advances(alice: &Person, bob: &Person) -> Value {
    let known = alice.list(4, &[device(1), device(2), device(3)]);
    let anew = ListedDevice::new(2, 7777, keys("device 2, set up anew")).unwrap();
    let other_key = Person {
        id: alice.id,
        key: AccountKeyPair::from_bytes(&fixed("Alice, second account key")).unwrap(),
    };
    let rows = [
        ("the same list", known.clone()),
        ("the same devices, later", alice.list(5, known.devices())),
        (
            "a device added",
            alice.list(5, &[device(1), device(2), device(3), device(4)]),
        ),
        ("a device removed", alice.list(5, &[device(1), device(3)])),
        (
            "one removed, one set up anew, one added",
            alice.list(9, &[device(1), anew, device(6)]),
        ),
        ("an older list", alice.list(3, known.devices())),
        ("another list of the same version", alice.list(4, &[device(1)])),
        ("another account key", other_key.list(5, known.devices())),
        ("another account", bob.list(5, known.devices())),
    ];
    rows.iter()
        .map(|(comment, new)| {
            let numbers = |kind: fn(&DeviceChange) -> Option<u8>| -> Vec<u8> {
                known
                    .advance(new)
                    .into_iter()
                    .flatten()
                    .filter_map(|change| kind(&change))
                    .collect()
            };
            let outcome = match known.advance(new) {
                Ok(_) => json!({
                    "added": numbers(|change| match change {
                        DeviceChange::Added(device) => Some(device.number()),
                        _ => None,
                    }),
                    "removed": numbers(|change| match change {
                        DeviceChange::Removed(device) => Some(device.number()),
                        _ => None,
                    }),
                    "changed": numbers(|change| match change {
                        DeviceChange::Changed { after, .. } => Some(after.number()),
                        _ => None,
                    }),
                }),
                Err(error) => {
                    let name = format!("{error:?}");
                    json!({ "refusal": name.split(' ').next() })
                }
            };
            json!({
                "comment": comment,
                "known": hex(known.list_bytes()),
                "new": hex(new.list_bytes()),
                "new_signature": hex(&new.signature()),
                "outcome": outcome,
            })
        })
        .collect()
}

/// A side of a safety number, step by step as the documentation says.
fn fingerprint(id: &[u8; 16], key: &AccountKey) -> [u8; 32] {
    (0..5200).fold([0; 32], |previous, _| {
        hash(&[b"Waxwing v1 safety number\0", &previous, id, &key.to_bytes()])
    })
}

fn safety_numbers(alice: &Person, bob: &Person) -> Value {
    let carol = Person::new("Carol", 0x33);
    let other_bob = Person {
        id: bob.id,
        key: AccountKeyPair::from_bytes(&fixed("Bob, second account key")).unwrap(),
    };
    let pairs = [(alice, bob), (bob, alice), (alice, &other_bob), (alice, &carol)];
    let numbers: Vec<_> = pairs
        .iter()
        .map(|(ours, theirs)| {
            let (ours, theirs) = (ours.identity(), theirs.identity());
            let number = SafetyNumber::new(&ours, &theirs).unwrap();
            let side = |account: &AccountIdentity| {
                json!({
                    "id": hex(&account.id),
                    "key": hex(&account.key.to_bytes()),
                    "fingerprint": hex(&fingerprint(&account.id, &account.key)),
                })
            };
            json!({
                "ours": side(&ours),
                "theirs": side(&theirs),
                "digits": number.digits(),
                "shown": number.to_string(),
                "code": number.code(),
            })
        })
        .collect();
    let code = |(ours, theirs): (&Person, &Person)| {
        SafetyNumber::new(&ours.identity(), &theirs.identity())
            .unwrap()
            .code()
    };
    let bob_scans = SafetyNumber::new(&bob.identity(), &alice.identity()).unwrap();
    let comparisons: Vec<_> = [
        ("Alice's code for Bob", code((alice, bob))),
        ("Alice has another key of Bob", code((alice, &other_bob))),
        ("Alice's code for Carol", code((alice, &carol))),
        ("Carol's code for Bob", code((&carol, bob))),
        ("Bob's own code", code((bob, alice))),
        ("a code of version 2", "waxwing:verify?Ag".to_owned()),
        ("nothing", "waxwing:verify?".to_owned()),
        ("another scheme", code((alice, bob)).replace("verify", "link")),
    ]
    .iter()
    .map(|(comment, scanned)| {
        let outcome = bob_scans.compare_code(scanned);
        let outcome = outcome.map_or_else(|error| format!("{error:?}"), |outcome| format!("{outcome:?}"));
        json!({ "comment": comment, "scanned": scanned, "outcome": outcome })
    })
    .collect();
    json!({ "numbers": numbers, "bob_scans": comparisons })
}

fn linking(alice: &Person) -> Value {
    let (secret, nonce) = (fixed("link secret"), fixed("link nonce"));
    let token = *fixed("link token").first_chunk().unwrap();
    let (expires_at, registration) = (1_700_000_300_000_u64, 4711_u32);
    let new_device = keys("new device");
    let name = "Annas Laptop 🐦";

    let offer = LinkOffer::new(
        &mut Scripted::new(&[&secret]),
        token,
        alice.id,
        alice.key.public(),
        expires_at,
    );
    let sealed = offer
        .request(
            &mut Scripted::new(&[&nonce[..12]]),
            registration,
            &new_device,
            &DeviceName::new(name).unwrap(),
        )
        .unwrap();

    let context = [
        token.as_slice(),
        &alice.id,
        &alice.key.public().to_bytes(),
        &expires_at.to_be_bytes(),
    ]
    .concat();
    let prk = Prk::extract(b"Waxwing v1 link\0", &secret);
    let name_key = prk.expand(&[b"Waxwing v1 link name\0", &context]);
    let proof_key = prk.expand(&[b"Waxwing v1 link proof\0", &context]);
    let proof = Prk::from_key(&proof_key).expand(&[
        b"Waxwing v1 link request\0",
        &registration.to_be_bytes(),
        &new_device.to_bytes(),
        &sealed[..93],
    ]);
    assert_eq!(proof.as_bytes().as_slice(), &sealed[93..]);
    json!({
        "token": hex(&token),
        "secret": hex(&secret),
        "account": hex(&alice.id),
        "account_key": hex(&alice.key.public().to_bytes()),
        "expires_at": expires_at,
        "code": offer.code().as_str(),
        "registration": registration,
        "signing_key": hex(&new_device.signing_key().to_bytes()),
        "identity_key": hex(&new_device.identity_key().to_bytes()),
        "name": name,
        "nonce": hex(&nonce[..12]),
        "name_key": hex(name_key.as_bytes()),
        "proof_key": hex(proof_key.as_bytes()),
        "sealed": hex(&sealed),
    })
}

fn registration_lock(alice: &Person) -> Value {
    let salt: [u8; 16] = *fixed("lock salt").first_chunk().unwrap();
    ["2580", "correct horse battery staple"]
        .iter()
        .map(|pin| {
            let proof = Pin::new(pin).unwrap().proof(&salt, &alice.id).unwrap();
            let stretched = stretch(pin.as_bytes(), &[salt, alice.id].concat()).unwrap();
            json!({
                "pin": pin,
                "salt": hex(&salt),
                "account": hex(&alice.id),
                "stretched": hex(stretched.as_bytes()),
                "proof": hex(proof.as_bytes()),
            })
        })
        .collect()
}
