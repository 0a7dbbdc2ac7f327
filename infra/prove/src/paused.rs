//! Where things are tried: on clocks that stand still, as many at once as there are processors.

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread,
};

use crate::Trouble;

/// Runs what tries faults, on a clock of its own that stands still whenever something is done: what the SDK and the
/// service wait between attempts takes no time. Nothing yields because it has done much, which would change the order of
/// calls by chance. Blocks.
///
/// # Errors
/// [`Trouble`]: the operating system gave no runtime.
pub fn in_paused_time<F: Future>(future: F) -> Result<F::Output, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build();
    let runtime = runtime.map_err(|error| Trouble(error.to_string()))?;
    Ok(runtime.block_on(tokio::task::unconstrained(future)))
}

/// Does `work` on each item, on as many threads as there are processors. Returns what came of them in the items' order.
/// Blocks.
///
/// # Errors
/// What `work` fails with; other threads finish what is left. Panics with `work`.
pub fn on_every_processor<T: Send, R: Send>(
    items: Vec<T>,
    work: impl Fn(T) -> Result<R, Trouble> + Sync,
) -> Result<Vec<R>, Trouble> {
    let queue = Mutex::new(items.into_iter().enumerate());
    let worker = || {
        let mut done = Vec::new();
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((place, item)) = next else {
                return Ok::<_, Trouble>(done);
            };
            done.push((place, work(item)?));
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let ended = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect::<Vec<_>>()
    });
    let mut done = Vec::new();
    for worker in ended {
        done.extend(worker.unwrap_or_else(|panic| resume_unwind(panic))?);
    }
    done.sort_by_key(|(place, _)| *place);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
