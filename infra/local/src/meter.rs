//! Counts what AWS would bill, by function.
//!
//! Rules of the counts, as AWS documents its pricing:
//! - Lambda: an invocation each, and its duration rounded up to one millisecond, times the memory.
//! - DynamoDB on demand: the capacity units that the database reports as consumed by each call.
//! - API Gateway WebSocket: messages in steps of 32 KB, both directions, and the minutes of connections.
//! - API Gateway HTTP: requests in steps of 512 KB.
//! - SNS: requests, pushes, and text messages by their parts.
//!
//! Who counts calls a `record_` method; who reports takes a [`MeterSnapshot`] before and one after, and
//! subtracts them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

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

/// What was asked of SNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// Any request that SNS did; every push and every text is one too.
    Request,
    /// A push to a phone's platform.
    Push,
    /// A text message.
    Sms {
        /// Messages it is billed as: a long text is several.
        parts: u64,
    },
}

/// The counters. One for a runner, shared by reference.
#[derive(Debug)]
pub struct Meter {
    functions: Mutex<BTreeMap<String, FunctionUse>>,
    tables: Mutex<TableUses>,
    frames_in: AtomicU64,
    frames_out: AtomicU64,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    http_requests: AtomicU64,
    refused: AtomicU64,
    notifications: Mutex<NotificationUse>,
    connections: Mutex<ConnectionTime>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            functions: Mutex::default(),
            tables: Mutex::default(),
            frames_in: AtomicU64::new(0),
            frames_out: AtomicU64::new(0),
            messages_in: AtomicU64::new(0),
            messages_out: AtomicU64::new(0),
            http_requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            notifications: Mutex::default(),
            connections: Mutex::new(ConnectionTime {
                opened: 0,
                open: 0,
                total: Duration::ZERO,
                counted_until: Instant::now(),
            }),
        }
    }
}

impl Meter {
    /// A function ran for `duration` (to its answer, failure or timeout) with `memory_mb` MB. A cold start
    /// is billed too: its time is part of the duration.
    pub fn record_invocation(&self, function: &str, duration: Duration, memory_mb: u32) {
        self.update(function, |counts| {
            counts.invocations += 1;
            counts.billed_ms += whole_milliseconds(duration);
            counts.memory_mb = memory_mb;
        });
    }

    /// An invocation had to start an instance first.
    pub fn record_cold_start(&self, function: &str) {
        self.update(function, |counts| counts.cold_starts += 1);
    }

    /// A function failed: it returned an error, panicked, crashed or timed out.
    pub fn record_error(&self, function: &str) {
        self.update(function, |counts| counts.errors += 1);
    }

    /// An invocation was refused because too many ran already. Throttles are not billed.
    pub fn record_throttle(&self, function: &str) {
        self.update(function, |counts| counts.throttles += 1);
    }

    /// A call of `caller` to a table consumed capacity, in read and write units.
    pub fn record_capacity(&self, caller: &str, table: &str, operation: &str, read: f64, write: f64) {
        let mut tables = lock(&self.tables);
        in_entry(&mut tables, caller, |by_table| {
            in_entry(by_table, table, |by_operation| {
                in_entry(by_operation, operation, |counts| {
                    counts.calls += 1;
                    counts.read_units += read;
                    counts.write_units += write;
                });
            });
        });
    }

    /// A WebSocket message of `bytes` payload bytes passed; one from a client that was let in.
    pub fn record_message(&self, direction: Direction, bytes: usize) {
        let (frames, messages) = match direction {
            Direction::In => (&self.frames_in, &self.messages_in),
            Direction::Out => (&self.frames_out, &self.messages_out),
        };
        frames.fetch_add(1, Ordering::Relaxed);
        messages.fetch_add(steps(bytes, MESSAGE_STEP_BYTES), Ordering::Relaxed);
    }

    /// A WebSocket connection was accepted; its minutes run from here.
    pub fn record_connect(&self) {
        let mut connections = lock(&self.connections);
        connections.count_until(Instant::now());
        connections.opened += 1;
        connections.open += 1;
    }

    /// A WebSocket connection that was accepted is gone; its minutes end here.
    pub fn record_disconnect(&self) {
        let mut connections = lock(&self.connections);
        connections.count_until(Instant::now());
        connections.open = connections.open.saturating_sub(1);
    }

    /// An HTTP API request with a body of `bytes` was answered.
    pub fn record_http_request(&self, bytes: usize) {
        self.http_requests
            .fetch_add(steps(bytes, HTTP_STEP_BYTES), Ordering::Relaxed);
    }

    /// The gateway let a request or a message not in, because there were too many. Nobody is billed for it.
    pub fn record_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// SNS did what it was asked for.
    pub fn record_notification(&self, notification: Notification) {
        let mut counts = lock(&self.notifications);
        match notification {
            Notification::Request => counts.requests += 1,
            Notification::Push => counts.pushes += 1,
            Notification::Sms { parts } => {
                counts.sms += 1;
                counts.sms_parts += parts;
            }
        }
    }

    /// Everything counted so far.
    pub fn snapshot(&self) -> MeterSnapshot {
        let (connections, connection_time) = {
            let mut connections = lock(&self.connections);
            connections.count_until(Instant::now());
            (connections.opened, connections.total)
        };
        MeterSnapshot {
            functions: lock(&self.functions).clone(),
            tables: lock(&self.tables).clone(),
            gateway: GatewayUse {
                frames_in: self.frames_in.load(Ordering::Relaxed),
                frames_out: self.frames_out.load(Ordering::Relaxed),
                messages_in: self.messages_in.load(Ordering::Relaxed),
                messages_out: self.messages_out.load(Ordering::Relaxed),
                connections,
                connection_ms: u64::try_from(connection_time.as_millis()).unwrap_or(u64::MAX),
                http_requests: self.http_requests.load(Ordering::Relaxed),
                refused: self.refused.load(Ordering::Relaxed),
            },
            notifications: *lock(&self.notifications),
        }
    }

    fn update(&self, function: &str, change: impl FnOnce(&mut FunctionUse)) {
        in_entry(&mut lock(&self.functions), function, change);
    }
}

/// What calls to tables consumed: by caller (a function's name), table and operation.
pub type TableUses = BTreeMap<String, BTreeMap<String, BTreeMap<String, TableUse>>>;

/// What was counted up to a moment, or between two of them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MeterSnapshot {
    /// By function.
    pub functions: BTreeMap<String, FunctionUse>,
    /// By caller, table and operation.
    pub tables: TableUses,
    /// Of both APIs.
    pub gateway: GatewayUse,
    /// Of SNS.
    #[serde(default)]
    pub notifications: NotificationUse,
}

/// What a function was used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionUse {
    /// Invocations, whatever came of them. Throttled ones are not among them.
    pub invocations: u64,
    /// Milliseconds, each invocation rounded up.
    pub billed_ms: u64,
    /// MB of memory; times the milliseconds it makes the GB-seconds of the bill.
    pub memory_mb: u32,
    /// Invocations that had to start an instance first.
    pub cold_starts: u64,
    /// Invocations that failed or timed out.
    pub errors: u64,
    /// Invocations refused.
    pub throttles: u64,
}

/// What one operation of one caller consumed of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct TableUse {
    /// Calls that named the table.
    pub calls: u64,
    /// Read units: 4 KB each, half of one when eventually consistent.
    pub read_units: f64,
    /// Write units: 1 KB each, a failed condition included.
    pub write_units: f64,
}

/// What the two APIs were used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayUse {
    /// WebSocket messages from clients that were let in, as they came.
    pub frames_in: u64,
    /// WebSocket messages to clients, as they went.
    pub frames_out: u64,
    /// Messages from clients, as they are billed: in steps of [`MESSAGE_STEP_BYTES`].
    pub messages_in: u64,
    /// Messages to clients, as they are billed.
    pub messages_out: u64,
    /// Connections accepted.
    pub connections: u64,
    /// Milliseconds that connections were open, summed over them, those still open included.
    pub connection_ms: u64,
    /// HTTP requests, as they are billed: in steps of [`HTTP_STEP_BYTES`].
    pub http_requests: u64,
    /// Requests and messages that were too many, and were not let in.
    pub refused: u64,
}

/// What SNS was used for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationUse {
    /// Requests done, of every kind.
    pub requests: u64,
    /// Pushes handed to a platform.
    pub pushes: u64,
    /// Text messages.
    pub sms: u64,
    /// Text messages, as they are billed: a long text is several.
    pub sms_parts: u64,
}

impl GatewayUse {
    /// Connection minutes, as they are billed.
    pub fn connection_minutes(&self) -> f64 {
        Duration::from_millis(self.connection_ms).as_secs_f64() / 60.0
    }
}

impl MeterSnapshot {
    /// What was counted after `earlier` was taken. What did not change in between is left out.
    pub fn since(&self, earlier: &MeterSnapshot) -> MeterSnapshot {
        let none = FunctionUse::default();
        let functions = self
            .functions
            .iter()
            .map(|(name, now)| (name, now.since(earlier.functions.get(name).unwrap_or(&none))))
            .filter(|(_, change)| {
                FunctionUse {
                    memory_mb: 0,
                    ..*change
                } != FunctionUse::default()
            })
            .map(|(name, change)| (name.clone(), change))
            .collect();
        let mut tables = TableUses::new();
        for (caller, table, operation, now) in calls(&self.tables) {
            let before = earlier
                .tables
                .get(caller)
                .and_then(|t| t.get(table))
                .and_then(|o| o.get(operation));
            let change = now.since(before.unwrap_or(&TableUse::default()));
            if change.calls > 0 {
                let by_table = tables.entry(caller.to_owned()).or_default();
                let by_operation = by_table.entry(table.to_owned()).or_default();
                by_operation.insert(operation.to_owned(), change);
            }
        }
        MeterSnapshot {
            functions,
            tables,
            gateway: self.gateway.since(&earlier.gateway),
            notifications: self.notifications.since(&earlier.notifications),
        }
    }

    /// Read and write units of all callers, tables and operations together.
    pub fn total_units(&self) -> TableUse {
        let mut total = TableUse::default();
        for (_, _, _, used) in calls(&self.tables) {
            total.calls += used.calls;
            total.read_units += used.read_units;
            total.write_units += used.write_units;
        }
        total
    }
}

impl FunctionUse {
    fn since(&self, earlier: &FunctionUse) -> FunctionUse {
        FunctionUse {
            invocations: self.invocations.saturating_sub(earlier.invocations),
            billed_ms: self.billed_ms.saturating_sub(earlier.billed_ms),
            memory_mb: self.memory_mb,
            cold_starts: self.cold_starts.saturating_sub(earlier.cold_starts),
            errors: self.errors.saturating_sub(earlier.errors),
            throttles: self.throttles.saturating_sub(earlier.throttles),
        }
    }
}

impl TableUse {
    fn since(&self, earlier: &TableUse) -> TableUse {
        TableUse {
            calls: self.calls.saturating_sub(earlier.calls),
            read_units: self.read_units - earlier.read_units,
            write_units: self.write_units - earlier.write_units,
        }
    }
}

impl GatewayUse {
    fn since(&self, earlier: &GatewayUse) -> GatewayUse {
        GatewayUse {
            frames_in: self.frames_in.saturating_sub(earlier.frames_in),
            frames_out: self.frames_out.saturating_sub(earlier.frames_out),
            messages_in: self.messages_in.saturating_sub(earlier.messages_in),
            messages_out: self.messages_out.saturating_sub(earlier.messages_out),
            connections: self.connections.saturating_sub(earlier.connections),
            connection_ms: self.connection_ms.saturating_sub(earlier.connection_ms),
            http_requests: self.http_requests.saturating_sub(earlier.http_requests),
            refused: self.refused.saturating_sub(earlier.refused),
        }
    }
}

impl NotificationUse {
    fn since(&self, earlier: &NotificationUse) -> NotificationUse {
        NotificationUse {
            requests: self.requests.saturating_sub(earlier.requests),
            pushes: self.pushes.saturating_sub(earlier.pushes),
            sms: self.sms.saturating_sub(earlier.sms),
            sms_parts: self.sms_parts.saturating_sub(earlier.sms_parts),
        }
    }
}

/// Time of all connections together, without a record of each: between two changes, as many seconds pass
/// for each second as there are connections open.
#[derive(Debug)]
struct ConnectionTime {
    opened: u64,
    open: u32,
    total: Duration,
    counted_until: Instant,
}

impl ConnectionTime {
    fn count_until(&mut self, now: Instant) {
        self.total += now.duration_since(self.counted_until) * self.open;
        self.counted_until = now;
    }
}

fn calls(tables: &TableUses) -> impl Iterator<Item = (&str, &str, &str, &TableUse)> {
    tables.iter().flat_map(|(caller, by_table)| {
        by_table.iter().flat_map(move |(table, by_operation)| {
            by_operation
                .iter()
                .map(move |(operation, used)| (caller.as_str(), table.as_str(), operation.as_str(), used))
        })
    })
}

/// Changes what has this name; what is met for the first time begins with nothing.
fn in_entry<T: Default>(map: &mut BTreeMap<String, T>, name: &str, change: impl FnOnce(&mut T)) {
    match map.get_mut(name) {
        Some(existing) => change(existing),
        None => change(map.entry(name.to_owned()).or_default()),
    }
}

fn steps(bytes: usize, step: usize) -> u64 {
    // An empty message is a message.
    bytes.div_ceil(step).max(1) as u64
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counters have no state in between that a panic could leave behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_billed_in_steps_of_32_kb() {
        let meter = Meter::default();
        for bytes in [0, 1, 32 * 1024] {
            meter.record_message(Direction::In, bytes);
        }
        meter.record_message(Direction::Out, 33 * 1024);
        meter.record_message(Direction::Out, 128 * 1024);
        let gateway = meter.snapshot().gateway;
        assert_eq!((gateway.frames_in, gateway.messages_in), (3, 3));
        assert_eq!((gateway.frames_out, gateway.messages_out), (2, 2 + 4));
    }

    #[test]
    fn an_http_request_is_billed_in_steps_of_512_kb() {
        let meter = Meter::default();
        meter.record_http_request(0);
        meter.record_http_request(512 * 1024 + 1);
        assert_eq!(meter.snapshot().gateway.http_requests, 3);
    }

    #[test]
    fn a_duration_is_billed_by_the_begun_millisecond() {
        let meter = Meter::default();
        for micros in [1, 1000, 1001] {
            meter.record_invocation("send", Duration::from_micros(micros), 256);
        }
        let send = meter.snapshot().functions["send"];
        assert_eq!(
            (send.invocations, send.billed_ms, send.memory_mb),
            (3, 1 + 1 + 2, 256)
        );
    }

    #[test]
    fn a_text_is_one_message_and_as_many_as_it_is_billed_for() {
        let meter = Meter::default();
        meter.record_notification(Notification::Sms { parts: 2 });
        let earlier = meter.snapshot();
        meter.record_notification(Notification::Sms { parts: 1 });
        meter.record_notification(Notification::Push);
        let expected = NotificationUse {
            requests: 0,
            pushes: 1,
            sms: 1,
            sms_parts: 1,
        };
        assert_eq!(meter.snapshot().since(&earlier).notifications, expected);
        assert_eq!(earlier.notifications.sms_parts, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_are_billed_for_the_time_they_are_open_and_while_they_are() {
        let meter = Meter::default();
        tokio::time::advance(Duration::from_secs(60)).await;
        meter.record_connect();
        tokio::time::advance(Duration::from_secs(60)).await;
        meter.record_connect();
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(meter.snapshot().gateway.connection_minutes(), 2.0);
        meter.record_disconnect();
        meter.record_disconnect();
        tokio::time::advance(Duration::from_secs(60)).await;
        let gateway = meter.snapshot().gateway;
        assert_eq!((gateway.connections, gateway.connection_minutes()), (2, 2.0));
    }

    #[test]
    fn a_difference_holds_what_came_in_between_and_nothing_else() {
        let meter = Meter::default();
        meter.record_invocation("ack", Duration::from_millis(5), 256);
        meter.record_invocation("send", Duration::from_millis(5), 256);
        meter.record_capacity("send", "Mailbox", "PutItem", 0.0, 1.0);
        meter.record_capacity("send", "Devices", "Query", 1.0, 0.0);
        let earlier = meter.snapshot();
        meter.record_invocation("send", Duration::from_millis(7), 256);
        meter.record_error("send");
        meter.record_capacity("send", "Mailbox", "PutItem", 0.0, 3.0);
        let change = meter.snapshot().since(&earlier);
        let send = FunctionUse {
            invocations: 1,
            billed_ms: 7,
            memory_mb: 256,
            errors: 1,
            ..Default::default()
        };
        assert_eq!(change.functions, BTreeMap::from([("send".to_owned(), send)]));
        assert_eq!(
            change.total_units(),
            TableUse {
                calls: 1,
                read_units: 0.0,
                write_units: 3.0
            }
        );
        assert_eq!(change.tables["send"].keys().collect::<Vec<_>>(), ["Mailbox"]);
    }

    #[test]
    fn a_snapshot_survives_json() {
        let meter = Meter::default();
        meter.record_capacity("send", "Mailbox", "PutItem", 0.5, 1.0);
        meter.record_throttle("send");
        let snapshot = meter.snapshot();
        let json = serde_json::to_string(&snapshot).unwrap();
        assert_eq!(serde_json::from_str::<MeterSnapshot>(&json).unwrap(), snapshot);
    }
}
