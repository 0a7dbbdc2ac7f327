//! The client an app holds.

use std::sync::Arc;

use waxwing_wire::{AccountId, DeviceAddress, MessageId};

use crate::{
    account::{self, DeviceCard, LinkError, LinkGrant, RegisterError},
    config::ClientConfig,
    connection::ConnectionTask,
    events::Events,
    messages::StoredMessage,
    outbox::{self, SendError},
    prekeys::{self, UploadError},
    shared::{OpenError, Shared},
    store::{StoreError, messages},
};

/// One device of one person: its keys, its messages, its connection. Cheap to clone: all clones are the same
/// client. When the last is dropped the connection ends.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    connection: Arc<ConnectionTask>,
}

impl Client {
    /// Opens the store and makes ready; connects to nothing yet. Call it inside a tokio runtime, which the
    /// connection will run on.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(config: ClientConfig) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared::open(config).await?);
        let connection = Arc::new(ConnectionTask::new(shared.clone()));
        Ok(Self { shared, connection })
    }

    /// Creates an account with this device as its first. May be repeated: the keys are stored before the
    /// request is made, and a repetition makes the same one. A device that is in already just gets its
    /// address.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn register(&self) -> Result<DeviceAddress, RegisterError> {
        account::register(&self.shared).await
    }

    /// On a new device: makes its keys and gives the card with their public halves, for a device that is
    /// already in the account. May be repeated: the card stays the same.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn prepare_link(&self) -> Result<DeviceCard, LinkError> {
        account::prepare_link(&self.shared).await
    }

    /// On a device that is in: adds the new device to the account. Only for a card that came straight from
    /// the new device. May be repeated.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn link(&self, card: DeviceCard) -> Result<LinkGrant, LinkError> {
        account::link(&self.shared, card).await
    }

    /// On the new device: takes the answer that [`link`](Self::link) gave on the other.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn complete_link(&self, grant: LinkGrant) -> Result<DeviceAddress, LinkError> {
        account::complete_link(&self.shared, grant).await
    }

    /// This device, once it is registered or linked.
    pub fn address(&self) -> Option<DeviceAddress> {
        self.shared.address()
    }

    /// Begins to connect and to stay connected: drains the mailbox, sends what is in the outbox, reconnects
    /// after a break with exponential backoff and full jitter. If it waits for its next attempt, that begins
    /// now. Register or link first. Returns at once; [`Event`](crate::Event)s tell how it goes.
    pub fn connect(&self) {
        self.connection.start();
    }

    /// Ends the connection: acks what is stored, closes the socket.
    pub async fn disconnect(&self) {
        self.connection.stop().await;
    }

    /// Sends a text to a person: to all devices of `to` and to the own other devices. Returns as soon as the
    /// message is stored, also without a network.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send_text(&self, to: AccountId, text: &str) -> Result<MessageId, SendError> {
        outbox::send_text(&self.shared, to, text).await
    }

    /// The events for the app, from the first kept one that it has not handled yet. Meant for one reader at a
    /// time: each moves the same mark. The [module](crate::events) says what is promised.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self) -> Result<Events, StoreError> {
        self.shared.events.reader(&self.shared.store).await
    }

    /// The events from now on, for someone who watches: what is read here still counts as not handled.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn observe(&self) -> Result<Events, StoreError> {
        self.shared.events.observer(&self.shared.store).await
    }

    /// The messages of a conversation, in the order they are to be shown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn messages(&self, conversation: AccountId) -> Result<Vec<StoredMessage>, StoreError> {
        self.shared
            .store
            .read_now(|tx| messages::of_conversation(tx, conversation))
    }

    /// Replaces the signed prekey that others open sessions with. Worth doing every week or so; the old one is
    /// kept for messages under way. May be repeated after an error.
    ///
    /// # Errors
    /// [`UploadError`].
    pub async fn rotate_signed_prekey(&self) -> Result<(), UploadError> {
        prekeys::rotate_signed(&self.shared).await
    }

    /// How many messages of this device are not accepted yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn pending(&self) -> Result<usize, StoreError> {
        self.shared.store.read_now(crate::store::outbox::pending)
    }

    /// Disconnects and closes the store. Other clones of this client answer [`StoreError::Closed`] from then
    /// on, and event readers end; kept events they had not read come when the client is opened again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close(self) -> Result<(), StoreError> {
        self.connection.stop().await;
        self.shared.close().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClientConfig, Endpoints, StoreLocation};

    fn is_shared_freely<T: Clone + Send + Sync + 'static>(_: &T) {}

    fn nowhere() -> ClientConfig {
        let endpoints = Endpoints {
            websocket_url: "ws://127.0.0.1:1/prod".to_owned(),
            http_url: "http://127.0.0.1:1/prod".to_owned(),
            audience: "test".to_owned(),
        };
        ClientConfig::new(StoreLocation::Memory, endpoints)
    }

    #[tokio::test]
    async fn a_client_is_shared_freely_and_closed_for_all() {
        let client = Client::open(nowhere()).await.unwrap();
        is_shared_freely(&client);
        let other = client.clone();
        assert_eq!(other.pending().unwrap(), 0);
        client.close().await.unwrap();
        assert!(matches!(other.pending(), Err(StoreError::Closed)));
    }

    #[tokio::test]
    async fn a_device_without_an_account_sends_nothing_and_says_so() {
        let client = Client::open(nowhere()).await.unwrap();
        let refused = client.send_text(crate::testing::account(1), "hello").await;
        assert!(matches!(refused, Err(SendError::NotRegistered)));
        let mut events = client.events().await.unwrap();
        client.connect();
        let expected = crate::Event::Disconnected {
            reason: crate::DisconnectReason::NotRegistered,
            retry_in: None,
        };
        assert_eq!(events.next().await, Some(expected));
        client.disconnect().await;
    }

    #[tokio::test]
    async fn a_card_stays_the_same_and_a_grant_for_another_is_refused() {
        let (client, other) = (
            Client::open(nowhere()).await.unwrap(),
            Client::open(nowhere()).await.unwrap(),
        );
        let card = client.prepare_link().await.unwrap();
        assert_eq!(client.prepare_link().await.unwrap(), card);
        other.prepare_link().await.unwrap();
        assert!(matches!(client.register().await, Err(RegisterError::Linking)));
        let grant = card.grant_for_tests(crate::testing::account(1));
        assert!(matches!(
            other.complete_link(grant).await,
            Err(LinkError::OtherDevice)
        ));
        let address = client.complete_link(grant).await.unwrap();
        assert_eq!(client.complete_link(grant).await.unwrap(), address);
        assert_eq!(client.address(), Some(address));
        assert!(matches!(client.prepare_link().await, Err(LinkError::AlreadyIn)));
    }
}
