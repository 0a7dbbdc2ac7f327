//! `model`: the design in small, tried in every order of its steps.

use std::{io, num::NonZeroUsize};

use serde::Serialize;
use waxwing_prove::model::{Checked, CheckedProperty, Size, check_design, check_wrong};

use crate::{
    commands::Outcome,
    console::{Console, thousands},
};

/// Check the models of send, connect and receive, of the directory, and of one-time prekeys: every order of every step,
/// every crash.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A message and a fault more at once: minutes, and some gigabytes
    #[arg(long)]
    large: bool,
    /// The variants that are wrong on purpose instead, each with the shortest history that betrays it
    #[arg(long, conflicts_with = "large")]
    wrong: bool,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The report cannot be printed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The thread that checked broke off.
    #[error("the check broke off: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// What is printed for a program.
#[derive(Debug, Serialize)]
struct Report {
    kept: bool,
    models: Vec<Checked>,
}

/// Checks and prints.
///
/// # Errors
/// [`ModelError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, ModelError> {
    let progress = console.spinner("trying every order of every step");
    let teller = console.clone();
    let checked = tokio::task::spawn_blocking(move || {
        let tell = |checked: &Checked| tell(checked, &teller);
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        match (args.wrong, args.large) {
            (true, _) => check_wrong(tell),
            (false, true) => check_design(Size::Full, threads, tell),
            (false, false) => check_design(Size::Small, threads, tell),
        }
    });
    let models = checked.await?;
    drop(progress);
    let kept = models.iter().all(Checked::is_as_expected);
    console.result(&Report { kept, models })?;
    Ok(Outcome::of(kept))
}

fn tell(checked: &Checked, console: &Console) {
    let Checked {
        model,
        size,
        wrong,
        states,
        depth,
        properties,
    } = checked;
    let wrong = wrong.as_ref().map(|wrong| format!(", wrong: {}", wrong.variant));
    let size = if size.is_empty() {
        String::new()
    } else {
        format!(" ({size})")
    };
    console.say(format_args!(
        "{model}{size}{}: {} states, {depth} steps deep",
        wrong.as_deref().unwrap_or_default(),
        thousands(*states),
    ));
    for property in properties {
        let CheckedProperty {
            name,
            is_always,
            history,
        } = property;
        let said = match (is_always, history) {
            (true, None) => "holds in every state",
            (true, Some(_)) => "BROKEN",
            (false, Some(_)) => "is reached",
            (false, None) => "is NEVER REACHED",
        };
        // Of a wrong variant only what betrays it matters.
        if wrong.is_none() || history.is_some() && *is_always {
            console.say(format_args!("  {said}: {name}"));
        }
        if let (true, Some(history)) = (is_always, history) {
            for step in history {
                console.say(format_args!("    {step}"));
            }
        }
    }
}
