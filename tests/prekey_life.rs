//! The life of a prekey: published, published again, handed out, replaced. K5–K7, K14, X8, X12, X14, I5.

use reqwest::Method;
use scenarios::{
    RawDevice, Service,
    accounts::{Answer, Registrant, answer, some_number},
    household::all_rows,
    raw::{NewKeys, new_keys, sign},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use waxwing_client::wire::{
    KemKey, KeyId,
    bytes::to_base64,
    check::published_bytes,
    keys::{OneTimePrekey, SignedPrekey},
};

/// A registered device whose keys the story holds.
struct Owner {
    device: RawDevice,
    keys: NewKeys,
}

impl Owner {
    async fn register(service: &Service, one_time_prekeys: u32) -> Self {
        let registrant = Registrant::new(&some_number(), one_time_prekeys);
        assert_eq!(registrant.verify(service).await.status, 200);
        let registered = registrant.register(service).await;
        assert_eq!(registered.status, 200, "{registered:?}");
        Self {
            device: registrant.device(service),
            keys: registrant.keys,
        }
    }

    async fn upload(&self, signed_prekey: Option<&SignedPrekey>, prekeys: &[OneTimePrekey]) -> Answer {
        let mut body = json!({ "one_time_prekeys": prekeys });
        if let Some(prekey) = signed_prekey {
            body["signed_prekey"] = json!(prekey);
        }
        self.post("/v1/keys", body).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        answer(self.device.http(Method::POST, path).json(&body)).await
    }

    /// Another signed prekey of this device.
    fn signed_prekey(&self, id: u64) -> SignedPrekey {
        let mut prekey = new_keys(0).public.signed_prekey;
        prekey.id = KeyId::new(id).unwrap();
        self.sign(prekey)
    }

    fn sign(&self, mut prekey: SignedPrekey) -> SignedPrekey {
        let id = prekey.id.get().to_be_bytes();
        let (key, kem_key) = (prekey.key.as_bytes(), prekey.kem_key.as_bytes());
        let signed = [b"Waxwing v1 signed prekey", id.as_slice(), key, kem_key].concat();
        prekey.signature = sign(&self.keys.signing, &signed);
        prekey
    }

    fn prekeys(&self) -> &[OneTimePrekey] {
        &self.keys.public.one_time_prekeys
    }
}

/// Claims one bundle of the owner's device and gives the id of its one-time prekey.
async fn claim_one(service: &Service, owner: &Owner) -> u64 {
    let claimer = RawDevice::register(service, 0).await;
    let mut socket = claimer.connect().await;
    let claimed = socket
        .request(json!({ "action": "claim", "account": owner.device.account() }))
        .await;
    claimed["bundles"][0]["one_time_prekey"]["id"].as_u64().unwrap()
}

/// I5, X12: the same batch again changes nothing, and a key that was handed out does not come back.
#[tokio::test]
async fn x12_a_batch_again_changes_nothing_and_names_what_was_handed_out() {
    let service = Service::start().await;
    let owner = Owner::register(&service, 5).await;
    let before = all_rows(&service).await;
    let again = owner.upload(None, owner.prekeys()).await;
    assert_eq!(again.body, json!({ "stored": 0, "highest": 5 }), "{again:?}");
    assert_eq!(before, all_rows(&service).await);

    let taken = claim_one(&service, &owner).await;
    for _ in 0..2 {
        let again = owner.upload(None, owner.prekeys()).await;
        assert_eq!(
            again.body,
            json!({ "stored": 0, "highest": 5, "gone": [taken] }),
            "{again:?}"
        );
    }
    let mut others = Vec::new();
    for _ in 0..4 {
        others.push(claim_one(&service, &owner).await);
    }
    assert!(!others.contains(&taken), "{others:?}");
}

/// X12: a device restored from an old copy makes other keys under ids it has used.
#[tokio::test]
async fn x12_an_id_with_other_bytes_refuses_the_whole_and_a_restored_device_heals() {
    let service = Service::start().await;
    let owner = Owner::register(&service, 5).await;
    let mut restored: Vec<_> = new_keys(8).public.one_time_prekeys;
    let before = all_rows(&service).await;
    let signed_prekey = owner.signed_prekey(2);
    for signed_prekey in [None, Some(&signed_prekey)] {
        let refused = owner.upload(signed_prekey, &restored).await;
        assert_eq!((refused.status, refused.code()), (409, "prekey_conflict"));
        assert_eq!(
            before,
            all_rows(&service).await,
            "not even the signed prekey is replaced"
        );
    }
    // It learns the highest id and goes on above it.
    let highest = owner.upload(None, &[]).await.body["highest"].as_u64().unwrap();
    restored.retain(|prekey| u64::from(prekey.id) > highest);
    let healed = owner.upload(None, &restored).await;
    assert_eq!(healed.body, json!({ "stored": 3, "highest": 8 }));
}

/// X12: after a conflict-free part was handed out, a restored device cannot tell; the service can.
#[tokio::test]
async fn x12_ids_below_the_highest_never_enter_the_pool() {
    let service = Service::start().await;
    let owner = Owner::register(&service, 0).await;
    let keys = new_keys(10).public.one_time_prekeys;
    assert_eq!(owner.upload(None, &keys[6..]).await.body["stored"], 4);
    let late = owner.upload(None, &keys[..3]).await;
    assert_eq!(
        late.body,
        json!({ "stored": 0, "highest": 10, "gone": [1, 2, 3] })
    );
    assert_eq!(service.items("PrekeysTable").await.len(), 4);
}

#[tokio::test]
async fn i14_two_uploads_at_once_store_each_key_once() {
    let service = Service::start().await;
    let owner = Owner::register(&service, 0).await;
    let keys = new_keys(60).public.one_time_prekeys;
    let (one, other) = tokio::join!(owner.upload(None, &keys), owner.upload(None, &keys));
    assert_eq!((one.status, other.status), (200, 200), "{one:?} {other:?}");
    let stored = |answer: &Answer| answer.body["stored"].as_u64().unwrap();
    assert_eq!(stored(&one) + stored(&other), 60);
    assert_eq!(service.items("PrekeysTable").await.len(), 60);
}

/// X8: nothing that its device did not sign is published.
#[tokio::test]
async fn x08_a_signed_prekey_that_does_not_verify_is_refused_and_the_old_one_stays() {
    let service = Service::start().await;
    let owner = Owner::register(&service, 2).await;
    let stranger = Owner::register(&service, 0).await;
    let good = owner.signed_prekey(2);
    let before = all_rows(&service).await;
    let mut kem_swapped = good.clone();
    kem_swapped.kem_key = KemKey::from_slice(&[1; KemKey::BYTES]).unwrap();
    let mut out_of_range = good.clone();
    out_of_range.kem_key = KemKey::from_slice(&[0xff; KemKey::BYTES]).unwrap();
    for (bad, code) in [
        (
            SignedPrekey {
                id: KeyId::new(3).unwrap(),
                ..good.clone()
            },
            "invalid_signature",
        ),
        (
            SignedPrekey {
                key: stranger.keys.public.signed_prekey.key,
                ..good.clone()
            },
            "invalid_signature",
        ),
        (kem_swapped, "invalid_signature"),
        (stranger.sign(good.clone()), "invalid_signature"),
        (owner.sign(out_of_range), "invalid_key"),
    ] {
        let refused = owner.upload(Some(&bad), owner.prekeys()).await;
        assert_eq!((refused.status, refused.code()), (400, code));
    }
    assert_eq!(before, all_rows(&service).await);
    assert_eq!(owner.upload(Some(&good), &[]).await.status, 200);
    assert_eq!(owner.upload(Some(&good), &[]).await.status, 200, "again");
    let older = owner.upload(Some(&owner.signed_prekey(1)), &[]).await;
    assert_eq!((older.status, older.code()), (409, "stale_prekey"));
    let same_id = owner.upload(Some(&owner.signed_prekey(2)), &[]).await;
    assert_eq!(same_id.code(), "stale_prekey");
}

/// X14, X82: ids outside 31 bits and batches beyond the bound change nothing.
#[tokio::test]
async fn x14_x82_ids_out_of_range_and_too_many_keys_are_refused() {
    let service = Service::start().await;
    let owner = Owner::register(&service, 1).await;
    let key = json!(owner.prekeys()[0].key);
    let before = all_rows(&service).await;
    for id in [
        json!(-1),
        json!(0),
        json!(1_u64 << 31),
        json!(1_u64 << 32),
        json!(u64::MAX),
        json!("2"),
        json!(2.5),
    ] {
        let body = json!({ "one_time_prekeys": [{ "id": id, "key": key }] });
        assert_eq!(owner.post("/v1/keys", body).await.code(), "malformed", "{id}");
    }
    let rising = |count: u64| {
        (2..2 + count)
            .map(|id| json!({ "id": id, "key": key }))
            .collect::<Vec<_>>()
    };
    let body = json!({ "one_time_prekeys": rising(101) });
    assert_eq!(owner.post("/v1/keys", body).await.code(), "too_large");
    let body = json!({ "one_time_prekeys": [{ "id": 3, "key": key }, { "id": 3, "key": key }] });
    assert_eq!(owner.post("/v1/keys", body).await.code(), "malformed");
    let off_curve = to_base64(&[&[2][..], &[0xff; 32]].concat());
    let body = json!({ "one_time_prekeys": [{ "id": 3, "key": off_curve }] });
    assert_eq!(owner.post("/v1/keys", body).await.code(), "invalid_key");
    assert_eq!(before, all_rows(&service).await);
    let body = json!({ "one_time_prekeys": rising(100) });
    assert_eq!(owner.post("/v1/keys", body).await.body["stored"], 100);
}

#[tokio::test]
async fn the_digest_tells_whether_client_and_service_agree() {
    let service = Service::start().await;
    let owner = Owner::register(&service, 4).await;
    let public = &owner.keys.public;
    let check = async |prekey: &SignedPrekey| {
        let bytes = published_bytes(public.registration, &public.identity, prekey);
        let digest = to_base64(&Sha256::digest(bytes));
        owner.post("/v1/keys/check", json!({ "digest": digest })).await
    };
    let agreed = check(&public.signed_prekey).await;
    assert_eq!(agreed.body, json!({ "one_time_prekeys": 4 }), "{agreed:?}");
    let next = owner.signed_prekey(2);
    let differs = check(&next).await;
    assert_eq!((differs.status, differs.code()), (409, "keys_differ"));
    assert_eq!(owner.upload(Some(&next), &[]).await.status, 200);
    assert_eq!(check(&next).await.status, 200);
    assert_eq!(check(&public.signed_prekey).await.code(), "keys_differ");
}
