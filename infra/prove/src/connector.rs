//! The SDK's HTTP connector with a hook before and after each call: where faults are put in, and where interleavings
//! are scheduled.

use std::{
    collections::HashMap,
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use serde_json::Value;
use waxwing_local::aws::{AwsFront, TOOLS_ACCESS_KEY};

use crate::{
    Trouble,
    controls::{Control, Early},
};

/// Header that is the same in all of the SDK's attempts of one call.
const INVOCATION_ID: &str = "amz-sdk-invocation-id";

/// Header that names DynamoDB's operation.
const TARGET: &str = "x-amz-target";

/// Which invocation of a function makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u32);

/// One attempt of one call to AWS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The invocation that makes it.
    pub run: RunId,
    /// Which of its calls this is, from 1. The SDK's attempts of one call have the same number.
    pub number: u32,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// `PutItem Mailbox`, `POST @connections`, `Publish`.
    pub name: String,
    /// What the URL says after the host: of `@connections`, which one.
    pub path: String,
    /// What is sent.
    pub body: Bytes,
}

/// What is done with a call.
#[derive(Debug)]
pub enum Before {
    /// It goes through.
    Pass,
    /// Something else is asked instead.
    Instead(Bytes),
    /// This is the answer; AWS is not asked.
    Answer(Response<Bytes>),
    /// The connection breaks; AWS is not asked.
    Reset,
}

/// What becomes of an answer.
#[derive(Debug)]
pub enum After {
    /// This is it.
    Answer(Response<Bytes>),
    /// The connection breaks: the call was carried out and nobody learns of it.
    Reset,
}

/// Sees every call, and may change what becomes of it. A future that never ends stops the invocation there.
pub trait Hook: Send + Sync {
    /// Before the call.
    fn before<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Before>;
    /// After it. `answer` is AWS's.
    fn after<'a>(&'a self, call: &'a Call, answer: Response<Bytes>) -> BoxFuture<'a, After>;
}

tokio::task_local! {
    static RUN: Arc<Run>;
}

/// An invocation, as the connector counts its calls.
struct Run {
    id: RunId,
    hook: Arc<dyn Hook>,
    calls: Mutex<HashMap<String, (u32, u32)>>,
    numbers: AtomicU32,
}

impl Run {
    /// Number and attempt of the call that has this invocation id.
    fn count(&self, id: &str) -> (u32, u32) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = || (self.numbers.fetch_add(1, Ordering::Relaxed) + 1, 0);
        let (number, attempts) = calls.entry(id.to_owned()).or_insert_with(fresh);
        *attempts += 1;
        (*number, *attempts)
    }
}

/// Runs `invocation` so that its calls are counted from 1 and seen by `hook`.
pub async fn hooked<F: Future>(id: RunId, hook: Arc<dyn Hook>, invocation: F) -> F::Output {
    let run = Run {
        id,
        hook,
        calls: Mutex::default(),
        numbers: AtomicU32::new(0),
    };
    RUN.scope(Arc::new(run), invocation).await
}

/// An HTTP client of the SDK in front of the runner's AWS. Calls are carried out one at a time, in the order they were
/// made in.
#[derive(Clone)]
pub struct Connector {
    front: AwsFront,
    control: Option<Control>,
    /// What a control asked early, by its key.
    early: Arc<Mutex<HashMap<String, Value>>>,
}

impl Connector {
    /// A client of this endpoint, for a service that is right or wrong in this way.
    pub fn new(front: AwsFront, control: Option<Control>) -> Self {
        Self {
            front,
            control,
            early: Arc::default(),
        }
    }

    /// Holds the whole thread until the answer is there: nothing else moves meanwhile, so a run repeats itself. Tokio would
    /// let a task that has done much yield to its scheduler, which waits here.
    fn carry_out(&self, request: Request<Bytes>) -> Response<Bytes> {
        held(tokio::task::unconstrained(self.front.handle(request)))
    }

    async fn call(self, run: Option<Arc<Run>>, request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let (head, body) = user_error(request.try_into_http1x())?.into_parts();
        let body = match body.bytes() {
            Some(bytes) => Bytes::copy_from_slice(bytes),
            None => user_error(body.collect().await)?.to_bytes(),
        };
        let answer = match run {
            None => self.carry_out(Request::from_parts(head, body)),
            Some(run) => {
                let (number, attempt) = run.count(header(&head.headers, INVOCATION_ID));
                let call = Call {
                    run: run.id,
                    number,
                    attempt,
                    name: name(&head, &body),
                    path: head.uri.path().to_owned(),
                    body,
                };
                let answer = self.hooked(&run, &call, head).await;
                let answer = match self.control {
                    Some(control) => control.answer(&call, answer),
                    None => answer,
                };
                answer.ok_or_else(reset)?
            }
        };
        sdk(answer)
    }

    /// What a call that was made comes to. None: the connection breaks.
    async fn hooked(&self, run: &Run, call: &Call, head: http::request::Parts) -> Option<Response<Bytes>> {
        let wrong = self.control.and_then(|control| control.request(call));
        self.ask_early(run, call).await;
        let body = match run.hook.before(call).await {
            Before::Pass => wrong.unwrap_or_else(|| call.body.clone()),
            Before::Instead(body) => body,
            Before::Answer(answer) => return Some(answer),
            Before::Reset => return None,
        };
        let answer = self.carry_out(Request::from_parts(head, body));
        if let Some(control) = self.control {
            for (operation, body) in control.also(call, &answer) {
                self.do_wrong(operation, &body);
            }
        }
        let answer = self.answer_from_early(call).unwrap_or(answer);
        match run.hook.after(call, answer).await {
            After::Answer(answer) => Some(answer),
            After::Reset => None,
        }
    }

    /// Makes the call that a control makes before this one, once.
    async fn ask_early(&self, run: &Run, call: &Call) {
        let Some(Early { key, operation, body }) = self.control.and_then(|control| control.early(call))
        else {
            return;
        };
        if self.early().contains_key(&key) {
            return;
        }
        self.early().insert(key.clone(), Value::Null);
        let early = Call {
            name: format!("{operation} {}", tables(&body).join("+")),
            body: Bytes::from(body.to_string()),
            ..call.clone()
        };
        run.hook.before(&early).await;
        if let Ok(said) = self.ask(operation, &body) {
            self.early().insert(key, said);
        }
    }

    /// What a control takes for the answer, since it asked early.
    fn answer_from_early(&self, call: &Call) -> Option<Response<Bytes>> {
        let control = self.control?;
        let said = self.early().remove(&control.uses_early(call)?)?;
        control.answer_of_early(&said)
    }

    fn early(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.early.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what a control does besides. Of a query every item that it finds is deleted.
    fn do_wrong(&self, operation: &str, body: &Value) {
        let Ok(found) = self.ask(operation, body) else {
            return;
        };
        for item in found.get("Items").and_then(Value::as_array).into_iter().flatten() {
            let key = serde_json::json!({ "o": item.get("o"), "i": item.get("i") });
            let delete = serde_json::json!({ "TableName": body.get("TableName"), "Key": key });
            let _ = self.ask("DeleteItem", &delete);
        }
    }

    /// As [`ask`]; nothing else moves meanwhile.
    fn ask(&self, operation: &str, body: &Value) -> Result<Value, Trouble> {
        held(tokio::task::unconstrained(ask(&self.front, operation, body)))
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let run = RUN.try_with(Arc::clone).ok();
        HttpConnectorFuture::new(self.clone().call(run, request))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

/// Wakes the thread that waits in [`held`].
struct Waiting(Thread);

impl Wake for Waiting {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The output of a future that other threads bring to its end.
fn held<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Waiting(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Asks DynamoDB as a tool, past every hook.
///
/// # Errors
/// [`Trouble`]: it refused.
pub async fn ask(front: &AwsFront, operation: &str, body: &Value) -> Result<Value, Trouble> {
    let credential = format!(
        "AWS4-HMAC-SHA256 Credential={TOOLS_ACCESS_KEY}/20261120/us-east-1/dynamodb/aws4_request, SignedHeaders=host, \
         Signature=00"
    );
    let request = Request::post("http://aws.invalid/")
        .header(TARGET, format!("DynamoDB_20120810.{operation}"))
        .header(http::header::AUTHORIZATION, credential)
        .body(Bytes::from(body.to_string()))
        .map_err(|error| Trouble(error.to_string()))?;
    let answer = front.handle(request).await;
    let said = serde_json::from_slice(answer.body()).unwrap_or_default();
    if answer.status().is_success() {
        Ok(said)
    } else {
        Err(Trouble(format!("{operation}: {said}")))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// Operation and table, or method and service.
fn name(head: &http::request::Parts, body: &[u8]) -> String {
    let target = header(&head.headers, TARGET);
    if let Some((_, operation)) = target.rsplit_once('.') {
        let tables = tables(&serde_json::from_slice(body).unwrap_or_default());
        return format!("{operation} {}", tables.join("+"));
    }
    if head.uri.path().contains("/@connections/") {
        return format!("{} @connections", head.method);
    }
    let action = std::str::from_utf8(body).unwrap_or_default();
    let action = action
        .split('&')
        .find_map(|pair| pair.strip_prefix("Action="))
        .unwrap_or("?");
    format!("{action} SNS")
}

/// The tables that a request to DynamoDB names, by their names in the template.
fn tables(body: &Value) -> Vec<String> {
    let mut names: Vec<&str> = Vec::new();
    names.extend(body.get("TableName").and_then(Value::as_str));
    if let Some(Value::Object(by_table)) = body.get("RequestItems") {
        names.extend(by_table.keys().map(String::as_str));
    }
    for item in body
        .get("TransactItems")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let parts = item.as_object().into_iter().flatten();
        names.extend(parts.filter_map(|(_, part)| part.get("TableName").and_then(Value::as_str)));
    }
    let mut tables: Vec<_> = names.into_iter().map(short).collect();
    tables.sort();
    tables.dedup();
    tables
}

/// `local-MailboxTable` → `Mailbox`.
pub(crate) fn short(table: &str) -> String {
    let name = table.rsplit('-').next().unwrap_or(table);
    name.strip_suffix("Table").unwrap_or(name).to_owned()
}

fn sdk(answer: Response<Bytes>) -> Result<HttpResponse, ConnectorError> {
    user_error(HttpResponse::try_from(answer.map(SdkBody::from)))
}

fn reset() -> ConnectorError {
    ConnectorError::io(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
}

fn user_error<T, E>(result: Result<T, E>) -> Result<T, ConnectorError>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    result.map_err(|error| ConnectorError::user(error.into()))
}
