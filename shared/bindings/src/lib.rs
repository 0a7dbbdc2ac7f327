//! The client library for apps that are not written in Rust: what UniFFI makes sources for Swift, Kotlin and Python of.
//!
//! It adds nothing to [`waxwing_client`] and decides nothing. Each call does what the one of the same name there does;
//! values are turned into what the other languages have, and what waits runs on a runtime of this library, off the app's
//! threads. `docs/bindings.md` says how a team takes it.
//!
//! # Layout
//! - [`client`]: the calls. [`reader`]: the events, one after another, until they are handled.
//! - [`error`]: every error of the client under a stable name. [`event`], [`records`], [`ids`]: values.
//! - [`location`]: where the store is; [`keys`]: the port behind which the app keeps its key. [`safety`]: safety numbers.
//! - `runtime`: the threads.
//!
//! The doc comments of what is exported are the documentation in the other languages: they name things in no language's
//! notation and hold no links.

#![allow(
    unsafe_code,
    reason = "what UniFFI's macros write; a test sees that nothing here is written so by hand"
)]

pub mod client;
pub mod error;
pub mod event;
pub mod history;
pub mod ids;
pub mod keys;
pub mod location;
pub mod push;
pub mod reader;
pub mod records;
mod runtime;
pub mod safety;

uniffi::setup_scaffolding!("waxwing");
