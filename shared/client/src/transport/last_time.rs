//! When something last happened, told by one task and read by others.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

/// The last time of something. To the nanosecond: an answer may come within the millisecond of its question, and is later.
#[derive(Debug)]
pub(crate) struct LastTime {
    since: Instant,
    after_nanos: AtomicU64,
}

impl LastTime {
    /// It happens now.
    pub(crate) fn now() -> Self {
        Self {
            since: Instant::now(),
            after_nanos: AtomicU64::new(0),
        }
    }

    /// It happens again now.
    pub(crate) fn note(&self) {
        let after = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.after_nanos.store(after, Ordering::Relaxed);
    }

    /// When it was.
    pub(crate) fn get(&self) -> Instant {
        self.since + Duration::from_nanos(self.after_nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_happens_a_moment_later_is_later() {
        let last = LastTime::now();
        tokio::time::advance(Duration::from_micros(1_200)).await;
        let asked = Instant::now();
        tokio::time::advance(Duration::from_micros(300)).await;
        last.note();
        assert!(last.get() > asked);
    }
}
