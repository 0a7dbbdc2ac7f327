//! The events under `events/`, for the tests: each is what API Gateway sends to the function of its name.

use std::collections::BTreeMap;

use serde_json::Value;
use waxwing_backend::{Backend, Clock, Config};

macro_rules! samples {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each sample.
        pub(crate) const SAMPLES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../events/", $name, ".json")))),*];
    };
}

samples![
    "authorize",
    "connect",
    "disconnect",
    "send",
    "ack",
    "receive",
    "claim",
    "ephemeral",
    "reject",
    "challenge",
    "confirm",
    "register",
    "lock",
    "offer",
    "link",
    "answer",
    "revoke",
    "upload",
    "check",
    "fetch",
    "subscribe",
    "wake",
];

/// The sample of one function.
pub(crate) fn sample(name: &str) -> Value {
    let (_, text) = SAMPLES.iter().find(|(known, _)| *known == name).unwrap();
    serde_json::from_str(text).unwrap()
}

/// The JSON text a sample carries as its body.
pub(crate) fn body(name: &str) -> Value {
    serde_json::from_str(sample(name)["body"].as_str().unwrap()).unwrap()
}

/// A backend that nothing answers. Good for what is refused before AWS is asked.
pub(crate) fn unreachable_backend() -> Backend {
    let variables = BTreeMap::from([
        ("CONNECTIONS_ENDPOINT", "http://127.0.0.1:9/prod"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("PHONE_HASH_KEY", "a secret that only the tests know"),
        ("REQUESTS_PER_MINUTE", "500"),
        ("SMS_DAILY_CEILING", "1000"),
    ]);
    // The seed lets no first request be counted.
    let lookup = |name: &str| Some(variables.get(name).copied().unwrap_or("unset").to_owned());
    Backend::seeded(&Config::read(lookup).unwrap(), Clock::system(), None, 1)
}

#[test]
fn every_function_has_a_sample_and_every_sample_a_function() {
    let functions: Vec<_> = crate::FUNCTIONS.iter().map(|function| function.name).collect();
    let samples: Vec<_> = SAMPLES.iter().map(|(name, _)| *name).collect();
    assert_eq!(functions, samples);
}

#[test]
fn every_sample_names_the_route_of_its_function() {
    for function in crate::FUNCTIONS {
        let sample = sample(function.name);
        let (expected, actual) = match function.trigger {
            crate::Trigger::Authorizer => ("$connect".to_owned(), &sample["requestContext"]["routeKey"]),
            crate::Trigger::WebSocket { route } => (route.to_owned(), &sample["requestContext"]["routeKey"]),
            crate::Trigger::Http { method, path } => (format!("{method} {path}"), &sample["routeKey"]),
            crate::Trigger::Schedule => ("Scheduled Event".to_owned(), &sample["detail-type"]),
        };
        assert_eq!(actual, &expected, "{}", function.name);
    }
}
