//! Three devices of two people, whom everything happens to that can: they write, frames are lost and repeated, connections
//! break, processes end between two writes of the store or in the middle of one, and start again with what their files
//! hold. At rest every device shows the same conversation.
//!
//! What is promised when a store goes back to what it was before is in [`restore`].
//!
//! `PROPTEST_CASES=8000 cargo test -p waxwing-client three_devices` runs 1,000 such lives in place of 32. A life that fails is
//! made shorter, printed, and kept in `proptest-regressions`, from where it runs first the next time.

use std::collections::{BTreeMap, BTreeSet, HashMap};

mod restore;

use proptest::prelude::*;
use waxwing_protocol::Message;
use waxwing_wire::{
    AccountId, DeviceList, Envelope, EnvelopeId, RegisteredDevice, RequestId, claim::Bundles,
    keys::PublishedDevice,
};

use crate::{
    directory::{self, Plan, TakeError},
    events::Event,
    frames::Packing,
    messages::{MessageState, StoredMessage},
    outbox::{self, Outgoing},
    receive::{self, Received},
    store::{StoreError, crash::Side, messages, outbox as entries},
    testing::{Party, account, account_key, signed_list_by},
    under_way::{UnderWay, WINDOW},
};

const ALICE: u64 = 1;
const BOB: u64 = 2;

/// Of each device: its account, its number there, the account it writes to.
const DEVICES: [(u64, u64, u64); 3] = [(ALICE, 1, BOB), (ALICE, 2, BOB), (BOB, 1, ALICE)];

/// Rounds until everybody is at rest, at most: far more than are ever needed.
const MAX_ROUNDS: usize = 500;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The person writes.
    Write,
    /// What is in the outbox is encrypted and put on the wire.
    Send,
    /// The service takes a frame; the reply is on its way.
    Serve(u8),
    /// A reply arrives.
    Reply(u8),
    /// An envelope arrives that waits in the mailbox.
    Deliver(u8),
    /// What was stored is acked.
    Ack,
    /// The connection breaks: all that is on the wire is gone.
    Cut,
    /// The process will end at one of its next writes.
    CrashIn(usize, bool),
    /// The process ends now.
    Crash,
    /// A copy of the store is made.
    Copy,
    /// The process ends, and goes on with the copy that was made last.
    Restore,
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        6 => Just(Step::Write),
        8 => Just(Step::Send),
        8 => any::<u8>().prop_map(Step::Serve),
        6 => any::<u8>().prop_map(Step::Reply),
        10 => any::<u8>().prop_map(Step::Deliver),
        4 => Just(Step::Ack),
        2 => Just(Step::Cut),
        3 => (0..4_usize, any::<bool>()).prop_map(|(writes, after)| Step::CrashIn(writes, after)),
        1 => Just(Step::Crash),
    ];
    (0..DEVICES.len(), step)
}

proptest! {
    #![proptest_config(ProptestConfig {
        // A life is long: an eighth of proptest's usual number of cases, which the environment can raise.
        cases: ProptestConfig::default().cases / 8,
        max_shrink_iters: 2_000,
        ..ProptestConfig::default()
    })]

    /// I1, I3, I4, I17; X25.
    #[test]
    fn three_devices_show_the_same_conversation_whatever_happens(steps in prop::collection::vec(step(), 1..400)) {
        let mut world = World::new();
        for (device, step) in steps {
            world.step(device, step);
        }
        world.come_to_rest();
        world.check();
    }
}

/// Devices, and the service between them.
struct World {
    devices: Vec<Device>,
    service: Service,
    recorder: Recorder,
}

/// A device, and what its process knows beside the store.
struct Device {
    party: Party,
    to: AccountId,
    written: Vec<String>,
    under_way: UnderWay,
    /// Frames on their way to the service.
    frames: Vec<Outgoing>,
    /// Replies on their way back.
    replies: Vec<Outgoing>,
    /// Envelopes that are stored and not acked.
    to_ack: Vec<EnvelopeId>,
    /// The copy of its store that was made last.
    copy: Option<tempfile::TempDir>,
    /// Whether it went back to a copy.
    went_back: bool,
    /// What it wrote and forgot, going back.
    forgotten: BTreeSet<String>,
}

/// The service: mailboxes, lists of devices, prekeys.
struct Service {
    lists: BTreeMap<AccountId, (DeviceList, Vec<PublishedDevice>)>,
    mailboxes: BTreeMap<RegisteredDevice, BTreeMap<EnvelopeId, Envelope>>,
    /// What each device has taken of each other, for the order on the wire.
    taken: BTreeSet<(RegisteredDevice, EnvelopeId)>,
}

/// Every ciphertext that left, by what names its message key on the wire, the ratchet key and the number in its chain, and
/// by its nonce.
#[derive(Default)]
struct Recorder {
    sent: HashMap<Vec<u8>, HashMap<Vec<u8>, Vec<u8>>>,
    /// A device went back to an older state of its store. Then nonces alone keep apart what one key encrypts.
    went_back: bool,
}

impl Recorder {
    /// X25, I17: a message key encrypts one thing. The same bytes may leave again.
    fn record(&mut self, ciphertext: &[u8]) {
        let (key, nonce) = key_and_nonce(ciphertext);
        let of_key = self.sent.entry(key).or_default();
        let before = of_key.insert(nonce, ciphertext.to_vec());
        assert!(
            before.is_none_or(|before| before == ciphertext),
            "x25: a key and a nonce were used twice"
        );
        assert!(
            self.went_back || of_key.len() == 1,
            "x25: a message key was used twice"
        );
    }
}

/// Ratchet key (33 bytes) and number (4) of a message's header, which has 57 bytes, and the nonce at its end (12):
/// `waxwing_protocol::message`.
fn key_and_nonce(ciphertext: &[u8]) -> (Vec<u8>, Vec<u8>) {
    const OPENING: usize = 1_259;
    let at = match Message::parse(ciphertext).unwrap() {
        Message::Prekey(_) => 2 + OPENING,
        Message::Ratchet(_) => 2,
    };
    let key = [&ciphertext[at..at + 33], &ciphertext[at + 41..at + 45]].concat();
    (key, ciphertext[at + 45..at + 57].to_vec())
}

impl World {
    fn new() -> Self {
        let devices: Vec<_> = DEVICES
            .iter()
            .map(|&(whose, number, to)| Device {
                party: Party::on_disk(account(whose), number, 10 * whose + number),
                to: account(to),
                written: Vec::new(),
                under_way: UnderWay::default(),
                frames: Vec::new(),
                replies: Vec::new(),
                to_ack: Vec::new(),
                copy: None,
                went_back: false,
                forgotten: BTreeSet::new(),
            })
            .collect();
        let mut lists = BTreeMap::new();
        for whose in [ALICE, BOB].map(account) {
            let of_account = devices.iter().filter(|device| device.party.account() == whose);
            let published: Vec<_> = of_account.map(|device| device.party.published()).collect();
            let list = signed_list_by(&account_key(whose), whose, 1, &published);
            lists.insert(whose, (list, published));
        }
        let mailboxes = devices
            .iter()
            .map(|device| (device.party.me.device, BTreeMap::new()));
        let service = Service {
            lists,
            mailboxes: mailboxes.collect(),
            taken: BTreeSet::new(),
        };
        Self {
            devices,
            service,
            recorder: Recorder::default(),
        }
    }

    /// Does one thing. If the store's process ended in it, it starts again.
    fn step(&mut self, device: usize, step: Step) {
        let done = match step {
            Step::Write => self.devices[device].write(),
            Step::Send => self.send(device),
            Step::Serve(which) => {
                self.serve(device, which);
                Ok(())
            }
            Step::Reply(which) => self.devices[device].take_reply(which),
            Step::Deliver(which) => self.deliver(device, which),
            Step::Ack => {
                self.ack(device);
                Ok(())
            }
            Step::Cut => {
                self.devices[device].disconnect();
                Ok(())
            }
            Step::CrashIn(writes, after) => {
                let side = if after { Side::After } else { Side::Before };
                self.devices[device].party.store.crash.plan(writes, side);
                Ok(())
            }
            Step::Crash => Err(StoreError::Closed),
            Step::Copy => {
                self.devices[device].copy();
                Ok(())
            }
            Step::Restore => {
                self.recorder.went_back |= self.devices[device].go_back();
                Ok(())
            }
        };
        match done {
            Ok(()) => {}
            Err(StoreError::Closed) => self.devices[device].restart(),
            Err(error) => panic!("{error}"),
        }
    }

    /// Encrypts what may leave, and learns what has to be known before.
    fn send(&mut self, device: usize) -> Result<(), StoreError> {
        let sender = &mut self.devices[device];
        let (me, now, under_way) = (
            sender.party.me.clone(),
            sender.party.now,
            sender.under_way.clone(),
        );
        let rng = &mut sender.party.rng;
        let prepared = sender
            .party
            .store
            .write_now(|tx| outbox::prepare(tx, rng, &me, under_way, Packing::up_to(usize::MAX), now))?;
        for outgoing in prepared.outgoing {
            for recipient in &outgoing.message.recipients {
                for to in &recipient.devices {
                    self.recorder.record(to.ciphertext.as_bytes());
                }
            }
            sender.under_way.leave(outgoing.recipient, outgoing.entry);
            sender.frames.push(outgoing);
        }
        for account in prepared.learn {
            self.learn(device, account)?;
        }
        Ok(())
    }

    fn learn(&mut self, device: usize, account: AccountId) -> Result<(), StoreError> {
        let learner = &self.devices[device].party;
        let (me, now) = (learner.me.clone(), learner.now);
        let plan = learner
            .store
            .read_now(|tx| directory::plan(tx, &me, account, now))?;
        let asked = match plan {
            Plan::Ready | Plan::Held => return Ok(()),
            Plan::Fetch => return self.fetch(device, account),
            Plan::ClaimAll => None,
            Plan::Claim(devices) => Some(devices),
        };
        let claimed: Vec<_> = self
            .devices
            .iter_mut()
            .filter(|other| other.party.account() == account && other.party.me.device != me.device)
            .map(|other| other.party.bundle())
            .collect();
        let bundles = Bundles {
            request: RequestId::MIN,
            account,
            list: self.service.lists[&account].0.clone(),
            bundles: claimed,
        };
        let party = &mut self.devices[device].party;
        let rng = &mut party.rng;
        taken(
            party
                .store
                .write_now(|tx| directory::take_bundles(tx, rng, &me, asked.as_deref(), &bundles, now)),
        )
    }

    fn fetch(&mut self, device: usize, account: AccountId) -> Result<(), StoreError> {
        let party = &self.devices[device].party;
        let (me, now) = (party.me.clone(), party.now);
        let (list, published) = &self.service.lists[&account];
        taken(
            party
                .store
                .write_now(|tx| directory::take_list(tx, &me, account, list, published, now)),
        )
    }

    /// The service puts a message into all mailboxes; a repetition changes nothing.
    fn serve(&mut self, device: usize, which: u8) {
        let sender = &mut self.devices[device];
        if sender.frames.is_empty() {
            return;
        }
        let outgoing = sender.frames.remove(pick(which, sender.frames.len()));
        for carried in sender.party.carry(&outgoing) {
            let was_there = self.service.taken.contains(&(carried.to, carried.envelope.id));
            let mailbox = self.service.mailboxes.get_mut(&carried.to).unwrap();
            // One that was acked is put again by a frame that comes late, and comes again.
            let first = mailbox
                .entry(carried.envelope.id)
                .or_insert_with(|| carried.envelope.clone());
            assert!(
                sender.went_back || *first == carried.envelope,
                "{was_there}: another envelope under one id"
            );
        }
        sender.replies.push(outgoing);
    }

    /// The device takes an envelope from its mailbox: any, but none so early that one before it is overtaken by more than a
    /// sender's window.
    fn deliver(&mut self, device: usize, which: u8) -> Result<(), StoreError> {
        let me = self.devices[device].party.me.device;
        let waiting: Vec<_> = self.service.mailboxes[&me].values().cloned().collect();
        let overtaken = |id: EnvelopeId| {
            let later = |(to, taken): &&(RegisteredDevice, EnvelopeId)| {
                *to == me && taken.from == id.from && taken.message > id.message
            };
            self.service.taken.iter().filter(later).count() as u64
        };
        let may_come = |envelope: &&Envelope| {
            waiting.iter().all(|other| {
                other.id.from != envelope.id.from
                    || other.id.message >= envelope.id.message
                    || self.service.taken.contains(&(me, other.id))
                    || overtaken(other.id) < WINDOW
            })
        };
        let candidates: Vec<_> = waiting.iter().filter(may_come).cloned().collect();
        if candidates.is_empty() {
            return Ok(());
        }
        let envelope = candidates[pick(which, candidates.len())].clone();
        let receiver = &mut self.devices[device];
        if receiver.receive(&envelope, false)? == Received::AskForOwnList {
            let own = me.address.account;
            self.fetch(device, own)?;
            self.devices[device].receive(&envelope, true)?;
        }
        self.service.taken.insert((me, envelope.id));
        self.devices[device].to_ack.push(envelope.id);
        Ok(())
    }

    fn ack(&mut self, device: usize) {
        let device = &mut self.devices[device];
        let mailbox = self.service.mailboxes.get_mut(&device.party.me.device).unwrap();
        for id in device.to_ack.drain(..) {
            mailbox.remove(&id);
        }
    }

    /// From now on nothing breaks.
    fn come_to_rest(&mut self) {
        for device in &mut self.devices {
            device.restart();
        }
        for _ in 0..MAX_ROUNDS {
            for device in 0..self.devices.len() {
                self.step(device, Step::Send);
                while !self.devices[device].frames.is_empty() {
                    self.step(device, Step::Serve(0));
                }
                while !self.devices[device].replies.is_empty() {
                    self.step(device, Step::Reply(0));
                }
            }
            for device in 0..self.devices.len() {
                let me = self.devices[device].party.me.device;
                while !self.service.mailboxes[&me].is_empty() {
                    self.step(device, Step::Deliver(0));
                    self.step(device, Step::Ack);
                }
            }
            let mut devices = self.devices.iter();
            if devices.all(Device::has_nothing_to_send)
                && self.service.mailboxes.values().all(BTreeMap::is_empty)
            {
                return;
            }
        }
        panic!("never at rest");
    }

    fn check(&mut self) {
        let all: BTreeMap<_, _> = self
            .devices
            .iter()
            .map(|device| (device.party.address(), device.written.clone()))
            .collect();
        for device in &mut self.devices {
            // Whatever is held back behind a gap would be shown now, and the gap be told.
            device.party.skip_gaps(0);
            let shown = device.shown();
            for (from, written) in &all {
                let of_sender = shown.iter().filter(|message| message.from == *from);
                let texts: Vec<_> = of_sender.map(|message| message.text.clone()).collect();
                assert_eq!(&texts, written, "of {from} on {}", device.party.address());
            }
            let own = device.party.address();
            let pending = |message: &&StoredMessage| message.state == MessageState::Pending;
            assert_eq!(shown.iter().filter(pending).count(), 0);
            let told = device.party.told();
            let messages = told.iter().filter(|event| matches!(event, Event::Message(_)));
            let others = shown.iter().filter(|message| message.from != own);
            assert_eq!(messages.count(), others.count(), "told as often as shown");
            let alarm = told.iter().find(|event| {
                matches!(
                    event,
                    Event::Gap { .. }
                        | Event::Undecryptable { .. }
                        | Event::Failed { .. }
                        | Event::ClonedDevice { .. }
                )
            });
            assert_eq!(alarm, None, "on {own}");
        }
    }
}

impl Device {
    fn write(&mut self) -> Result<(), StoreError> {
        let party = &mut self.party;
        let (from, to, now) = (party.address(), self.to, party.now);
        party.now += 1;
        let text = format!("{from} {now}");
        let before = self.pending_or_shown(&text);
        assert!(!before);
        let rng = &mut self.party.rng;
        let written = self
            .party
            .store
            .write_now(|tx| outbox::append(tx, rng, from, to, &text, now));
        match written {
            Ok(_) => self.written.push(text),
            // What a crash cut off is written if the commit was: the person sees it when the app is back.
            Err(StoreError::Closed) => {
                self.restart();
                if self.pending_or_shown(&text) {
                    self.written.push(text);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take_reply(&mut self, which: u8) -> Result<(), StoreError> {
        if self.replies.is_empty() {
            return Ok(());
        }
        let sent = self.replies.remove(pick(which, self.replies.len()));
        let (complete, _) = self.party.store.write_now(|tx| outbox::accepted(tx, &sent))?;
        if complete {
            self.under_way.finish(sent.recipient, sent.entry);
        } else {
            self.under_way.release(sent.entry);
        }
        Ok(())
    }

    fn receive(&mut self, envelope: &Envelope, own_list_is_new: bool) -> Result<Received, StoreError> {
        let (me, now, rng) = (self.party.me.clone(), self.party.now, &mut self.party.rng);
        self.party
            .store
            .write_now(|tx| receive::envelope(tx, rng, &me, envelope, own_list_is_new, now))
    }

    fn disconnect(&mut self) {
        self.frames.clear();
        self.replies.clear();
        self.to_ack.clear();
        self.under_way = UnderWay::default();
    }

    fn restart(&mut self) {
        self.disconnect();
        self.party.crash();
    }

    fn copy(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        self.party.copy_to(folder.path());
        self.copy = Some(folder);
    }

    /// Returns whether there is a copy to go back to.
    fn go_back(&mut self) -> bool {
        let Some(copy) = &self.copy else { return false };
        self.party.go_back_to(copy.path());
        self.disconnect();
        self.went_back = true;
        let shown = self.shown();
        let remembers = |text: &String| shown.iter().any(|message| message.own && message.text == *text);
        let forgotten = self.written.iter().filter(|text| !remembers(text)).cloned();
        self.forgotten = forgotten.collect();
        true
    }

    fn has_nothing_to_send(&self) -> bool {
        self.party.store.read_now(entries::recipients).unwrap().is_empty()
    }

    /// The conversation as the app shows it.
    fn shown(&self) -> Vec<StoredMessage> {
        let with = self.to;
        self.party
            .store
            .read_now(|tx| messages::of_conversation(tx, with))
            .unwrap()
    }

    fn pending_or_shown(&self, text: &str) -> bool {
        self.shown().iter().any(|message| message.text == text)
    }
}

/// One of so many, at least one.
fn pick(which: u8, count: usize) -> usize {
    usize::from(which) % count
}

/// What was taken is in the store, or the process ended.
fn taken<T>(result: Result<T, TakeError>) -> Result<(), StoreError> {
    match result {
        Ok(_) => Ok(()),
        Err(TakeError::Store(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// The check of the recorder: a device that goes on with an older state, as from a backup, is caught.
#[test]
#[should_panic(expected = "x25")]
fn x25_the_recorder_notices_a_message_key_used_twice() {
    let mut world = World::new();
    world.step(2, Step::Write);
    world.step(2, Step::Send);
    world.step(2, Step::Send);
    let folder = tempfile::tempdir().unwrap();
    let backup = world.devices[2].party.copy_to(folder.path());
    world.step(2, Step::Write);
    world.step(2, Step::Send);
    world.devices[2].party.restore(&backup);
    world.devices[2].disconnect();
    world.step(2, Step::Write);
    world.step(2, Step::Send);
}
