//! The service on threads of its own, so that what it uses is told apart from its clients, and the same database calls
//! done again with nothing around them, so that what the way costs stands beside what its database costs.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use waxwing_local::runner::{Bare, Recorded, Runner, RunnerConfig};

use super::LoadError;
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

/// Does the calls again straight against an engine of their own, those of `before` first and uncounted, and tells the
/// CPU time of the others. `None` where the system does not tell, or if not every call of `before` was kept.
///
/// # Errors
/// [`LoadError`].
pub(super) async fn bare(
    runner: &Runner,
    before: Recorded,
    during: Recorded,
) -> Result<Option<Duration>, LoadError> {
    let tables: Vec<_> = runner.template().tables.values().cloned().collect();
    let work = move || {
        let bare = Bare::open(&tables)?;
        bare.run(&before);
        let earlier = CpuTime::read();
        bare.run(&during);
        let used = CpuTime::read().zip(earlier);
        let used = used.map(|(later, earlier)| later.since(&earlier));
        // What was not kept cost as much as what was.
        let share = during.made() as f64 / during.len().max(1) as f64;
        let whole = before.made() == before.len() as u64;
        Ok(used.filter(|_| whole).map(|used| used.mul_f64(share)))
    };
    tokio::task::spawn_blocking(work).await?
}
