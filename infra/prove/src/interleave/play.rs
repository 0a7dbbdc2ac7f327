//! One schedule, played: every call of every function waits at a gate until it is let go.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, future::BoxFuture};
use http::Response;
use serde_json::Value;
use tokio::sync::oneshot;

use super::{
    programs::{self, Function, Scene},
    schedule::{Schedule, Turn},
    touches::{Keys, Touches},
};
use crate::{
    Trouble,
    connector::{After, Before, Call, Hook},
    controls::Control,
    faults::Faulty,
    promises::{self, Violation},
    service::{Ended, Run},
    story::{Delivery, Gateway, Next, Reply, Request, Story},
};

/// Time that passes between two steps, so that whoever waits for none of it goes on.
const MOMENT: Duration = Duration::from_millis(1);

/// Moments after which a function that waits for time, and for nothing else, must have gone on.
const MAX_MOMENTS: usize = 10_000;

/// Times that a client repeats a request after everything came to rest.
const MAX_REPETITIONS: usize = 3;

/// What is played: who asks for what, in which scene, of a service right or wrong in this way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// What holds before.
    pub scene: Scene,
    /// What is asked for at the same moment.
    pub functions: Vec<Function>,
    /// What all that is random follows from.
    pub seed: u64,
    /// What is wrong with the service.
    pub control: Option<Control>,
}

/// Names a step within a play: who makes it, and its number among all that this one had to make.
pub(super) type StepId = (usize, u32);

/// A step that may be next.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) id: StepId,
    /// In words.
    pub(super) what: String,
    pub(super) touches: Touches,
    /// Steps that had been made when it came up.
    pub(super) since: usize,
}

/// Decides which step is next.
pub(super) trait Choose {
    /// The place of one of `pending`, which are in the order of who and how old. None gives the play up.
    fn choose(&mut self, pending: &[Step]) -> Option<usize>;
}

/// What came of a schedule.
#[derive(Clone, Debug)]
pub(super) struct Played {
    /// The schedule in full.
    pub(super) schedule: Schedule,
    /// Its steps in words.
    pub(super) told: Vec<String>,
    /// The promises that did not hold.
    pub(super) violations: Vec<Violation>,
}

/// Plays to the end, unless `choose` gives it up.
pub(super) async fn play(play: &Play, choose: &mut impl Choose) -> Result<Option<Played>, Trouble> {
    let Play {
        scene,
        functions,
        seed,
        control,
    } = play;
    let (mut story, programs) = programs::prepare(*scene, functions, *seed, *control).await?;
    let keys = story.service.keys();
    let mut players: Vec<_> = programs.into_iter().map(Player::new).collect();
    for (who, player) in players.iter_mut().enumerate() {
        player.start(&mut story, who, *seed, 0)?;
    }
    let mut played = Played {
        schedule: Schedule::default(),
        told: Vec::new(),
        violations: Vec::new(),
    };
    look(&story, &mut players).await?;
    loop {
        let made = played.told.len();
        settle(&mut story, &mut players, *seed, made).await?;
        let pending = pending(&players, &keys);
        if pending.is_empty() {
            break;
        }
        let Some(step) = choose.choose(&pending).and_then(|choice| pending.get(choice)) else {
            return Ok(None);
        };
        let who = step.id.0;
        let own = pending.iter().filter(|other| other.id.0 == who);
        let call = own.take_while(|other| other.id != step.id).count();
        played.schedule.0.push(Turn { who, call });
        let name = functions.get(who).map_or("?", |function| function.name());
        played.told.push(format!("{name}: {}", step.what));
        let player = players.get_mut(who).ok_or("nobody's step")?;
        player.go(&mut story, step.id, who, *seed, made + 1).await?;
        if step.touches.may_change_who_has_what() {
            look(&story, &mut players).await?;
        }
    }
    played.violations = come_to_rest(&mut story, &mut players).await?;
    Ok(Some(played))
}

/// Everybody who has no answer asks again, the promises are checked, everybody comes back, and they are checked again.
async fn come_to_rest(story: &mut Story, players: &mut [Player]) -> Result<Vec<Violation>, Trouble> {
    for player in players {
        player.ask_again(story).await?;
    }
    let mut violations = promises::at_rest(story).await?;
    story.everybody_comes_back().await?;
    violations.extend(promises::at_rest(story).await?);
    let registered = promises::registered(&story.service).await?;
    violations.extend(promises::after_all(story, &registered));
    violations.extend(promises::left_behind(&story.service, &registered).await?);
    violations.sort();
    violations.dedup();
    Ok(violations)
}

/// Who sends looks whether everybody has the message by now.
async fn look(story: &Story, players: &mut [Player]) -> Result<(), Trouble> {
    for delivery in players.iter_mut().filter_map(|player| player.delivery.as_mut()) {
        story.look_everywhere(delivery).await?;
    }
    Ok(())
}

/// Lets everybody go on until all wait: for their turn, or for time to pass.
async fn settle(story: &mut Story, players: &mut [Player], seed: u64, made: usize) -> Result<(), Trouble> {
    loop {
        let mut has_moved = false;
        for (who, player) in players.iter_mut().enumerate() {
            has_moved |= player.go_on(story, who, seed, made).await?;
        }
        if !has_moved {
            tokio::time::sleep(MOMENT).await;
            if !players.iter().any(Player::is_woken) {
                return Ok(());
            }
        }
    }
}

fn pending(players: &[Player], keys: &Keys) -> Vec<Step> {
    let pending = players.iter().enumerate();
    pending
        .flat_map(|(who, player)| player.pending(who, keys))
        .collect()
}

/// Who asks for something, one request after the other.
struct Player {
    requests: Vec<Request>,
    at: usize,
    delivery: Option<Delivery>,
    doing: Doing,
    /// Steps that have come up.
    steps: u32,
    last: Option<Reply>,
}

enum Doing {
    /// A function runs.
    Running(Running),
    /// API Gateway has something to do, since so many steps.
    Gateway(Gateway, u32, usize),
    /// Nothing any more.
    Done,
}

struct Running {
    run: Pin<Box<tokio::task::Unconstrained<Run>>>,
    gate: Arc<Gate>,
    woken: Arc<Woken>,
    /// Number of the step that lets time pass, and since when, if the run waits for nothing else.
    pause: Option<(u32, usize)>,
}

impl Player {
    fn new(requests: Vec<Request>) -> Self {
        Self {
            requests,
            at: 0,
            delivery: None,
            doing: Doing::Done,
            steps: 0,
            last: None,
        }
    }

    fn start(&mut self, story: &mut Story, who: usize, seed: u64, made: usize) -> Result<(), Trouble> {
        let Some(request) = self.requests.get(self.at) else {
            return Ok(());
        };
        let (delivery, next) = story.begin(request)?;
        self.delivery = Some(delivery);
        self.take_up(story, next, who, seed, made)
    }

    fn take_up(
        &mut self,
        story: &mut Story,
        next: Next,
        who: usize,
        seed: u64,
        made: usize,
    ) -> Result<(), Trouble> {
        match next {
            Next::Run(function, event) => {
                let gate = Arc::new(Gate::default());
                let hook: Arc<dyn Hook> = Arc::<Gate>::clone(&gate);
                let seed = seed_of(seed, who, self.at, &function);
                let run = story.service.begin(&function, event, hook, seed)?;
                self.doing = Doing::Running(Running {
                    run: Box::pin(tokio::task::unconstrained(run)),
                    gate,
                    woken: Arc::new(Woken(AtomicBool::new(true))),
                    pause: None,
                });
            }
            Next::Gateway(gateway) => {
                self.steps += 1;
                self.doing = Doing::Gateway(gateway, self.steps, made);
            }
            Next::Done(reply) => {
                self.doing = Doing::Done;
                self.delivery = None;
                let is_good = match &reply {
                    Reply::Status(status, _) => *status == 200,
                    Reply::Frame(_) | Reply::Authorized(_) => true,
                    Reply::None(_) | Reply::Lost => false,
                };
                self.last = Some(reply);
                if is_good {
                    self.at += 1;
                    self.start(story, who, seed, made)?;
                }
            }
        }
        Ok(())
    }

    fn is_woken(&self) -> bool {
        match &self.doing {
            Doing::Running(running) => running.woken.0.load(Ordering::Relaxed),
            Doing::Gateway(..) | Doing::Done => false,
        }
    }

    /// Lets its function run until it waits. Says whether it did anything.
    async fn go_on(
        &mut self,
        story: &mut Story,
        who: usize,
        seed: u64,
        made: usize,
    ) -> Result<bool, Trouble> {
        let Doing::Running(running) = &mut self.doing else {
            return Ok(false);
        };
        if !running.woken.0.swap(false, Ordering::Relaxed) {
            if running.gate.is_empty() && running.pause.is_none() {
                self.steps += 1;
                running.pause = Some((self.steps, made));
            }
            return Ok(false);
        }
        running.pause = None;
        let waker = Waker::from(Arc::clone(&running.woken));
        let polled = running.run.as_mut().poll(&mut Context::from_waker(&waker));
        let Poll::Ready(output) = polled else {
            running.gate.number(&mut self.steps, made);
            return Ok(true);
        };
        let ended = match output {
            Some(Ok(answer)) => Ended::Answer(answer),
            Some(Err(_)) | None => Ended::Failed,
        };
        let delivery = self.delivery.as_mut().ok_or("a run of no request")?;
        let next = story.ended(delivery, ended).await?;
        self.take_up(story, next, who, seed, made)?;
        Ok(true)
    }

    fn pending(&self, who: usize, keys: &Keys) -> Vec<Step> {
        let step = |number, what, touches, since| Step {
            id: (who, number),
            what,
            touches,
            since,
        };
        match &self.doing {
            Doing::Running(running) => match running.pause {
                Some((number, since)) => vec![step(number, "time passes".to_owned(), Touches::time(), since)],
                None => running.gate.pending(who, keys),
            },
            Doing::Gateway(gateway, number, since) => {
                let (what, id, is_write) = match gateway {
                    Gateway::Opens(id) => ("opens", id, true),
                    Gateway::Breaks(id) => ("breaks off", id, true),
                    Gateway::Answers(id) => ("the answer goes out on", id, false),
                };
                let touches = Touches::connection(id, is_write);
                vec![step(*number, format!("{what} {id}"), touches, *since)]
            }
            Doing::Done => Vec::new(),
        }
    }

    /// Makes a step.
    async fn go(
        &mut self,
        story: &mut Story,
        id: StepId,
        who: usize,
        seed: u64,
        made: usize,
    ) -> Result<(), Trouble> {
        match &mut self.doing {
            Doing::Running(Running {
                pause: Some(_),
                woken,
                ..
            }) => {
                for _ in 0..MAX_MOMENTS {
                    if woken.0.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    tokio::time::sleep(MOMENT).await;
                }
                Err(Trouble::from("a function waits for nothing"))
            }
            Doing::Running(running) => {
                running.gate.open(id.1)?;
                // Carried out before anybody else moves, and before anybody looks.
                self.go_on(story, who, seed, made).await.map(drop)
            }
            Doing::Gateway(..) => {
                let delivery = self.delivery.as_mut().ok_or("a step of no request")?;
                let next = story.gateway_does(delivery).await?;
                self.take_up(story, next, who, seed, made)
            }
            Doing::Done => Err(Trouble::from("who has its answer makes no step")),
        }
    }

    /// Repeats the request that has no answer, and goes on with those after it.
    async fn ask_again(&mut self, story: &mut Story) -> Result<(), Trouble> {
        let mut repetitions = 0;
        let is_once = |request: &Request| match request {
            Request::Disconnect(_) => true,
            Request::Frame(_, frame) => matches!(frame, waxwing_wire::ClientFrame::Ephemeral(_)),
            _ => false,
        };
        while let Some(request) = self.requests.get(self.at) {
            if self.last.as_ref().is_some_and(Reply::is_final) || is_once(request) {
                return Ok(());
            }
            if repetitions == MAX_REPETITIONS {
                let last = self.last.as_ref().map(Reply::text).unwrap_or_default();
                let what = format!("repeating does not help: {last}");
                story.ledger.violations.push(Violation::new("I14", what));
                return Ok(());
            }
            repetitions += 1;
            if let Request::Frame(place, _) = request
                && !story.device(*place)?.is_connected(&story.service)
            {
                let reply = story
                    .deliver(&Request::Connect(*place), &Faulty::new(None))
                    .await?;
                if reply.is_final() && reply != Reply::Status(200, Value::Null) {
                    return Ok(());
                }
            }
            let reply = story.deliver(request, &Faulty::new(None)).await?;
            if matches!(reply, Reply::Status(200, _) | Reply::Frame(_)) && reply.is_final() {
                self.at += 1;
                self.last = None;
            } else {
                self.last = Some(reply);
            }
        }
        Ok(())
    }
}

/// Randomness of a run: it follows from who makes it, not from when.
fn seed_of(seed: u64, who: usize, request: usize, function: &str) -> u64 {
    let parts = [who, request, function.len()];
    let place = parts.iter().fold(0_u64, |sum, part| {
        sum.wrapping_mul(31)
            .wrapping_add(u64::try_from(*part).unwrap_or(0))
    });
    seed.wrapping_mul(1_000_003).wrapping_add(place)
}

/// Where the calls of one run wait.
#[derive(Default)]
struct Gate {
    waiting: Mutex<Vec<Waiting>>,
}

struct Waiting {
    call: Call,
    go: oneshot::Sender<()>,
    /// Its number among the steps of its player, and since when, once it was seen.
    seen: Option<(u32, usize)>,
}

impl Gate {
    fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Numbers what has come since.
    fn number(&self, steps: &mut u32, made: usize) {
        for waiting in self.lock().iter_mut().filter(|waiting| waiting.seen.is_none()) {
            *steps += 1;
            waiting.seen = Some((*steps, made));
        }
    }

    fn pending(&self, who: usize, keys: &Keys) -> Vec<Step> {
        let waiting = self.lock();
        let step = |waiting: &Waiting| {
            let (number, since) = waiting.seen?;
            Some(Step {
                id: (who, number),
                what: waiting.call.name.clone(),
                touches: Touches::of(&waiting.call, keys),
                since,
            })
        };
        waiting.iter().filter_map(step).collect()
    }

    fn open(&self, number: u32) -> Result<(), Trouble> {
        let mut waiting = self.lock();
        let is_it = |waiting: &Waiting| waiting.seen.is_some_and(|(own, _)| own == number);
        let place = waiting.iter().position(is_it).ok_or("no such call waits")?;
        let waiting = waiting.remove(place);
        waiting
            .go
            .send(())
            .map_err(|()| Trouble::from("the call is gone"))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hook for Gate {
    fn before<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Before> {
        let (go, gone) = oneshot::channel();
        self.lock().push(Waiting {
            call: call.clone(),
            go,
            seen: None,
        });
        async move {
            // The sender is dropped only with the run.
            let _ = gone.await;
            Before::Pass
        }
        .boxed()
    }

    fn after<'a>(&'a self, _: &'a Call, answer: Response<Bytes>) -> BoxFuture<'a, After> {
        async move { After::Answer(answer) }.boxed()
    }
}

/// Notes that a run can go on.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Follows a schedule, and brings everybody to the end after it.
pub(super) struct Follow {
    turns: std::vec::IntoIter<Turn>,
}

impl Follow {
    pub(super) fn new(schedule: &Schedule) -> Self {
        Self {
            turns: schedule.0.clone().into_iter(),
        }
    }
}

impl Choose for Follow {
    fn choose(&mut self, pending: &[Step]) -> Option<usize> {
        for Turn { who, call } in self.turns.by_ref() {
            let own = pending.iter().enumerate().filter(|(_, step)| step.id.0 == who);
            let places: Vec<_> = own.map(|(place, _)| place).collect();
            if let Some(place) = places.get(call).or(places.last()) {
                return Some(*place);
            }
        }
        Some(0)
    }
}

/// Who has something to do.
pub(super) fn whose(pending: &[Step]) -> BTreeSet<usize> {
    pending.iter().map(|step| step.id.0).collect()
}
