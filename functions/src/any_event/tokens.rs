//! Tokens that the device signed, whatever they claim: what a stolen or a faulty app could send.

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use base64::{Engine, engine::general_purpose::STANDARD};
use p256::ecdsa::{Signature as EcdsaSignature, SigningKey, signature::Signer};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Value, json};
use waxwing_wire::{
    AccountId, Signature,
    bytes::to_base64,
    limits::{MAX_CLOCK_SKEW_SECONDS, MAX_TOKEN_LIFE_SECONDS},
    token::{HEADER, assemble},
};

use super::{Changes, Edit, agreeable_backend};
use crate::{FunctionError, invoke};

/// The one account that there is. It has every device, each under the same key and registration.
const ACCOUNT: &str = "3b9f2c64-7d1e-4a58-9c0b-5e8d4f6a1b20";
const REGISTRATION: u64 = 7;

/// What time it is, in seconds of Unix time.
pub(super) const NOW: u64 = 1_800_000_000;

/// Which deployment the service says it is.
const AUDIENCE: &str = "set";

fn signing_key() -> SigningKey {
    SigningKey::from_slice(&[7; 32]).unwrap()
}

pub(super) fn claims() -> Value {
    json!({
        "aud": AUDIENCE,
        "sub": ACCOUNT,
        "device": 1,
        "registration": REGISTRATION,
        "iat": NOW,
        "exp": NOW + 60,
    })
}

/// A token with these claims that the device signed.
pub(super) fn signed(claims: &Value) -> String {
    let claims = to_base64(claims.to_string().as_bytes());
    let input = format!("{}.{claims}", to_base64(HEADER.as_bytes()));
    let signature: EcdsaSignature = signing_key().sign(input.as_bytes());
    assemble(&input, &Signature::from_slice(&signature.to_bytes()).unwrap())
}

/// Whether a token with these claims speaks for a device that there is, now.
fn speak_for_a_device(claims: &Value) -> bool {
    let times = [&claims["iat"], &claims["exp"]].map(Value::as_u64);
    let [Some(made), Some(ends)] = times else {
        return false;
    };
    claims["aud"] == AUDIENCE
        && claims["sub"] == ACCOUNT
        && claims["device"]
            .as_u64()
            .is_some_and(|id| (1..=127).contains(&id))
        && claims["registration"] == REGISTRATION
        && (1..=MAX_TOKEN_LIFE_SECONDS).contains(&ends.saturating_sub(made))
        && made <= NOW + MAX_CLOCK_SKEW_SECONDS
        && ends + MAX_CLOCK_SKEW_SECONDS > NOW
}

/// A change of claims, most often to what could stand there.
pub(super) fn any_edit() -> impl Strategy<Value = Edit> {
    let value = prop_oneof![
        (0_u64..9).prop_map(Value::from),
        (0_u64..2_000).prop_map(|later| (NOW - 1_000 + later).into()),
        Just(Value::from(AUDIENCE)),
        Just(Value::from("00000000-0000-4000-8000-000000000001")),
    ];
    prop_oneof![
        2 => (any::<Index>(), value).prop_map(|(place, value)| Edit::Replace(place, value)),
        1 => super::any_edit(),
    ]
}

/// The item of the device that a request asks for by its key, if there is one.
pub(super) fn item_of_device(request: &HttpRequest) -> Option<Value> {
    let asked: Value = serde_json::from_slice(request.body().bytes()?).ok()?;
    let key = asked["Key"].as_object()?;
    let account: AccountId = ACCOUNT.parse().ok()?;
    if key.len() != 2 || !key.contains_key("d") || key.get("a")?["B"] != STANDARD.encode(account.to_bytes()) {
        return None;
    }
    let mut item = key.clone();
    let point = signing_key().verifying_key().to_sec1_point(true);
    item.insert("r".into(), json!({ "N": REGISTRATION.to_string() }));
    item.insert("v".into(), json!({ "B": STANDARD.encode(point) }));
    item.insert("s".into(), json!({ "N": "0" }));
    Some(item.into())
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// X67: whoever signs what, a connection is opened for the device that the claims name, and only while they say so.
    #[test]
    fn x67_a_signed_token_lets_in_the_device_it_names_and_nobody_else(edits in vec(any_edit(), 0..3)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let changes = Changes { claims: edits, ..Changes::default() };
        let said = runtime.block_on(invoke("authorize", &agreeable_backend(), changes.of("authorize")));
        let claims = changes.claims();
        match said {
            Ok(reply) => {
                prop_assert!(speak_for_a_device(&claims), "{claims}");
                prop_assert_eq!(&reply["context"]["account"], ACCOUNT);
                prop_assert_eq!(reply["context"]["device"].as_str(), Some(&*claims["device"].to_string()));
                prop_assert_eq!(reply["context"]["registration"].as_str(), Some(&*REGISTRATION.to_string()));
            }
            Err(FunctionError::Unauthorized) => prop_assert!(!changes.claims.is_empty()),
            Err(error) => panic!("{error:?}"),
        }
    }
}
