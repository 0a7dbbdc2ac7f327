//! What functions call: one endpoint for every AWS service that the runner has.
//!
//! A request says three things in its signature's credential scope and headers: who calls, which service,
//! which operation. The [`front`] reads them, asks the caller's policies, and hands the request on to
//! [`dynamodb`], [`management`] (`@connections`) or [`sns`]. Answers have the exact shapes of AWS, errors too, so that
//! the SDKs see the typed errors they would see there.
//!
//! The same front is reached in two ways: over TCP, as processes and tools do, and through a [`connector`] that
//! hands the SDK's requests over inside the process, with no socket in between.
//!
//! Signatures are read, not verified: whoever reaches the loopback address could read the files as well.

pub mod answer;
pub mod callers;
pub mod connector;
pub mod dynamodb;
pub mod faults;
pub mod front;
pub mod management;
pub mod policies;
pub mod sns;

pub use callers::{Caller, TOOLS_ACCESS_KEY};
pub use connector::Connector;
pub use front::AwsFront;
pub use sns::Sns;
