//! A device driven frame by frame, for what no well-behaved client would do.

use futures_util::{SinkExt, StreamExt};
use p256::{
    ecdsa::{SigningKey, signature::Signer},
    elliptic_curve::{Generate, sec1::ToSec1Point},
};
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::header::AUTHORIZATION},
};
use waxwing_client::wire::{
    AccountId, KemKey, KeyId, PublicKey, RegisteredDevice, RegistrationId, Signature,
    keys::{DeviceIdentity, NewDevice, OneTimePrekey, SignedPrekey},
    limits::MAX_TOKEN_LIFE_SECONDS,
    token::{self, Claims},
};

use crate::{
    Service,
    accounts::{Registrant, some_number},
    service::ServiceClock,
    within_patience,
};

/// A registered device with its keys, and no client library around it.
pub struct RawDevice {
    /// Who it is.
    pub device: RegisteredDevice,
    signing: SigningKey,
    clock: ServiceClock,
    websocket_url: String,
    http_url: String,
}

/// What a new device publishes, and its long-term keys.
pub struct NewKeys {
    /// What it publishes.
    pub public: NewDevice,
    /// What it signs tokens with, among others.
    pub signing: SigningKey,
}

/// Fresh keys with `one_time_prekeys` one-time prekeys, ids from 1.
pub fn new_keys(one_time_prekeys: u32) -> NewKeys {
    let mut rng: StdRng = rand::make_rng();
    let signing = SigningKey::generate_from_rng(&mut rng);
    let identity_key = fresh_public_key(&mut rng);
    let prekey = fresh_public_key(&mut rng);
    // Well formed, and nobody's: no raw device is written to.
    let kem_key = KemKey::from_slice(&[0; KemKey::BYTES]).unwrap();
    let one_time_prekeys = (1..=one_time_prekeys)
        .map(|id| OneTimePrekey {
            id: key_id(id),
            key: fresh_public_key(&mut rng),
        })
        .collect();
    let public = NewDevice {
        one_time_prekeys,
        registration: RegistrationId::random(&mut rng),
        identity: DeviceIdentity {
            signing_key: public_key(signing.verifying_key().to_sec1_point(true).as_bytes()),
            identity_key,
            identity_signature: sign(
                &signing,
                &[b"Waxwing v1 identity key", identity_key.as_bytes().as_slice()].concat(),
            ),
        },
        signed_prekey: SignedPrekey {
            id: key_id(1),
            key: prekey,
            signature: sign(
                &signing,
                &[
                    b"Waxwing v1 signed prekey",
                    1u32.to_be_bytes().as_slice(),
                    prekey.as_bytes(),
                    kem_key.as_bytes(),
                ]
                .concat(),
            ),
            kem_key,
        },
    };
    NewKeys { public, signing }
}

/// ECDSA as docs/api.md says: deterministic, low s, r and s side by side.
pub fn sign(key: &SigningKey, message: &[u8]) -> Signature {
    let signature: p256::ecdsa::Signature = key.sign(message);
    Signature::from_slice(&signature.normalize_s().to_bytes()).unwrap()
}

fn key_id(id: u32) -> KeyId {
    KeyId::new(id.into()).unwrap()
}

fn public_key(bytes: &[u8]) -> PublicKey {
    PublicKey::from_slice(bytes).unwrap()
}

fn fresh_public_key(rng: &mut StdRng) -> PublicKey {
    public_key(
        p256::SecretKey::generate_from_rng(rng)
            .public_key()
            .to_sec1_point(true)
            .as_bytes(),
    )
}

impl RawDevice {
    /// Registers a new account with one device that has `one_time_prekeys` one-time prekeys.
    pub async fn register(service: &Service, one_time_prekeys: u32) -> Self {
        let registrant = Registrant::new(&some_number(), one_time_prekeys);
        let confirmed = registrant.verify(service).await;
        assert_eq!(confirmed.status, 200, "{confirmed:?}");
        let registered = registrant.register(service).await;
        assert_eq!(registered.status, 200, "{registered:?}");
        registrant.device(service)
    }

    /// The device that has this registration and key.
    pub fn new(service: &Service, device: RegisteredDevice, signing: SigningKey) -> Self {
        let endpoints = service.endpoints();
        Self {
            device,
            signing,
            clock: service.clock(),
            websocket_url: endpoints.websocket_url,
            http_url: endpoints.http_url,
        }
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.device.address.account
    }

    /// What a truthful token says at this moment.
    pub fn claims(&self) -> Claims {
        let now = self.clock.now();
        Claims {
            aud: "waxwing".to_owned(),
            sub: self.account(),
            device: self.device.address.device,
            registration: self.device.registration,
            iat: now,
            exp: now + MAX_TOKEN_LIFE_SECONDS,
        }
    }

    /// A token that says `claims`, signed by this device.
    pub fn sign(&self, claims: &Claims) -> String {
        let input = claims.signing_input();
        token::assemble(&input, &sign(&self.signing, input.as_bytes()))
    }

    /// A good token.
    pub fn token(&self) -> String {
        self.sign(&self.claims())
    }

    /// Connects with a good token.
    pub async fn connect(&self) -> RawSocket {
        self.connect_with(&format!("Bearer {}", self.token()))
            .await
            .unwrap()
    }

    /// Connects with this `Authorization` header.
    pub async fn connect_with(&self, authorization: &str) -> Result<RawSocket, Error> {
        let mut request = self.websocket_url.as_str().into_client_request()?;
        request
            .headers_mut()
            .insert(AUTHORIZATION, authorization.parse().unwrap());
        let (stream, _) = connect_async(request).await?;
        Ok(RawSocket { stream, requests: 0 })
    }

    /// An HTTP request to the service, with a good token.
    pub fn http(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.http_url);
        reqwest::Client::new()
            .request(method, url)
            .bearer_auth(self.token())
    }
}

/// A `send` of one message to the devices of one account, whatever they look like.
pub fn send_frame(message: &str, account: impl Into<Value>, devices: impl Into<Value>) -> Value {
    let recipient = json!({"account": account.into(), "devices": devices.into()});
    json!({"action": "send", "messages": [{"message": message, "recipients": [recipient]}]})
}

/// An open socket.
pub struct RawSocket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    requests: u32,
}

impl RawSocket {
    /// Sends this text as one frame.
    pub async fn send_text(&mut self, text: impl Into<String>) {
        self.stream.send(Message::text(text.into())).await.unwrap();
    }

    /// Sends any kind of message.
    pub async fn send_message(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// The next frame, whatever it is.
    pub async fn next(&mut self) -> Option<Result<Message, Error>> {
        within_patience("a frame", self.stream.next()).await
    }

    /// The next text frame as JSON.
    pub async fn next_json(&mut self) -> Value {
        loop {
            match self.next().await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("expected a text frame, got {other:?}"),
            }
        }
    }

    /// The next news of this kind; other frames in between are passed over.
    pub async fn next_news(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.next_json().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    /// Sends `frame` with a fresh request id and waits for its reply; news in between are passed over.
    pub async fn request(&mut self, mut frame: Value) -> Value {
        self.requests += 1;
        frame["request"] = json!(self.requests);
        self.send_text(frame.to_string()).await;
        loop {
            let reply = self.next_json().await;
            if reply["request"] == json!(self.requests) {
                return reply;
            }
        }
    }

    /// Sends a `send` of one message and gives what became of it.
    pub async fn outcome(&mut self, frame: Value) -> Value {
        let reply = self.request(frame).await;
        assert_eq!(reply["type"], "sent", "{reply}");
        reply["outcomes"][0].clone()
    }

    /// The code with which the service closed the connection.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("expected a close frame, got {other:?}"),
            }
        }
    }
}
