//! Which schedules are played: every one that differs from all others, or some at random.
//!
//! The exhaustive search is depth first, by playing anew. After each play it looks for steps of different functions that
//! do not commute and could have come the other way round, and plays that as well (dynamic partial-order reduction:
//! Flanagan and Godefroid, POPL 2005); what it has tried and what has not mattered since is not tried again (sleep sets:
//! Godefroid, LNCS 1032). Of schedules that differ only in the order of steps that commute one is played. Calls of one
//! function that are under way at once are steps like any other: their orders are tried too, unless they commute.

use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    play::{Choose, Step, StepId, whose},
    touches::Touches,
};

/// A point at which a step was chosen.
struct Node {
    pending: Vec<Step>,
    chosen: usize,
    /// Places of the steps that have to be tried here.
    wanted: BTreeSet<usize>,
    /// Steps that need not be tried: they were, and nothing since has mattered to them.
    asleep: Vec<(StepId, Touches)>,
}

impl Node {
    fn step(&self) -> Option<&Step> {
        self.pending.get(self.chosen)
    }

    fn is_asleep(&self, step: &Step) -> bool {
        self.asleep.iter().any(|(id, _)| *id == step.id)
    }

    /// What is asleep after the chosen step.
    fn asleep_after(&self) -> Vec<(StepId, Touches)> {
        let Some(chosen) = self.step() else {
            return Vec::new();
        };
        let stays = |(id, touches): &&(StepId, Touches)| *id != chosen.id && touches.commute(&chosen.touches);
        self.asleep.iter().filter(stays).cloned().collect()
    }
}

/// The exhaustive search. Each play asks it what is next; [`advance`](Self::advance) says whether there is another.
#[derive(Default)]
pub(super) struct Exhaustive {
    nodes: Vec<Node>,
    /// Steps made in the play that goes on.
    made: usize,
    /// What was left to be chosen from when the play was given up: all of it had been tried.
    given_up: Option<Vec<Step>>,
}

impl Choose for Exhaustive {
    fn choose(&mut self, pending: &[Step]) -> Option<usize> {
        if let Some(node) = self.nodes.get(self.made) {
            self.made += 1;
            return Some(node.chosen);
        }
        let last = self.nodes.last();
        let asleep = last.map(Node::asleep_after).unwrap_or_default();
        let is_awake = |step: &&Step| asleep.iter().all(|(id, _)| *id != step.id);
        // Whoever went last goes on, so that what is found switches seldom.
        let who = last.and_then(Node::step).map(|step| step.id.0);
        let own = pending
            .iter()
            .find(|step| is_awake(step) && Some(step.id.0) == who);
        let Some(step) = own.or_else(|| pending.iter().find(is_awake)) else {
            self.given_up = Some(pending.to_vec());
            return None;
        };
        let chosen = pending.iter().position(|other| other.id == step.id)?;
        self.nodes.push(Node {
            pending: pending.to_vec(),
            chosen,
            wanted: BTreeSet::from([chosen]),
            asleep,
        });
        self.made += 1;
        Some(chosen)
    }
}

impl Exhaustive {
    /// Learns from the play that has ended. Says whether there is another schedule to play.
    pub(super) fn advance(&mut self) -> bool {
        self.want_reversals();
        self.made = 0;
        self.given_up = None;
        while let Some(node) = self.nodes.last_mut() {
            if let Some(step) = node.step() {
                let tried = (step.id, step.touches.clone());
                node.asleep.push(tried);
            }
            let next = node.wanted.iter().copied().find(|place| {
                let step = node.pending.get(*place);
                step.is_some_and(|step| !node.is_asleep(step))
            });
            if let Some(next) = next {
                node.chosen = next;
                return true;
            }
            self.nodes.pop();
        }
        false
    }

    /// For each two steps that met and could have met the other way round: has that tried.
    fn want_reversals(&mut self) {
        let made: Vec<Step> = self.nodes.iter().filter_map(Node::step).cloned().collect();
        let mut before: Vec<BTreeSet<usize>> = Vec::with_capacity(made.len());
        let mut wanted = Vec::new();
        let left = self.given_up.iter().flatten();
        for (number, step) in made.iter().enumerate() {
            let (races, happened) = races(step, &made, number, &before);
            wanted.extend(races.into_iter().map(|race| (race, step.clone())));
            before.push(happened);
        }
        for step in left {
            let (races, _) = races(step, &made, made.len(), &before);
            wanted.extend(races.into_iter().map(|race| (race, step.clone())));
        }
        for (race, step) in wanted {
            // What has to come first at that point is the step itself, or what led to it.
            let mut first = step;
            while first.since > race {
                let Some(cause) = made.get(first.since - 1) else {
                    break;
                };
                first = cause.clone();
            }
            if let Some(node) = self.nodes.get_mut(race) {
                match node.pending.iter().position(|step| step.id == first.id) {
                    Some(place) => drop(node.wanted.insert(place)),
                    None => node.wanted.extend(0..node.pending.len()),
                }
            }
        }
    }
}

/// The steps before `number` that do not commute with `step` and that nothing forced to come before it, and all steps
/// that happened before it.
fn races(
    step: &Step,
    made: &[Step],
    number: usize,
    before: &[BTreeSet<usize>],
) -> (Vec<usize>, BTreeSet<usize>) {
    let mut happened = BTreeSet::new();
    if let Some(cause) = step.since.checked_sub(1) {
        happened.insert(cause);
        happened.extend(before.get(cause).into_iter().flatten());
    }
    let mut races = Vec::new();
    for (place, other) in made.iter().enumerate().take(number).rev() {
        if happened.contains(&place) || other.touches.commute(&step.touches) {
            continue;
        }
        races.push(place);
        happened.insert(place);
        happened.extend(before.get(place).into_iter().flatten());
    }
    (races, happened)
}

/// Schedules at random: in each, how often it switches is drawn as well.
pub(super) struct Random {
    rng: StdRng,
    switches_in_ten: u32,
    last: Option<usize>,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let switches_in_ten = rng.random_range(1..=10);
        Self {
            rng,
            switches_in_ten,
            last: None,
        }
    }
}

impl Choose for Random {
    fn choose(&mut self, pending: &[Step]) -> Option<usize> {
        let who: Vec<_> = whose(pending).into_iter().collect();
        let stays = self.last.filter(|last| who.contains(last));
        let who = match stays {
            Some(last) if self.rng.random_range(0..10) >= self.switches_in_ten => last,
            _ => *who.get(self.rng.random_range(0..who.len()))?,
        };
        self.last = Some(who);
        let own = pending.iter().enumerate().filter(|(_, step)| step.id.0 == who);
        let places: Vec<_> = own.map(|(place, _)| place).collect();
        places.get(self.rng.random_range(0..places.len())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A play of functions whose steps touch these connections, one after the other.
    fn all_of(functions: &[&[&str]]) -> Vec<Vec<usize>> {
        let mut search = Exhaustive::default();
        let mut schedules = Vec::new();
        loop {
            let mut at = vec![0; functions.len()];
            let mut since = vec![0; functions.len()];
            let mut schedule = Vec::new();
            let is_whole = loop {
                let pending: Vec<_> = functions
                    .iter()
                    .enumerate()
                    .filter_map(|(who, steps)| {
                        let touched = steps.get(at[who])?;
                        Some(Step {
                            id: (who, u32::try_from(at[who]).unwrap()),
                            what: (*touched).to_owned(),
                            touches: Touches::connection(touched, true),
                            since: since[who],
                        })
                    })
                    .collect();
                if pending.is_empty() {
                    break true;
                }
                let Some(choice) = search.choose(&pending) else {
                    break false;
                };
                let who = pending[choice].id.0;
                at[who] += 1;
                schedule.push(who);
                since[who] = schedule.len();
            };
            if is_whole {
                schedules.push(schedule);
            }
            if !search.advance() {
                return schedules;
            }
        }
    }

    #[test]
    fn steps_that_commute_are_tried_in_one_order() {
        assert_eq!(all_of(&[&["a", "a", "a"], &["b", "b"]]).len(), 1);
        assert_eq!(all_of(&[&["a"], &["b"], &["c"]]).len(), 1);
    }

    #[test]
    fn steps_that_do_not_commute_are_tried_in_every_order() {
        // 4 over 2, 5 over 2, 3 of 3.
        assert_eq!(all_of(&[&["a", "a"], &["a", "a"]]).len(), 6);
        assert_eq!(all_of(&[&["a", "a", "a"], &["a", "a"]]).len(), 10);
        assert_eq!(all_of(&[&["a"], &["a"], &["a"]]).len(), 6);
    }

    #[test]
    fn each_order_of_the_steps_that_meet_is_tried_once() {
        // The two that touch `a` in two orders, the two that touch `b` as well; not both swapped, for one program leads
        // to `b` after `a` and the other to `a` after `b`.
        let found = all_of(&[&["a", "b"], &["b", "a"]]);
        assert_eq!(found.len(), 3, "{found:?}");
        // Between steps of no account.
        let found = all_of(&[&["x", "a", "y"], &["z", "a"], &["a"]]);
        assert_eq!(found.len(), 6, "{found:?}");
        let different: BTreeSet<_> = found.iter().collect();
        assert_eq!(different.len(), found.len());
    }
}
