//! The events for the app, one after another.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{error::ClientError, event::Event, runtime};

/// The events for the app, from the first kept one that it has not handled yet. Meant for one reader at a time.
///
/// An event is given again and again until `handled` says that it was handled. So nothing is lost when the app stops
/// waiting, is interrupted while it shows one, or crashes.
#[derive(Debug, uniffi::Object)]
pub struct Events {
    events: tokio::sync::Mutex<waxwing_client::Events>,
    given: Mutex<Option<Event>>,
    position: AtomicU64,
    shut_down: Arc<AtomicBool>,
}

impl Events {
    pub(crate) fn new(events: waxwing_client::Events, shut_down: Arc<AtomicBool>) -> Self {
        Self {
            position: AtomicU64::new(events.position()),
            events: tokio::sync::Mutex::new(events),
            given: Mutex::new(None),
            shut_down,
        }
    }

    fn given(&self) -> std::sync::MutexGuard<'_, Option<Event>> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait(&self) -> Option<Event> {
        let mut events = self.events.lock().await;
        while !self.shut_down.load(Ordering::Relaxed) {
            if let Some(event) = self.given().clone() {
                return Some(event);
            }
            let event = events.next().await?;
            self.position.store(events.position(), Ordering::Relaxed);
            *self.given() = Event::of(event);
        }
        None
    }

    async fn confirm(&self) {
        // Nobody holds the lock for long while an event is given: who waits for one has it already.
        if self.given().take().is_some() {
            self.events.lock().await.confirm().await;
        }
    }
}

#[uniffi::export]
impl Events {
    /// Waits for the next event, or gives the one that is not handled yet once more. Nothing once the client is shut down.
    /// Waiting may be cancelled at any time; nothing is lost by it.
    pub async fn next(self: Arc<Self>) -> Option<Event> {
        let next = runtime::run(async move { Ok::<_, ClientError>(self.wait().await) });
        next.await.ok().flatten()
    }

    /// Says that the event which `next` gave is handled. A kept one will not come again, also not after a crash.
    pub async fn handled(self: Arc<Self>) {
        let confirmed = runtime::run_to_the_end(async move {
            self.confirm().await;
            Ok::<_, ClientError>(())
        });
        // Without a thread to run on the event comes once more: late is better than never.
        let _ = confirmed.await;
    }

    /// The position of the last kept event that `next` gave. It rises with each and never changes for one: an app that
    /// keeps it together with what it writes knows what came before.
    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }
}
