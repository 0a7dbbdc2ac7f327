//! Runs functions as Lambda does: one event in, one value out, within the function's time.

use serde_json::Value;
use thiserror::Error;

/// Why an invocation gave no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvokeError {
    /// The template has no function of this name.
    #[error("the template has no function {0}")]
    Unknown(String),
    /// Too many invocations run already (of this function, or in total).
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

/// What a test has in place of the functions.
#[cfg(test)]
pub(crate) type TestHandler = std::sync::Arc<
    dyn Fn(String, Value) -> futures_util::future::BoxFuture<'static, Result<Value, InvokeError>>
        + Send
        + Sync,
>;

/// Every function of the template, ready to run.
pub struct Lambda {
    #[cfg(test)]
    handler: Option<TestHandler>,
}

impl Lambda {
    /// Runs the function of this name (its `Handler` in the template) on an event, and gives what it returned.
    ///
    /// # Errors
    /// Every case of [`InvokeError`]; none of them ends the runner.
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, InvokeError> {
        #[cfg(test)]
        if let Some(handler) = &self.handler {
            return handler(function.to_owned(), event).await;
        }
        let _ = event;
        Err(InvokeError::Unknown(function.to_owned()))
    }

    /// A Lambda whose every function is this closure, for tests of the parts around it.
    #[cfg(test)]
    pub(crate) fn for_tests(handler: TestHandler) -> Lambda {
        Lambda {
            handler: Some(handler),
        }
    }
}
