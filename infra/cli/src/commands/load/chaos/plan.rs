//! Which disturbances come when: drawn from a seed before anything begins.
//!
//! The plan of a seed is the same each time. What it meets is not: processes and sockets have a time of their own. So a
//! seed replays the disturbances, and does not promise the same end.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Between two kills of a function's process, on average. Most wait for an event when it meets them, so it is often.
const FUNCTION_KILLS: Duration = Duration::from_millis(250);

/// Between two cuts of sockets, on average.
const CUTS: Duration = Duration::from_millis(1_500);

/// Between two stalls of sockets, on average.
const STALLS: Duration = Duration::from_secs(3);

/// Between two ends of a client, on average.
const REOPENINGS: Duration = Duration::from_millis(1_200);

/// Between two kills of the whole service, on average, in a run that is long enough for it.
const SERVICE_KILLS: Duration = Duration::from_secs(8);

/// Kills of the whole service that a short run has at least, about.
const FEWEST_SERVICE_KILLS: u32 = 3;

/// How long the service stays away at most, beside what its start takes.
const LONGEST_ABSENCE: Duration = Duration::from_millis(1_500);

/// The longest stall that ends by itself: within a client's patience for a reply.
const LONGEST_STALL: Duration = Duration::from_secs(4);

/// One in so many stalls never ends: who waits has to give up by itself.
const STALLS_FOR_GOOD: u32 = 5;

/// One in so many cuts is one of all sockets.
const CUTS_OF_ALL: u32 = 6;

/// What is done to a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Disturbance {
    /// The process of a function is killed: the one at this place of all, from 0 to 1.
    KillFunction {
        /// Which.
        at: f64,
    },
    /// The service is killed, and started again on its files.
    KillService {
        /// After so long.
        away: Duration,
    },
    /// Sockets are cut.
    Cut {
        /// Each with this chance.
        share: f64,
    },
    /// Sockets carry nothing for a while.
    Stall {
        /// Each with this chance.
        share: f64,
        /// So long; for good if there is none.
        lasts: Option<Duration>,
    },
    /// A client is dropped, whatever it does, and opened again on its files.
    Reopen {
        /// The device at this place of all, from 0 to 1.
        at: f64,
    },
}

/// A disturbance and when it comes, counted from the first message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Planned {
    pub(super) after: Duration,
    pub(super) what: Disturbance,
}

/// Draws a disturbance of one kind.
type Draw = fn(&mut StdRng) -> Disturbance;

/// The disturbances of a run, in their order.
pub(super) fn plan(seed: u64, lasts: Duration) -> Vec<Planned> {
    let service_kills = SERVICE_KILLS.min(lasts / FEWEST_SERVICE_KILLS);
    let kinds: [(Duration, Draw); 5] = [
        (FUNCTION_KILLS, |rng| Disturbance::KillFunction {
            at: rng.random(),
        }),
        (service_kills, |rng| Disturbance::KillService {
            away: LONGEST_ABSENCE.mul_f64(rng.random()),
        }),
        (CUTS, cut),
        (STALLS, stall),
        (REOPENINGS, |rng| Disturbance::Reopen { at: rng.random() }),
    ];
    let mut planned = Vec::new();
    for (stream, (every, draw)) in (0_u64..).zip(kinds) {
        // Each kind draws from a stream of its own: another mean for one leaves the others as they were.
        let mut rng = StdRng::seed_from_u64(seed.wrapping_mul(8).wrapping_add(stream));
        let mut after = Duration::ZERO;
        loop {
            after += every.mul_f64(rng.random_range(0.5..1.5));
            if after >= lasts {
                break;
            }
            let what = draw(&mut rng);
            planned.push(Planned { after, what });
        }
    }
    planned.sort_by_key(|planned| planned.after);
    planned
}

fn cut(rng: &mut StdRng) -> Disturbance {
    let of_all = rng.random_ratio(1, CUTS_OF_ALL);
    let share = if of_all { 1.0 } else { rng.random_range(0.05..0.5) };
    Disturbance::Cut { share }
}

fn stall(rng: &mut StdRng) -> Disturbance {
    let for_good = rng.random_ratio(1, STALLS_FOR_GOOD);
    Disturbance::Stall {
        share: rng.random_range(0.05..0.5),
        lasts: (!for_good).then(|| LONGEST_STALL.mul_f64(rng.random())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(120);

    #[test]
    fn a_seed_plans_the_same_disturbances_again_and_another_seed_others() {
        assert_eq!(plan(1, LASTS), plan(1, LASTS));
        assert_ne!(plan(1, LASTS), plan(2, LASTS));
    }

    #[test]
    fn also_a_short_run_has_each_kind_in_order_and_none_after_its_end() {
        let lasts = Duration::from_secs(10);
        for seed in 0..50 {
            let planned = plan(seed, lasts);
            assert!(planned.is_sorted_by_key(|planned| planned.after));
            assert!(planned.iter().all(|planned| planned.after < lasts));
            let has = |is: fn(&Disturbance) -> bool| planned.iter().any(|planned| is(&planned.what));
            assert!(
                has(|what| matches!(what, Disturbance::KillFunction { .. })),
                "{seed}"
            );
            assert!(
                has(|what| matches!(what, Disturbance::KillService { .. })),
                "{seed}"
            );
            assert!(has(|what| matches!(what, Disturbance::Cut { .. })), "{seed}");
            assert!(has(|what| matches!(what, Disturbance::Stall { .. })), "{seed}");
            assert!(has(|what| matches!(what, Disturbance::Reopen { .. })), "{seed}");
        }
    }
}
