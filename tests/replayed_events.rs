//! `events/*.json`, replayed in the order of their story against the real functions and empty tables.

use scenarios::Service;
use serde_json::Value;
use waxwing_local::runner::RunnerConfig;

/// When the tokens in the samples were made, in seconds of Unix time.
const TIME_OF_THE_SAMPLES: u64 = 1_767_261_600;

/// The events in the order of their story, each with what its answer must hold: a status for HTTP, the type of
/// the reply frame for a route that replies.
const STORY: [(&str, Answer); 22] = [
    ("challenge", Answer::Status(200)),
    ("confirm", Answer::Status(200)),
    ("register", Answer::Status(200)),
    ("lock", Answer::Status(200)),
    ("subscribe", Answer::Status(200)),
    ("offer", Answer::Status(200)),
    ("link", Answer::Status(200)),
    ("answer", Answer::Status(200)),
    ("check", Answer::Status(200)),
    ("upload", Answer::Status(200)),
    ("fetch", Answer::Status(200)),
    ("authorize", Answer::Allow),
    ("connect", Answer::Status(200)),
    ("claim", Answer::Frame("bundles")),
    ("send", Answer::Frame("sent")),
    ("ephemeral", Answer::Status(200)),
    ("receive", Answer::Frame("page")),
    ("ack", Answer::Frame("acked")),
    ("reject", Answer::Frame("error")),
    ("disconnect", Answer::Status(200)),
    ("wake", Answer::Holds("alerted")),
    ("revoke", Answer::Status(200)),
];

enum Answer {
    Status(u16),
    Allow,
    Frame(&'static str),
    /// For nobody but the log.
    Holds(&'static str),
}

fn event(name: &str) -> Value {
    let path = format!("{}/../events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn check(name: &str, expected: &Answer, answer: &Value) {
    match expected {
        Answer::Status(status) => assert_eq!(answer["statusCode"], *status, "{name} → {answer}"),
        Answer::Allow => {
            assert_eq!(
                answer["policyDocument"]["Statement"][0]["Effect"], "Allow",
                "{name} → {answer}"
            );
        }
        Answer::Holds(field) => assert_eq!(answer[field], 0, "{name} → {answer}"),
        Answer::Frame(kind) => {
            let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
            assert_eq!(body["type"], *kind, "{name} → {body}");
        }
    }
}

/// The samples' connection is nobody's here: a post to it meets 410, which says that it is gone only when it must have
/// opened by then.
const OPENING_SECONDS: i64 = 60;

/// Runs a function on its sample.
async fn invoke(service: &Service, name: &str) -> Value {
    let is_send = name == "send";
    if is_send {
        service.let_time_pass(OPENING_SECONDS);
    }
    let answer = service
        .runner
        .invoke(name, event_at(service, name))
        .await
        .unwrap();
    if is_send {
        service.let_time_pass(-OPENING_SECONDS);
    }
    answer
}

/// The sample as it is, but for the code in `confirm`: a sample cannot know what the phone was sent.
fn event_at(service: &Service, name: &str) -> Value {
    let mut event = event(name);
    if name == "confirm" {
        let mut body: Value = serde_json::from_str(event["body"].as_str().unwrap()).unwrap();
        let phone = body["phone"].as_str().unwrap().parse().unwrap();
        body["code"] = String::from(service.code_for(&phone)).into();
        event["body"] = body.to_string().into();
    }
    event
}

async fn service_at_the_time_of_the_samples() -> Service {
    // One key for all services here, so that their tables can be compared.
    let key = (
        "PhoneHashKey".to_owned(),
        "for the replay of the samples only".to_owned(),
    );
    let config = RunnerConfig {
        parameters: [key].into(),
        ..RunnerConfig::default()
    };
    let service = Service::start_with(config).await;
    let now = service.clock().now();
    service.let_time_pass(TIME_OF_THE_SAMPLES.checked_signed_diff(now).unwrap());
    service
}

#[tokio::test]
async fn the_sample_events_tell_their_story_when_replayed() {
    let service = service_at_the_time_of_the_samples().await;
    for (name, expected) in &STORY {
        let answer = invoke(&service, name).await;
        check(name, expected, &answer);
        let waiting = service.mailbox().await.len();
        assert_eq!(
            waiting,
            usize::from(matches!(*name, "send" | "ephemeral" | "receive")),
            "mailbox after {name}"
        );
    }
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../events")).unwrap();
    let samples = files
        .filter(|file| {
            file.as_ref()
                .unwrap()
                .path()
                .extension()
                .is_some_and(|e| e == "json")
        })
        .count();
    assert_eq!(samples, STORY.len(), "every sample has its place in the story");
}

/// I14, X80: AWS may deliver an event twice. The second run gives the same answer and leaves the same state,
/// save that a second claim takes another key.
#[tokio::test]
async fn i14_every_sample_event_delivered_twice_ends_in_the_same_state() {
    let once = service_at_the_time_of_the_samples().await;
    let twice = service_at_the_time_of_the_samples().await;
    for (name, expected) in STORY.iter().filter(|(name, _)| *name != "claim") {
        invoke(&once, name).await;
        for _ in 0..2 {
            let answer = invoke(&twice, name).await;
            check(name, expected, &answer);
        }
        assert_eq!(state(&once).await, state(&twice).await, "after {name}");
    }
}

/// Everything in the tables but for the second at which it was written.
async fn state(service: &Service) -> std::collections::BTreeSet<String> {
    let items = service.everything().await;
    let stable = items.into_iter().map(|(table, item)| {
        // `s` and `p` of Devices: when a device was seen, since when something waits. Of Keys they are keys.
        let is_second =
            |name: &str| name == "expires_at" || (table == "DevicesTable" && matches!(name, "s" | "p"));
        let mut attributes: Vec<_> = item
            .into_iter()
            .map(|(name, value)| match is_second(&name) {
                true => (name, "a second".to_owned()),
                false => (name, format!("{value:?}")),
            })
            .collect();
        attributes.sort_by(|a, b| a.0.cmp(&b.0));
        format!("{table} {attributes:?}")
    });
    stable.collect()
}
