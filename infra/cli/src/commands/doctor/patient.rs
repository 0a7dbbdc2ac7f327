//! A throw-away device: the client library as an app embeds it, its store in memory.

use std::{fmt, time::Duration};

use tokio::time::{Instant, timeout_at};
use waxwing_client::{
    AccountId, Client, ClientConfig, Endpoints, Event, Events, MessageId, OpenError, RegisterError,
    StoreError, StoreLocation,
};

use super::{
    Order,
    codes::{CodeError, Codes},
};
use waxwing_client::PhoneNumber;

/// A device whose acks do not wait for company: an examination has no minute to spend on it.
const ACK_LINGER: Duration = Duration::from_millis(50);

/// One throw-away device.
pub(super) struct Patient {
    pub(super) name: &'static str,
    client: Client,
    events: Events,
    /// Texts shown so far: one may come while something else is waited for.
    shown: Vec<String>,
    patience: Duration,
}

/// Why a device has no account.
#[derive(Debug, thiserror::Error)]
pub(super) enum JoinError {
    #[error("the store does not open: {0}")]
    Open(#[from] OpenError),
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
    #[error("no code could be asked for: {0}")]
    Request(#[source] RegisterError),
    #[error(transparent)]
    Code(#[from] CodeError),
    #[error("the code was not taken: {0}")]
    Confirm(#[source] RegisterError),
    #[error("the number has an account")]
    HasAccount,
    #[error("no account could be made: {0}")]
    Register(#[source] RegisterError),
}

impl Patient {
    /// Opens a device and registers an account for it.
    pub(super) async fn join(
        name: &'static str,
        phone: &PhoneNumber,
        order: &Order,
        codes: &Codes<'_>,
    ) -> Result<Self, JoinError> {
        let client = Client::open(config(&order.endpoints)).await?;
        let before = codes.mark().await?;
        client.request_code(phone).await.map_err(JoinError::Request)?;
        let code = codes.code_for(phone, before, order.patience).await?;
        let confirmed = client.confirm(phone, &code).await.map_err(JoinError::Confirm)?;
        if confirmed.has_account && !order.take_over && !codes.are_local() {
            return Err(JoinError::HasAccount);
        }
        client.register(None).await.map_err(JoinError::Register)?;
        Ok(Self {
            name,
            events: client.events().await?,
            client,
            shown: Vec::new(),
            patience: order.patience,
        })
    }

    /// Whose device it is.
    pub(super) fn account(&self) -> Option<AccountId> {
        self.client.address().map(|address| address.account)
    }

    /// Connects, and tells how many envelopes waited in the mailbox.
    pub(super) async fn connect(&mut self) -> Result<u64, Trouble> {
        self.client.connect();
        self.until(|event| match event {
            Event::Drained { count } => Some(*count),
            _ => None,
        })
        .await
    }

    /// Acks what is stored and disconnects.
    pub(super) async fn disconnect(&mut self) {
        self.client.disconnect().await;
    }

    /// Sends a text, and waits until it is accepted.
    pub(super) async fn send(&mut self, to: AccountId, text: &str) -> Result<(), Trouble> {
        let sent = self.client.send_text(to, text).await;
        let sent = sent.map_err(|error| Trouble::new(error.to_string()))?;
        self.until_accepted(sent).await
    }

    async fn until_accepted(&mut self, sent: MessageId) -> Result<(), Trouble> {
        let outcome = self.until(|event| match event {
            Event::Accepted { message } if *message == sent => Some(Ok(())),
            Event::Failed { message, reason } if *message == sent => Some(Err(reason.to_string())),
            _ => None,
        });
        outcome.await?.map_err(Trouble::new)
    }

    /// Waits until a text is shown.
    pub(super) async fn read(&mut self, text: &str) -> Result<(), Trouble> {
        if self.shown.iter().any(|shown| shown == text) {
            return Ok(());
        }
        self.until(|event| match event {
            Event::Message(message) if message.text == text => Some(Ok(())),
            Event::Undecryptable { reason, .. } => Some(Err(reason.to_string())),
            _ => None,
        })
        .await?
        .map_err(Trouble::new)
    }

    /// Closes the store; what was in it is gone.
    pub(super) async fn discard(self) {
        // It is in memory: there is nothing that could be left behind.
        let _ = self.client.close().await;
    }

    async fn until<T>(&mut self, mut wanted: impl FnMut(&Event) -> Option<T>) -> Result<T, Trouble> {
        let end = Instant::now() + self.patience;
        let mut last = None;
        loop {
            let Ok(event) = timeout_at(end, self.events.next()).await else {
                return Err(Trouble {
                    what: format!("nothing came for {} seconds", self.patience.as_secs()),
                    last,
                });
            };
            let Some(event) = event else {
                return Err(Trouble::new("the client was closed"));
            };
            if let Some(found) = wanted(&event) {
                return Ok(found);
            }
            match event {
                Event::Message(message) => self.shown.push(message.text),
                Event::Disconnected { reason, .. } => last = Some(reason.to_string()),
                _ => {}
            }
        }
    }
}

fn config(endpoints: &Endpoints) -> ClientConfig {
    let mut config = ClientConfig::new(StoreLocation::Memory, endpoints.clone());
    config.timings.ack_linger = ACK_LINGER;
    config
}

/// Why something did not come about.
#[derive(Debug)]
pub(super) struct Trouble {
    what: String,
    /// What was last heard of the connection.
    last: Option<String>,
}

impl Trouble {
    fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            last: None,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        match &self.last {
            Some(last) => write!(f, "; the connection: {last}"),
            None => Ok(()),
        }
    }
}
