//! The lines that a demo sends: the built-in text, or a file of one's own.

use std::path::{Path, PathBuf};

/// A conversation of our own. Odd lines are Alice's, even lines Bob's.
const BUILT_IN: &str = include_str!("../demo-text.txt");

/// Lines to send. None is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The lines, in order.
    pub lines: Vec<String>,
    /// How many empty lines were skipped.
    pub empty: usize,
}

/// Why a text cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// The file cannot be read.
    #[error("{} cannot be read: {reason}; give a text file with --text", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// There are not enough lines for three thirds.
    #[error("the text has {0} lines that are not empty; give at least {MIN_LINES}, a third for each part")]
    TooFewLines(usize),
    /// A line does not fit a message.
    #[error("line {line} has {bytes} bytes; a message carries at most {longest}, so break it up")]
    LineTooLong {
        /// Which line of the file, from 1.
        line: usize,
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        longest: usize,
    },
}

/// The shortest text: each third has a line of Alice's and one of Bob's.
pub const MIN_LINES: usize = 6;

impl Text {
    /// The text of `file`, or the built-in one; lines of at most `longest` bytes.
    ///
    /// # Errors
    /// [`TextError`], naming the line where it can.
    pub fn load(file: Option<&Path>, longest: usize) -> Result<Self, TextError> {
        let Some(file) = file else {
            return Self::parse(BUILT_IN, longest);
        };
        let text = std::fs::read_to_string(file).map_err(|reason| TextError::Read {
            file: file.to_owned(),
            reason,
        })?;
        Self::parse(&text, longest)
    }

    fn parse(text: &str, longest: usize) -> Result<Self, TextError> {
        let too_long = text.lines().enumerate().find(|(_, line)| line.len() > longest);
        if let Some((number, line)) = too_long {
            return Err(TextError::LineTooLong {
                line: number + 1,
                bytes: line.len(),
                longest,
            });
        }
        let (full, empty): (Vec<_>, Vec<_>) = text.lines().partition(|line| !line.trim().is_empty());
        if full.len() < MIN_LINES {
            return Err(TextError::TooFewLines(full.len()));
        }
        Ok(Self {
            lines: full.into_iter().map(str::to_owned).collect(),
            empty: empty.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_text_has_sixty_lines() {
        let text = Text::load(None, 1000).unwrap();
        assert_eq!((text.lines.len(), text.empty), (60, 0));
    }

    #[test]
    fn empty_lines_are_skipped_and_counted_and_others_kept_as_they_are() {
        let text = Text::parse("a\n\n  b \n\t\nc\r\nd\ne\nf", 10).unwrap();
        assert_eq!(text.lines, ["a", "  b ", "c", "d", "e", "f"]);
        assert_eq!(text.empty, 2);
    }

    #[test]
    fn a_line_too_long_for_a_message_is_named() {
        let error = Text::parse("a\n\nccc\n", 2).unwrap_err();
        assert!(
            matches!(
                error,
                TextError::LineTooLong {
                    line: 3,
                    bytes: 3,
                    longest: 2
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn fewer_lines_than_make_three_thirds_are_refused() {
        assert!(matches!(
            Text::parse("a\nb\n\n", 10),
            Err(TextError::TooFewLines(2))
        ));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = Text::load(Some(Path::new("no/such/file")), 10).unwrap_err();
        assert!(
            error.to_string().starts_with("no/such/file cannot be read"),
            "{error}"
        );
    }
}
