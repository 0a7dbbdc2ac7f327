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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_the_oldest_forgotten() {
        let logs = Logs::default();
        for number in 0..=KEPT_LINES {
            logs.record("send", &number.to_string());
        }
        let lines = logs.recent();
        assert_eq!(lines.len(), KEPT_LINES);
        assert_eq!(
            (lines[0].as_str(), lines[KEPT_LINES - 1].as_str()),
            ("send: 1", "send: 10000")
        );
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let logs = Logs::default();
        logs.record("send", &"é".repeat(LINE_BYTES));
        assert_eq!(logs.recent()[0].len(), "send: ".len() + LINE_BYTES);
        logs.record("send", &format!("x{}", "é".repeat(LINE_BYTES)));
        assert_eq!(logs.recent()[1].len(), "send: ".len() + LINE_BYTES - 1);
    }
}
