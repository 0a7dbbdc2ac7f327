//! `cargo waxwing crash-table`: every call of every function going wrong in every way, and what becomes of it.

use std::{io, path::Path, time::Duration};

use serde::Serialize;
use waxwing_prove::{
    Trouble,
    crash_table::{Case, double_faults, markdown, single_faults, situations},
    paused::in_paused_time,
};

use crate::{
    commands::Outcome,
    console::{Console, thousands},
};

/// Where the table is, in a checkout.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/crash-table.md");

/// What is said while pairs are tried.
const PAIRS: &str = "pairs of faults";

/// Let every call that a function makes to AWS go wrong in every way, repeat the request as its client would, and check
/// the promises of docs/reliability.md.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of this function only
    #[arg(long, value_name = "NAME")]
    function: Option<String>,
    /// Pairs of faults: one in the first delivery, one in the second
    #[arg(long, conflicts_with = "write")]
    double: bool,
    /// How long pairs are tried
    #[arg(long, value_name = "N", default_value_t = 60, requires = "double")]
    seconds: u64,
    /// What the order of the pairs follows from
    #[arg(long, value_name = "N", default_value_t = 1, requires = "double")]
    seed: u64,
    /// Write docs/crash-table.md
    #[arg(long, conflicts_with = "function")]
    write: bool,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Why faults were not tried.
#[derive(Debug, thiserror::Error)]
pub enum CrashTableError {
    /// A situation cannot be made.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// The table cannot be written, or the report not be printed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The thread that tried them broke off.
    #[error("the trial broke off: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// What is printed for a program.
#[derive(Debug, Serialize)]
struct Report<'a> {
    faults: usize,
    broken: usize,
    open: usize,
    cases: &'a [Case],
}

/// Tries and prints.
///
/// # Errors
/// [`CrashTableError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, CrashTableError> {
    let Args {
        function,
        double,
        seconds,
        seed,
        ..
    } = args;
    let watcher = console.clone();
    let cases = tokio::task::spawn_blocking(move || {
        let only = function.as_deref();
        if double {
            let progress = watcher.spinner(PAIRS);
            let tell = |tried| progress.tell(&format!("{PAIRS}: {}", thousands(tried)));
            in_paused_time(double_faults(only, seed, Duration::from_secs(seconds), tell))?
        } else {
            let progress = watcher.progress("situations", situations(only));
            single_faults(only, || progress.step())
        }
    });
    let cases = cases.await??;
    if args.write {
        tokio::fs::write(Path::new(TABLE), markdown(&cases)).await?;
    }
    let broken: Vec<_> = cases.iter().filter(|case| !case.violations.is_empty()).collect();
    let open = cases.iter().filter(|case| !case.open.is_empty()).count();
    for case in &broken {
        let faults: Vec<_> = case
            .faults
            .iter()
            .map(|fault| format!("call {} {}", fault.call, fault.mode))
            .collect();
        let Case {
            function, scenario, ..
        } = case;
        console.say(format_args!("{function}, {scenario}: {}", faults.join(", then ")));
        for violation in &case.violations {
            console.say(format_args!("    {violation}"));
        }
    }
    let (tried, count) = (cases.len(), broken.len());
    console.say(format_args!(
        "{tried} faults or pairs tried: {count} broke a promise, {open} are known to"
    ));
    console.result(&Report {
        faults: tried,
        broken: count,
        open,
        cases: &cases,
    })?;
    Ok(Outcome::of(broken.is_empty()))
}
