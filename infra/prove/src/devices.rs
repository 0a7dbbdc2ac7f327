//! Devices as the service sees them: keys that sign, frames, and ciphertexts that nobody reads.

use std::time::Duration;

use http::HeaderMap;
use p256::{
    ecdsa::{Signature as EcdsaSignature, SigningKey, signature::Signer},
    elliptic_curve::Generate,
};
use rand::rngs::StdRng;
use waxwing_local::gateway::by_hand::{Client, Line, cut};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, KemKey, KeyId, ListVersion, PublicKey, RegisteredDevice,
    RegistrationId, ServiceFrame, Signature,
    devices::ListedDevice,
    keys::{DeviceIdentity, NewDevice, OneTimePrekey, SignedPrekey},
    limits::MAX_TOKEN_LIFE_SECONDS,
    token::{self, Claims},
};

use crate::{
    Trouble,
    service::{SOURCE_IP, Service},
};

/// A person: the account's key and its newest list.
pub struct Account {
    /// Who.
    pub id: AccountId,
    /// The number.
    pub phone: String,
    /// The newest list.
    pub list: DeviceList,
    key: SigningKey,
}

/// A device with its keys.
pub struct Device {
    /// Who it is.
    pub device: RegisteredDevice,
    /// What it published when it was made.
    pub published: NewDevice,
    /// Its connection, if it has one that it takes for open.
    pub socket: Option<Socket>,
    /// Those it had before.
    pub former: Vec<Socket>,
    signing: SigningKey,
}

/// A connection from the device's side.
pub struct Socket {
    /// What API Gateway knows of it.
    pub client: Client,
    /// What arrives.
    pub line: Line,
    /// What has arrived.
    pub frames: Vec<ServiceFrame>,
    /// Whether the device has asked for its mailbox over it.
    pub has_asked: bool,
}

impl Socket {
    /// Reads what has arrived.
    ///
    /// # Errors
    /// [`Trouble`]: it is no frame.
    pub fn listen(&mut self) -> Result<&[ServiceFrame], Trouble> {
        for text in self.line.received() {
            let frame = serde_json::from_str(&text);
            self.frames
                .push(frame.map_err(|error| Trouble(format!("{error}: {text}")))?);
        }
        Ok(&self.frames)
    }
}

impl Account {
    /// An account whose first list names `first` as its device 1.
    pub fn new(phone: &str, first: &NewDevice, rng: &mut StdRng) -> Result<Self, Trouble> {
        let key = SigningKey::generate_from_rng(rng);
        let id = AccountId::random(rng);
        let mut account = Self {
            id,
            phone: phone.to_owned(),
            list: DeviceList {
                account_key: public(&key)?,
                version: ListVersion::MIN,
                issued_at: 0,
                devices: Vec::new(),
                signature: Signature::new([0; Signature::BYTES]),
            },
            key,
        };
        account.list = account.signed(ListVersion::MIN, vec![listed(DeviceId::MIN, first)])?;
        Ok(account)
    }

    /// The list that follows, naming these devices.
    pub fn next_list(&self, devices: Vec<ListedDevice>) -> Result<DeviceList, Trouble> {
        let version = self.list.version.next().ok_or("the last list")?;
        self.signed(version, devices)
    }

    fn signed(&self, version: ListVersion, devices: Vec<ListedDevice>) -> Result<DeviceList, Trouble> {
        let mut list = DeviceList {
            account_key: public(&self.key)?,
            version,
            issued_at: 1_790_000_000_000,
            devices,
            signature: Signature::new([0; Signature::BYTES]),
        };
        list.signature = sign(&self.key, &list.signing_bytes(self.id))?;
        Ok(list)
    }
}

/// What a list says of a device.
pub fn listed(device: DeviceId, new: &NewDevice) -> ListedDevice {
    ListedDevice {
        device,
        registration: new.registration,
        signing_key: new.identity.signing_key,
        identity_key: new.identity.identity_key,
    }
}

impl Device {
    /// A device that is not registered yet, with this many one-time prekeys.
    pub fn new(
        account: AccountId,
        device: DeviceId,
        one_time_prekeys: u64,
        rng: &mut StdRng,
    ) -> Result<Self, Trouble> {
        let signing = SigningKey::generate_from_rng(rng);
        let registration = RegistrationId::random(rng);
        let identity_key = public(&SigningKey::generate_from_rng(rng))?;
        let identity = DeviceIdentity {
            signing_key: public(&signing)?,
            identity_key,
            identity_signature: sign(
                &signing,
                &[b"Waxwing v1 identity key", identity_key.as_bytes().as_slice()].concat(),
            )?,
        };
        let published = NewDevice {
            registration,
            identity,
            signed_prekey: signed_prekey(&signing, 1, rng)?,
            one_time_prekeys: one_time_prekeys_from(1, one_time_prekeys, rng)?,
        };
        Ok(Self {
            device: RegisteredDevice {
                address: DeviceAddress { account, device },
                registration,
            },
            published,
            socket: None,
            former: Vec::new(),
            signing,
        })
    }

    /// Another signed prekey of this device.
    pub fn next_signed_prekey(&self, id: u64, rng: &mut StdRng) -> Result<SignedPrekey, Trouble> {
        signed_prekey(&self.signing, id, rng)
    }

    /// A good token.
    pub fn token(&self, now: u64) -> Result<String, Trouble> {
        let claims = Claims {
            aud: "waxwing".to_owned(),
            sub: self.device.address.account,
            device: self.device.address.device,
            registration: self.device.registration,
            iat: now,
            exp: now + MAX_TOKEN_LIFE_SECONDS,
        };
        let input = claims.signing_input();
        Ok(token::assemble(&input, &sign(&self.signing, input.as_bytes())?))
    }

    /// A handshake of this device, under this name and at this time since 1970.
    pub fn handshake(&self, id: &str, service: &Service, at: Duration) -> Result<Client, Trouble> {
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {}", self.token(service.now())?);
        let value = value.parse().map_err(|_| "a token is no header")?;
        headers.insert(http::header::AUTHORIZATION, value);
        Ok(Client::new(id, &headers, at, SOURCE_IP))
    }

    /// Whether it has a connection that is open.
    pub fn is_connected(&self, service: &Service) -> bool {
        let socket = self.socket.as_ref();
        socket.is_some_and(|socket| service.cloud.connections.info(socket.client.id()).is_ok())
    }

    /// Breaks the connection off. The device does not know yet.
    pub fn cut(&self, service: &Service) {
        if let Some(socket) = &self.socket {
            cut(&service.cloud.connections, socket.client.id());
        }
    }
}

/// One-time prekeys with these many ids from `first` on.
pub fn one_time_prekeys_from(
    first: u64,
    count: u64,
    rng: &mut StdRng,
) -> Result<Vec<OneTimePrekey>, Trouble> {
    (first..first + count)
        .map(|id| {
            Ok(OneTimePrekey {
                id: key_id(id)?,
                key: public(&SigningKey::generate_from_rng(rng))?,
            })
        })
        .collect()
}

fn signed_prekey(signing: &SigningKey, id: u64, rng: &mut StdRng) -> Result<SignedPrekey, Trouble> {
    let key = public(&SigningKey::generate_from_rng(rng))?;
    // Well formed, and nobody's.
    let kem_key = KemKey::new([0; KemKey::BYTES]);
    let id = key_id(id)?;
    let signed = [
        b"Waxwing v1 signed prekey".as_slice(),
        &id.get().to_be_bytes(),
        key.as_bytes(),
        kem_key.as_bytes(),
    ];
    let signature = sign(signing, &signed.concat())?;
    Ok(SignedPrekey {
        id,
        key,
        kem_key,
        signature,
    })
}

fn key_id(id: u64) -> Result<KeyId, Trouble> {
    KeyId::new(id).map_err(|_| Trouble::from("no id of a key"))
}

fn public(key: &SigningKey) -> Result<PublicKey, Trouble> {
    let point = key.verifying_key().to_sec1_point(true);
    PublicKey::from_slice(point.as_bytes()).map_err(|_| Trouble::from("no point"))
}

fn sign(key: &SigningKey, message: &[u8]) -> Result<Signature, Trouble> {
    let signature: EcdsaSignature = key.sign(message);
    Signature::from_slice(&signature.normalize_s().to_bytes()).map_err(|_| Trouble::from("no signature"))
}
