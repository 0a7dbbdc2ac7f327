//! CPU time of this process and of the function processes it started.
//!
//! Counted is what the operating system has charged so far to this process (clients, runner, embedded
//! database and, unless they are processes, the functions) and to its descendants that are running. A
//! descendant that has ended counts no more, so a difference of two readings leaves out instances that ended
//! in between. Resolution: 10 ms on Linux.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Fields between the name of a thread and its user time, which its system time follows (proc(5)).
const UTIME_AFTER_NAME: usize = 11;

/// Of Linux's clock ticks there are 100 a second, on every machine (`USER_HZ`).
const MILLIS_OF_A_TICK: u64 = 10;

/// A reading of CPU time, by process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CpuTime(BTreeMap<Pid, Duration>);

impl CpuTime {
    /// What this process and its descendants have used so far; `None` where the system does not tell.
    pub fn read() -> Option<Self> {
        let this = sysinfo::get_current_pid().ok()?;
        let mut system = System::new().ok()?;
        let what = ProcessRefreshKind::nothing().with_cpu().without_tasks();
        system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
        let parents: BTreeMap<Pid, Pid> = system
            .processes()
            .iter()
            .filter_map(|(pid, process)| Some((*pid, process.parent()?)))
            .collect();
        let times = with_descendants(this, &parents)
            .into_iter()
            .filter_map(|pid| {
                let used = system.process(pid)?.accumulated_cpu_time();
                Some((pid, Duration::from_millis(used)))
            })
            .collect();
        Some(Self(times))
    }

    /// The same without this process itself: its descendants.
    pub fn without_this_process(mut self) -> Self {
        if let Ok(this) = sysinfo::get_current_pid() {
            self.0.remove(&this);
        }
        self
    }

    /// What was used after `earlier` was read.
    pub fn since(&self, earlier: &Self) -> Duration {
        self.0
            .iter()
            .map(|(pid, used)| used.saturating_sub(earlier.0.get(pid).copied().unwrap_or_default()))
            .sum()
    }
}

/// What the threads of this process have used so far whose names begin with `name`, 15 bytes at most; `None` where the
/// system does not tell: only Linux does. Threads that have ended count no more.
pub fn of_threads(name: &str) -> Option<Duration> {
    let mut used = Duration::ZERO;
    for thread in fs::read_dir("/proc/self/task").ok()? {
        let thread = thread.ok()?.path();
        // A thread may end meanwhile.
        let Ok(named) = fs::read(thread.join("comm")) else {
            continue;
        };
        if named.starts_with(name.as_bytes()) {
            used += of_thread(&thread)?;
        }
    }
    Some(used)
}

/// What the calling thread has used so far; `None` where the system does not tell.
pub fn of_this_thread() -> Option<Duration> {
    of_thread(Path::new("/proc/thread-self"))
}

/// By the scheduler, in nanoseconds (`schedstat`), or by the clock's ticks where the kernel keeps nothing finer (proc(5)).
fn of_thread(directory: &Path) -> Option<Duration> {
    if let Ok(schedule) = fs::read_to_string(directory.join("schedstat")) {
        let nanoseconds = schedule.split(' ').next()?.parse().ok()?;
        return Some(Duration::from_nanos(nanoseconds));
    }
    let stat = fs::read_to_string(directory.join("stat")).ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(UTIME_AFTER_NAME);
    let (user, system) = (
        fields.next()?.parse::<u64>().ok()?,
        fields.next()?.parse::<u64>().ok()?,
    );
    Some(Duration::from_millis((user + system) * MILLIS_OF_A_TICK))
}

/// `root` and every process whose chain of parents leads to it.
fn with_descendants(root: Pid, parents: &BTreeMap<Pid, Pid>) -> BTreeSet<Pid> {
    let mut family = BTreeSet::from([root]);
    loop {
        let before = family.len();
        for (child, parent) in parents {
            if family.contains(parent) {
                family.insert(*child);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descendants_are_found_at_any_depth_and_in_any_order() {
        let pid = Pid::from;
        let parents = BTreeMap::from([
            (pid(2), pid(3)),
            (pid(3), pid(1)),
            (pid(4), pid(9)),
            (pid(5), pid(2)),
        ]);
        let family = with_descendants(pid(1), &parents);
        assert_eq!(family, BTreeSet::from([pid(1), pid(2), pid(3), pid(5)]));
    }

    #[test]
    fn time_used_since_counts_processes_that_came_later_and_not_those_that_ended() {
        let pid = Pid::from;
        let second = Duration::from_secs(1);
        let earlier = CpuTime(BTreeMap::from([(pid(1), second), (pid(2), second * 9)]));
        let later = CpuTime(BTreeMap::from([(pid(1), second * 3), (pid(3), second * 4)]));
        assert_eq!(later.since(&earlier), second * 6);
    }

    #[test]
    fn threads_are_told_apart_by_their_names() {
        let (done, ended) = std::sync::mpsc::channel();
        let (go_on, wait) = std::sync::mpsc::channel::<()>();
        let work = move || {
            let start = std::time::Instant::now();
            while start.elapsed() < Duration::from_millis(200) {
                std::hint::spin_loop();
            }
            done.send(()).unwrap();
            let _ = wait.recv();
        };
        let worker = std::thread::Builder::new().name("busy-one".to_owned());
        let worker = worker.spawn(work).unwrap();
        ended.recv().unwrap();
        // Whatever else the machine does: it spun, and nobody else has its name.
        if let Some(used) = of_threads("busy-") {
            assert!(
                used >= Duration::from_millis(20),
                "{used:?} of the 200 ms that it spun"
            );
            assert_eq!(of_threads("idle-"), Some(Duration::ZERO));
        }
        drop(go_on);
        worker.join().unwrap();
    }

    #[test]
    fn this_process_is_among_those_read() {
        let reading = CpuTime::read().unwrap();
        assert!(reading.0.contains_key(&sysinfo::get_current_pid().unwrap()));
    }
}
