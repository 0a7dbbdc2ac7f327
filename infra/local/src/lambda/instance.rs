//! One instance of a function: its process, its Runtime API, one event at a time.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::TaskTracker;

use super::InvokeError;
use super::environment::VERSION;
use super::runtime_api::{Invocation, RuntimeApi};
use crate::clock;
use crate::logs::{LINE_BYTES, Logs};
use crate::place::{ACCOUNT_ID, REGION};
use crate::template::FunctionSpec;

/// What a process gets to ask for its first event (Lambda's init phase).
pub(super) const INIT_TIME: Duration = Duration::from_secs(10);

/// A process that waits for an event, or works on one.
pub(super) struct Instance {
    child: Child,
    api: RuntimeApi,
    /// When it was last done with an event.
    pub(super) idle_since: Instant,
}

/// What came of an event.
pub(super) struct Answered {
    pub(super) outcome: Result<Value, InvokeError>,
    /// Whether the instance waits for the next event.
    pub(super) reusable: bool,
}

impl Instance {
    /// Starts a process and waits until it asks for its first event.
    pub(super) async fn start(
        binary: &Path,
        variables: &BTreeMap<String, String>,
        function: &FunctionSpec,
        logs: &Logs,
        tasks: &TaskTracker,
    ) -> Result<Self, InvokeError> {
        let cannot =
            |error: std::io::Error| InvokeError::failed("Runtime.InvalidEntrypoint", error.to_string());
        let api = RuntimeApi::listen().await.map_err(cannot)?;
        let stream = format!("[{VERSION}]{:x}", rand::random::<u128>());
        let mut command = Command::new(binary);
        command
            // Nothing of this process's own environment reaches a function.
            .env_clear()
            .envs(variables)
            .env("AWS_LAMBDA_RUNTIME_API", api.address.to_string())
            .env("AWS_LAMBDA_LOG_STREAM_NAME", stream)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C is for the runner, which ends its instances when they are done.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(cannot)?;
        if let Some(output) = child.stdout.take() {
            tasks.spawn(keep_lines(output, logs.clone(), function.handler.clone()));
        }
        if let Some(output) = child.stderr.take() {
            tasks.spawn(keep_lines(output, logs.clone(), function.handler.clone()));
        }
        let mut instance = Self {
            child,
            api,
            idle_since: Instant::now(),
        };
        let deadline = Instant::now() + INIT_TIME;
        let ready = tokio::select! {
            biased;
            ready = instance.api.ready_after(0) => ready,
            status = instance.child.wait() => Err(exited(status)),
            () = tokio::time::sleep_until(deadline) => {
                Err(InvokeError::failed("Sandbox.Timedout", "the function did not start in time"))
            }
        };
        match ready {
            Ok(()) => Ok(instance),
            Err(error) => {
                instance.end().await;
                Err(error)
            }
        }
    }

    /// Gives the instance an event and waits for its answer, at most for `time`; then it is killed.
    pub(super) async fn invoke(&mut self, function: &FunctionSpec, event: Bytes, time: Duration) -> Answered {
        let deadline = Instant::now() + time;
        let polls = self.api.polls();
        let (answer, mut answered) = oneshot::channel();
        let invocation = invocation(function, event, time, answer);
        let broken = |outcome| Answered {
            outcome: Err(outcome),
            reusable: false,
        };
        if let Err(error) = self.api.give(invocation).await {
            return broken(error);
        }
        let outcome = tokio::select! {
            biased;
            outcome = &mut answered => outcome,
            status = self.child.wait() => return broken(exited(status)),
            () = tokio::time::sleep_until(deadline) => {
                self.kill().await;
                return broken(InvokeError::TimedOut);
            }
        };
        let Ok(outcome) = outcome else {
            return broken(InvokeError::failed(
                "Runtime.Unknown",
                "the Runtime API has ended",
            ));
        };
        // The instance is done with the event when it asks for the next one; so it is with Lambda.
        let reusable = tokio::select! {
            biased;
            done = timeout_at(deadline, self.api.ready_after(polls)) => matches!(done, Ok(Ok(()))),
            _ = self.child.wait() => false,
        };
        self.idle_since = Instant::now();
        Answered { outcome, reusable }
    }

    /// Whether the process still runs.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the process, unless it has ended by itself, and waits for its end.
    pub(super) async fn end(mut self) {
        self.kill().await;
    }

    /// The process alone, its API closed.
    #[cfg(test)]
    pub(super) fn lose_runtime_api(self) -> Child {
        self.child
    }

    async fn kill(&mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::debug!(%error, "an instance had ended before it was killed");
        }
    }
}

fn invocation(
    function: &FunctionSpec,
    event: Bytes,
    time: Duration,
    answer: oneshot::Sender<Result<Value, InvokeError>>,
) -> Invocation {
    let now = clock::since_epoch();
    Invocation {
        request_id: uuid::Builder::from_random_bytes(rand::random())
            .into_uuid()
            .to_string(),
        deadline_ms: (now + time).as_millis(),
        arn: format!("arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{}", function.name),
        trace_id: format!(
            "Root=1-{:08x}-{:024x};Sampled=0",
            now.as_secs(),
            rand::random::<u128>() >> 32
        ),
        event,
        answer,
    }
}

fn exited(status: std::io::Result<ExitStatus>) -> InvokeError {
    let how = match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(0), _) => "the process ended without an answer".to_owned(),
            (Some(code), _) => format!("the process ended with exit status {code}"),
            (None, Some(signal)) => format!("the process was ended by signal {signal}"),
            (None, None) => "the process ended".to_owned(),
        },
        Err(error) => format!("the process is lost: {error}"),
    };
    InvokeError::failed("Runtime.ExitError", how)
}

/// Keeps what a process writes, line by line, until it closes its end.
async fn keep_lines(output: impl AsyncRead + Unpin, logs: Logs, function: String) {
    let mut output = BufReader::new(output);
    let mut line = Vec::new();
    loop {
        let read = match output.fill_buf().await {
            Ok(bytes) if !bytes.is_empty() => bytes,
            _ => break,
        };
        let end = read.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(read.len(), |end| end + 1);
        // What is longer than a line may be is read on, and not kept.
        let room = LINE_BYTES.saturating_sub(line.len());
        line.extend(read.iter().take(end.unwrap_or(read.len()).min(room)));
        output.consume(used);
        if end.is_some() {
            logs.record(&function, &String::from_utf8_lossy(&line));
            line.clear();
        }
    }
    if !line.is_empty() {
        logs.record(&function, &String::from_utf8_lossy(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn output_is_kept_by_lines_and_no_line_is_longer_than_it_may_be() {
        let logs = Logs::default();
        let long = "x".repeat(3 * LINE_BYTES);
        let output = format!("one\n\n{long}\nlast");
        keep_lines(output.as_bytes(), logs.clone(), "send".to_owned()).await;
        let lines = logs.recent();
        assert_eq!(lines.len(), 4);
        assert_eq!(
            (lines[0].as_str(), lines[1].as_str(), lines[3].as_str()),
            ("send: one", "send: ", "send: last")
        );
        assert_eq!(lines[2].len(), "send: ".len() + LINE_BYTES);
    }
}
