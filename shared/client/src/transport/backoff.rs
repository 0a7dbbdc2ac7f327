//! How long to wait before trying again: exponential backoff with full jitter, so that devices that were cut
//! off together do not come back together.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::config::Timings;

/// The waits of one thing that is tried again and again.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    attempts: u32,
}

impl Backoff {
    /// No attempt made yet.
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            attempts: 0,
        }
    }

    /// The waits of a request that is made again and again while its connection lives.
    pub(crate) fn of_requests(timings: &Timings) -> Self {
        Self::new(timings.backoff_first, timings.longest_between_requests())
    }

    /// The wait before the next attempt: uniform between zero and `first · 2ⁿ`, at most `longest`.
    pub(crate) fn next(&mut self, rng: &mut impl Rng) -> Duration {
        let doubled = 1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX);
        let bound = self.first.saturating_mul(doubled).min(self.longest);
        self.attempts = self.attempts.saturating_add(1);
        bound.mul_f64(rng.random())
    }

    /// How many waits there were since the last success.
    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    /// It worked.
    pub(crate) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const FIRST: Duration = Duration::from_millis(500);
    const LONGEST: Duration = Duration::from_secs(60);

    #[test]
    fn every_wait_lies_between_zero_and_a_bound_that_doubles_up_to_the_longest() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..200 {
            let mut backoff = Backoff::new(FIRST, LONGEST);
            for attempt in 0..80_u32 {
                let bound = FIRST.saturating_mul(2_u32.saturating_pow(attempt)).min(LONGEST);
                assert!(backoff.next(&mut rng) <= bound, "attempt {attempt}");
            }
        }
    }

    #[test]
    fn waits_are_spread_over_the_whole_range() {
        let mut rng = StdRng::seed_from_u64(2);
        let waits: Vec<_> = (0..1_000)
            .map(|_| Backoff::new(FIRST, LONGEST).next(&mut rng))
            .collect();
        assert!(waits.iter().any(|wait| *wait < FIRST / 10));
        assert!(waits.iter().any(|wait| *wait > FIRST * 9 / 10));
    }

    #[test]
    fn a_success_starts_from_the_first_bound_again() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut backoff = Backoff::new(FIRST, LONGEST);
        for _ in 0..20 {
            backoff.next(&mut rng);
        }
        backoff.reset();
        assert_eq!(backoff.attempts(), 0);
        assert!(backoff.next(&mut rng) <= FIRST);
    }
}
