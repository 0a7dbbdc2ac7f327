//! Acks: what is stored is deleted from the mailbox, by id, a few at a time.
//!
//! An ack that is lost does no harm: the envelope comes again at the next connection, is known, and is acked
//! again. What could not be acked on one connection is the first thing said on the next: so the mailbox gets
//! shorter even if every connection breaks after one page.

use std::{
    collections::BTreeSet,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use waxwing_wire::{EnvelopeId, limits::MAX_IDS_PER_ACK};

use super::pause;
use crate::{
    events::{DisconnectReason, Event},
    shared::Shared,
    transport::{
        backoff::Backoff,
        requests::{Link, RequestError},
    },
};

/// Envelopes that are stored and not acked yet. It outlives connections.
#[derive(Debug, Default)]
pub(super) struct AckQueue {
    ids: Mutex<BTreeSet<EnvelopeId>>,
    grew: Notify,
}

impl AckQueue {
    /// Adds envelopes whose transaction is committed.
    pub(super) fn extend(&self, ids: impl IntoIterator<Item = EnvelopeId>) {
        self.lock().extend(ids);
        self.grew.notify_one();
    }

    /// The oldest ids, as many as one ack takes. They stay until [`remove`](Self::remove).
    fn batch(&self) -> Vec<EnvelopeId> {
        self.lock().iter().take(MAX_IDS_PER_ACK).copied().collect()
    }

    /// Takes a batch out.
    fn remove(&self, batch: &[EnvelopeId]) {
        let mut ids = self.lock();
        for id in batch {
            ids.remove(id);
        }
    }

    fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeSet<EnvelopeId>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Acks what comes into the queue, until the connection is of no use any more.
pub(super) async fn run(shared: &Shared, link: &Link, queue: &AckQueue) -> DisconnectReason {
    let mut backoff = Backoff::new(shared.timings.backoff_first, shared.timings.backoff_longest);
    loop {
        if queue.len() == 0 {
            queue.grew.notified().await;
            // More may follow at once, and an ack of many costs as little as an ack of one.
            let full = async {
                while queue.len() < MAX_IDS_PER_ACK {
                    queue.grew.notified().await;
                }
            };
            let _full_or_due = tokio::time::timeout(shared.timings.ack_linger, full).await;
        }
        while let Err(error) = flush(shared, link, queue).await {
            match error {
                RequestError::Closed => return DisconnectReason::Broken,
                RequestError::TimedOut => return DisconnectReason::TimedOut,
                RequestError::Refused(problem) if !problem.retryable => {
                    tracing::warn!(code = ?problem.code, "the service refused an ack");
                    // They come again at the next connection.
                    queue.remove(&queue.batch());
                }
                _ => pause(&mut backoff, Duration::ZERO).await,
            }
        }
        backoff.reset();
    }
}

/// Acks all that is in the queue.
pub(super) async fn flush(shared: &Shared, link: &Link, queue: &AckQueue) -> Result<(), RequestError> {
    loop {
        let batch = queue.batch();
        if batch.is_empty() {
            return Ok(());
        }
        link.ack(batch.clone()).await?;
        queue.remove(&batch);
        shared.events.tell(Event::Acked { count: batch.len() });
    }
}
