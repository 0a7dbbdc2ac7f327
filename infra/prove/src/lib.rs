//! Shows that the service keeps its promises, instead of saying so. docs/reliability.md has the promises by name, and
//! what was found.
//!
//! # Layout
//! - [`service`]: one service whose every run repeats itself. [`devices`]: devices, by what the service sees of them.
//! - [`connector`]: the SDK's HTTP connector with a hook before and after each call. [`faults`]: what goes wrong there.
//! - [`story`]: requests of devices, delivered and repeated as API Gateway and clients do, and a ledger of what was
//!   answered. [`promises`]: what must hold at rest.
//! - [`scenarios`]: each function in a situation. [`crash_table`]: every fault in each of them.
//! - [`controls`]: services that are wrong on purpose, each of which must be caught.
//! - [`interleave`]: functions that run at the same time, in every order of their calls.
//! - [`paused`]: where all of it is tried, in no time and on every processor.
//! - [`model`]: the design in small, tried in every order of its steps.

pub mod connector;
pub mod controls;
pub mod crash_table;
pub mod devices;
pub mod faults;
pub mod interleave;
pub mod model;
pub mod paused;
pub mod promises;
pub mod scenarios;
pub mod service;
pub mod story;

/// Why something could not be tried. It says nothing about the promises.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

impl From<&str> for Trouble {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<waxwing_local::cloud::CloudError> for Trouble {
    fn from(error: waxwing_local::cloud::CloudError) -> Self {
        Self(error.to_string())
    }
}
