//! How fast the outbox empties: as fast as it can, until the gateway refuses a frame.
//!
//! The gateway's quota is shared by all devices. A refusal says that it is used up, and nothing about the frame that met it; so
//! the connection slows down, not the message. Nothing leaves for a while, then one frame as a probe, and each frame that is
//! answered lets one more be under way, as in TCP's slow start (RFC 5681, section 3.1). Meanwhile messages collect in the outbox and
//! share frames.
//!
//! Each refusal doubles the next rest and each answer halves it: however many devices there are, they come to rest so long that
//! not many more frames are refused than answered. Rests are drawn anew each time, so that devices which were refused together
//! do not come back together.

use std::time::Duration;

use rand::{Rng, RngExt};

use crate::{config::Timings, under_way::MAX_UNDER_WAY};

/// Decides how many frames may be under way.
#[derive(Debug)]
pub(super) struct Pace {
    first: Duration,
    longest: Duration,
    /// How often the first rest is doubled for the next one.
    doublings: u32,
    /// Frames that may be under way at once.
    allowed: usize,
    under_way: usize,
    resting: bool,
    /// Rests so far.
    rests: u64,
}

/// A frame that left, by the rests before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left(u64);

impl Pace {
    /// Nothing was refused yet: every message that may be under way may have a frame of its own.
    pub(super) fn new(timings: &Timings) -> Self {
        Self {
            first: timings.backoff_first,
            longest: timings.longest_between_requests(),
            doublings: 0,
            allowed: MAX_UNDER_WAY,
            under_way: 0,
            resting: false,
            rests: 0,
        }
    }

    /// How many frames may leave now.
    pub(super) fn room(&self) -> usize {
        match self.resting {
            true => 0,
            false => self.allowed.saturating_sub(self.under_way),
        }
    }

    /// A frame leaves.
    pub(super) fn leave(&mut self) -> Left {
        self.under_way += 1;
        Left(self.rests)
    }

    /// A frame reached the service.
    pub(super) fn answered(&mut self, left: Left) {
        self.returned();
        // What left before a rest says nothing about the time after it.
        if left.0 == self.rests {
            self.allowed = (self.allowed + 1).min(MAX_UNDER_WAY);
            self.doublings = self.doublings.saturating_sub(1);
        }
    }

    /// A frame came back, and says nothing about how fast others may leave.
    pub(super) fn returned(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// The gateway refused a frame. Returns how long to rest, and [`Pace::rested`] is to be called then; `None` if a frame that
    /// left with it was refused before, and it was rested for that.
    pub(super) fn refused(&mut self, left: Left, rng: &mut impl Rng) -> Option<Duration> {
        self.returned();
        if left.0 != self.rests {
            return None;
        }
        let bound = self.bound();
        if bound < self.longest {
            self.doublings += 1;
        }
        self.rests += 1;
        self.resting = true;
        self.allowed = 1;
        Some(bound.mul_f64(rng.random()))
    }

    /// The rest is over.
    pub(super) fn rested(&mut self) {
        self.resting = false;
    }

    /// The next rest lasts no longer.
    fn bound(&self) -> Duration {
        let doubled = 1_u32.checked_shl(self.doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(doubled).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use std::{cmp::Reverse, collections::BinaryHeap};

    use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

    use super::*;

    fn pace() -> (Pace, StdRng) {
        (Pace::new(&Timings::default()), StdRng::seed_from_u64(1))
    }

    /// Lets as many leave as may.
    fn leave_all(pace: &mut Pace) -> Vec<Left> {
        (0..pace.room()).map(|_| pace.leave()).collect()
    }

    #[test]
    fn after_a_refusal_nothing_leaves_until_the_rest_is_over_and_then_one_frame_and_one_more_with_each_answer()
     {
        let (mut pace, mut rng) = pace();
        let mut left = leave_all(&mut pace);
        assert_eq!(left.len(), MAX_UNDER_WAY);
        let refused = left.pop().unwrap();
        assert!(pace.refused(refused, &mut rng).is_some());
        left.into_iter().for_each(|early| pace.answered(early));
        assert_eq!(pace.room(), 0);
        pace.rested();
        for expected in 1..=MAX_UNDER_WAY {
            let left = leave_all(&mut pace);
            assert_eq!(left.len(), expected.min(2), "{expected} under way");
            pace.answered(left[0]);
        }
    }

    #[test]
    fn frames_that_are_refused_together_lead_to_one_rest() {
        let (mut pace, mut rng) = pace();
        let left = leave_all(&mut pace);
        let rests: Vec<_> = left
            .iter()
            .filter_map(|left| pace.refused(*left, &mut rng))
            .collect();
        assert_eq!(rests.len(), 1);
        assert!(rests[0] <= Timings::default().backoff_first);
    }

    /// In any order of answers, refusals and ends of rests.
    #[test]
    fn rests_stay_within_their_bound_and_there_is_always_a_way_on() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..200 {
            let (mut pace, _) = pace();
            let mut left: Vec<Left> = Vec::new();
            let mut rests = 0_u32;
            for _ in 0..300 {
                assert!(rests > 0 || pace.room() + left.len() > 0, "{pace:?}");
                assert!(pace.room() + left.len() <= MAX_UNDER_WAY, "{pace:?}");
                left.shuffle(&mut rng);
                match rng.random_range(0..4) {
                    0 if rests > 0 => {
                        rests -= 1;
                        pace.rested();
                    }
                    1 | 0 if pace.room() > 0 => left.push(pace.leave()),
                    2 => left.pop().into_iter().for_each(|left| pace.answered(left)),
                    _ => {
                        let refused = left.pop().and_then(|left| pace.refused(left, &mut rng));
                        if let Some(rest) = refused {
                            assert!(rest <= Timings::default().longest_between_requests());
                            rests += 1;
                        }
                        assert!(rests <= 1, "one rest at a time");
                    }
                }
            }
        }
    }

    /// A gateway with a bucket of tokens, and devices that all have something to send, in simulated time.
    struct Crowd {
        rng: StdRng,
        devices: Vec<(Pace, usize)>,
        happens: BinaryHeap<Reverse<(Duration, usize, Happens)>>,
        filled: (f64, Duration),
        refused: usize,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum Happens {
        Rested,
        Answered(u64),
        Refused(u64),
    }

    impl Crowd {
        const PER_SECOND: f64 = 50.0;
        const BURST: f64 = 25.0;
        const ANSWER: Duration = Duration::from_millis(40);
        const REFUSAL: Duration = Duration::from_millis(10);

        /// When all devices have sent their frames.
        fn empties(devices: usize, frames: usize) -> (Duration, Self) {
            let device = || (Pace::new(&Timings::default()), frames);
            let mut crowd = Self {
                rng: StdRng::seed_from_u64(5),
                devices: (0..devices).map(|_| device()).collect(),
                happens: BinaryHeap::new(),
                filled: (Self::BURST, Duration::ZERO),
                refused: 0,
            };
            let mut now = Duration::ZERO;
            (0..devices).for_each(|device| crowd.send(device, now));
            while let Some(Reverse((at, device, happens))) = crowd.happens.pop() {
                now = at;
                let (pace, frames) = &mut crowd.devices[device];
                match happens {
                    Happens::Rested => pace.rested(),
                    Happens::Answered(left) => pace.answered(Left(left)),
                    Happens::Refused(left) => {
                        crowd.refused += 1;
                        *frames += 1;
                        if let Some(rest) = pace.refused(Left(left), &mut crowd.rng) {
                            crowd.happens.push(Reverse((now + rest, device, Happens::Rested)));
                        }
                    }
                }
                crowd.send(device, now);
            }
            assert!(crowd.devices.iter().all(|(_, frames)| *frames == 0));
            (now, crowd)
        }

        fn send(&mut self, device: usize, now: Duration) {
            while self.devices[device].1 > 0 && self.devices[device].0.room() > 0 {
                self.devices[device].1 -= 1;
                let Left(left) = self.devices[device].0.leave();
                let (answered, after) = match self.is_let_in(now) {
                    true => (Happens::Answered(left), Self::ANSWER),
                    false => (Happens::Refused(left), Self::REFUSAL),
                };
                self.happens.push(Reverse((now + after, device, answered)));
            }
        }

        fn is_let_in(&mut self, now: Duration) -> bool {
            let (tokens, at) = self.filled;
            let tokens = ((now - at).as_secs_f64() * Self::PER_SECOND + tokens).min(Self::BURST);
            let is_let_in = tokens >= 1.0;
            self.filled = (if is_let_in { tokens - 1.0 } else { tokens }, now);
            is_let_in
        }
    }

    #[test]
    fn p4_devices_that_are_refused_together_use_the_quota_and_do_not_come_back_together() {
        for (devices, frames) in [(10, 100), (100, 20), (300, 8)] {
            let (taken, crowd) = Crowd::empties(devices, frames);
            let all = devices * frames;
            let ideal = all as f64 / Crowd::PER_SECOND;
            let (late, refused) = (taken.as_secs_f64() - ideal, crowd.refused);
            assert!(late < 15.0, "{devices} devices: {taken:?} instead of {ideal} s");
            assert!(refused < 3 * all, "{devices} devices: {refused} refused of {all}");
        }
    }
}
