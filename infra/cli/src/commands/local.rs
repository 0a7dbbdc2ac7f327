//! `cargo waxwing local`: runs the service on this machine until it is told to stop.

use std::{path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio::signal::ctrl_c;
#[cfg(unix)]
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::{Receiver, error::RecvError};
use waxwing_local::{
    aws::dynamodb::storage::StorageError,
    lambda::Concurrency,
    outbox::{Channel, OutboxMessage},
    runner::{FaultPlan, StartError, Storage},
};

use crate::{
    commands::Outcome,
    console::Console,
    logging,
    service::{self, FunctionsArgs, Options, ServiceError},
};

/// The port that `local` listens on and `chat` connects to unless told otherwise: high enough to
/// need no rights, and none that common tools use.
pub const DEFAULT_PORT: u16 = 4680;

/// Where the tables are kept unless told otherwise. `chat` keeps its people beside it, so both survive a
/// restart together.
const DEFAULT_DATA: &str = ".waxwing/service";

/// Run the service on this machine: template.yaml's functions behind its routes, over embedded tables.
///
/// Prints its addresses and runs until Ctrl-C. Tables are kept in .waxwing/service unless --data or --memory
/// says otherwise. Texts and pushes that phones would get are printed as they come.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep the tables in this directory between runs [default: .waxwing/service]
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    data: Option<PathBuf>,
    /// Keep the tables in memory only; they are gone when the command ends
    #[arg(long)]
    memory: bool,
    /// The port to listen on; 0 for any that is free
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PORT)]
    port: u16,
    #[command(flatten)]
    functions: FunctionsArgs,
    /// Another template than the one built in
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// A value for a parameter of the template, such as LogLevel=debug; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_parameter)]
    set: Vec<(String, String)>,
    /// Let requests of functions to AWS go wrong, for tests: SEED:RATE, such as 7:0.05
    #[arg(long, value_name = "PLAN", hide = true)]
    faults: Option<FaultPlan>,
    /// Print one JSON object with the addresses when ready, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Why the service did not run, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Something else listens there.
    #[error("{0}\nIs another one running? End it, or choose another port with --port.")]
    Listen(#[source] ServiceError),
    /// The directory is another runner's.
    #[error("{0}\nEnd the other one, or choose another directory with --data, or --memory.")]
    InUse(#[source] ServiceError),
    /// It did not start for another reason.
    #[error(transparent)]
    Service(ServiceError),
    /// Its addresses could not be printed, or Ctrl-C not be heard.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// What a program is told when the service is ready.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Ready {
    pub(super) websocket_url: String,
    pub(super) http_url: String,
    pub(super) aws_endpoint: String,
    outbox_url: String,
    pub(super) tables: Vec<String>,
    functions: Vec<String>,
    data: Option<PathBuf>,
}

/// Runs the service until Ctrl-C.
///
/// # Errors
/// [`LocalError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, LocalError> {
    logging::begin();
    if let Some(plan) = args.faults {
        console.warn(format_args!(
            "waxwing: requests to AWS go wrong, as asked for: --faults {plan}"
        ));
    }
    let data = (!args.memory).then(|| args.data.unwrap_or_else(|| PathBuf::from(DEFAULT_DATA)));
    let options = Options {
        storage: data.clone().map_or(Storage::Memory, Storage::Directory),
        processes: args.functions.processes,
        binary: args.functions.binary,
        port: args.port,
        template: args.template,
        verbose: false,
        parameters: args.set.into_iter().collect(),
        clock_offset: Arc::default(),
        faults: args.faults,
        concurrency: Concurrency::default(),
    };
    let runner = service::start(options, console).await?;
    let template = runner.template();
    let ready = Ready {
        websocket_url: runner.websocket_url(),
        http_url: runner.http_url(),
        aws_endpoint: runner.aws_endpoint(),
        outbox_url: runner.outbox_url(),
        tables: template.tables.values().map(|table| table.name.clone()).collect(),
        functions: template.functions.keys().cloned().collect(),
        data,
    };
    let phones = runner.observe_outbox();
    announce(&ready, console);
    console.result(&ready)?;
    tokio::select! {
        told = told_to_end() => told?,
        () = show_phones(phones, console) => {}
    }
    console.say("\nEnding.");
    runner.shutdown().await;
    Ok(Outcome::Kept)
}

/// Prints what phones would show, until the service ends.
async fn show_phones(mut phones: Receiver<OutboxMessage>, console: &Console) {
    loop {
        match phones.recv().await {
            Ok(OutboxMessage {
                channel,
                to,
                body,
                when,
                ..
            }) => {
                let kind = match channel {
                    Channel::Sms => "text",
                    Channel::Push => "push",
                };
                // A terminal obeys control characters; a phone does not.
                let body = body.replace(char::is_control, " ");
                console.say(format_args!("{when}  {kind} to {to}: {body}"));
            }
            Err(RecvError::Lagged(missed)) => {
                console.say(format_args!("{missed} more texts and pushes: see /_local/outbox"));
            }
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Waits for Ctrl-C, or for what a system sends that ends services.
async fn told_to_end() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            pressed = ctrl_c() => pressed,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    ctrl_c().await
}

impl From<ServiceError> for LocalError {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Start(StartError::Listen { .. }) => Self::Listen(error),
            ServiceError::Start(StartError::Storage(StorageError::InUse(_))) => Self::InUse(error),
            other => Self::Service(other),
        }
    }
}

fn parse_parameter(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = parts.ok_or("NAME=VALUE is needed")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn announce(ready: &Ready, console: &Console) {
    console.say("The service runs.\n");
    console.say(format_args!("  WebSocket   {}", ready.websocket_url));
    console.say(format_args!("  HTTP        {}", ready.http_url));
    console.say(format_args!(
        "  AWS         {}   (DynamoDB, @connections and SNS, for the SDKs and the AWS CLI)",
        ready.aws_endpoint
    ));
    console.say(format_args!(
        "  phones      {}   (texts and pushes; printed here too)",
        ready.outbox_url
    ));
    console.say(format_args!("  functions   {}", ready.functions.join(", ")));
    console.say(format_args!("  tables      {}", ready.tables.join(", ")));
    match &ready.data {
        Some(directory) => console.say(format_args!("  kept in     {}", directory.display())),
        None => console.say("  kept in     memory: gone when this ends"),
    }
    console.say("\nTalk through it from two other shells:");
    console.say("  cargo waxwing chat --as alice");
    console.say("  cargo waxwing chat --as bob --to alice");
    console.say("\nCtrl-C ends it.");
}
