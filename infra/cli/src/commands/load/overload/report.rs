//! What a run of overload says in the end.

use std::time::Duration;

use serde::Serialize;
use waxwing_local::meter::MeterSnapshot;

use super::{
    super::account, CONCURRENT_INVOCATIONS, Counts, QUEUED, REQUEST_BURST, REQUESTS_PER_SECOND, refused,
};
use crate::{
    console::{Console, thousands},
    latency::Latency,
    ledger::Audit,
    report::milliseconds,
    run::Told,
};

/// A rate that was offered, and what became of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Phase {
    /// Messages handed to devices in a second.
    pub(super) offered_per_second: f64,
    /// Messages handed to devices.
    offered: usize,
    /// Messages accepted in a second while they were offered.
    accepted_per_second: f64,
    /// Messages shown in a second meanwhile.
    delivered_per_second: f64,
    /// Messages that were not shown when the last was offered.
    backlog: usize,
    /// Requests that the gateway refused (429).
    refused_by_gateway: u64,
    /// Invocations that were refused because too many ran.
    refused_by_lambda: u64,
    /// From `send_text` to *accepted*, the wait in the outbox included.
    accepted_after_ms: Latency,
    /// From the last message offered until all were shown.
    /// None if they were not within the patience of the command.
    recovery_seconds: Option<f64>,
    /// Requests that the WebSocket API let in.
    requests: u64,
    /// The same against the rate that can be sustained.
    #[serde(flatten)]
    ratios: Option<Ratios>,
}

/// A phase beside the base.
#[derive(Clone, Copy, Debug, Serialize)]
struct Ratios {
    /// How many times the sustainable rate was offered.
    factor: f64,
    /// What was accepted in a second, divided by the sustainable rate: below 1 the overload costs throughput.
    goodput: f64,
    /// Recovery, divided by the time in which the backlog goes at the sustainable rate.
    recovery: Option<f64>,
    /// The slowest hundredth, divided by the time in which all that was offered goes at the sustainable rate.
    slowest: Option<f64>,
}

impl Phase {
    pub(super) fn new(
        start: &Counts,
        end: &Counts,
        recovery: Option<Duration>,
        used: &MeterSnapshot,
        accepted_after_ms: Latency,
    ) -> Self {
        let seconds = end.at.duration_since(start.at).as_secs_f64();
        let offered = end.sent - start.sent;
        let shown = end.shown - start.shown;
        let (refused_by_gateway, refused_by_lambda) = refused(used);
        Self {
            offered_per_second: offered as f64 / seconds,
            offered,
            accepted_per_second: (end.accepted - start.accepted) as f64 / seconds,
            delivered_per_second: shown as f64 / seconds,
            backlog: offered.saturating_sub(shown),
            refused_by_gateway,
            refused_by_lambda,
            accepted_after_ms,
            recovery_seconds: recovery.map(|recovery| recovery.as_secs_f64()),
            requests: used.gateway.frames_in,
            ratios: None,
        }
    }

    /// How many requests a message took.
    pub(super) fn requests_per_message(&self) -> f64 {
        self.requests.max(1) as f64 / self.offered.max(1) as f64
    }

    /// Whether the rate can be kept up: next to nothing waits when the last is offered.
    pub(super) fn is_sustained(&self) -> bool {
        self.backlog as f64 <= QUEUED * self.offered as f64
    }

    /// This phase beside the sustainable rate.
    pub(super) fn beside(self, factor: f64, base: &Self) -> Self {
        let rate = base.offered_per_second;
        let seconds = |messages: usize| messages as f64 / rate;
        let ratio = |taken: f64, fair: f64| (fair > 0.0).then(|| taken / fair);
        let slowest = self.accepted_after_ms.p99.unwrap_or_default() / 1_000.0;
        let ratios = Ratios {
            factor,
            goodput: self.accepted_per_second / rate,
            recovery: self
                .recovery_seconds
                .and_then(|taken| ratio(taken, seconds(self.backlog))),
            slowest: ratio(slowest, seconds(self.offered)),
        };
        Self {
            ratios: Some(ratios),
            ..self
        }
    }

    fn tell(&self, console: &Console) {
        let what = match self.ratios {
            Some(ratios) => format!("{} times that", ratios.factor),
            None => String::from("sustainable"),
        };
        console.say(format_args!(
            "\n  {what:<20}offered {:.0} a second, accepted {:.0}, delivered {:.0}; refused {} by the gateway, {} by Lambda",
            self.offered_per_second,
            self.accepted_per_second,
            self.delivered_per_second,
            self.refused_by_gateway,
            self.refused_by_lambda,
        ));
        console.say(format_args!(
            "                      accepted after p50 {}, p99 {}, at most {}; {} waited in the end, {}",
            milliseconds(self.accepted_after_ms.p50),
            milliseconds(self.accepted_after_ms.p99),
            milliseconds(self.accepted_after_ms.max),
            thousands(self.backlog),
            self.recovery_seconds.map_or_else(
                || String::from("NOT RECOVERED"),
                |seconds| format!("gone after {seconds:.1} s")
            ),
        ));
        if let Some(ratios) = self.ratios {
            let ratio =
                |value: Option<f64>| value.map_or_else(|| String::from("–"), |value| format!("{value:.2}"));
            console.say(format_args!(
                "                      against the sustainable rate: throughput {:.2}, recovery {}, the slowest {}",
                ratios.goodput,
                ratio(ratios.recovery),
                ratio(ratios.slowest),
            ));
        }
    }
}

/// All that is known in the end.
pub(super) struct Parts {
    pub(super) devices: usize,
    pub(super) seconds: u64,
    pub(super) base: Phase,
    pub(super) phases: Vec<Phase>,
    pub(super) mailbox_left: usize,
    pub(super) told: Told,
    pub(super) audit: Audit,
}

/// The quotas that the service ran with.
#[derive(Clone, Copy, Debug, Serialize)]
struct Quotas {
    requests_per_second: u32,
    request_burst: u32,
    concurrent_invocations: usize,
}

/// The report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every promise held.
    pub(super) passed: bool,
    devices: usize,
    /// How long each rate was offered.
    seconds: u64,
    quotas: Quotas,
    /// The highest rate at which nothing queued up.
    sustainable: Phase,
    overload: Vec<Phase>,
    mailbox_left: usize,
    told: Told,
    #[serde(flatten)]
    audit: Audit,
}

impl Report {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            devices,
            seconds,
            base,
            phases,
            mailbox_left,
            told,
            mut audit,
        } = parts;
        let passed = audit.is_clean() && mailbox_left == 0 && told.faults() == 0;
        let passed = passed
            && phases
                .iter()
                .chain([&base])
                .all(|phase| phase.recovery_seconds.is_some());
        audit.by_device.retain(|device| !device.is_clean());
        Self {
            passed,
            devices,
            seconds,
            quotas: Quotas {
                requests_per_second: REQUESTS_PER_SECOND,
                request_burst: REQUEST_BURST,
                concurrent_invocations: CONCURRENT_INVOCATIONS,
            },
            sustainable: base,
            overload: phases,
            mailbox_left,
            told,
            audit,
        }
    }

    /// Tells it to a person.
    pub(super) fn tell(&self, console: &Console) {
        let Quotas {
            requests_per_second,
            request_burst,
            concurrent_invocations,
        } = self.quotas;
        console.say(format_args!(
            "{} devices; each API lets in {requests_per_second} requests a second and {request_burst} at once, \
             {concurrent_invocations} invocations run at once.",
            self.devices
        ));
        self.sustainable.tell(console);
        for phase in &self.overload {
            phase.tell(console);
        }
        console.say("");
        account::tell(&self.audit, self.mailbox_left, console);
        if !self.passed {
            console.say("\nA PROMISE WAS BROKEN: look for the figures above that are not 0, and run with WAXWING_LOG=debug.");
        }
    }
}
