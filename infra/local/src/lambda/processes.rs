//! Functions as processes of the binary that would be deployed.
//!
//! An instance works on one event at a time. An invocation takes the instance that was used last, so that
//! those not needed grow old and are retired, or starts one: a cold start. There are at most so many processes;
//! an invocation that finds none free waits a while, because a laptop is slower than the cloud, and is
//! throttled then.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::instance::Instance;
use super::{InvokeError, Run, environment};
use crate::logs::Logs;
use crate::template::FunctionSpec;

/// How many processes there may be and how long they stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessLimits {
    /// Processes of all functions together, those that wait included. Each has about 10 MB.
    pub total: usize,
    /// Processes of one function that work at once.
    pub per_function: usize,
    /// What an invocation waits for a process before it is throttled.
    pub wait: Duration,
    /// What a process stays without an event. Lambda keeps them for some minutes, and promises nothing.
    pub idle: Duration,
}

impl Default for ProcessLimits {
    fn default() -> Self {
        Self {
            total: 48,
            per_function: 12,
            wait: Duration::from_secs(10),
            idle: Duration::from_secs(300),
        }
    }
}

/// The instances of every function.
pub struct Processes {
    shared: Arc<Shared>,
    functions: BTreeMap<String, Launch>,
    tasks: TaskTracker,
    logs: Logs,
    _retirement: AbortOnDropHandle<()>,
}

struct Shared {
    binary: PathBuf,
    limits: ProcessLimits,
    working: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

/// Instances that wait, by function, the one used last at the end.
#[derive(Default)]
struct Idle {
    waiting: BTreeMap<String, Vec<Instance>>,
    ended: bool,
}

/// What an instance of a function starts with.
struct Launch {
    variables: BTreeMap<String, String>,
    working: Arc<Semaphore>,
}

impl Processes {
    /// Processes of `binary` that call AWS at `aws_endpoint`. None starts before it is needed.
    ///
    /// Has to be called inside a Tokio runtime.
    pub fn new<'a>(
        binary: PathBuf,
        functions: impl IntoIterator<Item = &'a FunctionSpec>,
        aws_endpoint: &str,
        limits: ProcessLimits,
        logs: &Logs,
    ) -> Self {
        let launch = |function: &FunctionSpec| Launch {
            variables: environment::variables(function, aws_endpoint),
            working: Arc::new(Semaphore::new(limits.per_function)),
        };
        let shared = Arc::new(Shared {
            binary,
            limits,
            working: Arc::new(Semaphore::new(limits.total)),
            idle: Mutex::default(),
        });
        let retirement = tokio::spawn(retire(Arc::clone(&shared)));
        Self {
            shared,
            functions: functions
                .into_iter()
                .map(|spec| (spec.handler.clone(), launch(spec)))
                .collect(),
            tasks: TaskTracker::new(),
            logs: logs.clone(),
            _retirement: AbortOnDropHandle::new(retirement),
        }
    }

    pub(super) async fn run(&self, spec: &FunctionSpec, event: Value) -> Result<Run, InvokeError> {
        let launch = self.functions.get(&spec.handler);
        let launch = launch.ok_or_else(|| InvokeError::Unknown(spec.handler.clone()))?;
        let permits = tokio::time::timeout(self.shared.limits.wait, self.shared.permits(launch)).await;
        let permits = permits.ok().flatten().ok_or(InvokeError::Throttled)?;
        let event = Bytes::from(event.to_string());
        let started = Instant::now();
        let (mut instance, start) = match self.shared.take(&spec.handler) {
            Some(instance) => (instance, None),
            None => match self.start(spec, launch).await {
                Ok((instance, start)) => (instance, Some(start)),
                Err(error) => {
                    let billed = started.elapsed();
                    return Ok(Run {
                        outcome: Err(error),
                        billed,
                        start: Some(billed),
                    });
                }
            },
        };
        let time = Duration::from_secs(u64::from(spec.timeout_seconds));
        let answered = instance.invoke(spec, event, time).await;
        let billed = started.elapsed();
        let left_over = if answered.reusable {
            self.shared.put(&spec.handler, instance)
        } else {
            Some(instance)
        };
        if let Some(instance) = left_over {
            instance.end().await;
        }
        drop(permits);
        Ok(Run {
            outcome: answered.outcome,
            billed,
            start,
        })
    }

    /// Ends every instance that waits, and those that come back. Call it when no invocation runs any more.
    pub(super) async fn shutdown(&self) {
        let waiting = {
            let mut idle = self.shared.idle();
            idle.ended = true;
            std::mem::take(&mut idle.waiting)
        };
        for instance in waiting.into_values().flatten() {
            instance.end().await;
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// A new instance, and what its process took to its first poll.
    async fn start(&self, spec: &FunctionSpec, launch: &Launch) -> Result<(Instance, Duration), InvokeError> {
        if let Some(oldest) = self.shared.make_room() {
            oldest.end().await;
        }
        let started = Instant::now();
        let instance = Instance::start(
            &self.shared.binary,
            &launch.variables,
            spec,
            &self.logs,
            &self.tasks,
        )
        .await?;
        Ok((instance, started.elapsed()))
    }
}

impl Shared {
    async fn permits(&self, launch: &Launch) -> Option<[OwnedSemaphorePermit; 2]> {
        let own = Arc::clone(&launch.working).acquire_owned().await.ok()?;
        let total = Arc::clone(&self.working).acquire_owned().await.ok()?;
        Some([total, own])
    }

    /// The instance used last. One that ended while it waited is forgotten.
    fn take(&self, function: &str) -> Option<Instance> {
        let mut idle = self.idle();
        let waiting = idle.waiting.get_mut(function)?;
        while let Some(mut instance) = waiting.pop() {
            if instance.is_alive() {
                return Some(instance);
            }
        }
        None
    }

    /// Lets an instance wait for its next event, or gives it back at the end of the runner.
    fn put(&self, function: &str, instance: Instance) -> Option<Instance> {
        let mut idle = self.idle();
        if idle.ended {
            return Some(instance);
        }
        idle.waiting
            .entry(function.to_owned())
            .or_default()
            .push(instance);
        None
    }

    /// Takes the instance that has waited longest, of whichever function, if there is no room for one more.
    fn make_room(&self) -> Option<Instance> {
        let mut idle = self.idle();
        // The permit of the invocation that wants room is among those working.
        let working = self.limits.total.saturating_sub(self.working.available_permits());
        let waiting: usize = idle.waiting.values().map(Vec::len).sum();
        if working + waiting <= self.limits.total {
            return None;
        }
        let with_instances = idle
            .waiting
            .values_mut()
            .filter(|instances| !instances.is_empty());
        let oldest =
            with_instances.min_by_key(|instances| instances.first().map(|first| first.idle_since))?;
        Some(oldest.remove(0))
    }

    /// Takes the instances that have waited too long, or have ended by themselves.
    fn expired(&self) -> Vec<Instance> {
        let limit = self.limits.idle;
        let mut idle = self.idle();
        let too_old =
            |instance: &mut Instance| instance.idle_since.elapsed() >= limit || !instance.is_alive();
        idle.waiting
            .values_mut()
            .flat_map(|instances| instances.extract_if(.., too_old))
            .collect()
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Each change is one call of a collection.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Retires instances that have waited too long.
async fn retire(shared: Arc<Shared>) {
    // Nobody counts on the second: a few looks within the time are enough.
    let mut look = tokio::time::interval((shared.limits.idle / 4).max(Duration::from_millis(10)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        look.tick().await;
        let expired = shared.expired();
        for instance in expired {
            instance.end().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_instance_is_retired_when_it_has_waited_too_long_and_no_sooner() {
        let function = FunctionSpec {
            logical_id: "AFunction".to_owned(),
            handler: "a".to_owned(),
            name: "a".to_owned(),
            timeout_seconds: 30,
            memory_mb: 256,
            environment: BTreeMap::new(),
            schedules: Vec::new(),
            policies: Vec::new(),
        };
        let limits = ProcessLimits::default();
        let binary = super::super::binary::misbehaving();
        let processes = Processes::new(
            binary,
            [&function],
            "http://127.0.0.1:9",
            limits,
            &Logs::default(),
        );
        processes
            .run(&function, json!({"do": "pid"}))
            .await
            .unwrap()
            .outcome
            .unwrap();
        assert_eq!(processes.shared.expired().len(), 0);
        let mut instance = processes.shared.take("a").unwrap();
        instance.idle_since -= limits.idle;
        assert!(processes.shared.put("a", instance).is_none());
        let expired = processes.shared.expired();
        assert_eq!(expired.len(), 1);
        assert!(processes.shared.take("a").is_none());
        drop(expired);
        processes.shutdown().await;
    }
}
