//! Ephemeral messages: sealed for another account's devices, opened, and what follows from them.
//!
//! None of them touches the outbox, a ratchet or the store's rows; nothing here can make a message wait or fail. They come
//! from contacts alone, and only of devices on the signed list of their account.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rand::CryptoRng;
use rusqlite::Transaction;
use tokio::{sync::Notify, time::Instant};
use waxwing_protocol::ephemeral::{Ephemeral, EphemeralBody, LEASE_MILLIS, MAX_AGE_MILLIS, SEALED_BYTES};
use waxwing_wire::{
    AccountId, DeviceAddress, SealedEphemeral,
    ephemeral::{EphemeralDevice, EphemeralRequest},
};

use crate::{
    events::Event,
    presence::{Change, Presence},
    sessions::Me,
    store::{
        StoreError, directory,
        lists::{self, Knowledge},
        sessions, settings,
    },
    typing,
};

const _: () = assert!(SEALED_BYTES == SealedEphemeral::BYTES);
const _: () = assert!(MAX_AGE_MILLIS < LEASE_MILLIS);

/// What waits to be said. What comes on top is dropped: it will be said again, or is not worth it.
const MAX_WAITING: usize = 32;

/// Devices whose latest ephemeral message is remembered. Contacts alone are heard.
const MAX_HEARD: usize = 1024;

/// Something to be said to devices of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Say {
    pub(crate) to: To,
    pub(crate) body: EphemeralBody,
}

/// To whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// All its devices.
    Account(AccountId),
    Device(DeviceAddress),
}

impl To {
    fn account(self) -> AccountId {
        match self {
            Self::Account(account) => account,
            Self::Device(device) => device.account,
        }
    }

    fn covers(self, device: DeviceAddress) -> bool {
        match self {
            Self::Account(account) => device.account == account,
            Self::Device(only) => device == only,
        }
    }
}

/// Seals something for those devices of a contact with which there is a session. `None`: there is nobody to say it to.
/// `at_millis` is the time by the service's clock.
pub(crate) fn seal(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    say: Say,
    at_millis: u64,
) -> Result<Option<EphemeralRequest>, StoreError> {
    let account = say.to.account();
    if !is_heard(tx, me, account, at_millis)? {
        return Ok(None);
    }
    let message = Ephemeral {
        conversation: account.to_bytes(),
        sent_at_millis: at_millis,
        body: say.body,
    };
    let mut devices = Vec::new();
    for known in directory::devices(tx, account)? {
        let device = known.device;
        if !say.to.covers(DeviceAddress { account, device }) {
            continue;
        }
        let session = sessions::current(tx, known.peer)?;
        if let Some(sealed) = session.and_then(|stored| stored.session.seal_ephemeral(rng, &message)) {
            devices.push(EphemeralDevice {
                device,
                registration: known.registration,
                sealed: SealedEphemeral::new(sealed),
            });
        }
    }
    Ok((!devices.is_empty()).then_some(EphemeralRequest { account, devices }))
}

/// Opens what a device sealed, if it is a contact's, on the list of its account, and for us.
pub(crate) fn open(
    tx: &Transaction<'_>,
    me: &Me,
    from: DeviceAddress,
    sealed: &SealedEphemeral,
    now_millis: u64,
) -> Result<Option<Ephemeral>, StoreError> {
    let Some(listed) = directory::device(tx, from)? else {
        return Ok(None);
    };
    if !is_heard(tx, me, from.account, now_millis)? {
        return Ok(None);
    }
    let sessions = sessions::of_device(tx, from)?.into_iter();
    let opened = sessions
        .filter(|stored| stored.peer == listed.peer)
        .find_map(|stored| stored.session.open_ephemeral(sealed.as_bytes()).ok());
    Ok(opened.filter(|message| message.conversation == me.address().account.to_bytes()))
}

/// Whether anything for now alone is said to an account, or believed of it: it is somebody else's, somebody here wrote
/// to it, and its key is the one that is trusted.
fn is_heard(tx: &Transaction<'_>, me: &Me, account: AccountId, now_millis: u64) -> Result<bool, StoreError> {
    Ok(account != me.address().account
        && settings::is_contact(tx, account)?
        && lists::knowledge(tx, account, now_millis)? != Knowledge::Held)
}

/// What is going on now, gone with the process.
#[derive(Debug, Default)]
pub(crate) struct Ephemerals {
    now: Mutex<Now>,
    /// Told when there is something to say or to wait for.
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct Now {
    connected: bool,
    said: typing::Said,
    heard: typing::Heard,
    presence: Presence,
    waiting: VecDeque<Say>,
    /// The time of the last one sent.
    last_sent: u64,
    /// The time of the last one heard, by device.
    last_heard: BTreeMap<DeviceAddress, u64>,
}

/// What there is to do.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    pub(crate) say: Vec<Say>,
    pub(crate) tell: Vec<Event>,
    /// When to ask again.
    pub(crate) next: Option<Instant>,
}

impl Ephemerals {
    /// The person types in a conversation, or stops. Said only while connected.
    pub(crate) fn set_typing(&self, conversation: AccountId, typing: bool, at: Instant) {
        let mut now = self.lock();
        let due = match typing {
            true => now.connected && now.said.types(conversation, at),
            false => now.said.stops(conversation, at),
        };
        let body = match typing {
            true => EphemeralBody::Typing,
            false => EphemeralBody::TypingStopped,
        };
        if due {
            now.say(To::Account(conversation), body);
            self.changed.notify_one();
        }
    }

    /// The person wrote to a conversation: the message ends the typing on the other side.
    pub(crate) fn wrote(&self, conversation: AccountId) {
        self.lock().said.wrote(conversation);
    }

    /// Changes what is known of presence, and says farewell to those whom that changes something for.
    pub(crate) fn set_presence(&self, change: impl FnOnce(&mut Presence) -> Vec<DeviceAddress>) {
        let mut now = self.lock();
        for device in change(&mut now.presence) {
            now.say(To::Device(device), EphemeralBody::Away);
        }
        self.changed.notify_one();
    }

    /// The connection is open.
    pub(crate) fn connected(&self) {
        self.lock().connected = true;
    }

    /// The connection is gone, and nobody knows anything any more.
    pub(crate) fn ended(&self) -> Vec<Event> {
        let mut now = self.lock();
        now.connected = false;
        now.waiting.clear();
        now.said = typing::Said::default();
        let stopped = now.heard.end().into_iter().map(stopped);
        stopped
            .chain(now.presence.end().into_iter().map(presence))
            .collect()
    }

    /// What there is to do now.
    pub(crate) fn turn(&self, at: Instant) -> Turn {
        let mut now = self.lock();
        for account in now.presence.take_due(at) {
            now.say(To::Account(account), EphemeralBody::Present { asks: true });
        }
        let stopped = now.heard.expired(at).into_iter().map(stopped);
        let tell = stopped
            .chain(now.presence.lapsed(at).into_iter().map(presence))
            .collect();
        Turn {
            say: now.waiting.drain(..).collect(),
            tell,
            next: [now.heard.next(), now.presence.next()]
                .into_iter()
                .flatten()
                .min(),
        }
    }

    /// The time of the next one that is sent: later than that of any before, also if the clock stands still.
    pub(crate) fn stamp(&self, now_millis: u64) -> u64 {
        let mut now = self.lock();
        now.last_sent = now_millis.max(now.last_sent.saturating_add(1));
        now.last_sent
    }

    /// Takes what was opened. `now_millis` is the time by the service's clock. What is old or was heard before says
    /// nothing.
    pub(crate) fn hear(
        &self,
        from: DeviceAddress,
        message: Ephemeral,
        at: Instant,
        now_millis: u64,
    ) -> Option<Event> {
        let mut now = self.lock();
        let fresh = now_millis.abs_diff(message.sent_at_millis) <= MAX_AGE_MILLIS;
        let newer = now
            .last_heard
            .get(&from)
            .is_none_or(|last| *last < message.sent_at_millis);
        if !fresh || !newer {
            return None;
        }
        now.remember(from, message.sent_at_millis, now_millis);
        match message.body {
            EphemeralBody::Typing => {
                now.presence.renew(from, at);
                now.heard.types(from, at).then(|| typing(from))
            }
            EphemeralBody::TypingStopped => {
                now.presence.renew(from, at);
                now.heard.stops(from).then(|| stopped(from))
            }
            EphemeralBody::Present { asks } => {
                let (change, answers) = now.presence.is_there(from, asks, at);
                if answers {
                    now.say(To::Device(from), EphemeralBody::Present { asks: false });
                }
                change.map(presence)
            }
            EphemeralBody::Away => now.presence.is_away(from).map(presence),
            _ => None,
        }
    }

    /// An envelope of a device was delivered just now, and perhaps shown: then it does not type any more.
    pub(crate) fn delivered(&self, from: DeviceAddress, shown: bool, at: Instant) -> Option<Event> {
        let mut now = self.lock();
        now.presence.renew(from, at);
        (shown && now.heard.stops(from)).then(|| stopped(from))
    }

    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Now {
    fn say(&mut self, to: To, body: EphemeralBody) {
        if self.connected && self.waiting.len() < MAX_WAITING {
            self.waiting.push_back(Say { to, body });
        }
    }

    fn remember(&mut self, from: DeviceAddress, sent_at_millis: u64, now_millis: u64) {
        if self.last_heard.len() >= MAX_HEARD {
            // What is older than that is refused for its age.
            self.last_heard
                .retain(|_, last| now_millis.saturating_sub(*last) <= MAX_AGE_MILLIS);
        }
        self.last_heard.insert(from, sent_at_millis);
    }
}

fn typing(from: DeviceAddress) -> Event {
    Event::Typing {
        conversation: from.account,
        from,
    }
}

fn stopped(from: DeviceAddress) -> Event {
    Event::TypingStopped {
        conversation: from.account,
        from,
    }
}

fn presence(change: Change) -> Event {
    Event::Presence {
        account: change.account,
        present: change.present,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, Party, account};

    fn typing_at(sent_at_millis: u64) -> Ephemeral {
        Ephemeral {
            conversation: [7; 16],
            sent_at_millis,
            body: EphemeralBody::Typing,
        }
    }

    fn heard(ephemerals: &Ephemerals, from: DeviceAddress, sent_at: u64, now: u64) -> bool {
        ephemerals
            .hear(from, typing_at(sent_at), Instant::now(), now)
            .is_some()
    }

    #[test]
    fn what_is_old_from_the_future_or_was_heard_before_says_nothing() {
        let from = Party::new(account(1), 1, 11).address();
        for (sent_at, says) in [
            (NOW - MAX_AGE_MILLIS, true),
            (NOW - MAX_AGE_MILLIS - 1, false),
            (NOW + MAX_AGE_MILLIS, true),
            (NOW + MAX_AGE_MILLIS + 1, false),
        ] {
            assert_eq!(heard(&Ephemerals::default(), from, sent_at, NOW), says);
        }
        let ephemerals = Ephemerals::default();
        assert!(heard(&ephemerals, from, NOW, NOW));
        ephemerals.delivered(from, true, Instant::now());
        assert!(!heard(&ephemerals, from, NOW, NOW), "again");
        assert!(!heard(&ephemerals, from, NOW - 1, NOW), "overtaken");
        assert!(heard(&ephemerals, from, NOW + 1, NOW));
    }

    #[test]
    fn a_message_that_is_shown_ends_the_typing_and_a_receipt_does_not() {
        let (ephemerals, from) = (Ephemerals::default(), Party::new(account(1), 1, 11).address());
        heard(&ephemerals, from, NOW, NOW);
        assert_eq!(ephemerals.delivered(from, false, Instant::now()), None);
        assert_eq!(
            ephemerals.delivered(from, true, Instant::now()),
            Some(stopped(from))
        );
    }

    #[test]
    fn times_rise_also_when_the_clock_stands_still_or_is_set_back() {
        let ephemerals = Ephemerals::default();
        let stamps = [NOW, NOW, NOW - 5_000, NOW + 9].map(|now| ephemerals.stamp(now));
        assert_eq!(stamps, [NOW, NOW + 1, NOW + 2, NOW + 9]);
    }

    #[test]
    fn without_a_connection_nothing_waits_to_be_said() {
        let ephemerals = Ephemerals::default();
        ephemerals.set_typing(account(1), true, Instant::now());
        assert!(ephemerals.turn(Instant::now()).say.is_empty());
        ephemerals.connected();
        ephemerals.set_typing(account(1), true, Instant::now());
        assert_eq!(ephemerals.turn(Instant::now()).say.len(), 1);
    }

    #[test]
    fn what_waits_to_be_said_is_bounded() {
        let ephemerals = Ephemerals::default();
        ephemerals.connected();
        for number in 0..100 {
            ephemerals.set_typing(account(number), true, Instant::now());
        }
        assert_eq!(ephemerals.turn(Instant::now()).say.len(), MAX_WAITING);
    }

    /// Two who wrote to each other.
    fn acquainted() -> (Party, Party) {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.meet(&mut alice);
        for _ in 0..2 {
            let from_alice = alice.send(account(2), "hello");
            bob.receive_all(&from_alice);
            let from_bob = bob.send(account(1), "hello");
            alice.receive_all(&from_bob);
        }
        (alice, bob)
    }

    fn sealed(from: &mut Party, to: AccountId) -> Option<EphemeralRequest> {
        let say = Say {
            to: To::Account(to),
            body: EphemeralBody::Typing,
        };
        let me = from.me.clone();
        from.write(|tx, rng| seal(tx, rng, &me, say, NOW))
    }

    fn opened(by: &mut Party, from: DeviceAddress, request: &EphemeralRequest) -> Option<Ephemeral> {
        let sealed = request.devices[0].sealed.clone();
        let me = by.me.clone();
        by.write(|tx, _| open(tx, &me, from, &sealed, NOW))
    }

    #[test]
    fn contacts_hear_each_other_and_their_sessions_stay_as_they_were() {
        let (mut alice, mut bob) = acquainted();
        let request = sealed(&mut alice, account(2)).unwrap();
        let message = opened(&mut bob, alice.address(), &request).unwrap();
        assert_eq!(message.body, EphemeralBody::Typing);
        let answer = bob.send(account(1), "still in order");
        alice.receive_all(&answer);
        assert_eq!(alice.texts().last().unwrap(), "still in order");
    }

    /// X44: who was never written to learns nothing and is not heard.
    #[test]
    fn x44_a_stranger_is_not_heard_and_hears_nothing() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.receive_all(&alice.send(account(2), "who are you"));
        let request = sealed(&mut alice, account(2)).unwrap();
        assert_eq!(opened(&mut bob, alice.address(), &request), None);
        assert_eq!(sealed(&mut bob, account(1)), None);
    }

    /// X31: a device that its owner did not sign is not heard.
    #[test]
    fn x31_a_device_that_is_off_the_list_is_not_heard() {
        let (mut alice, mut bob) = acquainted();
        let request = sealed(&mut alice, account(2)).unwrap();
        let address = alice.address();
        bob.write(|tx, _| directory::unlist(tx, address));
        assert_eq!(opened(&mut bob, address, &request), None);
    }
}
