//! People with devices: the real client library, and what it has shown so far.

use std::time::Duration;

use waxwing_client::{
    Client, ClientConfig, ConfirmedNumber, DeviceName, Event, OpenError, PhoneNumber, StoreError,
    StoreLocation, StoredMessage,
    wire::{AccountId, DeviceAddress},
};

use crate::{Network, Service, until, within_patience};

/// After so many seconds a second code may be sent to a number. A token that a client makes by its own clock is still
/// good then.
pub const CODE_PAUSE_SECONDS: i64 = 61;

/// Proves a number with the code that its phone gets.
pub async fn confirm(client: &Client, service: &Service, number: &PhoneNumber) -> ConfirmedNumber {
    client.request_code(number).await.unwrap();
    let code = service.code_for(number);
    client.confirm(number, &code).await.unwrap()
}

/// Opens a client whose process ended without a word, and waits until what it was doing has ended, too.
pub async fn reopened(config: &ClientConfig) -> Client {
    within_patience("the store to be free", async {
        loop {
            match Client::open(config.clone()).await {
                Ok(client) => return client,
                Err(OpenError::Store(StoreError::InUse)) => tokio::time::sleep(LOCKED_FOR).await,
                Err(error) => panic!("{error}"),
            }
        }
    })
    .await
}

/// A transaction that had begun ends soon.
const LOCKED_FOR: Duration = Duration::from_millis(2);

/// One device of a person.
pub struct Phone {
    /// The client library as an app embeds it.
    pub client: Client,
    /// The person's number.
    pub number: PhoneNumber,
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
        Self::registered_as(service.client().await, service).await
    }

    /// The first device of a new account, behind `network`, not connected.
    pub async fn registered_behind(network: &Network, service: &Service) -> Self {
        let client = service
            .client_at(network.endpoints(&service.endpoints()), StoreLocation::Memory)
            .await;
        Self::registered_as(client, service).await
    }

    /// The first device of a new account, with this client, not connected.
    pub async fn registered_as(client: Client, service: &Service) -> Self {
        let number = service.new_number();
        let confirmed = confirm(&client, service, &number).await;
        assert!(!confirmed.has_account);
        client.register(None).await.unwrap();
        Self { client, number }
    }

    /// A new phone of the same person, who has not the old one any more: it takes the account over. Not connected.
    pub async fn registered_anew(&self, service: &Service) -> Self {
        // The pause between two codes to one number.
        service.let_time_pass(CODE_PAUSE_SECONDS);
        let client = service.client().await;
        let confirmed = confirm(&client, service, &self.number).await;
        assert!(confirmed.has_account);
        client.register(None).await.unwrap();
        let number = self.number.clone();
        Self { client, number }
    }

    /// Two people who wrote to each other, both connected.
    pub async fn acquainted(service: &Service) -> (Self, Self) {
        let alice = Self::of_a_new_person(service).await;
        let bob = Self::of_a_new_person(service).await;
        alice.meet(&bob).await;
        (alice, bob)
    }

    /// Writes to another person, who writes back. Both have to be connected.
    pub async fn meet(&self, other: &Phone) {
        self.say(other, "hello").await;
        other.until_shown(self, 1).await;
        other.say(self, "hello").await;
        self.until_shown(other, 2).await;
    }

    /// Another device of the same account, connected. This one has to be connected and the first of its account.
    pub async fn link_another(&self, service: &Service) -> Self {
        self.link_another_as(service.client().await).await
    }

    /// The same with this client.
    pub async fn link_another_as(&self, client: Client) -> Self {
        let code = self.client.offer_link().await.unwrap();
        let name = DeviceName::new("another device").unwrap();
        let mut events = self.client.observe().await.unwrap();
        let answering = async {
            loop {
                if let Some(Event::LinkRequested { request, .. }) = events.next().await {
                    return self.client.answer_link(request, true).await.unwrap();
                }
            }
        };
        let linking = async { tokio::join!(client.link(&code, &name), answering) };
        within_patience("a link", linking).await.0.unwrap();
        client.connect();
        let number = self.number.clone();
        Self { client, number }
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
