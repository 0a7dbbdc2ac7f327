//! Text as it fills the cells of a terminal: whole characters as people see them, some of them two cells wide.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::console::printable;

/// Cells of a tab.
const TAB: &str = "    ";

/// How many cells a text takes.
pub(super) fn width(text: &str) -> usize {
    text.width()
}

/// Somebody's text, line by line as they wrote it, without what could steer the terminal.
pub(super) fn shown_lines(text: &str) -> impl Iterator<Item = String> {
    text.split('\n')
        .map(|line| printable(&line.trim_end_matches('\r').replace('\t', TAB)))
}

/// A text in lines of at most `room` cells, broken between words where that is possible. No character is torn apart.
pub(super) fn wrap(text: &str, room: usize) -> Vec<String> {
    shown_lines(text)
        .flat_map(|line| wrap_line(&line, room))
        .collect()
}

fn wrap_line(line: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut taken = 0;
    for word in words(line) {
        let word = word.as_str();
        let cells = width(word);
        if taken + cells <= room {
            push(&mut lines, word);
            taken += cells;
            continue;
        }
        if word.trim().is_empty() {
            // The space at which the line breaks.
            taken = room;
            continue;
        }
        if cells <= room {
            lines.push(word.to_owned());
            taken = cells;
            continue;
        }
        for character in word.graphemes(true) {
            let cells = width(character);
            if taken > 0 && taken + cells > room {
                lines.push(String::new());
                taken = 0;
            }
            push(&mut lines, character);
            taken += cells;
        }
    }
    for line in &mut lines {
        line.truncate(line.trim_end().len());
    }
    lines
}

/// Words, each with the punctuation behind it, and the spaces between them.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in line.split_word_bounds() {
        let begins_a_word = part.starts_with(|first: char| first.is_alphanumeric() || first.is_whitespace());
        match words.last_mut().filter(|word| !word.trim().is_empty()) {
            // A slash belongs to what follows it: it may be a command.
            Some(word) if !begins_a_word || (word == "/" && !part.trim().is_empty()) => word.push_str(part),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

fn push(lines: &mut [String], text: &str) {
    if let Some(last) = lines.last_mut() {
        last.push_str(text);
    }
}

/// The beginning of a text's one line, in at most `room` cells.
pub(super) fn fit(text: &str, room: usize) -> String {
    let line = shown_lines(text).collect::<Vec<_>>().join(" ");
    if width(&line) <= room {
        return line;
    }
    let mut shown = String::new();
    let mut taken = 0;
    for character in line.graphemes(true) {
        if taken + width(character) + 1 > room {
            break;
        }
        shown.push_str(character);
        taken += width(character);
    }
    if room > 0 {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_never_inside_a_character() {
        assert_eq!(wrap("the quick brown fox", 10), ["the quick", "brown fox"]);
        assert_eq!(wrap("絹の尾が来た", 5), ["絹の", "尾が", "来た"]);
        let family = "👨‍👩‍👧";
        for line in wrap(&family.repeat(4), 5) {
            assert_eq!(line.replace(family, ""), "", "{line:?}");
        }
        assert_eq!(wrap("it came, (late).", 8), ["it came,", "(late)."]);
        assert_eq!(wrap("a\n\nb", 5), ["a", "", "b"]);
        assert_eq!(wrap("say /history now", 8), ["say", "/history", "now"]);
        assert_eq!(wrap("abcdefgh", 3), ["abc", "def", "gh"]);
    }

    #[test]
    fn no_line_is_wider_than_its_room() {
        for room in 2..30 {
            for line in wrap(
                "Grüße aus 東京都, a-very-long-word-indeed 🍰🍰🍰 and\tso on ",
                room,
            ) {
                assert!(width(&line) <= room, "{line:?} in {room}");
            }
        }
    }

    #[test]
    fn what_does_not_fit_ends_in_dots_and_steers_nothing() {
        assert_eq!(fit("hello there", 8), "hello t…");
        assert_eq!(fit("one\ntwo", 8), "one two");
        assert_eq!(fit("東京都", 4), "東…");
        assert_eq!(fit("a\u{1b}[2J", 20), "a\\u{1b}[2J");
    }
}
