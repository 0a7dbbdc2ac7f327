//! What a load says in the end, to a program and to a person.

use std::time::Duration;

use serde::Serialize;

use crate::{
    console::{Console, thousands},
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
    /// `service` in multiples of `bare`.
    pub(super) service_to_bare: Option<f64>,
}

impl Cpu {
    /// What was used for `messages`.
    pub(super) fn of(
        messages: usize,
        all: Option<Duration>,
        service: Option<Duration>,
        bare: Option<Duration>,
    ) -> Self {
        let per_thousand = |used: Option<Duration>| {
            used.filter(|_| messages > 0)
                .map(|used| used.as_secs_f64() * 1000.0 / messages as f64)
        };
        let (service, bare) = (per_thousand(service), per_thousand(bare));
        Self {
            all: per_thousand(all),
            service,
            bare,
            service_to_bare: service
                .zip(bare)
                .filter(|(_, bare)| *bare > 0.0)
                .map(|(service, bare)| service / bare),
        }
    }
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
        let audit = &self.audit;
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
        if let (Some(service), Some(bare), Some(times)) = (cpu.service, cpu.bare, cpu.service_to_bare) {
            console.say(format_args!(
                "                      {service:.2} s of it the service; its database calls alone {bare:.2} s: {times:.1} times"
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
