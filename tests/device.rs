//! A device in a process of its own, which the story `killed_client` kills and starts again. No part of what is deployed.
//!
//! Arguments: folder of the device, WebSocket URL, HTTP URL, account to write to, how many texts to write in this life, and
//! how many in all lives together. It ends when its standard input does. What the app has shown and written is in the
//! file `ledger` of the folder, a line each: `shown POSITION on-time TEXT`, `shown POSITION late TEXT`, `gap FIRST LAST`, `wrote TEXT`.

use std::{
    collections::BTreeSet,
    fs::{File, OpenOptions},
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::oneshot;
use waxwing_client::{
    AccountId, Client, ClientConfig, Durability, Endpoints, Event, StoreLocation, keys::KeyFile,
};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().unwrap();
    let folder = PathBuf::from(next());
    let endpoints = Endpoints {
        websocket_url: next(),
        http_url: next(),
        audience: "waxwing".to_owned(),
    };
    let peer: AccountId = next().parse().unwrap();
    let (in_this_life, in_all): (usize, usize) = (next().parse().unwrap(), next().parse().unwrap());

    let store = StoreLocation::file(folder.join("device.db"), KeyFile::new(folder.join("device.key")));
    let mut config = ClientConfig::new(store, endpoints);
    // A killed process loses nothing that the kernel has.
    config.durability = Durability::ProcessCrash;
    config.timings.ack_linger = Duration::from_millis(25);
    config.timings.backoff_first = Duration::from_millis(20);
    let client = Client::open(config).await.unwrap();
    let mut ledger = Ledger::open(&folder);
    let mut events = client.events().await.unwrap();
    client.connect();

    let writing = tokio::spawn(write(
        client.clone(),
        peer,
        in_this_life,
        in_all,
        Ledger::open(&folder),
    ));
    let mut end = end_of_input();
    loop {
        tokio::select! {
            event = events.next() => {
                match event {
                    Some(Event::Message(message)) => {
                        let when = if message.late { "late" } else { "on-time" };
                        ledger.show(events.position(), &format!("{when} {}", message.text));
                    }
                    Some(Event::Gap { missing, .. }) => {
                        ledger.write(&format!("gap {} {}", missing.start(), missing.end()));
                    }
                    _ => {}
                }
            }
            _ = &mut end => break,
        }
    }
    writing.await.unwrap();
    events.confirm().await;
    client.close().await.unwrap();
}

/// Writes on where the life before ended.
async fn write(client: Client, peer: AccountId, in_this_life: usize, in_all: usize, mut ledger: Ledger) {
    let shown = client.messages(peer).unwrap();
    let written = shown.iter().filter(|message| message.own).count();
    for number in written..in_all.min(written + in_this_life) {
        let text = format!("bob {number}");
        client.send_text(peer, &text).await.unwrap();
        ledger.write(&format!("wrote {text}"));
    }
}

/// Told when the standard input ends.
fn end_of_input() -> oneshot::Receiver<()> {
    let (tell, told) = oneshot::channel();
    std::thread::spawn(move || {
        let _ended = std::io::stdin().read(&mut [0]);
        tell.send(())
    });
    told
}

/// What the app has shown, by its place in the timeline: how an app shows once what it may be told twice.
struct Ledger {
    file: File,
    shown: BTreeSet<u64>,
}

impl Ledger {
    fn open(folder: &Path) -> Self {
        let path = folder.join("ledger");
        let lines = std::fs::read_to_string(&path).unwrap_or_default();
        let position = |line: &str| line.strip_prefix("shown ")?.split(' ').next()?.parse().ok();
        Self {
            shown: lines.lines().filter_map(position).collect(),
            file: OpenOptions::new().append(true).create(true).open(path).unwrap(),
        }
    }

    fn show(&mut self, position: u64, text: &str) {
        if self.shown.insert(position) {
            self.write(&format!("shown {position} {text}"));
        }
    }

    /// One call of the system: whole, or not at all.
    fn write(&mut self, line: &str) {
        self.file.write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}
