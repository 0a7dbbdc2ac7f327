use std::collections::BTreeSet;

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tempfile::TempDir;
use tokio::{sync::mpsc, time::Instant};
use waxwing_wire::{
    ClientFrame, Envelope, EnvelopeId, MessageId, Problem, ServiceFrame,
    frame::Refused,
    send::{MessageOutcome, OutgoingMessage, SendRequest, Sent},
};

use super::*;
use crate::{
    config::StoreLocation,
    store::outbox as entries,
    testing::{Party, account, without_service},
    transport::requests::Replies,
};

const TOO_MANY: &str = r#"{"message": "Too Many Requests", "connectionId":"a=", "requestId":"b="}"#;
const FAILED: &str = r#"{"message": "Internal server error", "connectionId":"a=", "requestId":"b="}"#;

/// Alice, whose pump runs, three people whom she knows, and the service between them.
struct Story {
    shared: Arc<Shared>,
    people: Vec<Party>,
    replies: Replies,
    frames: mpsc::Receiver<String>,
    link: Link,
    /// Frames that left and were not answered, and when they left.
    waiting: Vec<(SendRequest, Instant)>,
    accepted: BTreeSet<MessageId>,
    _folder: TempDir,
}

impl Story {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Unencrypted(folder.path().join("alice.db"));
        let mut alice = Party::at_location(location.clone(), account(1), 1, 11);
        alice.now = clock::now_millis();
        let mut people: Vec<_> = (2..5)
            .map(|number| Party::new(account(number), 1, 10 + number))
            .collect();
        people.iter_mut().for_each(|person| alice.meet(person));
        alice.store.close().unwrap();
        let shared = Shared::open(without_service(location)).await.unwrap();
        let (outgoing, frames) = mpsc::channel(32);
        let replies = Replies::default();
        // Stories let requests wait for longer than a client does.
        let link = Link::new(outgoing, replies.clone(), Duration::from_secs(3_600));
        Self {
            shared: Arc::new(shared),
            people,
            replies,
            frames,
            link,
            waiting: Vec::new(),
            accepted: BTreeSet::new(),
            _folder: folder,
        }
    }

    /// Alice writes to each of them, in one transaction: the pump may look at any time.
    fn write_to_all(&self, text: &str) {
        let from = self.shared.address().unwrap();
        let now = clock::now_millis();
        self.shared
            .store
            .write_now(|tx| {
                for person in &self.people {
                    outbox::append(tx, &mut clock::rng(), from, person.account(), text, now)?;
                }
                Ok::<_, crate::store::StoreError>(())
            })
            .unwrap();
        self.shared.outbox_grew.notify_one();
    }

    fn is_empty(&self) -> bool {
        self.shared
            .store
            .read_now(entries::recipients)
            .unwrap()
            .is_empty()
    }

    /// The frames that leave within so long. Time that is paused stands still while a thread works, also on a busy machine:
    /// whatever had begun before the end is done by then.
    async fn leave(&mut self, within: Duration) -> usize {
        let until = Instant::now() + within;
        let before = self.waiting.len();
        loop {
            tokio::time::sleep_until(until.min(Instant::now() + STEP)).await;
            while let Ok(frame) = self.frames.try_recv() {
                let Ok(ClientFrame::Send(send)) = ClientFrame::parse(&frame) else {
                    panic!("not a send")
                };
                self.waiting.push((send, Instant::now()));
            }
            if Instant::now() >= until {
                return self.waiting.len() - before;
            }
        }
    }

    /// Puts the messages of a frame into the mailboxes, from where they come at once.
    fn carry_out(&mut self, send: &SendRequest) {
        let from = self.shared.address().unwrap();
        for OutgoingMessage { message, recipients } in &send.messages {
            for recipient in recipients {
                let id = EnvelopeId {
                    message: *message,
                    from,
                };
                let to = self
                    .people
                    .iter_mut()
                    .find(|person| person.account() == recipient.account);
                let to = to.unwrap();
                for device in &recipient.devices {
                    let ciphertext = device.ciphertext.clone();
                    to.receive(&Envelope { id, ciphertext });
                }
            }
        }
    }

    /// Carries a frame out and says so.
    fn accept(&mut self, send: &SendRequest) {
        self.carry_out(send);
        let messages = send.messages.iter().map(|message| message.message);
        self.accepted.extend(messages.clone());
        let accepted = |message| MessageOutcome {
            message,
            outcome: Outcome::Accepted,
        };
        self.replies.take(ServiceFrame::Sent(Sent {
            request: send.request,
            outcomes: messages.map(accepted).collect(),
        }));
    }

    fn texts(&self) -> Vec<Vec<String>> {
        self.people.iter().map(Party::texts).collect()
    }
}

/// A story, and what happens in it while the pump runs.
async fn with_a_pump(happens: impl AsyncFnOnce(&mut Story)) {
    let mut story = Story::new().await;
    let (shared, link) = (story.shared.clone(), story.link.clone());
    let me = shared.me().unwrap();
    tokio::select! {
        reason = run(&shared, &me, &link) => panic!("{reason}"),
        () = happens(&mut story) => {}
    }
}

const MOMENT: Duration = Duration::from_millis(10);

/// How exactly it is known when a frame left.
const STEP: Duration = Duration::from_millis(250);

#[tokio::test(start_paused = true)]
async fn i3_in_any_order_of_answers_and_refusals_every_message_arrives_once_and_in_order() {
    const TEXTS: usize = 12;
    for seed in 0..8 {
        with_a_pump(async |story| {
            let mut rng = StdRng::seed_from_u64(seed);
            let mut written = 0;
            while written < TEXTS || !story.is_empty() {
                if written < TEXTS && rng.random_bool(0.3) {
                    story.write_to_all(&written.to_string());
                    written += 1;
                }
                let wait = match story.waiting.is_empty() {
                    true => STEP,
                    false => MOMENT * rng.random_range(1..5),
                };
                story.leave(wait).await;
                if story.waiting.is_empty() {
                    continue;
                }
                let at = rng.random_range(0..story.waiting.len());
                let (send, _) = story.waiting.swap_remove(at);
                match rng.random_range(0..8) {
                    0 | 1 => story.replies.take_foreign(TOO_MANY),
                    2 => story.replies.take_foreign(FAILED),
                    3 => {
                        story.carry_out(&send);
                        story.replies.take_foreign(FAILED);
                    }
                    _ => story.accept(&send),
                }
            }
            let expected: Vec<_> = (0..TEXTS).map(|text| text.to_string()).collect();
            assert_eq!(story.texts(), vec![expected; 3], "seed {seed}");
            assert_eq!(story.accepted.len(), 3 * TEXTS, "seed {seed}");
        })
        .await;
    }
}

/// What was refused belongs to no message: none of them has a wait of its own.
#[tokio::test(start_paused = true)]
async fn p4_after_a_refusal_the_connection_rests_and_one_frame_with_all_that_waits_is_its_probe() {
    let longest = Duration::from_secs(15);
    with_a_pump(async |story| {
        for text in ["0", "1", "2"] {
            story.write_to_all(text);
            story.leave(MOMENT).await;
        }
        assert_eq!(story.waiting.len(), 3, "each when it was written");
        for _ in 0..10 {
            for _ in story.waiting.drain(..) {
                story.replies.take_foreign(TOO_MANY);
            }
            let refused = Instant::now();
            story.leave(longest + STEP).await;
            let [(probe, left)] = &story.waiting[..] else {
                panic!("{} frames", story.waiting.len())
            };
            assert_eq!(probe.messages.len(), 9);
            assert!(*left - refused <= longest + STEP);
        }
        let (probe, _) = story.waiting.remove(0);
        story.accept(&probe);
        story.leave(MOMENT).await;
        assert!(story.is_empty(), "at once, however often it was refused");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn p4_each_answer_lets_one_more_frame_be_under_way() {
    with_a_pump(async |story| {
        story.write_to_all("refused");
        assert_eq!(story.leave(MOMENT).await, 1);
        story.waiting.clear();
        story.replies.take_foreign(TOO_MANY);
        assert_eq!(story.leave(Duration::from_secs(1)).await, 1);
        // While the probe is under way nothing else leaves.
        story.write_to_all("held back");
        assert_eq!(story.leave(Duration::from_secs(1)).await, 0);
        let (probe, _) = story.waiting.remove(0);
        story.accept(&probe);
        assert_eq!(story.leave(MOMENT).await, 1);
        story.write_to_all("second");
        assert_eq!(story.leave(MOMENT).await, 1);
        story.write_to_all("third");
        assert_eq!(story.leave(MOMENT).await, 0);
    })
    .await;
}

/// X78: a function that fails on it says the same as one that has no room.
#[tokio::test(start_paused = true)]
async fn x78_a_message_on_which_the_service_fails_holds_up_no_other_for_long() {
    with_a_pump(async |story| {
        story.write_to_all("bad for one");
        story.write_to_all("behind it");
        let begun = Instant::now();
        let mut bad = None;
        while story.accepted.len() < 5 {
            story.leave(STEP).await;
            for (send, _) in std::mem::take(&mut story.waiting) {
                let bad = *bad.get_or_insert(send.messages[0].message);
                match send.messages.iter().any(|message| message.message == bad) {
                    true => story.replies.take_foreign(FAILED),
                    false => story.accept(&send),
                }
            }
            assert!(
                begun.elapsed() < Duration::from_secs(15),
                "{:?}",
                story.accepted.len()
            );
        }
    })
    .await;
}

/// What the service itself refuses concerns one message; the others go on.
#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_service_rests_its_message_and_not_the_connection() {
    with_a_pump(async |story| {
        story.write_to_all("limited");
        assert_eq!(story.leave(MOMENT).await, 1);
        let (send, _) = story.waiting.remove(0);
        let problem = Problem::new(ErrorCode::RateLimited, "Wait.");
        story.replies.take(ServiceFrame::Error(Refused {
            request: Some(send.request),
            problem,
        }));
        story.write_to_all("goes on");
        assert_eq!(story.leave(MOMENT).await, 1);
    })
    .await;
}

#[test]
fn x31_a_message_whose_devices_never_fit_is_corrected_so_many_times_and_then_given_up() {
    let so_far: Vec<_> = (1..=MAX_CORRECTIONS).map(after).collect();
    let (last, before) = so_far.split_last().unwrap();
    assert_eq!(*last, AfterCorrection::GiveUp);
    let (prompt, rested) = before.split_at(PROMPT_CORRECTIONS as usize);
    assert!(prompt.iter().all(|next| *next == AfterCorrection::AtOnce));
    assert!(!rested.is_empty() && rested.iter().all(|next| *next == AfterCorrection::Rest));
}
