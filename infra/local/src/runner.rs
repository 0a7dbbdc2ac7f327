//! Starts every part, tells the addresses, ends them cleanly.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::aws::dynamodb::elsewhere::ElsewhereError;
use crate::aws::dynamodb::storage::StorageError;
use crate::aws::dynamodb::tables::TableError;
use crate::aws::dynamodb::{Closed, DynamoDb};
use crate::aws::policies::{Grant, PolicyError};
use crate::aws::{AwsFront, Connector, Sns};
use crate::clock::OffsetClock;
use crate::cloud::Cloud;
use crate::gateway::{self, Gateway, Lifetimes, ObservedFrame, Quotas};
use crate::lambda::{
    Concurrency, Executor, InProcess, InvokeError, Lambda, ObservedInvocation, PrepareError, ProcessLimits,
    Processes,
};
use crate::logs::Logs;
use crate::meter::{Meter, MeterSnapshot};
use crate::outbox::{self, Outbox, OutboxMessage};
use crate::place::{ACCOUNT_ID, REGION};
use crate::schedule;
use crate::secret;
use crate::server::{self, Services};
use crate::template::{Surroundings, Template, TemplateError};

pub use crate::aws::dynamodb::bare::{Bare, Recorded};
pub use crate::aws::dynamodb::storage::Storage;
pub use crate::aws::faults::FaultPlan;
pub use crate::cloud::CloudError;
pub use crate::lambda::binary::{BinaryError, functions_binary};

/// The template that is run when no other is named: the one this crate was built with.
pub const TEMPLATE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../template.yaml"));

/// How often expired items are deleted. AWS does it within a few days; here a person may wait for it.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

/// What to run, and how.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// The template; [`TEMPLATE`] if there is none.
    pub template: Option<PathBuf>,
    /// The template's parameters that do not have their default values.
    pub parameters: BTreeMap<String, String>,
    /// Where the tables are.
    pub storage: Storage,
    /// How the functions run.
    pub execution: Execution,
    /// The address to listen at.
    pub address: IpAddr,
    /// The port to listen at; 0 is any that is free.
    pub port: u16,
    /// How long connections live; API Gateway's own times if not changed.
    pub lifetimes: Lifetimes,
    /// How many requests the account may make; AWS's defaults if not changed.
    pub quotas: Quotas,
    /// How many invocations may run at once; AWS's defaults if not changed.
    pub concurrency: Concurrency,
    /// Seconds added to the clock of the gateway and of in-process functions, and to that by which [`Storage::Memory`] deletes
    /// what has expired. Tests of expiry change it while the runner runs.
    pub clock_offset: Arc<AtomicI64>,
    /// What goes wrong between functions and AWS, for tests of what becomes of that; nothing without it.
    pub faults: Option<FaultPlan>,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        Self {
            template: None,
            parameters: BTreeMap::new(),
            storage: Storage::Memory,
            execution: Execution::InProcess,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            lifetimes: Lifetimes::default(),
            quotas: Quotas::default(),
            concurrency: Concurrency::default(),
            clock_offset: Arc::default(),
            faults: None,
        }
    }
}

/// How the functions run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Execution {
    /// Inside this process.
    #[default]
    InProcess,
    /// As processes over the Lambda Runtime API, as in the cloud.
    Processes {
        /// The binary with all functions; [`functions_binary`] builds it.
        binary: PathBuf,
    },
}

/// Why the runner did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The template cannot be read.
    #[error("{path} cannot be read: {source}")]
    ReadTemplate {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The template cannot be run.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// A policy of the template is not understood.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The tables cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A table is not as the template wants it.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The tables are elsewhere, and cannot be used.
    #[error(transparent)]
    Elsewhere(#[from] ElsewhereError),
    /// A function cannot run in the environment the template gives it.
    #[error(transparent)]
    Function(#[from] PrepareError),
    /// A thread of the start broke off.
    #[error("the start broke off: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl From<CloudError> for StartError {
    fn from(error: CloudError) -> Self {
        match error {
            CloudError::Policy(error) => Self::Policy(error),
            CloudError::Storage(error) => Self::Storage(error),
            CloudError::Table(error) => Self::Table(error),
            CloudError::Elsewhere(error) => Self::Elsewhere(error),
            CloudError::Interrupted(error) => Self::Interrupted(error),
        }
    }
}

/// A template that runs. [`Runner::shutdown`] ends it cleanly; dropping it ends it at once.
pub struct Runner {
    address: SocketAddr,
    template: Template,
    database: DynamoDb,
    gateway: Gateway,
    lambda: Lambda,
    meter: Arc<Meter>,
    logs: Logs,
    outbox: Outbox,
    aws: AwsFront,
    ending: CancellationToken,
    server: AbortOnDropHandle<()>,
    _sweeper: AbortOnDropHandle<()>,
    _schedules: Vec<AbortOnDropHandle<()>>,
}

impl Runner {
    /// Starts everything: opens the tables and makes those that are missing, prepares the functions, listens.
    ///
    /// # Errors
    /// [`StartError`] says what is in the way; nothing is left running.
    pub async fn start(config: RunnerConfig) -> Result<Self, StartError> {
        let (listener, address) = listen(config.address, config.port).await?;
        let surroundings = Surroundings {
            region: REGION.to_owned(),
            account_id: ACCOUNT_ID.to_owned(),
            front: Some(address),
            secret: secret(&config.storage).await?,
            stack_name: stack_name(&config.storage),
            stand_ins: Sns::stand_ins(),
        };
        let template = load_template(&config, &surroundings).await?;
        let clock = OffsetClock {
            offset: Arc::clone(&config.clock_offset),
        };
        let meter = Arc::new(Meter::default());
        let logs = Logs::default();
        let cloud = Cloud::open(&template, config.storage, clock.clone(), &meter).await?;
        let Cloud {
            aws,
            database,
            connections,
            outbox,
        } = cloud;
        let aws = match config.faults {
            Some(plan) => aws.with_faults(plan),
            None => aws,
        };
        let functions = || template.functions.values();

        let endpoint = format!("http://{address}");
        let executor = match config.execution {
            Execution::InProcess => {
                let connector = Connector::new(aws.clone());
                let prepared =
                    InProcess::prepare(functions(), &endpoint, connector, &config.clock_offset, &logs)?;
                Executor::InProcess(prepared)
            }
            Execution::Processes { binary } => {
                let limits = ProcessLimits::default();
                Executor::Processes(Processes::new(binary, functions(), &endpoint, limits, &logs))
            }
        };
        let lambda = Lambda::new(
            functions(),
            executor,
            config.concurrency,
            Arc::clone(&meter),
            logs.clone(),
        );
        let settings = gateway::Settings {
            lifetimes: config.lifetimes,
            quotas: config.quotas,
            clock,
        };
        let gateway = Gateway::new(
            &template,
            &surroundings,
            lambda.clone(),
            Arc::clone(&meter),
            connections,
            settings,
        );

        let ending = CancellationToken::new();
        let services = Services {
            aws: aws.clone(),
            gateway: gateway.clone(),
            outbox: outbox.clone(),
        };
        let server = tokio::spawn(server::serve(listener, services, ending.clone()));
        let sweeper = tokio::spawn(sweep(database.clone()));
        let schedules = functions().flat_map(|function| {
            let times = function.schedules.iter().map(|every| {
                let follow = schedule::follow(lambda.clone(), function.clone(), *every);
                AbortOnDropHandle::new(tokio::spawn(follow))
            });
            times.collect::<Vec<_>>()
        });
        let schedules = schedules.collect();
        Ok(Self {
            address,
            template,
            database,
            gateway,
            lambda,
            meter,
            logs,
            outbox,
            aws,
            ending,
            server: AbortOnDropHandle::new(server),
            _sweeper: AbortOnDropHandle::new(sweeper),
            _schedules: schedules,
        })
    }

    /// Where devices connect: `ws://127.0.0.1:PORT/STAGE`.
    pub fn websocket_url(&self) -> String {
        let stage = self
            .template
            .websocket
            .as_ref()
            .map_or("", |api| api.stage.as_str());
        format!("ws://{}/{stage}", self.address)
    }

    /// Where the HTTP API is: `http://127.0.0.1:PORT/STAGE`, without a stage if that is `$default`.
    pub fn http_url(&self) -> String {
        match self.template.http.as_ref().map(|api| api.stage.as_str()) {
            None | Some("$default") => self.aws_endpoint(),
            Some(stage) => format!("{}/{stage}", self.aws_endpoint()),
        }
    }

    /// Where AWS is, for SDKs and tools (`AWS_ENDPOINT_URL`), with the access key
    /// [`TOOLS_ACCESS_KEY`](crate::aws::TOOLS_ACCESS_KEY).
    pub fn aws_endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What runs, with every parameter and reference put in, and what of the template is left out.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// The name of a table, by its name in the template.
    pub fn table_name(&self, logical_id: &str) -> Option<String> {
        self.template
            .tables
            .get(logical_id)
            .map(|table| table.name.clone())
    }

    /// Runs one function on one event, without a gateway in front: for sample events.
    ///
    /// # Errors
    /// [`InvokeError`].
    pub async fn invoke(&self, function: &str, event: Value) -> Result<Value, InvokeError> {
        self.lambda.invoke(function, event).await
    }

    /// Everything AWS would bill so far.
    pub fn meter(&self) -> MeterSnapshot {
        self.meter.snapshot()
    }

    /// The newest log lines of the functions, oldest first.
    pub fn logs(&self) -> Vec<String> {
        self.logs.recent()
    }

    /// The newest messages that phones would have got, oldest first: texts and pushes.
    pub fn outbox(&self) -> Vec<OutboxMessage> {
        self.outbox.recent()
    }

    /// Every such message from now on. Who falls behind is told how many were missed.
    pub fn observe_outbox(&self) -> broadcast::Receiver<OutboxMessage> {
        self.outbox.observe()
    }

    /// Where this machine reads the outbox: `http://127.0.0.1:PORT/_local/outbox`.
    pub fn outbox_url(&self) -> String {
        format!("{}{}", self.aws_endpoint(), outbox::PATH)
    }

    /// The pushes that the phone with this token would have got, oldest first.
    pub fn pushes(&self, token: &str) -> Vec<OutboxMessage> {
        self.outbox.pushes(token)
    }

    /// Has the next `count` requests for a push fail, as when SNS is out of order.
    pub fn fail_pushes(&self, count: u32) {
        self.outbox.fail_pushes(count);
    }

    /// Where a client on this machine waits for the pushes to its token: `http://127.0.0.1:PORT/_local/pushes`.
    pub fn pushes_url(&self) -> String {
        format!("{}{}", self.aws_endpoint(), outbox::PUSHES_PATH)
    }

    /// What the template grants a function and no call has needed so far.
    pub fn unused_grants(&self) -> Vec<Grant> {
        self.aws.unused_grants()
    }

    /// Every WebSocket message from now on, in both directions. Who falls behind is told how many were missed.
    pub fn observe_frames(&self) -> broadcast::Receiver<ObservedFrame> {
        self.gateway.observe()
    }

    /// Every invocation of a function from now on, when it has ended. Who falls behind is told how many were missed.
    pub fn observe_invocations(&self) -> broadcast::Receiver<ObservedInvocation> {
        self.lambda.observe()
    }

    /// Keeps every call to the database from now on, to be done again by [`Bare`].
    pub fn record_database(&self) {
        self.database.record();
    }

    /// The calls kept since [`record_database`](Self::record_database); no more are kept.
    pub fn recorded_database(&self) -> Recorded {
        self.database.recorded()
    }

    /// Deletes what has expired now, and tells how many items that were. A timer does it otherwise.
    pub async fn sweep_expired(&self) -> usize {
        self.database.sweep_expired().await.unwrap_or(0)
    }

    /// Ends everything in order: connections are closed and `$disconnect` runs for each; invocations end, and
    /// the processes with them; nobody listens any more; the files are closed.
    pub async fn shutdown(self) {
        self.gateway.shutdown().await;
        self.lambda.shutdown().await;
        // After the functions: processes call AWS through this listener to the last.
        self.ending.cancel();
        if let Err(error) = self.server.await {
            tracing::warn!(%error, "the server broke off");
        }
        self.database.close().await;
    }
}

async fn listen(address: IpAddr, port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let wanted = SocketAddr::new(address, port);
    let failed = |source| StartError::Listen {
        address: wanted,
        source,
    };
    let listener = TcpListener::bind(wanted).await.map_err(failed)?;
    let mut reached = listener.local_addr().map_err(failed)?;
    // "Every address" is no address to connect to.
    if reached.ip().is_unspecified() {
        reached.set_ip(match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
        });
    }
    Ok((listener, reached))
}

/// The secret of the run: kept with its tables, or made up for it.
async fn secret(storage: &Storage) -> Result<String, StartError> {
    let (Storage::Directory(path) | Storage::FastDirectory(path)) = storage else {
        return Ok(secret::fresh());
    };
    let path = path.clone();
    let kept = tokio::task::spawn_blocking(move || {
        secret::kept_in(&path).map_err(|source| StorageError::Directory { path, source })
    });
    Ok(kept.await??)
}

/// The same in every run, so that tables are found again; one for each run where several share a database.
fn stack_name(storage: &Storage) -> String {
    let name = Surroundings::default().stack_name;
    match storage {
        Storage::Elsewhere(_) => format!("{name}-{}", Uuid::new_v4().simple()),
        _ => name,
    }
}

async fn load_template(config: &RunnerConfig, surroundings: &Surroundings) -> Result<Template, StartError> {
    let Some(path) = config.template.clone() else {
        return Ok(Template::load(TEMPLATE, &config.parameters, surroundings)?);
    };
    let read = tokio::task::spawn_blocking(move || {
        std::fs::read_to_string(&path).map_err(|source| StartError::ReadTemplate { path, source })
    });
    Ok(Template::load(&read.await??, &config.parameters, surroundings)?)
}

/// Deletes what has expired, again and again.
async fn sweep(database: DynamoDb) {
    let mut due = tokio::time::interval_at(Instant::now() + SWEEP_INTERVAL, SWEEP_INTERVAL);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        match database.sweep_expired().await {
            Ok(0) => {}
            Ok(deleted) => tracing::debug!(deleted, "deleted what had expired"),
            Err(Closed) => break,
        }
    }
}
