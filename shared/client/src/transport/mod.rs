//! How bytes get to the service and back. Knows nothing of messages, sessions or the store.
//!
//! # Layout
//! - [`endpoints`]: where the service is, parsed. [`token`]: how the device proves who it is.
//! - [`backoff`]: how long to wait before trying again. [`last_time`]: when something last happened.
//! - [`service_time`]: what time the service has.
//! - [`tls`]: whom to trust. [`http`]: requests about accounts and keys.
//! - [`socket`]: the WebSocket, opened, driven, closed. [`requests`]: requests on it and their replies.

pub(crate) mod backoff;
pub(crate) mod endpoints;
pub(crate) mod http;
pub(crate) mod last_time;
pub(crate) mod requests;
pub(crate) mod service_time;
pub(crate) mod socket;
pub(crate) mod tls;
pub(crate) mod token;
