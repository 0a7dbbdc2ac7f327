//! The service as a process of its own: `waxwing local` on a directory, killed and started again on the same port.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};
use waxwing_local::{aws::faults, runner::FaultPlan};

use crate::{commands::local::Ready, service::REQUESTS_PER_MINUTE};

/// How long a start may take: a machine that is busy with everything else needs seconds.
const START: Duration = Duration::from_secs(60);

/// How long processes of functions may outlive the service that was killed above them: they end when they ask it for
/// their next event.
const ORPHANS_END: Duration = Duration::from_secs(10);

/// Between two looks at them.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the service writes on standard error, in its directory.
const LOG: &str = "service.log";

/// How the service is started.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The binary of the functions.
    pub(super) functions: PathBuf,
    /// Where its tables are kept.
    pub(super) data: PathBuf,
    /// The port; 0 for any that is free.
    pub(super) port: u16,
    /// What goes wrong between functions and AWS.
    pub(super) faults: Option<FaultPlan>,
}

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServiceProcessError {
    /// This command, or its processes, are not to be found, started or killed.
    #[error("the service's process: {0}")]
    Io(#[from] io::Error),
    /// It ended, or said nothing.
    #[error("the service did not come up; see {}", .0.display())]
    NotReady(PathBuf),
    /// It said something else than its addresses.
    #[error("the service told no addresses: {0}")]
    Words(String),
}

/// A service that runs. Dropping it kills it.
pub(super) struct ServiceProcess {
    child: Child,
    /// Open, so that the process can write.
    _output: BufReader<ChildStdout>,
    ready: Ready,
    address: SocketAddr,
    system: System,
}

impl ServiceProcess {
    /// Starts it, and waits until it listens.
    ///
    /// # Errors
    /// [`ServiceProcessError`].
    pub(super) async fn start(start: &Start) -> Result<Self, ServiceProcessError> {
        std::fs::create_dir_all(&start.data)?;
        let log = start.data.join(LOG);
        let mut command = command(start, &log)?;
        let mut child = command.spawn()?;
        let output = child.stdout.take();
        let mut output = BufReader::new(output.ok_or_else(|| ServiceProcessError::NotReady(log.clone()))?);
        let mut line = String::new();
        let read = tokio::time::timeout(START, output.read_line(&mut line)).await;
        if !matches!(read, Ok(Ok(1..))) {
            return Err(ServiceProcessError::NotReady(log));
        }
        let words = |_| ServiceProcessError::Words(line.clone());
        let ready: Ready = serde_json::from_str(&line).map_err(|error| words(error.to_string()))?;
        let address = ready.aws_endpoint.trim_start_matches("http://").parse();
        Ok(Self {
            child,
            _output: output,
            address: address.map_err(|error: std::net::AddrParseError| words(error.to_string()))?,
            ready,
            system: System::new().map_err(io::Error::other)?,
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it told when it was ready.
    pub(super) fn ready(&self) -> &Ready {
        &self.ready
    }

    /// How many faults there were in this life, by kind; nothing if it does not answer or has no plan.
    pub(super) async fn faults(&self) -> BTreeMap<String, u64> {
        let url = format!("http://{}{}", self.address, faults::PATH);
        let counts = async { reqwest::get(url).await?.error_for_status()?.json().await };
        counts.await.unwrap_or_else(|error: reqwest::Error| {
            tracing::debug!(%error, "the faults could not be counted");
            BTreeMap::new()
        })
    }

    /// Kills (SIGKILL) the process of a function, the one at this place of all. Returns whether there was one.
    pub(super) fn kill_function(&mut self, at: f64) -> bool {
        let functions = self.functions();
        let place = (at * functions.len() as f64) as usize;
        let pid = functions.get(place.min(functions.len().saturating_sub(1)));
        let process = pid.and_then(|pid| self.system.process(*pid));
        process.is_some_and(sysinfo::Process::kill)
    }

    /// Kills (SIGKILL) the service, and waits for its end and for that of the functions' processes below it. Returns
    /// how many of those did not end by themselves and were killed.
    ///
    /// # Errors
    /// [`ServiceProcessError::Io`].
    pub(super) async fn kill(&mut self) -> Result<usize, ServiceProcessError> {
        let functions = self.functions();
        self.child.kill().await?;
        let deadline = tokio::time::Instant::now() + ORPHANS_END;
        loop {
            self.refresh(ProcessesToUpdate::Some(&functions));
            let alive = |pid: &&Pid| self.system.process(**pid).is_some_and(is_running);
            let left: Vec<_> = functions.iter().filter(alive).collect();
            if left.is_empty() {
                return Ok(0);
            }
            if tokio::time::Instant::now() >= deadline {
                let killed = left.into_iter().filter_map(|pid| self.system.process(*pid));
                return Ok(killed.filter(|process| process.kill()).count());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The processes below the service, by rising id.
    fn functions(&mut self) -> Vec<Pid> {
        self.refresh(ProcessesToUpdate::All);
        let service = self.child.id().map(Pid::from_u32);
        let processes = self.system.processes().iter();
        let below = processes.filter(|(_, process)| service.is_some() && process.parent() == service);
        let mut pids: Vec<_> = below
            .filter(|(_, process)| is_running(process))
            .map(|(pid, _)| *pid)
            .collect();
        pids.sort();
        pids
    }

    fn refresh(&mut self, which: ProcessesToUpdate<'_>) {
        let what = ProcessRefreshKind::nothing().without_tasks();
        self.system.refresh_processes_specifics(which, true, what);
    }
}

/// A killed process stays in the list until somebody asked how it ended.
fn is_running(process: &sysinfo::Process) -> bool {
    !matches!(
        process.status(),
        sysinfo::ProcessStatus::Zombie | sysinfo::ProcessStatus::Dead
    )
}

fn command(start: &Start, log: &Path) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    command
        .args(["local", "--json", "--processes", "--binary"])
        .arg(&start.functions)
        .arg("--data")
        .arg(&start.data)
        .args(["--port", &start.port.to_string()])
        .args(["--set", &format!("RequestsPerMinute={REQUESTS_PER_MINUTE}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(true);
    if let Some(plan) = start.faults {
        command.args(["--faults", &plan.to_string()]);
    }
    Ok(command)
}
