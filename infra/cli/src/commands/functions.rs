//! `cargo waxwing functions`: how long each function takes to start and to answer, as a process of the binary that would
//! be deployed.
//!
//! Each round is a service of its own, so every function starts cold in it once, and a story that needs all of them,
//! one thing after the other. The figures are those of this machine: processes are not slowed down to a share of a CPU
//! as on Lambda, and a table is a call to this process. They are for comparing binaries and commits.

mod story;
mod timing;

use std::{collections::BTreeSet, io, path::PathBuf};

use serde::Serialize;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};
use waxwing_local::{lambda::ObservedInvocation, runner::Runner};

use self::{
    story::StoryError,
    timing::{Figures, Timings},
};
use crate::{
    commands::Outcome,
    console::{Console, thousands},
    logging,
    service::{self, Options, ServiceError},
};

/// Starts of each function unless told otherwise: enough for a median.
const DEFAULT_ROUNDS: u32 = 5;

/// Measure how long each function takes to start (process start to first poll) and to answer when warm.
///
/// Runs every function as a process of the binary that would be deployed, over the Lambda Runtime API, one invocation
/// at a time. The figures are those of this machine, for comparing binaries and commits; only AWS knows AWS's.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The binary, built already, such as the one that is to be deployed [default: built from this checkout]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// How often each function is started anew
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ROUNDS, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Why functions were not measured.
#[derive(Debug, thiserror::Error)]
pub enum FunctionsError {
    /// The service did not start.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The binary's size cannot be read, or the report not be printed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The story did not come to its end.
    #[error(transparent)]
    Story(#[from] StoryError),
    /// Invocations went by unseen.
    #[error("{0} invocations were not seen, so no figure would be right")]
    Missed(u64),
    /// A function failed; how long that takes is of no interest.
    #[error("{function} failed; run again with WAXWING_LOG=debug to see why")]
    Failed {
        /// Which one.
        function: String,
    },
    /// Functions of the template that the story does not need.
    #[error("the story does not reach {}", .0.iter().cloned().collect::<Vec<_>>().join(", "))]
    Unreached(BTreeSet<String>),
    /// A constant is wrong.
    #[error("durations cannot be kept: {0}")]
    Histogram(#[from] hdrhistogram::CreationError),
}

/// What is printed for a program.
#[derive(Debug, Serialize)]
struct Report {
    binary: PathBuf,
    binary_bytes: u64,
    rounds: u32,
    functions: std::collections::BTreeMap<String, Figures>,
}

/// Measures and prints.
///
/// # Errors
/// [`FunctionsError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, FunctionsError> {
    logging::begin();
    let binary = service::functions_binary_of(args.binary, console).await?;
    let mut timings = Timings::default();
    let progress = console.progress(
        "starting every function anew",
        usize::try_from(args.rounds).unwrap_or(0),
    );
    for _ in 0..args.rounds {
        let options = Options {
            binary: Some(binary.clone()),
            ..Options::in_memory(true)
        };
        let runner = service::start(options, console).await?;
        round(runner, &mut timings).await?;
        progress.step();
    }
    drop(progress);
    let report = Report {
        binary_bytes: std::fs::metadata(&binary)?.len(),
        binary,
        rounds: args.rounds,
        functions: timings.figures(),
    };
    tell(&report, console);
    console.result(&report)?;
    Ok(Outcome::Kept)
}

/// Plays the story once and takes down what each invocation took.
async fn round(runner: Runner, timings: &mut Timings) -> Result<(), FunctionsError> {
    let observed = runner.observe_invocations();
    let mut unreached: BTreeSet<String> = runner.template().functions.keys().cloned().collect();
    let told = story::tell(&runner).await;
    // Then every invocation has ended.
    runner.shutdown().await;
    told?;
    for invocation in seen(observed)? {
        if invocation.failed {
            let function = invocation.function;
            return Err(FunctionsError::Failed { function });
        }
        unreached.remove(&invocation.function);
        timings.add(&invocation)?;
    }
    if unreached.is_empty() {
        Ok(())
    } else {
        Err(FunctionsError::Unreached(unreached))
    }
}

fn seen(mut observed: Receiver<ObservedInvocation>) -> Result<Vec<ObservedInvocation>, FunctionsError> {
    let mut all = Vec::new();
    loop {
        match observed.try_recv() {
            Ok(invocation) => all.push(invocation),
            Err(TryRecvError::Lagged(missed)) => return Err(FunctionsError::Missed(missed)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return Ok(all),
        }
    }
}

fn tell(report: &Report, console: &Console) {
    let bytes = usize::try_from(report.binary_bytes).unwrap_or(usize::MAX);
    console.say(format_args!(
        "{}, {} bytes; each function started {} times\n",
        report.binary.display(),
        thousands(bytes),
        report.rounds
    ));
    console.say("                start   first event       warm      warm");
    console.say("function       median        median     median       p99   warm events");
    for (function, figures) in &report.functions {
        let ms = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1} ms"));
        console.say(format_args!(
            "{function:<11} {:>9} {:>13} {:>10} {:>9} {:>13}",
            ms(figures.start_ms),
            ms(figures.first_ms),
            ms(figures.warm_ms.p50),
            ms(figures.warm_ms.p99),
            figures.warm_ms.measured
        ));
    }
    console.say(
        "\nstart: from the start of the process to its first poll. First event: what comes after it, on connections that \
         are not open yet.\nOn this machine, whose tables are a call away and whose processes have a whole CPU.",
    );
}
