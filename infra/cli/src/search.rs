//! Looks for plaintext where none may be: in stored items, in frames, in logs.
//!
//! A hidden line need not lie there as it was typed. So a [`Search`] looks for excerpts of each line (its
//! beginning, middle and end, so that a part of a line betrays it too), each in every form in which bytes
//! travel here: as they are, escaped in a JSON string, as base64 and base64url at each of the three
//! alignments, as hexadecimal digits.
//!
//! A search that finds nothing proves nothing until the same search has found something: use
//! [`Search::for_values`] with bytes that must be there.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

/// Bytes of an excerpt: 24 bytes never occur twice by accident, and a leak of this little already shows.
pub const EXCERPT_BYTES: usize = 24;

/// A line with fewer bytes cannot be told from field names and numbers, and is left out.
pub const MIN_DISTINCTIVE_BYTES: usize = 12;

/// Why a search could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the text is too long to be searched for at once: {0}; give a shorter one with --text")]
pub struct SearchError(#[from] aho_corasick::BuildError);

/// What to look for: excerpts of numbered needles, in every form.
pub struct Search {
    automaton: AhoCorasick,
    /// Which needle each pattern of the automaton belongs to.
    needle_of_pattern: Vec<usize>,
    excluded: usize,
}

impl Search {
    /// A search for lines of text. Lines that could be mistaken for the service's own words are left out and
    /// counted: those shorter than [`MIN_DISTINCTIVE_BYTES`], and those of plain ASCII without a space.
    ///
    /// # Errors
    /// [`SearchError`] for several hundred megabytes of text.
    pub fn for_lines<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, SearchError> {
        Self::new(lines.into_iter().map(str::as_bytes), is_distinctive)
    }

    /// A search for bytes that must be somewhere: the control.
    ///
    /// # Errors
    /// As [`for_lines`](Self::for_lines).
    pub fn for_values<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, SearchError> {
        Self::new(values, |value| value.len() >= MIN_DISTINCTIVE_BYTES)
    }

    fn new<'a>(
        needles: impl IntoIterator<Item = &'a [u8]>,
        distinctive: impl Fn(&[u8]) -> bool,
    ) -> Result<Self, SearchError> {
        let mut patterns = BTreeMap::new();
        let mut excluded = 0;
        for (number, needle) in needles.into_iter().enumerate() {
            let mut looked_for = false;
            for excerpt in excerpts(needle).filter(|excerpt| distinctive(excerpt)) {
                looked_for = true;
                for form in forms(excerpt) {
                    patterns.entry(form).or_insert(number);
                }
            }
            excluded += usize::from(!looked_for);
        }
        let (patterns, needle_of_pattern): (Vec<_>, Vec<_>) = patterns.into_iter().unzip();
        Ok(Self {
            automaton: AhoCorasick::new(patterns)?,
            needle_of_pattern,
            excluded,
        })
    }

    /// How many needles are not looked for.
    pub fn excluded(&self) -> usize {
        self.excluded
    }

    /// The numbers of the needles of which something is in `haystack`.
    pub fn find(&self, haystack: &[u8]) -> BTreeSet<usize> {
        self.automaton
            .find_overlapping_iter(haystack)
            .filter_map(|found| self.needle_of_pattern.get(found.pattern().as_usize()).copied())
            .collect()
    }
}

/// What a search saw in one kind of place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// How many items, frames or lines were looked at.
    pub looked_at: usize,
    /// How many bytes they had.
    pub bytes: usize,
    /// The needles found in them.
    pub found: BTreeSet<usize>,
}

impl Findings {
    /// Looks at one more item, in as many parts as it has.
    pub fn look<'a>(&mut self, search: &Search, parts: impl IntoIterator<Item = &'a [u8]>) {
        self.looked_at += 1;
        for part in parts {
            self.bytes += part.len();
            self.found.extend(search.find(part));
        }
    }
}

/// Beginning, middle and end; the whole if it is short.
fn excerpts(needle: &[u8]) -> impl Iterator<Item = &[u8]> {
    let last = needle.len().saturating_sub(EXCERPT_BYTES);
    let starts = BTreeSet::from([0, last / 2, last]);
    starts
        .into_iter()
        .filter_map(|start| needle.get(start..needle.len().min(start + EXCERPT_BYTES)))
}

/// Neither a field name nor a number nor an id of ours: long enough, and with a space or a letter beyond
/// ASCII in it (frames and items have neither outside of values).
fn is_distinctive(excerpt: &[u8]) -> bool {
    excerpt.len() >= MIN_DISTINCTIVE_BYTES && excerpt.iter().any(|byte| *byte == b' ' || !byte.is_ascii())
}

/// Every form in which `excerpt` may lie somewhere.
fn forms(excerpt: &[u8]) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::from([
        excerpt.to_vec(),
        hex(excerpt, "0123456789abcdef"),
        hex(excerpt, "0123456789ABCDEF"),
    ]);
    if let Some(escaped) = json_escaped(excerpt) {
        forms.insert(escaped);
    }
    for offset in 0..3 {
        forms.insert(base64_inside(excerpt, offset, &STANDARD_NO_PAD));
        forms.insert(base64_inside(excerpt, offset, &URL_SAFE_NO_PAD));
    }
    forms
}

/// The characters that `excerpt` alone decides when it begins `offset` bytes into a group of three (RFC
/// 4648, section 4: three bytes make four characters).
fn base64_inside(excerpt: &[u8], offset: usize, engine: &impl Engine) -> Vec<u8> {
    let mut group = vec![0; offset];
    group.extend_from_slice(excerpt);
    let encoded = engine.encode(&group).into_bytes();
    // Of a character's 6 bits, those of a neighbour's byte would change it: leave such characters out.
    let first = (offset * 8).div_ceil(6);
    let end = group.len() * 8 / 6;
    encoded.get(first..end).map(<[u8]>::to_vec).unwrap_or_default()
}

fn hex(excerpt: &[u8], digits: &str) -> Vec<u8> {
    let digit = |value: u8| digits.as_bytes().get(usize::from(value)).copied();
    excerpt
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .flatten()
        .collect()
}

/// The excerpt inside a JSON string, if it is text. An excerpt may begin or end within a character; what is
/// left of it counts then.
fn json_escaped(excerpt: &[u8]) -> Option<Vec<u8>> {
    let text = excerpt
        .utf8_chunks()
        .map(|chunk| chunk.valid())
        .max_by_key(|valid| valid.len())?;
    let quoted = serde_json::to_string(text).ok()?;
    let escaped = quoted.strip_prefix('"')?.strip_suffix('"')?;
    (text.len() >= MIN_DISTINCTIVE_BYTES).then(|| escaped.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{STANDARD, URL_SAFE};

    use super::*;

    const LINES: [&str; 3] = [
        "The quarry is half frozen, and the ice sings.",
        "Grüße über den Fluß: \"piu, piu\" ~~~ ???>>>",
        "plum cake at nine",
    ];

    fn found(haystack: &[u8]) -> Vec<usize> {
        let search = Search::for_lines(LINES).unwrap();
        search.find(haystack).into_iter().collect()
    }

    #[test]
    fn a_line_is_found_as_it_was_typed_and_inside_json() {
        for (number, line) in LINES.iter().enumerate() {
            assert_eq!(found(format!("...{line}...").as_bytes()), [number]);
            let json = serde_json::json!({ "text": line }).to_string();
            assert_eq!(found(json.as_bytes()), [number]);
        }
    }

    #[test]
    fn a_line_is_found_in_both_base64_alphabets_wherever_it_begins() {
        for (number, line) in LINES.iter().enumerate() {
            for before in 0..5 {
                for after in 0..4 {
                    let bytes = [&vec![0xfb; before], line.as_bytes(), &vec![0xbf; after]].concat();
                    assert_eq!(found(STANDARD.encode(&bytes).as_bytes()), [number]);
                    assert_eq!(found(URL_SAFE.encode(&bytes).as_bytes()), [number]);
                }
            }
        }
    }

    #[test]
    fn a_line_is_found_as_hexadecimal_digits_of_either_case() {
        let lower: String = LINES[0].bytes().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found(lower.as_bytes()), [0]);
        assert_eq!(found(lower.to_uppercase().as_bytes()), [0]);
    }

    #[test]
    fn the_beginning_or_the_end_of_a_line_is_enough() {
        assert_eq!(found(&LINES[0].as_bytes()[..EXCERPT_BYTES]), [0]);
        let end = &LINES[0].as_bytes()[LINES[0].len() - EXCERPT_BYTES..];
        assert_eq!(found(end), [0]);
    }

    #[test]
    fn other_text_is_not_found() {
        let other = r#"{"action":"send","request":7,"message":"0190c42e-7dd0-7a32-9a2b-1ce5a1a7a2b0"}"#;
        assert!(found(other.as_bytes()).is_empty());
        assert!(found(b"The quarry was half frozen").is_empty());
    }

    #[test]
    fn lines_that_could_be_field_names_are_left_out_and_counted() {
        let search = Search::for_lines(["Yes.", "registration", "Ow, my foot!", "Ja, 絹の尾"]).unwrap();
        assert_eq!(search.excluded(), 2);
        assert!(search.find(br#"{"registration":7}"#).is_empty());
        assert_eq!(search.find(b"Ow, my foot!"), BTreeSet::from([2]));
    }

    #[test]
    fn a_line_that_comes_twice_is_looked_for_once_and_not_left_out() {
        let search = Search::for_lines(["I did say so.", "I did say so."]).unwrap();
        assert_eq!(search.excluded(), 0);
        assert_eq!(search.find(b"I did say so."), BTreeSet::from([0]));
    }

    #[test]
    fn a_control_of_random_bytes_is_found_raw_and_encoded() {
        let value: Vec<u8> = (0..=255).map(|number: u8| number.wrapping_mul(167)).collect();
        let search = Search::for_values([value.as_slice()]).unwrap();
        assert_eq!(search.excluded(), 0);
        for haystack in [value.clone(), URL_SAFE_NO_PAD.encode(&value).into_bytes()] {
            assert_eq!(search.find(&haystack), BTreeSet::from([0]));
        }
        assert!(search.find(&vec![7; 4096]).is_empty());
    }

    #[test]
    fn findings_count_what_was_looked_at() {
        let search = Search::for_lines(LINES).unwrap();
        let mut findings = Findings::default();
        findings.look(&search, [b"key".as_slice(), LINES[2].as_bytes()]);
        findings.look(&search, [b"nothing".as_slice()]);
        let expected = Findings {
            looked_at: 2,
            bytes: 3 + LINES[2].len() + 7,
            found: BTreeSet::from([2]),
        };
        assert_eq!(findings, expected);
    }
}
