//! What invocations took, by function.

use std::collections::{BTreeMap, btree_map::Entry};

use hdrhistogram::CreationError;
use serde::Serialize;
use waxwing_local::lambda::ObservedInvocation;

use crate::latency::{Latencies, Latency};

/// What the invocations of every function took.
#[derive(Default)]
pub(super) struct Timings(BTreeMap<String, Timing>);

/// What the invocations of one took.
struct Timing {
    starts: Latencies,
    firsts: Latencies,
    warm: Latencies,
}

/// The figures of one function, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Figures {
    /// Invocations, those that had to start a process included.
    pub(super) invocations: u64,
    /// Processes started.
    pub(super) starts: u64,
    /// From the start of a process to its first poll: the median.
    pub(super) start_ms: Option<f64>,
    /// A process's first event, without the start: the median.
    pub(super) first_ms: Option<f64>,
    /// All other events.
    pub(super) warm_ms: Latency,
}

impl Timings {
    /// One more.
    ///
    /// # Errors
    /// None in practice: the bounds of histograms are constants and valid.
    pub(super) fn add(&mut self, invocation: &ObservedInvocation) -> Result<(), CreationError> {
        let timing = match self.0.entry(invocation.function.clone()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(Timing::new()?),
        };
        match invocation.start {
            Some(start) => {
                timing.starts.record(start);
                timing.firsts.record(invocation.duration);
            }
            None => timing.warm.record(invocation.duration),
        }
        Ok(())
    }

    /// The figures of every function that ran.
    pub(super) fn figures(&self) -> BTreeMap<String, Figures> {
        let of = |(function, timing): (&String, &Timing)| (function.clone(), timing.figures());
        self.0.iter().map(of).collect()
    }
}

impl Timing {
    fn new() -> Result<Self, CreationError> {
        Ok(Self {
            starts: Latencies::new()?,
            firsts: Latencies::new()?,
            warm: Latencies::new()?,
        })
    }

    fn figures(&self) -> Figures {
        let (starts, warm_ms) = (self.starts.summary(), self.warm.summary());
        Figures {
            invocations: starts.measured + warm_ms.measured,
            starts: starts.measured,
            start_ms: starts.p50,
            first_ms: self.firsts.summary().p50,
            warm_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn starts_first_events_and_warm_events_are_told_apart() {
        let mut timings = Timings::default();
        let ms = Duration::from_millis;
        for (start, duration) in [(Some(ms(7)), ms(20)), (None, ms(3)), (None, ms(3)), (None, ms(5))] {
            let invocation = ObservedInvocation {
                function: "send".to_owned(),
                start,
                duration,
                failed: false,
            };
            timings.add(&invocation).unwrap();
        }
        let figures = timings.figures()["send"];
        assert_eq!((figures.invocations, figures.starts), (4, 1));
        let about = |value: Option<f64>, expected: f64| (value.unwrap() - expected).abs() < 0.05;
        assert!(
            about(figures.start_ms, 7.0) && about(figures.first_ms, 20.0),
            "{figures:?}"
        );
        assert!(
            about(figures.warm_ms.p50, 3.0) && about(figures.warm_ms.p99, 5.0),
            "{figures:?}"
        );
    }
}
