//! What a load says in the end, to a program and to a person.

use std::time::Duration;

use serde::Serialize;

use super::{account, apart::Again};
use crate::{
    console::Console,
    latency::Latency,
    ledger::Audit,
    operations::{Measured, PerThousand},
    report::{milliseconds, say_dollars},
    run::Told,
    service::FunctionsRun,
};

/// What the load took.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every promise held.
    pub(super) passed: bool,
    /// Whether everything sent arrived before the patience ended.
    pub(super) completed: bool,
    /// How many devices there were.
    pub(super) devices: usize,
    /// How long they sent.
    pub(super) seconds: f64,
    /// Messages a second that were asked for.
    pub(super) rate: Option<f64>,
    pub(super) functions_run: FunctionsRun,
    /// While sending.
    pub(super) per_second: PerSecond,
    pub(super) latency_ms: Latency,
    /// CPU seconds for 1,000 messages.
    pub(super) cpu_seconds_per_1000_messages: Cpu,
    /// What AWS would bill for 1,000 messages.
    pub(super) operations_per_1000_messages: Option<PerThousand>,
    /// All of it, in all and in dollars.
    pub(super) operations: Measured,
    /// Envelopes left in mailboxes after every ack.
    pub(super) mailbox_left: usize,
    /// What the devices told.
    pub(super) told: Told,
    /// Sent, accepted, delivered, lost, duplicated, reordered …, in all and for each device with a fault; the
    /// message that each device sent before the clock started is included.
    #[serde(flatten)]
    pub(super) audit: Audit,
}

/// CPU seconds for 1,000 messages; none where the system does not tell, or without messages.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Cpu {
    /// Of clients and service together.
    pub(super) all: Option<f64>,
    /// Of the service: gateway, functions, database.
    pub(super) service: Option<f64>,
    /// Of the same calls to the database, done again straight, with nothing around them.
    pub(super) bare: Option<f64>,
    /// Of the same calls through the AWS SDK, with nothing else around them.
    pub(super) through_sdk: Option<f64>,
    /// `service` in multiples of `bare`.
    pub(super) service_to_bare: Option<f64>,
    /// `service` in multiples of `through_sdk`.
    pub(super) service_to_sdk: Option<f64>,
}

impl Cpu {
    /// What was used for `messages`.
    pub(super) fn of(
        messages: usize,
        all: Option<Duration>,
        service: Option<Duration>,
        again: Again,
    ) -> Self {
        let per_thousand = |used: Option<Duration>| {
            used.filter(|_| messages > 0)
                .map(|used| used.as_secs_f64() * 1000.0 / messages as f64)
        };
        let service = per_thousand(service);
        let (bare, through_sdk) = (per_thousand(again.bare), per_thousand(again.through_sdk));
        let in_multiples_of = |base: Option<f64>| {
            let both = service.zip(base).filter(|(_, base)| *base > 0.0);
            both.map(|(service, base)| service / base)
        };
        Self {
            all: per_thousand(all),
            service,
            bare,
            through_sdk,
            service_to_bare: in_multiples_of(bare),
            service_to_sdk: in_multiples_of(through_sdk),
        }
    }
}

/// CPU milliseconds of the service, and of its calls to the database done again; none where the system does not tell.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct CpuMillis {
    /// Gateway, functions, database.
    pub(super) service: Option<f64>,
    /// The same calls to the database, straight, with nothing around them.
    pub(super) bare: Option<f64>,
    /// The same calls through the AWS SDK, with nothing else around them.
    pub(super) through_sdk: Option<f64>,
}

impl CpuMillis {
    /// What was used.
    pub(super) fn of(service: Option<Duration>, again: Again) -> Self {
        let millis = |used: Option<Duration>| used.map(|used| used.as_secs_f64() * 1000.0);
        Self {
            service: millis(service),
            bare: millis(again.bare),
            through_sdk: millis(again.through_sdk),
        }
    }
}

/// In words, what the service used beside its database calls done again, in the same unit.
pub(super) fn per_base(service: f64, bare: Option<f64>, through_sdk: Option<f64>, unit: &str) -> String {
    let base = |what, base: Option<f64>| {
        let base = base.filter(|base| *base > 0.0);
        base.map(|base| format!("{what} {base:.3} {unit}: {:.1} times", service / base))
    };
    let bases = [
        base("its database calls alone", bare),
        base("those through the AWS SDK alone", through_sdk),
    ];
    bases
        .into_iter()
        .flatten()
        .map(|base| format!("; {base}"))
        .collect()
}

/// What happened in a second, on average, between the first and the last message sent.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct PerSecond {
    pub(super) accepted: f64,
    pub(super) delivered: f64,
    pub(super) acked: f64,
}

impl Report {
    /// Tells it to a person.
    pub(super) fn tell(&self, console: &Console) {
        console.say(format_args!(
            "{} devices sent for {:.1} s; functions ran {}.\n",
            self.devices, self.seconds, self.functions_run
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
        let cpu = self.cpu_seconds_per_1000_messages;
        if let Some(seconds) = cpu.all {
            console.say(format_args!(
                "  CPU                 {seconds:.2} s for 1,000 messages (clients, runner, database, functions)"
            ));
        }
        if let Some(service) = cpu.service {
            console.say(format_args!(
                "                      {service:.3} s of it the service{}",
                per_base(service, cpu.bare, cpu.through_sdk, "s")
            ));
        }
        if let Some(operations) = &self.operations_per_1000_messages {
            console.say(format_args!(
                "  AWS, 1,000 messages {:.0} invocations, {:.0} write units, {:.0} read units, {:.0} WebSocket messages",
                operations.invocations, operations.write_units, operations.read_units, operations.websocket_messages,
            ));
        }
        account::tell(&self.audit, self.mailbox_left, console);
        say_dollars(console, &self.operations);
        if !self.passed {
            console.say("\nA PROMISE WAS BROKEN: look for the figures above that are not 0, and run with WAXWING_LOG=debug.");
        }
    }
}
