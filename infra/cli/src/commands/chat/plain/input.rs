//! What a person types.

use std::{io::BufRead, str::FromStr};

use tokio::sync::mpsc;

use super::Peer;
use crate::console::printable;

/// What `/help` prints.
pub(super) const HELP: [&str; 7] = [
    "/to NAME   write to somebody: a name used on this machine, or an account id",
    "/who       who is known on this machine",
    "/verify NAME   the safety number to compare with somebody",
    "/trust NAME    go on writing to somebody whose key changed",
    "/quit      leave; what was not sent yet goes next time",
    "//text     send a line that begins with a slash",
    "Everything else is sent as it is, also while the other is away.",
];

/// A line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// A message.
    Text(String),
    /// Whom to write to from now on.
    To(Peer),
    /// Who is there?
    Who,
    /// Which number do I compare with them?
    Verify(Peer),
    /// Their new key is theirs.
    Trust(Peer),
    /// What can be said?
    Help,
    /// Enough.
    Quit,
    /// An empty line.
    Nothing,
}

impl FromStr for Input {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        if let Some(text) = line.strip_prefix("//") {
            return Ok(Self::Text(format!("/{text}")));
        }
        if !line.starts_with('/') {
            let empty = line.trim().is_empty();
            return Ok(if empty {
                Self::Nothing
            } else {
                Self::Text(line.to_owned())
            });
        }
        // A phone number may have spaces; it is answered as one.
        if let Some(number) = line.strip_prefix("/to +") {
            return format!("+{}", number.trim_end()).parse().map(Self::To);
        }
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("/to"), Some(peer), None) => peer.parse().map(Self::To),
            (Some("/who"), None, None) => Ok(Self::Who),
            (Some("/verify"), Some(peer), None) => peer.parse().map(Self::Verify),
            (Some("/trust"), Some(peer), None) => peer.parse().map(Self::Trust),
            (Some("/help"), None, None) => Ok(Self::Help),
            (Some("/quit"), None, None) => Ok(Self::Quit),
            _ => Err(format!(
                "{} is nothing I know. /help says what there is.",
                printable(line)
            )),
        }
    }
}

/// The lines of standard input, as they come. Ends with the input.
pub(super) fn lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    // A thread of its own: a read from a terminal cannot be cancelled, and must not hold up the end.
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_unless_they_begin_with_a_slash() {
        for (line, input) in [
            ("hello", Input::Text("hello".into())),
            ("  / hello ", Input::Text("  / hello ".into())),
            ("//quit", Input::Text("/quit".into())),
            ("/quit", Input::Quit),
            ("/who ", Input::Who),
            ("/help", Input::Help),
            ("/to bob", Input::To(Peer::Name("bob".parse().unwrap()))),
            (" \t", Input::Nothing),
            ("", Input::Nothing),
        ] {
            assert_eq!(line.parse(), Ok(input), "{line:?}");
        }
    }

    #[test]
    fn an_account_id_is_never_taken_for_a_name() {
        let id = "af9619ff-8b86-4011-b42d-00c04fc964ff";
        let peer = Peer::Account(id.parse().unwrap());
        assert_eq!(format!("/to {id}").parse(), Ok(Input::To(peer)));
    }

    #[test]
    fn a_phone_number_with_spaces_is_answered_as_one() {
        let refused = "/to +49 171 3920001 ".parse::<Input>().unwrap_err();
        assert!(refused.contains("account id"), "{refused}");
        assert!(!refused.contains("3920001"), "{refused}");
    }

    #[test]
    fn what_is_not_understood_is_said_and_not_sent() {
        for line in ["/", "/to", "/to bob carol", "/to Bob!", "/quitt", "/who am i"] {
            assert!(line.parse::<Input>().is_err(), "{line:?}");
        }
    }
}
