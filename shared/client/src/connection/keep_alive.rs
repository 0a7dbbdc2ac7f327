//! Keeps a connection open while the app is on the screen, and ends it when it is not.
//!
//! API Gateway closes a connection on which no **message** went either way for 10 minutes. So shortly before that the mailbox
//! is read: it is a message and its answer, shows that the whole way works, and finds what a post lost on its way.
//! Behind the screen nothing is said: the connection ends after a moment, and the device is woken by push.

use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};

use super::surroundings::Surroundings;
use crate::{config::Timings, events::DisconnectReason, transport::last_time::LastTime};

/// Tells `look` to read the mailbox when there was no message for long, and when the app comes back to the screen: the
/// device may have slept, and the connection be gone without a word. Ends when the app was away for a while.
pub(super) async fn run(
    timings: &Timings,
    surroundings: &Surroundings,
    messages: &LastTime,
    look: &Notify,
) -> DisconnectReason {
    let mut foreground = surroundings.foreground();
    let mut not_before = Instant::now();
    loop {
        let in_foreground = *foreground.borrow_and_update();
        let quiet = async {
            match in_foreground {
                true => sleep_until(not_before.max(messages.get() + timings.keep_alive_after)).await,
                false => sleep(timings.background_linger).await,
            }
        };
        tokio::select! {
            () = quiet => match in_foreground {
                true if messages.get().elapsed() >= timings.keep_alive_after => {
                    look.notify_one();
                    // It may have to wait for what the mailbox is read for already.
                    not_before = Instant::now() + timings.request_timeout.min(timings.keep_alive_after);
                }
                true => {}
                false => return DisconnectReason::Background,
            },
            _ = foreground.changed() => {
                if *foreground.borrow() {
                    look.notify_one();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Looks within `span`, answered at once.
    async fn looks(surroundings: &Surroundings, span: Duration) -> (u32, Option<DisconnectReason>) {
        let (messages, look, timings) = (LastTime::now(), Notify::new(), Timings::default());
        let mut count = 0;
        let answering = async {
            loop {
                look.notified().await;
                count += 1;
                messages.note();
            }
        };
        // What is due at the very end of the span is outside of it, whichever is looked at first.
        let ended = tokio::select! {
            biased;
            () = sleep(span) => None,
            reason = run(&timings, surroundings, &messages, &look) => Some(reason),
            () = answering => None,
        };
        (count, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn p3_a_quiet_connection_says_something_within_each_idle_limit_of_the_gateway_and_no_more() {
        const IDLE_LIMIT: Duration = Duration::from_secs(10 * 60);
        assert!(Timings::default().keep_alive_after + Timings::default().request_timeout < IDLE_LIMIT);
        let surroundings = Surroundings::default();
        assert_eq!(looks(&surroundings, IDLE_LIMIT * 9).await, (9, None));
    }

    #[tokio::test(start_paused = true)]
    async fn p3_behind_the_screen_nothing_is_said_and_the_connection_ends() {
        let surroundings = Surroundings::default();
        surroundings.set_foreground(false);
        let ended = looks(&surroundings, Duration::from_secs(60 * 60)).await;
        assert_eq!(ended, (0, Some(DisconnectReason::Background)));
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_back_to_the_screen_in_time_stays_connected_and_looks_whether_it_still_is() {
        let surroundings = Surroundings::default();
        surroundings.set_foreground(false);
        let linger = Timings::default().background_linger;
        let back = async {
            sleep(linger / 2).await;
            surroundings.set_foreground(true);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            looked = looks(&surroundings, linger * 2) => assert_eq!(looked, (1, None)),
            () = back => {}
        }
    }
}
