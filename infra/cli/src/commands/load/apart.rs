//! The service on threads of its own, so that what it uses is told apart from its clients, and the same database calls
//! done again with nothing around them, so that what the way costs stands beside what its database costs.

use std::{net::Ipv4Addr, time::Duration};

use aws_sdk_dynamodb::Client;
use serde::Serialize;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use waxwing_local::runner::{Bare, Recorded, Runner, RunnerConfig};

use super::{LoadError, sdk::Ask};
use crate::{
    cpu::{self, CpuTime},
    service::ServiceError,
    tables,
};

/// What the service's threads are called.
const THREADS: &str = "service";

/// How long a thread without work stays: longer than any load, because what a thread used is known while it is there.
const STAYS: Duration = Duration::from_secs(2 * super::MOST_SECONDS);

/// The threads of a service. Dropping them ends what runs there.
pub(super) struct Apart(Option<Runtime>);

impl Apart {
    /// Starts a service on threads of its own. It keeps its calls to the database from the first.
    ///
    /// # Errors
    /// [`LoadError::Print`] if the system has no threads, [`LoadError::Service`].
    pub(super) async fn start(config: RunnerConfig) -> Result<(Self, Runner), LoadError> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name(THREADS)
            .thread_keep_alive(STAYS)
            .build()?;
        let started = runtime.spawn(Runner::start(config));
        let this = Self(Some(runtime));
        let runner = started.await?.map_err(ServiceError::from)?;
        runner.record_database();
        Ok((this, runner))
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What a service has used so far: its threads, and the processes of its functions.
pub(super) struct Used {
    threads: Duration,
    processes: CpuTime,
}

impl Used {
    /// `None` where the system does not tell.
    pub(super) fn read() -> Option<Self> {
        Some(Self {
            threads: cpu::of_threads(THREADS)?,
            processes: CpuTime::read()?.without_this_process(),
        })
    }

    /// What was used after `earlier` was read.
    pub(super) fn since(&self, earlier: &Self) -> Duration {
        self.threads.saturating_sub(earlier.threads) + self.processes.since(&earlier.processes)
    }
}

/// What the same calls to the database cost, done again, in CPU time or multiples of it. Each is missing where the system does
/// not tell; those of the SDK if there is a call that the way of a message does not make.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Again<T> {
    /// Straight, with nothing around them.
    pub(super) bare: Option<T>,
    /// Through the AWS SDK in one process with the engine, with nothing else around them.
    pub(super) through_sdk: Option<T>,
    /// Through the AWS SDK and a socket, client and server on one thread, with nothing else around them.
    pub(super) through_http: Option<T>,
}

impl<T> Again<T> {
    const UNKNOWN: Self = Self {
        bare: None,
        through_sdk: None,
        through_http: None,
    };

    pub(super) fn and_then<U>(self, change: impl Fn(T) -> Option<U>) -> Again<U> {
        Again {
            bare: self.bare.and_then(&change),
            through_sdk: self.through_sdk.and_then(&change),
            through_http: self.through_http.and_then(&change),
        }
    }
}

/// Does the calls again in each way, against an engine of its own, those of `before` first and uncounted, and tells the CPU
/// time of the others. Nothing if not every call of `before` was kept.
///
/// # Errors
/// [`LoadError`].
pub(super) async fn again(
    runner: &Runner,
    before: Recorded,
    during: Recorded,
) -> Result<Again<Duration>, LoadError> {
    if before.made() != before.len() as u64 {
        return Ok(Again::UNKNOWN);
    }
    let specs: Vec<_> = runner.template().tables.values().cloned().collect();
    let work = move || {
        let engine = || {
            let engine = Bare::open(&specs)?;
            engine.run(&before);
            Ok::<_, LoadError>(engine)
        };
        let straight = engine()?;
        let bare = used_by(|| straight.run(&during));
        let asks: Option<Vec<_>> = during.iter().map(|(name, body)| Ask::of(name, body)).collect();
        let (mut through_sdk, mut through_http) = (None, None);
        if let Some(asks) = asks {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let client = Client::from_conf(tables::sdk().http_client(engine()?).build());
            through_sdk = used_by_all(&runtime, asks.clone(), &client);
            let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
            let endpoint = format!("http://{}", listener.local_addr()?);
            runtime.spawn(engine()?.serve(listener));
            let client = Client::from_conf(tables::sdk().endpoint_url(endpoint).build());
            through_http = used_by_all(&runtime, asks, &client);
        }
        // What was not kept cost as much as what was.
        let share = during.made() as f64 / during.len().max(1) as f64;
        let used = Again {
            bare,
            through_sdk,
            through_http,
        };
        Ok(used.and_then(|used| Some(used.mul_f64(share))))
    };
    tokio::task::spawn_blocking(work).await?
}

/// What this thread uses to make these calls, and to answer them; none if one has no answer.
fn used_by_all(runtime: &Runtime, asks: Vec<Ask>, client: &Client) -> Option<Duration> {
    // What the SDK and the connection do once is not counted.
    let _ = runtime.block_on(client.list_tables().send());
    let mut answered = true;
    let used = used_by(|| {
        runtime.block_on(async {
            for ask in asks {
                answered &= ask.send(client).await;
            }
        });
    });
    used.filter(|_| answered)
}

/// What this thread uses for it.
fn used_by(work: impl FnOnce()) -> Option<Duration> {
    let earlier = cpu::of_this_thread();
    work();
    let used = cpu::of_this_thread().zip(earlier);
    used.map(|(later, earlier)| later.saturating_sub(earlier))
}
