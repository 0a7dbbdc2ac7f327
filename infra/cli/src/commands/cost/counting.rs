//! What happened between two moments, by function: the runner's meter and the frames that passed, as one
//! [`Usage`].
//!
//! The meter knows functions and tables; frames are told apart here. A frame from a client belongs to the function
//! of its route, a reply to the function of the request it repeats, news to the function that posts such news.
//! Everything is checked against the meter: what cannot be told apart is an error, not a guess.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use serde_json::Value;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};
use waxwing_cost::{FunctionUsage, Usage};
use waxwing_local::{
    gateway::ObservedFrame,
    meter::{Direction, MESSAGE_STEP_BYTES, MeterSnapshot},
    runner::Runner,
};

/// How often to look whether what must have happened was counted. Functions end without telling this process.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// What must have happened was counted by then, or never will be.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes that CloudWatch adds to each log line.
const LOG_LINE_OVERHEAD_BYTES: usize = 26;

/// News, and the function that posts it most.
const NEWS: [(&str, &str); 7] = [
    ("delivery", "send"),
    ("ephemeral", "ephemeral"),
    ("prekeys_low", "claim"),
    ("devices_changed", "answer"),
    ("link_requested", "link"),
    ("registration_attempted", "register"),
    ("removed", "revoke"),
];

/// The function that publishes alerts, while no device leaves with something unacked and nothing fails.
const ALERTING: &str = "send";

/// Functions that count something in the table of limits besides requests: the writes of these are their own.
const COUNTING_MORE: [&str; 5] = ["claim", "challenge", "confirm", "register", "link"];

/// Functions whose requests are not counted: nobody is known to have made them yet, or they are no requests.
const UNCOUNTED: [&str; 7] = [
    "authorize",
    "challenge",
    "confirm",
    "disconnect",
    "link",
    "register",
    "wake",
];

/// Why a use case was not counted.
#[derive(Debug, thiserror::Error)]
pub enum CountError {
    /// Something that must happen did not.
    #[error("{what} was not counted within {} s: {counted}", PATIENCE.as_secs())]
    Missing {
        /// What was waited for.
        what: &'static str,
        /// What was counted instead.
        counted: String,
    },
    /// Too many frames passed to look at each.
    #[error("{0} frames passed unseen; run the command again on a machine that is less busy")]
    Unseen(u64),
    /// A use case took more or less than it consists of.
    #[error("{use_case} was counted as {counted}; something else ran meanwhile")]
    Unexpected {
        /// Which use case.
        use_case: &'static str,
        /// What was counted.
        counted: String,
    },
}

/// Counts from one moment to the next.
pub(super) struct Counter<'a> {
    runner: &'a Runner,
    http_functions: BTreeSet<String>,
    limits_table: Option<String>,
    observed: Receiver<ObservedFrame>,
    begin: MeterSnapshot,
    begin_lines: usize,
    frames: Frames,
    /// Functions of requests that were not replied to yet, by connection and request.
    asked: BTreeMap<(String, u64), String>,
}

/// Frames since the last moment.
#[derive(Default)]
struct Frames {
    usage: BTreeMap<String, FunctionUsage>,
    ciphertext_bytes: Option<usize>,
}

/// What was counted between two moments.
#[derive(Clone, Debug)]
pub(super) struct Counted {
    /// By function.
    pub(super) usage: Usage,
    /// Milliseconds of each function's invocations together, on this machine.
    pub(super) local_ms: BTreeMap<String, u64>,
    /// Bytes of the last ciphertext delivered.
    pub(super) ciphertext_bytes: Option<usize>,
}

impl<'a> Counter<'a> {
    pub(super) fn new(runner: &'a Runner) -> Self {
        let http = runner.template().http.iter().flat_map(|api| &api.routes);
        Self {
            runner,
            http_functions: http.map(|route| route.function.clone()).collect(),
            limits_table: runner.table_name("LimitsTable"),
            observed: runner.observe_frames(),
            begin: runner.meter(),
            begin_lines: runner.logs().len(),
            frames: Frames::default(),
            asked: BTreeMap::new(),
        }
    }

    /// Counts from now on.
    pub(super) fn begin(&mut self) -> Result<(), CountError> {
        self.look_at_frames()?;
        self.frames = Frames::default();
        self.begin = self.runner.meter();
        self.begin_lines = self.runner.logs().len();
        Ok(())
    }

    /// What was counted, once `is_all` says so of it and every frame was told apart.
    pub(super) async fn end(
        &mut self,
        what: &'static str,
        is_all: impl Fn(&Usage) -> bool,
    ) -> Result<Counted, CountError> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let since = self.runner.meter().since(&self.begin);
            self.look_at_frames()?;
            let usage = self.usage(&since);
            if frames_agree(&usage, &since) && is_all(&usage) {
                let ms = since.functions.iter();
                return Ok(Counted {
                    local_ms: ms
                        .map(|(name, function)| (name.clone(), function.billed_ms))
                        .collect(),
                    ciphertext_bytes: self.frames.ciphertext_bytes,
                    usage,
                });
            }
            if tokio::time::Instant::now() >= deadline {
                let counted = format!("{:?}", usage.functions);
                return Err(CountError::Missing { what, counted });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn usage(&self, since: &MeterSnapshot) -> Usage {
        let mut functions = self.frames.usage.clone();
        for (name, function) in &since.functions {
            let usage = functions.entry(name.clone()).or_default();
            usage.invocations = count(function.invocations);
            if self.http_functions.contains(name) {
                usage.http_requests = usage.invocations;
            }
            for (table, calls) in since.tables.get(name).into_iter().flatten() {
                if self.only_counts_requests(name, table) {
                    continue;
                }
                for (operation, call) in calls {
                    if is_read(operation) {
                        usage.read_calls += count(call.calls);
                    } else {
                        usage.write_calls += count(call.calls);
                    }
                    usage.read_units += call.read_units;
                    usage.write_units += call.write_units;
                }
            }
        }
        let pushes = count(since.notifications.pushes);
        if pushes > 0.0 {
            functions.entry(ALERTING.to_owned()).or_default().pushes = pushes;
        }
        let lines = self.runner.logs();
        for line in lines.iter().skip(self.begin_lines) {
            if let Some((function, text)) = line.split_once(": ") {
                let usage = functions.entry(function.to_owned()).or_default();
                usage.log_bytes += bytes(text.len() + LOG_LINE_OVERHEAD_BYTES);
            }
        }
        Usage { functions }
    }

    /// Requests are written down every so often, by chance: left out of single use cases, see [`Self::counting`].
    fn only_counts_requests(&self, function: &str, table: &str) -> bool {
        self.limits_table.as_deref() == Some(table) && !COUNTING_MORE.contains(&function)
    }

    /// Write units that counting one request takes on the average, to a sixteenth, by all requests so far.
    pub(super) fn counting(&self) -> f64 {
        let all = self.runner.meter();
        let (mut requests, mut units) = (0.0, 0.0);
        for (name, function) in &all.functions {
            if UNCOUNTED.contains(&name.as_str()) || COUNTING_MORE.contains(&name.as_str()) {
                continue;
            }
            requests += count(function.invocations);
            for (table, calls) in all.tables.get(name).into_iter().flatten() {
                if self.only_counts_requests(name, table) {
                    units += calls.values().map(|call| call.write_units).sum::<f64>();
                }
            }
        }
        if requests > 0.0 {
            (units / requests * 16.0).round() / 16.0
        } else {
            0.0
        }
    }

    fn look_at_frames(&mut self) -> Result<(), CountError> {
        loop {
            match self.observed.try_recv() {
                Ok(frame) => self.look_at(&frame),
                Err(TryRecvError::Lagged(unseen)) => return Err(CountError::Unseen(unseen)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(()),
            }
        }
    }

    fn look_at(&mut self, frame: &ObservedFrame) {
        let json: Value = serde_json::from_str(&frame.text).unwrap_or_default();
        let steps = bytes(frame.text.len().div_ceil(MESSAGE_STEP_BYTES).max(1));
        let request = json.get("request").and_then(Value::as_u64);
        let key = request.map(|request| (frame.connection_id.to_string(), request));
        if frame.direction == Direction::In {
            let function = json.get("action").and_then(Value::as_str).unwrap_or("reject");
            self.frames.of(function).frames_in += steps;
            if let Some(key) = key {
                self.asked.insert(key, function.to_owned());
            }
        } else if let Some(function) = key.and_then(|key| self.asked.remove(&key)) {
            let usage = self.frames.of(&function);
            usage.replies += steps;
            usage.reply_bytes += bytes(frame.text.len());
        } else {
            let kind = json.get("type").and_then(Value::as_str).unwrap_or_default();
            let poster = NEWS.iter().find(|(news, _)| *news == kind);
            let usage = self.frames.of(poster.map_or("reject", |(_, function)| function));
            usage.posts += steps;
            usage.post_bytes += bytes(frame.text.len());
            let ciphertext = json.pointer("/envelopes/0/ciphertext").and_then(Value::as_str);
            if let Some(ciphertext) = ciphertext {
                // Unpadded base64: four characters for three bytes.
                self.frames.ciphertext_bytes = Some(ciphertext.len() * 3 / 4);
            }
        }
    }
}

impl Frames {
    fn of(&mut self, function: &str) -> &mut FunctionUsage {
        self.usage.entry(function.to_owned()).or_default()
    }
}

/// Adds to each request the share of a write that counting it takes.
pub(super) fn with_counting(usage: &Usage, units_each: f64) -> Usage {
    let counted = usage.functions.iter().map(|(name, usage)| {
        let is_counted = !UNCOUNTED.contains(&name.as_str());
        let units = if is_counted {
            usage.invocations * units_each
        } else {
            0.0
        };
        let usage = FunctionUsage {
            write_calls: usage.write_calls + units,
            write_units: usage.write_units + units,
            ..*usage
        };
        (name.clone(), usage)
    });
    Usage {
        functions: counted.collect(),
    }
}

/// Whether every frame that the meter billed was told apart. HTTP requests need no telling apart; and one that was
/// under way at the first moment is billed before it and its invocation after.
fn frames_agree(usage: &Usage, since: &MeterSnapshot) -> bool {
    let total = usage.total();
    let gateway = &since.gateway;
    total.frames_in == count(gateway.messages_in)
        && total.replies + total.posts == count(gateway.messages_out)
}

fn is_read(operation: &str) -> bool {
    ["Get", "BatchGet", "Query", "Scan", "TransactGet"]
        .iter()
        .any(|read| operation.starts_with(read))
}

#[allow(clippy::cast_precision_loss, reason = "counts of a short run are exact")]
fn count(count: u64) -> f64 {
    count as f64
}

#[allow(clippy::cast_precision_loss, reason = "bytes of a short run are exact")]
fn bytes(bytes: usize) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_only_look_are_reads() {
        for (operation, read) in [
            ("GetItem", true),
            ("Query", true),
            ("BatchGetItem", true),
            ("TransactGetItems", true),
            ("PutItem", false),
            ("BatchWriteItem", false),
            ("TransactWriteItems", false),
            ("UpdateItem", false),
            ("DeleteItem", false),
        ] {
            assert_eq!(is_read(operation), read, "{operation}");
        }
    }
}
