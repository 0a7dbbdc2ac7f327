//! The account: what was sent against what was shown and what is kept, and what it took.

use std::time::Instant;

use waxwing_client::MessageId;
use waxwing_local::{logs, meter::MeterSnapshot, runner::Runner};

use super::{
    Demo, DemoError, Member,
    report::{Parts, Story},
};
use crate::{
    latency::Latencies,
    ledger::{Audit, Shown},
    operations,
    people::PeopleError,
    service::FunctionsRun,
};

impl Demo<'_> {
    /// Ends the connections, looks everywhere once more, and adds everything up.
    pub(super) async fn account(
        &self,
        runner: &Runner,
        functions_run: FunctionsRun,
        waited: Option<usize>,
    ) -> Result<Parts, DemoError> {
        for member in self.members() {
            member.device.client.disconnect().await;
        }
        let used = runner.meter().since(&self.prepared);
        self.evidence.tables(&self.tables).await?;
        self.evidence.log_lines(&runner.logs(), logs::KEPT_LINES);
        let mailbox_left = self.tables.items(&self.mailbox).await?.len();

        let mut latencies = Latencies::new()?;
        let (audit, told) = self.run.look(|state| {
            state
                .ledger()
                .latencies()
                .for_each(|latency| latencies.record(latency));
            (state.ledger().audit(), state.told_by_all())
        });
        let measured = operations::measure(&used, audit.sent)?;
        let stored = stored(&used, &self.mailbox);
        Ok(Parts {
            functions_run,
            completed: waited.is_some(),
            empty_lines: self.text.empty,
            stores_agree: self.audit_of_stores()?.is_clean(),
            mailbox_left,
            latency_ms: latencies.summary(),
            story: Story {
                claims: measured.invocations.get("claim").copied().unwrap_or(0),
                stored,
                waited_for_bob: waited.unwrap_or(0),
                deleted: stored.saturating_sub(u64::try_from(mailbox_left).unwrap_or(u64::MAX)),
                told,
            },
            audit,
            operations: measured,
        })
    }

    /// The same account of what each device's store holds in the end, instead of what was shown.
    fn audit_of_stores(&self) -> Result<Audit, DemoError> {
        let mut lists = Vec::new();
        for member in self.members() {
            lists.push(self.kept_by(member)?);
        }
        Ok(self.run.look(|state| state.ledger().with_shown(lists).audit()))
    }

    /// What others sent, as the store of a device holds it.
    fn kept_by(&self, member: &Member) -> Result<Vec<Shown<MessageId>>, DemoError> {
        let alice = self.alice_phone.device.address.account;
        let bob = self.bob_phone.device.address.account;
        let other = if member.device.address.account == alice {
            bob
        } else {
            alice
        };
        let kept = member
            .device
            .client
            .messages(other)
            .map_err(|error| PeopleError::Store(member.device.name.clone(), error))?;
        let now = Instant::now();
        Ok(self.run.look(|state| {
            kept.into_iter()
                .filter(|message| message.from != member.device.address)
                .map(|message| Shown {
                    id: message.id,
                    from: state.number_of(message.from),
                    text: message.text,
                    late: message.late,
                    at: now,
                })
                .collect()
        }))
    }
}

/// Envelopes that `send` put into mailboxes, repetitions included.
fn stored(used: &MeterSnapshot, mailbox: &str) -> u64 {
    used.tables
        .get("send")
        .and_then(|tables| tables.get(mailbox))
        .and_then(|operations| operations.get("PutItem"))
        .map_or(0, |puts| puts.calls)
}
