//! What the service does, over the AWS SDK.
//!
//! It moves ciphertext and publishes keys; nothing here could decrypt a message. There is no layer between a
//! verb and DynamoDB that a test could replace: what is tested is what is deployed.
//!
//! # Layout
//! - One verb a file. WebSocket: [`connect`], [`disconnect`], [`send`], [`ack`], [`receive`], [`claim`],
//!   [`ephemeral`]. HTTP:
//!   [`challenge`], [`confirm`], [`register`], [`lock`]; [`offer`], [`link`], [`answer`], [`revoke`]; [`upload`],
//!   [`check`], [`fetch`]; [`subscribe`]. Both: [`authorize`]. By the clock: [`wake`]. Each file says why the verb may run twice or break off anywhere.
//!   `publish`, `ended`, `directory`, `news`: what several of them share.
//! - One noun a file under [`tables`]: names of keys and attributes, conditions, every call to DynamoDB.
//! - [`sockets`]: connections of devices. [`verify`]: checks of published keys. [`fault`]: failed requests.
//! - Phone numbers: [`phone`] parses them, `keyed_hash` names them, `sms` reaches them. `push` reaches phones that are asleep, and `alert` says when. [`gate`]: the PIN.
//! - [`requests`], [`budgets`]: how much of anything is enough.
//! - [`config`], [`clock`]: all that is read from outside.

pub mod ack;
mod alert;
pub mod answer;
pub mod authorize;
pub mod budgets;
pub mod challenge;
pub mod check;
pub mod claim;
pub mod clock;
pub mod config;
pub mod confirm;
pub mod connect;
mod directory;
pub mod disconnect;
mod ended;
pub mod ephemeral;
pub mod fault;
pub mod fetch;
pub mod gate;
mod keyed_hash;
pub mod link;
pub mod lock;
mod news;
pub mod offer;
pub mod phone;
mod publish;
mod push;
mod random;
pub mod receive;
pub mod register;
pub mod requests;
pub mod revoke;
pub mod send;
mod sms;
pub mod sockets;
pub mod subscribe;
pub mod tables;
pub mod upload;
pub mod verify;
pub mod wake;

#[cfg(test)]
mod testing;

use std::{fmt, time::Duration};

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_apigatewaymanagement as apigatewaymanagement;
use aws_sdk_dynamodb as dynamodb;
use aws_sdk_sns as sns;
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::{behavior_version::BehaviorVersion, http::SharedHttpClient};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, sdk_config::StalledStreamProtectionConfig};
use waxwing_wire::limits::MAX_EPHEMERALS_PER_MINUTE;

pub use clock::Clock;
pub use config::Config;

use fault::Fault;
use keyed_hash::KeyedHash;
use push::Push;
use random::Random;
use requests::Requests;
use sms::Sms;
use sockets::Sockets;
use tables::{
    accounts::Accounts, codes::Codes, database::Database, devices::Devices, keys::Keys, limits::Limits,
    links::Links, locks::Locks, mailbox::Mailbox, phones::Phones, prekeys::Prekeys, tickets::Tickets,
};

/// Time of one try of a request to AWS. Far beyond what an answer takes: a try given up too early may have been
/// carried out, and a prekey that it took is burnt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// Time of a request with all its tries. A function has ten seconds, and makes no other request after one that
/// failed.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(7);

/// Time to open a connection to AWS.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// Tries of a request to AWS, the first included.
const MAX_ATTEMPTS: u32 = 3;

/// The service: its tables, its connections, its clock. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Backend {
    database: Database,
    accounts: Accounts,
    codes: Codes,
    limits: Limits,
    links: Links,
    locks: Locks,
    phones: Phones,
    tickets: Tickets,
    devices: Devices,
    keys: Keys,
    prekeys: Prekeys,
    mailbox: Mailbox,
    sockets: Sockets,
    sms: Sms,
    push: Push,
    requests: Requests,
    ephemerals: Requests,
    clock: Clock,
    random: Random,
    token_audience: String,
    keyed_hash: Option<KeyedHash>,
    sms_daily_ceiling: Option<u32>,
}

impl Backend {
    /// The service as `config` describes it. Requests to AWS go through `http_client`, or through the SDK's own
    /// if there is none.
    pub fn new(config: &Config, clock: Clock, http_client: Option<SharedHttpClient>) -> Self {
        Self::with_random(config, clock, http_client, Random::system())
    }

    /// As [`new`](Self::new), but whatever the service draws at random follows from `seed`, the codes it
    /// sends included: for tests that replay a run, and for nothing else.
    pub fn seeded(config: &Config, clock: Clock, http_client: Option<SharedHttpClient>, seed: u64) -> Self {
        Self::with_random(config, clock, http_client, Random::seeded(seed))
    }

    fn with_random(
        config: &Config,
        clock: Clock,
        http_client: Option<SharedHttpClient>,
        random: Random,
    ) -> Self {
        let sdk = sdk_config(config, http_client);
        let mut tables = dynamodb::config::Builder::from(&sdk);
        tables.set_endpoint_url(config.aws_endpoint.clone());
        let connections = apigatewaymanagement::config::Builder::from(&sdk)
            .endpoint_url(&config.connections_endpoint)
            .build();
        let mut texts = sns::config::Builder::from(&sdk);
        texts.set_endpoint_url(config.aws_endpoint.clone());
        texts.set_retry_config(Some(RetryConfig::standard().with_max_attempts(sms::ATTEMPTS)));
        let pushes = texts
            .clone()
            .retry_config(RetryConfig::standard().with_max_attempts(push::ATTEMPTS))
            .timeout_config(push_timeouts())
            .build();
        let client = dynamodb::Client::from_conf(tables.build());
        let database = Database::new(client, random.clone());
        Self {
            accounts: Accounts::new(database.clone(), config.accounts_table.clone()),
            codes: Codes::new(database.clone(), config.codes_table.clone()),
            limits: Limits::new(database.clone(), config.limits_table.clone()),
            links: Links::new(database.clone(), config.links_table.clone()),
            locks: Locks::new(database.clone(), config.locks_table.clone()),
            phones: Phones::new(database.clone(), config.phones_table.clone()),
            tickets: Tickets::new(database.clone(), config.tickets_table.clone()),
            devices: Devices::new(database.clone(), config.devices_table.clone()),
            keys: Keys::new(database.clone(), config.keys_table.clone()),
            prekeys: Prekeys::new(database.clone(), config.prekeys_table.clone()),
            mailbox: Mailbox::new(database.clone(), config.mailbox_table.clone()),
            sockets: Sockets::new(apigatewaymanagement::Client::from_conf(connections)),
            sms: Sms::new(
                sns::Client::from_conf(texts.build()),
                config.sms_sender_id.clone(),
            ),
            push: Push::new(sns::Client::from_conf(pushes), config),
            requests: Requests::new(config.requests_per_minute),
            ephemerals: Requests::new(MAX_EPHEMERALS_PER_MINUTE),
            database,
            clock,
            random,
            token_audience: config.token_audience.clone(),
            keyed_hash: config.phone_hash_key.as_deref().map(KeyedHash::new),
            sms_daily_ceiling: config.sms_daily_ceiling,
        }
    }
}

impl Backend {
    /// The deployment's secret, in the functions that are told it.
    fn keyed_hash(&self) -> Result<&KeyedHash, Fault> {
        self.keyed_hash.as_ref().ok_or_else(|| not_told("PHONE_HASH_KEY"))
    }

    /// Codes a day, in the function that is told the number.
    fn sms_daily_ceiling(&self) -> Result<u32, Fault> {
        self.sms_daily_ceiling
            .ok_or_else(|| not_told("SMS_DAILY_CEILING"))
    }
}

fn push_timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(Duration::from_secs(push::ATTEMPT_SECONDS))
        .operation_timeout(Duration::from_secs(push::OPERATION_SECONDS))
        .build()
}

fn not_told(variable: &'static str) -> Fault {
    tracing::error!(variable, "this function is not told what it needs");
    Fault::Internal
}

/// What all clients of AWS share. Built here and not by `aws-config`: Lambda gives credentials in the
/// environment, and nothing else is looked for.
fn sdk_config(config: &Config, http_client: Option<SharedHttpClient>) -> SdkConfig {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT);
    let mut sdk = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(config.region.clone())
        .credentials_provider(SharedCredentialsProvider::new(config.credentials.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS))
        .timeout_config(timeouts.build())
        // It would end a request that stands still for five seconds; an attempt never lasts so long.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()));
    sdk.set_http_client(http_client);
    sdk.build()
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").finish_non_exhaustive()
    }
}
