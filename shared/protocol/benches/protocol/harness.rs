//! Takes times in turns, so that whatever else the machine does meets both sides alike, and makes a table of them.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

/// How long both sides of a row are measured.
const ROW_TIME: Duration = Duration::from_secs(2);
/// Samples of a side at least, for a median worth the name.
const MIN_SAMPLES: usize = 31;

/// Does some work, and says how long one unit of it took. What is prepared for it does not count.
pub(crate) type Sample = Box<dyn FnMut() -> Duration>;

/// Does `work` so many times; how long each took.
pub(crate) fn timed<T>(times: u32, mut work: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        black_box(work());
    }
    start.elapsed() / times
}

/// What a ratio is to be.
#[derive(Clone, Copy)]
pub(crate) enum Bar {
    AtMost(f64),
}

struct Row {
    name: &'static str,
    ours: Duration,
    other: Option<Duration>,
    bar: Option<Bar>,
}

/// The rows, and which of them were asked for.
pub(crate) struct Table {
    rows: Vec<Row>,
    filter: String,
}

impl Table {
    /// Measures the rows whose name has `filter` in it.
    pub(crate) fn new(filter: String) -> Self {
        let rows = Vec::new();
        Self { rows, filter }
    }

    /// Measures the same work of both.
    pub(crate) fn beside(
        &mut self,
        name: &'static str,
        mut ours: Sample,
        mut other: Sample,
        bar: Option<Bar>,
    ) {
        if !name.contains(&self.filter) {
            return;
        }
        let (mut times, mut other_times) = (Vec::new(), Vec::new());
        let start = Instant::now();
        while times.len() < MIN_SAMPLES || start.elapsed() < ROW_TIME {
            times.push(ours());
            other_times.push(other());
        }
        self.rows.push(Row {
            name,
            ours: median(times),
            other: Some(median(other_times)),
            bar,
        });
    }

    /// Measures work of ours that the other leaves to the application.
    pub(crate) fn alone(&mut self, name: &'static str, mut ours: Sample) {
        if !name.contains(&self.filter) {
            return;
        }
        let mut times = Vec::new();
        let start = Instant::now();
        while times.len() < MIN_SAMPLES || start.elapsed() < ROW_TIME / 2 {
            times.push(ours());
        }
        self.rows.push(Row {
            name,
            ours: median(times),
            other: None,
            bar: None,
        });
    }

    /// Adds a row that compares our time of one row with the other's time of another, if both were measured.
    pub(crate) fn compare(&mut self, name: &'static str, ours: &str, other: &str, bar: Bar) {
        let find = |name| self.rows.iter().find(|row| row.name == name);
        if let (Some(ours), Some(other)) = (find(ours), find(other)) {
            self.rows.push(Row {
                name,
                ours: ours.ours,
                other: other.other,
                bar: Some(bar),
            });
        }
    }

    pub(crate) fn print(&self) {
        println!(
            "{:<48} {:>9} {:>12} {:>7}  bar",
            "medians, in µs", "waxwing", "vodozemac", "ratio"
        );
        for row in &self.rows {
            let micros = |time: Duration| time.as_secs_f64() * 1e6;
            print!("{:<48} {:>9.2}", row.name, micros(row.ours));
            if let Some(other) = row.other {
                let ratio = row.ours.as_secs_f64() / other.as_secs_f64();
                print!(" {:>12.2} {ratio:>7.2}", micros(other));
                if let Some(Bar::AtMost(bar)) = row.bar {
                    let verdict = if ratio <= bar { "met" } else { "MISSED" };
                    print!("  ≤ {bar:.2} {verdict}");
                }
            }
            println!();
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    *times.get(times.len() / 2).unwrap()
}

/// Bytes on the wire and in the store.
pub(crate) struct Sizes {
    pub(crate) chain: usize,
    pub(crate) handshake: usize,
    pub(crate) state: usize,
}
