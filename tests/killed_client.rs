//! A client process is killed (SIGKILL) at random moments, again and again, while messages flow to it and from it. I1, I3, I4.
//!
//! So many connections are more than the service lets an account make in a minute. What waits for the next minute is
//! missed by the other side, which tells of the gap and shows it late: that is the one way out of order there is.
//!
//! A client that acked before it stored would lose messages here, and ask for them again: they would come late, and be told of. That
//! order is therefore held by tests that see each step: the model's variants `AckBeforeStore` (`infra/prove`), and
//! `three_devices` in the client, whose lives end between any two writes. What this story adds is the real process, disk and
//! kernel; its last test shows what it would catch.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use scenarios::{Phone, Service, people::confirm, until, within_patience};
use tokio::process::{Child, Command};
use waxwing_client::{AccountId, Client, Event, StoreLocation, keys::KeyFile};

/// Texts each way in a life: so few that there are many lives.
const TEXTS_IN_A_LIFE: usize = 12;

/// How long a life lasts at most.
const LONGEST_LIFE: Duration = Duration::from_millis(600);

#[tokio::test]
async fn a_client_that_is_killed_again_and_again_loses_nothing_and_shows_nothing_twice() {
    live(250).await;
}

/// The same with 5,000 messages, for some minutes: `cargo test -p scenarios --test scenarios killed -- --ignored`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_client_that_is_killed_while_5_000_messages_flow_loses_nothing_and_shows_nothing_twice() {
    live(2_500).await;
}

/// `count` messages each way.
async fn live(count: usize) {
    let service = Service::start().await;
    let alice = Phone::of_a_new_person(&service).await;
    let folder = tempfile::tempdir().unwrap();
    let bob = Bob::register(&service, folder.path(), alice.account(), count).await;
    // Which moments these are depends on the machine, too.
    let seed = rand::random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);

    let from_bob = || {
        let shown = alice.client.messages(bob.account).unwrap();
        let of_bob = shown.into_iter().filter(|message| !message.own);
        of_bob.map(|message| message.text).collect::<Vec<_>>()
    };

    let (mut said, mut killed_at_work) = (0, 0);
    while said < count || from_bob().len() < count {
        let before = bob.ledger();
        for _ in 0..TEXTS_IN_A_LIFE.min(count - said) {
            let text = format!("alice {said}");
            alice.client.send_text(bob.account, &text).await.unwrap();
            said += 1;
        }
        let mut life = bob.start(&service, TEXTS_IN_A_LIFE);
        tokio::time::sleep(rng.random_range(Duration::ZERO..LONGEST_LIFE)).await;
        life.kill().await.unwrap();
        killed_at_work += usize::from(bob.ledger() != before);
    }
    println!("killed {killed_at_work} times while it had something to do");
    assert!(killed_at_work >= count / TEXTS_IN_A_LIFE / 4);

    let mut life = bob.start(&service, 0);
    until("everything at both", async || {
        from_bob().len() >= count && bob.count_shown() >= count
    })
    .await;
    until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
    drop(life.stdin.take());
    assert!(life.wait().await.unwrap().success());

    Shown::of_client(&alice.client, bob.account, count)
        .await
        .check("bob", count);
    bob.shown().check("alice", count);
    // Each that the client said it had taken is among them, and was taken once.
    let wrote = bob.wrote();
    assert!(
        wrote.is_sorted_by(|one, next| number(one) < number(next)),
        "{wrote:?}"
    );
    assert!(wrote.iter().all(|text| from_bob().contains(text)));
}

/// What a device has shown of another's messages, in order, and how many of them it said were missing.
#[derive(Debug, Default)]
struct Shown {
    on_time: Vec<String>,
    late: Vec<String>,
    said_missing: u64,
}

impl Shown {
    /// What a client's app is told, from the beginning.
    async fn of_client(client: &Client, from: AccountId, count: usize) -> Self {
        let mut events = client.events().await.unwrap();
        let mut shown = Self::default();
        while shown.on_time.len() + shown.late.len() < count {
            match within_patience("what was kept", events.next()).await.unwrap() {
                Event::Message(message) if message.from.account == from && message.late => {
                    shown.late.push(message.text)
                }
                Event::Message(message) if message.from.account == from => shown.on_time.push(message.text),
                Event::Gap { missing, .. } => shown.said_missing += missing.end() - missing.start() + 1,
                _ => {}
            }
        }
        shown
    }

    /// Nothing is lost, nothing is there twice, nothing is out of order that was not told of.
    fn check(&self, name: &str, count: usize) {
        println!(
            "of {name}: {} on time, {} late",
            self.on_time.len(),
            self.late.len()
        );
        assert!(
            self.on_time.is_sorted_by(|one, next| number(one) < number(next)),
            "{:?}",
            self.on_time
        );
        assert_eq!(self.late.len() as u64, self.said_missing);
        let mut all: Vec<_> = self.on_time.iter().chain(&self.late).cloned().collect();
        all.sort_by_key(|text| number(text));
        let expected: Vec<_> = (0..count).map(|number| format!("{name} {number}")).collect();
        assert!(all == expected, "of {name}: {all:?}");
    }
}

#[test]
fn what_is_lost_or_shown_twice_or_out_of_order_without_a_word_does_not_pass() {
    let shown = |on_time: &[usize], late: &[usize], said_missing| {
        let texts = |numbers: &[usize]| numbers.iter().map(|number| format!("alice {number}")).collect();
        let (on_time, late) = (texts(on_time), texts(late));
        let shown = Shown {
            on_time,
            late,
            said_missing,
        };
        std::panic::catch_unwind(|| shown.check("alice", 3)).is_ok()
    };
    assert!(shown(&[0, 1, 2], &[], 0));
    assert!(shown(&[0, 2], &[1], 1));
    for (on_time, late, said_missing, what) in [
        (&[0, 2][..], &[][..], 0, "lost"),
        (&[0, 2], &[], 1, "lost for ever, though told of"),
        (&[0, 1, 1, 2], &[], 0, "twice"),
        (&[0, 1, 2], &[1], 1, "late and on time"),
        (&[0, 2, 1], &[], 0, "out of order"),
        (&[0, 2], &[1], 0, "late without a word"),
    ] {
        assert!(!shown(on_time, late, said_missing), "{what}");
    }
}

/// `alice 17` is the seventeenth.
fn number(text: &str) -> usize {
    text.split_once(' ').unwrap().1.parse().unwrap()
}

/// The one whose process is killed.
struct Bob {
    folder: PathBuf,
    account: AccountId,
    writes_to: AccountId,
    count: usize,
}

impl Bob {
    async fn register(service: &Service, folder: &Path, writes_to: AccountId, count: usize) -> Self {
        let store = StoreLocation::file(folder.join("device.db"), KeyFile::new(folder.join("device.key")));
        let client = service.client_at(service.endpoints(), store).await;
        confirm(&client, service, &service.new_number()).await;
        let account = client.register(None).await.unwrap().account;
        client.close().await.unwrap();
        Self {
            folder: folder.to_owned(),
            account,
            writes_to,
            count,
        }
    }

    fn start(&self, service: &Service, texts: usize) -> Child {
        let endpoints = service.endpoints();
        Command::new(env!("CARGO_BIN_EXE_device"))
            .arg(&self.folder)
            .args([endpoints.websocket_url, endpoints.http_url])
            .args([
                self.writes_to.to_string(),
                texts.to_string(),
                self.count.to_string(),
            ])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    fn ledger(&self) -> String {
        std::fs::read_to_string(self.folder.join("ledger")).unwrap_or_default()
    }

    fn count_shown(&self) -> usize {
        let shown = self.shown();
        shown.on_time.len() + shown.late.len()
    }

    /// What the app has shown, in the order of the timeline.
    fn shown(&self) -> Shown {
        let (mut messages, mut gaps, mut shown) = (Vec::new(), BTreeSet::new(), Shown::default());
        for line in self.ledger().lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["shown", position, when, name, number] => {
                    let position: u64 = position.parse().unwrap();
                    messages.push((position, when == "late", format!("{name} {number}")));
                }
                // Told again after a crash, like every event.
                ["gap", first, last] if gaps.insert(line.to_owned()) => {
                    let (first, last): (u64, u64) = (first.parse().unwrap(), last.parse().unwrap());
                    shown.said_missing += last - first + 1;
                }
                _ => {}
            }
        }
        messages.sort();
        for (_, late, text) in messages {
            if late { &mut shown.late } else { &mut shown.on_time }.push(text);
        }
        shown
    }

    /// The texts of which the app was told that they were taken.
    fn wrote(&self) -> Vec<String> {
        let ledger = self.ledger();
        let texts = ledger.lines().filter_map(|line| line.strip_prefix("wrote "));
        texts.map(str::to_owned).collect()
    }
}
