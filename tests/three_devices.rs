//! Three devices of two people, whom everything happens to that can: they write, read and are told, frames are lost,
//! connections break, processes end at any moment and start again with what their files hold. At rest every device shows the
//! same conversation, nothing lost and nothing twice, and no message key was used for two things. I1, I3, I4, I17; X25.
//!
//! The library's own test of that name does the same in one process, at every write of the store; here sockets, service and
//! clocks are real. In every other life frames vanish while their connection stays, and every device connects once more at the
//! end, as one does that has heard nothing for long. In the others connections only break, and nobody is helped: whoever is
//! connected hears of everything. A seed gives the same choices again, not the same moments. `WAXWING_LIVES=100` runs a hundred lives,
//! `WAXWING_LIFE=123` the one with this seed.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use scenarios::{
    Network, Phone, Service,
    network::{Verdict, Way},
    people::reopened,
    until,
};
use serde_json::Value;
use waxwing_client::{
    AccountId, Client, ClientConfig, Durability, Event, MessageId, MessageState, StoreLocation,
    wire::{Ciphertext, DeviceAddress},
};

/// Lives in an ordinary run.
const LIVES: u32 = 3;

/// Things that happen in one.
const STEPS: usize = 70;

/// Of a hundred frames in bad weather so many cut the connection before they arrive, or behind it, or are lost.
const BAD: [(Verdict, u32); 3] = [(Verdict::Cut, 3), (Verdict::PassThenCut, 3), (Verdict::Lose, 2)];

#[allow(
    clippy::disallowed_methods,
    reason = "whoever runs the test says how much of it"
)]
fn from_environment<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_devices_behind_real_sockets_show_the_same_conversation_whatever_happens() {
    if let Some(seed) = from_environment("WAXWING_LIFE") {
        return live(seed).await;
    }
    for _ in 0..from_environment("WAXWING_LIVES").unwrap_or(LIVES) {
        live(rand::random()).await;
    }
}

async fn live(seed: u64) {
    println!("WAXWING_LIFE={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut world = World::new(&mut rng).await;
    for _ in 0..STEPS {
        world.step(&mut rng).await;
    }
    world.come_to_rest().await;
    world.check().await;
}

/// The weather on the way between devices and service, and what was seen there.
struct Sky {
    rng: StdRng,
    bad: bool,
    /// Whether frames are lost while their connection stays.
    loses: bool,
    /// Every ciphertext that left, by what names its message key on the wire.
    sent: HashMap<Vec<u8>, Vec<u8>>,
}

impl Sky {
    fn judge(&mut self, way: Way, frame: &Value) -> Verdict {
        if way == Way::ToService && frame["action"] == "send" {
            self.record(frame);
        }
        if !self.bad {
            return Verdict::Pass;
        }
        let mut drawn = self.rng.random_range(0..100_u32);
        for (verdict, share) in BAD {
            match drawn.checked_sub(share) {
                None if verdict == Verdict::Lose && !self.loses => return Verdict::Pass,
                None => return verdict,
                Some(rest) => drawn = rest,
            }
        }
        Verdict::Pass
    }

    /// X25, I17: a message key encrypts one thing. The same bytes may leave again.
    fn record(&mut self, frame: &Value) {
        let messages = frame["messages"].as_array().unwrap().iter();
        let recipients = messages.flat_map(|message| message["recipients"].as_array().unwrap());
        let devices = recipients.flat_map(|recipient| recipient["devices"].as_array().unwrap());
        for device in devices {
            let ciphertext: Ciphertext = serde_json::from_value(device["ciphertext"].clone()).unwrap();
            let bytes = ciphertext.as_bytes();
            // docs/protocol.md, "Messages on the wire": the header is behind the opening that a prekey message has.
            let header = if bytes[1] == 1 { 2 + 1_259 } else { 2 };
            let key = [&bytes[header..header + 33], &bytes[header + 41..header + 45]].concat();
            let before = self.sent.insert(key, bytes.to_vec());
            assert!(
                before.is_none_or(|before| before == bytes),
                "x25: a message key was used twice"
            );
        }
    }
}

struct World {
    service: Service,
    sky: Arc<Mutex<Sky>>,
    /// Alice's phone and laptop, Bob's phone.
    devices: Vec<Device>,
    written: BTreeMap<DeviceAddress, Vec<MessageId>>,
    _networks: Vec<Network>,
    _folder: tempfile::TempDir,
}

struct Device {
    client: Option<Client>,
    address: DeviceAddress,
    to: AccountId,
    config: ClientConfig,
}

impl World {
    async fn new(rng: &mut StdRng) -> Self {
        let service = Service::start().await;
        let folder = tempfile::tempdir().unwrap();
        let sky = Arc::new(Mutex::new(Sky {
            rng: StdRng::seed_from_u64(rng.random()),
            bad: false,
            loses: rng.random(),
            sent: HashMap::new(),
        }));
        let (mut networks, mut configs, mut clients) = (Vec::new(), Vec::new(), Vec::new());
        for name in ["phone", "laptop", "bob"] {
            let sky = sky.clone();
            let judge = move |way, frame: &Value| sky.lock().unwrap().judge(way, frame);
            let network = Network::between(&service.endpoints(), judge).await;
            let config = config(&network, &service, folder.path().join(name));
            networks.push(network);
            clients.push(Client::open(config.clone()).await.unwrap());
            configs.push(config);
        }
        let [phone, laptop, bob] = <[Client; 3]>::try_from(clients).ok().unwrap();
        let phone = Phone::registered_as(phone, &service).await;
        phone.client.connect();
        let laptop = phone.link_another_as(laptop).await;
        let bob = Phone::registered_as(bob, &service).await;
        bob.client.connect();
        let (alices, bobs) = (phone.account(), bob.account());
        let devices = [(phone, bobs), (laptop, bobs), (bob, alices)]
            .into_iter()
            .zip(configs)
            .map(|((phone, to), config)| Device {
                address: phone.address(),
                client: Some(phone.client),
                to,
                config,
            });
        Self {
            devices: devices.collect(),
            service,
            sky,
            written: BTreeMap::new(),
            _networks: networks,
            _folder: folder,
        }
    }

    async fn step(&mut self, rng: &mut StdRng) {
        let index = rng.random_range(0..self.devices.len());
        let device = &mut self.devices[index];
        let wait = Duration::from_millis(rng.random_range(0..30));
        match rng.random_range(0..100_u32) {
            0..50 => {
                let client = device.running().await;
                let count = rng.random_range(1..4);
                for _ in 0..count {
                    let written = self.written.entry(device.address).or_default();
                    let text = format!("{} {}", device.address, written.len());
                    written.push(client.send_text(device.to, &text).await.unwrap());
                }
            }
            50..60 => {
                let client = device.running().await;
                let newest = client
                    .messages(device.to)
                    .unwrap()
                    .last()
                    .map(|message| message.position);
                client
                    .mark_read(device.to, newest.unwrap_or_default())
                    .await
                    .unwrap();
            }
            60..68 => device.running().await.disconnect().await,
            68..86 => device.running().await.connect(),
            // The process ends, wherever it was.
            86..94 => device.client = None,
            _ => {
                let mut sky = self.sky.lock().unwrap();
                sky.bad = !sky.bad;
            }
        }
        tokio::time::sleep(wait).await;
    }

    /// From now on nothing breaks.
    async fn come_to_rest(&mut self) {
        let loses = {
            let mut sky = self.sky.lock().unwrap();
            sky.bad = false;
            sky.loses
        };
        for device in &mut self.devices {
            let client = device.running().await;
            if loses {
                client.disconnect().await;
            }
            client.connect();
        }
        let (devices, service) = (&self.devices, &self.service);
        let all: BTreeSet<_> = self.written.values().flatten().copied().collect();
        until("rest", async || {
            let at_rest = |device: &Device| {
                let client = device.client.as_ref().unwrap();
                let shown: BTreeSet<_> = client
                    .messages(device.to)
                    .unwrap()
                    .iter()
                    .map(|shown| shown.id)
                    .collect();
                client.pending().unwrap() == 0 && shown == all
            };
            devices.iter().all(at_rest) && service.mailbox().await.is_empty()
        })
        .await;
    }

    async fn check(self) {
        let mut conversations = Vec::new();
        for device in &self.devices {
            let client = device.client.as_ref().unwrap();
            let shown = client.messages(device.to).unwrap();
            for (from, written) in &self.written {
                let of_sender = shown.iter().filter(|message| message.from == *from);
                let ids: Vec<_> = of_sender.map(|message| message.id).collect();
                assert_eq!(&ids, written, "of {from} on {}", device.address);
            }
            let mut texts: Vec<_> = shown
                .iter()
                .map(|message| (message.id, message.text.clone()))
                .collect();
            texts.sort();
            conversations.push(texts);
            let pending = [MessageState::Pending, MessageState::Sent];
            assert!(!shown.iter().any(|message| pending.contains(&message.state)));
            // What the app was told, from the beginning: each message of others once, and no alarm.
            let mut events = client.events().await.unwrap();
            let others = shown
                .iter()
                .filter(|message| message.from != device.address)
                .count();
            let mut told = Vec::new();
            while told.len() < others {
                match scenarios::within_patience("what was kept", events.next())
                    .await
                    .unwrap()
                {
                    Event::Message(message) => told.push(message.id),
                    alarm @ (Event::Gap { .. }
                    | Event::Undecryptable { .. }
                    | Event::Failed { .. }
                    | Event::ClonedDevice { .. }) => panic!("{alarm:?} on {}", device.address),
                    _ => {}
                }
            }
            let distinct: BTreeSet<_> = told.iter().collect();
            assert_eq!(distinct.len(), told.len(), "told twice on {}", device.address);
        }
        assert!(conversations.iter().all(|texts| *texts == conversations[0]));
        for device in self.devices {
            device.client.unwrap().close().await.unwrap();
        }
    }
}

impl Device {
    /// Its client, started again if it crashed.
    async fn running(&mut self) -> Client {
        if self.client.is_none() {
            let client = reopened(&self.config).await;
            client.connect();
            self.client = Some(client);
        }
        self.client.clone().unwrap()
    }
}

/// A client with a store in a file, that notices quickly that a connection is gone.
fn config(network: &Network, service: &Service, file: PathBuf) -> ClientConfig {
    let store = StoreLocation::Unencrypted(file);
    let mut config = Service::config_at(network.endpoints(&service.endpoints()), store);
    config.durability = Durability::ProcessCrash;
    config.timings.request_timeout = Duration::from_millis(1_000);
    config.timings.taken_over_wait = Duration::from_millis(50);
    config
}
