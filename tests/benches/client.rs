//! What the client costs on a device, with its store encrypted and beside that without: opening a store of 100,000 messages,
//! the first page of a conversation, 10,000 messages that wait in the mailbox, and the memory of a client that is connected and
//! idle.
//!
//! `cargo bench -p scenarios --bench client`; a word after `--` picks the parts that have it in their name, a number sets the
//! size (`-- drain 1000`). Linux only: CPU time and memory are read from `/proc`. Each figure is of a process of its own, which is
//! this program started again, so that neither runner nor sender is in it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench is no library"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use rusqlite::{Connection, params};
use scenarios::{Phone, Service, people::confirm};
use waxwing_client::{
    AccountId, Client, ClientConfig, Endpoints, Event, MessageId, StoreLocation, keys::KeyFile,
};

/// Messages of the store that is opened.
const STORED: usize = 100_000;
/// Conversations they are in.
const CONVERSATIONS: usize = 20;
/// Messages of a page.
const PAGE: usize = 50;
/// Messages that wait.
const WAITING: usize = 10_000;
/// People who sent them: as many as keep within what the service lets one send in a minute.
const SENDERS: usize = 20;
/// Clients of which the memory is taken.
const IDLE: usize = 20;
/// How often a store is opened, for a median worth the name.
const OPENINGS: usize = 15;

/// How a store is kept: `encrypted` or `unencrypted`.
const KINDS: [&str; 2] = ["encrypted", "unencrypted"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let ["child", rest @ ..] = &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        return runtime().block_on(child(rest));
    }
    println!("{:<44} {:>10} {:>12} {:>6}", "", KINDS[0], KINDS[1], "ratio");
    let words: Vec<_> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let size = words.iter().find_map(|word| word.parse::<usize>().ok());
    let part = words.iter().find(|word| word.parse::<usize>().is_err());
    let wanted = |name: &str| part.is_none_or(|part| name.contains(part.as_str()));
    if wanted("open") {
        open(size.unwrap_or(STORED));
    }
    if wanted("drain") {
        runtime().block_on(drain(size.unwrap_or(WAITING)));
    }
    if wanted("idle") {
        runtime().block_on(idle(size.unwrap_or(IDLE)));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// What is measured in a process of its own.
async fn child(arguments: &[&str]) {
    let [what, kind, folder, rest @ ..] = arguments else {
        panic!("{arguments:?}")
    };
    let folder = Path::new(folder);
    let endpoints = |at: usize| Endpoints {
        websocket_url: rest[at].to_owned(),
        http_url: rest[at + 1].to_owned(),
        audience: "waxwing".to_owned(),
    };
    match *what {
        "open" => {
            let started = cpu_micros();
            let client = Client::open(ClientConfig::new(store(kind, folder), nowhere()))
                .await
                .unwrap();
            let opened = cpu_micros() - started;
            // Too short for what the kernel counts.
            let started = Instant::now();
            let page = client.page(conversation(0), None, PAGE).unwrap();
            let read = started.elapsed().as_micros();
            assert_eq!(page.len(), PAGE);
            println!("{opened} {read}");
        }
        "drain" => {
            let count: usize = rest[2].parse().unwrap();
            let client = Client::open(ClientConfig::new(store(kind, folder), endpoints(0)))
                .await
                .unwrap();
            let mut events = client.events().await.unwrap();
            let started = cpu_micros();
            client.connect();
            let mut shown = 0;
            while shown < count {
                shown += usize::from(matches!(events.next().await, Some(Event::Message(_))));
            }
            events.confirm().await;
            client.close().await.unwrap();
            println!("{}", cpu_micros() - started);
        }
        "idle" => {
            let count: usize = rest[2].parse().unwrap();
            let mut clients = Vec::new();
            for number in 0..count {
                let folder = folder.join(number.to_string());
                let config = ClientConfig::new(store(kind, &folder), endpoints(0));
                let client = Client::open(config).await.unwrap();
                let mut events = client.observe().await.unwrap();
                client.connect();
                while events.next().await != Some(Event::Connected) {}
                clients.push(client);
            }
            // Until what the connections begin with is over.
            tokio::time::sleep(Duration::from_secs(3)).await;
            println!("{}", memory_kib());
        }
        other => panic!("{other}"),
    }
}

/// Starts this program again for one figure. What it printed, as numbers.
fn measure(arguments: &[&str]) -> Vec<u64> {
    let child = Command::new(std::env::current_exe().unwrap())
        .arg("child")
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stderr)
    );
    let printed = String::from_utf8(child.stdout).unwrap();
    printed
        .split_whitespace()
        .map(|number| number.parse().unwrap())
        .collect()
}

fn store(kind: &str, folder: &Path) -> StoreLocation {
    let path = folder.join("device.db");
    match kind {
        "encrypted" => StoreLocation::file(path, KeyFile::new(folder.join("device.key"))),
        _ => StoreLocation::Unencrypted(path),
    }
}

/// Endpoints of a client that does not connect.
fn nowhere() -> Endpoints {
    Endpoints {
        websocket_url: "ws://127.0.0.1:1/prod".to_owned(),
        http_url: "http://127.0.0.1:1/prod".to_owned(),
        audience: "waxwing".to_owned(),
    }
}

fn conversation(number: usize) -> AccountId {
    AccountId::random(&mut StdRng::seed_from_u64(number as u64))
}

/// Opening in a new process, and the first page of a conversation.
fn open(count: usize) {
    let folder = tempfile::tempdir().unwrap();
    let folders = KINDS.map(|kind| folder.path().join(kind));
    for (kind, folder) in KINDS.iter().zip(&folders) {
        fs::create_dir(folder).unwrap();
        let open = |kind: &str| {
            let config = ClientConfig::new(store(kind, folder), nowhere());
            runtime().block_on(async { Client::open(config).await.unwrap().close().await.unwrap() });
        };
        open("unencrypted");
        fill(&folder.join("device.db"), count);
        // Encrypts what is there.
        open(kind);
    }
    let size = |folder: &PathBuf| fs::metadata(folder.join("device.db")).unwrap().len() / 1024 / 1024;
    println!(
        "a store of {count} messages: {} MiB encrypted, {} without",
        size(&folders[0]),
        size(&folders[1])
    );
    let mut figures = [(); 2].map(|()| (Vec::new(), Vec::new()));
    for _ in 0..OPENINGS {
        for ((kind, folder), figures) in KINDS.iter().zip(&folders).zip(&mut figures) {
            let measured = measure(&["open", kind, &folder.to_string_lossy()]);
            figures.0.push(measured[0]);
            figures.1.push(measured[1]);
        }
    }
    let [encrypted, without] = figures;
    row("open, CPU µs", median(encrypted.0), median(without.0));
    row(
        &format!("first page of {PAGE} messages, µs"),
        median(encrypted.1),
        median(without.1),
    );
}

/// Puts messages into a store that is not encrypted, as they stand there once they were received.
fn fill(path: &Path, count: usize) {
    let mut rng = StdRng::seed_from_u64(1);
    let mut connection = Connection::open(path).unwrap();
    let tx = connection.transaction().unwrap();
    for number in 0..count {
        let peer = conversation(number % CONVERSATIONS).to_bytes();
        let id = MessageId::new(1_800_000_000_000 + number as u64, &mut rng).to_bytes();
        let text =
            format!("message {number}, as long as people's messages are in the mean, which is not very long");
        tx.prepare_cached(
            "INSERT INTO messages (message, account, device, conversation, sequence, sent_at, body, own, late, state, position)
             VALUES (?1, ?2, 1, ?2, ?3, ?4, ?5, 0, 0, 1, ?6)",
        )
        .unwrap()
        .execute(params![id, peer, number as i64 + 1, 1_800_000_000_000_i64, text, number as i64 + 1])
        .unwrap();
        tx.prepare_cached(
            "INSERT INTO timeline (position, kind, message) VALUES (?1, 1, last_insert_rowid())",
        )
        .unwrap()
        .execute([number as i64 + 1])
        .unwrap();
    }
    tx.execute("UPDATE shown SET position = ?1", [count as i64])
        .unwrap();
    tx.commit().unwrap();
}

/// Messages that wait in a mailbox, decrypted, stored, shown and acked.
async fn drain(count: usize) {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut receivers = Vec::new();
    for kind in KINDS {
        let folder = folder.path().join(kind);
        fs::create_dir(&folder).unwrap();
        receivers.push(register(&service, kind, &folder).await);
    }
    for number in 0..SENDERS {
        let sender = Phone::of_a_new_person(&service).await;
        for &receiver in &receivers {
            for text in 0..count / SENDERS {
                let text = format!("{number} {text}: as long as people's messages are in the mean");
                sender.client.send_text(receiver, &text).await.unwrap();
            }
        }
        while sender.client.pending().unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sender.client.close().await.unwrap();
    }
    let waiting = (count / SENDERS * SENDERS).to_string();
    let endpoints = service.endpoints();
    let mut figures = Vec::new();
    for kind in KINDS {
        let folder = folder.path().join(kind).to_string_lossy().into_owned();
        let (websocket, http) = (endpoints.websocket_url.clone(), endpoints.http_url.clone());
        let waiting = waiting.clone();
        let measuring = move || measure(&["drain", kind, &folder, &websocket, &http, &waiting]);
        let micros = tokio::task::spawn_blocking(measuring).await.unwrap()[0];
        figures.push(micros as f64 / count as f64);
    }
    row(
        &format!("drain of {waiting}, CPU µs a message"),
        figures[0],
        figures[1],
    );
}

/// What each client more adds to a process.
async fn idle(count: usize) {
    let service = Service::start().await;
    let folder = tempfile::tempdir().unwrap();
    let endpoints = service.endpoints();
    let mut figures = Vec::new();
    for kind in KINDS {
        for number in 0..=count {
            let folder = folder.path().join(kind).join(number.to_string());
            fs::create_dir_all(&folder).unwrap();
            register(&service, kind, &folder).await;
        }
        let memory = async |clients: usize| {
            let folder = folder.path().join(kind).to_string_lossy().into_owned();
            let (websocket, http) = (endpoints.websocket_url.clone(), endpoints.http_url.clone());
            let clients = clients.to_string();
            let measuring = move || measure(&["idle", kind, &folder, &websocket, &http, &clients]);
            tokio::task::spawn_blocking(measuring).await.unwrap()[0]
        };
        let (one, all) = (memory(1).await, memory(count + 1).await);
        figures.push(all.saturating_sub(one) as f64 / count as f64);
    }
    row(
        &format!("memory of one of {count} idle clients, KiB"),
        figures[0],
        figures[1],
    );
}

async fn register(service: &Service, kind: &str, folder: &Path) -> AccountId {
    let client = service.client_at(service.endpoints(), store(kind, folder)).await;
    confirm(&client, service, &service.new_number()).await;
    let account = client.register(None).await.unwrap().account;
    client.close().await.unwrap();
    account
}

fn row(name: &str, encrypted: f64, without: f64) {
    println!(
        "{name:<44} {encrypted:>10.1} {without:>12.1} {:>6.2}",
        encrypted / without
    );
}

fn median(mut figures: Vec<u64>) -> f64 {
    figures.sort_unstable();
    figures[figures.len() / 2] as f64
}

/// CPU time of this process's threads so far.
fn cpu_micros() -> u64 {
    let threads = fs::read_dir("/proc/self/task").unwrap();
    let nanos = threads.map(|thread| {
        let schedule = fs::read_to_string(thread.unwrap().path().join("schedstat")).unwrap();
        schedule.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    nanos.sum::<u64>() / 1_000
}

/// Memory of this process that is resident.
fn memory_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
