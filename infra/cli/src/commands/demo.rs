//! `cargo waxwing demo`: the main job on real input, told as a story, with an account of every message.
//!
//! Alice has a phone and a laptop, Bob has a phone. Every line of a text is a message, the odd ones from
//! Alice's side, the even ones from Bob. Bob's phone is away for the middle third; what he writes there waits
//! in his outbox. Meanwhile every place that the service writes to is searched for the lines.

mod report;

use std::{ops::Range, path::PathBuf, sync::Arc, time::Instant};

use tokio::sync::broadcast::{self, error::RecvError};
use waxwing_client::{ClientConfig, MAX_TEXT_BYTES, MessageId, SendError, StoreLocation};
use waxwing_local::{gateway::ObservedFrame, logs, meter::MeterSnapshot, runner::Runner};

use self::report::{Report, Story};
use crate::{
    commands::Outcome,
    console::{Console, Progress, printable, thousands},
    evidence::{self, Evidence},
    latency::Latencies,
    ledger::{Audit, DeviceNumber, Shown},
    logging, operations,
    people::{self, Device, PeopleError},
    run::{Run, Stalled, State},
    search::SearchError,
    service::{self, Options, ServiceError},
    tables::{Tables, TablesError},
    text::{Text, TextError},
};

/// Messages of one device that may be on their way at once: enough to keep the functions busy, few enough to
/// stay far below what a mailbox page or a ratchet allows.
const WINDOW: usize = 16;

/// The mailbox's name in the template.
const MAILBOX: &str = "MailboxTable";

/// Of Alice's lines, every third comes from her laptop: of six lines in a row, the fifth.
const LINES_IN_A_ROUND: usize = 6;
const LAPTOP_LINE: usize = 4;

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
    /// Run functions as processes of the release binary, as Lambda does
    #[arg(long)]
    processes: bool,
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
    /// A message could not even be stored.
    #[error("a message could not be handed over: {0}")]
    Send(#[from] SendError),
    /// A device did not tell what it was to tell.
    #[error("{0}; run with WAXWING_LOG=debug to see what happens")]
    Stalled(#[from] Stalled),
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
    let text = Text::load(args.text.as_deref(), MAX_TEXT_BYTES)?;
    let evidence = Evidence::against(text.lines.iter().map(String::as_str))?;
    logging::begin_with(evidence.clone());
    console.say(format_args!(
        "{} lines, from Alice (phone, laptop) to Bob (phone) and back; functions run {}.",
        thousands(text.lines.len()),
        service::execution_name(args.processes),
    ));
    let options = Options {
        verbose: true,
        ..Options::in_memory(args.processes)
    };
    let runner = service::start(options, console).await?;
    let demo = Demo::prepare(&runner, text, evidence, console).await?;
    let report = demo
        .play(&runner, service::execution_name(args.processes))
        .await?;
    runner.shutdown().await;
    report.tell(console);
    console.result(&report)?;
    Ok(if report.passed {
        Outcome::Kept
    } else {
        Outcome::Broken
    })
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
        tokio::spawn(watch_frames(runner.observe_frames(), evidence.clone()));
        let config = || ClientConfig::new(StoreLocation::Memory, service::endpoints(runner));
        let _progress = console.spinner("registering devices");
        let alice_phone = people::register("Alice's phone", config()).await?;
        let alice_laptop = people::link(&alice_phone, "Alice's laptop", config()).await?;
        let bob_phone = people::register("Bob's phone", config()).await?;
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

    /// The three thirds, and the account of them.
    async fn play(&self, runner: &Runner, execution: &'static str) -> Result<Report, DemoError> {
        let progress = self.console.progress("lines accepted", self.text.lines.len());
        let lines = self.text.lines.len();
        let (first, second) = (lines / 3, lines * 2 / 3);

        self.begin_chapter(0..first, "everybody is connected");
        self.talk(0..first, &progress).await?;
        self.end_first_chapter();

        self.begin_chapter(first..second, "Bob's phone is away");
        self.leaves(&self.bob_phone).await?;
        self.talk(first..second, &progress).await?;
        let waiting = self.look_while_waiting().await?;
        self.bob_returns().await?;

        self.begin_chapter(second..lines, "everybody is connected again");
        self.talk(second..lines, &progress).await?;
        drop(progress);
        self.account(runner, execution, waiting).await
    }

    /// Sends lines, alternating, and waits until all devices that are present have shown them.
    async fn talk(&self, lines: Range<usize>, progress: &Progress) -> Result<(), DemoError> {
        let numbers = lines.clone();
        for (number, line) in numbers.zip(self.text.lines.get(lines).unwrap_or_default()) {
            let (from, to) = self.who_says(number);
            self.run.room_for(from.number, WINDOW).await?;
            let to = to.device.address.account;
            self.run.send(from.number, &from.device, to, line).await?;
            progress.set(self.run.look(State::accepted));
        }
        self.run.settled().await?;
        progress.set(self.run.look(State::accepted));
        Ok(())
    }

    /// Whose device says a line, counted from 0, and a device of the person it is for.
    fn who_says(&self, line: usize) -> (&Member, &Member) {
        match (line % 2, line % LINES_IN_A_ROUND) {
            (1, _) => (&self.bob_phone, &self.alice_phone),
            (_, LAPTOP_LINE) => (&self.alice_laptop, &self.bob_phone),
            _ => (&self.alice_phone, &self.bob_phone),
        }
    }

    fn begin_chapter(&self, lines: Range<usize>, what: &str) {
        let (start, end) = (thousands(lines.start + 1), thousands(lines.end));
        self.console.say(format_args!("\nLines {start} to {end}: {what}"));
        if let Some(line) = self.text.lines.get(lines.start) {
            let (from, _) = self.who_says(lines.start);
            self.console
                .say(format_args!("  {}: {}", from.device.name, printable(line)));
        }
    }

    fn end_first_chapter(&self) {
        let told = self.run.look(State::told_by_all);
        let with = told.handshakes_with_one_time_prekey;
        let opened = with + told.handshakes_without_one_time_prekey;
        let shown = thousands(self.run.look(State::shown));
        self.console.say(format_args!(
            "  {opened} sessions were opened, {with} of them with a one-time prekey."
        ));
        self.console.say(format_args!(
            "  Every line was accepted, and shown on both other devices: {shown} times in all."
        ));
    }

    /// Looks into the tables while only Bob's messages lie in the mailbox. Gives how many do.
    async fn look_while_waiting(&self) -> Result<usize, DemoError> {
        self.everything_shown_is_acked().await?;
        let waiting = self.tables.items(&self.mailbox).await?;
        self.evidence.tables(&self.tables).await?;
        self.evidence.control(&waiting)?;
        let count = thousands(waiting.len());
        self.console.say(format_args!(
            "  {count} envelopes wait in the mailbox of Bob's phone."
        ));
        if let Some(ciphertext) = waiting.first().and_then(evidence::longest) {
            let beginning: String = ciphertext
                .iter()
                .take(24)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            self.console.say(format_args!(
                "  What the service has of one: {beginning}… ({} bytes)",
                ciphertext.len()
            ));
        }
        Ok(waiting.len())
    }

    async fn bob_returns(&self) -> Result<(), DemoError> {
        self.console.say("\nBob's phone is back");
        let shown_there = |state: &State| state.shown_on(self.bob_phone.number);
        let (shown, on_his) = self.run.look(|state| (state.shown(), shown_there(state)));
        self.arrives(&self.bob_phone).await?;
        self.run.settled().await?;
        let (shown, on_his) = self
            .run
            .look(|state| (state.shown() - shown, shown_there(state) - on_his));
        self.console.say(format_args!(
            "  It showed the {} lines that had waited, in order.",
            thousands(on_his)
        ));
        self.console.say(format_args!(
            "  What he had written meanwhile left its outbox, and was shown {} times on Alice's two devices.",
            thousands(shown - on_his),
        ));
        Ok(())
    }

    async fn everything_shown_is_acked(&self) -> Result<(), Stalled> {
        let shown = self.run.look(State::shown);
        self.run
            .until("everything shown is acked", |state| {
                state.told_by_all().acked >= shown
            })
            .await
    }

    /// Waits for every ack, ends the connections, looks everywhere once more, and adds everything up.
    async fn account(
        &self,
        runner: &Runner,
        execution: &'static str,
        waiting: usize,
    ) -> Result<Report, DemoError> {
        self.everything_shown_is_acked().await?;
        for member in self.members() {
            member.device.client.disconnect().await;
        }
        let used = runner.meter().since(&self.prepared);
        self.evidence.tables(&self.tables).await?;
        self.evidence.log_lines(&runner.logs(), logs::KEPT_LINES);
        let mailbox_left = self.tables.items(&self.mailbox).await?.len();

        let mut latencies = Latencies::new()?;
        let (audit, told) = self.run.look(|state| {
            state
                .ledger()
                .latencies()
                .for_each(|latency| latencies.record(latency));
            (state.ledger().audit(), state.told_by_all())
        });
        let measured = operations::measure(&used, audit.sent)?;
        let stored = stored(&used, &self.mailbox);
        Ok(Report::new(report::Parts {
            execution,
            empty_lines: self.text.empty,
            stores_agree: self.audit_of_stores()?.is_clean(),
            mailbox_left,
            latency_ms: latencies.summary(),
            story: Story {
                claims: measured.invocations.get("claim").copied().unwrap_or(0),
                stored,
                waited_for_bob: waiting,
                deleted: stored.saturating_sub(u64::try_from(mailbox_left).unwrap_or(u64::MAX)),
                told,
            },
            search: self.evidence.verdict(),
            audit,
            operations: measured,
        }))
    }

    /// The same account of what each device's store holds in the end, instead of what was shown.
    fn audit_of_stores(&self) -> Result<Audit, DemoError> {
        let mut lists = Vec::new();
        for member in self.members() {
            lists.push(self.kept_by(member)?);
        }
        Ok(self.run.look(|state| state.ledger().with_shown(lists).audit()))
    }

    /// What others sent, as the store of a device holds it.
    fn kept_by(&self, member: &Member) -> Result<Vec<Shown<MessageId>>, DemoError> {
        let alice = self.alice_phone.device.address.account;
        let bob = self.bob_phone.device.address.account;
        let other = if member.device.address.account == alice {
            bob
        } else {
            alice
        };
        let kept = member
            .device
            .client
            .messages(other)
            .map_err(|error| PeopleError::Store(member.device.name.clone(), error))?;
        let now = Instant::now();
        Ok(self.run.look(|state| {
            kept.into_iter()
                .filter(|message| message.from != member.device.address)
                .map(|message| Shown {
                    id: message.id,
                    from: state.number_of(message.from),
                    text: message.text,
                    at: now,
                })
                .collect()
        }))
    }

    /// Connects a device and waits until it has read its mailbox.
    async fn arrives(&self, member: &Member) -> Result<(), Stalled> {
        let drained = self.run.look(|state| state.told(member.number).drained);
        member.device.client.connect();
        let again = |state: &State| state.told(member.number).drained > drained;
        self.run.until("the device has read its mailbox", again).await?;
        self.run.set_present(member.number, true);
        Ok(())
    }

    async fn leaves(&self, member: &Member) -> Result<(), Stalled> {
        self.run.set_present(member.number, false);
        member.device.client.disconnect().await;
        self.run
            .until("the device is disconnected", |state| {
                state.told(member.number).disconnected > 0
            })
            .await
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
            Err(RecvError::Lagged(missed)) => evidence.frames_missed(missed),
            Err(RecvError::Closed) => break,
        }
    }
}

/// Envelopes that `send` put into mailboxes, repetitions included.
fn stored(used: &MeterSnapshot, mailbox: &str) -> u64 {
    used.tables
        .get("send")
        .and_then(|tables| tables.get(mailbox))
        .and_then(|operations| operations.get("PutItem"))
        .map_or(0, |puts| puts.calls)
}
