//! A run in progress: sends through devices, hears what each of them tells, and waits for what is due.
//!
//! A message is *due* on a device when both its sender and that device are present: connected, as far as the
//! command that drives them knows. Only so many messages of a sender may be due and not shown yet, so that a
//! fast sender does not run away from slow readers. No wait lasts longer than [`PATIENCE`] in silence.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
};
use waxwing_client::{
    AccountId, AckProgress, DeviceAddress, DisconnectReason, Event, Events, MessageId, SendError, Way,
};

use crate::{
    ledger::{DeviceNumber, Ledger, Sent, Shown},
    people::{Device, PeopleError},
};

/// A wait ends in failure when no device told anything for this long. Twice the time after which a client
/// reports a gap, so that a gap is seen and not only suspected.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A wait that was in vain.
#[derive(Debug, thiserror::Error)]
#[error("nothing happened for {} s while waiting until {waiting_for}", PATIENCE.as_secs())]
pub struct Stalled {
    waiting_for: &'static str,
}

/// The run. Shared by those who send and those who listen.
pub struct Run {
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

/// What is known at one moment.
pub struct State {
    ledger: Ledger<MessageId>,
    /// In the order of their numbers.
    devices: Vec<Watched>,
    by_address: BTreeMap<DeviceAddress, DeviceNumber>,
}

/// One device of the run.
#[derive(Default)]
struct Watched {
    /// The devices that are to show what this one sends.
    to: Vec<DeviceNumber>,
    present: bool,
    sent: usize,
    accepted: usize,
    /// How many messages of each other device it has shown.
    shown_from: BTreeMap<DeviceNumber, usize>,
    told: Told,
    /// The position of the last kept event that was noted: what comes again after a crash is not above it.
    noted: u64,
    /// Who listens to it.
    listener: Option<JoinHandle<()>>,
    /// Told when something of this device was shown.
    room: Arc<Notify>,
}

/// What a device told about itself, besides messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Sessions it opened with a one-time prekey.
    pub handshakes_with_one_time_prekey: usize,
    /// Sessions it opened without.
    pub handshakes_without_one_time_prekey: usize,
    /// Times that it had read all that waited.
    pub drained: usize,
    /// Envelopes deleted from its mailbox.
    pub acked: usize,
    /// Times that its connection ended or was not to be had.
    pub disconnected: usize,
    /// Gaps it reported.
    pub gaps: usize,
    /// Envelopes it could not read.
    pub undecryptable: usize,
    /// Messages it gave up sending.
    pub failed: usize,
    /// Messages that came after it had reported them missing.
    pub recovered: usize,
    /// Envelopes that came although it had dealt with them.
    pub came_again: CameAgain,
    /// Times that its token was refused.
    pub refused: usize,
    /// Times that another connection of it took over.
    pub taken_over: usize,
}

/// Envelopes that came to a device although it had dealt with them: how they came, and what had become of their ack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CameAgain {
    /// All of them.
    pub all: usize,
    /// Posted to its connection, and the ack had not left: its sender repeated what it has no answer to, or a page was faster.
    pub delivered_before_ack: usize,
    /// Posted, and the ack was under way.
    pub delivered_during_ack: usize,
    /// Posted, and the ack was answered: its sender repeated it.
    pub delivered_after_ack: usize,
    /// In a page of its mailbox, and the ack had not left, or was refused.
    pub read_before_ack: usize,
    /// In a page, and the ack was under way.
    pub read_during_ack: usize,
    /// In a page, and the ack was answered: its sender repeated it.
    pub read_after_ack: usize,
}

impl CameAgain {
    fn count(&mut self, way: Way, ack: AckProgress) {
        self.all += 1;
        *match (way, ack) {
            (Way::Delivered, AckProgress::Waiting) => &mut self.delivered_before_ack,
            (Way::Delivered, AckProgress::UnderWay) => &mut self.delivered_during_ack,
            (Way::Delivered, AckProgress::Answered) => &mut self.delivered_after_ack,
            (Way::Read, AckProgress::Waiting) => &mut self.read_before_ack,
            (Way::Read, AckProgress::UnderWay) => &mut self.read_during_ack,
            (Way::Read, AckProgress::Answered) => &mut self.read_after_ack,
        } += 1;
    }
}

impl std::ops::Add for CameAgain {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            all: self.all + other.all,
            delivered_before_ack: self.delivered_before_ack + other.delivered_before_ack,
            delivered_during_ack: self.delivered_during_ack + other.delivered_during_ack,
            delivered_after_ack: self.delivered_after_ack + other.delivered_after_ack,
            read_before_ack: self.read_before_ack + other.read_before_ack,
            read_during_ack: self.read_during_ack + other.read_during_ack,
            read_after_ack: self.read_after_ack + other.read_after_ack,
        }
    }
}

impl Run {
    /// A run without devices.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                ledger: Ledger::new(),
                devices: Vec::new(),
                by_address: BTreeMap::new(),
            }),
            changed: watch::Sender::new(()),
        })
    }

    /// Adds a device and listens to it from now on. It is not present yet.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn add(self: &Arc<Self>, device: &Device) -> Result<DeviceNumber, PeopleError> {
        let events = device
            .client
            .events()
            .await
            .map_err(|error| PeopleError::Store(device.name.clone(), error))?;
        let mut state = self.lock();
        let number = state.ledger.add_device(device.name.clone());
        state.by_address.insert(device.address, number);
        state.devices.push(Watched::default());
        drop(state);
        self.listen_to(number, events);
        Ok(number)
    }

    /// Stops listening to a device, whose client is to be dropped now. What it was telling at this moment comes again.
    pub async fn leave(&self, number: DeviceNumber) {
        let listener = self
            .lock()
            .device_mut(number)
            .and_then(|watched| watched.listener.take());
        if let Some(listener) = listener {
            listener.abort();
            // It ended by being aborted, which is no news.
            let _ = listener.await;
        }
    }

    /// Listens again to a device that was opened anew on its files.
    ///
    /// # Errors
    /// [`PeopleError::Store`].
    pub async fn rejoin(self: &Arc<Self>, number: DeviceNumber, device: &Device) -> Result<(), PeopleError> {
        let events = device
            .client
            .events()
            .await
            .map_err(|error| PeopleError::Store(device.name.clone(), error))?;
        self.listen_to(number, events);
        Ok(())
    }

    fn listen_to(self: &Arc<Self>, number: DeviceNumber, events: Events) {
        let listener = tokio::spawn(Arc::clone(self).listen(number, events));
        if let Some(watched) = self.lock().device_mut(number) {
            watched.listener = Some(listener);
        }
    }

    /// Records that the service accepted a message, whoever tells: the event is gone with a client that was dropped,
    /// its store is not.
    pub fn accepted(&self, id: MessageId) {
        self.lock().ledger.accepted(id, Instant::now());
    }

    /// Says which devices are to show what `device` sends.
    pub fn route(&self, device: DeviceNumber, to: impl IntoIterator<Item = DeviceNumber>) {
        if let Some(watched) = self.lock().device_mut(device) {
            watched.to = to.into_iter().filter(|other| *other != device).collect();
        }
    }

    /// Says whether `device` is connected.
    pub fn set_present(&self, device: DeviceNumber, present: bool) {
        if let Some(watched) = self.lock().device_mut(device) {
            watched.present = present;
        }
    }

    /// Sends a text and records it. Calls for one device must not overlap, or its order is not known.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn send(
        &self,
        number: DeviceNumber,
        device: &Device,
        to: AccountId,
        text: &str,
    ) -> Result<(), SendError> {
        let at = Instant::now();
        let id = device.client.send_text(to, text).await?;
        let mut state = self.lock();
        let Some(sender) = state.device_mut(number) else {
            return Ok(());
        };
        sender.sent += 1;
        let (to, present) = (sender.to.clone(), sender.present);
        let is_measured = |device: &DeviceNumber| present && state.is_present(*device);
        let measured = to.iter().copied().filter(is_measured).collect();
        state.ledger.sent(Sent {
            id,
            from: number,
            text: text.to_owned(),
            at,
            to,
            measured,
        });
        Ok(())
    }

    /// Waits until fewer than `window` messages of `device` are due and not shown.
    ///
    /// # Errors
    /// [`Stalled`].
    pub async fn room_for(&self, device: DeviceNumber, window: usize) -> Result<(), Stalled> {
        let Some(room) = self.lock().device_mut(device).map(|watched| watched.room.clone()) else {
            return Ok(());
        };
        while self.lock().due_from(device) >= window {
            tokio::time::timeout(PATIENCE, room.notified())
                .await
                .map_err(|_| Stalled {
                    waiting_for: "messages that were sent are shown",
                })?;
        }
        Ok(())
    }

    /// Waits until every message that present devices sent is accepted, and shown on all devices that are
    /// present.
    ///
    /// # Errors
    /// [`Stalled`].
    pub async fn settled(&self) -> Result<(), Stalled> {
        self.until("everything sent is accepted and shown", State::is_settled)
            .await
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// [`Stalled`].
    pub async fn until(
        &self,
        waiting_for: &'static str,
        condition: impl Fn(&State) -> bool,
    ) -> Result<(), Stalled> {
        let mut changes = self.changed.subscribe();
        while !condition(&self.lock()) {
            tokio::time::timeout(PATIENCE, changes.changed())
                .await
                .map_err(|_| Stalled { waiting_for })?
                .map_err(|_| Stalled { waiting_for })?;
        }
        Ok(())
    }

    /// Looks at what is known now.
    pub fn look<T>(&self, at: impl FnOnce(&State) -> T) -> T {
        at(&self.lock())
    }

    async fn listen(self: Arc<Self>, device: DeviceNumber, mut events: Events) {
        while let Some(event) = events.next().await {
            let position = events.position();
            self.lock().note(device, event, position);
            self.changed.send_replace(());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counters only: a panic elsewhere leaves nothing half-done that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The ledger so far.
    pub fn ledger(&self) -> &Ledger<MessageId> {
        &self.ledger
    }

    /// Who has this address, if it is a device of this run.
    pub fn number_of(&self, address: DeviceAddress) -> Option<DeviceNumber> {
        self.by_address.get(&address).copied()
    }

    /// What `device` told so far.
    pub fn told(&self, device: DeviceNumber) -> Told {
        self.device(device)
            .map(|watched| watched.told)
            .unwrap_or_default()
    }

    /// What all devices told so far, added up.
    pub fn told_by_all(&self) -> Told {
        self.devices
            .iter()
            .fold(Told::default(), |sum, watched| sum + watched.told)
    }

    /// How many messages all devices together have shown, each counted once for each device.
    pub fn shown(&self) -> usize {
        self.devices
            .iter()
            .flat_map(|watched| watched.shown_from.values())
            .sum()
    }

    /// How many messages `device` has shown.
    pub fn shown_on(&self, device: DeviceNumber) -> usize {
        self.device(device)
            .map_or(0, |watched| watched.shown_from.values().sum())
    }

    /// How many messages were sent.
    pub fn sent(&self) -> usize {
        self.devices.iter().map(|watched| watched.sent).sum()
    }

    /// How many messages were accepted.
    pub fn accepted(&self) -> usize {
        self.devices.iter().map(|watched| watched.accepted).sum()
    }

    fn is_settled(&self) -> bool {
        let mut present = self
            .by_address
            .values()
            .filter(|number| self.is_present(**number));
        let all_accepted = |watched: &Watched| watched.accepted >= watched.sent;
        present.all(|number| self.device(*number).is_some_and(all_accepted) && self.due_from(*number) == 0)
    }

    /// The most messages of `number` that any one device is to have shown by now and has not.
    fn due_from(&self, number: DeviceNumber) -> usize {
        let Some(sender) = self.device(number).filter(|sender| sender.present) else {
            return 0;
        };
        let due_on = |device: &Watched| {
            let shown = device.shown_from.get(&number).copied().unwrap_or(0);
            sender.sent.saturating_sub(shown)
        };
        let receivers = sender.to.iter().filter_map(|device| self.device(*device));
        receivers
            .filter(|device| device.present)
            .map(due_on)
            .max()
            .unwrap_or(0)
    }

    fn note(&mut self, number: DeviceNumber, event: Event, position: u64) {
        let from = match &event {
            Event::Message(message) => self.number_of(message.from),
            _ => None,
        };
        let Some(watched) = self.devices.get_mut(number.index()) else {
            return;
        };
        if is_kept(&event) {
            if position <= watched.noted {
                return;
            }
            watched.noted = position;
        }
        let told = &mut watched.told;
        match event {
            Event::Message(_) if from == Some(number) => {}
            Event::Message(message) => {
                let shown = Shown {
                    id: message.id,
                    from,
                    text: message.text,
                    late: message.late,
                    at: Instant::now(),
                };
                let is_new = self.ledger.shown(number, shown);
                if let Some(from) = from.filter(|_| is_new) {
                    *watched.shown_from.entry(from).or_default() += 1;
                    if let Some(sender) = self.device(from) {
                        sender.room.notify_one();
                    }
                }
            }
            Event::Accepted { message } => {
                watched.accepted += usize::from(self.ledger.accepted(message, Instant::now()));
            }
            Event::Handshake {
                initiated: true,
                one_time_prekey: true,
                ..
            } => {
                told.handshakes_with_one_time_prekey += 1;
            }
            Event::Handshake { initiated: true, .. } => told.handshakes_without_one_time_prekey += 1,
            Event::Drained { .. } => told.drained += 1,
            Event::Acked { count } => told.acked += count,
            Event::Disconnected { reason, .. } => {
                told.disconnected += 1;
                told.refused += usize::from(reason == DisconnectReason::Unauthorized);
                told.taken_over += usize::from(reason == DisconnectReason::TakenOver);
            }
            Event::Recovered { .. } => told.recovered += 1,
            Event::CameAgain { way, ack, .. } => told.came_again.count(way, ack),
            Event::Gap { .. } => told.gaps += 1,
            Event::Undecryptable { .. } => told.undecryptable += 1,
            Event::Failed { .. } => told.failed += 1,
            _ => {}
        }
    }

    fn is_present(&self, device: DeviceNumber) -> bool {
        self.device(device).is_some_and(|watched| watched.present)
    }

    fn device(&self, number: DeviceNumber) -> Option<&Watched> {
        self.devices.get(number.index())
    }

    fn device_mut(&mut self, number: DeviceNumber) -> Option<&mut Watched> {
        self.devices.get_mut(number.index())
    }
}

/// Whether an event comes again if the client ends while it is handled.
fn is_kept(event: &Event) -> bool {
    matches!(
        event,
        Event::Message(_) | Event::Gap { .. } | Event::Failed { .. } | Event::Undecryptable { .. }
    )
}

impl Told {
    /// How much of it should not have been.
    pub fn faults(&self) -> usize {
        self.gaps + self.undecryptable + self.failed
    }
}

impl std::ops::Add for Told {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            handshakes_with_one_time_prekey: self.handshakes_with_one_time_prekey
                + other.handshakes_with_one_time_prekey,
            handshakes_without_one_time_prekey: self.handshakes_without_one_time_prekey
                + other.handshakes_without_one_time_prekey,
            drained: self.drained + other.drained,
            acked: self.acked + other.acked,
            disconnected: self.disconnected + other.disconnected,
            gaps: self.gaps + other.gaps,
            undecryptable: self.undecryptable + other.undecryptable,
            failed: self.failed + other.failed,
            recovered: self.recovered + other.recovered,
            came_again: self.came_again + other.came_again,
            refused: self.refused + other.refused,
            taken_over: self.taken_over + other.taken_over,
        }
    }
}
