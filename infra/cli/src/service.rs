//! The service, run on this machine for a command.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use serde::Serialize;
use waxwing_client::{ClientConfig, Endpoints, StoreLocation};
use waxwing_local::{
    lambda::Concurrency,
    runner::{
        BinaryError, Execution, FaultPlan, Runner, RunnerConfig, StartError, Storage, functions_binary,
    },
};

use crate::console::Console;

/// What tokens name as their audience: the default of the template's parameter `TokenAudience`.
pub const AUDIENCE: &str = "waxwing";

/// How long acks of a command's devices wait for company.
pub const ACK_LINGER: Duration = Duration::from_millis(25);

/// Requests that an account of a command may make in a minute: more than any makes on this machine.
pub const REQUESTS_PER_MINUTE: &str = "1000000";

/// Requests and frames that each API of a command lets in in a second: what AWS lets an account have unless it asks for
/// more.
const REQUESTS_PER_SECOND: &str = "10000";

/// And at the same moment.
const REQUEST_BURST: &str = "5000";

/// How a command's functions are to run.
#[derive(Clone, Debug, clap::Args)]
pub struct FunctionsArgs {
    /// Run functions as processes of their own binary, as Lambda does
    #[arg(long)]
    pub processes: bool,
    /// That binary, built already, such as the one that is to be deployed [default: built from this checkout]
    #[arg(long, value_name = "FILE", requires = "processes")]
    pub binary: Option<PathBuf>,
}

/// How the service is to run.
#[derive(Debug)]
pub struct Options {
    /// Where the tables are kept.
    pub storage: Storage,
    /// Whether functions run as processes of their own binary.
    pub processes: bool,
    /// That binary; built from this checkout if there is none.
    pub binary: Option<PathBuf>,
    /// The port, 0 for any that is free.
    pub port: u16,
    /// Another template than the built-in one.
    pub template: Option<PathBuf>,
    /// Whether functions log everything they can.
    pub verbose: bool,
    /// The template's parameters that do not have their default values.
    pub parameters: BTreeMap<String, String>,
    /// Seconds added to the clock of functions inside this process.
    pub clock_offset: Arc<AtomicI64>,
    /// What goes wrong between functions and AWS; nothing without it.
    pub faults: Option<FaultPlan>,
    /// How many invocations may run at once.
    pub concurrency: Concurrency,
}

impl Options {
    /// In memory, on a port that is free, for a command that does in seconds what people do in days.
    pub fn in_memory(processes: bool) -> Self {
        Self {
            storage: Storage::Memory,
            processes,
            binary: None,
            port: 0,
            template: None,
            verbose: false,
            parameters: [
                ("RequestsPerMinute", REQUESTS_PER_MINUTE),
                ("RequestsPerSecond", REQUESTS_PER_SECOND),
                ("RequestBurst", REQUEST_BURST),
            ]
            .map(|(name, value)| (String::from(name), String::from(value)))
            .into(),
            clock_offset: Arc::default(),
            faults: None,
            concurrency: Concurrency::default(),
        }
    }
}

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The binary that was named is not there.
    #[error("{} cannot be run: {reason}", binary.display())]
    NoSuchBinary {
        /// What was named.
        binary: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The binary of the functions was neither there nor to be built.
    #[error(transparent)]
    Binary(#[from] BinaryError),
    /// The build broke off.
    #[error("the build broke off: {0}")]
    BuildTask(#[from] tokio::task::JoinError),
    /// The runner did not start.
    #[error("the service did not start: {0}")]
    Start(#[from] StartError),
}

/// Starts the service.
///
/// # Errors
/// [`ServiceError`].
pub async fn start(options: Options, console: &Console) -> Result<Runner, ServiceError> {
    Ok(Runner::start(prepare(options, console).await?).await?)
}

/// What a runner needs to start; the functions' binary is built if one is wanted and none is named.
///
/// # Errors
/// [`ServiceError`].
pub async fn prepare(options: Options, console: &Console) -> Result<RunnerConfig, ServiceError> {
    let execution = if options.processes {
        let binary = functions_binary_of(options.binary, console).await?;
        Execution::Processes { binary }
    } else {
        Execution::InProcess
    };
    let mut parameters = options.parameters;
    if options.verbose {
        parameters.insert(String::from("LogLevel"), String::from("debug"));
    }
    Ok(RunnerConfig {
        template: options.template,
        parameters,
        storage: options.storage,
        execution,
        port: options.port,
        clock_offset: options.clock_offset,
        faults: options.faults,
        concurrency: options.concurrency,
        ..RunnerConfig::default()
    })
}

/// The binary of the functions: the one that was named, or one that is built now.
///
/// # Errors
/// [`ServiceError`].
pub async fn functions_binary_of(named: Option<PathBuf>, console: &Console) -> Result<PathBuf, ServiceError> {
    let Some(binary) = named else {
        return build_functions(console).await;
    };
    // The whole path: a bare name would be looked for where programs are.
    std::fs::canonicalize(&binary).map_err(|reason| ServiceError::NoSuchBinary { binary, reason })
}

/// Builds the binary of the functions. Quick when nothing changed; minutes the first time.
async fn build_functions(console: &Console) -> Result<PathBuf, ServiceError> {
    let progress = console.spinner("building the functions; the first time takes minutes");
    let build = move || functions_binary(|line| progress.tell(line));
    Ok(tokio::task::spawn_blocking(build).await??)
}

/// Where clients find a runner.
pub fn endpoints(runner: &Runner) -> Endpoints {
    Endpoints {
        websocket_url: runner.websocket_url(),
        http_url: runner.http_url(),
        audience: String::from(AUDIENCE),
    }
}

/// How a device that a command runs is configured: it keeps nothing, and acks soon, because the command waits for
/// empty mailboxes.
pub fn client_config(runner: &Runner) -> ClientConfig {
    let mut config = ClientConfig::new(StoreLocation::Memory, endpoints(runner));
    config.timings.ack_linger = ACK_LINGER;
    config
}

/// How functions run, for a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FunctionsRun {
    /// Inside this process.
    InProcess,
    /// As processes of their own binary.
    Processes,
}

impl FunctionsRun {
    /// As `--processes` says.
    pub fn chosen(processes: bool) -> Self {
        if processes {
            Self::Processes
        } else {
            Self::InProcess
        }
    }
}

impl fmt::Display for FunctionsRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InProcess => "inside this process",
            Self::Processes => "as processes of their own",
        })
    }
}
