//! `cargo waxwing load --drain N`: so many messages wait for a device that is away; it comes, and what that takes is told.

use std::time::Instant;

use serde::Serialize;

use super::{
    Args, LoadError, MAILBOX, account,
    apart::{Apart, Used, again},
    crowd::Crowd,
    report::ServiceCpu,
};
use crate::{
    commands::Outcome,
    console::{Console, thousands},
    ledger::Audit,
    run::{State, Told},
    service::{self, FunctionsRun, Options},
    tables::Tables,
};

/// What it took to get rid of what waited.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether every promise held.
    passed: bool,
    /// Messages that waited.
    waiting: usize,
    functions_run: FunctionsRun,
    /// From the call to connect until everything was shown and acked.
    seconds: f64,
    /// All of it, in milliseconds.
    cpu_ms: ServiceCpu,
    /// Envelopes left in mailboxes after every ack.
    mailbox_left: usize,
    told: Told,
    audit: Audit,
}

/// Lets them wait, lets the device come, and prints the report.
///
/// # Errors
/// [`LoadError`].
pub(super) async fn run(args: &Args, waiting: usize, console: &Console) -> Result<Outcome, LoadError> {
    let options = Options {
        binary: args.functions.binary.clone(),
        ..Options::in_memory(args.functions.processes)
    };
    let (_threads, runner) = Apart::start(service::prepare(options, console).await?).await?;
    let crowd = Crowd::gather(2, &runner, console).await?;
    let [writer, reader] = crowd.members.as_slice() else {
        return Err(LoadError::NoPair);
    };
    let run = &crowd.run;
    reader.device.client.disconnect().await;
    run.set_present(reader.number, false);
    let (accepted_before, shown_before) = run.look(|state| (state.accepted(), state.shown()));
    let acked_before = run.look(|state| state.told_by_all().acked);
    let progress = console.spinner("sending what is to wait");
    for number in 1..=waiting {
        let text = format!("Message {number}, as long as short ones are, that waits.");
        run.send(writer.number, &writer.device, writer.partner, &text)
            .await?;
    }
    run.until("what waits is accepted", |state| {
        state.accepted() >= accepted_before + waiting
    })
    .await?;
    drop(progress);
    let before = runner.recorded_database();
    runner.record_database();
    let (used, start) = (Used::read(), Instant::now());
    reader.device.client.connect();
    run.set_present(reader.number, true);
    let drained = |state: &State| {
        state.shown() >= shown_before + waiting && state.told_by_all().acked >= acked_before + waiting
    };
    run.until("what waited is shown and acked", drained).await?;
    let seconds = start.elapsed().as_secs_f64();
    let service = Used::read()
        .zip(used)
        .map(|(later, earlier)| later.since(&earlier));
    let during = runner.recorded_database();
    for member in &crowd.members {
        member.device.client.disconnect().await;
    }
    let again = again(&runner, before, during).await?;
    let mailbox = runner.table_name(MAILBOX).ok_or(LoadError::NoMailbox)?;
    let mailbox_left = Tables::at(&runner.aws_endpoint()).items(&mailbox).await?.len();
    let (audit, told) = run.look(|state| (state.ledger().audit(), state.told_by_all()));
    let report = Report {
        passed: audit.is_clean() && told.faults() + mailbox_left == 0,
        waiting,
        functions_run: FunctionsRun::chosen(args.functions.processes),
        seconds,
        cpu_ms: ServiceCpu::in_millis(service, again),
        mailbox_left,
        told,
        audit,
    };
    runner.shutdown().await;
    report.tell(console);
    console.result(&report)?;
    Ok(Outcome::of(report.passed))
}

impl Report {
    fn tell(&self, console: &Console) {
        console.say(format_args!(
            "{} messages waited; functions ran {}.\n",
            thousands(self.waiting),
            self.functions_run
        ));
        console.say(format_args!("  shown and acked     after {:.2} s", self.seconds));
        self.cpu_ms.tell("ms", console);
        account::tell(&self.audit, self.mailbox_left, console);
        if !self.passed {
            console.say("\nA PROMISE WAS BROKEN: look for the figures above that are not 0, and run with WAXWING_LOG=debug.");
        }
    }
}
