//! The ledger: what was sent against what was shown, message by message and device by device.
//!
//! It believes nobody. A device is asked only what it showed, in which order; everything else is computed
//! here from what was handed to `send_text`. *Delivered* counts pairs of a message and a device that is to
//! show it: each device of the other person, and each other device of the sender.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde::Serialize;

/// Devices are numbered in the order in which they joined the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceNumber(usize);

impl DeviceNumber {
    /// Its place among the devices.
    pub fn index(self) -> usize {
        self.0
    }
}

/// The record of one run. `Id` names a message.
pub struct Ledger<Id> {
    names: Vec<String>,
    sent: Vec<Sent<Id>>,
    shown: Vec<Vec<Shown<Id>>>,
    /// What each device has shown at least once.
    seen: Vec<BTreeSet<Id>>,
    /// When the service first said of a message that it is accepted.
    accepted: BTreeMap<Id, Instant>,
}

/// One message, as it was handed to its sender's device.
#[derive(Clone, Debug)]
pub struct Sent<Id> {
    /// What the device called it.
    pub id: Id,
    /// Which device.
    pub from: DeviceNumber,
    /// What it says.
    pub text: String,
    /// When it was handed over.
    pub at: Instant,
    /// The devices that are to show it.
    pub to: Vec<DeviceNumber>,
    /// Those of them to measure the latency of: they were connected then, and so was the sender.
    pub measured: Vec<DeviceNumber>,
}

/// One message, as a device showed it.
#[derive(Clone, Debug)]
pub struct Shown<Id> {
    /// Which message.
    pub id: Id,
    /// Who sent it, as the device says; `None` if that is nobody of this run.
    pub from: Option<DeviceNumber>,
    /// What it says.
    pub text: String,
    /// Whether it was marked as late: it had been reported as missing before.
    pub late: bool,
    /// When it was shown.
    pub at: Instant,
}

/// What became of everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Messages handed to a device.
    pub sent: usize,
    /// Of these, messages that the service answered with *accepted*.
    pub accepted: usize,
    /// Pairs of message and device that should be: every message, on every device that is to show it.
    pub expected: usize,
    /// Pairs that are: shown, from whom it was sent, with the text that was sent.
    pub delivered: usize,
    /// Expected and not shown.
    pub lost: usize,
    /// Shown again, each time counted.
    pub duplicated: usize,
    /// Shown after a message that the same device sent later, and not marked as late.
    pub reordered: usize,
    /// Shown after such a message, and marked as late.
    pub late: usize,
    /// Shown with another text or another sender than was sent.
    pub altered: usize,
    /// Shown without having been sent to that device.
    pub unexpected: usize,
    /// The same for each device.
    pub by_device: Vec<DeviceAudit>,
}

/// What became of everything meant for one device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeviceAudit {
    /// Whose and which device.
    pub name: String,
    /// Messages it is to show.
    pub expected: usize,
    /// As in [`Audit`].
    pub delivered: usize,
    /// As in [`Audit`].
    pub lost: usize,
    /// As in [`Audit`].
    pub duplicated: usize,
    /// As in [`Audit`].
    pub reordered: usize,
    /// As in [`Audit`].
    pub late: usize,
    /// As in [`Audit`].
    pub altered: usize,
    /// As in [`Audit`].
    pub unexpected: usize,
}

impl Audit {
    /// Whether every promise held.
    pub fn is_clean(&self) -> bool {
        let delivered_as_sent = self.accepted == self.sent && self.delivered == self.expected;
        let faults =
            self.lost + self.duplicated + self.reordered + self.late + self.altered + self.unexpected;
        delivered_as_sent && faults == 0
    }
}

impl DeviceAudit {
    /// Whether this device showed exactly what it was to show.
    pub fn is_clean(&self) -> bool {
        let faults =
            self.lost + self.duplicated + self.reordered + self.late + self.altered + self.unexpected;
        self.delivered == self.expected && faults == 0
    }
}

impl<Id: Copy + Ord> Ledger<Id> {
    /// An empty ledger.
    pub fn new() -> Self {
        Self {
            names: Vec::new(),
            sent: Vec::new(),
            shown: Vec::new(),
            seen: Vec::new(),
            accepted: BTreeMap::new(),
        }
    }

    /// Adds a device.
    pub fn add_device(&mut self, name: impl Into<String>) -> DeviceNumber {
        self.names.push(name.into());
        self.shown.push(Vec::new());
        self.seen.push(BTreeSet::new());
        DeviceNumber(self.names.len() - 1)
    }

    /// Records a message. Messages of one device are recorded in the order in which they were handed to it.
    pub fn sent(&mut self, sent: Sent<Id>) {
        self.sent.push(sent);
    }

    /// When each accepted message was sent and when it was accepted.
    pub fn acceptances(&self) -> impl Iterator<Item = (Instant, Instant)> {
        let sent = self.sent.iter();
        sent.filter_map(|sent| Some((sent.at, *self.accepted.get(&sent.id)?)))
    }

    /// Records that the service accepted a message, and says whether it is the first time.
    pub fn accepted(&mut self, id: Id, at: Instant) -> bool {
        let is_first = !self.accepted.contains_key(&id);
        self.accepted.entry(id).or_insert(at);
        is_first
    }

    /// Records that `device` showed a message, and says whether it is the first time.
    pub fn shown(&mut self, device: DeviceNumber, shown: Shown<Id>) -> bool {
        let id = shown.id;
        if let Some(list) = self.shown.get_mut(device.0) {
            list.push(shown);
        }
        self.seen.get_mut(device.0).is_some_and(|seen| seen.insert(id))
    }

    /// The same run with other lists of what each device showed, in the order of their numbers: what their
    /// stores hold, say.
    pub fn with_shown(&self, lists: Vec<Vec<Shown<Id>>>) -> Self {
        let mut other = Self {
            names: self.names.clone(),
            sent: self.sent.clone(),
            shown: vec![Vec::new(); self.names.len()],
            seen: vec![BTreeSet::new(); self.names.len()],
            accepted: self.accepted.clone(),
        };
        for (number, list) in lists.into_iter().enumerate() {
            for shown in list {
                other.shown(DeviceNumber(number), shown);
            }
        }
        other
    }

    /// Compares what was shown with what was sent.
    pub fn audit(&self) -> Audit {
        let sent: BTreeMap<Id, (usize, &Sent<Id>)> = self
            .sent
            .iter()
            .enumerate()
            .map(|(position, sent)| (sent.id, (position, sent)))
            .collect();
        let by_device: Vec<_> = self
            .names
            .iter()
            .zip(&self.shown)
            .enumerate()
            .map(|(number, (name, shown))| audit_device(DeviceNumber(number), name, shown, &sent))
            .collect();
        let sum = |count: fn(&DeviceAudit) -> usize| by_device.iter().map(count).sum();
        Audit {
            sent: self.sent.len(),
            accepted: sent.keys().filter(|id| self.accepted.contains_key(id)).count(),
            expected: sum(|device| device.expected),
            delivered: sum(|device| device.delivered),
            lost: sum(|device| device.lost),
            duplicated: sum(|device| device.duplicated),
            reordered: sum(|device| device.reordered),
            late: sum(|device| device.late),
            altered: sum(|device| device.altered),
            unexpected: sum(|device| device.unexpected),
            by_device,
        }
    }

    /// From the call that sent a message until a device showed it, for every pair that is to be measured.
    pub fn latencies(&self) -> impl Iterator<Item = Duration> {
        let mut shown = BTreeMap::new();
        for (number, list) in self.shown.iter().enumerate() {
            for entry in list {
                shown.entry((DeviceNumber(number), entry.id)).or_insert(entry.at);
            }
        }
        self.sent.iter().flat_map(move |sent| {
            let latencies: Vec<_> = sent
                .measured
                .iter()
                .filter_map(|device| shown.get(&(*device, sent.id)))
                .map(|at| at.saturating_duration_since(sent.at))
                .collect();
            latencies
        })
    }
}

impl<Id: Copy + Ord> Default for Ledger<Id> {
    fn default() -> Self {
        Self::new()
    }
}

fn audit_device<Id: Copy + Ord>(
    device: DeviceNumber,
    name: &str,
    shown: &[Shown<Id>],
    sent: &BTreeMap<Id, (usize, &Sent<Id>)>,
) -> DeviceAudit {
    let mut audit = DeviceAudit {
        name: name.to_owned(),
        ..DeviceAudit::default()
    };
    let mut seen = BTreeSet::new();
    let mut latest_from: BTreeMap<DeviceNumber, usize> = BTreeMap::new();
    for entry in shown {
        let Some((position, original)) = sent.get(&entry.id).filter(|(_, sent)| sent.to.contains(&device))
        else {
            audit.unexpected += 1;
            continue;
        };
        if !seen.insert(entry.id) {
            audit.duplicated += 1;
            continue;
        }
        if entry.from == Some(original.from) && entry.text == original.text {
            audit.delivered += 1;
        } else {
            audit.altered += 1;
        }
        let latest = latest_from.entry(original.from).or_insert(*position);
        match (*position < *latest, entry.late) {
            (true, true) => audit.late += 1,
            (true, false) => audit.reordered += 1,
            (false, _) => {}
        }
        *latest = (*latest).max(*position);
    }
    audit.expected = sent
        .values()
        .filter(|(_, sent)| sent.to.contains(&device))
        .count();
    audit.lost = audit.expected - seen.len();
    audit
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alice's phone and laptop, Bob's phone; messages are numbers, texts are theirs spelled out.
    struct Story {
        ledger: Ledger<u32>,
        alice: DeviceNumber,
        laptop: DeviceNumber,
        bob: DeviceNumber,
        start: Instant,
    }

    impl Story {
        fn new() -> Self {
            let mut ledger = Ledger::new();
            Self {
                alice: ledger.add_device("Alice's phone"),
                laptop: ledger.add_device("Alice's laptop"),
                bob: ledger.add_device("Bob's phone"),
                ledger,
                start: Instant::now(),
            }
        }

        fn send(&mut self, id: u32, from: DeviceNumber) {
            let to: Vec<_> = [self.alice, self.laptop, self.bob]
                .into_iter()
                .filter(|device| *device != from)
                .collect();
            self.ledger.sent(Sent {
                id,
                from,
                text: id.to_string(),
                at: self.start + Duration::from_millis(id.into()),
                measured: to.clone(),
                to,
            });
            self.ledger.accepted(id, self.start);
        }

        fn show(&mut self, id: u32, from: DeviceNumber, on: DeviceNumber) {
            let shown = Shown {
                id,
                from: Some(from),
                text: id.to_string(),
                late: false,
                at: self.start + Duration::from_millis(10 + u64::from(id)),
            };
            self.ledger.shown(on, shown);
        }
    }

    #[test]
    fn everything_shown_once_in_order_on_every_other_device_is_clean() {
        let mut story = Story::new();
        let (alice, laptop, bob) = (story.alice, story.laptop, story.bob);
        for (id, from, to) in [
            (1, alice, [laptop, bob]),
            (2, bob, [alice, laptop]),
            (3, laptop, [alice, bob]),
        ] {
            story.send(id, from);
            for device in to {
                story.show(id, from, device);
            }
        }
        let audit = story.ledger.audit();
        assert_eq!(
            (audit.sent, audit.accepted, audit.expected, audit.delivered),
            (3, 3, 6, 6)
        );
        assert!(audit.is_clean());
        assert!(
            story
                .ledger
                .latencies()
                .all(|latency| latency == Duration::from_millis(10))
        );
        assert_eq!(story.ledger.latencies().count(), 6);
    }

    #[test]
    fn a_message_that_a_device_never_showed_is_lost() {
        let mut story = Story::new();
        story.send(1, story.alice);
        story.show(1, story.alice, story.laptop);
        let audit = story.ledger.audit();
        assert_eq!((audit.delivered, audit.lost), (1, 1));
        assert_eq!(audit.by_device[2].lost, 1);
        assert!(!audit.is_clean());
    }

    #[test]
    fn i03_every_further_showing_is_a_duplicate() {
        let mut story = Story::new();
        story.send(1, story.alice);
        for _ in 0..3 {
            story.show(1, story.alice, story.bob);
        }
        let audit = story.ledger.audit();
        assert_eq!((audit.delivered, audit.duplicated, audit.reordered), (1, 2, 0));
        assert!(!audit.is_clean());
    }

    #[test]
    fn i04_order_counts_per_sending_device_only() {
        let mut story = Story::new();
        let (alice, laptop, bob) = (story.alice, story.laptop, story.bob);
        for (id, from) in [(1, alice), (2, laptop), (3, alice), (4, alice)] {
            story.send(id, from);
        }
        // The laptop's message may come at any time; of the phone's three, 3 and 1 come after 4.
        for (id, from) in [(4, alice), (3, alice), (1, alice), (2, laptop)] {
            story.show(id, from, bob);
        }
        let audit = story.ledger.audit();
        assert_eq!(audit.by_device[2].reordered, 2);
        assert!(!audit.is_clean());
    }

    #[test]
    fn what_is_out_of_order_and_said_to_be_late_is_told_apart() {
        let mut story = Story::new();
        let (alice, bob) = (story.alice, story.bob);
        for id in 1..=3 {
            story.send(id, alice);
        }
        story.show(3, alice, bob);
        story.show(2, alice, bob);
        let late = Shown {
            id: 1,
            from: Some(alice),
            text: "1".into(),
            late: true,
            at: story.start,
        };
        story.ledger.shown(bob, late);
        let audit = story.ledger.audit();
        assert_eq!((audit.reordered, audit.late), (1, 1));
        assert_eq!(audit.by_device[2].late, 1);
    }

    #[test]
    fn another_text_or_another_sender_is_an_alteration_and_not_a_delivery() {
        let mut story = Story::new();
        story.send(1, story.alice);
        story.send(2, story.alice);
        story.show(1, story.bob, story.laptop);
        let shown = Shown {
            id: 2,
            from: Some(story.alice),
            text: "two".into(),
            late: false,
            at: story.start,
        };
        story.ledger.shown(story.laptop, shown);
        let audit = story.ledger.audit();
        assert_eq!((audit.by_device[1].altered, audit.by_device[1].delivered), (2, 0));
        assert!(!audit.is_clean());
    }

    #[test]
    fn what_nobody_sent_to_a_device_is_unexpected() {
        let mut story = Story::new();
        story.send(1, story.alice);
        story.show(1, story.alice, story.alice);
        story.show(9, story.alice, story.bob);
        let audit = story.ledger.audit();
        assert_eq!(
            (
                audit.unexpected,
                audit.by_device[0].unexpected,
                audit.by_device[2].unexpected
            ),
            (2, 1, 1)
        );
        assert!(!audit.is_clean());
    }

    #[test]
    fn a_message_that_was_never_accepted_is_not_clean_even_if_it_was_shown() {
        let mut story = Story::new();
        story.send(1, story.alice);
        story.ledger.accepted.clear();
        story.show(1, story.alice, story.laptop);
        story.show(1, story.alice, story.bob);
        let audit = story.ledger.audit();
        assert_eq!((audit.lost, audit.accepted), (0, 0));
        assert!(!audit.is_clean());
    }

    #[test]
    fn latency_is_measured_only_where_both_were_connected() {
        let mut story = Story::new();
        story.send(1, story.alice);
        story.ledger.sent[0].measured = vec![story.laptop];
        story.show(1, story.alice, story.laptop);
        story.show(1, story.alice, story.bob);
        assert_eq!(story.ledger.latencies().count(), 1);
    }
}
