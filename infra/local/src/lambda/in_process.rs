//! Functions inside this process: the handlers are called directly, over the SDK's own clients, whose
//! requests the connector hands to the AWS front.
//!
//! All invocations of a function share one backend. A handler that never awaits cannot be stopped at its timeout;
//! processes can.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{HttpClient, SharedHttpClient};
use futures_util::FutureExt;
use serde_json::Value;
use thiserror::Error;
use tokio::time::Instant;
use tracing::Dispatch;
use tracing::instrument::WithSubscriber;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use waxwing_functions::config::{Environment, EnvironmentError};
use waxwing_functions::{Backend, Clock, FunctionError};

use super::environment;
use super::{InvokeError, Run};
use crate::logs::Logs;
use crate::template::FunctionSpec;

/// A function cannot run with the environment the template gives it.
#[derive(Debug, Error)]
#[error("{function} cannot run: {source}")]
pub struct PrepareError {
    /// The function.
    pub function: String,
    /// What is wrong with its environment.
    pub source: EnvironmentError,
}

/// Every function, with its own configuration and credentials.
pub struct InProcess {
    functions: BTreeMap<String, Prepared>,
}

struct Prepared {
    backend: Backend,
    subscriber: Dispatch,
}

impl InProcess {
    /// Prepares functions that call AWS through `http_client` and read a clock moved by `clock_offset` seconds.
    ///
    /// # Errors
    /// [`PrepareError`] names the first function whose environment is wrong.
    pub fn prepare<'a>(
        functions: impl IntoIterator<Item = &'a FunctionSpec>,
        aws_endpoint: &str,
        http_client: impl HttpClient + Clone + 'static,
        clock_offset: &Arc<AtomicI64>,
        logs: &Logs,
    ) -> Result<Self, PrepareError> {
        let http_client = SharedHttpClient::new(http_client);
        let prepare = |function: &FunctionSpec| {
            let variables = environment::variables(function, aws_endpoint);
            let environment =
                Environment::read(|name| variables.get(name).cloned()).map_err(|source| PrepareError {
                    function: function.logical_id.clone(),
                    source,
                })?;
            let clock = Clock::with_offset(Arc::clone(clock_offset));
            let prepared = Prepared {
                subscriber: subscriber(&environment, logs),
                backend: Backend::new(&environment.backend, clock, Some(http_client.clone())),
            };
            Ok((function.handler.clone(), prepared))
        };
        Ok(Self {
            functions: functions.into_iter().map(prepare).collect::<Result<_, _>>()?,
        })
    }

    pub(super) async fn run(&self, spec: &FunctionSpec, event: Value) -> Result<Run, InvokeError> {
        let prepared = self.functions.get(&spec.handler);
        let prepared = prepared.ok_or_else(|| InvokeError::Unknown(spec.handler.clone()))?;
        let started = Instant::now();
        let handler = waxwing_functions::invoke(&spec.handler, &prepared.backend, event);
        let handler = handler.with_subscriber(prepared.subscriber.clone());
        let outcome = supervise(handler, timeout(spec)).await;
        Ok(Run {
            outcome,
            billed: started.elapsed(),
            start: None,
        })
    }
}

/// Runs a handler for at most `time`. It may fail, panic or stay; none of it reaches the caller but as an answer.
async fn supervise(
    handler: impl Future<Output = Result<Value, FunctionError>>,
    time: Duration,
) -> Result<Value, InvokeError> {
    // A panic unwinds through this one future, whose state is dropped with it; what it shares with others are
    // SDK clients, which hold no lock across a call.
    let handler = AssertUnwindSafe(handler).catch_unwind();
    match tokio::time::timeout(time, handler).await {
        Ok(Ok(answer)) => answer.map_err(|error| InvokeError::failed(error.name(), error.to_string())),
        Ok(Err(panic)) => Err(InvokeError::failed("Runtime.Panic", panic_message(&*panic))),
        Err(_) => Err(InvokeError::TimedOut),
    }
}

fn timeout(spec: &FunctionSpec) -> Duration {
    Duration::from_secs(u64::from(spec.timeout_seconds))
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("the handler panicked").to_owned()
}

/// What the function traces goes to the logs, as the lines its process would write.
fn subscriber(environment: &Environment, logs: &Logs) -> Dispatch {
    let lines = Lines {
        logs: logs.clone(),
        function: environment.function.name,
    };
    let layer = tracing_subscriber::fmt::layer().json().with_writer(lines);
    Dispatch::new(
        tracing_subscriber::registry()
            .with(environment.log_filter())
            .with(layer),
    )
}

/// Writes each event as one line of the logs.
#[derive(Clone)]
struct Lines {
    logs: Logs,
    function: &'static str,
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.logs
            .record(self.function, String::from_utf8_lossy(line).trim_end());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(level: &str) -> Environment {
        let url = "https://api.example/prod";
        let read = Environment::read(|name| match name {
            "_HANDLER" => Some("send".to_owned()),
            "LOG_LEVEL" => Some(level.to_owned()),
            "CONNECTIONS_ENDPOINT" | "AWS_ENDPOINT_URL" => Some(url.to_owned()),
            "METRICS" => Some("off".to_owned()),
            "REQUESTS_PER_MINUTE" => Some("500".to_owned()),
            "PHONE_HASH_KEY" | "SMS_DAILY_CEILING" => None,
            _ => Some("set".to_owned()),
        });
        read.unwrap()
    }

    #[test]
    fn what_a_function_traces_is_a_line_of_its_logs() {
        let logs = Logs::default();
        let subscriber = subscriber(&environment("warn"), &logs);
        tracing::dispatcher::with_default(&subscriber, || {
            tracing::warn!(target: "waxwing_functions", count = 3, "a lost race");
            tracing::info!(target: "waxwing_functions", "not at this level");
        });
        let lines = logs.recent();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("send: {") && lines[0].contains("a lost race"),
            "{lines:?}"
        );
    }

    const TIME: Duration = Duration::from_secs(10);

    async fn failure(handler: impl Future<Output = Result<Value, FunctionError>>) -> (String, String) {
        match supervise(handler, TIME).await {
            Err(InvokeError::Failed { kind, message }) => (kind, message),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn an_error_is_named_as_the_runtime_names_it() {
        let (kind, message) = failure(async { Err(FunctionError::Unauthorized) }).await;
        assert_eq!(
            (kind.as_str(), message.as_str()),
            ("Unauthorized", "Unauthorized")
        );
    }

    #[tokio::test]
    async fn a_panic_is_a_function_error_in_its_own_words() {
        let (kind, message) = failure(async { panic!("plain") }).await;
        assert_eq!((kind.as_str(), message.as_str()), ("Runtime.Panic", "plain"));
        let number = 1;
        assert_eq!(failure(async { panic!("with {number}") }).await.1, "with 1");
        assert_eq!(
            failure(async { std::panic::panic_any(number) }).await.1,
            "the handler panicked"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_stays_is_dropped_at_its_timeout() {
        let started = Instant::now();
        let (held, dropped) = tokio::sync::oneshot::channel::<()>();
        let handler = async {
            let _held = held;
            std::future::pending().await
        };
        assert_eq!(supervise(handler, TIME).await, Err(InvokeError::TimedOut));
        assert_eq!(started.elapsed(), TIME);
        assert!(dropped.await.is_err());
    }
}
