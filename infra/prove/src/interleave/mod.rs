//! Functions that run at the same time, in every order of their calls to AWS.
//!
//! The functions are the real ones over the embedded DynamoDB. Every call waits at a gate in the SDK's connector, and so
//! does what API Gateway does by itself (a connection opens, breaks off, carries an answer); whoever is let go next is a
//! schedule's choice. Time stands still, ids and randomness follow from the seed: a schedule that breaks a promise breaks
//! it again.
//!
//! # Layout
//! - `programs`: who asks for what. `play`: one schedule. `touches`: which steps commute. `search`: which schedules
//!   are played. `schedule`: a schedule as text.

mod play;
mod programs;
mod schedule;
mod search;
mod touches;

use std::time::{Duration, Instant};

use serde::Serialize;

use self::{
    play::{Follow, Played},
    schedule::Turn,
    search::{Exhaustive, Random},
};
use crate::{Trouble, promises::Violation};

pub use play::Play;
pub use programs::{Function, Scene};
pub use schedule::{NoSchedule, Schedule};

/// Plays that a schedule which broke a promise is made simpler in, at most.
const MAX_PLAYS_TO_SIMPLIFY: usize = 60;

/// What was found of functions that run at the same time.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// What holds before.
    pub scene: Scene,
    /// The functions.
    pub functions: Vec<Function>,
    /// Schedules that were played to their end.
    pub schedules: usize,
    /// Those that were given up on the way, because they led to nothing new.
    pub cut_short: usize,
    /// Steps of the longest.
    pub steps: usize,
    /// Whether all schedules were played that differ.
    pub is_exhausted: bool,
    /// The first that broke a promise.
    pub broken: Option<Broken>,
}

/// A schedule that breaks a promise.
#[derive(Clone, Debug, Serialize)]
pub struct Broken {
    /// The schedule, as simple as it was made.
    pub schedule: Schedule,
    /// What its randomness follows from.
    pub seed: u64,
    /// Its steps.
    pub steps: Vec<String>,
    /// What did not hold.
    pub violations: Vec<Violation>,
}

impl Found {
    fn nothing(play: &Play) -> Self {
        Self {
            scene: play.scene,
            functions: play.functions.clone(),
            schedules: 0,
            cut_short: 0,
            steps: 0,
            is_exhausted: false,
            broken: None,
        }
    }

    fn note(&mut self, played: &Played) {
        self.schedules += 1;
        self.steps = self.steps.max(played.told.len());
    }
}

/// Every two functions, each also beside itself, in every scene that they fit; or those of them that `only` names, if it
/// names any.
pub fn pairs(only: &[Function]) -> Vec<(Scene, Vec<Function>)> {
    groups(2, only)
}

/// Every three functions, likewise.
pub fn triples(only: &[Function]) -> Vec<(Scene, Vec<Function>)> {
    groups(3, only)
}

fn groups(size: usize, only: &[Function]) -> Vec<(Scene, Vec<Function>)> {
    let mut groups = vec![Vec::new()];
    for _ in 0..size {
        let longer = groups.iter().flat_map(|group: &Vec<Function>| {
            let from = group.last().copied();
            let next = Function::ALL
                .into_iter()
                .filter(move |next| from.is_none_or(|from| *next >= from));
            next.map(move |next| [group.as_slice(), &[next]].concat())
        });
        groups = longer.collect();
    }
    let is_meant = |group: &[Function]| group.iter().all(|one| only.is_empty() || only.contains(one));
    let scenes = Scene::ALL.into_iter().flat_map(|scene| {
        let fits = move |group: &&Vec<Function>| group.iter().all(|one| one.fits(scene));
        let groups: Vec<_> = groups.iter().filter(fits).cloned().collect();
        groups.into_iter().map(move |group| (scene, group))
    });
    scenes.filter(|(_, group)| is_meant(group)).collect()
}

/// Plays every schedule that differs, until one breaks a promise or the time is over.
///
/// # Errors
/// [`Trouble`]: it cannot be played.
pub async fn exhaust(play: &Play, until: Option<Instant>) -> Result<Found, Trouble> {
    let mut found = Found::nothing(play);
    let mut search = Exhaustive::default();
    loop {
        match play::play(play, &mut search).await? {
            None => found.cut_short += 1,
            Some(played) => {
                found.note(&played);
                if !played.violations.is_empty() {
                    found.broken = Some(simplified(play, played).await?);
                    return Ok(found);
                }
            }
        }
        if !search.advance() {
            found.is_exhausted = true;
            return Ok(found);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(found);
        }
    }
}

/// Plays schedules at random, each with a seed of its own from the play's on, until one breaks a promise or `time` is
/// over; one at least.
///
/// # Errors
/// [`Trouble`]: it cannot be played.
pub async fn at_random(play: &Play, time: Duration) -> Result<Found, Trouble> {
    let mut found = Found::nothing(play);
    let started = Instant::now();
    for seed in play.seed.. {
        let play = Play { seed, ..play.clone() };
        let played = play::play(&play, &mut Random::new(seed)).await?;
        let played = played.ok_or("a schedule at random was given up")?;
        found.note(&played);
        if !played.violations.is_empty() {
            found.broken = Some(simplified(&play, played).await?);
            break;
        }
        if started.elapsed() >= time {
            break;
        }
    }
    Ok(found)
}

/// Plays one schedule. Gives what it breaks, and its steps.
///
/// # Errors
/// [`Trouble`]: it cannot be played.
pub async fn replay(play: &Play, schedule: &Schedule) -> Result<Broken, Trouble> {
    let played = follow(play, schedule).await?;
    Ok(Broken {
        schedule: played.schedule,
        seed: play.seed,
        steps: played.told,
        violations: played.violations,
    })
}

async fn follow(play: &Play, schedule: &Schedule) -> Result<Played, Trouble> {
    let played = play::play(play, &mut Follow::new(schedule)).await?;
    played.ok_or(Trouble::from("a schedule was given up"))
}

/// The same promise broken by a schedule that switches less often, said as shortly as it can be.
async fn simplified(play: &Play, played: Played) -> Result<Broken, Trouble> {
    let promise = played.violations.first().map(|violation| violation.promise);
    let mut best = played;
    let (mut plays, mut place) = (0, 0);
    while let Some(end) = end_of_run(&best.schedule, place)
        && plays < MAX_PLAYS_TO_SIMPLIFY
    {
        plays += 1;
        let tried = follow(play, &moved_earlier(&best.schedule, end)).await?;
        let breaks = tried
            .violations
            .iter()
            .any(|violation| Some(violation.promise) == promise);
        if breaks && tried.schedule.switches() < best.schedule.switches() {
            (best, place) = (tried, 0);
        } else {
            place = end + 1;
        }
    }
    // What everybody does to the end needs no saying.
    let (mut too_short, mut enough) = (0, best.schedule.0.len());
    while too_short + 1 < enough {
        let half = too_short.midpoint(enough);
        let shorter = Schedule(best.schedule.0.iter().copied().take(half).collect());
        if follow(play, &shorter).await?.told == best.told {
            enough = half;
        } else {
            too_short = half;
        }
    }
    best.schedule.0.truncate(enough);
    Ok(Broken {
        schedule: best.schedule,
        seed: play.seed,
        steps: best.told,
        violations: best.violations,
    })
}

/// The last place from `from` on before another goes on.
fn end_of_run(schedule: &Schedule, from: usize) -> Option<usize> {
    let turns = schedule
        .0
        .iter()
        .zip(schedule.0.iter().skip(1))
        .enumerate()
        .skip(from);
    let mut ends = turns.filter(|(_, (one, next))| one.who != next.who);
    ends.next().map(|(place, _)| place)
}

/// The schedule in which whoever goes at `place` goes on at once, and later as much less.
fn moved_earlier(schedule: &Schedule, place: usize) -> Schedule {
    let Some(turn) = schedule.0.get(place).copied() else {
        return schedule.clone();
    };
    let later = schedule.0.iter().enumerate().skip(place + 1);
    let next_run = later
        .skip_while(|(_, other)| other.who == turn.who)
        .skip_while(|(_, other)| other.who != turn.who);
    let run: Vec<usize> = next_run
        .take_while(|(_, other)| other.who == turn.who)
        .map(|(place, _)| place)
        .collect();
    let mut turns: Vec<Turn> = Vec::with_capacity(schedule.0.len());
    for (at, other) in schedule.0.iter().enumerate() {
        if !run.contains(&at) {
            turns.push(*other);
        }
        if at == place {
            turns.extend(run.iter().filter_map(|at| schedule.0.get(*at)));
        }
    }
    Schedule(turns)
}
