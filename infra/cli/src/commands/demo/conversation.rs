//! The conversation: three thirds of a text, told as they happen.

use std::ops::Range;

use super::{Demo, DemoError, Member};
use crate::{
    console::{Progress, printable, thousands},
    evidence,
    run::{Stalled, State},
};

/// Messages of one device that may be on their way at once: enough to keep the functions busy, few enough to
/// stay far below what a mailbox page or a ratchet allows.
const WINDOW: usize = 16;

/// Of Alice's lines, every third comes from her laptop: of six lines in a row, the fifth.
const LINES_IN_A_ROUND: usize = 6;
const LAPTOP_LINE: usize = 4;

impl Demo<'_> {
    /// The three thirds. Gives how many envelopes waited for Bob's phone.
    pub(super) async fn converse(&self) -> Result<usize, DemoError> {
        let progress = self.console.progress("lines accepted", self.text.lines.len());
        let lines = self.text.lines.len();
        let (first, second) = (lines / 3, lines * 2 / 3);

        self.begin_chapter(0..first, "everybody is connected");
        self.talk(0..first, &progress).await?;
        self.end_first_chapter();

        self.begin_chapter(first..second, "Bob's phone is away");
        self.leaves(&self.bob_phone).await?;
        self.talk(first..second, &progress).await?;
        let waiting = self.look_while_waiting().await?;
        self.bob_returns().await?;

        self.begin_chapter(second..lines, "everybody is connected again");
        self.talk(second..lines, &progress).await?;
        self.everything_shown_is_acked().await?;
        Ok(waiting)
    }

    /// Sends lines, alternating, and waits until all devices that are present have shown them.
    async fn talk(&self, lines: Range<usize>, progress: &Progress) -> Result<(), DemoError> {
        let numbers = lines.clone();
        for (number, line) in numbers.zip(self.text.lines.get(lines).unwrap_or_default()) {
            let (from, to) = self.who_says(number);
            self.run.room_for(from.number, WINDOW).await?;
            let to = to.device.address.account;
            self.run.send(from.number, &from.device, to, line).await?;
            progress.set(self.run.look(State::accepted));
        }
        self.run.settled().await?;
        progress.set(self.run.look(State::accepted));
        Ok(())
    }

    /// Whose device says a line, counted from 0, and a device of the person it is for.
    fn who_says(&self, line: usize) -> (&Member, &Member) {
        match (line % 2, line % LINES_IN_A_ROUND) {
            (1, _) => (&self.bob_phone, &self.alice_phone),
            (_, LAPTOP_LINE) => (&self.alice_laptop, &self.bob_phone),
            _ => (&self.alice_phone, &self.bob_phone),
        }
    }

    fn begin_chapter(&self, lines: Range<usize>, what: &str) {
        let (start, end) = (thousands(lines.start + 1), thousands(lines.end));
        self.console.say(format_args!("\nLines {start} to {end}: {what}"));
        if let Some(line) = self.text.lines.get(lines.start) {
            let (from, _) = self.who_says(lines.start);
            self.console
                .say(format_args!("  {}: {}", from.device.name, printable(line)));
        }
    }

    fn end_first_chapter(&self) {
        let told = self.run.look(State::told_by_all);
        let with = told.handshakes_with_one_time_prekey;
        let opened = with + told.handshakes_without_one_time_prekey;
        let shown = thousands(self.run.look(State::shown));
        self.console.say(format_args!(
            "  {opened} sessions were opened, {with} of them with a one-time prekey."
        ));
        self.console.say(format_args!(
            "  Every line was accepted, and shown on both other devices: {shown} times in all."
        ));
    }

    /// Looks into the tables while Bob's messages lie in the mailbox. Gives how many do.
    async fn look_while_waiting(&self) -> Result<usize, DemoError> {
        self.everything_shown_is_acked().await?;
        // What Alice's devices tell each other may be there too; the key of an item begins with its owner's account.
        let owner = self.bob_phone.device.address.account.to_bytes();
        let mut waiting = self.tables.items(&self.mailbox).await?;
        waiting.retain(|item| item.iter().any(|part| part.starts_with(&owner)));
        self.evidence.tables(&self.tables).await?;
        self.evidence.control(&waiting)?;
        let count = thousands(waiting.len());
        self.console.say(format_args!(
            "  {count} envelopes wait in the mailbox of Bob's phone."
        ));
        if let Some(ciphertext) = waiting.first().and_then(evidence::longest) {
            let beginning: String = ciphertext
                .iter()
                .take(24)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            self.console.say(format_args!(
                "  What the service has of one: {beginning}… ({} bytes)",
                ciphertext.len()
            ));
        }
        Ok(waiting.len())
    }

    async fn bob_returns(&self) -> Result<(), DemoError> {
        self.console.say("\nBob's phone is back");
        let shown_there = |state: &State| state.shown_on(self.bob_phone.number);
        let (shown, on_his) = self.run.look(|state| (state.shown(), shown_there(state)));
        self.arrives(&self.bob_phone).await?;
        self.run.settled().await?;
        let (shown, on_his) = self
            .run
            .look(|state| (state.shown() - shown, shown_there(state) - on_his));
        self.console.say(format_args!(
            "  It showed the {} lines that had waited, in order.",
            thousands(on_his)
        ));
        self.console.say(format_args!(
            "  What he had written meanwhile left its outbox, and was shown {} times on Alice's two devices.",
            thousands(shown - on_his),
        ));
        Ok(())
    }

    async fn everything_shown_is_acked(&self) -> Result<(), Stalled> {
        let shown = self.run.look(State::shown);
        self.run
            .until("everything shown is acked", |state| {
                state.told_by_all().acked >= shown
            })
            .await
    }

    /// Connects a device and waits until it has read its mailbox.
    pub(super) async fn arrives(&self, member: &Member) -> Result<(), Stalled> {
        let drained = self.run.look(|state| state.told(member.number).drained);
        member.device.client.connect();
        let again = |state: &State| state.told(member.number).drained > drained;
        self.run.until("the device has read its mailbox", again).await?;
        self.run.set_present(member.number, true);
        Ok(())
    }

    pub(super) async fn leaves(&self, member: &Member) -> Result<(), Stalled> {
        self.run.set_present(member.number, false);
        member.device.client.disconnect().await;
        self.run
            .until("the device is disconnected", |state| {
                state.told(member.number).disconnected > 0
            })
            .await
    }
}
