//! What the service costs: price book × measured operations → dollars.
//!
//! This crate does not care who counted: the `waxwing` command measures use cases with the local runner's meter and
//! hands them in as plain numbers.
//!
//! # Layout
//! - [`prices`]: the price book, data in `prices/*.toml`.
//! - [`usage`]: what was done, by function, as a vector. [`measured`]: what each use case takes, and the committed
//!   budget that it is held to.
//! - [`workload`]: people, tuning, how long functions take.
//! - [`message`]: the equation of one message, its floor and the bar. [`statement`]: the bill of a month.
//!   [`what_if`]: the same with something changed, and what moves the bill most.
//! - [`report`]: the bill as CSV and HTML.
//! - [`operations`] and [`bill`](mod@bill): totals of a run, for `demo` and `load`.

pub mod bill;
pub mod measured;
pub mod message;
pub mod operations;
pub mod prices;
pub mod report;
pub mod statement;
#[cfg(test)]
mod testing;
pub mod usage;
pub mod what_if;
pub mod workload;

pub use bill::{ApiGatewayBill, Bill, DynamoDbBill, LambdaBill, bill};
pub use measured::Measured;
pub use operations::Operations;
pub use prices::{Architecture, BookError, Price, PriceBook};
pub use statement::Statement;
pub use usage::{FunctionUsage, Usage};
pub use what_if::Model;
pub use workload::Workload;
