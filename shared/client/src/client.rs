//! The client an app holds.

use std::sync::Arc;

use tokio::time::Instant;
use waxwing_protocol::{linking::DeviceName, pin::Pin, safety_number::SafetyNumber};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, MessageId,
    challenge::Challenged,
    phone::{Code, PhoneNumber},
    subscribe::Platform,
};
use zeroize::Zeroizing;

use crate::{
    clock,
    config::ClientConfig,
    connection::ConnectionTask,
    devices::{self, DevicesError, OwnDevice},
    events::Events,
    history::{self, HistoryChoice, HistoryError, HistoryId, HistoryState},
    linking::{self, LinkError, LinkRequestId},
    lock::{self, LockError},
    messages::{Conversation, StoredMessage},
    offers,
    outbox::{self, SendError},
    person,
    prekeys::{self, UploadError},
    push::{self, PushError, PushState},
    read_state,
    receipts::ReceiptSettings,
    registration::{self, ConfirmedNumber, RegisterError},
    safety::{self, Contact, VerifyError},
    shared::{OpenError, Shared},
    store::{StoreError, identity, messages, settings, verified},
    trust::{self, Fingerprint, TrustError},
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

    /// Asks for a code to be sent to a phone by SMS: the first step into an account. Costs money on the other side;
    /// the answer says when another may be asked for.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn request_code(&self, phone: &PhoneNumber) -> Result<Challenged, RegisterError> {
        registration::request_code(&self.shared, phone).await
    }

    /// Proves the number with the code that came. May be repeated.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn confirm(&self, phone: &PhoneNumber, code: &Code) -> Result<ConfirmedNumber, RegisterError> {
        registration::confirm(&self.shared, phone, code).await
    }

    /// Creates an account with this device as its first, or takes over the account that the number has; `pin` is
    /// needed if that one is locked. May be repeated: keys are stored before the request is made, and a repetition
    /// makes the same one. A device that is in already just gets its address.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn register(&self, pin: Option<&Pin>) -> Result<DeviceAddress, RegisterError> {
        registration::register(&self.shared, pin).await
    }

    /// Locks the registration of the account's number with a PIN, or changes the PIN. May be repeated.
    ///
    /// # Errors
    /// [`LockError`].
    pub async fn set_lock(&self, pin: &Pin) -> Result<(), LockError> {
        lock::set(&self.shared, Some(pin)).await
    }

    /// Removes the lock. May be repeated.
    ///
    /// # Errors
    /// [`LockError`].
    pub async fn remove_lock(&self) -> Result<(), LockError> {
        lock::set(&self.shared, None).await
    }

    /// On the device that registered the account: offers a place to one new device. Gives the text of the QR code to
    /// show, good for five minutes; whoever reads it can ask to be linked. While connected,
    /// [`Event::LinkRequested`](crate::Event::LinkRequested) tells who does.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn offer_link(&self) -> Result<Zeroizing<String>, LinkError> {
        offers::offer(&self.shared).await
    }

    /// Takes the person's answer to a new device. May be repeated after an error.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn answer_link(&self, request: LinkRequestId, accept: bool) -> Result<(), LinkError> {
        offers::answer(&self.shared, request, accept).await
    }

    /// On a new device: takes up the offer of this QR code, and waits until the other device has answered. May be
    /// repeated with the same code, also after a crash.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn link(&self, code: &str, name: &DeviceName) -> Result<DeviceAddress, LinkError> {
        linking::link(&self.shared, code, name).await
    }

    /// The digest of this device's keys that the other device shows while it asks, once [`link`](Self::link) began.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn fingerprint(&self) -> Result<Option<String>, StoreError> {
        let this = self.shared.store.read_now(identity::load)?;
        Ok(this.map(|this| linking::fingerprint(&this.keys.public().to_bytes())))
    }

    /// The devices of the own account.
    ///
    /// # Errors
    /// [`DevicesError`].
    pub fn devices(&self) -> Result<Vec<OwnDevice>, DevicesError> {
        devices::own(&self.shared)
    }

    /// On the device that registered the account: ends another device of it. Its token, connection, prekeys and
    /// mailbox end with it. May be repeated after an error.
    ///
    /// # Errors
    /// [`DevicesError`].
    pub async fn revoke(&self, device: DeviceId) -> Result<(), DevicesError> {
        devices::revoke(&self.shared, device).await
    }

    /// Answers [`Event::AccountKeyChanged`](crate::Event::AccountKeyChanged): from now on this key is the account's, and
    /// what waited for the answer is sent.
    ///
    /// # Errors
    /// [`TrustError`].
    pub async fn trust(&self, account: AccountId, fingerprint: Fingerprint) -> Result<(), TrustError> {
        trust::answer(&self.shared, account, fingerprint).await
    }

    /// The safety number of the own account and another: to be read out, scanned and compared. While a changed key
    /// waits for an answer it is the number of that key.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub async fn safety_number(&self, account: AccountId) -> Result<SafetyNumber, VerifyError> {
        safety::number(&self.shared, account).await
    }

    /// Notes that the person compared this number with the other and found it the same. It counts for the account key
    /// that the number is of: with another key it is gone. Kept on this device alone.
    ///
    /// # Errors
    /// [`VerifyError`]; [`VerifyError::OtherNumber`] if the key changed since the number was asked for.
    pub async fn mark_verified(
        &self,
        account: AccountId,
        compared: &SafetyNumber,
    ) -> Result<(), VerifyError> {
        let me = self.shared.me().ok_or(VerifyError::NotRegistered)?;
        let compared = compared.clone();
        let marked = self
            .shared
            .store
            .write(move |tx| safety::mark(tx, &me, account, &compared));
        marked.await
    }

    /// Takes that back.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unmark_verified(&self, account: AccountId) -> Result<(), StoreError> {
        let unmarked = self.shared.store.write(move |tx| verified::unmark(tx, account));
        unmarked.await
    }

    /// What this device knows of somebody: stranger or not, compared or not, and whether a changed account key waits
    /// for an answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn contact(&self, account: AccountId) -> Result<Contact, StoreError> {
        self.shared.store.read_now(|tx| safety::contact(tx, account))
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
        let sent = outbox::send_text(&self.shared, to, text).await;
        self.shared.ephemerals.wrote(to);
        sent
    }

    /// Says to a contact that the person is typing a message to them, or that they stopped. Call it at each keystroke: it
    /// is said every four seconds at most, and only while connected. Sending the message ends it, too. Never stored,
    /// never repeated, never in the way of a message.
    pub fn set_typing(&self, conversation: AccountId, typing: bool) {
        self.shared
            .ephemerals
            .set_typing(conversation, typing, Instant::now());
    }

    /// Whether contacts may see that this device is there, as long as it is connected and in the
    /// [foreground](Self::foreground). Off unless the person says otherwise, and kept. Who does not share it does not
    /// see that of others either.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn share_presence(&self, share: bool) -> Result<(), StoreError> {
        let set = move |tx: &rusqlite::Transaction<'_>| settings::set_shares_presence(tx, share);
        self.shared.store.write(set).await?;
        let ephemerals = &self.shared.ephemerals;
        ephemerals.set_presence(|presence| presence.share(share, Instant::now()));
        Ok(())
    }

    /// Whether it is [shared](Self::share_presence).
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn shares_presence(&self) -> Result<bool, StoreError> {
        self.shared.store.read_now(settings::shares_presence)
    }

    /// From now on [`Event::Presence`](crate::Event::Presence) tells when this contact comes and goes: for a conversation
    /// that is on the screen, for it costs a frame every 50 seconds. At most 16 at once. Ends with
    /// [`unwatch_presence`](Self::unwatch_presence), and with the process.
    pub fn watch_presence(&self, account: AccountId) {
        self.shared.ephemerals.set_presence(|presence| {
            presence.watch(account);
            Vec::new()
        });
    }

    /// The conversation is not on the screen any more.
    pub fn unwatch_presence(&self, account: AccountId) {
        self.shared.ephemerals.set_presence(|presence| {
            presence.unwatch(account);
            Vec::new()
        });
    }

    /// The app came to the foreground. It is taken to be there when the client is opened. A connection that ended in the
    /// background is opened again, and one that did not is looked at: the device may have slept.
    pub fn foreground(&self) {
        let ephemerals = &self.shared.ephemerals;
        ephemerals.set_presence(|presence| presence.show(true, Instant::now()));
        self.connection.set_foreground(true);
    }

    /// The app went to the background: contacts are told that this device is away, and nobody is asked. The connection ends
    /// 20 seconds later ([`Timings::background_linger`](crate::Timings::background_linger)); what comes from then on is for
    /// push to tell. An app that is woken in the background calls [`connect`](Self::connect) and has as long again.
    pub fn background(&self) {
        let ephemerals = &self.shared.ephemerals;
        ephemerals.set_presence(|presence| presence.show(false, Instant::now()));
        self.connection.set_foreground(false);
    }

    /// The device is on another network, as the platform says. A new connection is tried at once; the old one is used until
    /// it is open. If there is none, the next attempt begins now.
    pub fn network_changed(&self) {
        self.connection.network_changed();
    }

    /// Hands over the token that the platform gave the app for this device: from now on an alert is raised there when a
    /// message waits and this device is not connected. It says that something waits and nothing else. Call it at each start
    /// and whenever the platform gives another token. Returns as soon as it is stored; the service is told while
    /// connected. [`Event::PushTokenRefused`](crate::Event::PushTokenRefused) tells if it does not take it.
    ///
    /// # Errors
    /// [`PushError`].
    pub async fn set_push_token(&self, platform: Platform, token: &str) -> Result<(), PushError> {
        push::set(&self.shared, platform, token).await
    }

    /// Raises no alerts for this device any more. Told to the service while connected, so stay connected until
    /// [`push_state`](Self::push_state) is off before the app forgets this device.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn clear_push_token(&self) -> Result<(), StoreError> {
        push::clear(&self.shared).await
    }

    /// Whether this device is woken.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn push_state(&self) -> Result<PushState, StoreError> {
        push::state(&self.shared)
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

    /// A page of a conversation, in the order it is to be shown: the last `count` messages before a
    /// [position](StoredMessage::position), or the last of all. What was read is not read again for the page before it, however
    /// long the conversation is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn page(
        &self,
        conversation: AccountId,
        before: Option<u64>,
        count: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        self.shared
            .store
            .read_now(|tx| messages::page(tx, conversation, before, count))
    }

    /// All messages of a conversation, in the order they are to be shown.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn messages(&self, conversation: AccountId) -> Result<Vec<StoredMessage>, StoreError> {
        self.shared
            .store
            .read_now(|tx| messages::of_conversation(tx, conversation))
    }

    /// All conversations, the one with the newest message first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn conversations(&self) -> Result<Vec<Conversation>, StoreError> {
        self.shared.store.read_now(messages::conversations)
    }

    /// Says that the person has read a conversation up to the message at this
    /// [`position`](StoredMessage::position). The own other devices learn it, and the contact, if
    /// [`set_receipts`](Self::set_receipts) lets it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark_read(&self, conversation: AccountId, until: u64) -> Result<(), StoreError> {
        let Some(me) = self.shared.me() else {
            return Ok(());
        };
        let marked = self.shared.store.write(move |tx| {
            let (rng, now) = (&mut clock::rng(), clock::now_millis());
            read_state::read_here(tx, rng, &me, conversation, until, now)
        });
        if marked.await? {
            self.shared.outbox_grew.notify_one();
        }
        Ok(())
    }

    /// Lets a stranger in: from now on this account gets receipts, as those do that this person wrote to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn let_in(&self, account: AccountId) -> Result<(), StoreError> {
        let me = self.shared.me();
        let written = self.shared.store.write(move |tx| {
            let (rng, now) = (&mut clock::rng(), clock::now_millis());
            person::let_in(tx, rng, me.as_deref(), account, now)
        });
        if written.await? {
            self.shared.outbox_grew.notify_one();
        }
        Ok(())
    }

    /// Which receipts the devices of the own account send.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn receipts(&self) -> Result<ReceiptSettings, StoreError> {
        self.shared.store.read_now(settings::receipts)
    }

    /// Sets which receipts the devices of the own account send: this one from now on, the others when they hear of it. What
    /// was set last counts. What waits and is switched off is not sent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_receipts(&self, settings: ReceiptSettings) -> Result<(), StoreError> {
        let me = self.shared.me();
        let written = self.shared.store.write(move |tx| {
            let (rng, now) = (&mut clock::rng(), clock::now_millis());
            person::set_receipts(tx, rng, me.as_deref(), settings, now)
        });
        if written.await? {
            self.shared.outbox_grew.notify_one();
        }
        Ok(())
    }

    /// Offers the messages of this device to another one of the own account, as a rule to one that was linked just now.
    /// Whom the person knows and which receipts go out follows to a new device by itself. May be repeated: the same offer
    /// is one history. Another one to the same device ends the one before.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn offer_history(
        &self,
        device: DeviceId,
        choice: HistoryChoice,
    ) -> Result<HistoryId, HistoryError> {
        history::offer(&self.shared, device, choice).await
    }

    /// Takes a history that [`Event::HistoryOffered`](crate::Event::HistoryOffered) told of. It goes on by itself whenever
    /// both devices are connected, also after a crash; live messages go before it. Messages that are here already are not
    /// shown twice; the others come before them. May be repeated.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn take_history(&self, history: HistoryId) -> Result<(), HistoryError> {
        history::take(&self.shared, history).await
    }

    /// Declines a history, stops taking one, or stops giving one. What was taken stays.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub async fn end_history(&self, history: HistoryId) -> Result<(), HistoryError> {
        history::end(&self.shared, history).await
    }

    /// The latest history with each other device of the own account, given and taken, and how far it has come.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn histories(&self) -> Result<Vec<HistoryState>, StoreError> {
        self.shared.store.read_now(history::all)
    }

    /// Replaces the signed prekey that others open sessions with now; it is done every week anyway. The old one is
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

    /// Gives the store another key and encrypts all of it anew, which takes as long as writing all of it. A crash in
    /// between leaves a store that opens under the one key or the other, both of which are kept until it is done. After an error the client
    /// is closed: open it again.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::NotEncrypted`] where there is no key.
    pub async fn change_key(&self) -> Result<(), StoreError> {
        self.shared
            .store
            .run(|store| store.change_key(&mut clock::rng()))
            .await?
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
}
