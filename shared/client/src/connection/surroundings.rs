//! What the app says of what is around it: whether it is on the screen, and that the network is another.

use tokio::sync::watch;

use crate::events::DisconnectReason;

/// Outlives connections: the app says it at any time.
#[derive(Debug)]
pub(super) struct Surroundings {
    foreground: watch::Sender<bool>,
    /// How often the network changed.
    network: watch::Sender<u64>,
}

impl Default for Surroundings {
    fn default() -> Self {
        Self {
            foreground: watch::Sender::new(true),
            network: watch::Sender::new(0),
        }
    }
}

impl Surroundings {
    pub(super) fn set_foreground(&self, in_foreground: bool) {
        self.foreground
            .send_if_modified(|before| std::mem::replace(before, in_foreground) != in_foreground);
    }

    pub(super) fn network_changed(&self) {
        self.network.send_modify(|times| *times = times.wrapping_add(1));
    }

    /// Whether the app is on the screen, now and as it changes.
    pub(super) fn foreground(&self) -> watch::Receiver<bool> {
        self.foreground.subscribe()
    }

    /// Changes of the network from now on.
    pub(super) fn network(&self) -> watch::Receiver<u64> {
        self.network.subscribe()
    }

    pub(super) async fn until_in_foreground(&self) {
        let mut foreground = self.foreground();
        let _never_closed = foreground.wait_for(|in_foreground| *in_foreground).await;
    }

    /// Waits until an attempt that ended for this reason is worth another one at once: on another network what did not
    /// work may work, and somebody who looks at the screen does not want to wait. A place that another took
    /// is not fought for, and a refused token not tried again for that.
    pub(super) async fn until_better_after(&self, reason: &DisconnectReason) {
        use DisconnectReason::{Background, Broken, Closed, TimedOut, Unreachable, WrongClock};
        match reason {
            Background => self.until_in_foreground().await,
            Broken | Closed(_) | TimedOut | Unreachable | WrongClock => {
                let (mut foreground, mut network) = (self.foreground(), self.network());
                tokio::select! {
                    _ = foreground.changed() => self.until_in_foreground().await,
                    _ = network.changed() => {}
                }
            }
            _ => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// X70: the app alone decides to take its place back.
    #[tokio::test]
    async fn x70_neither_the_screen_nor_the_network_fights_for_a_place_that_another_took() {
        let surroundings = Surroundings::default();
        for (reason, tried_again) in [
            (DisconnectReason::Unreachable, true),
            (DisconnectReason::TakenOver, false),
            (DisconnectReason::Unauthorized, false),
        ] {
            let mut waiting = Box::pin(surroundings.until_better_after(&reason));
            assert_eq!((&mut waiting).now_or_never(), None);
            surroundings.network_changed();
            assert_eq!(waiting.now_or_never().is_some(), tried_again, "{reason}");
            let mut waiting = Box::pin(surroundings.until_better_after(&reason));
            assert_eq!((&mut waiting).now_or_never(), None);
            surroundings.set_foreground(false);
            assert_eq!(
                (&mut waiting).now_or_never(),
                None,
                "behind the screen nobody waits"
            );
            surroundings.set_foreground(true);
            assert_eq!(waiting.now_or_never().is_some(), tried_again, "{reason}");
        }
    }
}
