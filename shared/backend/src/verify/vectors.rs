//! The service and the protocol judge device lists alike: `docs/vectors/accounts.json`, which the crate
//! `waxwing-protocol` wrote, holds for this crate as well, although it must not contain that one.

use serde_json::Value;
use waxwing_wire::{
    AccountId, DeviceId, DeviceList, ListVersion, PublicKey, RegistrationId, Signature, devices::ListedDevice,
};

use super::device_list;

fn vectors(kind: &str) -> Vec<Value> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/vectors/accounts.json");
    let all: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    all["device_lists"][kind].as_array().unwrap().clone()
}

fn unhex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap();
    let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(digits).collect()
}

/// Takes so many bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn number(bytes: &mut &[u8], count: usize) -> Option<u64> {
    let taken = take(bytes, count)?;
    Some(taken.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// The list as the network carries it. `None`: no field of it could say that.
fn read(mut bytes: &[u8], signature: &[u8]) -> Option<DeviceList> {
    let bytes = &mut bytes;
    take(bytes, b"Waxwing v1 device list".len())?;
    let version = ListVersion::new(number(bytes, 4)?).ok()?;
    take(bytes, AccountId::BYTES)?;
    let account_key = PublicKey::from_slice(take(bytes, PublicKey::BYTES)?).ok()?;
    let issued_at = number(bytes, 8)?;
    let devices = (0..number(bytes, 1)?)
        .map(|_| {
            Some(ListedDevice {
                device: DeviceId::new(number(bytes, 1)?).ok()?,
                registration: RegistrationId::new(number(bytes, 4)?).ok()?,
                signing_key: PublicKey::from_slice(take(bytes, PublicKey::BYTES)?).ok()?,
                identity_key: PublicKey::from_slice(take(bytes, PublicKey::BYTES)?).ok()?,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(DeviceList {
        account_key,
        version,
        issued_at,
        devices,
        signature: Signature::from_slice(signature).ok()?,
    })
}

/// Whether the service takes the list for the account's.
fn accepts(row: &Value) -> bool {
    let (bytes, signature) = (unhex(&row["list"]), unhex(&row["signature"]));
    let Ok(account) = AccountId::from_bytes(&unhex(&row["account"])) else {
        return false;
    };
    read(&bytes, &signature).is_some_and(|list| {
        list.signing_bytes(account) == bytes && list.check().is_ok() && device_list(account, &list).is_ok()
    })
}

#[test]
fn x31_lists_that_devices_take_the_service_takes() {
    let rows = vectors("valid");
    assert!(rows.len() >= 5);
    for row in rows {
        assert!(accepts(&row), "{}", row["comment"]);
    }
}

#[test]
fn x31_lists_that_devices_refuse_the_service_refuses() {
    let rows = vectors("invalid");
    assert!(rows.len() >= 30);
    for row in rows {
        assert!(!accepts(&row), "{}", row["comment"]);
    }
}
