//! The Lambda functions.

use serde_json::Value;

// What a caller needs to make a backend: the local runner knows this crate and not the backend's.
pub use waxwing_backend::{Backend, Clock, Config, config::ConfigError};

/// What invokes a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// API Gateway asks whether a WebSocket may open.
    Authorizer,
    /// A route of the WebSocket API.
    WebSocket {
        /// The route's key.
        route: &'static str,
    },
    /// A route of the HTTP API.
    Http {
        /// The method.
        method: &'static str,
        /// The path, with parameters in braces.
        path: &'static str,
    },
}

/// One Lambda function.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// Its name: the template's `Handler`.
    pub name: &'static str,
    /// What invokes it.
    pub trigger: Trigger,
}

/// Why an invocation failed.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// There is no function of this name.
    #[error("there is no function of this name")]
    Unknown,
    /// The event is not one this function takes.
    #[error("the event is not one this function takes: {0}")]
    Event(#[from] serde_json::Error),
    /// The authorizer's no, in the word API Gateway turns into 401.
    #[error("Unauthorized")]
    Unauthorized,
    /// The function could not do its work. Try again.
    #[error("the service could not answer")]
    Unavailable,
}

/// Every function of the template.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "authorize",
        trigger: Trigger::Authorizer,
    },
    Function {
        name: "connect",
        trigger: Trigger::WebSocket { route: "$connect" },
    },
    Function {
        name: "disconnect",
        trigger: Trigger::WebSocket { route: "$disconnect" },
    },
    Function {
        name: "send",
        trigger: Trigger::WebSocket { route: "send" },
    },
    Function {
        name: "ack",
        trigger: Trigger::WebSocket { route: "ack" },
    },
    Function {
        name: "receive",
        trigger: Trigger::WebSocket { route: "receive" },
    },
    Function {
        name: "claim",
        trigger: Trigger::WebSocket { route: "claim" },
    },
    Function {
        name: "reject",
        trigger: Trigger::WebSocket { route: "$default" },
    },
    Function {
        name: "register",
        trigger: Trigger::Http {
            method: "POST",
            path: "/v1/accounts",
        },
    },
    Function {
        name: "link",
        trigger: Trigger::Http {
            method: "POST",
            path: "/v1/devices",
        },
    },
    Function {
        name: "upload",
        trigger: Trigger::Http {
            method: "POST",
            path: "/v1/keys",
        },
    },
    Function {
        name: "fetch",
        trigger: Trigger::Http {
            method: "GET",
            path: "/v1/keys/{userId}",
        },
    },
];

/// Runs one function on one event.
///
/// # Errors
/// [`FunctionError`]; a refused request is no error but a reply.
pub async fn invoke(function: &str, backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    let _ = (backend, event);
    FUNCTIONS
        .iter()
        .find(|known| known.name == function)
        .ok_or(FunctionError::Unknown)?;
    Err(FunctionError::Unavailable)
}
