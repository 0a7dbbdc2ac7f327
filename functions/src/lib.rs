//! The Lambda functions: event in, typed request, [`waxwing_backend`], typed reply, event out.
//!
//! All functions are one binary (`bootstrap`); the template's `Handler` names the one to run. So one build and
//! one link serve all of them.
//!
//! # Layout
//! - [`FUNCTIONS`]: name, trigger and handler of each. One function a file.
//! - `websocket`, `http`: what the functions of one kind share: reading events, replying, refusing.
//! - [`config`]: the environment. `main.rs`: the Lambda runtime around [`invoke`].

mod ack;
mod answer;
mod authorize;
mod challenge;
mod check;
mod claim;
pub mod config;
mod confirm;
mod connect;
mod disconnect;
mod ephemeral;
mod fetch;
mod http;
mod link;
mod lock;
pub mod metrics;
mod offer;
mod receive;
mod register;
mod reject;
mod revoke;
mod send;
mod subscribe;
mod upload;
mod wake;
mod websocket;

#[cfg(test)]
mod any_event;
#[cfg(test)]
mod documentation;
#[cfg(test)]
mod samples;

use std::fmt;

use futures_util::future::BoxFuture;
use serde_json::Value;

/// What [`invoke`] needs, for callers that know this crate alone (the local runner).
pub use waxwing_backend::{Backend, Clock, tables};

/// What invokes a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// API Gateway, which asks whether a WebSocket may open.
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
        /// The path, its parameters in braces.
        path: &'static str,
    },
    /// The clock.
    Schedule,
}

/// One Lambda function.
#[derive(Clone, Copy)]
pub struct Function {
    /// Its name: the template's `Handler`.
    pub name: &'static str,
    /// What invokes it.
    pub trigger: Trigger,
    /// Runs it.
    pub handler: Handler,
}

/// Runs a function on one event.
pub type Handler = for<'a> fn(&'a Backend, Value) -> BoxFuture<'a, Result<Value, FunctionError>>;

/// Why an invocation failed. A refused request is no failure but a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FunctionError {
    /// There is no function of this name.
    #[error("there is no function of this name")]
    UnknownFunction,
    /// The event is not of the shape that this function's trigger has. What it held is not shown.
    #[error("the event is not of this function's kind")]
    Event,
    /// The authorizer's no, in the word that API Gateway turns into 401.
    #[error("Unauthorized")]
    Unauthorized,
    /// The authorizer could not look the device up. API Gateway turns it into 500.
    #[error("the device could not be looked up")]
    Unavailable,
    /// What the clock asks for could not be done to its end. Lambda asks again.
    #[error("the run could not be finished")]
    Unfinished,
}

const fn function(name: &'static str, trigger: Trigger, handler: Handler) -> Function {
    Function {
        name,
        trigger,
        handler,
    }
}

const fn on_route(route: &'static str) -> Trigger {
    Trigger::WebSocket { route }
}

const fn on_request(method: &'static str, path: &'static str) -> Trigger {
    Trigger::Http { method, path }
}

macro_rules! handler {
    ($module:ident) => {
        |backend, event| Box::pin($module::handle(backend, event))
    };
}

/// Every function of `template.yaml`.
pub const FUNCTIONS: &[Function] = &[
    function("authorize", Trigger::Authorizer, handler!(authorize)),
    function("connect", on_route("$connect"), handler!(connect)),
    function("disconnect", on_route("$disconnect"), handler!(disconnect)),
    function("send", on_route("send"), handler!(send)),
    function("ack", on_route("ack"), handler!(ack)),
    function("receive", on_route("receive"), handler!(receive)),
    function("claim", on_route("claim"), handler!(claim)),
    function("ephemeral", on_route("ephemeral"), handler!(ephemeral)),
    function("reject", on_route("$default"), handler!(reject)),
    function(
        "challenge",
        on_request("POST", "/v1/verification"),
        handler!(challenge),
    ),
    function(
        "confirm",
        on_request("POST", "/v1/verification/confirm"),
        handler!(confirm),
    ),
    function("register", on_request("POST", "/v1/accounts"), handler!(register)),
    function("lock", on_request("POST", "/v1/lock"), handler!(lock)),
    function("offer", on_request("POST", "/v1/links"), handler!(offer)),
    function("link", on_request("POST", "/v1/devices"), handler!(link)),
    function("answer", on_request("POST", "/v1/links/answer"), handler!(answer)),
    function(
        "revoke",
        on_request("POST", "/v1/devices/revoke"),
        handler!(revoke),
    ),
    function("upload", on_request("POST", "/v1/keys"), handler!(upload)),
    function("check", on_request("POST", "/v1/keys/check"), handler!(check)),
    function("fetch", on_request("GET", "/v1/keys/{userId}"), handler!(fetch)),
    function("subscribe", on_request("POST", "/v1/push"), handler!(subscribe)),
    function("wake", Trigger::Schedule, handler!(wake)),
];

/// Finds a function by its name.
pub fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// Runs the function `name` on one event.
///
/// # Errors
/// [`FunctionError`].
pub async fn invoke(name: &str, backend: &Backend, event: Value) -> Result<Value, FunctionError> {
    let function = find(name).ok_or(FunctionError::UnknownFunction)?;
    (function.handler)(backend, event).await
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("trigger", &self.trigger)
            .finish_non_exhaustive()
    }
}

impl FunctionError {
    /// A stable name, for Lambda's `errorType`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnknownFunction => "UnknownFunction",
            Self::Event => "Event",
            Self::Unauthorized => "Unauthorized",
            Self::Unavailable => "Unavailable",
            Self::Unfinished => "Unfinished",
        }
    }
}

impl From<FunctionError> for lambda_runtime::Diagnostic {
    fn from(error: FunctionError) -> Self {
        Self {
            error_type: error.name().to_owned(),
            error_message: error.to_string(),
        }
    }
}
