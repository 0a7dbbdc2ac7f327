//! The one place of this crate that reads the time of day. Durations come from `tokio::time`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of day.
#[allow(clippy::disallowed_methods, reason = "this module is where the time is read")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// The time of day as time since 1970.
pub fn since_epoch() -> Duration {
    now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// The system's clock moved by seconds that a test may change, as the database's idea of what has expired.
#[derive(Debug, Clone, Default)]
pub struct OffsetClock {
    /// Seconds added.
    pub offset: Arc<AtomicI64>,
}

impl dynoxide::storage_backend::Clock for OffsetClock {
    fn now_unix_secs(&self) -> u64 {
        since_epoch()
            .as_secs()
            .saturating_add_signed(self.offset.load(Ordering::Relaxed))
    }

    fn now_unix_secs_f64(&self) -> f64 {
        self.now_unix_secs() as f64 + f64::from(since_epoch().subsec_millis()) / 1000.0
    }
}
