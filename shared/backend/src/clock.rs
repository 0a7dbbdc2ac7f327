//! The one place that reads the time.
//!
//! A [`Clock`] is handed to the backend as a value. The local runner shares an offset with it, so that tests
//! of expiry move the functions' time instead of waiting.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
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

/// The system's clock, moved by an offset that others may hold too.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    offset_seconds: Arc<AtomicI64>,
}

impl Clock {
    /// The system's clock as it is.
    pub fn system() -> Self {
        Self::default()
    }

    /// The system's clock plus `offset_seconds`, which may change while the clock is in use.
    pub fn with_offset(offset_seconds: Arc<AtomicI64>) -> Self {
        Self { offset_seconds }
    }

    /// Now.
    pub fn now(&self) -> UnixSeconds {
        #[allow(clippy::disallowed_methods, reason = "this module is where the time is read")]
        let system = SystemTime::now();
        // A system clock before 1970 reads as 1970.
        let seconds = system
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        UnixSeconds(seconds.saturating_add_signed(self.offset_seconds.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
