//! The whole service on this machine: the template's functions, tables and gateway.

use std::{
    collections::HashMap,
    env,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_sdk_dynamodb::{
    Client as DynamoDb,
    config::{BehaviorVersion, Credentials, Region},
    types::AttributeValue,
};
use waxwing_client::{Client, ClientConfig, Code, Endpoints, PhoneNumber, StoreLocation};
use waxwing_local::{
    aws::TOOLS_ACCESS_KEY,
    runner::{Runner, RunnerConfig, Storage},
};

/// A row of a table, as DynamoDB has it.
pub type Item = HashMap<String, AttributeValue>;

/// What the functions take for the time, so that a device can agree with them.
#[derive(Clone)]
pub struct ServiceClock(Arc<AtomicI64>);

impl ServiceClock {
    /// Seconds of Unix time.
    pub fn now(&self) -> u64 {
        #[allow(
            clippy::disallowed_methods,
            reason = "the harness is the edge that has a clock"
        )]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        now.strict_add_signed(self.0.load(Ordering::SeqCst))
    }
}

/// A running service and the ways to look inside it.
pub struct Service {
    /// The runner itself.
    pub runner: Runner,
    clock_offset: Arc<AtomicI64>,
    dynamodb: DynamoDb,
    numbers: AtomicUsize,
}

/// North American area codes. In each, 555-0100 to 555-0199 are set aside for fiction and belong to nobody.
const AREA_CODES: [u32; 12] = [201, 202, 203, 205, 206, 207, 208, 209, 210, 212, 213, 214];

/// Numbers taken of one area code: as many codes as the service sends to one block of numbers in an hour.
const NUMBERS_OF_AN_AREA: usize = 30;

/// The tables of what the service promised to keep.
const TABLES: [&str; 7] = [
    "AccountsTable",
    "PhonesTable",
    "LocksTable",
    "DevicesTable",
    "KeysTable",
    "PrekeysTable",
    "MailboxTable",
];

/// The environment variable with the address of a database that others wrote, for a second opinion on every story:
/// `.ci/second-opinion`.
const DATABASE: &str = "WAXWING_DYNAMODB";

/// The names of the mailbox's keys.
const MAILBOX_KEY: [&str; 2] = ["o", "i"];

fn another_database() -> Option<String> {
    #[allow(
        clippy::disallowed_methods,
        reason = "the harness is the edge that has an environment"
    )]
    env::var(DATABASE).ok().filter(|endpoint| !endpoint.is_empty())
}

impl Service {
    /// In memory, functions inside the process.
    pub async fn start() -> Self {
        Self::start_with(RunnerConfig::default()).await
    }

    /// As `config` says. What would be in memory is in the database that `WAXWING_DYNAMODB` names, if it does.
    pub async fn start_with(mut config: RunnerConfig) -> Self {
        if let (Storage::Memory, Some(endpoint)) = (&config.storage, another_database()) {
            config.storage = Storage::Elsewhere(endpoint);
        }
        let clock_offset = config.clock_offset.clone();
        let runner = Runner::start(config).await.unwrap();
        let dynamodb = DynamoDb::from_conf(
            aws_sdk_dynamodb::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(Region::new("us-east-1"))
                .endpoint_url(runner.aws_endpoint())
                .credentials_provider(Credentials::new(TOOLS_ACCESS_KEY, "any", None, None, "scenarios"))
                .build(),
        );
        Self {
            runner,
            clock_offset,
            dynamodb,
            numbers: AtomicUsize::new(0),
        }
    }

    /// The number of a phone that nobody had before.
    pub fn new_number(&self) -> PhoneNumber {
        let taken = self.numbers.fetch_add(1, Ordering::SeqCst);
        let area = AREA_CODES[taken / NUMBERS_OF_AN_AREA];
        let line = 100 + taken % NUMBERS_OF_AN_AREA;
        format!("+1{area}5550{line}").parse().unwrap()
    }

    /// The code in the newest text that a phone got.
    pub fn code_for(&self, number: &PhoneNumber) -> Code {
        let texts = self.runner.outbox();
        let text = texts.iter().rfind(|text| text.to == number.as_str());
        let text = &text.expect("a text with a code").body;
        let digits = text.split(|character: char| !character.is_ascii_digit());
        let code = digits.into_iter().find(|digits| digits.len() == Code::DIGITS);
        code.expect("six digits").parse().unwrap()
    }

    /// Where clients reach it.
    pub fn endpoints(&self) -> Endpoints {
        Endpoints {
            websocket_url: self.runner.websocket_url(),
            http_url: self.runner.http_url(),
            audience: "waxwing".to_owned(),
        }
    }

    /// A client that keeps its store in memory and is not registered yet.
    pub async fn client(&self) -> Client {
        self.client_at(self.endpoints(), StoreLocation::Memory).await
    }

    /// A client that reaches the service at `endpoints` and keeps its store at `store`.
    pub async fn client_at(&self, endpoints: Endpoints, store: StoreLocation) -> Client {
        Client::open(Self::config_at(endpoints, store)).await.unwrap()
    }

    /// How stories open clients that reach the service at `endpoints` and keep their store at `store`.
    pub fn config_at(endpoints: Endpoints, store: StoreLocation) -> ClientConfig {
        let mut config = ClientConfig::new(store, endpoints);
        // Stories break connections on purpose and have no minute to wait.
        config.timings.ack_linger = Duration::from_millis(25);
        config.timings.receipt_linger = Duration::from_millis(25);
        config.timings.backoff_first = Duration::from_millis(20);
        config.timings.backoff_longest = Duration::from_millis(500);
        config
    }

    /// Everything in a table, by its logical id in the template.
    pub async fn items(&self, table: &str) -> Vec<Item> {
        let name = self.runner.table_name(table).unwrap();
        let mut pages = self
            .dynamodb
            .scan()
            .table_name(name)
            .consistent_read(true)
            .into_paginator()
            .items()
            .send();
        let mut items = Vec::new();
        while let Some(item) = pages.next().await {
            items.push(item.unwrap());
        }
        items
    }

    /// Writes a row straight into a table.
    pub async fn put(&self, table: &str, item: Item) {
        let name = self.runner.table_name(table).unwrap();
        self.dynamodb
            .put_item()
            .table_name(name)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }

    /// Deletes all envelopes, as no service may.
    pub async fn empty_mailboxes(&self) {
        let name = self.runner.table_name("MailboxTable").unwrap();
        for mut item in self.mailbox().await {
            item.retain(|attribute, _| MAILBOX_KEY.contains(&attribute.as_str()));
            let delete = self.dynamodb.delete_item().table_name(&name).set_key(Some(item));
            delete.send().await.unwrap();
        }
    }

    /// The envelopes in all mailboxes together.
    pub async fn mailbox(&self) -> Vec<Item> {
        self.items("MailboxTable").await
    }

    /// Everything in all tables but counters and what is under way, to see that nothing changed.
    pub async fn everything(&self) -> Vec<(String, Item)> {
        let mut all = Vec::new();
        for table in TABLES {
            all.extend(
                self.items(table)
                    .await
                    .into_iter()
                    .map(|item| (table.to_owned(), item)),
            );
        }
        all
    }

    /// How often a function was invoked so far.
    pub fn invocations(&self, function: &str) -> u64 {
        self.runner
            .meter()
            .functions
            .get(function)
            .map_or(0, |counts| counts.invocations)
    }

    /// Moves the functions' clock forward.
    pub fn let_time_pass(&self, seconds: i64) {
        self.clock_offset.fetch_add(seconds, Ordering::SeqCst);
    }

    /// The functions' clock.
    pub fn clock(&self) -> ServiceClock {
        ServiceClock(self.clock_offset.clone())
    }
}
