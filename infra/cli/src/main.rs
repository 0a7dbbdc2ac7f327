//! The `waxwing` command.

use std::process::ExitCode;

use clap::Parser;
use waxwing_cli::{Cli, Console, Failure, Outcome};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = Console::new(cli.wants_json());
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(waxwing_cli::commands::run(cli, &console)));
    match ended {
        Ok(Outcome::Kept) => ExitCode::SUCCESS,
        Ok(Outcome::Broken) => ExitCode::FAILURE,
        Err(error) => {
            console.warn(format_args!("waxwing: {error}"));
            ExitCode::FAILURE
        }
    }
}
