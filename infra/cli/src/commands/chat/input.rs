//! What a person types: texts, and commands, which begin with a slash. The same line by line and on the screen.

use std::str::FromStr;

use waxwing_client::{DeviceId, HistoryChoice};

use super::{Peer, history::Wish};
use crate::console::printable;

/// What `/help` shows: commands, and what they do.
pub(super) const COMMANDS: [(&str, &str); 16] = [
    ("/to NAME", "write to a name or an account id"),
    ("/who", "who is known on this machine"),
    ("/verify NAME", "the safety number to compare"),
    ("/trust NAME", "go on although their key changed"),
    ("/link", "offer a place to another device"),
    ("/link accept|decline", "answer one that asks for it"),
    ("/history", "what your devices give each other"),
    ("/history all|30|none", "give all, 30 days, or no more"),
    ("/history take|decline", "answer to what is offered"),
    ("/connect", "connect now"),
    ("/network", "the network changed: connect anew"),
    ("/away", "the connection ends in a moment"),
    ("/back", "connect again, and stay"),
    ("/help", "shows this"),
    ("/quit", "leave; the rest is sent next time"),
    ("//text", "send a text that begins with a slash"),
];

/// Characters shown of what is no command.
const SHOWN: usize = 24;

/// What was typed, understood.
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
    /// Offer a place to another device.
    Link,
    /// Answer one that asks for it.
    AnswerLink(bool),
    /// Where do histories stand?
    Histories,
    /// Something about a history.
    History(Wish),
    /// Connect now.
    Connect,
    /// The device is on another network.
    Network,
    /// The person looks elsewhere.
    Away,
    /// The person looks here again.
    Back,
    /// What can be said?
    Help,
    /// Enough.
    Quit,
    /// Nothing but spaces.
    Nothing,
}

/// Whether this is no text to send, or would be none if it were finished.
pub(super) fn is_command(typed: &str) -> bool {
    typed.starts_with('/') && !typed.starts_with("//")
}

/// A text as it has to be typed.
pub(super) fn as_typed(text: String) -> String {
    if text.starts_with('/') {
        format!("/{text}")
    } else {
        text
    }
}

impl FromStr for Input {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        if typed.trim().is_empty() {
            return Ok(Self::Nothing);
        }
        if !is_command(typed) {
            let text = typed.strip_prefix("//").map(|text| format!("/{text}"));
            return Ok(Self::Text(text.unwrap_or_else(|| typed.to_owned())));
        }
        // A phone number may have spaces; it is answered as one.
        if let Some(number) = typed.strip_prefix("/to +") {
            return format!("+{}", number.trim_end()).parse().map(Self::To);
        }
        let words: Vec<_> = typed.split_whitespace().collect();
        match words[..] {
            ["/to", peer] => peer.parse().map(Self::To),
            ["/who"] => Ok(Self::Who),
            ["/verify", peer] => peer.parse().map(Self::Verify),
            ["/trust", peer] => peer.parse().map(Self::Trust),
            ["/history", ref rest @ ..] => history(rest),
            ["/link"] => Ok(Self::Link),
            ["/link", "accept"] => Ok(Self::AnswerLink(true)),
            ["/link", "decline"] => Ok(Self::AnswerLink(false)),
            ["/connect"] => Ok(Self::Connect),
            ["/network"] => Ok(Self::Network),
            ["/away"] => Ok(Self::Away),
            ["/back"] => Ok(Self::Back),
            ["/help"] => Ok(Self::Help),
            ["/quit"] => Ok(Self::Quit),
            [command, ..] => Err(not_understood(command)),
            [] => Ok(Self::Nothing),
        }
    }
}

/// What follows `/history`.
fn history(words: &[&str]) -> Result<Input, String> {
    let (wish, device) = match *words {
        [] => return Ok(Input::Histories),
        ["take"] => return Ok(Input::History(Wish::Take)),
        ["decline"] => return Ok(Input::History(Wish::Decline)),
        [wish] => (wish, None),
        [wish, device] => (wish, Some(device)),
        _ => return Err(not_understood("/history")),
    };
    let device = device.map(str::parse::<DeviceId>).transpose();
    let device = device
        .map_err(|_| String::from("A device is said by its number, as Ctrl-O or /history shows it."))?;
    Ok(Input::History(match (wish, wish.parse()) {
        ("all", _) => Wish::Give(HistoryChoice::All, device),
        ("none", _) => Wish::GiveNoMore(device),
        (_, Ok(days @ 1..)) => Wish::Give(HistoryChoice::Days(days), device),
        _ => return Err(not_understood("/history")),
    }))
}

/// What is said to who begins with a slash and says nothing known.
fn not_understood(command: &str) -> String {
    let is_it = |(usage, _): &&(&str, &str)| usage.split(' ').next() == Some(command);
    let usages: Vec<_> = COMMANDS.iter().filter(is_it).map(|(usage, _)| *usage).collect();
    let (what, known) = if usages.is_empty() {
        let mut known: Vec<_> = COMMANDS
            .iter()
            .filter_map(|(usage, _)| usage.split(' ').next())
            .collect();
        known.retain(|command| is_command(command));
        known.dedup();
        let mut shown: String = printable(command).chars().take(SHOWN).collect();
        if shown.len() < command.len() {
            shown.push('…');
        }
        (format!("{shown} is no command"), known)
    } else {
        (format!("{command} is said in another way"), usages)
    };
    format!("{what}: {}. Begin with // to send it as text.", known.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_a_message_unless_it_begins_with_a_slash() {
        let second = DeviceId::new(2).unwrap();
        for (typed, input) in [
            ("hello", Input::Text("hello".into())),
            ("  / hello ", Input::Text("  / hello ".into())),
            ("one\n/two", Input::Text("one\n/two".into())),
            ("//quit", Input::Text("/quit".into())),
            ("///", Input::Text("//".into())),
            ("/quit", Input::Quit),
            ("/who ", Input::Who),
            ("/help", Input::Help),
            ("/to bob", Input::To(Peer::Name("bob".parse().unwrap()))),
            ("/history", Input::Histories),
            (
                "/history all",
                Input::History(Wish::Give(HistoryChoice::All, None)),
            ),
            (
                "/history 30 2",
                Input::History(Wish::Give(HistoryChoice::Days(30), Some(second))),
            ),
            ("/history none 2", Input::History(Wish::GiveNoMore(Some(second)))),
            ("/history take", Input::History(Wish::Take)),
            ("/history decline", Input::History(Wish::Decline)),
            ("/link", Input::Link),
            ("/link accept", Input::AnswerLink(true)),
            ("/link decline", Input::AnswerLink(false)),
            ("/connect", Input::Connect),
            ("/network", Input::Network),
            ("/away", Input::Away),
            ("/back", Input::Back),
            (" \t", Input::Nothing),
            ("", Input::Nothing),
        ] {
            assert_eq!(typed.parse(), Ok(input.clone()), "{typed:?}");
            if let Input::Text(text) = input {
                assert_eq!(as_typed(text), typed);
            }
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
    fn what_begins_with_a_slash_and_is_no_command_is_refused_with_those_there_are() {
        for typed in ["/", "/quitt", "/usr/bin/ls -l", "/\u{1b}[2J", "/Quit"] {
            let refused = typed.parse::<Input>().unwrap_err();
            let named = COMMANDS.iter().take(COMMANDS.len() - 1).all(|(usage, _)| {
                let command = usage.split(' ').next().unwrap();
                refused.contains(command)
            });
            assert!(named && refused.contains("Begin with //"), "{refused}");
            assert!(!refused.contains('\u{1b}'), "{refused}");
        }
        let long = format!("/{}", "x".repeat(500)).parse::<Input>().unwrap_err();
        assert!(long.len() < 200 && long.contains("x…"), "{long}");
    }

    #[test]
    fn who_says_a_command_in_another_way_is_told_how_it_is_said() {
        for typed in ["/history 0", "/history some", "/history all 2 3", "/history -1"] {
            let refused = typed.parse::<Input>().unwrap_err();
            assert!(
                refused.contains("/history all|30|none, /history take|decline"),
                "{refused}"
            );
        }
        for (typed, said) in [
            ("/to", "/to NAME"),
            ("/to bob carol", "/to NAME"),
            ("/who am i", "/who."),
            ("/trust", "/trust NAME"),
        ] {
            let refused = typed.parse::<Input>().unwrap_err();
            assert!(refused.contains(said) && !refused.contains("/quit"), "{refused}");
        }
        let refused = "/history all laptop".parse::<Input>().unwrap_err();
        assert!(refused.contains("number"), "{refused}");
        assert!("/to Bob!".parse::<Input>().is_err());
    }
}
