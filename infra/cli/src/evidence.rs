//! Evidence that the service saw no plaintext: every place it writes to is searched for the lines that were
//! sent.
//!
//! The places are all items of all tables, every frame that passed the gateway in either direction, and
//! every log line. That the search is able to see is shown by a control: ciphertext that lies in a mailbox
//! must be found by the same search in the tables, as bytes, and in the frames it came in, as base64url.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tracing_subscriber::fmt::MakeWriter;

use crate::{
    search::{Findings, MIN_DISTINCTIVE_BYTES, Search, SearchError},
    tables::{Item, Tables, TablesError},
};

/// Frames kept for the control: more than pass in the moment between the last messages to a mailbox and the
/// look into it, little enough memory (32 KB each at most) to forget about.
const KEPT_FRAMES: usize = 1024;

/// What is searched so far. Clones share it.
#[derive(Clone)]
pub struct Evidence {
    search: Arc<Search>,
    lines: usize,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    tables: Findings,
    frames: Findings,
    logs: Findings,
    recent_frames: VecDeque<Arc<str>>,
    control: Control,
    /// How many frames passed, looked at or not.
    frames_passed: usize,
    log_lines_missed: bool,
}

/// Where the control was found: in how many items and frames, of those that were looked at with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Control {
    /// Items with a part of a ciphertext that lay in a mailbox.
    pub items: usize,
    /// Frames with such a part.
    pub frames: usize,
}

/// What the search says in the end.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// Lines of which something was found anywhere.
    pub plaintext_found: usize,
    /// Lines looked for.
    pub lines: usize,
    /// Lines left out: shorter than [`MIN_DISTINCTIVE_BYTES`], or one word that could be a field name.
    pub lines_left_out: usize,
    /// Where was looked.
    pub tables: Place,
    /// Where was looked.
    pub frames: Place,
    /// Where was looked.
    pub logs: Place,
    /// Frames that passed and were not looked at.
    pub frames_missed: usize,
    /// Whether log lines were gone before they could be looked at.
    pub log_lines_missed: bool,
    /// What had to be found, and was found if neither number is 0.
    pub control: Control,
}

/// One kind of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Place {
    /// How many items, frames or lines were looked at.
    pub looked_at: usize,
    /// How many bytes they had.
    pub bytes: usize,
    /// How many lines of the text were found.
    pub found: usize,
}

impl Verdict {
    /// Whether nothing was found, nothing escaped the search, and the search proved able to find.
    pub fn is_clean(&self) -> bool {
        let saw_everything = self.frames_missed == 0 && !self.log_lines_missed;
        let can_find = self.control.items > 0 && self.control.frames > 0;
        self.plaintext_found == 0 && saw_everything && can_find
    }
}

impl Evidence {
    /// A search for `lines`.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn against<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, SearchError> {
        let lines: Vec<_> = lines.into_iter().collect();
        Ok(Self {
            search: Arc::new(Search::for_lines(lines.iter().copied())?),
            lines: lines.len(),
            seen: Arc::default(),
        })
    }

    /// Looks at a frame.
    pub fn frame(&self, text: Arc<str>) {
        let mut seen = self.lock();
        seen.frames.look(&self.search, [text.as_bytes()]);
        if seen.recent_frames.len() == KEPT_FRAMES {
            seen.recent_frames.pop_front();
        }
        seen.recent_frames.push_back(text);
    }

    /// Says how many frames the gateway counted in all. Those that were not looked at count as missed.
    pub fn frames_passed(&self, count: usize) {
        self.lock().frames_passed = count;
    }

    /// Looks at the log lines of functions, of which no more than `kept` are kept: if there are as many,
    /// earlier ones are missed.
    pub fn log_lines(&self, lines: &[String], kept: usize) {
        for line in lines {
            self.log_line(line.as_bytes());
        }
        self.lock().log_lines_missed |= lines.len() >= kept;
    }

    fn log_line(&self, line: &[u8]) {
        self.lock().logs.look(&self.search, [line]);
    }

    /// Looks at every item of every table.
    ///
    /// # Errors
    /// [`TablesError`].
    pub async fn tables(&self, tables: &Tables) -> Result<(), TablesError> {
        for table in tables.names().await? {
            self.items(&tables.items(&table).await?);
        }
        Ok(())
    }

    /// Looks for the ciphertext of `waiting`, items of a mailbox, where it must be: in these items, and in
    /// the frames that passed last.
    ///
    /// # Errors
    /// [`SearchError`].
    pub fn control(&self, waiting: &[Item]) -> Result<(), SearchError> {
        let ciphertexts = waiting.iter().filter_map(|item| longest(item));
        let search = Search::for_values(ciphertexts)?;
        let mut seen = self.lock();
        let holds = |item: &&Item| item.iter().any(|part| !search.find(part).is_empty());
        seen.control = Control {
            items: waiting.iter().filter(holds).count(),
            frames: seen
                .recent_frames
                .iter()
                .filter(|frame| !search.find(frame.as_bytes()).is_empty())
                .count(),
        };
        Ok(())
    }

    /// What was found so far.
    pub fn verdict(&self) -> Verdict {
        let seen = self.lock();
        let found: BTreeSet<_> = [&seen.tables, &seen.frames, &seen.logs]
            .into_iter()
            .flat_map(|findings| &findings.found)
            .collect();
        Verdict {
            plaintext_found: found.len(),
            lines: self.lines - self.search.excluded(),
            lines_left_out: self.search.excluded(),
            tables: Place::of(&seen.tables),
            frames: Place::of(&seen.frames),
            logs: Place::of(&seen.logs),
            frames_missed: seen.frames_passed.saturating_sub(seen.frames.looked_at),
            log_lines_missed: seen.log_lines_missed,
            control: seen.control,
        }
    }

    fn items(&self, items: &[Item]) {
        let mut seen = self.lock();
        for item in items {
            seen.tables.look(&self.search, item.iter().map(Vec::as_slice));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn of(findings: &Findings) -> Self {
        Self {
            looked_at: findings.looked_at,
            bytes: findings.bytes,
            found: findings.found.len(),
        }
    }
}

/// The longest part of a mailbox item: the ciphertext.
pub fn longest(item: &Item) -> Option<&[u8]> {
    let part = item.iter().max_by_key(|part| part.len())?;
    (part.len() >= MIN_DISTINCTIVE_BYTES).then_some(part)
}

/// Log events, written by `tracing`, are looked at as they come.
impl<'writer> MakeWriter<'writer> for Evidence {
    type Writer = LogLine<'writer>;

    fn make_writer(&'writer self) -> LogLine<'writer> {
        LogLine(self)
    }
}

/// Writes one event, whole.
pub struct LogLine<'evidence>(&'evidence Evidence);

impl io::Write for LogLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.log_line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

    use super::*;

    const LINE: &str = "The plum cake is confirmed.";

    fn evidence() -> Evidence {
        Evidence::against([LINE, "Ow."]).unwrap()
    }

    fn ciphertext(seed: u8) -> Vec<u8> {
        (0..200_u8)
            .map(|number| number.wrapping_mul(167) ^ seed)
            .collect()
    }

    #[test]
    fn a_line_in_any_one_place_is_found() {
        let in_a_frame = evidence();
        in_a_frame.frame(format!("{{\"text\":\"{LINE}\"}}").into());
        let in_a_log = evidence();
        in_a_log.log_line(LINE.as_bytes());
        let in_an_item = evidence();
        in_an_item.items(&[vec![b"e".to_vec(), LINE.as_bytes().to_vec()]]);
        for evidence in [in_a_frame, in_a_log, in_an_item] {
            assert_eq!(evidence.verdict().plaintext_found, 1);
            assert!(!evidence.verdict().is_clean());
        }
    }

    #[test]
    fn a_line_in_two_places_is_one_line_and_short_lines_are_counted_as_left_out() {
        let evidence = evidence();
        evidence.frame(LINE.into());
        evidence.log_line(LINE.as_bytes());
        let verdict = evidence.verdict();
        assert_eq!(
            (verdict.plaintext_found, verdict.frames.found, verdict.logs.found),
            (1, 1, 1)
        );
        assert_eq!((verdict.lines, verdict.lines_left_out), (1, 1));
    }

    #[test]
    fn nothing_found_is_clean_only_if_the_control_was_found_in_both_places() {
        let item = vec![b"key".to_vec(), ciphertext(1)];
        let framed = format!("{{\"ciphertext\":\"{}\"}}", URL_SAFE_NO_PAD.encode(ciphertext(1)));

        let without_control = evidence();
        assert!(!without_control.verdict().is_clean());

        let control_in_the_table_only = evidence();
        control_in_the_table_only
            .control(std::slice::from_ref(&item))
            .unwrap();
        assert!(!control_in_the_table_only.verdict().is_clean());

        let control_in_both = evidence();
        control_in_both.frame(framed.into());
        control_in_both.control(&[item, vec![ciphertext(2)]]).unwrap();
        assert_eq!(control_in_both.verdict().control, Control { items: 2, frames: 1 });
        assert!(control_in_both.verdict().is_clean());
    }

    #[test]
    fn what_escaped_the_search_makes_it_unclean() {
        let item = vec![ciphertext(1)];
        let clean = || {
            let evidence = evidence();
            evidence.frame(URL_SAFE_NO_PAD.encode(ciphertext(1)).into());
            evidence.control(std::slice::from_ref(&item)).unwrap();
            assert!(evidence.verdict().is_clean());
            evidence
        };
        let frames = clean();
        frames.frames_passed(1);
        assert!(frames.verdict().is_clean());
        frames.frames_passed(2);
        assert!(!frames.verdict().is_clean());
        let logs = clean();
        logs.log_lines(&["a".into(), "b".into()], 3);
        assert!(logs.verdict().is_clean());
        logs.log_lines(&["a".into(), "b".into()], 2);
        assert!(!logs.verdict().is_clean());
    }

    #[test]
    fn only_so_many_frames_are_kept_and_all_are_searched() {
        let evidence = evidence();
        evidence.frame(LINE.into());
        for number in 0..KEPT_FRAMES {
            evidence.frame(number.to_string().into());
        }
        assert_eq!(evidence.lock().recent_frames.len(), KEPT_FRAMES);
        let verdict = evidence.verdict();
        assert_eq!(
            (verdict.frames.looked_at, verdict.frames.found),
            (KEPT_FRAMES + 1, 1)
        );
    }
}
