//! Runs functions as Lambda does: one event in, one value out, within the function's time.
//!
//! Two ways, chosen when the runner starts. `in_process` calls the handlers directly: fast, and debuggable with
//! nothing in between. `processes` starts the binary that would be deployed and talks to it over the Lambda
//! `runtime_api`: as in the cloud, with instances that start cold, stay warm, crash and are killed.
//!
//! What both have in common is here: an invocation runs to its end even if nobody waits for its answer; it
//! is counted, and billed by the millisecond; too many at once are throttled; a failure is an answer and
//! ends nothing else.

pub mod binary;
pub mod environment;
mod in_process;
mod instance;
mod processes;
mod runtime_api;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::logs::Logs;
use crate::meter::Meter;
use crate::template::FunctionSpec;
pub use in_process::{InProcess, PrepareError};
pub use processes::{ProcessLimits, Processes};

/// Invocations at once, of all functions: AWS's default for an account.
pub const CONCURRENT_INVOCATIONS: usize = 1000;

/// Invocations at once of one function: AWS keeps 100 of an account's for the others when one is given all it
/// can have.
pub const CONCURRENT_PER_FUNCTION: usize = 900;

/// What running invocations get to end by themselves when the runner ends.
const END_GRACE: Duration = Duration::from_secs(5);

/// Invocations that an observer may be behind: more than a story of some hundred messages makes.
const MAX_UNSEEN_INVOCATIONS: usize = 2048;

/// What an invocation took, for whoever measures functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedInvocation {
    /// Which function.
    pub function: String,
    /// From the start of a process to its first poll, if one had to be started.
    pub start: Option<Duration>,
    /// From the event to the next poll, without the start.
    pub duration: Duration,
    /// Whether it gave an error instead of a value.
    pub failed: bool,
}

/// Why an invocation gave no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvokeError {
    /// The template has no function of this name.
    #[error("the template has no function {0}")]
    Unknown(String),
    /// Too many invocations run already (of this function, or in total), or the runner is ending.
    #[error("too many invocations at once")]
    Throttled,
    /// The function did not answer within the `Timeout` of the template.
    #[error("the function did not answer in time")]
    TimedOut,
    /// The function answered with an error, panicked, or its process ended.
    #[error("the function failed: {kind}: {message}")]
    Failed {
        /// What the runtime calls it (`errorType`).
        kind: String,
        /// What it says (`errorMessage`).
        message: String,
    },
}

impl InvokeError {
    pub(crate) fn failed(kind: &str, message: impl Into<String>) -> Self {
        Self::Failed {
            kind: kind.to_owned(),
            message: message.into(),
        }
    }
}

/// How the functions run.
pub enum Executor {
    /// Inside this process.
    InProcess(InProcess),
    /// As processes over the Runtime API.
    Processes(Processes),
    /// A test's closure in place of every function.
    #[cfg(test)]
    Test(TestHandler),
}

/// What a test has in place of the functions.
#[cfg(test)]
pub(crate) type TestHandler = Arc<
    dyn Fn(String, Value) -> futures_util::future::BoxFuture<'static, Result<Value, InvokeError>>
        + Send
        + Sync,
>;

/// How many invocations may run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Concurrency {
    /// Of all functions.
    pub total: usize,
    /// Of one.
    pub per_function: usize,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self {
            total: CONCURRENT_INVOCATIONS,
            per_function: CONCURRENT_PER_FUNCTION,
        }
    }
}

/// Every function of the template, ready to run. Cheap to clone: all clones share everything.
#[derive(Clone)]
pub struct Lambda {
    shared: Arc<Shared>,
}

struct Shared {
    functions: BTreeMap<String, Function>,
    executor: Executor,
    total: Arc<Semaphore>,
    meter: Arc<Meter>,
    logs: Logs,
    observers: broadcast::Sender<ObservedInvocation>,
    tasks: TaskTracker,
    ending: CancellationToken,
}

struct Function {
    spec: Arc<FunctionSpec>,
    concurrency: Arc<Semaphore>,
}

/// What came of an invocation, and what it took.
struct Run {
    outcome: Result<Value, InvokeError>,
    billed: Duration,
    /// What of it was the start of an instance.
    start: Option<Duration>,
}

impl Lambda {
    /// These functions, run by `executor`.
    pub fn new<'a>(
        functions: impl IntoIterator<Item = &'a FunctionSpec>,
        executor: Executor,
        concurrency: Concurrency,
        meter: Arc<Meter>,
        logs: Logs,
    ) -> Self {
        let function = |spec: &FunctionSpec| Function {
            spec: Arc::new(spec.clone()),
            concurrency: Arc::new(Semaphore::new(concurrency.per_function)),
        };
        let functions = functions
            .into_iter()
            .map(|spec| (spec.handler.clone(), function(spec)));
        Self {
            shared: Arc::new(Shared {
                functions: functions.collect(),
                executor,
                total: Arc::new(Semaphore::new(concurrency.total)),
                meter,
                logs,
                observers: broadcast::Sender::new(MAX_UNSEEN_INVOCATIONS),
                tasks: TaskTracker::new(),
                ending: CancellationToken::new(),
            }),
        }
    }

    /// Runs the function of this name (its `Handler` in the template) on an event, and gives what it returned.
    ///
    /// The function runs on when the caller stops waiting, as it does in AWS.
    ///
    /// # Errors
    /// Every case of [`InvokeError`]; none of them ends the runner.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, InvokeError> {
        #[cfg(test)]
        if let Executor::Test(handler) = &self.shared.executor {
            return handler(function.to_owned(), event).await;
        }
        let found = self.shared.functions.get(function);
        let found = found.ok_or_else(|| InvokeError::Unknown(function.to_owned()))?;
        let Some(permits) = self.shared.admit(found) else {
            self.shared.meter.record_throttle(function);
            return Err(InvokeError::Throttled);
        };
        let shared = Arc::clone(&self.shared);
        let spec = Arc::clone(&found.spec);
        let task = self.shared.tasks.spawn(async move {
            let outcome = tokio::select! {
                outcome = shared.run(&spec, event) => outcome,
                () = shared.ending.cancelled() => Err(InvokeError::failed("Runner.Ended", "the runner ended")),
            };
            drop(permits);
            outcome
        });
        task.await
            .unwrap_or_else(|error| Err(InvokeError::failed("Runner.Failed", error.to_string())))
    }

    /// Every invocation from now on, when it has ended. Who falls behind is told how many were missed.
    pub fn observe(&self) -> broadcast::Receiver<ObservedInvocation> {
        self.shared.observers.subscribe()
    }

    /// Ends everything: new invocations are refused, running ones get a few seconds, then processes are ended.
    pub async fn shutdown(&self) {
        let shared = &self.shared;
        shared.total.close();
        shared.tasks.close();
        if tokio::time::timeout(END_GRACE, shared.tasks.wait())
            .await
            .is_err()
        {
            shared.ending.cancel();
            shared.tasks.wait().await;
        }
        if let Executor::Processes(processes) = &shared.executor {
            processes.shutdown().await;
        }
    }

    /// A Lambda whose every function is this closure, for tests of the parts around it.
    #[cfg(test)]
    pub(crate) fn for_tests(handler: TestHandler) -> Self {
        let none: [&FunctionSpec; 0] = [];
        Self::new(
            none,
            Executor::Test(handler),
            Concurrency::default(),
            Arc::default(),
            Logs::default(),
        )
    }
}

impl Shared {
    fn admit(&self, function: &Function) -> Option<[OwnedSemaphorePermit; 2]> {
        let total = Arc::clone(&self.total).try_acquire_owned().ok()?;
        let own = Arc::clone(&function.concurrency).try_acquire_owned().ok()?;
        Some([own, total])
    }

    async fn run(&self, spec: &Arc<FunctionSpec>, event: Value) -> Result<Value, InvokeError> {
        let run = match &self.executor {
            Executor::InProcess(in_process) => in_process.run(spec, event).await,
            Executor::Processes(processes) => processes.run(spec, event).await,
            #[cfg(test)]
            Executor::Test(_) => Err(InvokeError::Unknown(spec.handler.clone())),
        };
        let function = spec.handler.as_str();
        // Without a run there was nothing to bill: no process became free in time.
        let run = run.inspect_err(|_| self.meter.record_throttle(function))?;
        self.meter.record_invocation(function, run.billed, spec.memory_mb);
        if run.start.is_some() {
            self.meter.record_cold_start(function);
        }
        if let Err(error) = &run.outcome {
            self.meter.record_error(function);
            self.logs.record(function, &error.to_string());
        }
        // An error says that nobody observes.
        let _ = self.observers.send(ObservedInvocation {
            function: function.to_owned(),
            start: run.start,
            duration: run.billed.saturating_sub(run.start.unwrap_or_default()),
            failed: run.outcome.is_err(),
        });
        run.outcome
    }
}

#[cfg(test)]
mod tests;
