//! The one place that reads the time.
//!
//! A [`Clock`] is handed to the backend as a value. The local runner shares an offset with it, so that tests
//! of expiry move the functions' time instead of waiting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// A reading of the clock: seconds of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// This many seconds later.
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

/// The system's clock, moved by an offset that others may hold too; or a clock that stands where others put it.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System { offset_seconds: Arc<AtomicI64> },
    Standing { unix_seconds: Arc<AtomicU64> },
}

impl Default for Clock {
    fn default() -> Self {
        Self::with_offset(Arc::default())
    }
}

impl Clock {
    /// The system's clock as it is.
    pub fn system() -> Self {
        Self::default()
    }

    /// The system's clock plus `offset_seconds`, which may change while the clock is in use.
    pub fn with_offset(offset_seconds: Arc<AtomicI64>) -> Self {
        Self(Kind::System { offset_seconds })
    }

    /// A clock that stands at `unix_seconds`, which others may change: for runs that are repeated exactly.
    pub fn standing(unix_seconds: Arc<AtomicU64>) -> Self {
        Self(Kind::Standing { unix_seconds })
    }

    /// Now.
    pub fn now(&self) -> UnixSeconds {
        let offset_seconds = match &self.0 {
            Kind::Standing { unix_seconds } => return UnixSeconds(unix_seconds.load(Ordering::Relaxed)),
            Kind::System { offset_seconds } => offset_seconds.load(Ordering::Relaxed),
        };
        #[allow(clippy::disallowed_methods, reason = "this module is where the time is read")]
        let system = SystemTime::now();
        // A system clock before 1970 reads as 1970.
        let seconds = system
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        UnixSeconds(seconds.saturating_add_signed(offset_seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standing_clock_moves_only_when_it_is_put() {
        let time = Arc::new(AtomicU64::new(7));
        let clock = Clock::standing(Arc::clone(&time));
        assert_eq!(clock.now(), UnixSeconds(7));
        time.store(8, Ordering::Relaxed);
        assert_eq!(clock.now(), UnixSeconds(8));
    }

    #[test]
    fn a_shared_offset_moves_every_copy_of_the_clock() {
        let offset = Arc::new(AtomicI64::new(0));
        let clock = Clock::with_offset(Arc::clone(&offset));
        let copy = clock.clone();
        let before = clock.now();
        offset.store(1_000_000, Ordering::Relaxed);
        assert!(copy.now() >= before.plus(1_000_000));
    }
}
