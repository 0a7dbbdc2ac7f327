//! An account's devices are what its owner signed. K8, K9, X31, I7, I8.

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use reqwest::Method;
use scenarios::{
    Phone, RawDevice, Service,
    household::Household,
    raw::{NewKeys, new_keys},
    send_frame,
    service::Item,
    within_patience,
};
use serde_json::json;
use waxwing_client::{
    Event,
    wire::{AccountId, DeviceAddress, DeviceId, DeviceList, RegisteredDevice},
};

const TABLES: [&str; 3] = ["AccountsTable", "DevicesTable", "KeysTable"];

fn binary(bytes: impl AsRef<[u8]>) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes.as_ref()))
}

/// The rows of an account in one table.
async fn rows_of(service: &Service, table: &str, account: AccountId) -> Vec<Item> {
    let mut rows = service.items(table).await;
    rows.retain(|item| item["a"].as_b().unwrap().as_ref() == account.to_bytes());
    rows
}

/// How many envelopes wait for a registration.
async fn waiting_for(service: &Service, device: RegisteredDevice) -> usize {
    let mailbox = service.mailbox().await;
    let owned = mailbox
        .iter()
        .filter(|item| item["o"].as_b().unwrap().as_ref() == device.to_bytes());
    owned.count()
}

/// Puts a device into the tables as nobody but the service could: record and keys, all signed by itself.
async fn put_ghost(service: &Service, account: AccountId) -> RegisteredDevice {
    let NewKeys { public, .. } = new_keys(0);
    let device = DeviceId::new(2).unwrap();
    let number = |value: u32| AttributeValue::N(value.to_string());
    let common = Item::from([
        ("a".to_owned(), binary(account.to_bytes())),
        ("d".to_owned(), binary([device.get()])),
        ("r".to_owned(), number(public.registration.get())),
    ]);
    let mut record = common.clone();
    record.insert("v".into(), binary(public.identity.signing_key.as_bytes()));
    record.insert("s".into(), number(1));
    service.put("DevicesTable", record).await;
    let mut keys = common;
    let prekey = &public.signed_prekey;
    keys.extend([
        ("s".to_owned(), binary(public.identity.signing_key.as_bytes())),
        ("i".to_owned(), binary(public.identity.identity_key.as_bytes())),
        (
            "n".to_owned(),
            binary(public.identity.identity_signature.as_bytes()),
        ),
        ("k".to_owned(), number(prekey.id.get())),
        ("p".to_owned(), binary(prekey.key.as_bytes())),
        ("m".to_owned(), binary(prekey.kem_key.as_bytes())),
        ("g".to_owned(), binary(prekey.signature.as_bytes())),
    ]);
    service.put("KeysTable", keys).await;
    RegisteredDevice {
        address: DeviceAddress { account, device },
        registration: public.registration,
    }
}

#[tokio::test]
async fn fetch_and_claim_hand_out_the_list_as_the_owner_signed_it() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 1).await;
    home.add(&service, 1).await;
    let other = RawDevice::register(&service, 0).await;
    let fetched = other.http(Method::GET, &format!("/v1/keys/{}", home.account()));
    let fetched: serde_json::Value = fetched.send().await.unwrap().json().await.unwrap();
    let mut socket = other.connect().await;
    let claimed = socket
        .request(json!({ "action": "claim", "account": home.account() }))
        .await;
    for answer in [&fetched, &claimed] {
        assert_eq!(answer["list"], json!(home.list));
        let list: DeviceList = serde_json::from_value(answer["list"].clone()).unwrap();
        let key = VerifyingKey::from_sec1_bytes(list.account_key.as_bytes()).unwrap();
        let signature = Signature::from_slice(list.signature.as_bytes()).unwrap();
        let signed = list.signing_bytes(home.account());
        assert!(key.verify(&signed, &signature).is_ok());
    }
    assert!(
        fetched.get("own_one_time_prekeys").is_none(),
        "only about one's own account"
    );
}

/// X31: whoever has the tables, or the service, can add a device; nobody encrypts to it, and the person is told.
#[tokio::test]
async fn x31_nobody_encrypts_to_a_device_that_was_put_straight_into_the_tables() {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    alice.say(&bob, "before the ghost").await;
    bob.until_shown(&alice, 1).await;
    let ghost = put_ghost(&service, bob.account()).await;

    let mut events = alice.client.observe().await.unwrap();
    alice.say(&bob, "for Bob alone").await;
    bob.until_shown(&alice, 2).await;
    let told = async {
        loop {
            if let Some(Event::UnlistedDevice { device }) = events.next().await {
                return device;
            }
        }
    };
    assert_eq!(within_patience("word of the ghost", told).await, ghost.address);
    // Somebody who meets Bob only now claims bundles of both.
    let carol = Phone::of_a_new_person(&service).await;
    carol.say(&bob, "hello").await;
    bob.until_shown(&carol, 1).await;
    assert_eq!(waiting_for(&service, ghost).await, 0);
}

/// X31, I7: the rows of before, put back, do not bring a removed device back for whoever has seen the newer list.
#[tokio::test]
async fn x31_an_old_list_put_back_into_the_tables_brings_nobody_back() {
    let service = Service::start().await;
    let bob = Phone::of_a_new_person(&service).await;
    let tablet = bob.link_another(&service).await;
    let mut former = Vec::new();
    for table in TABLES {
        former.push((table, rows_of(&service, table, bob.account()).await));
    }
    let removed = tablet.address();
    bob.client.revoke(removed.device).await.unwrap();
    let alice = Phone::of_a_new_person(&service).await;
    alice.say(&bob, "to the phone").await;
    alice.until_accepted().await;

    for (table, rows) in former {
        for row in rows {
            let is_removed = |id: &AttributeValue| id.as_b().unwrap().as_ref() == [removed.device.get()];
            if row.get("d").is_none_or(is_removed) {
                service.put(table, row).await;
            }
        }
    }
    let registrations = rows_of(&service, "DevicesTable", bob.account()).await;
    assert_eq!(registrations.len(), 2, "the removed device has its record back");
    let mut events = alice.client.observe().await.unwrap();
    alice.say(&bob, "still to the phone alone").await;
    bob.until_shown(&alice, 2).await;
    let told = async {
        loop {
            if let Some(Event::UnlistedDevice { device }) = events.next().await {
                return device;
            }
        }
    };
    assert_eq!(
        within_patience("word of the device that is on no list", told).await,
        removed
    );
    let mailbox = service.mailbox().await;
    let owned = |item: &Item| {
        item["o"]
            .as_b()
            .unwrap()
            .as_ref()
            .starts_with(&removed.to_bytes())
    };
    assert!(!mailbox.iter().any(owned));
    assert!(tablet.texts(&alice).is_empty());
}

/// K18, I6: the largest account: each of its six devices sends to the other five, and each gets what all others sent.
#[tokio::test]
async fn six_devices_of_one_account_send_and_receive() {
    let service = Service::start().await;
    let mut home = Household::register(&service, 0).await;
    let mut devices = Vec::new();
    for _ in 1..6 {
        devices.push(home.add(&service, 0).await);
    }
    devices.insert(0, home.first);
    for (number, sender) in devices.iter().enumerate() {
        let others = devices.iter().filter(|other| other.device != sender.device);
        let entries: Vec<_> = others
            .map(|other| {
                json!({
                    "device": other.device.address.device,
                    "registration": other.device.registration,
                    "ciphertext": "A".repeat(64),
                })
            })
            .collect();
        assert_eq!(entries.len(), 5);
        let message = format!("01999999-0000-7000-8000-0000000004{number:02}");
        let frame = send_frame(&message, json!(sender.account()), entries);
        let outcome = sender.connect().await.outcome(frame).await;
        assert_eq!(outcome["outcome"], "accepted", "{outcome}");
    }
    for device in &devices {
        let page = device.connect().await.request(json!({"action": "receive"})).await;
        assert_eq!(page["envelopes"].as_array().unwrap().len(), 5, "{page}");
    }
}
