//! Who is there: asked for, answered, and leased. The service keeps nothing of it.
//!
//! A device that wants to see somebody says to their devices that it is there itself and asks for the same; a device that
//! shares its presence answers. Each such word is a lease that lapses by itself, so that who crashes is gone when
//! it ends (I16), and whatever else a device sends meanwhile renews it for nothing. Who does not share is neither seen
//! nor sees others: asking would tell that they are there.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;
use waxwing_protocol::ephemeral::LEASE_MILLIS;
use waxwing_wire::{AccountId, DeviceAddress};

/// How long a device that says it is there counts as there.
pub(crate) const LEASE: Duration = Duration::from_millis(LEASE_MILLIS);

/// How often it is asked: within the lease, with ten seconds for the network.
pub(crate) const ASK_EVERY: Duration = Duration::from_secs(50);

/// A device that asks more often is not answered.
const ANSWER_EVERY: Duration = Duration::from_secs(10);

/// Accounts watched at once: conversations on a screen. Each costs a frame every [`ASK_EVERY`].
const MAX_WATCHED: usize = 16;

/// Devices that watch this one at once. Each costs an answer.
const MAX_WATCHERS: usize = 64;

/// What this device knows and has said.
#[derive(Debug)]
pub(crate) struct Presence {
    shares: bool,
    in_foreground: bool,
    /// When each account that is watched was asked.
    watched: BTreeMap<AccountId, Option<Instant>>,
    /// Until when each device of those counts as there.
    leases: BTreeMap<DeviceAddress, Instant>,
    /// Who watches this device.
    watchers: BTreeMap<DeviceAddress, Watcher>,
}

#[derive(Clone, Copy, Debug)]
struct Watcher {
    /// When it was told last.
    told: Instant,
}

impl Default for Presence {
    fn default() -> Self {
        Self {
            shares: false,
            in_foreground: true,
            watched: BTreeMap::new(),
            leases: BTreeMap::new(),
            watchers: BTreeMap::new(),
        }
    }
}

/// Somebody came or went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) account: AccountId,
    pub(crate) present: bool,
}

impl Presence {
    /// Whether anybody may be told that this device is there.
    fn is_shown(&self) -> bool {
        self.shares && self.in_foreground
    }

    /// Shares or does not. Returns whom to tell that it is away.
    pub(crate) fn share(&mut self, shares: bool, now: Instant) -> Vec<DeviceAddress> {
        let farewell = if shares { Vec::new() } else { self.leave(now) };
        self.shares = shares;
        farewell
    }

    /// The app is on the screen or not. Returns whom to tell that it is away.
    pub(crate) fn show(&mut self, in_foreground: bool, now: Instant) -> Vec<DeviceAddress> {
        let farewell = if in_foreground {
            Vec::new()
        } else {
            self.leave(now)
        };
        self.in_foreground = in_foreground;
        farewell
    }

    /// This device is not there any more. Returns whom to tell.
    pub(crate) fn leave(&mut self, now: Instant) -> Vec<DeviceAddress> {
        self.watched.values_mut().for_each(|asked| *asked = None);
        let watchers = std::mem::take(&mut self.watchers).into_iter();
        let told = watchers.filter(|(_, watcher)| now < watcher.told + LEASE);
        told.map(|(device, _)| device).collect()
    }

    /// Wants to see an account from now on.
    pub(crate) fn watch(&mut self, account: AccountId) {
        if self.watched.len() < MAX_WATCHED {
            self.watched.entry(account).or_default();
        }
    }

    /// Does not any more.
    pub(crate) fn unwatch(&mut self, account: AccountId) {
        self.watched.remove(&account);
        self.leases.retain(|device, _| device.account != account);
    }

    /// The accounts to ask now.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<AccountId> {
        if !self.is_shown() {
            return Vec::new();
        }
        let due = self
            .watched
            .iter_mut()
            .filter(|(_, asked)| asked.is_none_or(|at| now >= at + ASK_EVERY));
        due.map(|(account, asked)| {
            *asked = Some(now);
            *account
        })
        .collect()
    }

    /// A device says that it is there. Returns what changed, and whether to answer.
    pub(crate) fn is_there(
        &mut self,
        from: DeviceAddress,
        asks: bool,
        now: Instant,
    ) -> (Option<Change>, bool) {
        let change = self.watched.contains_key(&from.account).then(|| {
            let came = !self.leases.keys().any(|device| device.account == from.account);
            self.leases.insert(from, now + LEASE);
            came.then_some(Change {
                account: from.account,
                present: true,
            })
        });
        (change.flatten(), asks && self.is_shown() && self.admit(from, now))
    }

    /// Whether a device that asks is to be told now. It watches from now on.
    fn admit(&mut self, from: DeviceAddress, now: Instant) -> bool {
        self.watchers.retain(|_, watcher| now < watcher.told + LEASE);
        let full = self.watchers.len() >= MAX_WATCHERS;
        match self.watchers.get_mut(&from) {
            Some(watcher) if now < watcher.told + ANSWER_EVERY => false,
            Some(watcher) => {
                watcher.told = now;
                true
            }
            None if full => false,
            None => self.watchers.insert(from, Watcher { told: now }).is_none(),
        }
    }

    /// Something else came of a device just now: if it is there, it is there for longer.
    pub(crate) fn renew(&mut self, from: DeviceAddress, now: Instant) {
        if let Some(until) = self.leases.get_mut(&from).filter(|until| **until > now) {
            *until = now + LEASE;
        }
    }

    /// A device says that it is away.
    pub(crate) fn is_away(&mut self, from: DeviceAddress) -> Option<Change> {
        self.watchers.remove(&from);
        self.leases.remove(&from)?;
        self.went([from].into()).pop()
    }

    /// What changed because leases have lapsed.
    pub(crate) fn lapsed(&mut self, now: Instant) -> Vec<Change> {
        let lapsed = self.leases.extract_if(.., |_, until| *until <= now);
        let lapsed = lapsed.map(|(device, _)| device).collect();
        self.went(lapsed)
    }

    /// Nothing is known any more: the connection is gone.
    pub(crate) fn end(&mut self) -> Vec<Change> {
        self.watchers.clear();
        self.watched.values_mut().for_each(|asked| *asked = None);
        let all = std::mem::take(&mut self.leases).into_keys().collect();
        self.went(all)
    }

    /// The accounts of these devices of which no other is there.
    fn went(&self, devices: Vec<DeviceAddress>) -> Vec<Change> {
        let accounts: BTreeSet<_> = devices.into_iter().map(|device| device.account).collect();
        let went = accounts.into_iter().filter(|account| {
            let mut others = self.leases.keys();
            !others.any(|device| device.account == *account)
        });
        went.map(|account| Change {
            account,
            present: false,
        })
        .collect()
    }

    /// When there is something to do next.
    pub(crate) fn next(&self) -> Option<Instant> {
        let ask = self
            .watched
            .values()
            .flatten()
            .filter(|_| self.is_shown())
            .map(|at| *at + ASK_EVERY);
        ask.chain(self.leases.values().copied()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Party, account};

    fn after(begun: Instant, seconds: u64) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    fn shared() -> Presence {
        let mut presence = Presence::default();
        presence.share(true, Instant::now());
        presence
    }

    fn device(number: u64, id: u64) -> DeviceAddress {
        Party::new(account(number), id, 11).address()
    }

    fn change(number: u64, present: bool) -> Change {
        Change {
            account: account(number),
            present,
        }
    }

    /// X44: nobody is told anything, and nobody is asked, unless the person wants it.
    #[test]
    fn who_does_not_share_or_is_not_on_the_screen_neither_asks_nor_answers() {
        let now = Instant::now();
        let mut hidden = Presence::default();
        let mut behind = shared();
        behind.show(false, now);
        for presence in [&mut hidden, &mut behind] {
            presence.watch(account(2));
            assert!(presence.take_due(now).is_empty());
            assert!(!presence.is_there(device(2, 1), true, now).1);
            assert!(presence.leave(now).is_empty());
        }
    }

    #[test]
    fn a_watched_account_is_asked_at_once_and_within_each_lease() {
        let (mut presence, begun) = (shared(), Instant::now());
        presence.watch(account(2));
        let asked: Vec<_> = (0..200)
            .filter(|at| !presence.take_due(after(begun, *at)).is_empty())
            .collect();
        assert_eq!(asked, [0, 50, 100, 150]);
        assert!(ASK_EVERY < LEASE);
    }

    /// I16.
    #[test]
    fn a_device_that_says_no_more_is_gone_when_its_lease_lapses() {
        let (mut presence, begun) = (shared(), Instant::now());
        presence.watch(account(2));
        assert_eq!(
            presence.is_there(device(2, 1), false, begun).0,
            Some(change(2, true))
        );
        assert_eq!(presence.is_there(device(2, 1), false, after(begun, 50)).0, None);
        presence.renew(device(2, 1), after(begun, 100));
        assert!(presence.lapsed(after(begun, 159)).is_empty());
        assert_eq!(presence.lapsed(after(begun, 160)), [change(2, false)]);
        presence.renew(device(2, 1), after(begun, 161));
        assert!(
            presence.leases.is_empty(),
            "what else it sends does not bring it back"
        );
    }

    #[test]
    fn an_account_is_there_as_long_as_one_of_its_devices_is() {
        let (mut presence, now) = (shared(), Instant::now());
        presence.watch(account(2));
        presence.is_there(device(2, 1), false, now);
        assert_eq!(presence.is_there(device(2, 2), false, now).0, None);
        assert_eq!(presence.is_away(device(2, 1)), None);
        assert_eq!(presence.is_away(device(2, 2)), Some(change(2, false)));
        assert_eq!(presence.is_away(device(2, 2)), None);
    }

    #[test]
    fn who_watches_is_told_of_the_farewell_and_who_asks_too_often_is_not_answered() {
        let (mut presence, begun) = (shared(), Instant::now());
        assert!(presence.is_there(device(2, 1), true, begun).1);
        assert!(!presence.is_there(device(2, 1), true, after(begun, 9)).1);
        assert!(presence.is_there(device(2, 1), true, after(begun, 10)).1);
        assert!(presence.is_there(device(3, 1), true, after(begun, 65)).1);
        assert_eq!(
            presence.show(false, after(begun, 75)),
            [device(3, 1)],
            "the other's lease is over"
        );
    }

    #[test]
    fn what_was_not_asked_for_is_not_believed_and_the_number_of_watchers_is_bounded() {
        let (mut presence, now) = (shared(), Instant::now());
        assert_eq!(presence.is_there(device(2, 1), false, now), (None, false));
        let answered = (0..100).filter(|number| presence.is_there(device(*number, 1), true, now).1);
        assert_eq!(answered.count(), MAX_WATCHERS);
    }

    #[test]
    fn a_connection_that_ends_leaves_nobody_there() {
        let (mut presence, now) = (shared(), Instant::now());
        presence.watch(account(2));
        presence.take_due(now);
        presence.is_there(device(2, 1), false, now);
        assert_eq!(presence.end(), [change(2, false)]);
        assert_eq!(presence.take_due(now), [account(2)], "asked anew at the next");
    }
}
