//! The client of Waxwing: what an app embeds to be one device of one person.
//!
//! It works without a network: what the app sends is stored first, and leaves when it can. Nothing the
//! service accepted is lost, nothing is shown twice, and what one device sends is shown in its order. The
//! service sees ciphertext only; the keys never leave this crate's store.
//!
//! ```no_run
//! use waxwing_client::{Client, ClientConfig, Endpoints, Event, StoreLocation, keys::KeyFile};
//!
//! # async fn run(bob: waxwing_client::AccountId) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::open(ClientConfig::new(
//!     // On a phone the key is kept by the platform: see the module `keys`.
//!     StoreLocation::file("alice.db", KeyFile::new("alice.key")),
//!     Endpoints {
//!         websocket_url: "wss://abc.execute-api.eu-central-1.amazonaws.com/prod".into(),
//!         http_url: "https://def.execute-api.eu-central-1.amazonaws.com/prod".into(),
//!         audience: "waxwing".into(),
//!     },
//! ))
//! .await?;
//! let phone = "+14155550101".parse()?;
//! client.request_code(&phone).await?;
//! # let typed = "123456";
//! client.confirm(&phone, &typed.parse()?).await?; // what came by SMS
//! client.register(None).await?;
//! client.connect();
//! client.send_text(bob, "Hello").await?;
//!
//! let mut events = client.events().await?;
//! while let Some(event) = events.next().await {
//!     if let Event::Message(message) = event {
//!         // show message.text
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # Layout
//! - `client`: the handle. [`events`]: what it tells, and what is promised about it. [`config`]: what it is
//!   opened with. [`keys`]: who keeps the key of its store. Start reading there.
//! - Into an account: `registration` (by phone), `linking` (by QR code) and `offers` (its other side). `lock`: the PIN.
//! - Whom to believe: `trust` (signed lists of devices), `devices` (the own), `safety` (comparing with a person).
//! - A message's way out: `outbox` → `sessions` → `connection::pump` → `transport`.
//! - A message's way in: `transport` → `connection::drain` → `receive` → `sessions`, `channel` (order) →
//!   `connection::acks`.
//! - `push`: where this device is woken when something waits.
//! - `receipts`, `read_state`, `ask_again`: what devices tell each other about messages. `history`: the messages of one own device
//!   for another. `person`: what the person wants, on all own devices.
//! - Said for now alone: `ephemeral` (sealed, opened, and what follows), `typing`, `presence`; `connection::ephemerals`.
//! - `under_way`: how many messages may be. `directory`: which devices an account has, and sessions with them.
//!   `prekeys`: what this device publishes. `resets`: a new session where those before do not do.
//! - `store`: SQLite, one table a file. `transport`: sockets and requests, nothing of their meaning.
//! - `clock`: the only place that reads the clock and the system's randomness.
//!
//! `outbox`, `receive`, `sessions`, `channel`, `resets`, `directory`, `trust` and `prekeys` are functions over a transaction and
//! values. Everything that waits is in `connection`.

mod ask_again;
mod ask_for;
mod channel;
mod client;
mod clock;
pub mod config;
mod connection;
mod devices;
mod directory;
mod ephemeral;
pub mod events;
mod frames;
mod history;
pub mod keys;
mod linking;
mod lock;
mod messages;
mod offers;
mod outbox;
mod person;
mod prekeys;
mod presence;
mod push;
mod read_state;
mod receipts;
mod receive;
mod registration;
mod resets;
mod safety;
mod sessions;
mod shared;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod three_devices;
mod transport;
mod trust;
mod typing;
mod under_way;

pub use client::Client;
pub use config::{ClientConfig, Durability, Endpoints, StoreLocation, Timings};
pub use devices::{DevicesError, OwnDevice};
pub use events::{
    AckProgress, DisconnectReason, Event, Events, FailureReason, ResetCause, UndecryptableReason, Way,
};
pub use history::{
    HistoryChoice, HistoryEnd, HistoryError, HistoryId, HistoryIdError, HistoryStage, HistoryState,
};
pub use linking::{LinkError, LinkRequestId};
pub use lock::LockError;
pub use messages::{Conversation, MessageState, StoredMessage};
pub use outbox::{MAX_TEXT_BYTES, SendError};
pub use prekeys::UploadError;
pub use push::{PushError, PushState};
pub use receipts::ReceiptSettings;
pub use registration::{ConfirmedNumber, RegisterError};
pub use safety::{Contact, VerifyError};
pub use shared::OpenError;
pub use store::StoreError;
pub use transport::{endpoints::EndpointError, http::HttpError};
pub use trust::{DeviceChange, Fingerprint, FingerprintError, ListError, TrustError};
pub use waxwing_protocol::{
    content::Stage as ReceiptStage,
    linking::{DeviceName, NameError},
    passphrase::{Passphrase, PassphraseError},
    pin::{Pin, PinError},
    safety_number::{Comparison, SafetyNumber},
};
pub use waxwing_wire as wire;
pub use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, MessageId,
    challenge::Challenged,
    frame::RemovalReason,
    phone::{Code, PhoneNumber},
    subscribe::Platform,
};
