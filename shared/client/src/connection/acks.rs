//! Acks: what is stored is deleted from the mailbox, by id, a few at a time.
//!
//! An ack that is lost does no harm: the envelope comes again at the next connection, is known, and is acked
//! again. What could not be acked on one connection is the first thing said on the next: so the mailbox gets
//! shorter even if every connection breaks after one page.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
use waxwing_wire::{EnvelopeId, limits::MAX_IDS_PER_ACK};

use super::{pause, retry_after};
use crate::{
    events::{AckProgress, DisconnectReason, Event, EventSink},
    shared::Shared,
    transport::{
        backoff::Backoff,
        requests::{Link, RequestError},
    },
};

/// This many acks do not wait for more: what a frame of its own and its reply cost is then a small part of what the
/// deletions cost.
const WORTH_A_FRAME: usize = 20;
const _: () = assert!(WORTH_A_FRAME <= MAX_IDS_PER_ACK);

/// Envelopes that are stored and not acked yet. It outlives connections.
#[derive(Debug, Default)]
pub(super) struct AckQueue {
    ids: Mutex<Ids>,
    grew: Notify,
    /// Told when an ack that was under way is done or failed.
    ended: Notify,
}

#[derive(Debug, Default)]
struct Ids {
    waiting: BTreeSet<EnvelopeId>,
    under_way: BTreeSet<EnvelopeId>,
}

impl AckQueue {
    /// Adds envelopes whose transaction is committed.
    pub(super) fn extend(&self, ids: impl IntoIterator<Item = EnvelopeId>) {
        self.lock().waiting.extend(ids);
        self.grew.notify_one();
    }

    /// Takes out the oldest ids, as many as one ack takes. `None` if there are none.
    fn take(&self) -> Option<Batch<'_>> {
        let mut queue = self.lock();
        let ids: Vec<_> = queue.waiting.iter().take(MAX_IDS_PER_ACK).copied().collect();
        queue.waiting.retain(|id| ids.binary_search(id).is_err());
        queue.under_way.extend(&ids);
        drop(queue);
        (!ids.is_empty()).then_some(Batch { queue: self, ids })
    }

    /// What became of the ack of an envelope that was stored.
    pub(super) fn progress(&self, id: &EnvelopeId) -> AckProgress {
        let queue = self.lock();
        if queue.waiting.contains(id) {
            AckProgress::Waiting
        } else if queue.under_way.contains(id) {
            AckProgress::UnderWay
        } else {
            AckProgress::Answered
        }
    }

    /// Waits until no ack is under way.
    pub(super) async fn none_under_way(&self) {
        while !self.lock().under_way.is_empty() {
            self.ended.notified().await;
        }
    }

    fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ids whose ack is under way. Unless it is done they go back into the queue when this is dropped.
///
/// They are not in the queue meanwhile: an envelope that a repeated `send` puts into the mailbox once more, behind
/// the ack under way, comes once more and is to be acked once more.
struct Batch<'a> {
    queue: &'a AckQueue,
    ids: Vec<EnvelopeId>,
}

impl Batch<'_> {
    /// The ack was answered. Returns how many it was.
    fn done(mut self) -> usize {
        let ids = std::mem::take(&mut self.ids);
        self.end(&ids);
        ids.len()
    }

    fn end(&self, ids: &[EnvelopeId]) {
        let mut queue = self.queue.lock();
        queue.under_way.retain(|id| ids.binary_search(id).is_err());
        drop(queue);
        self.queue.ended.notify_one();
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let ids = std::mem::take(&mut self.ids);
        if !ids.is_empty() {
            self.end(&ids);
            self.queue.lock().waiting.extend(ids);
        }
    }
}

/// Acks what comes into the queue, until the connection is of no use any more.
pub(super) async fn run(shared: &Shared, link: &Link, queue: &AckQueue) -> DisconnectReason {
    let mut backoff = Backoff::of_requests(&shared.timings);
    loop {
        if queue.len() == 0 {
            queue.grew.notified().await;
            // More may follow, and an ack of many costs as little as an ack of one.
            let full = async {
                while queue.len() < WORTH_A_FRAME {
                    queue.grew.notified().await;
                }
            };
            let _full_or_due = tokio::time::timeout(shared.timings.ack_linger, full).await;
        }
        while let Err(error) = flush(&shared.events, link, queue).await {
            match error {
                RequestError::Closed => return DisconnectReason::Broken,
                RequestError::TimedOut => return DisconnectReason::TimedOut,
                RequestError::Refused(problem) if !problem.retryable => {
                    tracing::warn!(code = ?problem.code, "the service refused an ack");
                    // They come again at the next connection.
                    queue.take().map(Batch::done);
                }
                RequestError::Refused(problem) => pause(&mut backoff, retry_after(&problem)).await,
                _ => pause(&mut backoff, Duration::ZERO).await,
            }
        }
        backoff.reset();
    }
}

/// Acks all that is in the queue.
pub(super) async fn flush(events: &EventSink, link: &Link, queue: &AckQueue) -> Result<(), RequestError> {
    while let Some(batch) = queue.take() {
        link.ack(batch.ids.clone()).await?;
        events.tell(Event::Acked { count: batch.done() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;
    use waxwing_wire::{ClientFrame, MessageId, ServiceFrame, ack::AckRequest, ack::Acked};

    use super::*;
    use crate::{
        testing::{NOW, Party, account},
        transport::requests::Replies,
    };

    /// A link, what it sends, and where its replies go.
    fn link() -> (Link, mpsc::Receiver<String>, Replies) {
        let (outgoing, frames) = mpsc::channel(4);
        let replies = Replies::default();
        (
            Link::new(outgoing, replies.clone(), Duration::from_secs(15)),
            frames,
            replies,
        )
    }

    fn ids(count: u64) -> Vec<EnvelopeId> {
        let from = Party::new(account(1), 1, 11).address();
        let id = |millis| MessageId::new(NOW + millis, &mut crate::clock::rng());
        (0..count)
            .map(|millis| EnvelopeId {
                message: id(millis),
                from,
            })
            .collect()
    }

    async fn next(frames: &mut mpsc::Receiver<String>) -> AckRequest {
        match ClientFrame::parse(&frames.recv().await.unwrap()).unwrap() {
            ClientFrame::Ack(ack) => ack,
            other => panic!("{other:?}"),
        }
    }

    /// A repeated `send` puts the envelope once more after the first ack deleted it.
    #[tokio::test]
    async fn an_envelope_that_comes_again_while_its_ack_is_under_way_is_acked_again() {
        let (link, mut frames, replies) = link();
        let (queue, events, ids) = (AckQueue::default(), EventSink::default(), ids(2));
        queue.extend(ids.clone());
        let service = async {
            let first = next(&mut frames).await;
            assert_eq!(first.ids, ids);
            queue.extend([ids[1]]);
            replies.take(ServiceFrame::Acked(Acked {
                request: first.request,
            }));
            let second = next(&mut frames).await;
            assert_eq!(second.ids, [ids[1]]);
            replies.take(ServiceFrame::Acked(Acked {
                request: second.request,
            }));
        };
        let (flushed, ()) = tokio::join!(flush(&events, &link, &queue), service);
        assert_eq!(flushed, Ok(()));
        assert_eq!(queue.len(), 0);
    }

    #[tokio::test]
    async fn what_was_not_acked_when_the_connection_ended_stays_in_the_queue() {
        let (link, mut frames, replies) = link();
        let (queue, events) = (AckQueue::default(), EventSink::default());
        queue.extend(ids(3));
        let service = async {
            next(&mut frames).await;
            replies.close();
        };
        let (flushed, ()) = tokio::join!(flush(&events, &link, &queue), service);
        assert_eq!(flushed, Err(RequestError::Closed));
        assert_eq!(queue.len(), 3);
    }

    #[tokio::test]
    async fn no_ack_names_more_than_one_may() {
        let (link, mut frames, replies) = link();
        let (queue, events) = (AckQueue::default(), EventSink::default());
        let all = ids(MAX_IDS_PER_ACK as u64 + 1);
        queue.extend(all.clone());
        let service = async {
            for expected in all.chunks(MAX_IDS_PER_ACK) {
                let ack = next(&mut frames).await;
                assert_eq!(ack.ids, expected);
                replies.take(ServiceFrame::Acked(Acked { request: ack.request }));
            }
        };
        let (flushed, ()) = tokio::join!(flush(&events, &link, &queue), service);
        assert_eq!(flushed, Ok(()));
    }
}
