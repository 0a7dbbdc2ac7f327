//! People with devices: the real client library, and what it has shown so far.

use waxwing_client::{
    Client, StoreLocation, StoredMessage,
    wire::{AccountId, DeviceAddress},
};

use crate::{Network, Service, until};

/// One device of a person.
pub struct Phone {
    /// The client library as an app embeds it.
    pub client: Client,
}

impl Phone {
    /// The first device of a new account, connected.
    pub async fn of_a_new_person(service: &Service) -> Self {
        let phone = Self::registered(service).await;
        phone.client.connect();
        phone
    }

    /// The first device of a new account, not connected.
    pub async fn registered(service: &Service) -> Self {
        let client = service.client().await;
        client.register().await.unwrap();
        Self { client }
    }

    /// The first device of a new account, behind `network`, not connected.
    pub async fn registered_behind(network: &Network, service: &Service) -> Self {
        let client = service
            .client_at(network.endpoints(&service.endpoints()), StoreLocation::Memory)
            .await;
        client.register().await.unwrap();
        Self { client }
    }

    /// Another device of the same account, connected.
    pub async fn link_another(&self, service: &Service) -> Self {
        let client = service.client().await;
        let card = client.prepare_link().await.unwrap();
        let grant = self.client.link(card).await.unwrap();
        client.complete_link(grant).await.unwrap();
        client.connect();
        Self { client }
    }

    /// Whose device it is.
    pub fn account(&self) -> AccountId {
        self.address().account
    }

    /// Which device it is.
    pub fn address(&self) -> DeviceAddress {
        self.client.address().unwrap()
    }

    /// Sends a text to another person.
    pub async fn say(&self, to: &Phone, text: &str) {
        self.client.send_text(to.account(), text).await.unwrap();
    }

    /// What this device shows of its conversation with another person, sent by any of their or its own
    /// devices, in the order shown.
    pub fn shown(&self, with: &Phone) -> Vec<StoredMessage> {
        self.client.messages(with.account()).unwrap()
    }

    /// The texts of [`shown`](Self::shown).
    pub fn texts(&self, with: &Phone) -> Vec<String> {
        self.shown(with).into_iter().map(|message| message.text).collect()
    }

    /// Waits until this device shows `count` messages of its conversation with another person.
    pub async fn until_shown(&self, with: &Phone, count: usize) {
        until(&format!("{count} messages shown"), async || {
            self.shown(with).len() >= count
        })
        .await;
    }

    /// Waits until everything this device sent is accepted.
    pub async fn until_accepted(&self) {
        until("everything accepted", async || {
            self.client.pending().unwrap() == 0
        })
        .await;
    }
}
