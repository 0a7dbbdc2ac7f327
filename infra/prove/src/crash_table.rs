//! Every fault at every call of every function, and what became of it.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde::Serialize;

use crate::{
    Trouble,
    controls::Control,
    faults::{Fault, Faulty, Mode},
    paused::{in_paused_time, on_every_processor},
    promises::{self, Violation},
    scenarios::{SCENARIOS, Scenario},
    service::State,
    story::{Reply, Story},
};

/// What everything that is drawn follows from. With it no request is the one in sixteen that is written down.
const SEED: u64 = 1;

/// Times that a client repeats a request whose every run goes well. One is enough unless it has to be.
const MAX_REPETITIONS: usize = 3;

/// What became of a request whose run had faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Case {
    /// The function.
    pub function: &'static str,
    /// The situation.
    pub scenario: &'static str,
    /// The faults: of the first delivery, of the second.
    pub faults: Vec<Fault>,
    /// The call of the first fault.
    pub call: String,
    /// What the client learned of the first delivery.
    pub first: First,
    /// Deliveries until the client had its answer.
    pub deliveries: usize,
    /// What did not hold.
    pub violations: Vec<Violation>,
    /// What did not hold, and is known not to.
    pub open: Vec<Violation>,
}

/// What the client learned of a delivery with a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum First {
    /// The fault was mended within the run.
    Answered,
    /// It was told to try again.
    Refused,
    /// Nothing.
    Silence,
}

/// A request from beginning to end.
struct Played {
    calls: Vec<String>,
    hit: bool,
    first: First,
    deliveries: usize,
    answer: String,
    state: State,
    violations: Vec<Violation>,
}

/// How many situations there are.
pub fn situations(only: Option<&str>) -> usize {
    scenarios(only).count()
}

/// Every single fault: situation after situation, on as many threads as there are processors. Blocks. Says each time that
/// one is `done`.
///
/// # Errors
/// [`Trouble`]: a scenario cannot be played.
pub fn single_faults(only: Option<&str>, done: impl Fn() + Sync) -> Result<Vec<Case>, Trouble> {
    let tried = on_every_processor(scenarios(only).collect(), |scenario| {
        let cases = in_paused_time(single_faults_in(scenario))??;
        done();
        Ok(cases)
    })?;
    Ok(tried.concat())
}

async fn single_faults_in(scenario: &'static Scenario) -> Result<Vec<Case>, Trouble> {
    let reference = play(scenario, &[], None).await?;
    if let Some(violation) = reference.violations.first() {
        let Scenario { function, name, .. } = scenario;
        return Err(Trouble(format!(
            "{function}, {name}, without any fault: {violation}"
        )));
    }
    let mut cases = Vec::new();
    for fault in faults(&reference.calls) {
        cases.extend(case(scenario, &reference, vec![fault], None).await?);
    }
    Ok(cases)
}

/// What is found of a service that is wrong in this way, with no fault and with each.
///
/// # Errors
/// [`Trouble`]: a scenario cannot be played.
pub async fn control(control: Control, function: &str) -> Result<Vec<Violation>, Trouble> {
    let mut found = Vec::new();
    for scenario in scenarios(Some(function)) {
        let reference = play(scenario, &[], Some(control)).await?;
        found.extend(reference.violations.iter().cloned());
        for fault in faults(&reference.calls) {
            let case = case(scenario, &reference, vec![fault], Some(control)).await?;
            found.extend(case.into_iter().flat_map(|case| case.violations));
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

/// Pairs of faults, one in the first delivery and one in the second, in an order that follows from `seed`, until
/// `time` is over. Says after each how many were tried.
///
/// # Errors
/// [`Trouble`]: a scenario cannot be played.
pub async fn double_faults(
    only: Option<&str>,
    seed: u64,
    time: Duration,
    tried: impl Fn(usize),
) -> Result<Vec<Case>, Trouble> {
    let mut pairs = Vec::new();
    let mut references = BTreeMap::new();
    for (number, scenario) in scenarios(only).enumerate() {
        let reference = play(scenario, &[], None).await?;
        let single: Vec<_> = faults(&reference.calls).collect();
        for first in &single {
            pairs.extend(single.iter().map(|second| (number, scenario, [*first, *second])));
        }
        references.insert(number, reference);
    }
    pairs.shuffle(&mut StdRng::seed_from_u64(seed));
    let (started, mut cases) = (Instant::now(), Vec::new());
    for (done, (number, scenario, pair)) in pairs.into_iter().enumerate() {
        tried(done);
        if started.elapsed() > time {
            break;
        }
        let Some(reference) = references.get(&number) else {
            continue;
        };
        cases.extend(case(scenario, reference, pair.to_vec(), None).await?);
    }
    Ok(cases)
}

fn scenarios(only: Option<&str>) -> impl Iterator<Item = &'static Scenario> {
    SCENARIOS
        .iter()
        .filter(move |scenario| only.is_none_or(|only| scenario.function == only))
}

fn faults(calls: &[String]) -> impl Iterator<Item = Fault> {
    calls.iter().zip(1..).flat_map(|(name, call)| {
        let modes = Mode::ALL.into_iter().filter(|mode| mode.fits(name));
        modes.map(move |mode| Fault { call, mode })
    })
}

async fn case(
    scenario: &'static Scenario,
    reference: &Played,
    faults: Vec<Fault>,
    control: Option<Control>,
) -> Result<Option<Case>, Trouble> {
    let played = play(scenario, &faults, control).await?;
    if !played.hit {
        return Ok(None);
    }
    let mut violations = played.violations.clone();
    violations.extend(differences(scenario, reference, &played));
    violations.sort();
    violations.dedup();
    let is_open = |violation: &Violation| scenario.open.iter().any(|(open, _)| *open == violation.promise);
    let (open, violations) = violations.into_iter().partition(is_open);
    let first = faults.first().copied();
    let call = first.and_then(|fault| {
        played
            .calls
            .get(usize::try_from(fault.call).ok()?.checked_sub(1)?)
            .cloned()
    });
    Ok(Some(Case {
        function: scenario.function,
        scenario: scenario.name,
        faults,
        call: call.unwrap_or_default(),
        first: played.first,
        deliveries: played.deliveries,
        violations,
        open,
    }))
}

/// I14: whatever broke off, the end is that of a run that did not.
fn differences(scenario: &Scenario, reference: &Played, played: &Played) -> Vec<Violation> {
    let Played { answer, state, .. } = played;
    // Every sixteenth delivery is counted for its account.
    let counts = |name: &str| name == "Limits" && played.deliveries > reference.deliveries;
    let may = |name: &str| counts(name) || scenario.may_differ.iter().any(|(may, _)| *may == name);
    let mut found = Vec::new();
    if !scenario.once && !may("answer") && *answer != reference.answer {
        let what = format!("the answer is {answer} instead of {}", reference.answer);
        found.push(Violation::new("I14", what));
    }
    for (table, items) in state {
        let same = reference.state.get(table) == Some(items);
        if !same && !may(table) {
            let before = reference.state.get(table).map_or(0, Vec::len);
            let what = format!(
                "{table} differs ({} items, {before} without the fault)",
                items.len()
            );
            found.push(Violation::new("I14", what));
        }
    }
    found
}

async fn play(scenario: &Scenario, faults: &[Fault], control: Option<Control>) -> Result<Played, Trouble> {
    let mut story = Story::open(SEED, control).await?;
    let request = (scenario.setup)(&mut story).await?;
    let mut deliveries = Vec::new();
    let mut hit = faults.is_empty();
    let mut calls = None;
    for fault in faults {
        let faulty = Faulty::new(Some(*fault));
        let reply = story.deliver(&request, &faulty).await?;
        hit = faulty.was_hit();
        calls.get_or_insert(faulty.calls());
        let is_over = reply.is_final() || scenario.once;
        deliveries.push(reply);
        if is_over || !hit {
            break;
        }
    }
    while !deliveries
        .last()
        .is_some_and(|reply| reply.is_final() || scenario.once)
        && deliveries.len() < faults.len() + MAX_REPETITIONS
    {
        let faulty: Arc<Faulty> = Faulty::new(None);
        deliveries.push(story.deliver(&request, &faulty).await?);
        calls.get_or_insert(faulty.calls());
    }
    let mut violations = promises::at_rest(&mut story).await?;
    let answer = deliveries.last().map(Reply::text).unwrap_or_default();
    if !deliveries
        .last()
        .is_some_and(|reply| reply.is_final() || scenario.once)
    {
        violations.push(Violation::new(
            "I14",
            format!("repeating does not help: {answer}"),
        ));
    }
    let state = without_names(story.service.state().await?);
    story.hours_pass().await?;
    violations.extend(promises::everybody_is_woken(&story).await?);
    story.everybody_comes_back().await?;
    violations.extend(promises::at_rest(&mut story).await?);
    let registered = promises::registered(&story.service).await?;
    violations.extend(promises::after_all(&story, &registered));
    let first = match deliveries.first() {
        Some(reply) if reply.is_final() => First::Answered,
        Some(Reply::None(_) | Reply::Lost) | None => First::Silence,
        Some(_) => First::Refused,
    };
    Ok(Played {
        calls: calls.unwrap_or_default(),
        hit,
        first,
        deliveries: deliveries.len(),
        answer,
        state,
        violations,
    })
}

/// The state without names and times of connections: each attempt to connect has others.
fn without_names(mut state: State) -> State {
    for item in state.get_mut("Devices").into_iter().flatten() {
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(item) else {
            continue;
        };
        for name in ["c", "t"] {
            if let Some(connection) = value.get_mut(name) {
                *connection = "a connection's".into();
            }
        }
        *item = value.to_string();
    }
    state
}

/// The table as docs/crash-table.md has it.
pub fn markdown(cases: &[Case]) -> String {
    let mut text = String::from(HEAD);
    let broken = cases.iter().filter(|case| !case.violations.is_empty()).count();
    let _ = writeln!(
        text,
        "{} functions in {} situations, {} faults, of which {} broke a promise and {} are known to.\n",
        count(|scenario| scenario.function.to_owned()),
        count(|scenario| format!("{}{}", scenario.function, scenario.name)),
        cases.len(),
        broken,
        cases.iter().filter(|case| !case.open.is_empty()).count(),
    );
    for scenario in SCENARIOS {
        let own: Vec<_> = cases
            .iter()
            .filter(|case| case.function == scenario.function && case.scenario == scenario.name)
            .collect();
        let _ = writeln!(text, "## `{}`: {}\n", scenario.function, scenario.name);
        if own.is_empty() {
            text.push_str("It makes no call to AWS.\n\n");
            continue;
        }
        let modes: Vec<_> = Mode::ALL
            .into_iter()
            .filter(|mode| own.iter().any(|case| mode_of(case) == Some(*mode)))
            .collect();
        let names: Vec<_> = modes.iter().map(|mode| mode.words()).collect();
        let _ = writeln!(text, "| call | {} |", names.join(" | "));
        let _ = writeln!(text, "|---|{}", "---|".repeat(names.len()));
        let calls: BTreeMap<_, _> = own
            .iter()
            .filter_map(|case| Some((case.faults.first()?.call, case.call.as_str())))
            .collect();
        for (number, name) in calls {
            let cells = modes.iter().map(|mode| {
                let fault = Fault {
                    call: number,
                    mode: *mode,
                };
                own.iter()
                    .find(|case| case.faults == [fault])
                    .map_or_else(|| "·".to_owned(), |case| cell(case))
            });
            let _ = writeln!(
                text,
                "| {number} {name} | {} |",
                cells.collect::<Vec<_>>().join(" | ")
            );
        }
        for (promise, why) in scenario.open {
            let _ = writeln!(text, "\nOpen: {promise}: {why}.");
        }
        for (what, why) in scenario.may_differ {
            let _ = writeln!(text, "\nMay differ: {what}: {why}.");
        }
        for case in own.iter().filter(|case| !case.violations.is_empty()) {
            for violation in &case.violations {
                let mode = mode_of(case).map_or("", Mode::words);
                let _ = writeln!(text, "\n**{}**, {mode}: {violation}", case.call);
            }
        }
        text.push('\n');
    }
    text
}

const HEAD: &str = "\
# The crash table

Written by `cargo waxwing crash-table --write`; a test fails when it is not what the code gives.

Each row is a call to AWS that a function makes, each column a way in which that call goes wrong. Then the request is
delivered again as its client would, everybody comes back, and the promises of [reliability.md](reliability.md) are
checked, I14 by comparing every table with a run in which nothing went wrong.

- **mended**: the function itself got over it, and the client had its answer at once.
- **again**: the client was told to try again, and the repetition had the answer.
- **silence**: the client heard nothing, and the repetition had the answer.
- **once**: it is not delivered again: a `$disconnect`, for what it left undone the next post meets 410, or `wake` does
  it hours later; a run of `wake`, which the next one follows; or something ephemeral, which may be lost.
- **open**: a promise did not hold, and it is known; below the table is why.
- **BROKEN**: a promise did not hold; below the table is which.
- ·: a call that goes wrong so cannot be.

";

fn mode_of(case: &Case) -> Option<Mode> {
    case.faults.first().map(|fault| fault.mode)
}

fn cell(case: &Case) -> String {
    if let Some(violation) = case.violations.first() {
        return format!("**BROKEN {}**", violation.promise);
    }
    if let Some(violation) = case.open.first() {
        return format!("**open {}**", violation.promise);
    }
    let once = SCENARIOS.iter().any(|scenario| {
        scenario.once && scenario.function == case.function && scenario.name == case.scenario
    });
    match case.first {
        First::Answered => "mended",
        _ if once => "once",
        First::Refused => "again",
        First::Silence => "silence",
    }
    .to_owned()
}

fn count(key: impl Fn(&Scenario) -> String) -> usize {
    SCENARIOS
        .iter()
        .map(key)
        .collect::<std::collections::BTreeSet<_>>()
        .len()
}
