//! What a run of chaos says in the end.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::super::account;
use crate::{console::Console, ledger::Audit, run::Told};

/// What was done to the run.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Disturbances {
    /// Processes of functions killed.
    pub(super) kills: usize,
    /// Times that the service was killed and started again.
    pub(super) restarts: usize,
    /// Sockets cut.
    pub(super) cuts: usize,
    /// Sockets that carried nothing for a while, or for good.
    pub(super) stalls: usize,
    /// Clients dropped and opened again.
    pub(super) reopened: usize,
    /// Requests to AWS that went wrong, by kind.
    pub(super) faults_by_kind: BTreeMap<String, u64>,
    /// Processes of functions that did not end when the service above them was killed.
    pub(super) left_behind: usize,
}

/// All that is known in the end.
pub(super) struct Parts {
    pub(super) seed: u64,
    pub(super) seconds: u64,
    pub(super) devices: usize,
    pub(super) rest_limit: Duration,
    pub(super) rested: Option<Duration>,
    pub(super) done: Disturbances,
    pub(super) mailbox_left: usize,
    pub(super) kept: Audit,
    pub(super) told: Told,
    pub(super) audit: Audit,
}

/// The report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// Whether every promise held.
    pub(super) passed: bool,
    /// What replays the disturbances.
    seed: u64,
    seconds: u64,
    devices: usize,
    /// How long everything took to come to rest when the disturbances had ended; none if it did not.
    rested_in_seconds: Option<f64>,
    /// How long it may take.
    rest_limit_seconds: u64,
    #[serde(flatten)]
    done: Disturbances,
    /// Requests to AWS that went wrong.
    faults: u64,
    /// Envelopes that came to a device which had dealt with them.
    redelivered: usize,
    /// Envelopes left in mailboxes.
    mailbox_left: usize,
    /// Whether the stores hold what was shown.
    stores_agree: bool,
    told: Told,
    #[serde(flatten)]
    audit: Audit,
}

impl Report {
    /// Adds up, and judges. A message may come late if its device was told that it is missing; nothing else may be
    /// otherwise than in a run without disturbances.
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            seed,
            seconds,
            devices,
            rest_limit,
            rested,
            done,
            mailbox_left,
            kept,
            told,
            mut audit,
        } = parts;
        let stores_agree = is_kept(&kept);
        let passed = rested.is_some()
            && is_kept(&audit)
            && stores_agree
            && mailbox_left == 0
            && told.undecryptable + told.failed + told.refused + done.left_behind == 0;
        // Only those are told of that a reader has to look at.
        audit.by_device.retain(|device| !device.is_clean());
        Self {
            passed,
            seed,
            seconds,
            devices,
            rested_in_seconds: rested.map(|rested| rested.as_secs_f64()),
            rest_limit_seconds: rest_limit.as_secs(),
            faults: done.faults_by_kind.values().sum(),
            done,
            redelivered: told.came_again.all,
            mailbox_left,
            stores_agree,
            told,
            audit,
        }
    }

    /// Tells it to a person.
    pub(super) fn tell(&self, console: &Console) {
        let Self {
            done, audit, told, ..
        } = self;
        console.say(format_args!(
            "\n  done to it          {} functions killed, {} restarts of the service, {} sockets cut, {} stalled,\n                      \
             {} clients reopened, {} requests to AWS gone wrong",
            done.kills, done.restarts, done.cuts, done.stalls, done.reopened, self.faults,
        ));
        for (kind, count) in &done.faults_by_kind {
            console.say(format_args!(
                "                      {count:>6}  {}",
                kind.replace('_', " ")
            ));
        }
        match self.rested_in_seconds {
            Some(seconds) => console.say(format_args!(
                "  at rest             {seconds:.1} s after the last of it (at most {} s)",
                self.rest_limit_seconds
            )),
            None => console.say(format_args!(
                "  NOT AT REST         after {} s",
                self.rest_limit_seconds
            )),
        }
        account::tell(audit, self.mailbox_left, console);
        console.say(format_args!(
            "                      came again {}, gaps told {}, late and said to be {}, unreadable {}, given up {}",
            self.redelivered, told.gaps, audit.late, told.undecryptable, told.failed,
        ));
        if !self.passed {
            console.say(format_args!(
                "\nA PROMISE WAS BROKEN. The same disturbances again, with diagnostics:\n  \
                 WAXWING_LOG=waxwing_client=debug cargo waxwing load --chaos --devices {} --seconds {} --seed {}",
                self.devices, self.seconds, self.seed
            ));
        }
    }
}

/// Whether everything sent is accepted and there, once, unaltered, and in order but for what was said to be late.
fn is_kept(audit: &Audit) -> bool {
    audit.accepted == audit.sent
        && audit.delivered == audit.expected
        && audit.lost + audit.duplicated + audit.reordered + audit.altered + audit.unexpected == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> Parts {
        Parts {
            seed: 1,
            seconds: 10,
            devices: 4,
            rest_limit: Duration::from_secs(60),
            rested: Some(Duration::from_secs(2)),
            done: Disturbances::default(),
            mailbox_left: 0,
            kept: Audit::default(),
            told: Told::default(),
            audit: Audit::default(),
        }
    }

    #[test]
    fn what_is_late_and_said_to_be_breaks_no_promise() {
        let mut late = parts();
        (late.audit.late, late.kept.late, late.told.gaps) = (3, 3, 3);
        assert!(Report::new(late).passed);
    }

    #[test]
    fn each_thing_that_must_not_be_is_a_broken_promise() {
        let breaks: [fn(&mut Parts); 12] = [
            |parts| parts.rested = None,
            |parts| parts.audit.lost = 1,
            |parts| parts.audit.duplicated = 1,
            |parts| parts.audit.reordered = 1,
            |parts| parts.audit.sent = 1,
            |parts| parts.kept.lost = 1,
            |parts| parts.kept.duplicated = 1,
            |parts| parts.mailbox_left = 1,
            |parts| parts.told.undecryptable = 1,
            |parts| parts.told.failed = 1,
            |parts| parts.told.refused = 1,
            |parts| parts.done.left_behind = 1,
        ];
        for (number, break_it) in breaks.into_iter().enumerate() {
            let mut broken = parts();
            break_it(&mut broken);
            assert!(!Report::new(broken).passed, "{number}");
        }
    }
}
