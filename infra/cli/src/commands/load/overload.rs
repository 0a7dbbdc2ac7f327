//! `cargo waxwing load --overload 2,10`: more than the quotas let through, for a while.
//!
//! The service runs with small quotas, so that the quotas are what is used up and not this machine. First it is counted how
//! many requests a message takes, which with the quota gives the *sustainable* rate; a probe confirms it. Then each factor of
//! it is offered, whatever becomes of it, as people do: each message is handed to its device at its moment, and waits in
//! the outbox. After each, nothing more is offered, and the time is taken until every message is accepted and shown.

mod report;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use waxwing_local::{lambda::Concurrency, meter::MeterSnapshot, runner::Runner};

use self::report::{Phase, Report};
use super::{
    Args, LoadError, MAILBOX,
    crowd::Crowd,
    sending::{Member, Pace},
};
use crate::{
    commands::Outcome,
    console::Console,
    latency::{Latencies, Latency},
    run::{Run, State},
    service::{self, Options},
    tables::Tables,
};

/// Requests and frames a second of each API: so few that they are used up and not this machine.
const REQUESTS_PER_SECOND: u32 = 50;
/// And at once: half of it, as in the template.
const REQUEST_BURST: u32 = 25;

/// Invocations at once, of all functions. AWS gives a new account ten; a function takes a fraction of the time here that it
/// takes there, and with ten the limit would never be met.
const CONCURRENT_INVOCATIONS: usize = 2;

/// Messages a second while it is counted how many requests one takes: far below the quota.
const CALM_RATE: f64 = 5.0;

/// The part of the quota that is offered as sustainable: the rest is for what repeats.
const SHARE: f64 = 0.8;

/// Probes at most: each lowers the rate by [`SHARE`].
const PROBES: usize = 3;

/// A rate is sustained if of what was offered in a probe no more than this part is not shown at its end.
const QUEUED: f64 = 0.1;

/// How long recovery may take: beyond it what is missing counts as lost.
const RECOVERY: Duration = Duration::from_secs(120);

/// How often the mailboxes are looked into.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long it may take until every device is registered, connected and has a session: with so small quotas 400 devices
/// need some of it.
const GATHERING: Duration = Duration::from_secs(180);

/// How long the devices may take to hang up, and the service to end: what a client may wait for an answer, and more.
const ENDING: Duration = Duration::from_secs(20);

/// Offers, and prints what became of it.
///
/// # Errors
/// [`LoadError`].
pub(super) async fn run(args: &Args, factors: &[f64], console: &Console) -> Result<Outcome, LoadError> {
    let mut options = Options {
        binary: args.functions.binary.clone(),
        concurrency: Concurrency {
            total: CONCURRENT_INVOCATIONS,
            per_function: CONCURRENT_INVOCATIONS,
        },
        ..Options::in_memory(args.functions.processes)
    };
    for (name, value) in [
        ("RequestsPerSecond", REQUESTS_PER_SECOND),
        ("RequestBurst", REQUEST_BURST),
    ] {
        options.parameters.insert(String::from(name), value.to_string());
    }
    let runner = service::start(options, console).await?;
    let gathering = Crowd::gather(args.devices, &runner, console);
    let crowd = tokio::time::timeout(GATHERING, gathering)
        .await
        .map_err(|_| LoadError::NotGathered(GATHERING))??;
    let offering = Offering {
        runner: &runner,
        crowd: &crowd,
        lasts: args.lasts(),
        console,
    };
    let report = offering.measure(factors).await?;
    if tokio::time::timeout(ENDING, runner.shutdown()).await.is_err() {
        console.warn("waxwing: the service did not end in time; its figures are complete");
    }
    report.tell(console);
    console.result(&report)?;
    Ok(Outcome::of(report.passed))
}

/// What is offered to whom.
struct Offering<'a> {
    runner: &'a Runner,
    crowd: &'a Crowd,
    lasts: Duration,
    console: &'a Console,
}

/// Counts at one moment.
struct Counts {
    at: Instant,
    sent: usize,
    accepted: usize,
    shown: usize,
}

impl Offering<'_> {
    async fn measure(&self, factors: &[f64]) -> Result<Report, LoadError> {
        let base = self.sustainable().await?;
        let mut phases = Vec::with_capacity(factors.len());
        for factor in factors {
            let phase = self.phase(base.offered_per_second * factor).await?;
            phases.push(phase.beside(*factor, &base));
        }
        let mailbox_left = self.emptied().await?;
        let mut leaving = JoinSet::new();
        for member in self.crowd.members.iter().cloned() {
            leaving.spawn(async move { member.device.client.disconnect().await });
        }
        // What they say in leaving is a courtesy: the mailbox shows whether it came through.
        let _ = tokio::time::timeout(ENDING, leaving.join_all()).await;
        let (audit, told) = self
            .crowd
            .run
            .look(|state| (state.ledger().audit(), state.told_by_all()));
        Ok(Report::new(report::Parts {
            devices: self.crowd.members.len(),
            seconds: self.lasts.as_secs(),
            base,
            phases,
            mailbox_left,
            told,
            audit,
        }))
    }

    /// Waits until everything is acked and the mailboxes are empty. Returns how much is left in them when patience ends.
    ///
    /// Acks that were told do not say it: what came twice is acked twice.
    async fn emptied(&self) -> Result<usize, LoadError> {
        let mailbox = self.runner.table_name(MAILBOX).ok_or(LoadError::NoMailbox)?;
        let tables = Tables::at(&self.runner.aws_endpoint());
        let begin = Instant::now();
        loop {
            let left = tables.items(&mailbox).await?.len();
            if left == 0 || begin.elapsed() >= RECOVERY {
                return Ok(left);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// What the quota lets through, by the requests that a message takes where none shares a frame, confirmed by one
    /// probe; a probe that leaves a backlog lowers it.
    async fn sustainable(&self) -> Result<Phase, LoadError> {
        let _progress = self.console.spinner("finding the rate that can be sustained");
        let calm = self.phase(CALM_RATE).await?;
        let mut rate = SHARE * f64::from(REQUESTS_PER_SECOND) / calm.requests_per_message();
        let mut probe = self.phase(rate).await?;
        for _ in 1..PROBES {
            if probe.is_sustained() {
                break;
            }
            rate *= SHARE;
            probe = self.phase(rate).await?;
        }
        Ok(probe)
    }

    /// Offers so many messages a second, then waits until all of them have arrived.
    async fn phase(&self, rate: f64) -> Result<Phase, LoadError> {
        let run = &self.crowd.run;
        let meter = self.runner.meter();
        let start = self.counts();
        let begin = tokio::time::Instant::now();
        let deadline = begin + self.lasts;
        let mut offering = JoinSet::new();
        let devices = self.crowd.members.len();
        for (place, member) in self.crowd.members.iter().enumerate() {
            let pace = Pace::of(rate, place, devices);
            let moments = pace.moments(self.lasts).map(move |after| begin + after);
            offering.spawn(offer(moments, deadline + self.lasts, run.clone(), member.clone()));
        }
        while let Some(offered) = offering.join_next().await {
            offered??;
        }
        tokio::time::sleep_until(deadline).await;
        let end = self.counts();
        let recovered = match tokio::time::timeout(RECOVERY, run.settled()).await {
            Ok(settled) => settled.is_ok(),
            Err(_) => false,
        };
        let recovery = end.at.elapsed();
        let used = self.runner.meter().since(&meter);
        Ok(Phase::new(
            &start,
            &end,
            recovered.then_some(recovery),
            &used,
            self.latencies(start.at)?,
        ))
    }

    /// From `send_text` to *accepted*, of the messages sent since then.
    fn latencies(&self, since: Instant) -> Result<Latency, LoadError> {
        let mut latencies = Latencies::new()?;
        self.crowd.run.look(|state| {
            let accepted = state.ledger().acceptances();
            let later = accepted.filter(|(sent, _)| *sent >= since);
            later.for_each(|(sent, accepted)| latencies.record(accepted.saturating_duration_since(sent)));
        });
        Ok(latencies.summary())
    }

    fn counts(&self) -> Counts {
        self.crowd.run.look(|state: &State| Counts {
            at: Instant::now(),
            sent: state.sent(),
            accepted: state.accepted(),
            shown: state.shown(),
        })
    }
}

/// Hands messages over at their moments, however many wait already. Who falls behind makes up for it, so that so many are
/// offered whatever the machine does, but not beyond `latest`: a machine that cannot store them as fast would never end.
async fn offer(
    moments: impl Iterator<Item = tokio::time::Instant>,
    latest: tokio::time::Instant,
    run: Arc<Run>,
    member: Member,
) -> Result<(), LoadError> {
    for (message, moment) in (1_u64..).zip(moments) {
        tokio::time::sleep_until(moment).await;
        if tokio::time::Instant::now() >= latest {
            break;
        }
        let text = format!("Message {message} of {}, offered.", member.device.name);
        run.send(member.number, &member.device, member.partner, &text)
            .await?;
    }
    Ok(())
}

/// Requests that were refused: by the gateway, and for want of a free invocation.
fn refused(used: &MeterSnapshot) -> (u64, u64) {
    let throttled = used.functions.values().map(|function| function.throttles).sum();
    (used.gateway.refused, throttled)
}
