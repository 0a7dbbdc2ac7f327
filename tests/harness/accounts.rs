//! Getting into an account request by request: numbers, codes, tickets, signed lists. For what no well-behaved
//! client would ask.

use p256::{ecdsa::SigningKey, elliptic_curve::Generate};
use rand::{RngExt, rngs::StdRng};
use reqwest::header::RETRY_AFTER;
use serde_json::{Value, json};
use waxwing_client::wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, ListVersion, PublicKey, RegisteredDevice, Signature,
    devices::ListedDevice,
    register::RegisterRequest,
    secret::{LockProof, Ticket},
};

use crate::{
    RawDevice, Service,
    raw::{NewKeys, new_keys, sign},
};

/// A service whose span of `seconds` has just begun, so that none ends within a story.
pub async fn service_at_the_beginning_of(seconds: u64) -> Service {
    let service = Service::start().await;
    begin(&service, seconds);
    service
}

/// Lets time pass until the next span of `seconds` begins.
pub fn begin(service: &Service, seconds: u64) {
    let left = seconds - service.clock().now() % seconds;
    service.let_time_pass(left.try_into().unwrap());
}

/// What the service answered over HTTP.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Value,
    /// Seconds, from the header.
    pub retry_after: Option<u64>,
}

impl Answer {
    /// The code of a refusal.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

/// Posts a body without a token.
pub async fn post(service: &Service, path: &str, body: &Value) -> Answer {
    let url = format!("{}{path}", service.endpoints().http_url);
    answer(reqwest::Client::new().post(url).json(body)).await
}

/// Sends a request and reads what comes back.
pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let header = response.headers().get(RETRY_AFTER);
    Answer {
        status: response.status().as_u16(),
        retry_after: header.map(|seconds| seconds.to_str().unwrap().parse().unwrap()),
        body: response.json().await.unwrap(),
    }
}

/// The number of a mobile phone, at random: one in ten million to meet twice.
pub fn some_number() -> String {
    let mut rng: StdRng = rand::make_rng();
    format!("+49152{:08}", rng.random_range(0..100_000_000_u32))
}

/// Asks for a code.
pub async fn challenge(service: &Service, phone: &str) -> Answer {
    post(service, "/v1/verification", &json!({ "phone": phone })).await
}

/// Texts that a phone has got.
pub fn texts(service: &Service, phone: &str) -> Vec<String> {
    let messages = service.runner.outbox().into_iter();
    messages
        .filter(|message| message.to == phone)
        .map(|message| message.body)
        .collect()
}

/// The code in the newest text that a phone has got.
pub fn code(service: &Service, phone: &str) -> String {
    let texts = texts(service, phone);
    texts
        .last()
        .expect("a text with a code")
        .chars()
        .take(6)
        .collect()
}

/// Another code than this one.
pub fn wrong(code: &str) -> String {
    let number: u32 = code.parse().unwrap();
    format!("{:06}", (number + 1) % 1_000_000)
}

/// Trades a code for a ticket.
pub async fn confirm(service: &Service, phone: &str, code: &str, ticket: Ticket) -> Answer {
    let body = json!({ "phone": phone, "code": code, "ticket": ticket });
    post(service, "/v1/verification/confirm", &body).await
}

/// Somebody with a phone who wants to register it.
pub struct Registrant {
    /// The number.
    pub phone: String,
    /// The account that is to be, or that is to be taken over.
    pub account: AccountId,
    /// Of the list to register with.
    pub version: ListVersion,
    /// For the account's lock.
    pub proof: Option<LockProof>,
    /// Random.
    pub ticket: Ticket,
    /// Signs the list.
    pub account_key: SigningKey,
    /// Of the device.
    pub keys: NewKeys,
}

impl Registrant {
    /// Somebody new.
    pub fn new(phone: &str, one_time_prekeys: u32) -> Self {
        let mut rng: StdRng = rand::make_rng();
        Self {
            phone: phone.to_owned(),
            account: AccountId::random(&mut rng),
            version: ListVersion::MIN,
            proof: None,
            ticket: Ticket::random(&mut rng),
            account_key: SigningKey::generate_from_rng(&mut rng),
            keys: new_keys(one_time_prekeys),
        }
    }

    /// Somebody who wants the account that the number has, as `confirmed` tells of it.
    pub fn after(phone: &str, confirmed: &Answer, ticket: Ticket) -> Self {
        let existing = &confirmed.body["existing"];
        let version = existing["version"].as_u64().unwrap();
        Self {
            account: existing["account"].as_str().unwrap().parse().unwrap(),
            version: ListVersion::new(version + 1).unwrap(),
            ticket,
            ..Self::new(phone, 3)
        }
    }

    /// Gets the ticket.
    pub async fn verify(&self, service: &Service) -> Answer {
        let challenged = challenge(service, &self.phone).await;
        assert_eq!(challenged.status, 200, "{challenged:?}");
        let code = code(service, &self.phone);
        confirm(service, &self.phone, &code, self.ticket).await
    }

    /// The list with the device as it is, signed.
    pub fn list(&self) -> DeviceList {
        let device = &self.keys.public;
        let point = self.account_key.verifying_key().to_sec1_point(true);
        let mut list = DeviceList {
            account_key: PublicKey::from_slice(point.as_bytes()).unwrap(),
            version: self.version,
            issued_at: 1_767_261_600_000,
            devices: vec![ListedDevice {
                device: DeviceId::MIN,
                registration: device.registration,
                signing_key: device.identity.signing_key,
                identity_key: device.identity.identity_key,
            }],
            signature: Signature::new([0; Signature::BYTES]),
        };
        list.signature = sign(&self.account_key, &list.signing_bytes(self.account));
        list
    }

    /// The request to register.
    pub fn request(&self) -> RegisterRequest {
        RegisterRequest {
            account: self.account,
            ticket: self.ticket,
            lock_proof: self.proof,
            list: self.list(),
            device: self.keys.public.clone(),
        }
    }

    /// Registers with the ticket.
    pub async fn register(&self, service: &Service) -> Answer {
        let request = serde_json::to_value(self.request()).unwrap();
        post(service, "/v1/accounts", &request).await
    }

    /// The device, once it is registered.
    pub fn device(&self, service: &Service) -> RawDevice {
        let address = DeviceAddress {
            account: self.account,
            device: DeviceId::MIN,
        };
        let device = RegisteredDevice {
            address,
            registration: self.keys.public.registration,
        };
        RawDevice::new(service, device, self.keys.signing.clone())
    }
}
