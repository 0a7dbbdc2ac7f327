//! The client of Waxwing: what an app embeds to be one device of one person.
//!
//! It works without a network: what the app sends is stored first, and leaves when it can. Nothing the
//! service accepted is lost, nothing is shown twice, and what one device sends is shown in its order. The
//! service sees ciphertext only; the keys never leave this crate's store.
//!
//! ```no_run
//! use waxwing_client::{Client, ClientConfig, Endpoints, Event, StoreLocation};
//!
//! # async fn run(bob: waxwing_client::AccountId) -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::open(ClientConfig::new(
//!     StoreLocation::File("alice.db".into()),
//!     Endpoints {
//!         websocket_url: "wss://abc.execute-api.eu-central-1.amazonaws.com/prod".into(),
//!         http_url: "https://def.execute-api.eu-central-1.amazonaws.com/prod".into(),
//!         audience: "waxwing".into(),
//!     },
//! ))
//! .await?;
//! client.register().await?;
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
//!   opened with. `account`: into an account. Start reading there.
//! - A message's way out: `outbox` → `sessions` → `connection::pump` → `transport`.
//! - A message's way in: `transport` → `connection::drain` → `receive` → `sessions`, `channel` (order) →
//!   `connection::acks`.
//! - `under_way`: how many messages may be. `directory`: which devices an account has. `prekeys`: what this device publishes.
//! - `store`: SQLite, one table a file. `transport`: sockets and requests, nothing of their meaning.
//! - `clock`: the only place that reads the clock and the system's randomness.
//!
//! `outbox`, `receive`, `sessions`, `channel`, `directory` and `prekeys` are functions over a transaction and
//! values. Everything that waits is in `connection`.

mod account;
mod channel;
mod client;
mod clock;
pub mod config;
mod connection;
mod directory;
pub mod events;
mod messages;
mod outbox;
mod prekeys;
mod receive;
mod sessions;
mod shared;
mod store;
#[cfg(test)]
mod testing;
mod transport;
mod under_way;

pub use account::{DeviceCard, LinkError, LinkGrant, RegisterError};
pub use client::Client;
pub use config::{ClientConfig, Durability, Endpoints, StoreLocation, Timings};
pub use events::{DisconnectReason, Event, Events, FailureReason, UndecryptableReason};
pub use messages::{MessageState, StoredMessage};
pub use outbox::{MAX_TEXT_BYTES, SendError};
pub use prekeys::UploadError;
pub use shared::OpenError;
pub use store::StoreError;
pub use transport::{endpoints::EndpointError, http::HttpError};
pub use waxwing_wire as wire;
pub use waxwing_wire::{AccountId, DeviceAddress, MessageId};
