//! What the functions wrote, as CloudWatch would keep it: the newest lines, bounded.
//!
//! Lines come from the standard output and error of function processes, and from the platform itself
//! (a function that failed, timed out or crashed).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Lines kept: enough for the logs of a long demo, small enough to forget about (a few MB at most).
pub const KEPT_LINES: usize = 10_000;

/// Bytes of one line kept; CloudWatch keeps 256 KB, nobody here reads that far.
pub const LINE_BYTES: usize = 8 * 1024;

/// The newest lines of every function. Cheap to clone: all clones share the same lines.
#[derive(Debug, Clone, Default)]
pub struct Logs {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl Logs {
    /// Keeps a line of `function`, and forgets the oldest one when there are [`KEPT_LINES`].
    pub fn record(&self, function: &str, line: &str) {
        let mut kept = String::with_capacity(function.len() + 2 + line.len().min(LINE_BYTES));
        kept.push_str(function);
        kept.push_str(": ");
        kept.push_str(&line[..line.floor_char_boundary(LINE_BYTES)]);
        let mut lines = self.lock();
        if lines.len() == KEPT_LINES {
            lines.pop_front();
        }
        lines.push_back(kept);
    }

    /// The lines kept, oldest first, each led by the name of its function.
    pub fn recent(&self) -> Vec<String> {
        self.lock().iter().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        // A line is whole or absent: a panic elsewhere leaves nothing half-done here.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
