//! How long messages took: a histogram in microseconds, told in milliseconds.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart; what took longer counts as this. Ten minutes, because an
/// overloaded machine still drains.
const LONGEST: Duration = Duration::from_secs(600);

/// Digits of a figure that hold: 3 cost 180 KB a histogram and err by 0.1 %.
const SIGNIFICANT_DIGITS: u8 = 3;

/// Collects latencies.
pub struct Latencies(Histogram<u64>);

impl Latencies {
    /// None yet.
    ///
    /// # Errors
    /// None in practice: the bounds are constants and valid.
    pub fn new() -> Result<Self, hdrhistogram::CreationError> {
        Histogram::new_with_bounds(1, micros(LONGEST), SIGNIFICANT_DIGITS).map(Self)
    }

    /// One more.
    pub fn record(&mut self, latency: Duration) {
        self.0.saturating_record(micros(latency));
    }

    /// The figures that are reported.
    pub fn summary(&self) -> Latency {
        Latency {
            p50: self.milliseconds(0.50),
            p99: self.milliseconds(0.99),
            max: self.milliseconds(1.0),
            measured: self.0.len(),
        }
    }

    fn milliseconds(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.0.value_at_quantile(quantile) as f64 / 1000.0)
    }
}

/// Latency in milliseconds. No figure where nothing was measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the deliveries took at most this long.
    pub p50: Option<f64>,
    /// 99 of 100 took at most this long.
    pub p99: Option<f64>,
    /// The slowest.
    pub max: Option<f64>,
    /// How many deliveries were measured.
    pub measured: u64,
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_latencies_the_fiftieth_and_the_ninety_ninth_are_told() {
        let mut latencies = Latencies::new().unwrap();
        for milliseconds in (1..=100).rev() {
            latencies.record(Duration::from_millis(milliseconds));
        }
        let summary = latencies.summary();
        assert!((summary.p50.unwrap() - 50.0).abs() < 0.1, "{summary:?}");
        assert!((summary.p99.unwrap() - 99.0).abs() < 0.2, "{summary:?}");
        assert_eq!(summary.measured, 100);
    }

    #[test]
    fn nothing_measured_gives_no_figure() {
        let summary = Latencies::new().unwrap().summary();
        assert_eq!((summary.p50, summary.p99, summary.measured), (None, None, 0));
    }

    #[test]
    fn what_takes_longer_than_the_longest_still_counts() {
        let mut latencies = Latencies::new().unwrap();
        latencies.record(LONGEST * 3);
        assert!(latencies.summary().p99.unwrap() >= 600_000.0);
    }
}
