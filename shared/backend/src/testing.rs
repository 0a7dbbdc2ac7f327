//! AWS as a script, for what no real one does on demand: leftovers, throttles, conflicts, lost races, and the
//! order in which it was asked. Everything else is tested over the embedded DynamoDB, in the scenarios.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use aws_smithy_runtime_api::{
    client::{
        http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
        orchestrator::{HttpRequest, HttpResponse},
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, RegisteredDevice, RegistrationId, bytes::from_base64,
    keys::NewDevice,
};

use crate::{Backend, Clock, Config};

/// More calls than any test needs.
const MAX_CALLS: usize = 1000;

/// One request to AWS.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The operation of DynamoDB, the action of SNS, or the method and id of a connection.
    pub(crate) operation: String,
    /// The table, if there is one.
    pub(crate) table: String,
    /// The body; the parameters of a request to SNS; `null` if it is neither.
    pub(crate) body: Value,
}

/// What AWS answers: status and body. A body that is a string is sent as it is: SNS speaks XML.
pub(crate) type Answer = (u16, Value);

/// The answer to a write that did what was asked.
pub(crate) fn done() -> Answer {
    (200, json!({}))
}

/// DynamoDB's refusal with this code.
pub(crate) fn refused(code: &str) -> Answer {
    (
        400,
        json!({ "__type": format!("com.amazonaws.dynamodb.v20120810#{code}") }),
    )
}

/// The refusal of a condition, with the item that is there.
pub(crate) fn condition_failed(item: &Value) -> Answer {
    let (status, mut body) = refused("ConditionalCheckFailedException");
    if let (Value::Object(body), false) = (&mut body, item.is_null()) {
        body.insert("Item".into(), item.clone());
    }
    (status, body)
}

/// A backend whose AWS answers by `script`, and the calls it made.
pub(crate) fn backend(
    script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
) -> (Backend, Arc<Mutex<Vec<Call>>>) {
    backend_of(Clock::system(), 1, script)
}

/// As [`backend`], with this clock, and what it draws at random following from `seed`.
pub(crate) fn backend_of(
    clock: Clock,
    seed: u64,
    script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
) -> (Backend, Arc<Mutex<Vec<Call>>>) {
    let variables = BTreeMap::from([
        ("ACCOUNTS_TABLE", "accounts"),
        ("CODES_TABLE", "codes"),
        ("LIMITS_TABLE", "limits"),
        ("LINKS_TABLE", "links"),
        ("LOCKS_TABLE", "locks"),
        ("PHONES_TABLE", "phones"),
        ("TICKETS_TABLE", "tickets"),
        ("REQUESTS_PER_MINUTE", "500"),
        ("PHONE_HASH_KEY", "a secret that only the tests know"),
        ("SMS_DAILY_CEILING", "1000"),
        (
            "APNS_APPLICATION",
            "arn:aws:sns:eu-west-1:123456789012:app/APNS/waxwing",
        ),
        ("DEVICES_TABLE", "devices"),
        ("KEYS_TABLE", "keys"),
        ("PREKEYS_TABLE", "prekeys"),
        ("MAILBOX_TABLE", "mailbox"),
        ("TOKEN_AUDIENCE", "waxwing"),
        ("CONNECTIONS_ENDPOINT", "https://api.example/prod"),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKID"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
    ]);
    let config = Config::read(|name| variables.get(name).map(ToString::to_string)).unwrap();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let connector = SharedHttpConnector::new(Script {
        script,
        calls: Arc::clone(&calls),
    });
    let client = http_client_fn(move |_, _| connector.clone());
    (Backend::seeded(&config, clock, Some(client), seed), calls)
}

/// Operations and tables of the calls, in order.
pub(crate) fn operations(calls: &Mutex<Vec<Call>>) -> Vec<String> {
    let calls = calls.lock().unwrap();
    calls
        .iter()
        .map(|call| format!("{} {}", call.operation, call.table).trim_end().to_owned())
        .collect()
}

/// A device of the account whose id ends in `account`.
pub(crate) fn device(account: u8, device: u64, registration: u64) -> RegisteredDevice {
    let mut bytes = *b"\x6f\x96\x19\xff\x8b\x86\x40\x11\xb4\x2d\x00\xc0\x4f\xc9\x64\x00";
    bytes[15] = account;
    RegisteredDevice {
        address: DeviceAddress {
            account: AccountId::from_bytes(&bytes).unwrap(),
            device: DeviceId::new(device).unwrap(),
        },
        registration: RegistrationId::new(registration).unwrap(),
    }
}

/// A device record as DynamoDB answers it.
pub(crate) fn device_item(device: RegisteredDevice, connection: Option<&str>) -> Value {
    let mut item = json!({
        "a": { "B": standard_base64(&device.address.account.to_bytes()) },
        "d": { "B": standard_base64(&[device.address.device.get()]) },
        "r": { "N": device.registration.to_string() },
        "v": { "B": standard_base64(&[[2].as_slice(), &[1; 32]].concat()) },
        "s": { "N": "1000" },
    });
    if let (Value::Object(item), Some(connection)) = (&mut item, connection) {
        item.insert("c".into(), json!({ "S": connection }));
        item.insert("t".into(), json!({ "N": "1000" }));
    }
    item
}

/// What a device published, as DynamoDB answers it.
pub(crate) fn keys_item(device: RegisteredDevice, new: &NewDevice) -> Value {
    let binary = |bytes: &[u8]| json!({ "B": standard_base64(bytes) });
    json!({
        "a": binary(&device.address.account.to_bytes()),
        "d": binary(&[device.address.device.get()]),
        "r": { "N": new.registration.to_string() },
        "s": binary(new.identity.signing_key.as_bytes()),
        "i": binary(new.identity.identity_key.as_bytes()),
        "n": binary(new.identity.identity_signature.as_bytes()),
        "k": { "N": new.signed_prekey.id.to_string() },
        "p": binary(new.signed_prekey.key.as_bytes()),
        "m": binary(new.signed_prekey.kem_key.as_bytes()),
        "g": binary(new.signed_prekey.signature.as_bytes()),
    })
}

/// An account as DynamoDB answers it.
pub(crate) fn account_item(account: AccountId, list: &DeviceList) -> Value {
    let binary = |bytes: &[u8]| json!({ "B": standard_base64(bytes) });
    let devices = list.devices.iter().flat_map(|listed| {
        let registration = listed.registration.get().to_be_bytes();
        let (signing, identity) = (listed.signing_key, listed.identity_key);
        [
            &[listed.device.get()],
            registration.as_slice(),
            signing.as_bytes(),
            identity.as_bytes(),
        ]
        .concat()
    });
    json!({
        "a": binary(&account.to_bytes()),
        "v": { "N": list.version.to_string() },
        "k": binary(list.account_key.as_bytes()),
        "i": { "N": list.issued_at.to_string() },
        "d": binary(&devices.collect::<Vec<_>>()),
        "s": binary(list.signature.as_bytes()),
    })
}

/// The refusal of a transaction one of whose conditions does not hold.
pub(crate) fn transaction_condition_failed() -> Answer {
    let (status, mut body) = refused("TransactionCanceledException");
    body["CancellationReasons"] = json!([{ "Code": "ConditionalCheckFailed" }]);
    (status, body)
}

/// Bytes as DynamoDB's JSON has them.
pub(crate) fn standard_base64(bytes: &[u8]) -> String {
    aws_smithy_types::base64::encode(bytes)
}

struct Script<F> {
    script: F,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl<F: Fn(&Call) -> Answer + Send + Sync> HttpConnector for Script<F> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let call = read(&request);
        let mut calls = self.calls.lock().unwrap();
        assert!(calls.len() < MAX_CALLS, "the code under test does not end");
        calls.push(call.clone());
        drop(calls);
        let (status, body) = (self.script)(&call);
        let status = StatusCode::try_from(status).unwrap();
        let body = match body {
            Value::String(text) => text,
            json => json.to_string(),
        };
        HttpConnectorFuture::ready(Ok(HttpResponse::new(status, SdkBody::from(body))))
    }
}

impl<F> fmt::Debug for Script<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

fn read(request: &HttpRequest) -> Call {
    let bytes = request.body().bytes().unwrap_or_default();
    if bytes.starts_with(b"Action=") {
        let body = form(bytes);
        return Call {
            operation: body["Action"].as_str().unwrap_or_default().to_owned(),
            table: String::new(),
            body,
        };
    }
    let body: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let target = request.headers().get("x-amz-target");
    let operation = match target {
        Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
        None => {
            let connection = request.uri().rsplit('/').next().unwrap_or_default();
            format!("{} {connection}", request.method())
        }
    };
    let table = body.get("TableName").and_then(Value::as_str).unwrap_or_default();
    Call {
        operation,
        table: table.to_owned(),
        body: body.clone(),
    }
}

/// The parameters of a request to SNS, still encoded.
fn form(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect()
}

/// SNS's answer to an alert that it took.
pub(crate) fn published() -> Answer {
    let body = "<PublishResponse><PublishResult><MessageId>m</MessageId></PublishResult></PublishResponse>";
    (200, body.into())
}

/// SNS's refusal with this code.
pub(crate) fn sns_refused(code: &str, message: &str) -> Answer {
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    (400, body.into())
}

/// The bytes of a binary attribute in DynamoDB's JSON.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    let text = value.get("B").and_then(Value::as_str).unwrap_or_default();
    aws_smithy_types::base64::decode(text).unwrap_or_else(|_| from_base64(text).unwrap_or_default())
}
