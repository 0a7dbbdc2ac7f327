//! What a client tells its app.
//!
//! # How an app reads
//! ```no_run
//! # async fn run(client: waxwing_client::Client) -> Result<(), waxwing_client::StoreError> {
//! let mut events = client.events().await?;
//! while let Some(event) = events.next().await {
//!     // show it
//! }
//! # Ok(()) }
//! ```
//! There are two kinds of event.
//! - **Kept**: [`Message`](Event::Message), [`Gap`](Event::Gap), [`Failed`](Event::Failed),
//!   [`Undecryptable`](Event::Undecryptable), [`IdentityChanged`](Event::IdentityChanged). Each is a row of
//!   the store's timeline, written by the same transaction as what it tells of. Asking for the next event
//!   says that the one before was handled: only then does the store's *shown* mark move past it. After a
//!   crash the reader goes on at the mark, so nothing is lost between commit and screen. Only what was being
//!   handled at the moment of the crash comes again; an app that must rule even that out keeps
//!   [`Events::position`] together with what it writes, and drops what is not above it.
//! - **Passing**: all others. They tell what is going on now and are gone with the process.
//!
//! No event is lost for a slow reader: kept ones wait in the store, passing ones in an unbounded queue of
//! small values, and the order between the two is kept.

use std::{
    collections::VecDeque,
    ops::RangeInclusive,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use waxwing_wire::{AccountId, DeviceAddress, EnvelopeId, ErrorCode, MessageId};

use crate::{
    messages::StoredMessage,
    store::{Store, StoreError, timeline},
};

/// Something an app may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Kept. A message to show: each once, in order per sending device.
    Message(StoredMessage),
    /// Kept. Messages of a device that did not arrive within the wait; what follows them is shown now. One
    /// that arrives after all is shown then, marked [`late`](StoredMessage::late).
    Gap {
        /// The sending device.
        from: DeviceAddress,
        /// The channel's sequence numbers that are missing.
        missing: RangeInclusive<u64>,
    },
    /// Kept. A message of this device that will not be sent.
    Failed {
        /// The message.
        message: MessageId,
        /// Why.
        reason: FailureReason,
    },
    /// Kept. An envelope that could not be read. It was recorded without its content and acked, so that what
    /// follows it is not held up.
    Undecryptable {
        /// The envelope.
        envelope: EnvelopeId,
        /// Why.
        reason: UndecryptableReason,
    },
    /// Kept. A device that was known uses other long-term keys: it registered again, or somebody pretends to
    /// be it. Compare with the person before trusting it.
    IdentityChanged {
        /// The device.
        peer: DeviceAddress,
    },
    /// The connection is open.
    Connected,
    /// The connection is gone, or was not to be had.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
        /// When the next attempt begins; `None` after which only [`Client::connect`](crate::Client::connect)
        /// makes one.
        retry_in: Option<Duration>,
    },
    /// All that waited in the mailbox when the connection opened has been read.
    Drained {
        /// Envelopes read.
        count: u64,
    },
    /// A message of this device is in the mailboxes of all its recipients' devices.
    Accepted {
        /// The message.
        message: MessageId,
    },
    /// Envelopes were deleted from the own mailbox.
    Acked {
        /// How many.
        count: usize,
    },
    /// A session with another device was opened.
    Handshake {
        /// The other device.
        peer: DeviceAddress,
        /// Whether this device opened it.
        initiated: bool,
        /// Whether a one-time prekey took part. Without one the first messages have less forward secrecy.
        one_time_prekey: bool,
    },
    /// One-time prekeys of this device were published.
    PrekeysUploaded {
        /// How many.
        count: u32,
    },
    /// The devices of an account are others than this device knew.
    DevicesChanged {
        /// Whose.
        account: AccountId,
    },
}

/// Why a message will not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureReason {
    /// No such account.
    #[error("there is no such account; check the id")]
    UnknownAccount,
    /// What the service says are a recipient's keys does not verify.
    #[error("a recipient's keys do not verify; nothing was encrypted to them")]
    InvalidKeys,
    /// The message could not be encrypted.
    #[error("the message could not be encrypted; send it again")]
    Encryption,
    /// The service refused it for good.
    #[error("the service refused the message ({0:?})")]
    Refused(ErrorCode),
}

/// Why an envelope could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UndecryptableReason {
    /// The ciphertext does not have the shape of a message.
    #[error("the ciphertext is not a message")]
    Malformed,
    /// No session with the sender opens it; ask the sender to send it again.
    #[error("no session with the sender opens it")]
    NoSession,
    /// It was made for a prekey this device no longer has.
    #[error("it was made for a prekey this device no longer has")]
    PrekeyGone,
    /// It opens a session that was opened before.
    #[error("it repeats a handshake that was answered before")]
    Replayed,
    /// It did not authenticate.
    #[error("it did not authenticate")]
    NotAuthentic,
    /// It comes so late that its key was deleted.
    #[error("it comes so late that its key was deleted")]
    TooOld,
    /// It is further ahead of what was received than a session allows.
    #[error("it is too far ahead of what was received")]
    TooFarAhead,
    /// It was decrypted, but its content is not one this version reads.
    #[error("its content is of a kind this version does not read; update the app")]
    UnknownContent,
    /// It was decrypted, but the conversation it names is not one its sender may write to.
    #[error("it names a conversation its sender has no part in")]
    Misdirected,
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The app asked for it.
    #[error("disconnected by the app")]
    Requested,
    /// The device has no account yet.
    #[error("not registered; register or link the device first")]
    NotRegistered,
    /// The service could not be reached.
    #[error("the service could not be reached")]
    Unreachable,
    /// The service refused the token: the device was removed, or its clock is wrong by minutes.
    #[error("the service refused the token; check the clock, or register again if the device was removed")]
    Unauthorized,
    /// Another socket of this device took over.
    #[error("another connection of this device took over")]
    TakenOver,
    /// The service closed the connection with this code.
    #[error("closed by the service with code {0}")]
    Closed(u16),
    /// The connection broke.
    #[error("the connection broke")]
    Broken,
    /// The service did not answer in time.
    #[error("the service did not answer in time")]
    TimedOut,
    /// The store failed: nothing was acked that is not stored.
    #[error("the local store failed; free some disk space")]
    Store,
}

/// A reader of events. See the module's documentation for what is promised.
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

/// What a transaction did that readers are to be told once it is committed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    /// Passing events.
    pub(crate) events: Vec<Event>,
    /// The timeline has grown up to this position.
    pub(crate) grew: Option<u64>,
}

impl Effects {
    /// Adds a passing event.
    pub(crate) fn tell(&mut self, event: Event) {
        self.events.push(event);
    }

    /// The timeline has grown.
    pub(crate) fn grew(&mut self, position: u64) {
        self.grew = self.grew.max(Some(position));
    }

    /// Adds what another part of the transaction did.
    pub(crate) fn merge(&mut self, other: Self) {
        self.events.extend(other.events);
        self.grew = self.grew.max(other.grew);
    }
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
