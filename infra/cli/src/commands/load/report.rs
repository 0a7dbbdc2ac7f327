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
    #[serde(flatten)]
    pub(super) service: ServiceCpu,
    /// The service in multiples of `bare`.
    service_to_bare: Option<f64>,
    /// The service in multiples of `through_sdk`.
    service_to_sdk: Option<f64>,
    /// The service in multiples of `through_http`.
    service_to_http: Option<f64>,
}

impl Cpu {
    /// What was used for `messages`.
    pub(super) fn of(
        messages: usize,
        all: Option<Duration>,
        service: Option<Duration>,
        again: Again<Duration>,
    ) -> Self {
        let per_thousand =
            |used: Duration| (messages > 0).then(|| used.as_secs_f64() * 1000.0 / messages as f64);
        let service = ServiceCpu {
            service: service.and_then(per_thousand),
            again: again.and_then(per_thousand),
        };
        let times = service.times();
        Self {
            all: all.and_then(per_thousand),
            service,
            service_to_bare: times.bare,
            service_to_sdk: times.through_sdk,
            service_to_http: times.through_http,
        }
    }
}

/// CPU time of the service, and of its calls to the database done again; none where the system does not tell.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ServiceCpu {
    /// Gateway, functions, database.
    service: Option<f64>,
    #[serde(flatten)]
    again: Again<f64>,
}

impl ServiceCpu {
    /// In milliseconds.
    pub(super) fn in_millis(service: Option<Duration>, again: Again<Duration>) -> Self {
        let millis = |used: Duration| Some(used.as_secs_f64() * 1000.0);
        Self {
            service: service.and_then(millis),
            again: again.and_then(millis),
        }
    }

    /// The service in multiples of each base.
    fn times(&self) -> Again<f64> {
        let times = |base: f64| self.service.filter(|_| base > 0.0).map(|service| service / base);
        self.again.and_then(times)
    }

    /// Tells it to a person, in this unit.
    pub(super) fn tell(&self, unit: &str, console: &Console) {
        let Some(service) = self.service else { return };
        console.say(format_args!("  CPU of the service  {service:.3} {unit}"));
        let (base, times) = (self.again, self.times());
        let bases = [
            ("its database calls alone", base.bare, times.bare),
            ("those through the SDK", base.through_sdk, times.through_sdk),
            ("and through a socket", base.through_http, times.through_http),
        ];
        for (what, base, times) in bases {
            if let (Some(base), Some(times)) = (base, times) {
                console.say(format_args!("    {what:<24} {base:.3} {unit}: {times:.1} times"));
            }
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
        cpu.service.tell("s", console);
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
