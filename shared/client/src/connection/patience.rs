//! How long to wait before trying again, and when to tell that it does not help.
//!
//! Exponential backoff with full jitter, from the first bound again after a connection that lived a while. A refused token
//! waits longer. So does a place that another socket of this device took: coming back at once would throw that one out,
//! which would come back at once. It does come back, after a long pause: so neither of two copies of a device is silent for
//! ever, and what both send can prove to their contacts that there are two.

use std::time::Duration;

use rand::RngExt;
use waxwing_wire::Problem;

use crate::{clock, config::Timings, events::DisconnectReason, transport::backoff::Backoff};

/// Refusals of the token in a row after which the app is told that this device was probably removed. One may be a
/// fault that passes.
const REFUSALS_TO_TELL: u32 = 3;

/// How often in a row the service refused the token.
#[derive(Debug, Default)]
pub(super) struct Refusals(u32);

impl Refusals {
    /// Counts an attempt that ended like this. Returns whether the app is to be told now.
    pub(super) fn are_to_be_told(&mut self, reason: &DisconnectReason) -> bool {
        match reason {
            DisconnectReason::Unauthorized => {
                self.0 = self.0.saturating_add(1);
                self.0 == REFUSALS_TO_TELL
            }
            // They say nothing about the token.
            DisconnectReason::Unreachable | DisconnectReason::TimedOut | DisconnectReason::WrongClock => {
                false
            }
            _ => {
                self.0 = 0;
                false
            }
        }
    }
}

/// How long to wait before the next attempt.
#[derive(Debug)]
pub(super) struct Patience {
    timings: Timings,
    backoff: Backoff,
}

impl Patience {
    pub(super) fn new(timings: &Timings) -> Self {
        Self {
            timings: *timings,
            backoff: Backoff::new(timings.backoff_first, timings.backoff_longest),
        }
    }

    /// The wait after an attempt that ended like this after so long; `None` to wait for the app.
    pub(super) fn wait_after(
        &mut self,
        reason: &DisconnectReason,
        lived: Duration,
        rng: &mut impl rand::Rng,
    ) -> Option<Duration> {
        if lived >= self.timings.stable_after {
            self.backoff.reset();
        }
        match reason {
            DisconnectReason::Requested
            | DisconnectReason::Background
            | DisconnectReason::NotRegistered
            | DisconnectReason::Removed => None,
            DisconnectReason::TakenOver => Some(half_jitter(self.timings.taken_over_wait, rng)),
            // With the next token the clock is the service's: `WrongClock` is tried again as what breaks is.
            DisconnectReason::Unauthorized => Some(half_jitter(self.timings.unauthorized_wait, rng)),
            _ => Some(self.backoff.next(rng)),
        }
    }
}

/// Half of the wait and up to as much more: for waits that must not be short.
fn half_jitter(wait: Duration, rng: &mut impl rand::Rng) -> Duration {
    wait.mul_f64(0.5 + rng.random::<f64>() / 2.0)
}

/// The longest wait the service can impose on a request.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10 * 60);

/// How long the service wants a refused request to wait.
pub(super) fn retry_after(problem: &Problem) -> Duration {
    Duration::from_secs(problem.retry_after_seconds.unwrap_or(0).into()).min(LONGEST_RETRY_AFTER)
}

/// Waits as long as `backoff` says, and at least so long.
pub(super) async fn pause(backoff: &mut Backoff, at_least: Duration) {
    let wait = backoff.next(&mut clock::rng()).max(at_least);
    tokio::time::sleep(wait).await;
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    fn patience() -> (Patience, StdRng) {
        (Patience::new(&Timings::default()), StdRng::seed_from_u64(1))
    }

    #[test]
    fn x70_who_was_taken_over_neither_comes_back_soon_nor_stays_away_for_ever() {
        let (mut patience, mut rng) = patience();
        for _ in 0..100 {
            let wait = patience
                .wait_after(&DisconnectReason::TakenOver, SHORT, &mut rng)
                .unwrap();
            assert!(wait >= Timings::default().taken_over_wait / 2);
        }
    }

    #[test]
    fn a_device_that_is_refused_time_and_again_is_told_once_until_it_is_let_in() {
        use DisconnectReason::{Broken, Unauthorized, Unreachable, WrongClock};
        let mut refusals = Refusals::default();
        let attempts = [
            (Unauthorized, false),
            (Broken, false),
            (Unauthorized, false),
            (Unreachable, false),
            (Unauthorized, false),
            (WrongClock, false),
            (Unauthorized, true),
            (Unauthorized, false),
            (Broken, false),
            (Unauthorized, false),
            (Unauthorized, false),
            (Unauthorized, true),
        ];
        for (at, (reason, told)) in attempts.into_iter().enumerate() {
            assert_eq!(refusals.are_to_be_told(&reason), told, "{at}");
        }
    }

    #[test]
    fn a_refused_token_is_not_tried_again_soon() {
        let (mut patience, mut rng) = patience();
        for _ in 0..100 {
            let wait = patience
                .wait_after(&DisconnectReason::Unauthorized, SHORT, &mut rng)
                .unwrap();
            assert!(wait >= Timings::default().unauthorized_wait / 2);
        }
    }

    #[test]
    fn the_backoff_starts_over_only_after_a_connection_that_lived() {
        let timings = Timings::default();
        let (mut patience, mut rng) = patience();
        for _ in 0..12 {
            patience.wait_after(&DisconnectReason::Broken, SHORT, &mut rng);
        }
        assert_eq!(patience.backoff.attempts(), 12);
        patience.wait_after(&DisconnectReason::Broken, timings.stable_after, &mut rng);
        assert_eq!(patience.backoff.attempts(), 1);
    }
}
