//! What goes wrong between functions and AWS when a test asks for it. Without a [`FaultPlan`] nothing ever does.
//!
//! A fault is drawn for each request of a function: it is throttled, it fails before or after it was carried out, its
//! answer is lost with the connection, the connection that is posted to breaks off. Each looks as AWS documents it, so
//! that the SDK takes part with its retries. Requests of tools are left alone.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use thiserror::Error;

use super::answer::{AwsError, Shape, aws_json, rest_json};

/// Where this machine reads how many faults there were: an object, kind to count. Only a runner with a plan has it.
pub const PATH: &str = "/_local/faults";

/// What is to go wrong: `SEED:RATE`, or `SEED:RATE:forget`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FaultPlan {
    /// What the faults are drawn from.
    pub seed: u64,
    /// Of all requests, the part that goes wrong: 0 to 1.
    pub rate: f64,
    /// **Wrong on purpose**, for tests of what is to notice it: those puts to tables and posts to connections are answered
    /// and not done.
    pub forget: bool,
}

/// What was given is no plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a plan of faults is SEED:RATE, a whole number and a number from 0 to 1")]
pub struct NoPlan;

impl FromStr for FaultPlan {
    type Err = NoPlan;

    fn from_str(text: &str) -> Result<Self, NoPlan> {
        let mut parts = text.split(':');
        let seed = parts.next().and_then(|seed| seed.parse().ok()).ok_or(NoPlan)?;
        let rate: f64 = parts.next().and_then(|rate| rate.parse().ok()).ok_or(NoPlan)?;
        let forget = match (parts.next(), parts.next()) {
            (None, _) => false,
            (Some("forget"), None) => true,
            _ => return Err(NoPlan),
        };
        (0.0..=1.0)
            .contains(&rate)
            .then_some(Self { seed, rate, forget })
            .ok_or(NoPlan)
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forget = if self.forget { ":forget" } else { "" };
        write!(f, "{}:{}{forget}", self.seed, self.rate)
    }
}

/// One way in which a request goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Too many requests; nothing is done.
    Throttled,
    /// 500; nothing is done.
    FailedBefore,
    /// 503; nothing is done.
    Unavailable,
    /// 500, and all is done.
    FailedAfter,
    /// All is done, and the connection breaks before the answer.
    AnswerLost,
    /// The WebSocket that is posted to breaks off, and is gone.
    Gone,
    /// Answered, and not done.
    Forgotten,
}

impl Fault {
    const ANYWHERE: [Self; 5] = [
        Self::Throttled,
        Self::FailedBefore,
        Self::Unavailable,
        Self::FailedAfter,
        Self::AnswerLost,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::FailedBefore => "failed_before",
            Self::Unavailable => "unavailable",
            Self::FailedAfter => "failed_after",
            Self::AnswerLost => "answer_lost",
            Self::Gone => "gone",
            Self::Forgotten => "forgotten",
        }
    }

    /// What AWS answers, if this fault has an answer of its own.
    pub(super) fn answer(self, shape: Shape) -> Option<Response<Bytes>> {
        let (status, kind) = match (self, shape) {
            (Self::Throttled, Shape::AwsJson) => {
                (StatusCode::BAD_REQUEST, "ProvisionedThroughputExceededException")
            }
            (Self::Throttled, Shape::RestJson) => (StatusCode::TOO_MANY_REQUESTS, "LimitExceededException"),
            (Self::Throttled, Shape::Query) => (StatusCode::BAD_REQUEST, "Throttling"),
            (Self::FailedBefore | Self::FailedAfter, _) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError")
            }
            (Self::Unavailable, _) => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable"),
            (Self::Gone, _) => (StatusCode::GONE, "GoneException"),
            (Self::Forgotten, Shape::AwsJson) => return Some(aws_json(StatusCode::OK, "{}")),
            (Self::Forgotten, Shape::RestJson) => return Some(rest_json(StatusCode::OK, String::new())),
            (Self::Forgotten, Shape::Query) | (Self::AnswerLost, _) => return None,
        };
        Some(AwsError::new(status, kind, "A fault that was asked for.").answer(shape))
    }

    /// Whether the request is carried out.
    pub(super) fn is_after(self) -> bool {
        matches!(self, Self::FailedAfter | Self::AnswerLost)
    }
}

/// What a request is about, as far as faults differ by it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target<'a> {
    DynamoDb { operation: &'a str },
    Connection(&'a Method),
    Other,
}

/// Draws faults and counts them. Cheap to clone: all clones share both.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    plan: FaultPlan,
    drawn: Arc<Mutex<Drawn>>,
}

#[derive(Debug)]
struct Drawn {
    rng: StdRng,
    counts: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(super) fn new(plan: FaultPlan) -> Self {
        let drawn = Drawn {
            rng: StdRng::seed_from_u64(plan.seed),
            counts: BTreeMap::new(),
        };
        Self {
            plan,
            drawn: Arc::new(Mutex::new(drawn)),
        }
    }

    /// What is to go wrong with a request, if anything is.
    pub(super) fn draw(&self, target: Target<'_>) -> Option<Fault> {
        let mut drawn = self.lock();
        if !drawn.rng.random_bool(self.plan.rate) {
            return None;
        }
        let [a, b, c, d, e] = Fault::ANYWHERE;
        let kinds = match target {
            Target::DynamoDb { operation: "PutItem" } if self.plan.forget => &[Fault::Forgotten][..],
            Target::Connection(method) if self.plan.forget && *method == Method::POST => {
                &[Fault::Forgotten][..]
            }
            _ if self.plan.forget => return None,
            Target::Connection(method) if *method == Method::POST => &[a, b, c, d, e, Fault::Gone][..],
            _ => &[a, b, c, d, e][..],
        };
        let place = drawn.rng.random_range(0..kinds.len());
        let fault = kinds.get(place).copied()?;
        *drawn.counts.entry(fault.name()).or_default() += 1;
        Some(fault)
    }

    /// Answers `GET` of [`PATH`].
    pub(super) fn report(&self) -> Response<Bytes> {
        let counts = self.lock().counts.clone();
        rest_json(StatusCode::OK, json!(counts).to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Drawn> {
        // A count may be one short after a panic: nobody's promise.
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(plan: &str, target: Target<'_>) -> Vec<Option<Fault>> {
        let faults = Faults::new(plan.parse().unwrap());
        (0..1_000).map(|_| faults.draw(target)).collect()
    }

    #[test]
    fn a_plan_is_read_as_it_is_written_and_nothing_else_is_a_plan() {
        for text in ["7:0.05", "7:1:forget"] {
            assert_eq!(text.parse::<FaultPlan>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "7",
            "7:",
            "7:2",
            "7:-0.1",
            "7:nan",
            "x:0.1",
            "7:0.1:remember",
            "7:0.1:forget:",
        ] {
            assert_eq!(text.parse::<FaultPlan>(), Err(NoPlan), "{text}");
        }
    }

    #[test]
    fn one_seed_draws_the_same_faults_again_and_as_many_as_the_rate_says() {
        let put = Target::DynamoDb { operation: "PutItem" };
        let first = drawn("7:0.1", put);
        assert_eq!(first, drawn("7:0.1", put));
        assert_ne!(first, drawn("8:0.1", put));
        let count = first.iter().flatten().count();
        assert!((60..140).contains(&count), "{count}");
        assert_eq!(drawn("7:0", put).iter().flatten().count(), 0);
    }

    #[test]
    fn only_posts_find_a_connection_gone_and_only_puts_and_posts_are_forgotten() {
        let has = |faults: &[Option<Fault>], fault| faults.contains(&Some(fault));
        let query = Target::DynamoDb { operation: "Query" };
        let post = drawn("1:1", Target::Connection(&Method::POST));
        assert!(has(&post, Fault::Gone) && has(&post, Fault::AnswerLost));
        assert!(!has(&drawn("1:1", query), Fault::Gone));
        for target in [
            Target::DynamoDb { operation: "PutItem" },
            Target::Connection(&Method::POST),
        ] {
            let forgotten = drawn("1:1:forget", target);
            assert!(forgotten.iter().all(|fault| *fault == Some(Fault::Forgotten)));
        }
        assert!(drawn("1:1:forget", query).iter().all(Option::is_none));
    }
}
