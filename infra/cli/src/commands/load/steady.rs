//! The load without disturbances: for a while, and what that took.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use waxwing_local::{meter::MeterSnapshot, runner::Runner};

use super::{
    Args, LoadError, MAILBOX,
    apart::{Again, Apart, Used, again},
    crowd::Crowd,
    report::{Cpu, PerSecond, Report},
    sending::{Pace, send_until},
};
use crate::{
    commands::Outcome,
    console::Console,
    cpu::CpuTime,
    latency::Latencies,
    operations,
    run::{Stalled, State},
    service::{self, FunctionsRun, Options},
    tables::Tables,
};

/// Runs it and prints its report.
///
/// # Errors
/// [`LoadError`].
pub(super) async fn run(args: Args, console: &Console) -> Result<Outcome, LoadError> {
    let options = Options {
        binary: args.functions.binary.clone(),
        ..Options::in_memory(args.functions.processes)
    };
    if cfg!(debug_assertions) {
        console.warn(
            "waxwing: this build is not optimised; for figures: cargo run --release --bin waxwing -- load …",
        );
    }
    let (_threads, runner) = Apart::start(service::prepare(options, console).await?).await?;
    let crowd = Crowd::gather(args.devices, &runner, console).await?;
    let report = crowd.load(&args, &runner, console).await?;
    runner.shutdown().await;
    report.tell(console);
    console.result(&report)?;
    Ok(Outcome::of(report.passed))
}

/// Figures at one moment.
struct Reading {
    at: Instant,
    accepted: usize,
    shown: usize,
    acked: usize,
}

/// What was read around the load.
struct Readings {
    completed: bool,
    start: Reading,
    end: Reading,
    cpu: Option<Duration>,
    service: Option<Duration>,
    again: Again<Duration>,
    used: MeterSnapshot,
}

impl Crowd {
    /// Sends for the given time, drains, and adds up. A load that comes to a standstill is accounted for too:
    /// the account says what is missing.
    async fn load(&self, args: &Args, runner: &Runner, console: &Console) -> Result<Report, LoadError> {
        let meter = runner.meter();
        let before = runner.recorded_database();
        runner.record_database();
        let cpu = CpuTime::read();
        let service = Used::read();
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
        let service = Used::read()
            .zip(service)
            .map(|(later, earlier)| later.since(&earlier));
        let during = runner.recorded_database();
        let used = runner.meter().since(&meter);
        for member in &self.members {
            member.device.client.disconnect().await;
        }
        let again = again(runner, before, during).await?;
        let readings = Readings {
            completed,
            start,
            end,
            cpu,
            service,
            again,
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
        let seconds = usize::try_from(args.lasts().as_secs()).unwrap_or(usize::MAX);
        let progress = console.progress("seconds", seconds);
        let start = tokio::time::Instant::now();
        let deadline = start + args.lasts();
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
            service,
            again,
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
            cpu_seconds_per_1000_messages: Cpu::of(messages, cpu, service, again),
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
