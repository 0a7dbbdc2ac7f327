//! A client process is killed (SIGKILL) at random moments, again and again, while messages flow to it and from it. I1, I3, I4.
//!
//! With the budget that an account has, so many connections are more than the service lets it make in a minute. What waits for the
//! next minute is missed by the other side, which tells of the gap and shows it late: that is the one way out of order there
//! is. The small run has a larger budget, and nothing may be late in it.
//!
//! So it catches a client that acks before it stores. Such a one loses messages when it is killed in between, and asks for them
//! again: they come late. The network of the harness acks in a client's name to show that. The same order is held by tests
//! that see each step: the model's variants `AckBeforeStore` (`infra/prove`), and `three_devices` in the client, whose lives end
//! between any two writes. What this story adds is the real process, disk and kernel.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use scenarios::{
    Network, Phone, Service,
    network::{Verdict, Way},
    people::confirm,
    until, within_patience,
};
use serde_json::Value;
use tokio::process::{Child, Command};
use waxwing_client::{AccountId, Client, Endpoints, Event, StoreLocation, keys::KeyFile};
use waxwing_local::runner::RunnerConfig;

/// Texts each way in a life: so few that there are many lives.
const TEXTS_IN_A_LIFE: usize = 12;

/// How long a life lasts at most.
const LONGEST_LIFE: Duration = Duration::from_millis(600);

#[tokio::test]
async fn a_client_that_is_killed_again_and_again_loses_nothing_and_shows_nothing_twice_or_late() {
    let service = with_a_large_budget().await;
    let story = Story::of_kills(&service, service.endpoints(), 250).await;
    let (alice, bob) = story.come_to_rest(&service).await;
    assert!(alice.is_on_time() && bob.is_on_time(), "{alice:?} {bob:?}");
}

/// The same with 5,000 messages, for some minutes: `cargo test -p scenarios --test scenarios killed -- --ignored`.
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_client_that_is_killed_while_5_000_messages_flow_loses_nothing_and_shows_nothing_twice() {
    let service = Service::start().await;
    let story = Story::of_kills(&service, service.endpoints(), 2_500).await;
    story.come_to_rest(&service).await;
}

#[tokio::test]
async fn a_client_that_acks_before_it_stores_is_caught_by_the_kills() {
    let service = with_a_large_budget().await;
    let ack_first = |way, frame: &Value| {
        let carries = way == Way::ToClient && frame["envelopes"].is_array();
        if carries {
            Verdict::AckThenPass
        } else {
            Verdict::Pass
        }
    };
    let network = Network::between(&service.endpoints(), ack_first).await;
    let endpoints = network.endpoints(&service.endpoints());
    let story = Story::of_kills(&service, endpoints, 60).await;
    let missed = || story.bob.shown().said_missing > 0;
    until("all, or a gap", async || {
        missed() || story.bob.count_shown() >= story.count
    })
    .await;
    assert!(!story.bob.shown().is_on_time(), "nothing was lost");
}

async fn with_a_large_budget() -> Service {
    let parameters = [("RequestsPerMinute".to_owned(), "1000000".to_owned())].into();
    Service::start_with(RunnerConfig {
        parameters,
        ..RunnerConfig::default()
    })
    .await
}

/// Alice, and Bob whose last life has begun after many that were cut short. Each writes `count` messages.
struct Story {
    alice: Phone,
    bob: Bob,
    life: Child,
    count: usize,
    _folder: tempfile::TempDir,
}

impl Story {
    /// Bob reaches the service at `endpoints`.
    async fn of_kills(service: &Service, endpoints: Endpoints, count: usize) -> Self {
        let alice = Phone::of_a_new_person(service).await;
        let folder = tempfile::tempdir().unwrap();
        let bob = Bob::register(service, endpoints, folder.path(), alice.account(), count).await;
        // Which moments these are depends on the machine, too.
        let seed = rand::random();
        println!("seed {seed}");
        let mut rng = StdRng::seed_from_u64(seed);

        // The last one is for the last life: it shows what is missing before it.
        let (mut said, mut killed_at_work) = (0, 0);
        while said < count - 1 || from(&bob, &alice).len() < count {
            let before = bob.ledger();
            for _ in 0..TEXTS_IN_A_LIFE.min(count - 1 - said) {
                say(&alice, &bob, said).await;
                said += 1;
            }
            let mut life = bob.start(TEXTS_IN_A_LIFE);
            tokio::time::sleep(rng.random_range(Duration::ZERO..LONGEST_LIFE)).await;
            life.kill().await.unwrap();
            killed_at_work += usize::from(bob.ledger() != before);
        }
        println!("killed {killed_at_work} times while it had something to do");
        assert!(killed_at_work >= count / TEXTS_IN_A_LIFE / 4);

        let life = bob.start(0);
        say(&alice, &bob, said).await;
        Self {
            alice,
            bob,
            life,
            count,
            _folder: folder,
        }
    }

    /// What each has shown of the other, when nothing is under way any more.
    async fn come_to_rest(mut self, service: &Service) -> (Shown, Shown) {
        let (alice, bob, count) = (&self.alice, &self.bob, self.count);
        until("everything at both", async || {
            from(bob, alice).len() >= count && bob.count_shown() >= count
        })
        .await;
        until("empty mailboxes", async || service.mailbox().await.is_empty()).await;
        drop(self.life.stdin.take());
        assert!(self.life.wait().await.unwrap().success());

        let of_bob = Shown::of_client(&alice.client, bob.account, count).await;
        of_bob.check("bob", count);
        bob.shown().check("alice", count);
        // Each that the client said it had taken is among them, and was taken once.
        let wrote = bob.wrote();
        assert!(
            wrote.is_sorted_by(|one, next| number(one) < number(next)),
            "{wrote:?}"
        );
        assert!(wrote.iter().all(|text| from(bob, alice).contains(text)));
        (of_bob, bob.shown())
    }
}

async fn say(alice: &Phone, bob: &Bob, number: usize) {
    let text = format!("alice {number}");
    alice.client.send_text(bob.account, &text).await.unwrap();
}

/// What Alice shows of Bob's.
fn from(bob: &Bob, alice: &Phone) -> Vec<String> {
    let shown = alice.client.messages(bob.account).unwrap();
    let of_bob = shown.into_iter().filter(|message| !message.own);
    of_bob.map(|message| message.text).collect()
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

    /// Nothing was said to be missing, and nothing came late.
    fn is_on_time(&self) -> bool {
        self.late.is_empty() && self.said_missing == 0
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
    endpoints: Endpoints,
    folder: PathBuf,
    account: AccountId,
    writes_to: AccountId,
    count: usize,
}

impl Bob {
    async fn register(
        service: &Service,
        endpoints: Endpoints,
        folder: &Path,
        writes_to: AccountId,
        count: usize,
    ) -> Self {
        let store = StoreLocation::file(folder.join("device.db"), KeyFile::new(folder.join("device.key")));
        let client = service.client_at(service.endpoints(), store).await;
        confirm(&client, service, &service.new_number()).await;
        let account = client.register(None).await.unwrap().account;
        client.close().await.unwrap();
        Self {
            endpoints,
            folder: folder.to_owned(),
            account,
            writes_to,
            count,
        }
    }

    fn start(&self, texts: usize) -> Child {
        Command::new(env!("CARGO_BIN_EXE_device"))
            .arg(&self.folder)
            .args([&self.endpoints.websocket_url, &self.endpoints.http_url])
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
