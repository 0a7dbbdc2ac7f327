//! The connection: opened, kept, opened again.
//!
//! One task a client. While connected it runs eight things side by side, none of which ever blocks another ([`serve`]):
//! the socket itself, [`drain`] (mailbox → store), [`acks`] (store → *acked*), [`pump`] (outbox →
//! *accepted*), [`keeper`] (own devices and prekeys), [`push`] (where this device is woken),
//! [`ephemerals`] (typing and presence) and [`keep_alive`]. When one ends,
//! all end, and the task waits ([`patience`]) and begins anew; everything that matters is in the store, so they may be dropped at any point.
//! [`life`]: how a socket is replaced by the next one before it ends. [`surroundings`]: what the app says of the screen and the
//! network.

mod acks;
mod drain;
mod ephemerals;
mod keep_alive;
pub(crate) mod keeper;
mod learn;
mod life;
mod pace;
mod patience;
mod pump;
mod serve;
mod surroundings;

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::Instant,
};

use crate::{
    clock,
    events::{DisconnectReason, Event},
    shared::Shared,
};
use acks::AckQueue;
use patience::{Patience, Refusals, pause, retry_after};
use serve::Lasting;
use surroundings::Surroundings;

/// The connection of a client: runs or not. Dropping it ends it at once.
#[derive(Debug)]
pub(crate) struct ConnectionTask {
    shared: Arc<Shared>,
    surroundings: Arc<Surroundings>,
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
            surroundings: Arc::default(),
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
                let lasting = Lasting {
                    unacked: AckQueue::default(),
                    surroundings: self.surroundings.clone(),
                    stop: stopped,
                };
                let task = run(self.shared.clone(), lasting, retry_now.clone());
                *running = Some(Running {
                    stop,
                    retry_now,
                    task: self.shared.runtime.spawn(task),
                });
            }
        }
    }

    /// The app is on the screen or not.
    pub(crate) fn set_foreground(&self, in_foreground: bool) {
        self.surroundings.set_foreground(in_foreground);
    }

    /// The device is on another network.
    pub(crate) fn network_changed(&self) {
        self.surroundings.network_changed();
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

async fn run(shared: Arc<Shared>, lasting: Lasting, retry_now: Arc<Notify>) {
    let mut patience = Patience::new(&shared.timings);
    let mut refusals = Refusals::default();
    let mut asked = Instant::now();
    loop {
        let begun = Instant::now();
        let reason = attempt(&shared, &lasting).await;
        let retry_in = patience.wait_after(&reason, begun.elapsed(), &mut clock::rng());
        tracing::debug!(%reason, ?retry_in, "disconnected");
        let ended = reason == DisconnectReason::Requested;
        if refusals.are_to_be_told(&reason)
            && let Err(error) = keeper::refused_repeatedly(&shared).await
        {
            tracing::warn!(%error, "the refusals could not be noted");
        }
        let told = Event::Disconnected {
            reason: reason.clone(),
            retry_in,
        };
        shared.events.tell(told);
        if ended {
            return;
        }
        let surroundings = &lasting.surroundings;
        let wait = async {
            match retry_in {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
            // Behind the screen the app has a moment for what it asks for.
            if asked.elapsed() >= shared.timings.background_linger {
                surroundings.until_in_foreground().await;
            }
        };
        let mut stop = lasting.stop.clone();
        tokio::select! {
            () = wait => {}
            () = surroundings.until_better_after(&reason) => patience = Patience::new(&shared.timings),
            () = retry_now.notified() => {
                patience = Patience::new(&shared.timings);
                asked = Instant::now();
            }
            () = stopped(&mut stop) => return,
        }
    }
}

/// Opens a connection and keeps it until it ends.
async fn attempt(shared: &Shared, lasting: &Lasting) -> DisconnectReason {
    let Some(me) = shared.me() else {
        return match shared.is_removed() {
            true => DisconnectReason::Removed,
            false => DisconnectReason::NotRegistered,
        };
    };
    let mut socket = match life::open(shared, &me, lasting).await {
        Ok(socket) => socket,
        Err(reason) => return reason,
    };
    shared.events.tell(Event::Connected);
    shared.ephemerals.connected();
    let removal = OnceLock::new();
    let reason = loop {
        match life::live(shared, &me, socket, lasting, &removal).await {
            life::End::Renewed(next) if removal.get().is_none() => {
                shared.events.tell(Event::Renewed);
                socket = *next;
            }
            life::End::Renewed(_) => break DisconnectReason::Unauthorized,
            life::End::Ended(reason) => break reason,
        }
    };
    let ended = shared.ephemerals.ended().into_iter();
    ended.for_each(|event| shared.events.tell(event));
    match removal.into_inner() {
        Some(removal) => keeper::removed(shared, &me, removal).await,
        None => reason,
    }
}

/// Waits until the app wants it to end, or nobody is left who could want anything.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _sender_gone = stop.wait_for(|stop| *stop).await;
}
