//! `cargo waxwing load`: many devices at once, for a while, and what that took.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{task::JoinSet, time::MissedTickBehavior};
use waxwing_client::{ClientConfig, SendError, StoreLocation};
use waxwing_local::{meter::MeterSnapshot, runner::Runner};

use crate::{
    commands::Outcome,
    console::{Console, thousands},
    cpu::CpuTime,
    latency::{Latencies, Latency},
    ledger::{Audit, DeviceNumber},
    logging,
    operations::{self, Measured, PerThousand},
    people::{self, Device, PeopleError},
    report::{milliseconds, say_dollars},
    run::{Run, Stalled, State, Told},
    service::{self, Options, ServiceError},
    tables::{Tables, TablesError},
};

/// Devices at most: beyond it one process runs out of file descriptors under common limits.
const MOST_DEVICES: usize = 400;

/// Seconds at most: the account keeps every message in memory.
const MOST_SECONDS: u64 = 3600;

/// Messages of one device that may be on their way at once, when no rate is given.
const WINDOW: usize = 8;

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
    /// Run functions as processes of the release binary, as Lambda does
    #[arg(long)]
    processes: bool,
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
    #[error("{0}; try fewer devices or a lower --rate, or run with WAXWING_LOG=debug")]
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

/// What the load took.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether every promise held.
    passed: bool,
    devices: usize,
    seconds: f64,
    /// Messages a second that were asked for.
    rate: Option<f64>,
    execution: &'static str,
    /// While sending.
    per_second: PerSecond,
    latency_ms: Latency,
    /// CPU seconds for 1,000 messages; none where the system does not tell.
    cpu_seconds_per_1000_messages: Option<f64>,
    /// What AWS would bill for 1,000 messages.
    operations_per_1000_messages: Option<PerThousand>,
    /// All of it, in all and in dollars.
    operations: Measured,
    /// Envelopes left in mailboxes after every ack.
    mailbox_left: usize,
    /// What the devices told.
    told: Told,
    /// Sent, accepted, delivered, lost, duplicated, reordered …, in all and by device; the message that each
    /// device sent before the clock started is included.
    #[serde(flatten)]
    audit: Audit,
}

/// What happened in a second, on average, between the first and the last message sent.
#[derive(Clone, Copy, Debug, Serialize)]
struct PerSecond {
    accepted: f64,
    delivered: f64,
    acked: f64,
}

/// Runs the load and prints its report.
///
/// # Errors
/// [`LoadError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, LoadError> {
    logging::begin();
    let options = Options::in_memory(args.processes);
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

/// A device and whom it writes to.
#[derive(Clone)]
struct Member {
    device: Device,
    number: DeviceNumber,
    partner: waxwing_client::AccountId,
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
            let config = ClientConfig::new(StoreLocation::Memory, service::endpoints(runner));
            let device = people::register(&format!("device {number}"), config).await?;
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

    /// Sends for the given time, drains, and adds up.
    async fn load(&self, args: &Args, runner: &Runner, console: &Console) -> Result<Report, LoadError> {
        let meter = runner.meter();
        let cpu = CpuTime::read();
        let start = self.read();
        self.send_for(args, console).await?;
        let end = self.read();
        {
            let _progress = console.spinner("waiting for what is on its way");
            self.run.settled().await?;
            let shown = self.run.look(State::shown);
            self.run
                .until("everything shown is acked", |state| {
                    state.told_by_all().acked >= shown
                })
                .await?;
        }
        let cpu = CpuTime::read()
            .zip(cpu)
            .map(|(later, earlier)| later.since(&earlier));
        let used = runner.meter().since(&meter);
        for member in &self.members {
            member.device.client.disconnect().await;
        }
        self.report(
            args,
            runner,
            Readings {
                start,
                end,
                cpu,
                used,
            },
        )
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
            start,
            end,
            cpu,
            used,
        } = readings;
        let mut latencies = Latencies::new()?;
        let (audit, told) = self.run.look(|state| {
            state
                .ledger()
                .latencies()
                .for_each(|latency| latencies.record(latency));
            (state.ledger().audit(), state.told_by_all())
        });
        let mailbox = runner.table_name(MAILBOX).ok_or(LoadError::NoMailbox)?;
        let mailbox_left = Tables::at(&runner.aws_endpoint()).items(&mailbox).await?.len();
        let messages = audit.sent - self.members.len();
        let operations = operations::measure(&used, messages)?;
        let seconds = end.at.duration_since(start.at).as_secs_f64();
        let faults = mailbox_left + told.gaps + told.undecryptable + told.failed;
        Ok(Report {
            passed: audit.is_clean() && faults == 0 && operations.function_errors == 0,
            devices: self.members.len(),
            seconds,
            rate: args.rate,
            execution: service::execution_name(args.processes),
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

/// When one device of many sends, so that all together keep a rate and do not send at the same instant.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Pace {
    first_after: Duration,
    every: Duration,
}

impl Pace {
    fn of(rate: f64, place: usize, devices: usize) -> Self {
        Self {
            first_after: Duration::from_secs_f64(place as f64 / rate),
            every: Duration::from_secs_f64(devices as f64 / rate),
        }
    }
}

/// Sends until the deadline: by the pace, or else as fast as messages are shown.
async fn send_until(
    deadline: tokio::time::Instant,
    run: Arc<Run>,
    member: Member,
    pace: Option<Pace>,
) -> Result<(), LoadError> {
    let mut ticks = pace.map(|pace| {
        let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + pace.first_after, pace.every);
        // Who falls behind does not send faster for it afterwards.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    for message in 1_u64.. {
        let may_send = async {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            run.room_for(member.number, WINDOW).await
        };
        match tokio::time::timeout_at(deadline, may_send).await {
            Ok(room) => room?,
            Err(_) => break,
        }
        let text = format!(
            "Message {message} of {}, as long as short ones are.",
            member.device.name
        );
        run.send(member.number, &member.device, member.partner, &text)
            .await?;
    }
    Ok(())
}

impl Report {
    fn tell(&self, console: &Console) {
        let audit = &self.audit;
        console.say(format_args!(
            "{} devices sent for {:.1} s; functions ran {}.\n",
            self.devices, self.seconds, self.execution
        ));
        let PerSecond {
            accepted,
            delivered,
            acked,
        } = self.per_second;
        console.say(format_args!(
            "  per second          accepted {accepted:.1}   delivered {delivered:.1}   acked {acked:.1}"
        ));
        console.say(format_args!(
            "  latency             p50 {}, p99 {} (send to shown)",
            milliseconds(self.latency_ms.p50),
            milliseconds(self.latency_ms.p99),
        ));
        if let Some(seconds) = self.cpu_seconds_per_1000_messages {
            console.say(format_args!(
                "  CPU                 {seconds:.2} s for 1,000 messages (clients, runner, database, functions)"
            ));
        }
        if let Some(operations) = &self.operations_per_1000_messages {
            console.say(format_args!(
                "  AWS, 1,000 messages {:.0} invocations, {:.0} write units, {:.0} read units, {:.0} WebSocket messages",
                operations.invocations, operations.write_units, operations.read_units, operations.websocket_messages,
            ));
        }
        console.say(format_args!(
            "  the account         sent {}, accepted {}, delivered {} of {}",
            thousands(audit.sent),
            thousands(audit.accepted),
            thousands(audit.delivered),
            thousands(audit.expected),
        ));
        console.say(format_args!(
            "                      lost {}, doubled {}, out of order {}, altered {}, unexpected {}, left in mailboxes {}",
            audit.lost, audit.duplicated, audit.reordered, audit.altered, audit.unexpected, self.mailbox_left,
        ));
        say_dollars(console, &self.operations);
        if !self.passed {
            console.say("\nA PROMISE WAS BROKEN: look for the figures above that are not 0, and run with WAXWING_LOG=debug.");
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn together_all_devices_keep_the_rate_one_after_the_other() {
        // 4 devices at 8 a second: one message every 125 ms, each device every 500 ms.
        let paces: Vec<_> = (0..4).map(|place| Pace::of(8.0, place, 4)).collect();
        for (place, pace) in paces.iter().enumerate() {
            assert_eq!(pace.every, Duration::from_millis(500));
            assert_eq!(
                pace.first_after,
                Duration::from_millis(125) * u32::try_from(place).unwrap()
            );
        }
    }
}
