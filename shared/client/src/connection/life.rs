//! From one socket to the next without a gap.
//!
//! API Gateway ends every connection after two hours. Before that, and when the network changes, the next socket is opened
//! while the old one still works; the service closes that one in the moment it accepts the new one. What was under way on
//! the old one and was not answered is in the outbox, in the mailbox or in the queue of acks, and is said again on the new one.
//!
//! A socket that the service closes because *another of this device* took over is one of two things: displaced by our own next
//! one, whose handshake runs or was not answered, or by another process. Only the latter is told as taken over.

use std::{
    pin::pin,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use rand::{Rng, RngExt};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout},
};
use waxwing_wire::frame::RemovalReason;

use super::{
    serve::{Lasting, serve},
    stopped,
};
use crate::{
    clock,
    config::Timings,
    events::DisconnectReason,
    sessions::Me,
    shared::Shared,
    transport::{
        backoff::Backoff,
        socket::{self, Socket},
    },
};

/// What came over the old socket before the service closed it is still read for so long once the new one is open.
const HAND_OVER: Duration = Duration::from_millis(250);

/// How long after a handshake that was not answered the service may still carry it out: API Gateway gives up after 29 seconds.
const ECHO: Duration = Duration::from_secs(30);

/// How a socket ends.
pub(super) enum End {
    /// The next one is open.
    Renewed(Box<Socket>),
    /// There is none.
    Ended(DisconnectReason),
}

/// Opens the first socket.
///
/// # Errors
/// [`DisconnectReason`].
pub(super) async fn open(shared: &Shared, me: &Me, lasting: &Lasting) -> Result<Socket, DisconnectReason> {
    let mut network = lasting.surroundings.network();
    let mut stop = lasting.stop.clone();
    loop {
        tokio::select! {
            opened = handshake(shared, me) => return opened,
            // What was begun on the former network may hang there.
            _ = network.changed() => {}
            () = stopped(&mut stop) => return Err(DisconnectReason::Requested),
        }
    }
}

/// Serves a socket until it ends or the next one is open.
pub(super) async fn live(
    shared: &Shared,
    me: &Arc<Me>,
    socket: Socket,
    lasting: &Lasting,
    removal: &OnceLock<RemovalReason>,
) -> End {
    let mut network = lasting.surroundings.network();
    let mut renewal = Renewal::planned(shared, me);
    let mut serving = pin!(serve(shared, me, socket, lasting, removal));
    let renewed = tokio::select! {
        reason = &mut serving => Err(reason),
        socket = renewal.next(&mut network) => Ok(socket),
    };
    match renewed {
        Ok(socket) => {
            let _closed_by_the_service = timeout(HAND_OVER, serving).await;
            End::Renewed(Box::new(socket))
        }
        Err(reason) => {
            let mut stop = lasting.stop.clone();
            tokio::select! {
                end = renewal.instead_of(reason) => end,
                () = stopped(&mut stop) => End::Ended(DisconnectReason::Requested),
            }
        }
    }
}

fn handshake<'a>(shared: &'a Shared, me: &'a Me) -> BoxFuture<'a, Result<Socket, DisconnectReason>> {
    let (service, time) = (&shared.service, &shared.service_time);
    socket::connect(service, &me.credentials, &shared.timings, time).boxed()
}

/// The next socket: when it is due, and its handshake.
struct Renewal<'a> {
    shared: &'a Shared,
    me: &'a Me,
    due: Instant,
    backoff: Backoff,
    handshake: Option<BoxFuture<'a, Result<Socket, DisconnectReason>>>,
    /// When a handshake was given up whose outcome is unknown.
    unanswered: Option<Instant>,
}

impl<'a> Renewal<'a> {
    fn planned(shared: &'a Shared, me: &'a Me) -> Self {
        let timings = &shared.timings;
        Self {
            shared,
            me,
            due: Instant::now() + life(timings, &mut clock::rng()),
            backoff: Backoff::new(timings.backoff_first, timings.backoff_longest),
            handshake: None,
            unanswered: None,
        }
    }

    /// Opens the next socket when it is due or the network changes, and again until it is open. May be dropped and
    /// called again.
    async fn next(&mut self, network: &mut watch::Receiver<u64>) -> Socket {
        loop {
            let opened = async {
                match self.handshake.as_mut() {
                    Some(handshake) => Some(handshake.await),
                    None => {
                        sleep_until(self.due).await;
                        None
                    }
                }
            };
            tokio::select! {
                opened = opened => match opened {
                    Some(Ok(socket)) => return socket,
                    Some(Err(reason)) => self.failed(&reason),
                    None => self.begin(),
                },
                _ = network.changed() => {
                    self.backoff.reset();
                    self.begin();
                }
            }
        }
    }

    fn begin(&mut self) {
        if self.handshake.is_some() {
            self.unanswered = Some(Instant::now());
        }
        self.handshake = Some(handshake(self.shared, self.me));
    }

    /// The old socket still works; there is time to try again.
    fn failed(&mut self, reason: &DisconnectReason) {
        tracing::debug!(%reason, "the next connection did not open");
        self.handshake = None;
        let wait = match reason {
            DisconnectReason::Unauthorized => self.shared.timings.unauthorized_wait,
            _ => self.backoff.next(&mut clock::rng()),
        };
        let now = Instant::now();
        self.due = now + wait;
        if matches!(reason, DisconnectReason::TimedOut | DisconnectReason::Unreachable) {
            self.unanswered = Some(now);
        }
    }

    /// The old socket ended. If the next one is on its way it may be why, and takes its place.
    async fn instead_of(&mut self, reason: DisconnectReason) -> End {
        use DisconnectReason::{Broken, Closed, TakenOver, TimedOut};
        if !matches!(reason, Broken | Closed(_) | TakenOver | TimedOut) {
            return End::Ended(reason);
        }
        if let Some(handshake) = self.handshake.take() {
            match handshake.await {
                Ok(socket) => return End::Renewed(Box::new(socket)),
                Err(failed) => self.failed(&failed),
            }
        }
        let own = self.unanswered.is_some_and(|at| at.elapsed() < ECHO);
        End::Ended(if own && reason == TakenOver {
            Broken
        } else {
            reason
        })
    }
}

/// How long a connection lives: a part of the longest life at random, so that devices which were cut off together do not renew
/// together for ever.
fn life(timings: &Timings, rng: &mut impl Rng) -> Duration {
    timings.renew_after.mul_f64(0.75 + rng.random::<f64>() / 4.0)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn p4_devices_that_connected_together_renew_spread_over_half_an_hour_and_well_before_the_gateway_s_limit()
    {
        const LIFE_LIMIT: Duration = Duration::from_secs(2 * 60 * 60);
        const MINUTE: Duration = Duration::from_secs(60);
        let timings = Timings::default();
        let mut rng = StdRng::seed_from_u64(1);
        let mut lives: Vec<_> = (0..1_000).map(|_| life(&timings, &mut rng)).collect();
        lives.sort_unstable();
        assert!(lives[0] >= timings.renew_after * 3 / 4);
        assert!(lives[999] + 5 * MINUTE < LIFE_LIMIT, "time for a few attempts");
        let in_a_minute = |from: &Duration| {
            lives
                .iter()
                .filter(|life| (*from..*from + MINUTE).contains(*life))
                .count()
        };
        let most = lives.iter().map(in_a_minute).max().unwrap();
        assert!(most < 100, "{most} of 1,000 in the same minute");
    }
}
