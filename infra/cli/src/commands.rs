//! The commands and their arguments.

pub mod chat;
pub mod cost;
pub mod crash_table;
pub mod demo;
pub mod doctor;
pub mod functions;
pub mod interleave;
pub mod load;
pub mod local;
pub mod model;
pub mod verify;

use clap::{Parser, Subcommand};

use crate::console::Console;

/// What `--help` says about exit codes, and what [`Outcome`] and errors turn into.
const EXIT_CODES: &str = "\
Exit codes:
  0  done, and every promise was kept
  1  a promise was broken (something lost, doubled, out of order, readable, or dearer than its budget), or the command
     could not run
  2  the arguments make no sense

WAXWING_LOG=debug (or a filter like waxwing_client=trace) prints diagnostics on standard error.";

/// Waxwing, an end-to-end encrypted messenger: run it, watch it, talk with it, load it, all on this machine.
#[derive(Debug, Parser)]
#[command(name = "waxwing", bin_name = "cargo waxwing", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = EXIT_CODES)]
    Demo(demo::Args),
    #[command(after_help = EXIT_CODES)]
    Local(local::Args),
    #[command(after_help = EXIT_CODES)]
    Chat(chat::Args),
    #[command(after_help = EXIT_CODES)]
    Load(load::Args),
    #[command(after_help = EXIT_CODES)]
    Cost(cost::Args),
    #[command(after_help = EXIT_CODES)]
    CrashTable(crash_table::Args),
    #[command(after_help = EXIT_CODES)]
    Interleave(interleave::Args),
    #[command(after_help = EXIT_CODES)]
    Model(model::Args),
    #[command(after_help = EXIT_CODES)]
    Doctor(doctor::Args),
    #[command(after_help = EXIT_CODES)]
    Functions(functions::Args),
    #[command(after_help = EXIT_CODES)]
    Verify(verify::Args),
}

/// How a command that ran to its end found things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every promise was kept: exit code 0.
    Kept,
    /// A promise was broken, and the report says which: exit code 1.
    Broken,
}

impl Outcome {
    /// [`Kept`](Self::Kept) if every promise was, and else [`Broken`](Self::Broken).
    fn of(kept: bool) -> Self {
        if kept { Self::Kept } else { Self::Broken }
    }
}

/// Why a command could not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The operating system gave no threads.
    #[error("the runtime could not start: {0}")]
    Runtime(#[from] std::io::Error),
    /// In `demo`.
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    /// In `local`.
    #[error(transparent)]
    Local(#[from] local::LocalError),
    /// In `chat`.
    #[error(transparent)]
    Chat(#[from] chat::ChatError),
    /// In `load`.
    #[error(transparent)]
    Load(#[from] load::LoadError),
    /// In `cost`.
    #[error(transparent)]
    Cost(#[from] cost::CostError),
    /// In `crash-table`.
    #[error(transparent)]
    CrashTable(#[from] crash_table::CrashTableError),
    /// In `interleave`.
    #[error(transparent)]
    Interleave(#[from] interleave::InterleaveError),
    /// In `model`.
    #[error(transparent)]
    Model(#[from] model::ModelError),
    /// In `doctor`.
    #[error(transparent)]
    Doctor(#[from] doctor::DoctorError),
    /// In `functions`.
    #[error(transparent)]
    Functions(#[from] functions::FunctionsError),
    /// In `verify`.
    #[error(transparent)]
    Verify(#[from] verify::VerifyCommandError),
}

impl Cli {
    /// Whether standard output is for a program.
    pub fn wants_json(&self) -> bool {
        match &self.command {
            Command::Demo(args) => args.json,
            Command::Local(args) => args.json,
            Command::Chat(_) => false,
            Command::Load(args) => args.json,
            Command::Cost(args) => args.json,
            Command::CrashTable(args) => args.json,
            Command::Interleave(args) => args.json,
            Command::Model(args) => args.json,
            Command::Doctor(args) => args.json,
            Command::Functions(args) => args.json,
            Command::Verify(args) => args.json,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// [`Failure`].
pub async fn run(cli: Cli, console: &Console) -> Result<Outcome, Failure> {
    Ok(match cli.command {
        Command::Demo(args) => demo::run(args, console).await?,
        Command::Local(args) => local::run(args, console).await?,
        Command::Chat(args) => chat::run(args, console).await?,
        Command::Load(args) => load::run(args, console).await?,
        Command::Cost(args) => cost::run(args, console).await?,
        Command::CrashTable(args) => crash_table::run(args, console).await?,
        Command::Interleave(args) => interleave::run(args, console).await?,
        Command::Model(args) => model::run(args, console).await?,
        Command::Doctor(args) => doctor::run(args, console).await?,
        Command::Functions(args) => functions::run(args, console).await?,
        Command::Verify(args) => verify::run(args, console).await?,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_readme_parses() {
        for line in [
            "demo",
            "demo --text FILE --processes --json",
            "local",
            "local --data DIR --port 4000 --processes --json",
            "local --memory --template template.yaml",
            "chat --as alice",
            "chat --as bob --to alice --endpoint ws://127.0.0.1:4000/prod",
            "chat --as bob --to 6f9619ff-8b86-4011-b42d-00c04fc964ff",
            "load --devices 100 --seconds 20",
            "load --devices 100 --seconds 20 --rate 50 --processes --json",
            "load --chaos --seconds 120 --json",
            "load --chaos --devices 4 --seconds 10 --rate 5 --seed 7 --rest 90",
            "local --memory --set LogLevel=debug --set RequestsPerMinute=1000 --faults 7:0.05",
            "cost",
            "cost --workload FILE --set people=5 --compare tuning.memory_mb=128,512 --json",
            "cost --committed --html FILE --csv FILE --prices FILE --free-tier --duration-ms send=30",
            "cost --accept --processes",
            "demo --processes --binary FILE",
            "functions",
            "functions --binary FILE --rounds 1 --json",
            "cost --print-workload",
            "verify --as alice --with bob",
            "verify --as alice --with bob --code TEXT --json",
            "doctor",
            "crash-table --function send --json",
            "crash-table --double --seconds 10 --seed 2",
            "crash-table --write",
            "interleave",
            "interleave --pairs --functions send,connect --json",
            "interleave --triples --seconds 10 --seed 2",
            "interleave --scene away --functions send,connect --seed 3 --schedule 0110b1",
            "model --large --json",
            "model --wrong",
            "doctor --endpoint wss://a.example/prod --http-endpoint https://b.example/prod --phone +14155550100 \
             --phone +14155550101 --take-over --patience 60 --json",
        ] {
            let arguments = ["waxwing"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(arguments).is_ok(), "{line}");
        }
    }

    #[test]
    fn arguments_that_make_no_sense_are_refused() {
        for line in [
            "",
            "dance",
            "local --data DIR --memory",
            "chat",
            "chat --as ../bob",
            "chat --as bob --to Alice!",
            "load --devices 3 --seconds 1",
            "load --devices 0 --seconds 1",
            "load --devices 2 --seconds 0",
            "load --devices 2 --seconds 1 --rate 0",
            "load --devices 2 --seconds 1 --rate nan",
            "load --devices 2 --seconds 1 --seed 7",
            "local --set LogLevel",
            "local --faults 7:2",
            "cost --committed --accept",
            "cost --print-workload --json",
            "cost --committed --use-cases FILE",
            "doctor --phone 0301234567",
            "doctor --take-over",
            "doctor --patience 0",
            "demo --binary FILE",
            "interleave --functions dance,connect",
            "interleave --schedule 01",
            "model --large --wrong",
            "functions --rounds 0",
        ] {
            let arguments = ["waxwing"].into_iter().chain(line.split_whitespace());
            assert!(Cli::try_parse_from(arguments).is_err(), "{line}");
        }
    }
}
