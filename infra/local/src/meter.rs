//! Counts what AWS would bill, by function.
//!
//! Rules of the counts, as AWS documents its pricing:
//! - Lambda: an invocation each, and its duration rounded up to one millisecond, times the memory.
//! - DynamoDB: the consumed capacity that the database reports for each call.
//! - API Gateway WebSocket: messages in steps of 32 KB, both directions, and the minutes of connections.
//! - API Gateway HTTP: requests in steps of 512 KB.

use std::time::Duration;

/// A WebSocket message is billed in steps of this many bytes (API Gateway pricing).
pub const MESSAGE_STEP_BYTES: usize = 32 * 1024;

/// An HTTP API request is billed in steps of this many bytes (API Gateway pricing).
pub const HTTP_STEP_BYTES: usize = 512 * 1024;

/// Which way a WebSocket message went, seen from the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From a client.
    In,
    /// To a client: a route response or a post through `@connections`.
    Out,
}

/// The counters. One for a runner, shared by reference.
#[derive(Debug, Default)]
pub struct Meter {}

impl Meter {
    /// A function ran for `duration` (to its answer, failure or timeout) with `memory_mb` MB.
    pub fn record_invocation(&self, _function: &str, _duration: Duration, _memory_mb: u32) {}

    /// A function failed: it returned an error, panicked, crashed or timed out.
    pub fn record_error(&self, _function: &str) {}

    /// An invocation was refused because too many ran already. Throttles are not billed.
    pub fn record_throttle(&self, _function: &str) {}

    /// A call of `caller` to a table consumed capacity, in read and write units.
    pub fn record_capacity(&self, _caller: &str, _table: &str, _operation: &str, _read: f64, _write: f64) {}

    /// A WebSocket message of `bytes` payload bytes passed.
    pub fn record_message(&self, _direction: Direction, _bytes: usize) {}

    /// A WebSocket connection was accepted; its minutes run from here.
    pub fn record_connect(&self) {}

    /// A WebSocket connection that was accepted is gone; its minutes end here.
    pub fn record_disconnect(&self) {}

    /// An HTTP API request with a body of `bytes` was answered.
    pub fn record_http_request(&self, _bytes: usize) {}
}
