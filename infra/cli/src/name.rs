//! The name a person goes by on this machine.

use std::{fmt, str::FromStr};

/// Letters of the longest name.
const LONGEST: usize = 32;

/// A name: 1 to 32 of `a`–`z`, `0`–`9` and `-`, beginning with a letter. It becomes part of file names, so
/// nothing else may be in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a name has 1 to {LONGEST} of the characters a-z, 0-9 and -, and begins with a letter")]
pub struct NameError;

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let valid = text.len() <= LONGEST
            && text.bytes().all(allowed)
            && text
                .bytes()
                .next()
                .is_some_and(|first| first.is_ascii_lowercase());
        valid.then(|| Self(text.to_owned())).ok_or(NameError)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_names() {
        for text in ["a", "alice", "bob-2", &"x".repeat(LONGEST)] {
            assert_eq!(text.parse::<Name>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn x72_nothing_that_could_leave_its_directory_or_hide_in_a_terminal_is_a_name() {
        let long = "x".repeat(LONGEST + 1);
        let wrong = [
            "",
            "-",
            "-rf",
            "7",
            "Alice",
            "al ice",
            ".",
            "..",
            "../bob",
            "a/b",
            "a\\b",
            "c:",
            "a.db",
            "bob\n",
            "\u{1b}[2J",
            "bo\u{202e}b",
            "ålice",
            "a\0",
            &long,
        ];
        for text in wrong {
            assert_eq!(text.parse::<Name>(), Err(NameError), "{text:?}");
        }
    }
}
