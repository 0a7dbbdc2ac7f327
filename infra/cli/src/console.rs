//! The only place that prints.
//!
//! Two readers: a person, who gets lines on standard output and progress on standard error, and a program,
//! which gets one JSON object on standard output and nothing else there. Errors and warnings go to standard
//! error for both. A reader that went away (`| head`) is no error. A command that fills the screen draws on a
//! [`Canvas`].

mod canvas;

use std::{
    fmt::Display,
    io::{self, Write},
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

pub use self::canvas::Canvas;

/// How often a spinner turns while nothing else moves it.
const TICK: Duration = Duration::from_millis(120);

/// Where a command says what it has to say. Clones print to the same place.
#[derive(Clone)]
pub struct Console {
    reader: Reader,
    progress: MultiProgress,
}

/// Who reads standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Lines to read.
    Person,
    /// One JSON object.
    Program,
}

impl Console {
    /// A console for the reader that `--json` chooses.
    pub fn new(json: bool) -> Self {
        Self {
            reader: if json { Reader::Program } else { Reader::Person },
            progress: MultiProgress::new(),
        }
    }

    /// A line for a person. A program is not told.
    pub fn say(&self, line: impl Display) {
        if self.reader == Reader::Person {
            self.progress.suspend(|| write_line(io::stdout().lock(), &line));
        }
    }

    /// The result for a program. A person is not told.
    ///
    /// # Errors
    /// If it does not serialise or cannot be written.
    pub fn result(&self, result: &impl Serialize) -> io::Result<()> {
        if self.reader == Reader::Person {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, result)?;
        writeln!(out)?;
        out.flush()
    }

    /// A line for whoever watches, on standard error.
    pub fn warn(&self, line: impl Display) {
        self.progress.suspend(|| write_line(io::stderr().lock(), &line));
    }

    /// Progress through `steps` steps; drawn only if standard error is a terminal.
    pub fn progress(&self, what: &'static str, steps: usize) -> Progress {
        let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}") {
            bar.set_style(style);
        }
        self.start(bar, what)
    }

    /// Progress of unknown length; drawn only if standard error is a terminal.
    pub fn spinner(&self, what: &'static str) -> Progress {
        self.start(ProgressBar::new_spinner(), what)
    }

    fn start(&self, bar: ProgressBar, what: &'static str) -> Progress {
        let bar = self.progress.add(bar);
        bar.set_message(what);
        bar.enable_steady_tick(TICK);
        Progress(bar)
    }
}

/// Progress on standard error; gone when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// One step more.
    pub fn step(&self) {
        self.0.inc(1);
    }

    /// What is being done at the moment.
    pub fn tell(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// So many steps in all.
    pub fn set(&self, steps: usize) {
        self.0.set_position(u64::try_from(steps).unwrap_or(u64::MAX));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Thousands apart, so that a person can read a count: 1,234,567.
pub fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Text of somebody else as it may be shown in a terminal: whatever could move the cursor, change colours or
/// turn the direction of writing becomes a visible escape.
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let turns =
            matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

fn write_line(mut out: impl Write, line: &impl Display) {
    // Nobody is left to tell when the reader went away.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        for (count, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(count), text);
        }
    }

    #[test]
    fn text_of_others_cannot_steer_the_terminal() {
        assert_eq!(printable("Grüße, 絹の尾 🍰"), "Grüße, 絹の尾 🍰");
        assert_eq!(printable("a\u{1b}[2Jb\r\n"), "a\\u{1b}[2Jb\\u{d}\\u{a}");
        assert_eq!(printable("a\u{202e}b\u{2066}"), "a\\u{202e}b\\u{2066}");
    }
}
