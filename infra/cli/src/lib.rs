//! The `waxwing` command: everything the project can do on one machine, for a person and, with `--json`, for
//! a program.

pub mod console;
pub mod cpu;
pub mod evidence;
pub mod latency;
pub mod ledger;
pub mod logging;
pub mod name;
pub mod operations;
pub mod report;
pub mod search;
pub mod tables;
pub mod text;
