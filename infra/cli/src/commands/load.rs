//! `cargo waxwing load`: many devices at once, for a while, and what that took.

mod account;
mod apart;
mod chaos;
mod crowd;
mod drain;
mod idle;
mod overload;
mod report;
mod sdk;
mod sending;
mod steady;

use std::time::Duration;

use waxwing_client::SendError;
use waxwing_local::runner::CloudError;

pub use self::{chaos::ChaosError, idle::IdleError};

use crate::{
    commands::Outcome,
    console::Console,
    logging,
    people::PeopleError,
    run::Stalled,
    service::{FunctionsArgs, ServiceError},
    tables::TablesError,
};

/// Devices at most: beyond it one process runs out of file descriptors under common limits.
const MOST_DEVICES: usize = 400;

/// Devices unless told otherwise: enough to be a crowd, few enough to be registered in seconds.
const DEFAULT_DEVICES: &str = "12";

/// Seconds that everything may take to come to rest unless told otherwise: a gap is reported, and asked for, within half of
/// it.
const REST_SECONDS: u64 = 60;

/// Seconds at most: the account keeps every message in memory.
const MOST_SECONDS: u64 = 3600;

/// Messages that wait at most: the account keeps every message in memory.
const MOST_WAITING: i64 = 100_000;

/// Idle connections at most: beyond it one address runs out of ports.
const MOST_IDLE: i64 = 20_000;

/// The mailbox's name in the template.
const MAILBOX: &str = "MailboxTable";

/// Put the service under load: pairs of devices that write to each other, and what that took.
///
/// Everything runs on this machine, in memory: clients, functions, tables. Before the clock starts each
/// device is connected and has sent one message, so that sessions are open. After the given time nothing more
/// is sent, and what is on its way arrives. Ends with exit code 1 if a message is lost, doubled or out of
/// order.
///
/// CPU seconds are those of this process (clients, runner, embedded database, and the functions unless
/// --processes) and of the function processes running in the end; those of the service are told apart, and beside them
/// stand those of the same calls to the database done again: straight, with nothing around them, through the AWS SDK,
/// with nothing else around them, and through the SDK and a socket. Figures are worth comparing from a build with --release.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many devices: an even number, 2 to 400; each two write to each other
    #[arg(long, value_name = "N", value_parser = parse_devices, default_value = DEFAULT_DEVICES)]
    devices: usize,
    /// For how many seconds they send
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=MOST_SECONDS),
          required_unless_present_any = ["drain", "idle"])]
    seconds: Option<u64>,
    /// Messages a second, of all devices together [default: as fast as they are shown; 20 with --chaos]
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    rate: Option<f64>,
    /// Break everything meanwhile: kill functions and the service, cut sockets, let AWS fail, drop clients
    ///
    /// The service is a process that keeps its tables in a temporary folder, its functions are processes below it, and
    /// people have two devices each. Afterwards everything has to come to rest, and to be there once.
    #[arg(long)]
    chaos: bool,
    /// What the disturbances of --chaos are drawn from [default: another each time, which is printed]
    #[arg(long, value_name = "S", requires = "chaos")]
    seed: Option<u64>,
    /// Seconds that everything may take to come to rest after --chaos
    #[arg(long, value_name = "S", requires = "chaos", default_value_t = REST_SECONDS)]
    rest: u64,
    /// Wrong on purpose, for the test of this command: some puts are answered and not done
    #[arg(long, requires = "chaos", hide = true)]
    forget: bool,
    /// Offer so many times the sustainable rate, one after the other, under quotas that are soon used up: 2,10
    ///
    /// The quotas let each API do 50 requests a second and 2 invocations run at once. Each rate is offered for
    /// --seconds; then the time is taken until everything is accepted and shown, two minutes at most.
    #[arg(long, value_name = "FACTORS", value_delimiter = ',', value_parser = parse_rate, conflicts_with_all = ["chaos", "rate"])]
    overload: Vec<f64>,
    /// Let so many messages wait for a device that is away, and tell what it takes when it comes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_WAITING),
          conflicts_with_all = ["chaos", "rate", "overload", "seconds"])]
    drain: Option<u32>,
    /// Open so many connections to a runner of their own, do nothing, and tell what each costs of its memory
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MOST_IDLE),
          conflicts_with_all = ["chaos", "rate", "overload", "seconds", "drain", "processes", "binary"])]
    idle: Option<u32>,
    #[command(flatten)]
    functions: FunctionsArgs,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The service did not start.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Chaos did not come to its account.
    #[error(transparent)]
    Chaos(#[from] ChaosError),
    /// A device did not get in.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// A message could not even be stored.
    #[error("a message could not be handed over: {0}")]
    Send(#[from] SendError),
    /// Devices stopped telling anything.
    #[error("{0}; try fewer devices or a lower --rate, or run again with WAXWING_LOG=debug")]
    Stalled(#[from] Stalled),
    /// Devices did not get in under the quotas.
    #[error("not every device was connected within {} s; try fewer devices", .0.as_secs())]
    NotGathered(Duration),
    /// A sender crashed.
    #[error("a sending task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The mailbox could not be looked into.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The template has no mailbox.
    #[error("the template has no table {MAILBOX}")]
    NoMailbox,
    /// A constant is wrong.
    #[error("latencies cannot be kept: {0}")]
    Latency(#[from] hdrhistogram::CreationError),
    /// The database for the comparison does not open.
    #[error("the database for the comparison does not open: {0}")]
    Bare(#[from] CloudError),
    /// One device writes, one is away.
    #[error("two devices are needed")]
    NoPair,
    /// The idle connections were not to be had.
    #[error(transparent)]
    Idle(#[from] IdleError),
    /// The built-in price book is broken.
    #[error(transparent)]
    Prices(#[from] waxwing_cost::BookError),
    /// The report could not be printed.
    #[error("the report could not be printed: {0}")]
    Print(#[from] std::io::Error),
}

/// Runs the load and prints its report.
///
/// # Errors
/// [`LoadError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, LoadError> {
    logging::begin();
    if args.chaos {
        return Ok(chaos::run(&args, console).await?);
    }
    if !args.overload.is_empty() {
        return overload::run(&args, &args.overload, console).await;
    }
    if let Some(waiting) = args.drain {
        return drain::run(&args, waiting as usize, console).await;
    }
    if let Some(connections) = args.idle {
        return idle::run(connections as usize, console).await;
    }
    steady::run(args, console).await
}

impl Args {
    /// For how long devices send; nothing where another measure is asked for.
    fn lasts(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or_default())
    }
}

fn parse_devices(text: &str) -> Result<usize, String> {
    let valid = |devices: &usize| (2..=MOST_DEVICES).contains(devices) && devices.is_multiple_of(2);
    let devices = text.parse().ok().filter(valid);
    devices.ok_or_else(|| format!("an even number from 2 to {MOST_DEVICES} is needed"))
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text
        .parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| String::from("messages a second are needed, more than 0"))
}
