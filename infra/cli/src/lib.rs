//! The `waxwing` command: everything the project can do on one machine, for a person and, with `--json`, for
//! a program.
//!
//! # Layout
//! - [`commands`]: one file a command: `local`, `demo`, `chat`, `verify`, `load`, `cost`, `crash_table`, `doctor`,
//!   `functions`. Start
//!   reading there.
//! - [`service`]: the runner, started for a command. [`people`]: devices that register and link.
//! - [`run`]: a run in progress, sending, listening, waiting. [`ledger`]: what was sent against what was shown:
//!   lost, duplicated, out of order. [`latency`]: how long it took. [`cpu`]: what it cost here.
//! - [`evidence`]: where plaintext may not be: tables, frames, logs. [`search`]: how it is looked for.
//!   [`tables`]: reads tables from outside.
//! - [`operations`]: the runner's meter → what AWS would bill → dollars.
//! - [`waking`]: a device that is not connected hears its alerts.
//! - [`name`] and [`address_book`]: who is who on this machine. [`text`]: the lines of a demo.
//! - [`console`]: the only place that prints; [`report`]: what reports share. [`logging`]: diagnostics on
//!   standard error.

pub mod address_book;
pub mod commands;
pub mod console;
pub mod cpu;
pub mod evidence;
pub mod latency;
pub mod ledger;
pub mod logging;
pub mod name;
pub mod operations;
pub mod people;
pub mod report;
pub mod run;
pub mod search;
pub mod service;
pub mod tables;
pub mod text;
pub mod waking;

pub use commands::{Cli, Failure, Outcome};
pub use console::Console;
