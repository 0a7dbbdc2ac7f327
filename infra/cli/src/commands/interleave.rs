//! `interleave`: functions that run at the same time, in every order of their calls to AWS.

use std::{
    io,
    num::NonZeroUsize,
    time::{Duration, Instant},
};

use serde::Serialize;
use waxwing_prove::{
    Trouble,
    interleave::{
        self, Broken, Found, Function, NoSchedule, Play, Scene, Schedule, at_random, exhaust, replay,
    },
    paused::{in_paused_time, on_every_processor},
};

use crate::{
    commands::Outcome,
    console::{Console, thousands},
};

/// Run functions at the same time, in every order of their calls to AWS, and check the promises of docs/reliability.md.
/// Without arguments: every two functions, exhaustively.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Every two functions, in every order that differs
    #[arg(long, conflicts_with_all = ["triples", "schedule"])]
    pairs: bool,
    /// Every three functions, at random from --seed on, until --seconds are over
    #[arg(long, conflicts_with = "schedule")]
    triples: bool,
    /// These functions beside each other, in every order; with --pairs or --triples: those among them
    #[arg(long, value_name = "NAME,NAME", value_delimiter = ',', value_parser = function)]
    functions: Vec<Function>,
    /// In this scene only: `connected`, or `away`
    #[arg(long, value_name = "SCENE", value_parser = scene)]
    scene: Option<Scene>,
    /// How long at most; of --triples 60, else until all is tried
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// What all that is random follows from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Play this schedule of --functions: for each step, which of them goes on
    #[arg(long, value_name = "0110", requires = "functions")]
    schedule: Option<String>,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Seconds for triples, unless another number is given.
const SECONDS_FOR_TRIPLES: u64 = 60;

/// Why nothing was interleaved.
#[derive(Debug, thiserror::Error)]
pub enum InterleaveError {
    /// A situation cannot be made.
    #[error(transparent)]
    Trouble(#[from] Trouble),
    /// What is to be played is no schedule.
    #[error(transparent)]
    Schedule(#[from] NoSchedule),
    /// The functions do not fit together.
    #[error("these functions do not fit: two or three, all of which the scene allows")]
    Functions,
    /// The report cannot be printed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// A thread that played broke off.
    #[error("the trial broke off: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

/// What is printed for a program.
#[derive(Debug, Serialize)]
struct Report<'a> {
    groups: usize,
    schedules: usize,
    broken: usize,
    found: &'a [Found],
}

fn function(name: &str) -> Result<Function, String> {
    Function::named(name).ok_or_else(|| {
        let names: Vec<_> = Function::ALL.into_iter().map(Function::name).collect();
        format!("one of {}", names.join(", "))
    })
}

fn scene(name: &str) -> Result<Scene, String> {
    let found = Scene::ALL.into_iter().find(|scene| scene.name() == name);
    found.ok_or_else(|| "connected or away".to_owned())
}

/// Plays and prints.
///
/// # Errors
/// [`InterleaveError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, InterleaveError> {
    if let Some(schedule) = &args.schedule {
        return play_one(&args, schedule.parse()?, console).await;
    }
    let groups = groups(&args)?;
    let progress = console.progress("groups of functions", groups.len());
    let way = Way::of(&args, groups.len());
    let seed = args.seed;
    let found = tokio::task::spawn_blocking(move || {
        on_every_processor(groups, |(scene, functions)| {
            let play = Play {
                scene,
                functions,
                seed,
                control: None,
            };
            let found = in_paused_time(way.play(&play))??;
            progress.step();
            Ok(found)
        })
    });
    let mut found = found.await??;
    found.sort_by(|one, other| (one.scene, &one.functions).cmp(&(other.scene, &other.functions)));
    report(&found, console)
}

/// Which schedules of a group are played.
#[derive(Clone, Copy)]
enum Way {
    /// All that differ, until then.
    Exhaustive(Option<Instant>),
    /// As many at random as fit.
    Random(Duration),
}

impl Way {
    fn of(args: &Args, groups: usize) -> Self {
        if !args.triples {
            let time = args.seconds.map(Duration::from_secs);
            return Self::Exhaustive(time.and_then(|time| Instant::now().checked_add(time)));
        }
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let seconds = Duration::from_secs(args.seconds.unwrap_or(SECONDS_FOR_TRIPLES));
        let threads = u32::try_from(threads).unwrap_or(1);
        let groups = u32::try_from(groups.max(1)).unwrap_or(u32::MAX);
        Self::Random(
            seconds
                .saturating_mul(threads)
                .checked_div(groups)
                .unwrap_or_default(),
        )
    }

    async fn play(self, play: &Play) -> Result<Found, Trouble> {
        match self {
            Self::Exhaustive(until) => exhaust(play, until).await,
            Self::Random(time) => at_random(play, time).await,
        }
    }
}

fn groups(args: &Args) -> Result<Vec<(Scene, Vec<Function>)>, InterleaveError> {
    let functions = &args.functions;
    let mut groups = if args.triples {
        interleave::triples(functions)
    } else if args.pairs || functions.is_empty() {
        interleave::pairs(functions)
    } else {
        Scene::ALL
            .into_iter()
            .map(|scene| (scene, functions.clone()))
            .collect()
    };
    groups.retain(|(scene, functions)| {
        let is_asked_for = args.scene.is_none_or(|only| only == *scene);
        is_asked_for && (2..=3).contains(&functions.len()) && functions.iter().all(|one| one.fits(*scene))
    });
    if groups.is_empty() {
        return Err(InterleaveError::Functions);
    }
    Ok(groups)
}

async fn play_one(args: &Args, schedule: Schedule, console: &Console) -> Result<Outcome, InterleaveError> {
    let functions = args.functions.clone();
    let fits = |scene: &Scene| functions.iter().all(|one| one.fits(*scene));
    let scene = args.scene.or(Scene::ALL.into_iter().find(fits)).filter(fits);
    let play = Play {
        scene: scene.ok_or(InterleaveError::Functions)?,
        functions,
        seed: args.seed,
        control: None,
    };
    let played = tokio::task::spawn_blocking(move || in_paused_time(replay(&play, &schedule))?);
    let played = played.await??;
    tell(&played, console);
    console.result(&played)?;
    Ok(if played.violations.is_empty() {
        console.say("every promise was kept");
        Outcome::Kept
    } else {
        Outcome::Broken
    })
}

fn tell(played: &Broken, console: &Console) {
    for step in &played.steps {
        console.say(format_args!("    {step}"));
    }
    for violation in &played.violations {
        console.say(format_args!("  {violation}"));
    }
}

fn report(found: &[Found], console: &Console) -> Result<Outcome, InterleaveError> {
    for Found {
        scene,
        functions,
        schedules,
        steps,
        is_exhausted,
        broken,
        ..
    } in found
    {
        let names: Vec<_> = functions.iter().map(|function| function.name()).collect();
        let all = if *is_exhausted { "all " } else { "" };
        console.say(format_args!(
            "{:<9}  {:<32}  {all}{schedules} schedules, up to {steps} steps",
            scene.name(),
            names.join(" ∥ "),
        ));
        if let Some(broken) = broken {
            tell(broken, console);
            console.say(format_args!(
                "  again: cargo waxwing interleave --scene {} --functions {} --seed {} --schedule {}",
                scene.name(),
                names.join(","),
                broken.seed,
                broken.schedule,
            ));
        }
    }
    let schedules = found.iter().map(|found| found.schedules).sum();
    let broken = found.iter().filter(|found| found.broken.is_some()).count();
    let all = found
        .iter()
        .all(|found| found.is_exhausted || found.broken.is_some());
    console.say(format_args!(
        "{} schedules of {} groups of functions{}: {broken} broke a promise",
        thousands(schedules),
        found.len(),
        if all { ", all that differ" } else { "" },
    ));
    console.result(&Report {
        groups: found.len(),
        schedules,
        broken,
        found,
    })?;
    Ok(Outcome::of(broken == 0))
}
