//! How often a session may be replaced.
//!
//! A device that cannot decrypt what comes may open a new session, whose first message says so with the body
//! [`Reset`](crate::Body::Reset). Nothing that is not authenticated makes a session be replaced: a message that
//! does not decrypt is a *suspicion*, and whoever can send garbage can make any number of them. The budget bounds
//! what that costs: handshakes, one-time prekeys, and the retiring of sessions that were sound.

use crate::codec::{LengthError, Reader};

/// Milliseconds between two resets at least: an hour.
pub const MIN_RESET_INTERVAL_MILLIS: u64 = 60 * 60 * 1_000;

/// Resets in 24 hours at most.
pub const MAX_RESETS_PER_DAY: usize = 4;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// When sessions with one device were replaced last. Keep one for resets of ours, and one for theirs: what the
/// other side resets beyond its budget is decrypted, but retires nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResetBudget {
    /// Rising, at most [`MAX_RESETS_PER_DAY`].
    recent: Vec<u64>,
}

impl ResetBudget {
    /// Takes one reset, if there is one left.
    #[must_use]
    pub fn take(&mut self, now_millis: u64) -> bool {
        // Times ahead of ours come from a clock that was set back since: they count as now, once.
        for at in &mut self.recent {
            *at = (*at).min(now_millis);
        }
        self.recent.retain(|at| now_millis - at < DAY_MILLIS);
        let soon = self
            .recent
            .last()
            .is_some_and(|last| now_millis - last < MIN_RESET_INTERVAL_MILLIS);
        let granted = !soon && self.recent.len() < MAX_RESETS_PER_DAY;
        if granted {
            self.recent.push(now_millis);
        }
        granted
    }

    /// For our own store: times, u64 each.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.recent.iter().flat_map(|at| at.to_be_bytes()).collect()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. `None`: it did not write this.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let count = bytes.len() / 8;
        let times: Result<Vec<_>, LengthError> = (0..count).map(|_| reader.u64()).collect();
        let recent = times.ok()?;
        reader.finish().ok()?;
        (count <= MAX_RESETS_PER_DAY && recent.is_sorted()).then_some(Self { recent })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::NOW;

    const HOUR: u64 = MIN_RESET_INTERVAL_MILLIS;

    #[test]
    fn x28_however_often_resets_are_provoked_so_many_are_made() {
        let mut budget = ResetBudget::default();
        // An attacker sends garbage every minute for ten days.
        let made = (0..10 * 24 * 60)
            .filter(|minute| budget.take(NOW + minute * 60_000))
            .count();
        assert_eq!(made, 10 * MAX_RESETS_PER_DAY);
    }

    #[test]
    fn x28_resets_are_an_hour_apart_and_four_a_day_also_after_a_restart() {
        let mut budget = ResetBudget::default();
        for (at, granted) in [
            (0, true),
            (HOUR - 1, false),
            (HOUR, true),
            (2 * HOUR, true),
            (3 * HOUR, true),
            (4 * HOUR, false),
            (24 * HOUR - 1, false),
            (24 * HOUR, true),
        ] {
            budget = ResetBudget::from_bytes(&budget.to_bytes()).unwrap();
            assert_eq!(budget.take(NOW + at), granted, "{at}");
        }
    }

    #[test]
    fn a_clock_set_back_delays_a_reset_and_does_not_forbid_it_forever() {
        let mut budget = ResetBudget::default();
        assert!(budget.take(NOW + 1_000 * HOUR));
        assert!(!budget.take(NOW));
        assert!(budget.take(NOW + HOUR));
    }

    #[test]
    fn only_what_was_stored_is_read() {
        let bytes = |times: &[u64]| times.iter().flat_map(|at| at.to_be_bytes()).collect::<Vec<_>>();
        assert!(ResetBudget::from_bytes(&bytes(&[1, 2, 3, 4])).is_some());
        assert!(ResetBudget::from_bytes(&bytes(&[1, 2, 3, 4, 5])).is_none());
        assert!(ResetBudget::from_bytes(&bytes(&[2, 1])).is_none());
        assert!(ResetBudget::from_bytes(&[0; 7]).is_none());
    }
}
