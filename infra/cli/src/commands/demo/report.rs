//! What the demo says in the end, to a program and to a person.

use serde::Serialize;

use crate::{
    console::{Console, thousands},
    evidence::{Place, Verdict},
    latency::Latency,
    ledger::Audit,
    operations::Measured,
    report::{milliseconds, say_dollars},
    run::Told,
    service::FunctionsRun,
};

/// Everything that the demo found. `delivered` counts pairs of a message and a device that showed it: each
/// line has two such devices, Bob's phone and Alice's other device or both of Alice's.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every promise held.
    pub(super) passed: bool,
    #[serde(flatten)]
    parts: Parts,
    /// Lines that could be read somewhere in the service.
    plaintext_found: usize,
    /// Where plaintext was looked for.
    search: Verdict,
}

/// What the report is made of.
#[derive(Debug, Serialize)]
pub(super) struct Parts {
    /// How functions ran.
    pub(super) functions_run: FunctionsRun,
    /// Whether the conversation came to its end.
    pub(super) completed: bool,
    /// Sent, accepted, delivered, lost, duplicated, reordered …, in all and by device.
    #[serde(flatten)]
    pub(super) audit: Audit,
    /// Whether the devices' stores hold in the end exactly what was shown.
    pub(super) stores_agree: bool,
    /// Envelopes left in all mailboxes after every ack.
    pub(super) mailbox_left: usize,
    /// From the call that sent a line until another device showed it, both connected.
    pub(super) latency_ms: Latency,
    /// Empty lines of the text, not sent.
    pub(super) empty_lines: usize,
    /// What happened on the way.
    pub(super) story: Story,
    /// What AWS would bill, from the moment everybody was connected.
    pub(super) operations: Measured,
}

/// What happened on the way.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    /// Times that prekey bundles were claimed.
    pub(super) claims: u64,
    /// Envelopes put into mailboxes, repetitions included.
    pub(super) stored: u64,
    /// Envelopes that waited while Bob's phone was away.
    pub(super) waited_for_bob: usize,
    /// Envelopes gone from mailboxes.
    pub(super) deleted: u64,
    /// What the devices told.
    #[serde(flatten)]
    pub(super) told: Told,
}

impl Report {
    /// Judges what was found.
    pub(super) fn new(parts: Parts, search: Verdict) -> Self {
        let passed = parts.completed
            && parts.audit.is_clean()
            && parts.stores_agree
            && parts.mailbox_left == 0
            && parts.story.told.faults() == 0
            && parts.operations.function_errors == 0
            && search.is_clean();
        Self {
            passed,
            plaintext_found: search.plaintext_found,
            search,
            parts,
        }
    }

    /// Tells it to a person.
    pub(super) fn tell(&self, console: &Console) {
        self.tell_the_way(console);
        self.tell_the_search(console);
        self.tell_the_account(console);
        say_dollars(console, &self.parts.operations);
        console.say(if self.passed {
            "\nEvery promise was kept."
        } else {
            "\nA PROMISE WAS BROKEN: look for the figures above that are not 0, and run with WAXWING_LOG=debug."
        });
    }

    fn tell_the_way(&self, console: &Console) {
        let Story {
            claims,
            stored,
            waited_for_bob,
            deleted,
            told,
        } = &self.parts.story;
        console.say("\nOn the way");
        let rows = [
            ("prekey bundles claimed", *claims),
            (
                "sessions opened with a one-time prekey",
                count(told.handshakes_with_one_time_prekey),
            ),
            (
                "sessions opened without",
                count(told.handshakes_without_one_time_prekey),
            ),
            ("messages accepted", count(self.parts.audit.accepted)),
            ("envelopes stored, one for each device", *stored),
            ("of these, waited for Bob's phone", count(*waited_for_bob)),
            ("envelopes shown", count(self.parts.audit.delivered)),
            ("envelopes acked", count(told.acked)),
            ("envelopes deleted", *deleted),
        ];
        for (what, number) in rows {
            console.say(format_args!("  {what:<42}{:>9}", grouped(number)));
        }
    }

    fn tell_the_search(&self, console: &Console) {
        let search = &self.search;
        console.say(format_args!(
            "\nLooked for {} lines ({} more are too short to tell from field names), as text, base64 and hex",
            thousands(search.lines),
            thousands(search.lines_left_out),
        ));
        for (
            what,
            Place {
                looked_at,
                bytes,
                found,
            },
        ) in [
            ("table items", search.tables),
            ("frames", search.frames),
            ("log lines", search.logs),
        ] {
            console.say(format_args!(
                "  in {:>7} {what:<12} {:>12} bytes: {found} found",
                thousands(looked_at),
                thousands(bytes),
            ));
        }
        console.say(format_args!(
            "  Control: waiting ciphertext was found by the same search in {} items and {} frames.",
            thousands(search.control.items),
            thousands(search.control.frames),
        ));
    }

    fn tell_the_account(&self, console: &Console) {
        let audit = &self.parts.audit;
        console.say("\nThe account (delivered: pairs of a message and a device that is to show it)");
        console.say(format_args!(
            "  sent {}   accepted {}",
            thousands(audit.sent),
            thousands(audit.accepted)
        ));
        console.say("                    delivered     lost  doubled  out of order  altered  unexpected");
        for device in &audit.by_device {
            console.say(format_args!(
                "  {:<16}{:>6}/{:<6}{:>7}{:>9}{:>14}{:>9}{:>12}",
                device.name,
                device.delivered,
                device.expected,
                device.lost,
                device.duplicated,
                device.reordered,
                device.altered,
                device.unexpected,
            ));
        }
        console.say(format_args!("  left in mailboxes   {}", self.parts.mailbox_left));
        console.say(format_args!("  plaintext found     {}", self.plaintext_found));
        let Latency {
            p50, p99, measured, ..
        } = self.parts.latency_ms;
        console.say(format_args!(
            "  latency             p50 {}, p99 {} (send to shown, {} deliveries between connected devices)",
            milliseconds(p50),
            milliseconds(p99),
            thousands(usize::try_from(measured).unwrap_or(usize::MAX)),
        ));
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn grouped(number: u64) -> String {
    thousands(usize::try_from(number).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use waxwing_local::meter::MeterSnapshot;

    use super::*;
    use crate::{evidence::Control, operations};

    fn parts() -> Parts {
        Parts {
            functions_run: FunctionsRun::InProcess,
            completed: true,
            audit: Audit::default(),
            stores_agree: true,
            mailbox_left: 0,
            latency_ms: Latency {
                p50: None,
                p99: None,
                max: None,
                measured: 0,
            },
            empty_lines: 0,
            story: Story {
                claims: 0,
                stored: 0,
                waited_for_bob: 0,
                deleted: 0,
                told: Told::default(),
            },
            operations: operations::measure(&MeterSnapshot::default(), 0).unwrap(),
        }
    }

    fn verdict() -> Verdict {
        let place = Place {
            looked_at: 1,
            bytes: 1,
            found: 0,
        };
        Verdict {
            plaintext_found: 0,
            lines: 1,
            lines_left_out: 0,
            tables: place,
            frames: place,
            logs: place,
            frames_missed: 0,
            log_lines_missed: false,
            control: Control { items: 1, frames: 1 },
        }
    }

    #[test]
    fn one_fault_of_any_kind_is_enough_to_fail() {
        assert!(Report::new(parts(), verdict()).passed);
        let faults: [fn(&mut Parts, &mut Verdict); 14] = [
            |parts, _| parts.completed = false,
            |parts, _| parts.audit.sent = 1,
            |parts, _| parts.audit.lost = 1,
            |parts, _| parts.audit.duplicated = 1,
            |parts, _| parts.audit.reordered = 1,
            |parts, _| parts.stores_agree = false,
            |parts, _| parts.mailbox_left = 1,
            |parts, _| parts.story.told.gaps = 1,
            |parts, _| parts.story.told.undecryptable = 1,
            |parts, _| parts.story.told.failed = 1,
            |parts, _| parts.operations.function_errors = 1,
            |_, verdict| verdict.plaintext_found = 1,
            |_, verdict| verdict.frames_missed = 1,
            |_, verdict| verdict.control.frames = 0,
        ];
        for (number, fault) in faults.into_iter().enumerate() {
            let (mut parts, mut verdict) = (parts(), verdict());
            fault(&mut parts, &mut verdict);
            assert!(!Report::new(parts, verdict).passed, "fault {number}");
        }
    }
}
