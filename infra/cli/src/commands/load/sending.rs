//! One device that sends until the time is up.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, MissedTickBehavior};
use waxwing_client::AccountId;

use super::LoadError;
use crate::{ledger::DeviceNumber, people::Device, run::Run};

/// Messages of one device that may be on their way at once: one, and one behind it. More would measure the
/// queue.
const WINDOW: usize = 2;

/// A device and whom it writes to.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) device: Device,
    pub(super) number: DeviceNumber,
    pub(super) partner: AccountId,
}

/// When one device of many sends, so that all together keep a rate and do not send at the same instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    pub(super) first_after: Duration,
    pub(super) every: Duration,
}

impl Pace {
    /// The pace of the device in this place.
    pub(super) fn of(rate: f64, place: usize, devices: usize) -> Self {
        Self {
            first_after: Duration::from_secs_f64(place as f64 / rate),
            every: Duration::from_secs_f64(devices as f64 / rate),
        }
    }

    /// When it sends in so long a time, from its beginning on: so often and no more.
    pub(super) fn moments(self, lasts: Duration) -> impl Iterator<Item = Duration> {
        std::iter::successors(Some(self.first_after), move |moment| Some(*moment + self.every))
            .take_while(move |moment| *moment < lasts)
    }
}

/// Sends until the deadline: by the pace, or else as fast as messages are shown.
pub(super) async fn send_until(
    deadline: Instant,
    run: Arc<Run>,
    member: Member,
    pace: Option<Pace>,
) -> Result<(), LoadError> {
    let mut ticks = pace.map(|pace| {
        let mut ticks = tokio::time::interval_at(Instant::now() + pace.first_after, pace.every);
        // Who falls behind does not send faster for it afterwards.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    });
    for message in 1_u64.. {
        let may_send = async {
            if let Some(ticks) = &mut ticks {
                ticks.tick().await;
            }
            run.room_for(member.number, WINDOW).await
        };
        match tokio::time::timeout_at(deadline, may_send).await {
            Ok(room) => room?,
            Err(_) => break,
        }
        let text = format!(
            "Message {message} of {}, as long as short ones are.",
            member.device.name
        );
        run.send(member.number, &member.device, member.partner, &text)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_in_a_time_ends_with_it() {
        let offered = |place| Pace::of(8.0, place, 4).moments(Duration::from_secs(3)).count();
        assert_eq!((0..4).map(offered).sum::<usize>(), 24);
        assert_eq!(Pace::of(0.1, 1, 2).moments(Duration::from_secs(3)).count(), 0);
    }

    #[test]
    fn together_all_devices_keep_the_rate_one_after_the_other() {
        // 4 devices at 8 a second: one message every 125 ms, each device every 500 ms.
        let paces: Vec<_> = (0..4).map(|place| Pace::of(8.0, place, 4)).collect();
        for (place, pace) in paces.iter().enumerate() {
            assert_eq!(pace.every, Duration::from_millis(500));
            assert_eq!(
                pace.first_after,
                Duration::from_millis(125) * u32::try_from(place).unwrap()
            );
        }
    }
}
