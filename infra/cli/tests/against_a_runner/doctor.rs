//! The doctor finds what is wrong: the runner runs templates with one fault each, and each is found by its name.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tempfile::TempDir;
use waxwing_cli::{
    Console,
    commands::doctor::{Check, Examination, Order, State, examine},
    service,
};
use waxwing_client::Endpoints;
use waxwing_local::runner::{Runner, RunnerConfig, TEMPLATE};

/// Long enough for what is to happen on a busy machine; what is not to happen is waited for as long.
const PATIENCE: Duration = Duration::from_secs(8);

/// For so long after it was accepted a connection that does not answer may still be opening; one more, for rounding.
const OPENING_SECONDS: i64 = 31;

/// The part of the template that a resource is, from its name to the next.
fn part_of(template: &str, resource: &str) -> (usize, usize) {
    let from = template.find(&format!("\n  {resource}:\n")).unwrap() + 1;
    let rest = &template[from + 3..];
    let is_next = |(at, _): &(usize, &str)| {
        rest[at + 3..].starts_with(|next: char| next.is_alphabetic() || next == '#')
    };
    let (length, _) = rest.match_indices("\n  ").find(is_next).unwrap();
    (from, from + 3 + length)
}

/// The project's template with one part of one resource changed.
fn with(resource: &str, what: &str, instead: &str) -> String {
    let (from, to) = part_of(TEMPLATE, resource);
    let part = &TEMPLATE[from..to];
    assert!(
        part.contains(what),
        "{resource} has no {what:?} any more:\n{part}"
    );
    [&TEMPLATE[..from], &part.replace(what, instead), &TEMPLATE[to..]].concat()
}

async fn start(template: &str) -> Runner {
    start_at(template, Arc::default()).await
}

/// With the service's clock ahead by so many seconds.
async fn start_at(template: &str, clock_offset: Arc<AtomicI64>) -> Runner {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("template.yaml");
    std::fs::write(&path, template).unwrap();
    let config = RunnerConfig {
        template: Some(path),
        clock_offset,
        ..RunnerConfig::default()
    };
    Runner::start(config).await.unwrap()
}

async fn examination_of(endpoints: Endpoints) -> Examination {
    let order = Order {
        endpoints,
        phones: Vec::new(),
        take_over: false,
        patience: PATIENCE,
    };
    examine(&order, &Console::new(true)).await
}

/// Examines a service with a fault, and sees that this check and none before it finds it.
async fn finds(check: Check, template: String) {
    let runner = start(&template).await;
    let examination = examination_of(service::endpoints(&runner)).await;
    runner.shutdown().await;
    assert_eq!(examination.first_failed(), Some(check), "{examination:#?}");
    assert!(!examination.healthy);
    assert_eq!(
        examination
            .findings
            .iter()
            .map(|finding| finding.check)
            .collect::<Vec<_>>(),
        Check::ALL,
        "every check is reported, also what was not tried"
    );
}

#[tokio::test]
async fn a_service_as_it_should_be_passes_every_check() {
    let runner = start(TEMPLATE).await;
    let examination = examination_of(service::endpoints(&runner)).await;
    let passed = |state: &State| matches!(state, State::Passed { .. });
    assert!(
        examination.findings.iter().all(|finding| passed(&finding.state)),
        "{examination:#?}"
    );
    assert!(examination.healthy);
    runner.shutdown().await;
}

#[tokio::test]
async fn an_address_that_tokens_would_be_read_at_is_found() {
    let endpoints = Endpoints {
        websocket_url: "ws://chat.example/prod".to_owned(),
        http_url: "https://127.0.0.1:1/prod".to_owned(),
        audience: "waxwing".to_owned(),
    };
    assert_eq!(
        examination_of(endpoints).await.first_failed(),
        Some(Check::Addresses)
    );
}

#[tokio::test]
async fn an_http_address_without_its_stage_is_found() {
    let runner = start(TEMPLATE).await;
    let endpoints = Endpoints {
        http_url: runner.aws_endpoint(),
        ..service::endpoints(&runner)
    };
    assert_eq!(examination_of(endpoints).await.first_failed(), Some(Check::Http));
    runner.shutdown().await;
}

#[tokio::test]
async fn a_socket_address_without_its_stage_is_found() {
    let runner = start(TEMPLATE).await;
    let endpoints = service::endpoints(&runner);
    let endpoints = Endpoints {
        websocket_url: endpoints.websocket_url.replace("/prod", "/elsewhere"),
        ..endpoints
    };
    assert_eq!(
        examination_of(endpoints).await.first_failed(),
        Some(Check::WebSocket)
    );
    runner.shutdown().await;
}

#[tokio::test]
async fn codes_that_are_not_sent_are_found() {
    finds(
        Check::Registration,
        with("ChallengeFunction", "sns:Publish", "sns:Subscribe"),
    )
    .await;
}

#[tokio::test]
async fn a_device_that_cannot_connect_is_found() {
    let template = with(
        "ConnectFunction",
        "!GetAtt DevicesTable.Arn",
        "!GetAtt KeysTable.Arn",
    );
    finds(Check::Connection, template).await;
}

#[tokio::test]
async fn messages_that_are_stored_and_not_posted_are_found() {
    finds(
        Check::Online,
        with("SendFunction", "/POST/@connections", "/GET/@connections"),
    )
    .await;
}

#[tokio::test]
async fn a_mailbox_that_is_not_the_one_written_to_is_found() {
    let (from, to) = part_of(TEMPLATE, "MailboxTable");
    let other = TEMPLATE[from..to].replacen("MailboxTable", "OtherTable", 1);
    let template = with(
        "ReceiveFunction",
        "!GetAtt MailboxTable.Arn",
        "!GetAtt OtherTable.Arn",
    );
    let template = template.replace(
        "      Handler: receive\n",
        "      Handler: receive\n      Environment: { Variables: { MAILBOX_TABLE: !Ref OtherTable } }\n",
    );
    let at = template.find("\n  MailboxTable:\n").unwrap() + 1;
    let template = [&template[..at], "  ", other.trim_start(), "\n", &template[at..]].concat();
    finds(Check::Offline, template).await;
}

#[tokio::test]
async fn a_mailbox_that_keeps_everything_is_found() {
    finds(
        Check::Expiry,
        with(
            "MailboxTable",
            "Enabled: true\n      Point",
            "Enabled: false\n      Point",
        ),
    )
    .await;
}

#[tokio::test]
async fn acks_that_delete_nothing_are_found() {
    finds(
        Check::Deletion,
        with("AckFunction", "dynamodb:BatchWriteItem", "dynamodb:BatchGetItem"),
    )
    .await;
}

#[tokio::test]
async fn a_connection_that_is_not_forgotten_is_found() {
    // Whoever writes to its device is told to come again for as long as it may still be opening.
    finds(
        Check::Offline,
        with("DisconnectFunction", "dynamodb:UpdateItem", "dynamodb:GetItem"),
    )
    .await;
}

#[tokio::test]
async fn a_device_that_left_and_counts_as_connected_is_found_even_if_senders_notice() {
    let template = with("DisconnectFunction", "dynamodb:UpdateItem", "dynamodb:GetItem");
    let clock_offset = Arc::new(AtomicI64::new(0));
    let runner = start_at(&template, clock_offset.clone()).await;
    // No connection is young for long: who writes to one that is gone has it forgotten, and nothing is amiss until both
    // devices leave and nobody writes.
    let mut invocations = runner.observe_invocations();
    let aging = tokio::spawn(async move {
        while let Ok(invocation) = invocations.recv().await {
            if invocation.function == "connect" {
                clock_offset.fetch_add(OPENING_SECONDS, Ordering::SeqCst);
            }
        }
    });
    let examination = examination_of(service::endpoints(&runner)).await;
    aging.abort();
    runner.shutdown().await;
    assert_eq!(
        examination.first_failed(),
        Some(Check::CleanUp),
        "{examination:#?}"
    );
}
