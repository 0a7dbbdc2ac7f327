//! Readers of events, and who tells them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::Transaction;
use tokio::sync::mpsc;

use super::{Effects, Event};
use crate::store::{Store, StoreError, timeline};

/// A reader of events. See the [module's documentation](super) for what is promised.
#[derive(Debug)]
pub struct Events {
    store: Store,
    notices: mpsc::UnboundedReceiver<Notice>,
    /// Kept events that were read from the store and not handed out yet.
    buffer: VecDeque<(u64, Event)>,
    /// The last position read from the store.
    read: u64,
    /// Kept events up to here are in the store.
    until: u64,
    /// The position handed out last.
    position: u64,
    /// Whether `position` is still to be written as shown.
    unconfirmed: bool,
    confirms: bool,
}

/// Kept events read from the store at a time: few enough to be quick, enough to be cheap.
const EVENTS_PER_READ: usize = 64;

/// Wait before a store that failed is read again.
const READ_AGAIN: Duration = Duration::from_secs(1);

impl Events {
    /// The next event, and with it the word that the one before was handled. `None` once the client is
    /// closed. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.confirm().await;
        loop {
            if let Some((position, event)) = self.buffer.pop_front() {
                self.position = position;
                self.unconfirmed = self.confirms;
                return Some(event);
            }
            if self.read < self.until {
                self.read_on().await?;
                continue;
            }
            match self.notices.recv().await? {
                Notice::Passing(event) => return Some(event),
                Notice::Kept(position) => self.until = self.until.max(position),
            }
        }
    }

    /// The position in the timeline of the last kept event that [`next`](Self::next) gave. It rises with
    /// each and never changes for one.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Says that the last event was handled without asking for another, for instance before closing.
    pub async fn confirm(&mut self) {
        if !self.unconfirmed {
            return;
        }
        let position = self.position;
        let mark = move |store: &Store| store.write_lightly_now(|tx| timeline::mark_shown(tx, position));
        match self.store.run(mark).await.flatten() {
            Ok(()) => self.unconfirmed = false,
            // The event will come once more after a restart: late is better than never.
            Err(error) => tracing::warn!(%error, "the shown mark could not be stored"),
        }
    }

    /// Reads the next kept events from the store. `None` once it is closed.
    async fn read_on(&mut self) -> Option<()> {
        let (after, until) = (self.read, self.until);
        let read = move |tx: &Transaction<'_>| timeline::events_between(tx, after, until, EVENTS_PER_READ);
        let page = match self.store.read(read).await {
            Ok(page) => page,
            Err(StoreError::Closed) => return None,
            Err(error) => {
                tracing::error!(%error, "events could not be read from the store");
                tokio::time::sleep(READ_AGAIN).await;
                return Some(());
            }
        };
        self.read = match page.last() {
            Some((position, _)) if page.len() == EVENTS_PER_READ => *position,
            _ => until,
        };
        self.buffer.extend(page);
        Some(())
    }
}

/// What a reader is told.
#[derive(Clone, Debug)]
enum Notice {
    Passing(Event),
    /// The timeline has kept events up to this position.
    Kept(u64),
}

/// Tells all readers. Cheap to clone: all clones tell the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct EventSink {
    readers: Arc<Mutex<Vec<mpsc::UnboundedSender<Notice>>>>,
}

impl EventSink {
    /// Tells of a passing event.
    pub(crate) fn tell(&self, event: Event) {
        self.notify(&Notice::Passing(event));
    }

    /// Tells what a transaction did, after its commit.
    pub(crate) fn publish(&self, effects: Effects) {
        for event in effects.events {
            self.tell(event);
        }
        if let Some(position) = effects.grew {
            self.notify(&Notice::Kept(position));
        }
    }

    /// Ends all readers once they have read what was told.
    pub(crate) fn close(&self) {
        self.readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// A reader that starts at the store's shown mark and moves it.
    pub(crate) async fn reader(&self, store: &Store) -> Result<Events, StoreError> {
        let notices = self.subscribe();
        let (shown, newest) = store
            .read(|tx| Ok((timeline::shown(tx)?, timeline::newest(tx)?)))
            .await?;
        Ok(Events::new(store.clone(), notices, shown, newest, true))
    }

    /// A reader that starts now and leaves the mark alone.
    pub(crate) async fn observer(&self, store: &Store) -> Result<Events, StoreError> {
        let notices = self.subscribe();
        let newest = store.read(timeline::newest).await?;
        Ok(Events::new(store.clone(), notices, newest, newest, false))
    }

    fn subscribe(&self) -> mpsc::UnboundedReceiver<Notice> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.readers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(sender);
        receiver
    }

    fn notify(&self, notice: &Notice) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|reader| reader.send(notice.clone()).is_ok());
    }
}

impl Events {
    fn new(
        store: Store,
        notices: mpsc::UnboundedReceiver<Notice>,
        after: u64,
        until: u64,
        confirms: bool,
    ) -> Self {
        Self {
            store,
            notices,
            buffer: VecDeque::new(),
            read: after,
            until,
            position: after,
            unconfirmed: false,
            confirms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Party, account};

    /// Bob, to whom `count` messages came, and what readers are told of it.
    fn bob_with(count: usize) -> (Party, EventSink) {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::on_disk(account(2), 1, 12);
        alice.meet(&mut bob);
        for number in 1..=count {
            if number % 50 == 0 {
                // One who writes on without an answer resets the session.
                alice = Party::new(account(1), 1, 11 + number as u64);
                alice.meet(&mut bob);
            }
            bob.receive_all(&alice.send(bob.account(), &number.to_string()));
        }
        (bob, EventSink::default())
    }

    async fn text(events: &mut Events) -> String {
        // Generous: reached only when an event that must come does not.
        let next = tokio::time::timeout(Duration::from_secs(10), events.next());
        match next.await.unwrap() {
            Some(Event::Message(message)) => message.text,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_message_committed_before_a_crash_is_told_after_it() {
        let (mut bob, sink) = bob_with(2);
        let mut events = sink.reader(&bob.store).await.unwrap();
        assert_eq!(text(&mut events).await, "1");
        assert_eq!(text(&mut events).await, "2");
        // It ends while "2" is being handled: "1" was confirmed by asking for it.
        drop(events);
        bob.reopen();
        let mut events = sink.reader(&bob.store).await.unwrap();
        assert_eq!(text(&mut events).await, "2");
        events.confirm().await;
        bob.reopen();
        let mut events = sink.reader(&bob.store).await.unwrap();
        sink.tell(Event::Connected);
        assert_eq!(events.next().await, Some(Event::Connected));
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_everything_in_order() {
        let count = EVENTS_PER_READ * 2 + 3;
        let (bob, sink) = bob_with(count);
        let mut events = sink.reader(&bob.store).await.unwrap();
        let newest = bob.store.read_now(timeline::newest).unwrap();
        for position in [3, newest, 1] {
            sink.tell(Event::Acked { count: 1 });
            sink.publish(Effects {
                events: Vec::new(),
                grew: Some(position),
                ..Effects::default()
            });
        }
        sink.close();
        let mut told = Vec::new();
        while let Some(event) = events.next().await {
            told.push(event);
        }
        let texts: Vec<_> = told
            .iter()
            .filter_map(|event| match event {
                Event::Message(message) => Some(message.text.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(
            texts,
            (1..=count).map(|number| number.to_string()).collect::<Vec<_>>()
        );
        assert_eq!(told.len(), count + 3);
    }

    #[tokio::test]
    async fn one_who_watches_takes_nothing_from_the_reader() {
        let (bob, sink) = bob_with(1);
        let mut observer = sink.observer(&bob.store).await.unwrap();
        sink.tell(Event::Connected);
        assert_eq!(observer.next().await, Some(Event::Connected));
        drop(observer);
        let mut events = sink.reader(&bob.store).await.unwrap();
        assert_eq!(text(&mut events).await, "1");
    }

    #[test]
    fn x86_a_message_does_not_print_its_text() {
        let (bob, _) = bob_with(0);
        let mut alice = Party::new(account(1), 1, 13);
        let mut bob = bob;
        alice.meet(&mut bob);
        bob.receive_all(&alice.send(bob.account(), "for your eyes only"));
        let printed = format!("{:?}", bob.told());
        assert!(!printed.contains("eyes"), "{printed}");
    }
}
