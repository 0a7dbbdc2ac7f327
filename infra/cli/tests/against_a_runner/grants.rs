//! What the template grants is used: one run does everything that people and their devices do, and what no call needed
//! is either named below with its reason, or one grant too many.
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

use waxwing_cli::{
    Console,
    commands::doctor::{Order, examine},
    people::{self, Device},
    service,
};
use waxwing_client::{Client, ClientConfig, Event, Pin, Platform, PushState, StoreLocation};
use waxwing_local::runner::{Runner, RunnerConfig};

/// Grants that this run does not use: function, action, end of the resource, and who needs it.
const NAMED: &[(&str, &str, &str, &str)] = &[
    (
        "ack",
        "execute-api:ManageConnections",
        "DELETE/@connections/*",
        ENDED,
    ),
    (
        "claim",
        "execute-api:ManageConnections",
        "DELETE/@connections/*",
        ENDED,
    ),
    (
        "ephemeral",
        "execute-api:ManageConnections",
        "DELETE/@connections/*",
        "closes the connection of an account that goes on and on",
    ),
    (
        "receive",
        "execute-api:ManageConnections",
        "DELETE/@connections/*",
        ENDED,
    ),
    (
        "reject",
        "execute-api:ManageConnections",
        "DELETE/@connections/*",
        ENDED,
    ),
    (
        "send",
        "execute-api:ManageConnections",
        "DELETE/@connections/*",
        ENDED,
    ),
    ("answer", "dynamodb:BatchWriteItem", "MailboxTable", UNFINISHED),
    ("answer", "dynamodb:BatchWriteItem", "PrekeysTable", UNFINISHED),
    ("answer", "dynamodb:Query", "MailboxTable", UNFINISHED),
    ("answer", "dynamodb:Query", "PrekeysTable", UNFINISHED),
    (
        "answer",
        "execute-api:ManageConnections",
        "DELETE/@connections/*",
        UNFINISHED,
    ),
    (
        "answer",
        "execute-api:ManageConnections",
        "POST/@connections/*",
        "tells the account's other devices of a new one; here it is the second",
    ),
    (
        "challenge",
        "dynamodb:UpdateItem",
        "CodesTable",
        "takes a code back that could not be sent",
    ),
    (
        "claim",
        "execute-api:ManageConnections",
        "POST/@connections/*",
        "tells a device that its prekeys run low, which takes many claims",
    ),
    ("link", "dynamodb:Query", "PrekeysTable", REPEATED),
    (
        "register",
        "dynamodb:BatchWriteItem",
        "MailboxTable",
        "empties the mailboxes of an account that is taken over; these are empty",
    ),
    ("register", "dynamodb:DeleteItem", "DevicesTable", TAKEN_OVER),
    ("register", "dynamodb:DeleteItem", "KeysTable", TAKEN_OVER),
    (
        "register",
        "dynamodb:DeleteItem",
        "LocksTable",
        "ends a lock that was not renewed for weeks",
    ),
    (
        "send",
        "dynamodb:DeleteItem",
        "MailboxTable",
        "takes back what was put for a device that ended meanwhile",
    ),
    (
        "upload",
        "dynamodb:PutItem",
        "PrekeysTable",
        "publishes one-time prekeys when they run low; the run renews the signed one",
    ),
    ("upload", "dynamodb:Query", "PrekeysTable", REPEATED),
    ("wake", "dynamodb:UpdateItem", "DevicesTable", LEFT),
    ("wake", "dynamodb:Query", "MailboxTable", LEFT),
];

const LEFT: &str = "alerts a device that somebody left without an alert: tests/push.rs";
const ENDED: &str = "closes the connection of a device that ended, when it still asks for something";
const UNFINISHED: &str = "finishes what a removal that broke off left to do";
const REPEATED: &str = "compares with what is published, when prekeys are published again";
const TAKEN_OVER: &str =
    "deletes the further devices of an account that is taken over; this one has one left";

/// What concerns phones is used, grant by grant, in tests/push.rs.
const FOR_PHONES: [&str; 2] = [":app/", ":endpoint/"];

/// Used or not by chance: of an account's requests only some, picked at random, are written down for all that they
/// stand for.
const SAMPLED: (&str, &str) = ("dynamodb:UpdateItem", "LimitsTable");

/// Long enough for what is to happen on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// After so many seconds a second code may be sent to a number.
const CODE_PAUSE_SECONDS: i64 = 10 * 60;

fn config(runner: &Runner) -> ClientConfig {
    let mut config = ClientConfig::new(StoreLocation::Memory, service::endpoints(runner));
    config.timings.ack_linger = Duration::from_millis(25);
    config
}

async fn until(client: &Client, wanted: impl Fn(&Event) -> bool) {
    let mut events = client.events().await.unwrap();
    let found = async { while !wanted(&events.next().await.unwrap()) {} };
    let found = tokio::time::timeout(PATIENCE, found).await;
    found.unwrap_or_else(|_| panic!("the message did not come"));
}

async fn connect(device: &Device) {
    let mut events = device.client.observe().await.unwrap();
    device.client.connect();
    let drained = async { while !matches!(events.next().await.unwrap(), Event::Drained { .. }) {} };
    tokio::time::timeout(PATIENCE, drained).await.unwrap();
}

#[tokio::test]
async fn every_grant_of_the_template_is_used_or_has_a_reason() {
    let clock_offset = Arc::new(AtomicI64::new(0));
    let runner = Runner::start(RunnerConfig {
        clock_offset: Arc::clone(&clock_offset),
        ..RunnerConfig::default()
    })
    .await
    .unwrap();
    let order = Order {
        endpoints: service::endpoints(&runner),
        phones: Vec::new(),
        take_over: false,
        patience: PATIENCE,
    };
    assert!(examine(&order, &Console::new(true)).await.healthy);

    // Alice locks her number, has a laptop, renews her keys, moves to another network, and removes the laptop while it is connected.
    let number = people::fictional_number(599).unwrap();
    let pin = Pin::new("2580").unwrap();
    let alice = people::register_as("phone", config(&runner), &runner, &number)
        .await
        .unwrap();
    alice.client.set_lock(&pin).await.unwrap();
    alice.client.remove_lock().await.unwrap();
    alice.client.set_lock(&pin).await.unwrap();
    // It acks late, so that there is something in its mailbox when it is removed.
    let late = ClientConfig::new(StoreLocation::Memory, service::endpoints(&runner));
    let laptop = people::link(&alice, "laptop", late).await.unwrap();
    alice.client.rotate_signed_prekey().await.unwrap();
    connect(&alice).await;
    connect(&laptop).await;
    // A device that opens a connection beside its older one leaves it to the service to close that.
    let mut events = alice.client.observe().await.unwrap();
    alice.client.network_changed();
    let renewed = async { while events.next().await.unwrap() != Event::Renewed {} };
    tokio::time::timeout(PATIENCE, renewed).await.unwrap();
    let bob = people::register("Bob", config(&runner), &runner).await.unwrap();
    connect(&bob).await;
    let token = "ab".repeat(32);
    bob.client.set_push_token(Platform::Apns, &token).await.unwrap();
    let known = async {
        while bob.client.push_state().unwrap() != PushState::On {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.unwrap();
    let clock = serde_json::from_str(include_str!("../../../../events/wake.json")).unwrap();
    runner.invoke("wake", clock).await.unwrap();
    bob.client
        .send_text(alice.address.account, "hello")
        .await
        .unwrap();
    until(&alice.client, |event| matches!(event, Event::Message(_))).await;
    let mut events = alice.client.observe().await.unwrap();
    alice
        .client
        .send_text(bob.address.account, "hello")
        .await
        .unwrap();
    until(&bob.client, |event| matches!(event, Event::Message(_))).await;
    bob.client.set_typing(alice.address.account, true);
    let typing = async { while !matches!(events.next().await.unwrap(), Event::Typing { .. }) {} };
    tokio::time::timeout(PATIENCE, typing).await.unwrap();
    alice.client.revoke(laptop.address.device).await.unwrap();

    // She loses the phone, and takes her number over with the PIN.
    clock_offset.fetch_add(CODE_PAUSE_SECONDS, Ordering::SeqCst);
    let found = Client::open(config(&runner)).await.unwrap();
    found.request_code(&number).await.unwrap();
    let code = people::code_for(&number, &runner.outbox()).unwrap();
    assert!(found.confirm(&number, &code).await.unwrap().locked);
    found.register(Some(&pin)).await.unwrap();

    let unused = runner.unused_grants();
    let is_named = |function: &str, action: &str, resource: &str| {
        NAMED
            .iter()
            .any(|(f, a, r, _)| *f == function && *a == action && resource.ends_with(r))
    };
    let excess: Vec<_> = unused
        .iter()
        .filter(|grant| grant.action != SAMPLED.0 || !grant.resource.ends_with(SAMPLED.1))
        .filter(|grant| !FOR_PHONES.iter().any(|part| grant.resource.contains(part)))
        .filter(|grant| !is_named(&grant.function, &grant.action, &grant.resource))
        .map(ToString::to_string)
        .collect();
    assert!(
        excess.is_empty(),
        "granted and never used:\n{}",
        excess.join("\n")
    );
    for (function, action, resource, _) in NAMED {
        assert!(
            unused.iter().any(|grant| grant.function == *function
                && grant.action == *action
                && grant.resource.ends_with(resource)),
            "{function} uses {action} on {resource} here: take it off the list"
        );
    }
    runner.shutdown().await;
}
