//! `cargo waxwing load --chaos`: everything breaks for a while, and nothing may be lost or doubled.
//!
//! The service is the real one: `waxwing local` as a process on files, its functions as processes of their own. A
//! [`plan`] drawn from a seed kills functions (SIGKILL), kills the service and starts it again, cuts and stalls
//! sockets at a [`proxy`], drops clients and opens them again on their files; meanwhile AWS throttles, fails, loses
//! answers and finds connections gone. Then all of that stops, everything comes to rest within a named time, and the
//! ledger is compared: what was handed to `send_text` against what was shown, and against what the stores hold.

mod device;
mod plan;
mod proxy;
mod report;
mod service_process;

use std::{
    io,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use tokio::{sync::mpsc, task::JoinSet};
use waxwing_client::{Endpoints, MessageId, MessageState, SendError};
use waxwing_local::{outbox, runner::FaultPlan};

use self::{
    device::Writer,
    plan::{Disturbance, Planned, plan},
    proxy::Proxy,
    report::{Disturbances, Report},
    service_process::{ServiceProcess, ServiceProcessError, Start},
};
use super::{Args, MAILBOX, sending::Pace};
use crate::{
    commands::Outcome,
    console::Console,
    ledger::{Audit, Shown},
    people::{self, Device, PeopleError},
    run::{Run, State},
    service::{self, AUDIENCE, ServiceError},
    tables::{Tables, TablesError},
};

/// Messages a second unless told otherwise, of all devices together. Functions are processes, and each message goes to
/// three devices.
const RATE: f64 = 20.0;

/// Of the functions' requests to AWS, the part that goes wrong.
const FAULTS: f64 = 0.05;

/// Of the puts and posts, those that the service that forgets does not do: so many that the last message to some device is
/// among them, which nobody asks for again.
const FORGOTTEN: f64 = 0.9;

/// Devices of two people with two devices each.
const GROUP: usize = 4;

/// Between two looks whether everything is at rest.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What may still come when everything looks at rest: an envelope that is on its way a second time.
const QUIET: Duration = Duration::from_secs(1);

/// Why a run did not come to its account.
#[derive(Debug, thiserror::Error)]
pub enum ChaosError {
    /// The functions could not be built.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The service did not start, or did not come back.
    #[error(transparent)]
    Process(#[from] ServiceProcessError),
    /// A device did not get in, or its store does not open again.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// A message could not even be stored.
    #[error("a message could not be handed over: {0}")]
    Send(#[from] SendError),
    /// A writer crashed.
    #[error("a writing task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The mailbox could not be looked into.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// There is no folder or no port, or the report could not be printed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Breaks everything, accounts for it, and prints the report.
///
/// # Errors
/// [`ChaosError`].
pub(super) async fn run(args: &Args, console: &Console) -> Result<Outcome, ChaosError> {
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    console.say(format_args!(
        "{} devices, {} seconds; the disturbances are those of --seed {seed}.",
        args.devices,
        args.lasts().as_secs()
    ));
    let folder = tempfile::Builder::new().prefix("waxwing-chaos-").tempdir()?;
    let functions = service::functions_binary_of(args.functions.binary.clone(), console).await?;
    let start = Start {
        functions,
        data: folder.path().join("service"),
        port: 0,
        faults: None,
    };
    let mut scene = Scene::open(start, seed, args.forget).await?;
    let writers = scene.gather(args.devices, folder.path(), console).await?;
    let lasts = args.lasts();
    let writers = scene
        .disturb(writers, lasts, args.rate.unwrap_or(RATE), console)
        .await?;
    let report = scene.account(writers, args, seed, console).await?;
    if !report.passed {
        let kept = folder.keep();
        console.warn(format_args!("waxwing: the files are kept in {}", kept.display()));
    }
    report.tell(console);
    console.result(&report)?;
    Ok(Outcome::of(report.passed))
}

/// Everything that takes part, but the devices.
struct Scene {
    run: Arc<Run>,
    service: ServiceProcess,
    start: Start,
    proxy: Proxy,
    endpoints: Endpoints,
    seed: u64,
    forget: bool,
    done: Disturbances,
    /// Which sockets a disturbance meets.
    rng: StdRng,
}

impl Scene {
    /// The service, without faults yet, and the proxy in front of it.
    async fn open(start: Start, seed: u64, forget: bool) -> Result<Self, ChaosError> {
        let service = ServiceProcess::start(&start).await?;
        let proxy = Proxy::start(service.address()).await?;
        let (direct, through) = (service.address().to_string(), proxy.address().to_string());
        let ready = service.ready();
        Ok(Self {
            run: Run::new(),
            endpoints: Endpoints {
                websocket_url: ready.websocket_url.replace(&direct, &through),
                http_url: ready.http_url.replace(&direct, &through),
                audience: String::from(AUDIENCE),
            },
            start: Start {
                port: service.address().port(),
                ..start
            },
            service,
            proxy,
            seed,
            forget,
            done: Disturbances::default(),
            rng: StdRng::seed_from_u64(seed),
        })
    }

    /// Lets everybody in: two people with two devices each at a time, who write to each other, and the rest in pairs.
    async fn gather(
        &self,
        count: usize,
        folder: &Path,
        console: &Console,
    ) -> Result<Vec<Writer>, ChaosError> {
        let progress = console.progress("registering devices", count);
        let mut writers = Vec::with_capacity(count);
        while writers.len() < count {
            let number = writers.len();
            let size = if count - number >= GROUP { GROUP } else { 2 };
            let mut people = Vec::new();
            for first in [number + 1, number + 1 + size / 2] {
                let mut devices = vec![self.register(first, folder).await?];
                progress.step();
                if let (GROUP, Some(phone)) = (size, devices.first()) {
                    let name = format!("device {}", first + 1);
                    let config = device::config(folder, &name, self.endpoints.clone());
                    devices.push(people::link(phone, &name, config).await?);
                    progress.step();
                }
                people.push(devices);
            }
            writers.extend(self.introduce(people, folder).await?);
        }
        for writer in &writers {
            writer.device.client.connect();
        }
        Ok(writers)
    }

    async fn register(&self, number: usize, folder: &Path) -> Result<Device, ChaosError> {
        let name = format!("device {number}");
        let config = device::config(folder, &name, self.endpoints.clone());
        let outbox = format!("http://{}{}", self.proxy.address(), outbox::PATH);
        Ok(people::register_at(&name, config, &outbox).await?)
    }

    /// Two people who write to each other. What each sends is for all other devices of both.
    async fn introduce(&self, people: Vec<Vec<Device>>, folder: &Path) -> Result<Vec<Writer>, ChaosError> {
        let accounts: Vec<_> = people
            .iter()
            .filter_map(|devices| devices.first())
            .map(|device| device.address.account)
            .collect();
        let mut writers = Vec::new();
        for device in people.into_iter().flatten() {
            let own = device.address.account;
            let partner = accounts.iter().copied().find(|account| *account != own);
            writers.push(Writer {
                number: self.run.add(&device).await?,
                partner: partner.unwrap_or(own),
                config: device::config(folder, &device.name, self.endpoints.clone()),
                device,
            });
        }
        for writer in &writers {
            self.run
                .route(writer.number, writers.iter().map(|other| other.number));
        }
        Ok(writers)
    }

    /// Lets everybody write while the plan is carried out.
    async fn disturb(
        &mut self,
        writers: Vec<Writer>,
        lasts: Duration,
        rate: f64,
        console: &Console,
    ) -> Result<Vec<Writer>, ChaosError> {
        let progress = console.progress("disturbances", plan(self.seed, lasts).len());
        self.restart(Duration::ZERO, true).await?;
        let (begun, devices) = (tokio::time::Instant::now(), writers.len());
        let mut writing = JoinSet::new();
        let mut reopen = Vec::with_capacity(devices);
        for (place, writer) in writers.into_iter().enumerate() {
            let (told, heard) = mpsc::channel(1);
            reopen.push(told);
            let pace = Pace::of(rate, place, devices);
            writing.spawn(writer.write(self.run.clone(), pace, begun + lasts, heard));
        }
        for Planned { after, what } in plan(self.seed, lasts) {
            tokio::time::sleep_until(begun + after).await;
            self.carry_out(what, &reopen).await?;
            progress.step();
        }
        let mut writers = Vec::with_capacity(devices);
        while let Some(written) = writing.join_next().await {
            writers.push(written??);
        }
        writers.sort_by_key(|writer| writer.number);
        Ok(writers)
    }

    async fn carry_out(&mut self, what: Disturbance, reopen: &[mpsc::Sender<()>]) -> Result<(), ChaosError> {
        match what {
            Disturbance::KillFunction { at } => {
                self.done.kills += usize::from(self.service.kill_function(at));
            }
            Disturbance::KillService { away } => {
                self.done.restarts += 1;
                self.restart(away, true).await?;
            }
            Disturbance::Cut { share } => self.proxy.cut(share, &mut self.rng),
            Disturbance::Stall { share, lasts } => self.proxy.stall(share, lasts, &mut self.rng),
            Disturbance::Reopen { at } => {
                let place = ((at * reopen.len() as f64) as usize).min(reopen.len().saturating_sub(1));
                // One that still comes back from the last time is left alone.
                let told = reopen
                    .get(place)
                    .is_some_and(|device| device.try_send(()).is_ok());
                self.done.reopened += usize::from(told);
            }
        }
        Ok(())
    }

    /// Kills the service, counts what it did wrong, and starts it again on its files.
    async fn restart(&mut self, away: Duration, faulty: bool) -> Result<(), ChaosError> {
        for (kind, count) in self.service.faults().await {
            *self.done.faults_by_kind.entry(kind).or_default() += count;
        }
        // Each life draws faults of its own.
        let life = u64::try_from(self.done.restarts).unwrap_or_default();
        self.start.faults = faulty.then_some(FaultPlan {
            seed: self.seed.wrapping_add(life),
            rate: if self.forget { FORGOTTEN } else { FAULTS },
            forget: self.forget,
        });
        self.done.left_behind += self.service.kill().await?;
        tokio::time::sleep(away).await;
        self.service = ServiceProcess::start(&self.start).await?;
        Ok(())
    }

    /// Stops every disturbance, waits for rest, and compares.
    async fn account(
        mut self,
        writers: Vec<Writer>,
        args: &Args,
        seed: u64,
        console: &Console,
    ) -> Result<Report, ChaosError> {
        let _progress = console.spinner("waiting until everything is at rest");
        self.restart(Duration::ZERO, false).await?;
        self.proxy.mend();
        (self.done.cuts, self.done.stalls) = self.proxy.counts();
        let limit = Duration::from_secs(args.rest);
        let begun = Instant::now();
        let rested = self.rest(&writers, limit).await?.then(|| begun.elapsed());
        tokio::time::sleep(QUIET).await;
        let mailbox_left = self.mailbox_left().await?;
        for writer in &writers {
            writer.device.client.disconnect().await;
        }
        let kept = self.kept(&writers)?;
        let (audit, told) = self
            .run
            .look(|state| (state.ledger().audit(), state.told_by_all()));
        self.done.left_behind += self.service.kill().await?;
        Ok(Report::new(report::Parts {
            seed,
            seconds: args.lasts().as_secs(),
            devices: args.devices,
            rest_limit: limit,
            rested,
            done: self.done,
            mailbox_left,
            kept,
            told,
            audit,
        }))
    }

    /// Waits until every message is accepted, shown everywhere and acked. Returns whether that came in time.
    async fn rest(&self, writers: &[Writer], limit: Duration) -> Result<bool, ChaosError> {
        let deadline = Instant::now() + limit;
        let expected = self.run.look(|state| state.ledger().audit().expected);
        for writer in writers {
            // As a person who looks at the app: no wait of before the mending.
            writer.device.client.connect();
        }
        while Instant::now() < deadline {
            let mut pending = 0;
            for writer in writers {
                let waiting = writer.device.client.pending();
                pending += waiting.map_err(|error| writer.store(error))?;
            }
            if pending == 0 && self.run.look(State::shown) >= expected && self.mailbox_left().await? == 0 {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(false)
    }

    async fn mailbox_left(&self) -> Result<usize, ChaosError> {
        let ready = self.service.ready();
        let mailbox = ready.tables.iter().find(|table| table.ends_with(MAILBOX));
        let mailbox = mailbox.map_or(MAILBOX, String::as_str);
        Ok(Tables::at(&ready.aws_endpoint).items(mailbox).await?.len())
    }

    /// The account of what the stores hold in the end, which also say what was accepted.
    fn kept(&self, writers: &[Writer]) -> Result<Audit, ChaosError> {
        let mut lists = Vec::with_capacity(writers.len());
        for writer in writers {
            let messages = writer.device.client.messages(writer.partner);
            let messages = messages.map_err(|error| writer.store(error))?;
            let (own, others): (Vec<_>, Vec<_>) = messages
                .into_iter()
                .partition(|message| message.from == writer.device.address);
            own.iter()
                .filter(|message| is_accepted(&message.state))
                .for_each(|message| self.run.accepted(message.id));
            let at = Instant::now();
            let shown = |state: &State| -> Vec<Shown<MessageId>> {
                let shown = others.into_iter().map(|message| Shown {
                    id: message.id,
                    from: state.number_of(message.from),
                    text: message.text,
                    late: message.late,
                    at,
                });
                shown.collect()
            };
            lists.push(self.run.look(shown));
        }
        Ok(self.run.look(|state| state.ledger().with_shown(lists).audit()))
    }
}

fn is_accepted(state: &MessageState) -> bool {
    matches!(
        state,
        MessageState::Accepted | MessageState::Delivered | MessageState::Read
    )
}
