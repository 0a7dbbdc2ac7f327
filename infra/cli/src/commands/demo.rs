//! `cargo waxwing demo`: the main job on real input, told as a story, with an account of every message.
//!
//! Alice has a phone and a laptop, Bob has a phone. Every line of a text is a message, the odd ones from
//! Alice's side, the even ones from Bob. Bob's phone is away for the middle third; what he writes there waits
//! in his outbox. Meanwhile every place that the service writes to is searched for the lines. At the end two other
//! people show what happens when devices come, go, and get lost.

mod account;
mod accounts;
mod conversation;
mod report;

use std::{path::PathBuf, sync::Arc};

use tokio::sync::broadcast::{self, error::RecvError};
use waxwing_client::{MAX_TEXT_BYTES, SendError};
use waxwing_local::{gateway::ObservedFrame, meter::MeterSnapshot, runner::Runner};

use self::report::{Parts, Report};
use crate::{
    commands::Outcome,
    console::{Console, thousands},
    evidence::Evidence,
    ledger::DeviceNumber,
    logging,
    people::{self, Device, PeopleError},
    run::{Run, Stalled},
    search::SearchError,
    service::{self, FunctionsArgs, FunctionsRun, Options, ServiceError},
    tables::{Tables, TablesError},
    text::{Text, TextError},
};

/// The mailbox's name in the template.
const MAILBOX: &str = "MailboxTable";

/// Send a text back and forth between two people with three devices, and account for every message.
///
/// Everything runs here and now, in memory: the functions, the tables, the sockets, the cryptography. Each
/// line of the text that is not empty is a message. Ends with exit code 1 if a message is lost, doubled, out
/// of order or altered, if a mailbox is not empty, or if a line can be read anywhere in the service.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Send the lines of this file instead of the built-in text
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    #[command(flatten)]
    functions: FunctionsArgs,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Why the demo did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The text cannot be sent.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The text cannot be searched for.
    #[error(transparent)]
    Search(#[from] SearchError),
    /// The service did not start.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A device did not get in.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// A promise about accounts was not kept.
    #[error(transparent)]
    Accounts(#[from] accounts::AccountsError),
    /// A message could not even be stored.
    #[error("a message could not be handed over: {0}")]
    Send(#[from] SendError),
    /// A device did not tell what it was to tell.
    #[error("{0}; run again with WAXWING_LOG=debug to see what happens")]
    Stalled(#[from] Stalled),
    /// The frames could not be looked at to the last.
    #[error("frames were not looked at: {0}")]
    Frames(#[from] tokio::task::JoinError),
    /// The tables could not be looked into.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The template has no mailbox.
    #[error("the template has no table {MAILBOX}")]
    NoMailbox,
    /// A constant is wrong.
    #[error("latencies cannot be kept: {0}")]
    Latency(#[from] hdrhistogram::CreationError),
    /// The built-in price book is broken.
    #[error(transparent)]
    Prices(#[from] waxwing_cost::BookError),
    /// The report could not be printed.
    #[error("the report could not be printed: {0}")]
    Print(#[from] std::io::Error),
}

/// Runs the demo and prints its report.
///
/// # Errors
/// [`DemoError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, DemoError> {
    let processes = args.functions.processes;
    let text = Text::load(args.text.as_deref(), MAX_TEXT_BYTES)?;
    let evidence = Evidence::against(text.lines.iter().map(String::as_str))?;
    logging::begin_with(evidence.clone());
    console.say(format_args!(
        "{} lines, from Alice (phone, laptop) to Bob (phone) and back; functions run {}.",
        thousands(text.lines.len()),
        FunctionsRun::chosen(processes),
    ));
    let options = Options {
        verbose: true,
        binary: args.functions.binary,
        ..Options::in_memory(processes)
    };
    let clock = Arc::clone(&options.clock_offset);
    let runner = service::start(options, console).await?;
    let frames = tokio::spawn(watch_frames(runner.observe_frames(), evidence.clone()));
    let demo = Demo::prepare(&runner, text, evidence.clone(), console).await?;
    let parts = demo.play(&runner, FunctionsRun::chosen(processes)).await?;
    // Processes of their own have a clock that cannot be set forward, and a minute is long to wait.
    if !processes {
        accounts::tell(&runner, &clock, console).await?;
    }
    evidence.frames_passed(frames_of(&runner.meter()));
    runner.shutdown().await;
    // With the gateway the frames end: now the last one has been looked at.
    frames.await?;
    let report = Report::new(parts, evidence.verdict());
    report.tell(console);
    console.result(&report)?;
    Ok(Outcome::of(report.passed))
}

/// Everything that takes part.
struct Demo<'console> {
    console: &'console Console,
    text: Text,
    evidence: Evidence,
    tables: Tables,
    mailbox: String,
    run: Arc<Run>,
    alice_phone: Member,
    alice_laptop: Member,
    bob_phone: Member,
    /// The meter when everybody was in and connected.
    prepared: MeterSnapshot,
}

/// A device and its number in the run.
struct Member {
    device: Device,
    number: DeviceNumber,
}

impl<'console> Demo<'console> {
    /// Registers, links and connects everybody.
    async fn prepare(
        runner: &Runner,
        text: Text,
        evidence: Evidence,
        console: &'console Console,
    ) -> Result<Self, DemoError> {
        console.say(format_args!("\nThe service runs at {}.", runner.websocket_url()));
        let config = || service::client_config(runner);
        let _progress = console.spinner("registering devices");
        let alice_phone = people::register("Alice's phone", config(), runner).await?;
        let alice_laptop = people::link(&alice_phone, "Alice's laptop", config()).await?;
        let bob_phone = people::register("Bob's phone", config(), runner).await?;
        let run = Run::new();
        let demo = Self {
            console,
            text,
            evidence,
            tables: Tables::at(&runner.aws_endpoint()),
            mailbox: runner.table_name(MAILBOX).ok_or(DemoError::NoMailbox)?,
            alice_phone: Member::join(&run, alice_phone).await?,
            alice_laptop: Member::join(&run, alice_laptop).await?,
            bob_phone: Member::join(&run, bob_phone).await?,
            run,
            prepared: MeterSnapshot::default(),
        };
        for member in demo.members() {
            demo.run
                .route(member.number, demo.members().map(|other| other.number));
            demo.arrives(member).await?;
            console.say(format_args!(
                "  {:<16}{}",
                member.device.name, member.device.address
            ));
        }
        Ok(Self {
            prepared: runner.meter(),
            ..demo
        })
    }

    /// The conversation, and the account of it. A conversation that comes to a standstill is accounted for
    /// too: the account says what is missing.
    async fn play(&self, runner: &Runner, functions_run: FunctionsRun) -> Result<Parts, DemoError> {
        let waited = match self.converse().await {
            Err(DemoError::Stalled(stalled)) => {
                self.console
                    .warn(format_args!("waxwing: {stalled}; this is how far it came"));
                None
            }
            waited => Some(waited?),
        };
        self.account(runner, functions_run, waited).await
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        [&self.alice_phone, &self.alice_laptop, &self.bob_phone].into_iter()
    }
}

impl Member {
    async fn join(run: &Arc<Run>, device: Device) -> Result<Self, PeopleError> {
        let number = run.add(&device).await?;
        Ok(Self { device, number })
    }
}

/// Looks at every frame that passes the gateway.
async fn watch_frames(mut frames: broadcast::Receiver<ObservedFrame>, evidence: Evidence) {
    loop {
        match frames.recv().await {
            Ok(frame) => evidence.frame(frame.text),
            // How many passed is compared with what the gateway counted.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => break,
        }
    }
}

/// Frames that the gateway counted, in both directions.
fn frames_of(meter: &MeterSnapshot) -> usize {
    usize::try_from(meter.gateway.frames_in + meter.gateway.frames_out).unwrap_or(usize::MAX)
}
