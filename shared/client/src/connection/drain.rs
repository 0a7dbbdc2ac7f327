//! Mailbox → store → ack queue.
//!
//! On connect the mailbox is asked first and read page after page; what arrives meanwhile waits in the
//! queue of deliveries. Both ways give the same envelopes, and whichever comes second is known already. An
//! envelope goes into the ack queue only when its transaction is committed.
//!
//! A gap in a channel usually means that a post failed and the envelope lies in the mailbox: so the mailbox
//! is read again soon after a gap is noticed, and once more before it is reported. Before it is read, what is stored is acked, or all
//! of it would come again.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};
use waxwing_wire::{DeviceAddress, Envelope, EnvelopeId, receive::Page};

use super::{
    acks::{self, AckQueue},
    keeper, pause, retry_after,
};
use crate::{
    channel, clock,
    events::{DisconnectReason, Effects, Event, EventSink, Way},
    history,
    receive::{self, Received},
    sessions::Me,
    shared::Shared,
    store::{Store, StoreError},
    transport::{
        backoff::Backoff,
        requests::{Link, RequestError},
    },
};

/// How long after a gap is noticed the mailbox is read again: what was only overtaken has arrived by then.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Keeps the mailbox empty, until the connection is of no use any more.
pub(super) async fn run(
    shared: &Shared,
    me: &Arc<Me>,
    link: &Link,
    mut delivered: mpsc::Receiver<Vec<Envelope>>,
    look: &Notify,
    queue: &AckQueue,
) -> DisconnectReason {
    let mailbox = Mailbox {
        shared,
        me,
        link,
        queue,
    };
    match mailbox.keep_empty(&mut delivered, look).await {
        Ok(()) => DisconnectReason::Broken,
        Err(reason) => reason,
    }
}

struct Mailbox<'a> {
    shared: &'a Shared,
    me: &'a Arc<Me>,
    link: &'a Link,
    queue: &'a AckQueue,
}

/// What to do when nothing arrives.
enum Alarm {
    /// Read the mailbox again.
    Look,
    /// Read the mailbox again and report the gaps that remain.
    Report,
}

impl Mailbox<'_> {
    async fn keep_empty(
        &self,
        delivered: &mut mpsc::Receiver<Vec<Envelope>>,
        look: &Notify,
    ) -> Result<(), DisconnectReason> {
        let count = self.drain().await?;
        self.shared.events.tell(Event::Drained { count });
        let asking = self
            .shared
            .store
            .write(|tx| history::ask_on(tx, &mut clock::rng(), clock::now_millis()));
        if asking.await.map_err(failed)? {
            self.shared.outbox_grew.notify_one();
        }
        // The gap for which the mailbox was read again.
        let mut looked_for = None;
        loop {
            let gap = self
                .shared
                .store
                .read(channel::oldest_gap)
                .await
                .map_err(failed)?;
            let alarm = gap.map(|since| self.alarm(since, looked_for == gap));
            let ring = async {
                match alarm {
                    Some((wait, alarm)) => {
                        tokio::time::sleep(wait).await;
                        alarm
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                envelopes = delivered.recv() => match envelopes {
                    Some(envelopes) => self.store(envelopes, Way::Delivered).await?,
                    None => return Ok(()),
                },
                () = look.notified() => {
                    self.drain().await?;
                }
                alarm = ring => {
                    looked_for = gap;
                    self.drain().await?;
                    if let Alarm::Report = alarm {
                        self.report_gaps().await?;
                    }
                }
            }
        }
    }

    /// What a gap noticed at `since` asks for, and in how long.
    fn alarm(&self, since: u64, looked: bool) -> (Duration, Alarm) {
        let wait = self.shared.timings.gap_wait;
        let old = Duration::from_millis(clock::now_millis().saturating_sub(since));
        let rest = wait.saturating_sub(old);
        if looked || rest <= LOOK_AGAIN {
            (rest, Alarm::Report)
        } else {
            (LOOK_AGAIN, Alarm::Look)
        }
    }

    /// Reads the mailbox to its end. Returns how many envelopes it gave.
    async fn drain(&self) -> Result<u64, DisconnectReason> {
        let mut count = 0;
        let mut page = self.page(None).await?;
        loop {
            count += page.envelopes.len() as u64;
            let envelopes = std::mem::take(&mut page.envelopes);
            let Some(after) = page.more_after else {
                self.store(envelopes, Way::Read).await?;
                return Ok(count);
            };
            // The next page is on its way while this one is stored.
            let (stored, next) = tokio::join!(self.store(envelopes, Way::Read), self.page(Some(after)));
            stored?;
            page = next?;
        }
    }

    /// Asks for a page until it is there.
    async fn page(&self, after: Option<EnvelopeId>) -> Result<Page, DisconnectReason> {
        let mut backoff = Backoff::of_requests(&self.shared.timings);
        loop {
            let asked = match after {
                None => self.first_page().await,
                after => self.link.receive(after).await,
            };
            let error = match asked {
                Ok(page) => return Ok(page),
                Err(error) => error,
            };
            tracing::debug!(%error, "a page is asked for again");
            let at_least = match error {
                RequestError::Closed => return Err(DisconnectReason::Broken),
                RequestError::TimedOut => return Err(DisconnectReason::TimedOut),
                RequestError::Refused(problem) => retry_after(&problem),
                _ => Duration::ZERO,
            };
            pause(&mut backoff, at_least).await;
        }
    }

    /// Asks for the first page, once what is stored is acked: it would come again in it.
    async fn first_page(&self) -> Result<Page, RequestError> {
        match acks::flush(&self.shared.events, self.link, self.queue).await {
            // What is refused for good comes again.
            Err(RequestError::Refused(problem)) if !problem.retryable => {}
            flushed => flushed?,
        }
        self.queue.none_under_way().await;
        self.link.receive(None).await
    }

    /// Stores envelopes. When one says that it comes of a device of our own which is not on the own list, the list
    /// is fetched first.
    async fn store(&self, envelopes: Vec<Envelope>, way: Way) -> Result<(), DisconnectReason> {
        let mut rest: VecDeque<_> = envelopes.into();
        let mut own_list_is_new = false;
        while !rest.is_empty() {
            rest = self.store_some(rest, own_list_is_new, way).await?;
            own_list_is_new = !rest.is_empty();
            if own_list_is_new {
                keeper::refresh_own(self.shared, self.me).await?;
            }
        }
        Ok(())
    }

    /// Stores envelopes and queues those for their ack. Gives back the rest from the first on for which the own list is to
    /// be asked for. If the store fails the rest is left in the mailbox.
    async fn store_some(
        &self,
        envelopes: VecDeque<Envelope>,
        own_list_is_new: bool,
        way: Way,
    ) -> Result<VecDeque<Envelope>, DisconnectReason> {
        let (me, events) = (self.me.clone(), self.shared.events.clone());
        let storing = self
            .shared
            .store
            .run(move |store| store_in_groups(store, &events, &me, envelopes, own_list_is_new));
        let stored = storing.await.map_err(failed)?;
        for envelope in stored.again {
            let ack = self.queue.progress(&envelope);
            let told = Event::CameAgain { envelope, way, ack };
            self.shared.events.tell(told);
        }
        self.queue.extend(stored.ids);
        // Who wrote what was delivered is there at this moment.
        if let Way::Delivered = way {
            for (from, shown) in stored.from {
                let ended = self.shared.ephemerals.delivered(from, shown, Instant::now());
                ended.into_iter().for_each(|event| self.shared.events.tell(event));
            }
        }
        if stored.ask {
            self.shared.lists_are_stale.notify_one();
        }
        if stored.send {
            self.shared.outbox_grew.notify_one();
        }
        stored.rest.map_err(failed)
    }

    async fn report_gaps(&self) -> Result<(), DisconnectReason> {
        let wait = u64::try_from(self.shared.timings.gap_wait.as_millis()).unwrap_or(u64::MAX);
        let reported = self
            .shared
            .apply(move |tx| channel::skip_old_gaps(tx, wait, clock::now_millis()));
        reported.await.map_err(failed)
    }
}

/// Envelopes that share a transaction. Each dirties the same pages as the one before, which are encrypted and written
/// once for all of them, and the disk is waited for once; few enough that the first is shown at once.
const GROUP: usize = 16;

/// What became of envelopes.
struct Stored {
    /// Those that may be acked.
    ids: Vec<EnvelopeId>,
    /// Who sent each, and whether it showed something.
    from: Vec<(DeviceAddress, bool)>,
    /// Those that were dealt with before.
    again: Vec<EnvelopeId>,
    ask: bool,
    send: bool,
    /// The others.
    rest: Result<VecDeque<Envelope>, StoreError>,
}

/// Stores envelopes, some to a transaction. Where that fails they are tried one by one, so that one which the store does
/// not take stands in the way of none before it.
fn store_in_groups(
    store: &Store,
    events: &EventSink,
    me: &Me,
    mut envelopes: VecDeque<Envelope>,
    own_list_is_new: bool,
) -> Stored {
    let (mut ids, mut ask, mut send) = (Vec::with_capacity(envelopes.len()), false, false);
    let mut from = Vec::with_capacity(envelopes.len());
    let mut again = Vec::new();
    let rest = loop {
        let size = envelopes.len().min(GROUP);
        let group = envelopes.iter().take(size);
        let dealt = match store_together(store, me, group, own_list_is_new) {
            Err(_) if size > 1 => {
                let first = envelopes.iter().take(1);
                store_together(store, me, first, own_list_is_new).map(|(dealt, effects)| (dealt, 1, effects))
            }
            dealt => dealt.map(|(dealt, effects)| (dealt, size, effects)),
        };
        let (dealt, tried, effects) = match dealt {
            Ok(dealt) => dealt,
            Err(error) => break Err(error),
        };
        ask |= effects.ask;
        send |= effects.send;
        events.publish(effects);
        let count = dealt.from.len();
        from.extend(dealt.from);
        again.extend(dealt.again);
        ids.extend(envelopes.drain(..count).map(|envelope| envelope.id));
        if count < tried || envelopes.is_empty() {
            break Ok(envelopes);
        }
    };
    Stored {
        ids,
        from,
        again,
        ask,
        send,
        rest,
    }
}

/// Envelopes that one transaction dealt with.
#[derive(Default)]
struct Dealt {
    /// Who sent each, and whether it showed something.
    from: Vec<(DeviceAddress, bool)>,
    /// Those of them that were dealt with before.
    again: Vec<EnvelopeId>,
}

/// Stores envelopes by one transaction, up to the first for which the own list is to be asked for.
fn store_together<'a>(
    store: &Store,
    me: &Me,
    envelopes: impl Iterator<Item = &'a Envelope>,
    own_list_is_new: bool,
) -> Result<(Dealt, Effects), StoreError> {
    store.write_now(|tx| {
        let (mut dealt, mut effects) = (Dealt::default(), Effects::default());
        for envelope in envelopes {
            let now = clock::now_millis();
            match receive::envelope(tx, &mut clock::rng(), me, envelope, own_list_is_new, now)? {
                Received::Dealt(more) => {
                    dealt.from.push((envelope.id.from, more.grew.is_some()));
                    effects.merge(more);
                }
                Received::CameAgain => {
                    dealt.from.push((envelope.id.from, false));
                    dealt.again.push(envelope.id);
                }
                Received::AskForOwnList => break,
            }
        }
        Ok((dealt, effects))
    })
}

/// A store that fails may work again later; until then nothing is acked.
pub(super) fn failed(error: StoreError) -> DisconnectReason {
    tracing::error!(%error, "the store failed");
    DisconnectReason::Store
}

#[cfg(test)]
mod tests {
    use waxwing_wire::{ClientFrame, ServiceFrame, ack::Acked};

    use super::*;
    use crate::{
        config::StoreLocation,
        events::AckProgress,
        testing::{Party, account, without_service},
        transport::requests::Replies,
    };

    #[tokio::test]
    async fn what_is_stored_is_acked_before_the_mailbox_is_read_in_which_it_would_come_again() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        let id = alice.send(bob.account(), "stored")[0].envelope.id;
        let shared = Shared::open(without_service(StoreLocation::Memory))
            .await
            .unwrap();
        let (outgoing, mut frames) = mpsc::channel(4);
        let replies = Replies::default();
        let link = Link::new(outgoing, replies.clone(), shared.timings.request_timeout);
        let queue = AckQueue::default();
        queue.extend([id]);
        let mailbox = Mailbox {
            shared: &shared,
            me: &bob.me,
            link: &link,
            queue: &queue,
        };
        let service = async {
            let Ok(ClientFrame::Ack(ack)) = ClientFrame::parse(&frames.recv().await.unwrap()) else {
                panic!("no ack")
            };
            assert_eq!(queue.progress(&id), AckProgress::UnderWay);
            assert!(frames.try_recv().is_err(), "not read yet");
            replies.take(ServiceFrame::Acked(Acked { request: ack.request }));
            let Ok(ClientFrame::Receive(receive)) = ClientFrame::parse(&frames.recv().await.unwrap()) else {
                panic!("not read")
            };
            assert_eq!(queue.progress(&id), AckProgress::Answered);
            replies.take(ServiceFrame::Page(Page {
                request: receive.request,
                envelopes: Vec::new(),
                more_after: None,
            }));
        };
        let (page, ()) = tokio::join!(mailbox.page(None), service);
        assert!(page.is_ok());
    }

    /// I13: as before there were groups.
    #[test]
    fn an_envelope_that_the_store_does_not_take_stands_in_the_way_of_none_before_it() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        let count = GROUP + 3;
        let sent: Vec<_> = (0..count)
            .flat_map(|number| alice.send(bob.account(), &number.to_string()))
            .map(|carried| carried.envelope)
            .collect();
        let refused = GROUP + 1;
        bob.write(|tx, _| {
            let trigger = format!(
                "CREATE TRIGGER refusal BEFORE INSERT ON messages WHEN NEW.body = '{refused}'
                 BEGIN SELECT RAISE(ABORT, 'refused'); END"
            );
            Ok(tx.execute_batch(&trigger)?)
        });
        let store = |bob: &Party, envelopes: Vec<Envelope>| {
            store_in_groups(
                &bob.store,
                &EventSink::default(),
                &bob.me,
                envelopes.into(),
                false,
            )
        };
        let stored = store(&bob, sent.clone());
        assert!(stored.rest.is_err());
        assert_eq!(stored.ids.len(), refused);
        assert_eq!(bob.texts().len(), refused);

        bob.write(|tx, _| Ok(tx.execute_batch("DROP TRIGGER refusal")?));
        let stored = store(&bob, sent);
        assert!(stored.rest.is_ok_and(|rest| rest.is_empty()));
        assert_eq!(stored.ids.len(), count);
        let expected: Vec<_> = (0..count).map(|number| number.to_string()).collect();
        assert_eq!(bob.texts(), expected);
    }
}
