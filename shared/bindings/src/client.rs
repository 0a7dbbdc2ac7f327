//! The calls.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use waxwing_client::{
    self as client, AccountId, DeviceName, Fingerprint, HistoryId, LinkRequestId, MessageId, Pin,
};
use zeroize::Zeroizing;

use crate::{
    error::ClientError,
    history::{HistoryChoice, HistoryState},
    ids,
    location::{Endpoints, StoreLocation},
    push::{Platform, PushState},
    reader::Events,
    records::{
        Challenged, ConfirmedNumber, Contact, Conversation, DeviceAddress, OwnDevice, ReceiptSettings,
        StoredMessage,
    },
    runtime::{look, run, run_to_the_end},
    safety::SafetyNumber,
};

/// One device of one person: its keys, its messages, its connection. It works without a network: what the app asks for
/// is stored first, and leaves when it can.
#[derive(Debug, uniffi::Object)]
pub struct Client {
    client: Mutex<Option<client::Client>>,
    /// Told to the readers of its events.
    shut_down: Arc<AtomicBool>,
}

impl Client {
    /// The client, as long as it is not shut down.
    fn client(&self) -> Result<client::Client, ClientError> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        client.clone().ok_or_else(|| client::StoreError::Closed.into())
    }
}

#[uniffi::export]
impl Client {
    /// Opens the store and makes ready; connects to nothing yet.
    #[uniffi::constructor]
    pub async fn open(store: Arc<StoreLocation>, endpoints: Endpoints) -> Result<Arc<Self>, ClientError> {
        let config = client::ClientConfig::new(store.0.clone(), endpoints.into());
        let client = run(client::Client::open(config)).await?;
        Ok(Arc::new(Self {
            client: Mutex::new(Some(client)),
            shut_down: Arc::default(),
        }))
    }

    /// Disconnects and closes the store. Every later call fails as closed, and the events end; kept ones come when the
    /// client is opened again. May be repeated.
    pub async fn shut_down(&self) -> Result<(), ClientError> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.shut_down.store(true, Ordering::Relaxed);
        match client {
            Some(client) => run_to_the_end(client.close()).await,
            None => Ok(()),
        }
    }

    /// Asks for a code to be sent to a phone by SMS: the first step into an account. The number is a plus sign and 7 to
    /// 15 digits, country code first. The answer says when another may be asked for.
    pub async fn request_code(&self, phone: String) -> Result<Challenged, ClientError> {
        let (client, phone) = (self.client()?, phone_number(phone)?);
        let challenged = run(async move { client.request_code(&phone).await }).await?;
        Ok(challenged.into())
    }

    /// Proves the number with the code that came. May be repeated.
    pub async fn confirm(&self, phone: String, code: String) -> Result<ConfirmedNumber, ClientError> {
        let (client, phone) = (self.client()?, phone_number(phone)?);
        let code: client::Code = code
            .parse()
            .map_err(|_| ClientError::InvalidCode("a code has six digits".to_owned()))?;
        let confirmed = run(async move { client.confirm(&phone, &code).await }).await?;
        Ok(confirmed.into())
    }

    /// Creates an account with this device as its first, or takes over the account that the number has; the PIN is needed
    /// if that one is locked. May be repeated. A device that is in already just gets its address.
    pub async fn register(&self, pin: Option<String>) -> Result<DeviceAddress, ClientError> {
        let client = self.client()?;
        let pin = pin.map(parse_pin).transpose()?;
        let address = run(async move { client.register(pin.as_ref()).await }).await?;
        Ok(address.into())
    }

    /// Locks the registration of the account's number with a PIN, or changes the PIN. May be repeated.
    pub async fn set_lock(&self, pin: String) -> Result<(), ClientError> {
        let (client, pin) = (self.client()?, parse_pin(pin)?);
        run(async move { client.set_lock(&pin).await }).await
    }

    /// Removes the lock. May be repeated.
    pub async fn remove_lock(&self) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.remove_lock().await }).await
    }

    /// On the device that registered the account: offers a place to one new device. Gives the text of the QR code to
    /// show, good for five minutes; whoever reads it can ask to be linked. The event `LinkRequested` tells who does.
    pub async fn offer_link(&self) -> Result<String, ClientError> {
        let client = self.client()?;
        let code = run(async move { client.offer_link().await }).await?;
        Ok(code.to_string())
    }

    /// Takes the person's answer to a new device. May be repeated after an error.
    pub async fn answer_link(&self, request: LinkRequestId, accept: bool) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.answer_link(request, accept).await }).await
    }

    /// On a new device: takes up the offer of this QR code under a name of 1 to 64 bytes, and waits until the other device
    /// has answered. May be repeated with the same code, also after a crash.
    pub async fn link(&self, code: String, name: String) -> Result<DeviceAddress, ClientError> {
        let (client, code) = (self.client()?, Zeroizing::new(code));
        let name =
            DeviceName::new(&name).map_err(|error| ClientError::InvalidDeviceName(error.to_string()))?;
        let address = run(async move { client.link(&code, &name).await }).await?;
        Ok(address.into())
    }

    /// The digest of this device's keys that the other device shows while it asks, once linking began.
    pub async fn fingerprint(&self) -> Result<Option<String>, ClientError> {
        let client = self.client()?;
        look(move || client.fingerprint()).await
    }

    /// This device, once it is registered or linked.
    pub fn address(&self) -> Result<Option<DeviceAddress>, ClientError> {
        Ok(self.client()?.address().map(Into::into))
    }

    /// The devices of the own account.
    pub async fn devices(&self) -> Result<Vec<OwnDevice>, ClientError> {
        let client = self.client()?;
        let devices = look(move || client.devices()).await?;
        Ok(devices.into_iter().map(Into::into).collect())
    }

    /// On the device that registered the account: ends another device of it. May be repeated after an error.
    pub async fn revoke(&self, device: u8) -> Result<(), ClientError> {
        let (client, device) = (self.client()?, ids::device(device)?);
        run(async move { client.revoke(device).await }).await
    }

    /// Answers the event `AccountKeyChanged`: from now on this key is the account's, and what waited for the answer is
    /// sent.
    pub async fn trust(&self, account: AccountId, fingerprint: Fingerprint) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.trust(account, fingerprint).await }).await
    }

    /// The safety number of the own account and another. While a changed key waits for an answer it is the number of
    /// that key.
    pub async fn safety_number(&self, account: AccountId) -> Result<Arc<SafetyNumber>, ClientError> {
        let client = self.client()?;
        let number = run(async move { client.safety_number(account).await }).await?;
        Ok(Arc::new(SafetyNumber(number)))
    }

    /// Notes that the person compared this number with the other and found it the same. It counts for the account key
    /// that the number is of: with another key it is gone. Kept on this device alone.
    pub async fn mark_verified(
        &self,
        account: AccountId,
        compared: Arc<SafetyNumber>,
    ) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.mark_verified(account, &compared.0).await }).await
    }

    /// Takes that back.
    pub async fn unmark_verified(&self, account: AccountId) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.unmark_verified(account).await }).await
    }

    /// What this device knows of somebody: stranger or not, compared or not, and whether a changed account key waits for
    /// an answer.
    pub async fn contact(&self, account: AccountId) -> Result<Contact, ClientError> {
        let client = self.client()?;
        let contact = look(move || client.contact(account)).await?;
        Ok(contact.into())
    }

    /// Hands over the token that the platform gave the app for this device: from now on an alert is raised there when a
    /// message waits and this device is not connected. Call it at each start and whenever the platform gives another.
    pub async fn set_push_token(&self, platform: Platform, token: String) -> Result<(), ClientError> {
        let (client, token) = (self.client()?, Zeroizing::new(token));
        run(async move { client.set_push_token(platform.into(), &token).await }).await
    }

    /// Raises no alerts for this device any more. Told to the service while connected, so stay connected until
    /// `push_state` is off before the app forgets this device.
    pub async fn clear_push_token(&self) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.clear_push_token().await }).await
    }

    /// Whether this device is woken.
    pub async fn push_state(&self) -> Result<PushState, ClientError> {
        let client = self.client()?;
        let state = look(move || client.push_state()).await?;
        Ok(state.into())
    }

    /// Offers the messages of this device to another one of the own account, as a rule to one that was linked just now.
    /// May be repeated: the same offer is one history. Another one to the same device ends the one before.
    pub async fn offer_history(&self, device: u8, choice: HistoryChoice) -> Result<HistoryId, ClientError> {
        let (client, device) = (self.client()?, ids::device(device)?);
        run(async move { client.offer_history(device, choice.into()).await }).await
    }

    /// Takes a history that `HistoryOffered` told of. It goes on by itself whenever both devices are connected, also after
    /// a crash; live messages go before it. May be repeated.
    pub async fn take_history(&self, history: HistoryId) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.take_history(history).await }).await
    }

    /// Declines a history, stops taking one, or stops giving one. What was taken stays.
    pub async fn end_history(&self, history: HistoryId) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.end_history(history).await }).await
    }

    /// The latest history with each other device of the own account, given and taken, and how far it has come.
    pub async fn histories(&self) -> Result<Vec<HistoryState>, ClientError> {
        let client = self.client()?;
        let histories = look(move || client.histories()).await?;
        Ok(histories.into_iter().map(Into::into).collect())
    }

    /// Begins to connect and to stay connected. If it waits for its next attempt, that begins now. Register or link
    /// first. Returns at once; events tell how it goes.
    pub fn connect(&self) -> Result<(), ClientError> {
        self.client()?.connect();
        Ok(())
    }

    /// Ends the connection: acks what is stored, closes the socket.
    pub async fn disconnect(&self) -> Result<(), ClientError> {
        let client = self.client()?;
        run_to_the_end(async move {
            client.disconnect().await;
            Ok::<_, ClientError>(())
        })
        .await
    }

    /// The app came to the foreground. It is taken to be there when the client is opened.
    pub fn foreground(&self) -> Result<(), ClientError> {
        self.client()?.foreground();
        Ok(())
    }

    /// The app went to the background: contacts are told that this device is away, and the connection ends 20 seconds later.
    pub fn background(&self) -> Result<(), ClientError> {
        self.client()?.background();
        Ok(())
    }

    /// The device is on another network, as the platform says: a new connection is tried at once.
    pub fn network_changed(&self) -> Result<(), ClientError> {
        self.client()?.network_changed();
        Ok(())
    }

    /// Sends a text to a person: to all devices of theirs and to the own other devices. Returns as soon as the message is
    /// stored, also without a network.
    pub async fn send_text(&self, to: AccountId, text: String) -> Result<MessageId, ClientError> {
        let client = self.client()?;
        run(async move { client.send_text(to, &text).await }).await
    }

    /// All conversations, the one with the newest message first.
    pub async fn conversations(&self) -> Result<Vec<Conversation>, ClientError> {
        let client = self.client()?;
        let conversations = look(move || client.conversations()).await?;
        Ok(conversations.into_iter().map(Into::into).collect())
    }

    /// A page of a conversation, in the order it is to be shown: the last `count` messages before the one at a position,
    /// or the last of all.
    pub async fn page(
        &self,
        conversation: AccountId,
        before: Option<u64>,
        count: u32,
    ) -> Result<Vec<StoredMessage>, ClientError> {
        let client = self.client()?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let messages = look(move || client.page(conversation, before, count)).await?;
        Ok(messages.into_iter().map(Into::into).collect())
    }

    /// Says that the person has read a conversation up to the message at this position. The own other devices learn it,
    /// and the contact, if the settings let it.
    pub async fn mark_read(&self, conversation: AccountId, until: u64) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.mark_read(conversation, until).await }).await
    }

    /// Lets a stranger in: from now on this account gets receipts, as those do that this person wrote to.
    pub async fn let_in(&self, account: AccountId) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.let_in(account).await }).await
    }

    /// How many messages of this device are not accepted yet.
    pub async fn pending(&self) -> Result<u64, ClientError> {
        let client = self.client()?;
        let pending = look(move || client.pending()).await?;
        Ok(u64::try_from(pending).unwrap_or(u64::MAX))
    }

    /// Which receipts this device sends.
    pub async fn receipts(&self) -> Result<ReceiptSettings, ClientError> {
        let client = self.client()?;
        let settings = look(move || client.receipts()).await?;
        Ok(settings.into())
    }

    /// Sets which receipts this device sends; each device of an account has a setting of its own.
    pub async fn set_receipts(&self, settings: ReceiptSettings) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.set_receipts(settings.into()).await }).await
    }

    /// Says to a contact that the person is typing, or that they stopped. Call it at each keystroke: it is said every four
    /// seconds at most, and only while connected.
    pub fn set_typing(&self, conversation: AccountId, typing: bool) -> Result<(), ClientError> {
        self.client()?.set_typing(conversation, typing);
        Ok(())
    }

    /// Whether contacts may see that this device is there. Off unless the person says otherwise, and kept. Who does not
    /// share it does not see that of others either.
    pub async fn share_presence(&self, share: bool) -> Result<(), ClientError> {
        let client = self.client()?;
        run(async move { client.share_presence(share).await }).await
    }

    /// Whether it is shared.
    pub async fn shares_presence(&self) -> Result<bool, ClientError> {
        let client = self.client()?;
        look(move || client.shares_presence()).await
    }

    /// From now on events tell when this contact comes and goes: for a conversation that is on the screen, at most 16 at
    /// once.
    pub fn watch_presence(&self, account: AccountId) -> Result<(), ClientError> {
        self.client()?.watch_presence(account);
        Ok(())
    }

    /// The conversation is not on the screen any more.
    pub fn unwatch_presence(&self, account: AccountId) -> Result<(), ClientError> {
        self.client()?.unwatch_presence(account);
        Ok(())
    }

    /// The events for the app, from the first kept one that it has not handled yet. One reader at a time.
    pub async fn events(&self) -> Result<Arc<Events>, ClientError> {
        let client = self.client()?;
        let events = run(async move { client.events().await }).await?;
        Ok(Arc::new(Events::new(events, self.shut_down.clone())))
    }

    /// Gives the store another key and encrypts all of it anew, which takes as long as writing all of it. A crash in
    /// between loses nothing. After an error the client is closed: open another.
    pub async fn change_key(&self) -> Result<(), ClientError> {
        let client = self.client()?;
        run_to_the_end(async move { client.change_key().await }).await
    }
}

fn phone_number(text: String) -> Result<client::PhoneNumber, ClientError> {
    let number = client::PhoneNumber::try_from(text);
    number.map_err(|error| ClientError::InvalidPhoneNumber(error.to_string()))
}

fn parse_pin(text: String) -> Result<Pin, ClientError> {
    let pin = Pin::new(&Zeroizing::new(text));
    pin.map_err(|error| ClientError::InvalidPin(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nowhere() -> Endpoints {
        Endpoints {
            websocket_url: "ws://127.0.0.1:1/prod".to_owned(),
            http_url: "http://127.0.0.1:1/prod".to_owned(),
            audience: "test".to_owned(),
        }
    }

    async fn open() -> Arc<Client> {
        Client::open(Arc::new(StoreLocation::in_memory()), nowhere())
            .await
            .unwrap()
    }

    fn somebody() -> AccountId {
        "11111111-1111-4111-8111-111111111111".parse().unwrap()
    }

    #[tokio::test]
    async fn a_client_that_is_shut_down_answers_closed_and_its_events_end() {
        let client = open().await;
        let events = client.events().await.unwrap();
        assert_eq!(client.pending().await.unwrap(), 0);
        client.shut_down().await.unwrap();
        client.shut_down().await.unwrap();
        assert!(matches!(client.connect(), Err(ClientError::Closed(_))));
        assert!(matches!(client.pending().await, Err(ClientError::Closed(_))));
        let sent = client.send_text(somebody(), "hello".to_owned()).await;
        assert!(matches!(sent, Err(ClientError::Closed(_))));
        assert_eq!(events.next().await, None);
    }

    #[tokio::test]
    async fn what_a_person_typed_wrong_has_a_name_before_anything_is_done() {
        let client = open().await;
        let number = client.request_code("4915112345678".to_owned()).await;
        assert!(matches!(number, Err(ClientError::InvalidPhoneNumber(_))));
        let code = client
            .confirm("+4915112345678".to_owned(), "12345".to_owned())
            .await;
        assert!(matches!(code, Err(ClientError::InvalidCode(_))));
        let pin = client.register(Some("1234".to_owned())).await;
        assert!(matches!(pin, Err(ClientError::InvalidPin(_))));
        let name = client.link("waxwing:link?".to_owned(), " ".to_owned()).await;
        assert!(matches!(name, Err(ClientError::InvalidDeviceName(_))));
        assert!(matches!(client.revoke(0).await, Err(ClientError::InvalidId(_))));
        let passphrase = StoreLocation::with_passphrase(String::new(), String::new(), "short".to_owned());
        assert!(matches!(passphrase, Err(ClientError::InvalidPassphrase(_))));
        let sent = client.send_text(somebody(), "hello".to_owned()).await;
        assert!(matches!(sent, Err(ClientError::NotRegistered(_))));
    }

    #[tokio::test]
    async fn an_event_is_given_again_until_it_is_handled() {
        let client = open().await;
        let events = client.events().await.unwrap();
        client.connect().unwrap();
        let first = events.clone().next().await;
        assert!(
            matches!(first, Some(crate::event::Event::Disconnected { .. })),
            "{first:?}"
        );
        assert_eq!(events.clone().next().await, first, "not handled yet");
        events.clone().handled().await;
        events.clone().handled().await;
        let wait = std::time::Duration::from_millis(20);
        let nothing = tokio::time::timeout(wait, events.clone().next()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        // Who stopped waiting does not keep others from it.
        client.connect().unwrap();
        assert!(events.clone().next().await.is_some());
        client.shut_down().await.unwrap();
        assert_eq!(events.clone().next().await, None, "not even what was not handled");
    }
}
