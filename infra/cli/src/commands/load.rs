//! `cargo waxwing load`: many devices at once, for a while, and what that took.

mod report;
mod sending;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use waxwing_client::SendError;
use waxwing_local::{meter::MeterSnapshot, runner::Runner};

use self::{
    report::{PerSecond, Report},
    sending::{Member, Pace, send_until},
};
use crate::{
    commands::Outcome,
    console::Console,
    cpu::CpuTime,
    latency::Latencies,
    ledger::DeviceNumber,
    logging, operations,
    people::{self, Device, PeopleError},
    run::{Run, Stalled, State},
    service::{self, FunctionsArgs, FunctionsRun, Options, ServiceError},
    tables::{Tables, TablesError},
};

/// Devices at most: beyond it one process runs out of file descriptors under common limits.
const MOST_DEVICES: usize = 400;

/// Seconds at most: the account keeps every message in memory.
const MOST_SECONDS: u64 = 3600;

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
/// --processes) and of the function processes running in the end.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How many devices: an even number, 2 to 400; each two write to each other
    #[arg(long, value_name = "N", value_parser = parse_devices)]
    devices: usize,
    /// For how many seconds they send
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=MOST_SECONDS))]
    seconds: u64,
    /// Messages a second, of all devices together [default: as fast as they are shown]
    #[arg(long, value_name = "R", value_parser = parse_rate)]
    rate: Option<f64>,
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
    /// A device did not get in.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// A message could not even be stored.
    #[error("a message could not be handed over: {0}")]
    Send(#[from] SendError),
    /// Devices stopped telling anything.
    #[error("{0}; try fewer devices or a lower --rate, or run again with WAXWING_LOG=debug")]
    Stalled(#[from] Stalled),
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
    let options = Options {
        binary: args.functions.binary.clone(),
        ..Options::in_memory(args.functions.processes)
    };
    let runner = service::start(options, console).await?;
    let crowd = Crowd::gather(&args, &runner, console).await?;
    let report = crowd.load(&args, &runner, console).await?;
    runner.shutdown().await;
    report.tell(console);
    console.result(&report)?;
    Ok(if report.passed {
        Outcome::Kept
    } else {
        Outcome::Broken
    })
}

/// Every device, in pairs.
struct Crowd {
    run: Arc<Run>,
    members: Vec<Member>,
}

/// Figures at one moment.
struct Reading {
    at: Instant,
    accepted: usize,
    shown: usize,
    acked: usize,
}

impl Crowd {
    /// Registers and connects everybody, and lets each device send one message.
    async fn gather(args: &Args, runner: &Runner, console: &Console) -> Result<Self, LoadError> {
        let run = Run::new();
        let progress = console.progress("registering devices", args.devices);
        let mut devices = Vec::with_capacity(args.devices);
        for number in 1..=args.devices {
            let config = service::client_config(runner);
            let device = people::register(&format!("device {number}"), config, runner).await?;
            let in_run = run.add(&device).await?;
            devices.push((device, in_run));
            progress.step();
        }
        drop(progress);
        let crowd = Self {
            members: pair_up(&run, &devices),
            run,
        };
        crowd.warm_up(console).await?;
        Ok(crowd)
    }

    async fn warm_up(&self, console: &Console) -> Result<(), LoadError> {
        let _progress = console.spinner("opening sessions");
        let everybody = self.members.len();
        for member in &self.members {
            member.device.client.connect();
        }
        self.run
            .until("every device is connected", |state| {
                state.told_by_all().drained >= everybody
            })
            .await?;
        for member in &self.members {
            let text = "The first message opens the session.";
            self.run
                .send(member.number, &member.device, member.partner, text)
                .await?;
        }
        self.run
            .until("every session is open", |state| {
                state.accepted() >= everybody
                    && state.shown() >= everybody
                    && state.told_by_all().acked >= everybody
            })
            .await?;
        for member in &self.members {
            self.run.set_present(member.number, true);
        }
        Ok(())
    }

    /// Sends for the given time, drains, and adds up. A load that comes to a standstill is accounted for too:
    /// the account says what is missing.
    async fn load(&self, args: &Args, runner: &Runner, console: &Console) -> Result<Report, LoadError> {
        let meter = runner.meter();
        let cpu = CpuTime::read();
        let start = self.read();
        let ended = self.send_for(args, console).await;
        let end = self.read();
        let ended = match ended {
            Ok(()) => self.drain(console).await.map_err(LoadError::from),
            stopped => stopped,
        };
        let completed = match ended {
            Err(LoadError::Stalled(stalled)) => {
                console.warn(format_args!("waxwing: {stalled}; this is how far it came"));
                false
            }
            ended => ended.map(|()| true)?,
        };
        let cpu = CpuTime::read()
            .zip(cpu)
            .map(|(later, earlier)| later.since(&earlier));
        let used = runner.meter().since(&meter);
        for member in &self.members {
            member.device.client.disconnect().await;
        }
        let readings = Readings {
            completed,
            start,
            end,
            cpu,
            used,
        };
        self.report(args, runner, readings).await
    }

    /// Waits until everything sent is shown and acked.
    async fn drain(&self, console: &Console) -> Result<(), Stalled> {
        let _progress = console.spinner("waiting for what is on its way");
        self.run.settled().await?;
        let shown = self.run.look(State::shown);
        self.run
            .until("everything shown is acked", |state| {
                state.told_by_all().acked >= shown
            })
            .await
    }

    async fn send_for(&self, args: &Args, console: &Console) -> Result<(), LoadError> {
        let seconds = usize::try_from(args.seconds).unwrap_or(usize::MAX);
        let progress = console.progress("seconds", seconds);
        let start = tokio::time::Instant::now();
        let deadline = start + Duration::from_secs(args.seconds);
        let mut senders = JoinSet::new();
        for (place, member) in self.members.iter().enumerate() {
            let pace = args.rate.map(|rate| Pace::of(rate, place, self.members.len()));
            senders.spawn(send_until(deadline, self.run.clone(), member.clone(), pace));
        }
        let mut ticks = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                ended = senders.join_next() => match ended {
                    Some(sent) => sent??,
                    None => return Ok(()),
                },
                _ = ticks.tick() => progress.set(usize::try_from(start.elapsed().as_secs()).unwrap_or(seconds)),
            }
        }
    }

    async fn report(&self, args: &Args, runner: &Runner, readings: Readings) -> Result<Report, LoadError> {
        let Readings {
            completed,
            start,
            end,
            cpu,
            used,
        } = readings;
        let mut latencies = Latencies::new()?;
        let (mut audit, told) = self.run.look(|state| {
            state
                .ledger()
                .latencies()
                .for_each(|latency| latencies.record(latency));
            (state.ledger().audit(), state.told_by_all())
        });
        // Of so many devices only those are told of that a reader has to look at.
        audit.by_device.retain(|device| !device.is_clean());
        let mailbox = runner.table_name(MAILBOX).ok_or(LoadError::NoMailbox)?;
        let mailbox_left = Tables::at(&runner.aws_endpoint()).items(&mailbox).await?.len();
        let messages = audit.sent - self.members.len();
        let operations = operations::measure(&used, messages)?;
        let seconds = end.at.duration_since(start.at).as_secs_f64();
        let faults = mailbox_left + told.faults();
        Ok(Report {
            passed: completed && audit.is_clean() && faults == 0 && operations.function_errors == 0,
            completed,
            devices: self.members.len(),
            seconds,
            rate: args.rate,
            functions_run: FunctionsRun::chosen(args.functions.processes),
            per_second: PerSecond {
                accepted: (end.accepted - start.accepted) as f64 / seconds,
                delivered: (end.shown - start.shown) as f64 / seconds,
                acked: (end.acked - start.acked) as f64 / seconds,
            },
            latency_ms: latencies.summary(),
            cpu_seconds_per_1000_messages: cpu
                .filter(|_| messages > 0)
                .map(|cpu| cpu.as_secs_f64() * 1000.0 / messages as f64),
            operations_per_1000_messages: operations.per_thousand(messages),
            operations,
            mailbox_left,
            told,
            audit,
        })
    }

    fn read(&self) -> Reading {
        self.run.look(|state| Reading {
            at: Instant::now(),
            accepted: state.accepted(),
            shown: state.shown(),
            acked: state.told_by_all().acked,
        })
    }
}

/// What was read around the load.
struct Readings {
    completed: bool,
    start: Reading,
    end: Reading,
    cpu: Option<Duration>,
    used: MeterSnapshot,
}

/// Each device writes to its neighbour.
fn pair_up(run: &Run, devices: &[(Device, DeviceNumber)]) -> Vec<Member> {
    let mut members = Vec::with_capacity(devices.len());
    for pair in devices.chunks_exact(2) {
        let [(first, first_number), (second, second_number)] = pair else {
            continue;
        };
        for (device, number, partner, partner_number) in [
            (first, first_number, second, second_number),
            (second, second_number, first, first_number),
        ] {
            run.route(*number, [*partner_number]);
            members.push(Member {
                device: device.clone(),
                number: *number,
                partner: partner.address.account,
            });
        }
    }
    members
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
