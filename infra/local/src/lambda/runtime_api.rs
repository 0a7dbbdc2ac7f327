//! The Lambda Runtime API, for one instance (Lambda developer guide, "Using the Lambda runtime API").
//!
//! Each instance has a listener of its own on loopback, so the address tells which instance calls, and the
//! listener ends with it. It works the other way round too: an instance whose API is gone gets its `next`
//! refused, and `lambda_runtime` then ends the process. So no process outlives the runner, even one that was
//! killed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::InvokeError;

/// Bytes of what a function returns (Lambda quotas: invocation payload, synchronous).
pub(super) const RESPONSE_BYTES: usize = 6 * 1024 * 1024;

const PREFIX: &str = "/2018-06-01/runtime/";

/// One event on its way to an instance.
#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) request_id: String,
    /// Milliseconds since 1970 at which the function will be stopped.
    pub(super) deadline_ms: u128,
    pub(super) arn: String,
    pub(super) trace_id: String,
    pub(super) event: Bytes,
    /// Where the answer goes.
    pub(super) answer: oneshot::Sender<Result<Value, InvokeError>>,
}

/// The API of one instance. Dropping it ends its listener and connections.
pub(super) struct RuntimeApi {
    pub(super) address: SocketAddr,
    invocations: mpsc::Sender<Invocation>,
    signals: watch::Receiver<Signals>,
    _server: AbortOnDropHandle<()>,
}

/// What the instance has told about itself.
#[derive(Debug, Clone, Default)]
struct Signals {
    /// How often it asked for an event: it is ready when it asks.
    polls: u64,
    init_error: Option<InvokeError>,
}

impl RuntimeApi {
    /// Listens on a free port of loopback.
    pub(super) async fn listen() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (invocations, waiting) = mpsc::channel(1);
        let (signals, observed) = watch::channel(Signals::default());
        let state = State {
            waiting: tokio::sync::Mutex::new(waiting),
            current: Mutex::default(),
            signals,
        };
        let server = AbortOnDropHandle::new(tokio::spawn(serve(listener, Arc::new(state))));
        Ok(Self {
            address,
            invocations,
            signals: observed,
            _server: server,
        })
    }

    /// Hands an event to the instance, which takes it when it next asks.
    pub(super) async fn give(&self, invocation: Invocation) -> Result<(), InvokeError> {
        let given = self.invocations.send(invocation).await;
        given.map_err(|_| InvokeError::failed("Runtime.Unknown", "the Runtime API has ended"))
    }

    /// How often the instance has asked for an event.
    pub(super) fn polls(&self) -> u64 {
        self.signals.borrow().polls
    }

    /// Waits until the instance has asked more than `polls` times: it is done with what it had.
    ///
    /// # Errors
    /// What it reported to `/runtime/init/error`.
    pub(super) async fn ready_after(&self, polls: u64) -> Result<(), InvokeError> {
        let mut signals = self.signals.clone();
        let seen = signals
            .wait_for(|now| now.polls > polls || now.init_error.is_some())
            .await;
        match seen.map(|now| now.init_error.clone()) {
            Ok(None) => Ok(()),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(InvokeError::failed(
                "Runtime.Unknown",
                "the Runtime API has ended",
            )),
        }
    }
}

struct State {
    waiting: tokio::sync::Mutex<mpsc::Receiver<Invocation>>,
    current: Mutex<Option<Current>>,
    signals: watch::Sender<Signals>,
}

/// The event that the instance works on.
struct Current {
    request_id: String,
    answer: oneshot::Sender<Result<Value, InvokeError>>,
}

/// What an instance reports when it fails.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Report {
    error_type: String,
    error_message: String,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            error_type: "Runtime.Unknown".to_owned(),
            error_message: "the function failed".to_owned(),
        }
    }
}

async fn serve(listener: TcpListener, state: Arc<State>) {
    // Connections end with the listener.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| {
            let state = Arc::clone(&state);
            async move { Ok::<_, std::convert::Infallible>(state.handle(request).await) }
        });
        connections.spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
        while connections.try_join_next().is_some() {}
    }
}

impl State {
    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().strip_prefix(PREFIX).unwrap_or_default();
        match (&head.method, path.split('/').collect::<Vec<_>>().as_slice()) {
            (&Method::GET, ["invocation", "next"]) => self.next().await,
            (&Method::POST, ["invocation", id, "response"]) => self.response(id, body).await,
            (&Method::POST, ["invocation", id, "error"]) => {
                let error = reported(body).await;
                self.answer(id, Err(error), StatusCode::ACCEPTED)
            }
            (&Method::POST, ["init", "error"]) => {
                let error = reported(body).await;
                self.signals
                    .send_modify(|signals| signals.init_error = Some(error));
                status(StatusCode::ACCEPTED)
            }
            _ => refusal(
                StatusCode::NOT_FOUND,
                "NotFound",
                "the Runtime API has no such path",
            ),
        }
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        let mut waiting = self.waiting.lock().await;
        self.signals.send_modify(|signals| signals.polls += 1);
        let Some(invocation) = waiting.recv().await else {
            return refusal(StatusCode::GONE, "Gone", "the runner ends");
        };
        let Invocation {
            request_id,
            deadline_ms,
            arn,
            trace_id,
            event,
            answer,
        } = invocation;
        let response = Response::builder()
            .header("Content-Type", "application/json")
            .header("Lambda-Runtime-Aws-Request-Id", &request_id)
            .header("Lambda-Runtime-Deadline-Ms", deadline_ms.to_string())
            .header("Lambda-Runtime-Invoked-Function-Arn", arn)
            .header("Lambda-Runtime-Trace-Id", trace_id)
            .body(Full::new(event));
        *self.current() = Some(Current { request_id, answer });
        response.unwrap_or_else(|_| refusal(StatusCode::INTERNAL_SERVER_ERROR, "Internal", "not a header"))
    }

    async fn response(&self, id: &str, body: Incoming) -> Response<Full<Bytes>> {
        match Limited::new(body, RESPONSE_BYTES).collect().await {
            Ok(body) => {
                let answer = serde_json::from_slice(&body.to_bytes()).map_err(|error| {
                    InvokeError::failed(
                        "Runtime.InvalidResponse",
                        format!("the answer is no JSON: {error}"),
                    )
                });
                self.answer(id, answer, StatusCode::ACCEPTED)
            }
            Err(error) if error.is::<LengthLimitError>() => {
                let message = format!("an answer has at most {RESPONSE_BYTES} bytes");
                let error = InvokeError::failed("Function.ResponseSizeTooLarge", message);
                self.answer(id, Err(error), StatusCode::PAYLOAD_TOO_LARGE)
            }
            Err(_) => refusal(StatusCode::BAD_REQUEST, "InvalidRequest", "the body broke off"),
        }
    }

    /// Passes an answer on, if it is to the event the instance has.
    fn answer(
        &self,
        id: &str,
        answer: Result<Value, InvokeError>,
        accepted: StatusCode,
    ) -> Response<Full<Bytes>> {
        let current = self.current().take_if(|current| current.request_id == id);
        let Some(current) = current else {
            return refusal(
                StatusCode::BAD_REQUEST,
                "InvalidRequestID",
                "this is not the event you have",
            );
        };
        // Nobody may be waiting any more: then it was stopped at its timeout.
        let _ = current.answer.send(answer);
        status(accepted)
    }

    fn current(&self) -> MutexGuard<'_, Option<Current>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn reported(body: Incoming) -> InvokeError {
    let body = Limited::new(body, RESPONSE_BYTES)
        .collect()
        .await
        .map(|body| body.to_bytes());
    let report: Report = serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
    InvokeError::Failed {
        kind: report.error_type,
        message: report.error_message,
    }
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    with_json(status, &json!({"status": "OK"}))
}

fn refusal(status: StatusCode, kind: &str, message: &str) -> Response<Full<Bytes>> {
    with_json(status, &json!({"errorType": kind, "errorMessage": message}))
}

fn with_json(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// What a runtime sends, and the head of what it gets.
    async fn call(api: &RuntimeApi, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        let head = format!("{method} {PREFIX}{path} HTTP/1.1\r\nhost: runtime\r\nconnection: close\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// An API whose instance has the event `one`.
    async fn with_event() -> (RuntimeApi, oneshot::Receiver<Result<Value, InvokeError>>) {
        let api = RuntimeApi::listen().await.unwrap();
        let (answer, answered) = oneshot::channel();
        let invocation = Invocation {
            request_id: "one".to_owned(),
            deadline_ms: 1,
            arn: "arn".to_owned(),
            trace_id: "trace".to_owned(),
            event: Bytes::from_static(b"{}"),
            answer,
        };
        let (given, next) = tokio::join!(api.give(invocation), call(&api, "GET", "invocation/next", ""));
        given.unwrap();
        assert!(
            next.starts_with("HTTP/1.1 200 ") && next.ends_with("{}"),
            "{next}"
        );
        (api, answered)
    }

    #[tokio::test]
    async fn an_answer_to_another_event_is_refused_and_the_own_one_still_taken() {
        let (api, answered) = with_event().await;
        let refused = call(&api, "POST", "invocation/other/response", "1").await;
        assert!(
            refused.starts_with("HTTP/1.1 400 ") && refused.contains("InvalidRequestID"),
            "{refused}"
        );
        assert!(
            call(&api, "POST", "invocation/one/response", "2")
                .await
                .starts_with("HTTP/1.1 202 ")
        );
        assert_eq!(answered.await.unwrap(), Ok(json!(2)));
        // It is answered; a second answer is to nothing.
        assert!(
            call(&api, "POST", "invocation/one/response", "3")
                .await
                .starts_with("HTTP/1.1 400 ")
        );
    }

    #[tokio::test]
    async fn an_answer_that_is_no_json_is_a_function_error() {
        let (api, answered) = with_event().await;
        call(&api, "POST", "invocation/one/response", "{").await;
        let Err(InvokeError::Failed { kind, .. }) = answered.await.unwrap() else {
            panic!("it was taken");
        };
        assert_eq!(kind, "Runtime.InvalidResponse");
    }

    #[tokio::test]
    async fn a_start_that_failed_is_told_in_its_own_words() {
        let api = RuntimeApi::listen().await.unwrap();
        let report = r#"{"errorType":"Config","errorMessage":"MAILBOX_TABLE is not set"}"#;
        assert!(
            call(&api, "POST", "init/error", report)
                .await
                .starts_with("HTTP/1.1 202 ")
        );
        let error = api.ready_after(0).await.unwrap_err();
        assert_eq!(error, InvokeError::failed("Config", "MAILBOX_TABLE is not set"));
    }

    #[tokio::test]
    async fn an_unknown_path_is_refused() {
        let api = RuntimeApi::listen().await.unwrap();
        assert!(
            call(&api, "GET", "invocation/previous", "")
                .await
                .starts_with("HTTP/1.1 404 ")
        );
    }
}
