//! The service's clock, as far as this device knows it: tokens and what is said for now alone are made by it, so that a
//! device whose own clock is wrong gets in all the same.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::SystemTime,
};

use tokio_tungstenite::tungstenite::http::HeaderMap;

use crate::clock;

/// A `Date` header has whole seconds, and was on its way for a moment: what differs by less is no difference.
const LEAST_DIFFERENCE_MILLIS: i64 = 5_000;

/// Half a second: what a time in whole seconds lacks on the average.
const HALF_SECOND_MILLIS: i64 = 500;

/// How far the service's clock is ahead of ours. Cheap to clone: all clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceTime {
    ahead_millis: Arc<AtomicI64>,
}

impl ServiceTime {
    /// The time by the service's clock, in milliseconds of Unix time.
    pub(crate) fn now_millis(&self) -> u64 {
        self.at(clock::now_millis())
    }

    fn at(&self, own_millis: u64) -> u64 {
        own_millis.saturating_add_signed(self.ahead_millis.load(Ordering::Relaxed))
    }

    /// Takes the time that an answer of the service names.
    pub(crate) fn learn(&self, headers: &HeaderMap, own_millis: u64) {
        let Some(theirs) = date(headers) else { return };
        let theirs = i64::try_from(theirs.saturating_mul(1000)).unwrap_or(i64::MAX);
        let own = i64::try_from(own_millis).unwrap_or(i64::MAX);
        let ahead = theirs.saturating_add(HALF_SECOND_MILLIS).saturating_sub(own);
        let ahead = if ahead.abs() < LEAST_DIFFERENCE_MILLIS {
            0
        } else {
            ahead
        };
        self.ahead_millis.store(ahead, Ordering::Relaxed);
    }
}

/// The time that an answer names (RFC 9110, section 6.6.1), in seconds of Unix time.
pub(crate) fn date(headers: &HeaderMap) -> Option<u64> {
    let date = httpdate::parse_http_date(headers.get("date")?.to_str().ok()?).ok()?;
    Some(date.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-01-15 08:00:00 UTC
    const THEIRS: u64 = 1_800_000_000_000;

    #[test]
    fn a_clock_that_is_off_is_corrected_and_one_that_is_nearly_right_is_left_alone() {
        let mut headers = HeaderMap::new();
        let time = ServiceTime::default();
        time.learn(&headers, THEIRS - 600_000);
        assert_eq!(time.at(1), 1, "nothing is known");
        headers.insert("date", "Fri, 15 Jan 2027 08:00:00 GMT".parse().unwrap());
        for minutes in [10, 60 * 24 * 365 * 40] {
            time.learn(&headers, THEIRS - minutes * 60_000);
            assert_eq!(time.at(THEIRS - minutes * 60_000), THEIRS + 500);
        }
        time.learn(&headers, THEIRS + 600_000);
        assert_eq!(time.at(THEIRS + 600_000), THEIRS + 500);
        time.learn(&headers, THEIRS + 3_000);
        assert_eq!(time.at(THEIRS), THEIRS);
    }
}
