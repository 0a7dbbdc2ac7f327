//! An account with several devices, driven request by request: offers, links, answers, lists, removals.

use std::collections::{BTreeMap, BTreeSet};

use p256::ecdsa::SigningKey;
use rand::rngs::StdRng;
use reqwest::Method;
use serde_json::{Value, json};
use waxwing_client::wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, RegisteredDevice, Signature, bytes::SealedLink,
    devices::ListedDevice, link::LinkRequest, secret::LinkToken,
};

use crate::{
    RawDevice, Service,
    accounts::{Answer, Registrant, answer, post, some_number},
    raw::{NewKeys, new_keys, sign},
    service::Item,
};

/// An account, its account key, and the list as it stands.
pub struct Household {
    /// The device that registered the account.
    pub first: RawDevice,
    /// The newest list that was accepted.
    pub list: DeviceList,
    account_key: SigningKey,
}

/// A device that wants in.
pub struct Newcomer {
    /// Its request, again and again.
    pub request: LinkRequest,
    signing: SigningKey,
}

/// Every row of what the service keeps, offers too, to see that nothing changed.
pub async fn all_rows(service: &Service) -> BTreeSet<String> {
    let mut rows = service.everything().await;
    let links = service.items("LinksTable").await;
    rows.extend(links.into_iter().map(|item| ("LinksTable".to_owned(), item)));
    let text = |(table, item): (String, Item)| format!("{table} {:?}", BTreeMap::from_iter(item));
    rows.into_iter().map(text).collect()
}

impl Household {
    /// A new account with one device.
    pub async fn register(service: &Service, one_time_prekeys: u32) -> Self {
        let registrant = Registrant::new(&some_number(), one_time_prekeys);
        let confirmed = registrant.verify(service).await;
        assert_eq!(confirmed.status, 200, "{confirmed:?}");
        let registered = registrant.register(service).await;
        assert_eq!(registered.status, 200, "{registered:?}");
        Self {
            first: registrant.device(service),
            list: registrant.list(),
            account_key: registrant.account_key,
        }
    }

    /// The account.
    pub fn account(&self) -> AccountId {
        self.first.account()
    }

    /// The list that follows the present one, with these devices.
    pub fn next_list(&self, devices: Vec<ListedDevice>) -> DeviceList {
        let mut list = DeviceList {
            version: self.list.version.next().unwrap(),
            issued_at: self.list.issued_at + 1,
            devices,
            ..self.list.clone()
        };
        self.sign(&mut list);
        list
    }

    /// Signs a list, whatever it says.
    pub fn sign(&self, list: &mut DeviceList) {
        list.signature = Signature::new([0; Signature::BYTES]);
        list.signature = sign(&self.account_key, &list.signing_bytes(self.account()));
    }

    /// The list that follows the present one, with this newcomer as device `id`.
    pub fn list_with(&self, newcomer: &Newcomer, id: u64) -> DeviceList {
        let mut devices = self.list.devices.clone();
        devices.push(newcomer.listed(id));
        devices.sort_by_key(|listed| listed.device);
        self.next_list(devices)
    }

    /// The list that follows the present one, without these devices.
    pub fn list_without(&self, ids: &[u64]) -> DeviceList {
        let devices = self.list.devices.iter().copied();
        self.next_list(
            devices
                .filter(|listed| !ids.contains(&listed.device.into()))
                .collect(),
        )
    }

    /// Offers a place.
    pub async fn offer(&self, token: LinkToken) -> Answer {
        self.request("/v1/links", json!({ "token": token })).await
    }

    /// Accepts with this list, or declines.
    pub async fn answer(&self, token: LinkToken, list: Option<&DeviceList>) -> Answer {
        let body = match list {
            Some(list) => json!({ "token": token, "list": list }),
            None => json!({ "token": token }),
        };
        self.request("/v1/links/answer", body).await
    }

    /// Ends the devices that are not on this list.
    pub async fn revoke(&self, list: &DeviceList) -> Answer {
        self.request("/v1/devices/revoke", json!({ "list": list })).await
    }

    /// A request of the first device.
    pub async fn request(&self, path: &str, body: Value) -> Answer {
        answer(self.first.http(Method::POST, path).json(&body)).await
    }

    /// Adds another device, from offer to answer.
    pub async fn add(&mut self, service: &Service, one_time_prekeys: u32) -> RawDevice {
        let newcomer = Newcomer::new(one_time_prekeys);
        let token = newcomer.request.token;
        assert_eq!(self.offer(token).await.status, 200);
        let waiting = newcomer.ask(service).await;
        assert_eq!(waiting.body["status"], "waiting", "{waiting:?}");
        let id = (1..).find(|id| {
            self.list
                .devices
                .iter()
                .all(|listed| u64::from(listed.device) != *id)
        });
        let list = self.list_with(&newcomer, id.unwrap());
        let answered = self.answer(token, Some(&list)).await;
        assert_eq!(answered.status, 200, "{answered:?}");
        self.list = list;
        let linked = newcomer.ask(service).await;
        assert_eq!(linked.body["status"], "linked", "{linked:?}");
        newcomer.device(service, self.account(), id.unwrap())
    }

    /// Ends these devices.
    pub async fn remove(&mut self, ids: &[u64]) {
        let list = self.list_without(ids);
        let revoked = self.revoke(&list).await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
        self.list = list;
    }
}

impl Newcomer {
    /// Fresh keys and a fresh token.
    pub fn new(one_time_prekeys: u32) -> Self {
        let mut rng: StdRng = rand::make_rng();
        Self::with_token(one_time_prekeys, LinkToken::random(&mut rng))
    }

    /// Fresh keys for an offer that somebody else may want too.
    pub fn with_token(one_time_prekeys: u32, token: LinkToken) -> Self {
        let NewKeys { public, signing } = new_keys(one_time_prekeys);
        Self {
            request: LinkRequest {
                token,
                device: public,
                sealed: SealedLink::from_vec(vec![7; 125]).unwrap(),
            },
            signing,
        }
    }

    /// Takes the offer up, or asks what became of that.
    pub async fn ask(&self, service: &Service) -> Answer {
        post(
            service,
            "/v1/devices",
            &serde_json::to_value(&self.request).unwrap(),
        )
        .await
    }

    /// What a list says of it.
    pub fn listed(&self, id: u64) -> ListedDevice {
        let device = &self.request.device;
        ListedDevice {
            device: DeviceId::new(id).unwrap(),
            registration: device.registration,
            signing_key: device.identity.signing_key,
            identity_key: device.identity.identity_key,
        }
    }

    /// The device that it is in this account.
    pub fn device(&self, service: &Service, account: AccountId, id: u64) -> RawDevice {
        let address = DeviceAddress {
            account,
            device: DeviceId::new(id).unwrap(),
        };
        let device = RegisteredDevice {
            address,
            registration: self.request.device.registration,
        };
        RawDevice::new(service, device, self.signing.clone())
    }
}
