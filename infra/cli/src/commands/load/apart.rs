//! The service on threads of its own, so that what it uses is told apart from its clients, and the same database calls
//! done again with nothing around them, so that what the way costs stands beside what its database costs.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use waxwing_local::runner::{Bare, Recorded, Runner, RunnerConfig};

use super::{
    LoadError,
    sdk::{self, Ask},
};
use crate::{
    cpu::{self, CpuTime},
    service::ServiceError,
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

/// CPU time of the same calls to the database, done again.
#[derive(Clone, Copy, Default)]
pub(super) struct Again {
    /// Straight, with nothing around them.
    pub(super) bare: Option<Duration>,
    /// Through the AWS SDK, with nothing else around them.
    pub(super) through_sdk: Option<Duration>,
}

/// Does the calls again, straight against an engine of their own and through the SDK against another, those of `before`
/// first and uncounted, and tells the CPU time of the others. Nothing where the system does not tell, or if not every
/// call of `before` was kept; nothing of the SDK if there is a call that the way of a message does not make.
///
/// # Errors
/// [`LoadError`].
pub(super) async fn again(runner: &Runner, before: Recorded, during: Recorded) -> Result<Again, LoadError> {
    if before.made() != before.len() as u64 {
        return Ok(Again::default());
    }
    let tables: Vec<_> = runner.template().tables.values().cloned().collect();
    let work = move || {
        let engine = || {
            let engine = Bare::open(&tables)?;
            engine.run(&before);
            Ok::<_, LoadError>(engine)
        };
        // What was not kept cost as much as what was.
        let share = during.made() as f64 / during.len().max(1) as f64;
        let straight = engine()?;
        let bare = used_by(|| straight.run(&during)).map(|used| used.mul_f64(share));
        let asks: Option<Vec<_>> = during.iter().map(|(name, body)| Ask::of(name, body)).collect();
        let Some(asks) = asks else {
            return Ok(Again {
                bare,
                through_sdk: None,
            });
        };
        let client = sdk::client(engine()?);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let all = async {
            for ask in asks {
                ask.send(&client).await;
            }
        };
        let through_sdk = used_by(|| runtime.block_on(all)).map(|used| used.mul_f64(share));
        Ok(Again { bare, through_sdk })
    };
    tokio::task::spawn_blocking(work).await?
}

/// What this thread uses for it.
fn used_by(work: impl FnOnce()) -> Option<Duration> {
    let earlier = cpu::of_this_thread();
    work();
    let used = cpu::of_this_thread().zip(earlier);
    used.map(|(later, earlier)| later.saturating_sub(earlier))
}
