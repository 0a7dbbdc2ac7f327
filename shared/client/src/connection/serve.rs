//! What runs on one open socket.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::{
    sync::{Notify, mpsc, watch},
    time::Instant,
};
use waxwing_wire::frame::RemovalReason;

use super::{
    acks::{self, AckQueue},
    drain, ephemerals, keep_alive, keeper, pump, stopped,
    surroundings::Surroundings,
};
use crate::{
    events::DisconnectReason,
    push,
    sessions::Me,
    shared::Shared,
    transport::{
        last_time::LastTime,
        requests::{Link, News, Replies},
        socket::{self, Socket},
    },
};

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

/// What outlives the sockets of a client.
pub(super) struct Lasting {
    pub(super) unacked: AckQueue,
    pub(super) surroundings: Arc<Surroundings>,
    /// The app wants an end.
    pub(super) stop: watch::Receiver<bool>,
}

/// Runs everything that a connection is for, until something of it ends. Notes in `removal` if the service says that this
/// device is out: it closes the connection at once behind that, so that nobody else may come to hear it.
pub(super) async fn serve(
    shared: &Shared,
    me: &Arc<Me>,
    socket: Socket,
    lasting: &Lasting,
    removal: &OnceLock<RemovalReason>,
) -> DisconnectReason {
    let Lasting {
        unacked,
        surroundings,
        stop,
    } = lasting;
    let mut stop = stop.clone();
    let (outgoing, frames) = mpsc::channel(OUTGOING_FRAMES);
    let (deliveries, delivered) = mpsc::channel(WAITING_DELIVERIES);
    let (tidings, heard) = mpsc::channel(WAITING_NEWS);
    let (sayings, said) = mpsc::channel(WAITING_EPHEMERALS);
    let replies = Replies::default();
    let link = Link::new(outgoing, replies.clone(), shared.timings.request_timeout);
    // Told when there is reason to read the mailbox.
    let look = Notify::new();
    let messages = LastTime::now();
    let news = |news| match news {
        News::Delivery(envelopes) => {
            if deliveries.try_send(envelopes).is_err() {
                look.notify_one();
            }
        }
        News::Removed(reason) => {
            removal.get_or_init(|| reason);
        }
        News::Ephemeral(ephemeral) => drop(sayings.try_send(ephemeral)),
        other => drop(tidings.try_send(other)),
    };
    let driving = socket::drive(
        socket,
        frames,
        replies,
        news,
        &messages,
        shared.timings.ping_after,
    );
    tokio::pin!(driving);
    let reason = tokio::select! {
        reason = &mut driving => return reason,
        reason = drain::run(shared, me, &link, delivered, &look, unacked) => reason,
        reason = acks::run(shared, &link, unacked) => reason,
        reason = pump::run(shared, me, &link) => reason,
        reason = keeper::run(shared, me, heard) => reason,
        reason = push::run(shared, me) => reason,
        reason = keep_alive::run(&shared.timings, surroundings, &messages, &look) => reason,
        never = ephemerals::run(shared, me, &link, said) => match never {},
        () = stopped(&mut stop) => DisconnectReason::Requested,
    };
    // What is stored may be acked; then the last link is dropped, which closes the socket.
    let wanted = reason.clone();
    let goodbye = async move {
        match reason {
            DisconnectReason::Requested | DisconnectReason::Background => {
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
        ended = &mut driving => return match wanted {
            DisconnectReason::Unauthorized | DisconnectReason::Requested | DisconnectReason::Background => wanted,
            _ => ended,
        },
    };
    driving.await;
    reason
}
