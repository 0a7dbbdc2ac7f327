//! Devices for tests: real stores, real sessions, and envelopes carried by hand.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use rusqlite::Transaction;
use tempfile::TempDir;
use waxwing_protocol::{
    device_list::SignedDeviceList,
    keys::{AccountKeyPair, DeviceKeys},
};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, Envelope, EnvelopeId, MessageId, RegisteredDevice,
    RegistrationId, RequestId,
    claim::{Bundles, PrekeyBundle},
    keys::{NewDevice, OneTimePrekey, PublishedDevice},
};

use crate::{
    channel,
    config::{ClientConfig, Durability, Endpoints, StoreLocation},
    devices,
    directory::{self, Plan, TakeError},
    events::{Effects, Event},
    frames::Packing,
    keys::{KeyStore, KeyStoreError, StoreSecret, beside},
    outbox::{self, Outgoing, Prepared},
    prekeys,
    receive::{self, Received},
    sessions::{self, Me},
    store::{
        Store, StoreError,
        identity::{self, ThisDevice},
        timeline,
    },
    transport::token::Credentials,
    trust,
    under_way::UnderWay,
};

/// A moment to begin at.
pub(crate) const NOW: u64 = 1_800_000_000_000;

/// How long receipts wait for company.
pub(crate) const RECEIPT_LINGER: Duration = Duration::from_secs(2);

/// One device with a store of its own.
pub(crate) struct Party {
    pub(crate) store: Store,
    pub(crate) me: Arc<Me>,
    pub(crate) rng: StdRng,
    pub(crate) now: u64,
    published: NewDevice,
    pool: Vec<OneTimePrekey>,
    file: Option<TempDir>,
}

/// An account for tests.
pub(crate) fn account(seed: u64) -> AccountId {
    AccountId::random(&mut StdRng::seed_from_u64(seed))
}

/// The key of an account for tests: one for each.
pub(crate) fn account_key(account: AccountId) -> AccountKeyPair {
    AccountKeyPair::generate(&mut seeded(account, 0))
}

/// Another key that the same account has after `times` take-overs.
pub(crate) fn account_key_after(account: AccountId, times: u8) -> AccountKeyPair {
    AccountKeyPair::generate(&mut seeded(account, times))
}

fn seeded(account: AccountId, times: u8) -> StdRng {
    let mut seed = [times; 32];
    seed[..16].copy_from_slice(&account.to_bytes());
    StdRng::from_seed(seed)
}

/// A list with these devices, signed; each newer than all before it in this process.
pub(crate) fn signed_list(account: AccountId, devices: &[PublishedDevice]) -> DeviceList {
    static VERSION: AtomicU32 = AtomicU32::new(1);
    let version = VERSION.fetch_add(1, Ordering::Relaxed);
    signed_list_by(&account_key(account), account, version, devices)
}

/// A list with these devices, signed by this key under this version.
pub(crate) fn signed_list_by(
    key: &AccountKeyPair,
    account: AccountId,
    version: u32,
    devices: &[PublishedDevice],
) -> DeviceList {
    let entry = |device: &PublishedDevice| {
        let keys = sessions::verify_identity(&device.identity).unwrap();
        devices::entry(device.device, device.registration, keys).unwrap()
    };
    let entries = devices.iter().map(entry).collect();
    let list = SignedDeviceList::sign(key, account.to_bytes(), version, NOW, entries).unwrap();
    trust::to_wire(&list).unwrap()
}

impl Party {
    /// A device of an account, in memory. `seed` decides its keys.
    pub(crate) fn new(account: AccountId, device: u64, seed: u64) -> Self {
        Self::at(StoreLocation::Memory, None, account, device, seed)
    }

    /// The same with its store in a file, so that it can be dropped and opened again.
    pub(crate) fn on_disk(account: AccountId, device: u64, seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Unencrypted(folder.path().join("device.db"));
        Self::at(location, Some(folder), account, device, seed)
    }

    /// The same with its store at a location.
    pub(crate) fn at_location(location: StoreLocation, account: AccountId, device: u64, seed: u64) -> Self {
        Self::at(location, None, account, device, seed)
    }

    fn at(
        location: StoreLocation,
        file: Option<TempDir>,
        account: AccountId,
        device: u64,
        seed: u64,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let store = Store::open(&location, Durability::ProcessCrash, &mut rng).unwrap();
        let address = DeviceAddress {
            account,
            device: DeviceId::new(device).unwrap(),
        };
        let this = ThisDevice {
            keys: DeviceKeys::generate(&mut rng),
            registration: RegistrationId::random(&mut rng),
            account,
            device: Some(address.device),
            account_key: Some(account_key(account)),
            removed: None,
        };
        let published = store
            .write_now::<_, StoreError>(|tx| {
                identity::insert(tx, &this)?;
                prekeys::make_first(tx, &mut rng, NOW)?;
                let published = prekeys::first_published(tx, &this.keys, this.registration)?;
                prekeys::confirm_first(tx, &published)?;
                Ok(published)
            })
            .unwrap();
        let registered = RegisteredDevice {
            address,
            registration: this.registration,
        };
        let me = Me {
            credentials: Credentials {
                key: this.keys.signing().clone(),
                device: registered,
                audience: "test".to_owned(),
            },
            receipt_linger: RECEIPT_LINGER,
            keys: this.keys,
            device: registered,
        };
        Self {
            store,
            me: Arc::new(me),
            rng,
            now: NOW,
            pool: published.one_time_prekeys.clone(),
            published,
            file,
        }
    }

    pub(crate) fn address(&self) -> DeviceAddress {
        self.me.address()
    }

    pub(crate) fn account(&self) -> AccountId {
        self.me.address().account
    }

    /// Drops the store and opens its file again, as after a crash.
    pub(crate) fn reopen(&mut self) {
        let path = self.file.as_ref().unwrap().path().join("device.db");
        self.store.close().unwrap();
        let location = StoreLocation::Unencrypted(path);
        self.store = Store::open(&location, Durability::ProcessCrash, &mut self.rng).unwrap();
    }

    /// Ends the process as a crash does, and starts it again with what is in the files at that moment: nothing is
    /// brought from the `-wal` into the file, nothing is said to be closed.
    pub(crate) fn crash(&mut self) {
        let folder = tempfile::tempdir().unwrap();
        let after = self.copy_to(folder.path());
        self.restore(&after);
        self.file = Some(folder);
    }

    /// Goes back to what a copy in a folder holds, which stays as it is.
    pub(crate) fn go_back_to(&mut self, copy: &Path) {
        let folder = tempfile::tempdir().unwrap();
        let again = copy_store(&copy.join("device.db"), folder.path());
        self.restore(&again);
        self.file = Some(folder);
    }

    /// Copies the store's files into a folder, as a backup does.
    pub(crate) fn copy_to(&self, folder: &Path) -> PathBuf {
        copy_store(&self.file.as_ref().unwrap().path().join("device.db"), folder)
    }

    /// Goes on with a copy of the store.
    pub(crate) fn restore(&mut self, copy: &Path) {
        self.store.close().unwrap();
        let location = StoreLocation::Unencrypted(copy.to_owned());
        self.store = Store::open(&location, Durability::ProcessCrash, &mut self.rng).unwrap();
    }

    /// The device as the service lists it.
    pub(crate) fn published(&self) -> PublishedDevice {
        PublishedDevice {
            device: self.me.address().device,
            registration: self.published.registration,
            identity: self.published.identity,
            signed_prekey: self.published.signed_prekey.clone(),
        }
    }

    /// A bundle as the service hands one out.
    pub(crate) fn bundle(&mut self) -> PrekeyBundle {
        PrekeyBundle {
            published: self.published(),
            one_time_prekey: self.pool.pop(),
        }
    }

    /// A bundle when the pool is empty.
    pub(crate) fn bundle_without_one_time_prekey(&self) -> PrekeyBundle {
        PrekeyBundle {
            published: self.published(),
            one_time_prekey: None,
        }
    }

    pub(crate) fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, &mut StdRng) -> Result<T, StoreError>,
    ) -> T {
        let rng = &mut self.rng;
        self.store.write_now(|tx| work(tx, rng)).unwrap()
    }

    /// Learns all devices of an account by a claim.
    pub(crate) fn claim(&mut self, account: AccountId, bundles: &[PrekeyBundle]) -> Effects {
        let listed: Vec<_> = bundles.iter().map(|bundle| bundle.published.clone()).collect();
        let list = signed_list(account, &self.with_own(account, &listed));
        self.claim_beside(account, list, None, bundles).unwrap()
    }

    /// Takes bundles beside a list.
    pub(crate) fn claim_beside(
        &mut self,
        account: AccountId,
        list: DeviceList,
        asked: Option<&[DeviceId]>,
        bundles: &[PrekeyBundle],
    ) -> Result<Effects, TakeError> {
        let claimed = Bundles {
            request: RequestId::MIN,
            account,
            list,
            bundles: bundles.to_vec(),
        };
        let (me, now, rng) = (self.me.clone(), self.now, &mut self.rng);
        self.store
            .write_now(|tx| directory::take_bundles(tx, rng, &me, asked, &claimed, now))
    }

    /// These devices, and among those of the own account this one.
    fn with_own(&self, account: AccountId, devices: &[PublishedDevice]) -> Vec<PublishedDevice> {
        let own = self.address().device;
        let mut all = devices.to_vec();
        if account == self.account() && !all.iter().any(|device| device.device == own) {
            all.push(self.published());
        }
        all
    }

    /// Learns of another device as the only one of its account, and that we have none but this one.
    pub(crate) fn meet(&mut self, other: &mut Party) {
        let bundle = other.bundle();
        self.claim(other.account(), &[bundle]);
        self.claim(self.account(), &[]);
    }

    /// Learns the list of an account's devices, without bundles.
    pub(crate) fn list(&mut self, account: AccountId, devices: &[PublishedDevice]) -> Effects {
        let devices = self.with_own(account, devices);
        let list = signed_list(account, &devices);
        self.list_beside(account, &list, &devices).unwrap()
    }

    /// Takes a list, and what the service publishes beside it.
    pub(crate) fn list_beside(
        &mut self,
        account: AccountId,
        list: &DeviceList,
        published: &[PublishedDevice],
    ) -> Result<Effects, TakeError> {
        let (me, now) = (self.me.clone(), self.now);
        self.store
            .write_now(|tx| directory::take_list(tx, &me, account, list, published, now))
    }

    /// What is to be done before an account can be written to.
    pub(crate) fn plan(&mut self, account: AccountId) -> Plan {
        let (me, now) = (self.me.clone(), self.now);
        self.write(|tx, _| directory::plan(tx, &me, account, now))
    }

    /// Puts a text into the outbox.
    pub(crate) fn write_to(&mut self, to: AccountId, text: &str) -> MessageId {
        let (from, now) = (self.address(), self.now);
        self.now += 1;
        self.write(|tx, rng| outbox::append(tx, rng, from, to, text, now))
    }

    /// Encrypts what is in the outbox and may leave.
    pub(crate) fn prepare(&mut self, under_way: UnderWay) -> Prepared {
        let (me, now) = (self.me.clone(), self.now);
        self.write(|tx, rng| outbox::prepare(tx, rng, &me, under_way, Packing::up_to(usize::MAX), now))
    }

    /// Takes the answer *accepted*; whether the message is done with.
    pub(crate) fn accept(&mut self, sent: &Outgoing) -> bool {
        self.write(|tx, _| outbox::accepted(tx, sent)).0
    }

    /// Sends a text to an account all of whose devices are known; the envelopes it became.
    pub(crate) fn send(&mut self, to: AccountId, text: &str) -> Vec<Carried> {
        self.write_to(to, text);
        let prepared = self.prepare(UnderWay::default());
        assert!(prepared.learn.is_empty(), "unknown: {:?}", prepared.learn);
        let [outgoing] = &prepared.outgoing[..] else {
            panic!("{:?}", prepared.outgoing.len());
        };
        assert!(self.accept(outgoing));
        self.carry(outgoing)
    }

    /// Sends what is ready, and all of it is accepted.
    pub(crate) fn leave(&mut self) -> Vec<Carried> {
        let outgoing = self.prepare(UnderWay::default()).outgoing;
        let mut carried = Vec::new();
        for outgoing in outgoing {
            assert!(self.accept(&outgoing));
            carried.extend(self.carry(&outgoing));
        }
        carried
    }

    /// The envelopes of a message.
    pub(crate) fn carry(&self, outgoing: &Outgoing) -> Vec<Carried> {
        let id = EnvelopeId {
            message: outgoing.message.message,
            from: self.address(),
        };
        let mut carried = Vec::new();
        for recipient in &outgoing.message.recipients {
            for device in &recipient.devices {
                let address = DeviceAddress {
                    account: recipient.account,
                    device: device.device,
                };
                let ciphertext = device.ciphertext.clone();
                carried.push(Carried {
                    to: RegisteredDevice {
                        address,
                        registration: device.registration,
                    },
                    envelope: Envelope { id, ciphertext },
                });
            }
        }
        carried
    }

    /// Takes an envelope. Where the own list is to be asked for, it was, and is the same.
    pub(crate) fn receive(&mut self, envelope: &Envelope) -> Effects {
        match self.receive_once(envelope, false) {
            Received::Dealt(effects) => effects,
            Received::CameAgain => Effects::default(),
            Received::AskForOwnList => match self.receive_once(envelope, true) {
                Received::Dealt(effects) => effects,
                other => panic!("{other:?}"),
            },
        }
    }

    /// Takes an envelope.
    pub(crate) fn receive_once(&mut self, envelope: &Envelope, own_list_is_new: bool) -> Received {
        let (me, now) = (self.me.clone(), self.now);
        self.write(|tx, rng| receive::envelope(tx, rng, &me, envelope, own_list_is_new, now))
    }

    /// Takes those of these envelopes that are for this device.
    pub(crate) fn receive_all(&mut self, carried: &[Carried]) {
        for carried in carried {
            if carried.to == self.me.device {
                self.receive(&carried.envelope);
            }
        }
    }

    /// Reports gaps older than this.
    pub(crate) fn skip_gaps(&mut self, wait_millis: u64) {
        let now = self.now;
        self.write(|tx, _| channel::skip_old_gaps(tx, wait_millis, now));
    }

    /// Waits until no gap holds anything back: each is reported by itself, after a wait of its own.
    pub(crate) fn wait_out_gaps(&mut self) {
        while self.store.read_now(channel::oldest_gap).unwrap().is_some() {
            self.now += 60_000;
            self.skip_gaps(1);
        }
    }

    /// Everything the app was to be told so far.
    pub(crate) fn told(&self) -> Vec<Event> {
        let events = self
            .store
            .read_now(|tx| timeline::events_between(tx, 0, u64::MAX, usize::MAX));
        events.unwrap().into_iter().map(|(_, event)| event).collect()
    }

    /// The texts of the messages it was told, in order.
    pub(crate) fn texts(&self) -> Vec<String> {
        let text = |event| match event {
            Event::Message(message) => Some(message.text),
            _ => None,
        };
        self.told().into_iter().filter_map(text).collect()
    }
}

/// The configuration of a client whose service is nowhere.
pub(crate) fn without_service(location: StoreLocation) -> ClientConfig {
    let endpoints = Endpoints {
        websocket_url: "ws://127.0.0.1:9/test".to_owned(),
        http_url: "http://127.0.0.1:9/test".to_owned(),
        audience: "test".to_owned(),
    };
    ClientConfig::new(location, endpoints)
}

/// Two devices of two people that know each other, in files.
pub(crate) fn acquainted() -> (Party, Party) {
    let mut alice = Party::on_disk(account(1), 1, 11);
    let mut bob = Party::on_disk(account(2), 1, 12);
    alice.meet(&mut bob);
    bob.list(account(1), &[alice.published()]);
    bob.claim(account(2), &[]);
    (alice, bob)
}

/// One writes, and the other gets it.
pub(crate) fn exchange(from: &mut Party, to: &mut Party, text: &str) {
    from.write_to(to.account(), text);
    flush(from, to);
}

/// Sends what is in the outbox, with the sessions it takes; of what both were told in passing, the resets.
pub(crate) fn flush(from: &mut Party, to: &mut Party) -> Vec<Event> {
    let mut told = Vec::new();
    for _ in 0..20 {
        // A list lives for a day.
        from.list(from.account(), &[]);
        if from.plan(to.account()) == Plan::Fetch {
            from.list(to.account(), &[to.published()]);
        }
        if matches!(from.plan(to.account()), Plan::Claim(_)) {
            let bundle = to.bundle_without_one_time_prekey();
            from.claim(to.account(), &[bundle]);
        }
        for outgoing in from.prepare(UnderWay::default()).outgoing {
            told.extend(from.write(|tx, _| outbox::accepted(tx, &outgoing)).1.events);
            for carried in from.carry(&outgoing) {
                told.extend(to.receive(&carried.envelope).events);
            }
        }
    }
    told.retain(|event| matches!(event, Event::SessionReset { .. }));
    told
}

/// A key in memory, for as long as somebody holds it.
#[derive(Clone, Debug, Default)]
pub(crate) struct HeldKey(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    secret: Option<StoreSecret>,
    saved: usize,
    locked: bool,
}

impl HeldKey {
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        let held = Self::default();
        held.0.lock().unwrap().secret = Some(StoreSecret::from_bytes(bytes).unwrap());
        held
    }

    /// How often a secret was saved.
    pub(crate) fn saved(&self) -> usize {
        self.0.lock().unwrap().saved
    }

    /// Fails from now on, or does not.
    pub(crate) fn fail(&self, locked: bool) {
        self.0.lock().unwrap().locked = locked;
    }
}

impl KeyStore for HeldKey {
    fn load(&self) -> Result<Option<StoreSecret>, KeyStoreError> {
        let held = self.0.lock().unwrap();
        if held.locked {
            return Err(KeyStoreError::Locked);
        }
        Ok(held.secret.clone())
    }

    fn save(&self, secret: &StoreSecret) -> Result<(), KeyStoreError> {
        let mut held = self.0.lock().unwrap();
        held.saved += 1;
        held.secret = Some(secret.clone());
        Ok(())
    }
}

/// Copies the files of a store into a folder.
fn copy_store(original: &Path, folder: &Path) -> PathBuf {
    let copy = folder.join("device.db");
    for suffix in ["", "-wal"] {
        let original = beside(original, suffix);
        if original.exists() {
            std::fs::copy(original, beside(&copy, suffix)).unwrap();
        }
    }
    copy
}

/// An envelope on its way.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(crate) to: RegisteredDevice,
    pub(crate) envelope: Envelope,
}
