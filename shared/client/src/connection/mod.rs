//! The connection: opened, kept, opened again.
//!
//! One task a client. While connected it runs six things side by side, none of which ever blocks another:
//! the socket itself, [`drain`] (mailbox → store), [`acks`] (store → *acked*), [`pump`] (outbox →
//! *accepted*), [`keeper`] (own devices and prekeys) and [`ephemerals`] (typing and presence). When one ends, all end, and the task waits and
//! begins anew; everything that matters is in the store, so they may be dropped at any point.
//!
//! # Waits
//! Exponential backoff with full jitter, from the first bound again after a connection that lived a while. A
//! refused token waits longer. When **another socket of this device takes over**, coming back at once would
//! throw that one out, which would come back at once. But it may as well have been a former connection of our
//! own that the service learned of late. So there are two attempts, after a wait and after a long one, and
//! then none until the app asks: two sockets that both want to stay come to rest, one of them connected.

mod acks;
mod drain;
mod ephemerals;
mod frames;
pub(crate) mod keeper;
mod pump;

use std::{
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use rand::RngExt;
use tokio::{
    sync::{Notify, mpsc, watch},
    task::JoinHandle,
    time::Instant,
};
use waxwing_wire::{Problem, frame::RemovalReason};

use crate::{
    clock,
    config::Timings,
    events::{DisconnectReason, Event},
    sessions::Me,
    shared::Shared,
    transport::{
        backoff::Backoff,
        requests::{Link, News, Replies},
        socket::{self, Socket},
    },
};
use acks::AckQueue;

/// Frames that wait to be written. More waiting requests than that wait themselves.
const OUTGOING_FRAMES: usize = 32;

/// `delivery` frames that wait to be stored. What does not fit is read from the mailbox instead.
const WAITING_DELIVERIES: usize = 256;

/// Other news that waits. It comes rarely, and what does not fit is learned at the next connection.
const WAITING_NEWS: usize = 16;

/// Ephemeral messages that wait to be opened. What does not fit is dropped, as on the way.
const WAITING_EPHEMERALS: usize = 32;

/// How long a clean end may take to ack what is stored.
const GOODBYE: Duration = Duration::from_secs(2);

/// Take-overs further apart than this have nothing to do with one another.
const TAKEN_OVER_FORGOTTEN: Duration = Duration::from_secs(60 * 60);

/// How much longer the wait after the second take-over is than after the first.
const SECOND_WAIT: u32 = 12;

/// Refusals of the token in a row after which the app is told that this device was probably removed. One may be a
/// fault that passes.
const REFUSALS_TO_TELL: u32 = 3;

/// The connection of a client: runs or not. Dropping it ends it at once.
#[derive(Debug)]
pub(crate) struct ConnectionTask {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    stop: watch::Sender<bool>,
    retry_now: Arc<Notify>,
    task: JoinHandle<()>,
}

impl ConnectionTask {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            running: Mutex::new(None),
        }
    }

    /// Starts it, or, if it waits for its next attempt, makes that begin now.
    pub(crate) fn start(&self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.as_ref().filter(|running| !running.task.is_finished()) {
            Some(running) => running.retry_now.notify_one(),
            None => {
                let (stop, stopped) = watch::channel(false);
                let retry_now = Arc::new(Notify::new());
                let task = run(self.shared.clone(), stopped, retry_now.clone());
                *running = Some(Running {
                    stop,
                    retry_now,
                    task: self.shared.runtime.spawn(task),
                });
            }
        }
    }

    /// Ends it cleanly.
    pub(crate) async fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(running) = running {
            running.stop.send_replace(true);
            if let Err(error) = running.task.await {
                tracing::error!(%error, "the connection ended by itself");
            }
        }
    }
}

impl Drop for ConnectionTask {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = running {
            running.task.abort();
        }
    }
}

async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>, retry_now: Arc<Notify>) {
    let mut patience = Patience::new(&shared.timings);
    let unacked = AckQueue::default();
    let mut refusals = Refusals::default();
    loop {
        let begun = Instant::now();
        let reason = attempt(&shared, &unacked, &mut stop).await;
        let retry_in = patience.wait_after(&reason, begun.elapsed(), &mut clock::rng());
        tracing::debug!(%reason, ?retry_in, "disconnected");
        let ended = reason == DisconnectReason::Requested;
        if refusals.are_to_be_told(&reason)
            && let Err(error) = keeper::refused_repeatedly(&shared).await
        {
            tracing::warn!(%error, "the refusals could not be noted");
        }
        shared.events.tell(Event::Disconnected { reason, retry_in });
        if ended {
            return;
        }
        let wait = async {
            match retry_in {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = retry_now.notified() => patience = Patience::new(&shared.timings),
            () = stopped(&mut stop) => return,
        }
    }
}

/// How often in a row the service refused the token.
#[derive(Debug, Default)]
struct Refusals(u32);

impl Refusals {
    /// Counts an attempt that ended like this. Returns whether the app is to be told now.
    fn are_to_be_told(&mut self, reason: &DisconnectReason) -> bool {
        match reason {
            DisconnectReason::Unauthorized => {
                self.0 = self.0.saturating_add(1);
                self.0 == REFUSALS_TO_TELL
            }
            // They say nothing about the token.
            DisconnectReason::Unreachable | DisconnectReason::TimedOut | DisconnectReason::WrongClock => {
                false
            }
            _ => {
                self.0 = 0;
                false
            }
        }
    }
}

/// How long to wait before the next attempt.
#[derive(Debug)]
struct Patience {
    timings: Timings,
    backoff: Backoff,
    taken_over: u32,
}

impl Patience {
    fn new(timings: &Timings) -> Self {
        Self {
            timings: *timings,
            backoff: Backoff::new(timings.backoff_first, timings.backoff_longest),
            taken_over: 0,
        }
    }

    /// The wait after an attempt that ended like this after so long; `None` to wait for the app.
    fn wait_after(
        &mut self,
        reason: &DisconnectReason,
        lived: Duration,
        rng: &mut impl rand::Rng,
    ) -> Option<Duration> {
        if lived >= TAKEN_OVER_FORGOTTEN {
            self.taken_over = 0;
        }
        if lived >= self.timings.stable_after {
            self.backoff.reset();
        }
        match reason {
            DisconnectReason::Requested | DisconnectReason::NotRegistered | DisconnectReason::Removed => None,
            DisconnectReason::TakenOver => {
                self.taken_over += 1;
                let wait = match self.taken_over {
                    1 => self.timings.taken_over_wait,
                    2 => self.timings.taken_over_wait * SECOND_WAIT,
                    _ => return None,
                };
                Some(half_jitter(wait, rng))
            }
            // With the next token the clock is the service's: `WrongClock` is tried again as what breaks is.
            DisconnectReason::Unauthorized => Some(half_jitter(self.timings.unauthorized_wait, rng)),
            _ => Some(self.backoff.next(rng)),
        }
    }
}

/// Half of the wait and up to as much more: for waits that must not be short.
fn half_jitter(wait: Duration, rng: &mut impl rand::Rng) -> Duration {
    wait.mul_f64(0.5 + rng.random::<f64>() / 2.0)
}

/// Opens a connection and keeps it until it ends.
async fn attempt(shared: &Shared, unacked: &AckQueue, stop: &mut watch::Receiver<bool>) -> DisconnectReason {
    let Some(me) = shared.me() else {
        return match shared.is_removed() {
            true => DisconnectReason::Removed,
            false => DisconnectReason::NotRegistered,
        };
    };
    let connecting = socket::connect(
        &shared.service,
        &me.credentials,
        &shared.timings,
        &shared.service_time,
    );
    let connected = tokio::select! {
        connected = connecting => connected,
        () = stopped(stop) => return DisconnectReason::Requested,
    };
    match connected {
        Ok(socket) => {
            shared.events.tell(Event::Connected);
            let removal = OnceLock::new();
            shared.ephemerals.connected();
            let reason = serve(shared, &me, socket, unacked, stop, &removal).await;
            let ended = shared.ephemerals.ended().into_iter();
            ended.for_each(|event| shared.events.tell(event));
            match removal.into_inner() {
                Some(removal) => keeper::removed(shared, &me, removal).await,
                None => reason,
            }
        }
        Err(reason) => reason,
    }
}

/// Runs everything that a connection is for, until something of it ends. Notes in `removal` if the service says that this
/// device is out: it closes the connection at once behind that, so that nobody else may come to hear it.
async fn serve(
    shared: &Shared,
    me: &Arc<Me>,
    socket: Socket,
    unacked: &AckQueue,
    stop: &mut watch::Receiver<bool>,
    removal: &OnceLock<RemovalReason>,
) -> DisconnectReason {
    let (outgoing, frames) = mpsc::channel(OUTGOING_FRAMES);
    let (deliveries, delivered) = mpsc::channel(WAITING_DELIVERIES);
    let (tidings, heard) = mpsc::channel(WAITING_NEWS);
    let (sayings, said) = mpsc::channel(WAITING_EPHEMERALS);
    let replies = Replies::default();
    let link = Link::new(outgoing, replies.clone(), shared.timings.request_timeout);
    let overflowed = Notify::new();
    let news = |news| match news {
        News::Delivery(envelopes) => {
            if deliveries.try_send(envelopes).is_err() {
                overflowed.notify_one();
            }
        }
        News::Removed(reason) => {
            removal.get_or_init(|| reason);
        }
        News::Ephemeral(ephemeral) => drop(sayings.try_send(ephemeral)),
        other => drop(tidings.try_send(other)),
    };
    let driving = socket::drive(socket, frames, replies, news, shared.timings.ping_after);
    tokio::pin!(driving);
    let reason = tokio::select! {
        reason = &mut driving => return reason,
        reason = drain::run(shared, me, &link, delivered, &overflowed, unacked) => reason,
        reason = acks::run(shared, &link, unacked) => reason,
        reason = pump::run(shared, me, &link) => reason,
        reason = keeper::run(shared, me, heard) => reason,
        never = ephemerals::run(shared, me, &link, said) => match never {},
        () = stopped(stop) => DisconnectReason::Requested,
    };
    // What is stored may be acked; then the last link is dropped, which closes the socket.
    let refused = reason == DisconnectReason::Unauthorized;
    let goodbye = async move {
        match reason {
            DisconnectReason::Requested => {
                let farewell = async {
                    shared
                        .ephemerals
                        .set_presence(|presence| presence.leave(Instant::now()));
                    ephemerals::speak(shared, me, &link).await;
                    acks::flush(&shared.events, &link, unacked).await
                };
                let _unacked_comes_again = tokio::time::timeout(GOODBYE, farewell).await;
            }
            // A device that is out is refused a moment before it is told why, on this very socket.
            DisconnectReason::Unauthorized => tokio::time::sleep(GOODBYE).await,
            _ => {}
        }
        drop(link);
        reason
    };
    let reason = tokio::select! {
        reason = goodbye => reason,
        ended = &mut driving => return if refused { DisconnectReason::Unauthorized } else { ended },
    };
    driving.await;
    reason
}

/// The longest wait the service can impose on a request.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(10 * 60);

/// How long the service wants a refused request to wait.
fn retry_after(problem: &Problem) -> Duration {
    Duration::from_secs(problem.retry_after_seconds.unwrap_or(0).into()).min(LONGEST_RETRY_AFTER)
}

/// Waits as long as `backoff` says, and at least so long.
async fn pause(backoff: &mut Backoff, at_least: Duration) {
    let wait = backoff.next(&mut clock::rng()).max(at_least);
    tokio::time::sleep(wait).await;
}

/// Waits until the app wants it to end, or nobody is left who could want anything.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _sender_gone = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const SHORT: Duration = Duration::from_secs(1);

    fn patience() -> (Patience, StdRng) {
        (Patience::new(&Timings::default()), StdRng::seed_from_u64(1))
    }

    #[test]
    fn x70_two_sockets_of_one_device_do_not_throw_each_other_out_for_ever() {
        let timings = Timings::default();
        let (mut patience, mut rng) = patience();
        let mut lived = SHORT;
        for least in [
            timings.taken_over_wait / 2,
            timings.taken_over_wait * SECOND_WAIT / 2,
        ] {
            let wait = patience
                .wait_after(&DisconnectReason::TakenOver, lived, &mut rng)
                .unwrap();
            assert!(wait >= least);
            // It came back, and lived for as long as the other waited.
            lived = wait;
        }
        assert_eq!(
            patience.wait_after(&DisconnectReason::TakenOver, lived, &mut rng),
            None
        );
    }

    #[test]
    fn a_take_over_long_ago_does_not_count() {
        let (mut patience, mut rng) = patience();
        for _ in 0..2 {
            patience.wait_after(&DisconnectReason::TakenOver, SHORT, &mut rng);
        }
        let later = patience.wait_after(&DisconnectReason::TakenOver, TAKEN_OVER_FORGOTTEN, &mut rng);
        assert!(later.is_some());
    }

    #[test]
    fn a_device_that_is_refused_time_and_again_is_told_once_until_it_is_let_in() {
        use DisconnectReason::{Broken, Unauthorized, Unreachable, WrongClock};
        let mut refusals = Refusals::default();
        let attempts = [
            (Unauthorized, false),
            (Broken, false),
            (Unauthorized, false),
            (Unreachable, false),
            (Unauthorized, false),
            (WrongClock, false),
            (Unauthorized, true),
            (Unauthorized, false),
            (Broken, false),
            (Unauthorized, false),
            (Unauthorized, false),
            (Unauthorized, true),
        ];
        for (at, (reason, told)) in attempts.into_iter().enumerate() {
            assert_eq!(refusals.are_to_be_told(&reason), told, "{at}");
        }
    }

    #[test]
    fn a_refused_token_is_not_tried_again_soon() {
        let (mut patience, mut rng) = patience();
        for _ in 0..100 {
            let wait = patience
                .wait_after(&DisconnectReason::Unauthorized, SHORT, &mut rng)
                .unwrap();
            assert!(wait >= Timings::default().unauthorized_wait / 2);
        }
    }

    #[test]
    fn the_backoff_starts_over_only_after_a_connection_that_lived() {
        let timings = Timings::default();
        let (mut patience, mut rng) = patience();
        for _ in 0..12 {
            patience.wait_after(&DisconnectReason::Broken, SHORT, &mut rng);
        }
        assert_eq!(patience.backoff.attempts(), 12);
        patience.wait_after(&DisconnectReason::Broken, timings.stable_after, &mut rng);
        assert_eq!(patience.backoff.attempts(), 1);
    }
}
