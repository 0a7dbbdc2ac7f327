//! Every use case, once or a few times, one at a time, on a service of its own: real clients, real functions, the
//! meter.
//!
//! Counts are exact and the same on every machine. Durations are those of this machine, where tables are a
//! function call away; the report prices assumed durations and shows these beside them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use waxwing_client::{Platform, PushError, SendError, UploadError};
use waxwing_cost::{FunctionUsage, Measured, Usage};
use waxwing_local::runner::Runner;

use super::counting::{CountError, Counted, Counter, with_counting};
use crate::{
    console::Console,
    ledger::DeviceNumber,
    people::{self, Device, PeopleError},
    run::{Run, Stalled, State},
    service,
};

/// Messages before anything is counted: instances are started, connections are open, sessions are set up both ways.
const WARM_UP: usize = 20;

/// Messages that a figure of one message is the mean of.
const MESSAGES: usize = 20;

/// Two digits of a token as Apple gives them.
const PUSH_TOKEN: &str = "ab";

/// What is sent: about as long as a message is.
const TEXT: &str = "See you at eight, in front of the cinema? I have the tickets already.";

/// How long messages wait for one another in windowed mode: long enough to hand over ten on a busy machine.
const SEND_LINGER: Duration = Duration::from_secs(1);

/// Why use cases were not measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// Counting failed.
    #[error(transparent)]
    Count(#[from] CountError),
    /// A device did not get in.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// A message could not even be stored.
    #[error("a message could not be handed over: {0}")]
    Send(#[from] SendError),
    /// A push token was not taken.
    #[error("a push token was not taken: {0}")]
    Push(#[from] PushError),
    /// A prekey could not be published.
    #[error("a prekey could not be published: {0}")]
    Upload(#[from] UploadError),
    /// Devices stopped telling anything.
    #[error(transparent)]
    Stalled(#[from] Stalled),
}

/// What was measured.
pub(super) struct Measurement {
    /// Use cases.
    pub(super) measured: Measured,
    /// Mean milliseconds of an invocation of each function on this machine, while messages were sent one at a time.
    pub(super) local_ms: BTreeMap<String, f64>,
}

/// Measures every use case.
///
/// # Errors
/// [`MeasureError`].
pub(super) async fn measure(runner: &Runner, console: &Console) -> Result<Measurement, MeasureError> {
    let _progress = console.spinner("measuring use cases, one at a time");
    let mut stage = Stage {
        runner,
        counter: Counter::new(runner),
        run: Run::new(),
    };
    let (register, alice, bob) = stage.newcomers().await?;
    let (connect, receive_nothing, fetch) = stage.connecting(&alice).await?;
    stage.connect(&bob).await?;
    let (claim, online) = stage.messages(&alice, &bob).await?;
    let ephemeral = stage.ephemeral(&alice, &bob).await?;
    let (link, to_3_devices) = stage.three_devices(&alice).await?;
    let burst = stage.burst(&bob).await?;
    let away = stage.away(&alice, &bob).await?;
    let upload = stage.upload(&alice).await?;
    let functions = runner.template().functions.values();
    let local_ms = online.local_ms.iter().filter_map(|(name, ms)| {
        let invocations = online.usage.functions.get(name)?.invocations;
        Some((name.clone(), as_f64(usize::try_from(*ms).ok()?) / invocations))
    });
    let units = stage.counter.counting();
    let counted = |usage: &Usage| with_counting(usage, units);
    Ok(Measurement {
        local_ms: local_ms.collect(),
        measured: Measured {
            ciphertext_bytes: as_f64(online.ciphertext_bytes.unwrap_or_default()),
            memory_mb: functions
                .map(|function| (function.handler.clone(), function.memory_mb))
                .collect(),
            message_to_1_device: counted(&mean(&online.usage.only(&["send"]), MESSAGES)),
            message_to_3_devices: counted(&to_3_devices),
            burst_of_10: counted(&burst),
            first_message_to_away_device: counted(&away.first),
            next_message_to_away_device: counted(&away.next),
            ack_of_1: counted(&mean(&online.usage.only(&["ack"]), MESSAGES)),
            ack_of_10: counted(&away.ack_of_10),
            receive_nothing: counted(&receive_nothing),
            receive_10: counted(&away.receive_10),
            connect: counted(&connect),
            disconnect: counted(&away.disconnect),
            claim: counted(&claim),
            register: counted(&register),
            link: counted(&link),
            upload: counted(&upload),
            fetch: counted(&fetch),
            ephemeral: counted(&ephemeral),
        },
    })
}

/// A service of its own and those who use it.
struct Stage<'a> {
    runner: &'a Runner,
    counter: Counter<'a>,
    run: Arc<Run>,
}

/// A device of the run.
struct Actor {
    device: Device,
    number: DeviceNumber,
}

/// What a device that was away takes.
struct Away {
    disconnect: Usage,
    first: Usage,
    next: Usage,
    receive_10: Usage,
    ack_of_10: Usage,
}

impl Stage<'_> {
    /// Registers two people, the first to warm up.
    async fn newcomers(&mut self) -> Result<(Usage, Actor, Actor), MeasureError> {
        let alice = self.register("Alice").await?;
        self.counter.begin()?;
        let bob = self.register("Bob").await?;
        let counted = self
            .counter
            .end("a registration", |usage| invoked(usage, "register") == 1.0)
            .await?;
        Ok((mean(&counted.usage, 1), alice, bob))
    }

    async fn register(&self, name: &str) -> Result<Actor, MeasureError> {
        let device = people::register(name, service::client_config(self.runner), self.runner).await?;
        let number = self.run.add(&device).await?;
        Ok(Actor { device, number })
    }

    /// Connects a device twice, the first time to warm up, and takes apart what the second time took.
    async fn connecting(&mut self, actor: &Actor) -> Result<(Usage, Usage, Usage), MeasureError> {
        self.connect(actor).await?;
        self.disconnect(actor).await?;
        self.counter.begin()?;
        actor.device.client.connect();
        let counted = self
            .counter
            .end("a connection", |usage| {
                ["authorize", "connect", "receive", "fetch"]
                    .iter()
                    .all(|function| invoked(usage, function) >= 1.0)
            })
            .await?;
        self.run.set_present(actor.number, true);
        let only = |functions: &[&str]| mean(&counted.usage.only(functions), 1);
        Ok((
            only(&["authorize", "connect"]),
            only(&["receive"]),
            only(&["fetch"]),
        ))
    }

    async fn connect(&mut self, actor: &Actor) -> Result<(), MeasureError> {
        self.counter.begin()?;
        actor.device.client.connect();
        // Then nothing of it is left for what is counted next.
        self.counter
            .end("a connection", |usage| {
                invoked(usage, "receive") >= 1.0 && invoked(usage, "fetch") >= 1.0
            })
            .await?;
        self.run.set_present(actor.number, true);
        Ok(())
    }

    async fn disconnect(&mut self, actor: &Actor) -> Result<Counted, MeasureError> {
        self.counter.begin()?;
        actor.device.client.disconnect().await;
        self.run.set_present(actor.number, false);
        let ended = self
            .counter
            .end("a disconnect", |usage| invoked(usage, "disconnect") == 1.0);
        Ok(ended.await?)
    }

    /// The first message, with its claim; then messages one at a time, each accepted, shown and acked before the next.
    async fn messages(&mut self, alice: &Actor, bob: &Actor) -> Result<(Usage, Counted), MeasureError> {
        self.counter.begin()?;
        self.say_and_wait(alice, &[bob]).await?;
        let mut claims = vec![self.claim().await?];
        for name in ["Erin", "Frank", "Grace", "Heidi", "Ivan", "Judy"] {
            let newcomer = self.register(name).await?;
            self.connect(&newcomer).await?;
            self.counter.begin()?;
            self.say_and_wait(alice, &[&newcomer]).await?;
            claims.push(self.claim().await?);
            self.disconnect(&newcomer).await?;
        }
        // The dearer ones wrote down, by chance, how many requests there were, or began their search for a prekey near
        // the end of the pool and looked a second time.
        let units = |usage: &Usage| usage.total().write_units + usage.total().read_units;
        let claim = claims.into_iter().min_by(|a, b| units(a).total_cmp(&units(b)));
        for _ in 0..WARM_UP / 2 {
            self.say_and_wait(bob, &[alice]).await?;
            self.say_and_wait(alice, &[bob]).await?;
        }
        self.counter.begin()?;
        for _ in 0..MESSAGES {
            self.say_and_wait(alice, &[bob]).await?;
        }
        let each = as_f64(MESSAGES);
        let counted = self
            .counter
            .end("each message and its ack", |usage| {
                invoked(usage, "send") == each && invoked(usage, "ack") == each
            })
            .await?;
        Ok((claim.unwrap_or_default(), counted))
    }

    /// Typing that begins and stops.
    async fn ephemeral(&mut self, alice: &Actor, bob: &Actor) -> Result<Usage, MeasureError> {
        self.counter.begin()?;
        for _ in 0..TEN {
            let client = &alice.device.client;
            client.set_typing(bob.device.address.account, true);
            client.set_typing(bob.device.address.account, false);
        }
        let all = as_f64(2 * TEN);
        let counted = self
            .counter
            .end("what is said for now alone", |usage| {
                usage
                    .functions
                    .get("ephemeral")
                    .is_some_and(|usage| usage.posts == all)
            })
            .await?;
        Ok(mean(&counted.usage.only(&["ephemeral"]), 2 * TEN))
    }

    async fn claim(&mut self) -> Result<Usage, MeasureError> {
        let counted = self
            .counter
            .end("a claim", |usage| invoked(usage, "claim") == 1.0)
            .await?;
        Ok(mean(&counted.usage.only(&["claim"]), 1))
    }

    /// A person with three devices: what the third one's link takes, and a message to all three.
    async fn three_devices(&mut self, alice: &Actor) -> Result<(Usage, Usage), MeasureError> {
        let phone = self.register("Carol's phone").await?;
        let tablet = self.link(&phone, "Carol's tablet").await?;
        self.counter.begin()?;
        let laptop = self.link(&phone, "Carol's laptop").await?;
        let linked = self
            .counter
            .end("a link", |usage| invoked(usage, "link") >= 2.0)
            .await?;
        let all = [&phone, &tablet, &laptop];
        for actor in all {
            self.connect(actor).await?;
        }
        self.say_and_wait(alice, &all).await?;
        // Until a session is answered, its messages carry the handshake.
        for actor in all {
            self.say_and_wait(actor, &[alice]).await?;
        }
        self.counter.begin()?;
        for _ in 0..MESSAGES {
            self.say_and_wait(alice, &all).await?;
        }
        let each = as_f64(MESSAGES);
        let counted = self
            .counter
            .end("each message to three devices", |usage| {
                invoked(usage, "send") == each
            })
            .await?;
        // Who is dropped would leave in the middle of what is counted next.
        for actor in all {
            self.disconnect(actor).await?;
        }
        Ok((
            // How often the new device asks again depends on the moment: it is left out.
            mean(&linked.usage.only(&["offer", "answer"]), 1),
            mean(&counted.usage.only(&["send"]), MESSAGES),
        ))
    }

    async fn link(&self, first: &Actor, name: &str) -> Result<Actor, MeasureError> {
        let device = people::link(&first.device, name, service::client_config(self.runner)).await?;
        let number = self.run.add(&device).await?;
        Ok(Actor { device, number })
    }

    /// Ten messages handed over at once by a device in windowed mode.
    async fn burst(&mut self, bob: &Actor) -> Result<Usage, MeasureError> {
        let mut config = service::client_config(self.runner);
        config.timings.send_linger = SEND_LINGER;
        let device = people::register("Dora", config, self.runner).await?;
        let number = self.run.add(&device).await?;
        let dora = Actor { device, number };
        self.connect(&dora).await?;
        self.say_and_wait(&dora, &[bob]).await?;
        // Until a session is answered, its messages carry the handshake.
        self.say_and_wait(bob, &[&dora]).await?;
        let before = self.run.look(|state| state.told(bob.number).acked);
        self.counter.begin()?;
        for _ in 0..TEN {
            self.say(&dora, bob).await?;
        }
        self.settled().await?;
        let acked = move |state: &State| state.told(bob.number).acked >= before + TEN;
        self.run.until("all of a burst is acked", acked).await?;
        let counted = self
            .counter
            .end("a burst", |usage| {
                invoked(usage, "send") >= 1.0 && invoked(usage, "ack") >= 1.0
            })
            .await?;
        self.disconnect(&dora).await?;
        Ok(mean(&counted.usage.only(&["send"]), 1))
    }

    /// Ten messages to a device that is away, and its return.
    async fn away(&mut self, alice: &Actor, bob: &Actor) -> Result<Away, MeasureError> {
        self.counter.begin()?;
        let client = &bob.device.client;
        client
            .set_push_token(Platform::Apns, &PUSH_TOKEN.repeat(32))
            .await?;
        self.counter
            .end("a push token", |usage| invoked(usage, "subscribe") == 1.0)
            .await?;
        let disconnect = self.disconnect(bob).await?.usage.only(&["disconnect"]);
        self.counter.begin()?;
        self.say(alice, bob).await?;
        self.settled().await?;
        let sent = |count: f64| move |usage: &Usage| invoked(usage, "send") == count;
        let first = self
            .counter
            .end("a message to a device that is away", sent(1.0))
            .await?;
        self.counter.begin()?;
        for _ in 1..TEN {
            self.say(alice, bob).await?;
            self.settled().await?;
        }
        let next = self
            .counter
            .end("messages to a device that is away", sent(as_f64(TEN - 1)))
            .await?;
        self.counter.begin()?;
        bob.device.client.connect();
        let back = self
            .counter
            .end("a mailbox that is emptied", |usage| {
                invoked(usage, "receive") >= 1.0
                    && invoked(usage, "ack") >= 1.0
                    && invoked(usage, "fetch") >= 1.0
            })
            .await?;
        self.run.set_present(bob.number, true);
        for function in ["receive", "ack"] {
            if invoked(&back.usage, function) != 1.0 {
                let counted = format!("{:?}", back.usage.functions.get(function));
                let use_case = "a mailbox of ten, emptied by one page and one ack,";
                return Err(CountError::Unexpected { use_case, counted }.into());
            }
        }
        Ok(Away {
            disconnect: mean(&disconnect, 1),
            first: mean(&first.usage.only(&["send"]), 1),
            next: mean(&next.usage.only(&["send"]), TEN - 1),
            receive_10: mean(&back.usage.only(&["receive"]), 1),
            ack_of_10: mean(&back.usage.only(&["ack"]), 1),
        })
    }

    async fn upload(&mut self, actor: &Actor) -> Result<Usage, MeasureError> {
        self.counter.begin()?;
        actor.device.client.rotate_signed_prekey().await?;
        let counted = self
            .counter
            .end("an upload", |usage| invoked(usage, "upload") == 1.0)
            .await?;
        Ok(mean(&counted.usage.only(&["upload"]), 1))
    }

    async fn say(&self, from: &Actor, to: &Actor) -> Result<(), SendError> {
        let account = to.device.address.account;
        self.run.send(from.number, &from.device, account, TEXT).await
    }

    /// Sends a text and waits until it is accepted, and shown and acked on all devices of the recipient.
    async fn say_and_wait(&self, from: &Actor, to: &[&Actor]) -> Result<(), MeasureError> {
        let Some(first) = to.first() else {
            return Ok(());
        };
        let numbers: Vec<_> = to.iter().map(|actor| actor.number).collect();
        let acked = |state: &State| {
            numbers
                .iter()
                .map(|number| state.told(*number).acked)
                .sum::<usize>()
        };
        let before = self.run.look(acked);
        self.run.route(from.number, numbers.iter().copied());
        self.say(from, first).await?;
        self.settled().await?;
        let all = |state: &State| acked(state) >= before + numbers.len();
        Ok(self
            .run
            .until("a message is acked by all its devices", all)
            .await?)
    }

    async fn settled(&self) -> Result<(), Stalled> {
        self.run
            .until("everything sent is accepted", |state| {
                state.accepted() >= state.sent()
            })
            .await
    }
}

/// Envelopes that `receive_10` and the burst are about.
const TEN: usize = 10;

fn invoked(usage: &Usage, function: &str) -> f64 {
    usage
        .functions
        .get(function)
        .map_or(0.0, |usage| usage.invocations)
}

/// What one of `count` took. Bytes are rounded up: ids and numbers in JSON differ in length.
fn mean(usage: &Usage, count: usize) -> Usage {
    let one = usage * (1.0 / as_f64(count));
    one.map(|usage| FunctionUsage {
        reply_bytes: usage.reply_bytes.ceil(),
        post_bytes: usage.post_bytes.ceil(),
        log_bytes: usage.log_bytes.ceil(),
        ..usage
    })
}

#[allow(clippy::cast_precision_loss, reason = "counts of a short run are exact")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Options;

    fn measured() -> Measurement {
        let console = Console::new(true);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let runner = service::start(Options::in_memory(false), &console).await.unwrap();
            let measurement = measure(&runner, &console).await.unwrap();
            runner.shutdown().await;
            measurement
        })
    }

    /// The budget gate: a change that makes a use case dearer fails here, and says by how much.
    #[test]
    fn no_use_case_takes_more_than_its_budget() {
        let measured = measured().measured;
        let list = measured.to_toml().unwrap();
        let budget = Measured::committed().unwrap_or_else(|error| panic!("{error}\n{list}"));
        let exceeding = measured.exceeding(&budget);
        let said: Vec<_> = exceeding.iter().map(ToString::to_string).collect();
        assert!(
            said.is_empty(),
            "{}\nMake it cheaper, or accept it: cargo waxwing cost --accept\n\n{list}",
            said.join("\n"),
        );
    }
}
