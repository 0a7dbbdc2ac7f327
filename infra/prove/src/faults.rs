//! What can go wrong at one call to AWS.

use std::{
    fmt, future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::{Response, StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::connector::{After, Before, Call, Hook};

/// A way in which a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// AWS answers 500 to every attempt, and does nothing.
    FailBefore,
    /// AWS answers 500 to every attempt, and does each time what was asked.
    FailAfter,
    /// The first attempt is carried out and the connection breaks before its answer; the SDK tries again.
    LostAnswer,
    /// The first attempt is throttled; the SDK tries again.
    ThrottledOnce,
    /// Every attempt is throttled.
    Throttled,
    /// A batch leaves its last item unprocessed once.
    LeftoverOnce,
    /// From here on every batch leaves its last item unprocessed.
    Leftovers,
    /// The instance is killed before the call.
    KilledBefore,
    /// The instance is killed after the call was carried out.
    KilledAfter,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 9] = [
        Self::FailBefore,
        Self::FailAfter,
        Self::LostAnswer,
        Self::ThrottledOnce,
        Self::Throttled,
        Self::LeftoverOnce,
        Self::Leftovers,
        Self::KilledBefore,
        Self::KilledAfter,
    ];

    /// Whether a call of this name can go wrong so: only batches leave anything.
    pub fn fits(self, call: &str) -> bool {
        let is_batch = call.starts_with("BatchWriteItem");
        match self {
            Self::LeftoverOnce | Self::Leftovers => is_batch,
            _ => true,
        }
    }

    /// In a few words.
    pub fn words(self) -> &'static str {
        match self {
            Self::FailBefore => "fails before",
            Self::FailAfter => "fails after",
            Self::LostAnswer => "answer lost",
            Self::ThrottledOnce => "throttled once",
            Self::Throttled => "throttled",
            Self::LeftoverOnce => "leftover once",
            Self::Leftovers => "leftovers",
            Self::KilledBefore => "killed before",
            Self::KilledAfter => "killed after",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())
    }
}

/// One fault: at which call, which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Fault {
    /// Which call of the invocation, from 1.
    pub call: u32,
    /// Which way.
    pub mode: Mode,
}

/// Puts at most one fault into an invocation, and notes its calls.
pub struct Faulty {
    fault: Option<Fault>,
    calls: Mutex<Vec<(u32, String)>>,
    killed: Notify,
    hit: AtomicBool,
}

impl Faulty {
    /// With this fault, or none.
    pub fn new(fault: Option<Fault>) -> Arc<Self> {
        Arc::new(Self {
            fault,
            calls: Mutex::default(),
            killed: Notify::new(),
            hit: AtomicBool::new(false),
        })
    }

    /// Ends when the instance is to be killed.
    pub async fn killed(&self) {
        self.killed.notified().await;
    }

    /// Whether the fault came to pass.
    pub fn was_hit(&self) -> bool {
        self.hit.load(Ordering::Relaxed)
    }

    /// Names of the calls, by number.
    pub fn calls(&self) -> Vec<String> {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        calls.sort();
        calls.into_iter().map(|(_, name)| name).collect()
    }

    fn note(&self, call: &Call) {
        if call.attempt == 1 {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push((call.number, call.name.clone()));
        }
    }

    fn mode_at(&self, call: &Call) -> Option<Mode> {
        let fault = self.fault?;
        let is_at = match fault.mode {
            Mode::Leftovers => call.number >= fault.call,
            _ => call.number == fault.call,
        };
        (is_at && fault.mode.fits(&call.name)).then_some(fault.mode)
    }

    async fn kill(&self) -> ! {
        self.hit.store(true, Ordering::Relaxed);
        self.killed.notify_one();
        future::pending().await
    }

    async fn answer_before(&self, call: &Call) -> Before {
        self.note(call);
        let Some(mode) = self.mode_at(call) else {
            return Before::Pass;
        };
        let first = call.attempt == 1;
        let what = match mode {
            Mode::FailBefore => Before::Answer(failed(&call.name)),
            Mode::Throttled => Before::Answer(throttled(&call.name)),
            Mode::ThrottledOnce if first => Before::Answer(throttled(&call.name)),
            Mode::KilledBefore => self.kill().await,
            Mode::LeftoverOnce | Mode::Leftovers => match without_last(&call.body) {
                Some(body) => Before::Instead(body),
                // The only item: AWS does nothing, which is an answer too.
                None => Before::Answer(json_answer(StatusCode::OK, &leaving_last(&call.body, json!({})))),
            },
            _ => return Before::Pass,
        };
        self.hit.store(true, Ordering::Relaxed);
        what
    }

    async fn answer_after(&self, call: &Call, answer: Response<Bytes>) -> After {
        let Some(mode) = self.mode_at(call) else {
            return After::Answer(answer);
        };
        let first = call.attempt == 1;
        let what = match mode {
            Mode::FailAfter => After::Answer(failed(&call.name)),
            Mode::LostAnswer if first => After::Reset,
            Mode::KilledAfter => self.kill().await,
            Mode::LeftoverOnce | Mode::Leftovers => {
                let done = serde_json::from_slice(answer.body()).unwrap_or_default();
                After::Answer(json_answer(StatusCode::OK, &leaving_last(&call.body, done)))
            }
            _ => return After::Answer(answer),
        };
        self.hit.store(true, Ordering::Relaxed);
        what
    }
}

impl Hook for Faulty {
    fn before<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Before> {
        self.answer_before(call).boxed()
    }

    fn after<'a>(&'a self, call: &'a Call, answer: Response<Bytes>) -> BoxFuture<'a, After> {
        self.answer_after(call, answer).boxed()
    }
}

/// The batch without its last item, if that leaves any.
fn without_last(body: &[u8]) -> Option<Bytes> {
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let (_, writes) = body.get_mut("RequestItems")?.as_object_mut()?.iter_mut().next()?;
    let writes = writes.as_array_mut()?;
    writes.pop();
    (!writes.is_empty()).then(|| body.to_string().into())
}

/// An answer that leaves the last item of the batch unprocessed.
fn leaving_last(body: &[u8], mut answer: Value) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let items = body.get("RequestItems").and_then(Value::as_object);
    let left = items.and_then(|items| items.iter().next());
    if let (Some((table, writes)), Some(answer)) = (left, answer.as_object_mut()) {
        let last = writes.as_array().and_then(|writes| writes.last()).cloned();
        let left = last.into_iter().collect::<Vec<_>>();
        answer.insert("UnprocessedItems".into(), json!({ table: left }));
    }
    answer
}

/// What each service says when it fails.
fn failed(call: &str) -> Response<Bytes> {
    refusal(call, StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
}

/// What each service says when it is asked too often.
fn throttled(call: &str) -> Response<Bytes> {
    match call {
        _ if call.ends_with("@connections") => {
            refusal(call, StatusCode::TOO_MANY_REQUESTS, "LimitExceededException")
        }
        _ if call.ends_with(" SNS") => refusal(call, StatusCode::BAD_REQUEST, "Throttling"),
        _ => refusal(
            call,
            StatusCode::BAD_REQUEST,
            "ProvisionedThroughputExceededException",
        ),
    }
}

fn refusal(call: &str, status: StatusCode, kind: &'static str) -> Response<Bytes> {
    if call.ends_with(" SNS") {
        let body = format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{kind}</Code><Message>-</Message></Error></ErrorResponse>"
        );
        let mut answer = Response::new(Bytes::from(body));
        *answer.status_mut() = status;
        return answer;
    }
    let body = json!({ "__type": format!("com.amazon.coral.service#{kind}"), "message": "injected" });
    let mut answer = json_answer(status, &body);
    if let Ok(kind) = kind.parse() {
        answer.headers_mut().insert("x-amzn-errortype", kind);
    }
    answer
}

fn json_answer(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    let media_type = http::HeaderValue::from_static("application/x-amz-json-1.0");
    answer.headers_mut().insert(CONTENT_TYPE, media_type);
    answer
}
