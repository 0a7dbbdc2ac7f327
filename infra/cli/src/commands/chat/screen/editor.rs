//! What a person is typing: a text and a place in it.

use unicode_segmentation::UnicodeSegmentation;
use waxwing_client::MAX_TEXT_BYTES;

use super::text::{shown_lines, width};

/// A text under way. The cursor stands between two characters as people see them.
#[derive(Clone, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(super) struct Editor {
    before: String,
    after: String,
}

impl Editor {
    /// The whole text.
    pub(super) fn text(&self) -> String {
        format!("{}{}", self.before, self.after)
    }

    /// Whether nothing was typed.
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }

    /// Takes the text and leaves nothing.
    pub(super) fn take(&mut self) -> String {
        let text = self.text();
        *self = Self::default();
        text
    }

    /// Puts a text in the place of what is there, unless something is.
    pub(super) fn put_back(&mut self, text: String) {
        if self.is_empty() {
            self.before = text;
        }
    }

    /// Writes at the cursor what one key or a paste brings, as far as it fits into a message.
    pub(super) fn insert(&mut self, text: &str) {
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        for character in text.graphemes(true) {
            let steers = character.chars().any(char::is_control) && !matches!(character, "\n" | "\t");
            let taken = self.before.len() + self.after.len();
            if !steers && taken + character.len() <= MAX_TEXT_BYTES {
                self.before.push_str(character);
            }
        }
    }

    /// Deletes the character before the cursor.
    pub(super) fn backspace(&mut self) {
        cut_last(&mut self.before);
    }

    /// Deletes the character after the cursor.
    pub(super) fn delete(&mut self) {
        cut_first(&mut self.after);
    }

    /// Deletes the word before the cursor.
    pub(super) fn delete_word(&mut self) {
        let start = word_start(&self.before);
        self.before.truncate(start);
    }

    /// Deletes all before the cursor.
    pub(super) fn delete_to_start(&mut self) {
        self.before.clear();
    }

    /// One character to the left.
    pub(super) fn left(&mut self) {
        let moved = cut_last(&mut self.before);
        self.after.insert_str(0, &moved);
    }

    /// One character to the right.
    pub(super) fn right(&mut self) {
        let moved = cut_first(&mut self.after);
        self.before.push_str(&moved);
    }

    /// To the beginning of the word before.
    pub(super) fn word_left(&mut self) {
        let moved = self.before.split_off(word_start(&self.before));
        self.after.insert_str(0, &moved);
    }

    /// To the end of the word after.
    pub(super) fn word_right(&mut self) {
        let mut words = self.after.split_word_bound_indices();
        let end = words
            .find(|(_, word)| !word.trim().is_empty())
            .map_or(self.after.len(), |(at, word)| at + word.len());
        let rest = self.after.split_off(end);
        self.before.push_str(&std::mem::replace(&mut self.after, rest));
    }

    /// To the beginning.
    pub(super) fn home(&mut self) {
        self.before.push_str(&self.after);
        self.after = std::mem::take(&mut self.before);
    }

    /// To the end.
    pub(super) fn end(&mut self) {
        self.before.push_str(&std::mem::take(&mut self.after));
    }

    /// The text in lines of at most `room` cells, and the cursor's column and line in them.
    pub(super) fn lines(&self, room: usize) -> (Vec<String>, (usize, usize)) {
        let room = room.max(2);
        let mut lines = hard_wrap(&self.before, room);
        let mut column = lines.last().map_or(0, |line| width(line));
        if column >= room {
            lines.push(String::new());
            column = 0;
        }
        let cursor = (column, lines.len() - 1);
        let lines = if self.after.is_empty() {
            lines
        } else {
            hard_wrap(&self.text(), room)
        };
        (lines, cursor)
    }
}

/// Breaks where the room ends: what is typed must not jump about.
fn hard_wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in shown_lines(text) {
        let mut current = String::new();
        for character in line.graphemes(true) {
            if width(&current) + width(character) > room {
                lines.push(std::mem::take(&mut current));
            }
            current.push_str(character);
        }
        lines.push(current);
    }
    lines
}

fn cut_last(text: &mut String) -> String {
    let at = text.grapheme_indices(true).next_back().map_or(0, |(at, _)| at);
    text.split_off(at)
}

fn cut_first(text: &mut String) -> String {
    let end = text.graphemes(true).next().map_or(0, str::len);
    let rest = text.split_off(end);
    std::mem::replace(text, rest)
}

/// Where the last word begins.
fn word_start(text: &str) -> usize {
    let mut words = text.split_word_bound_indices().rev();
    words
        .find(|(_, word)| !word.trim().is_empty())
        .map_or(0, |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Editor {
        let mut editor = Editor::default();
        editor.insert(text);
        editor
    }

    #[test]
    fn the_cursor_moves_by_characters_as_people_see_them() {
        let mut editor = typed("a👨‍👩‍👧e\u{301}");
        editor.left();
        editor.left();
        editor.insert("b");
        assert_eq!(editor.text(), "ab👨‍👩‍👧e\u{301}");
        editor.delete();
        assert_eq!(editor.text(), "abe\u{301}");
        editor.end();
        editor.backspace();
        assert_eq!(editor.text(), "ab");
    }

    #[test]
    fn words_are_jumped_over_and_deleted_whole() {
        let mut editor = typed("one two  three");
        editor.word_left();
        editor.delete_word();
        assert_eq!(editor.text(), "one three");
        editor.home();
        editor.word_right();
        editor.insert("!");
        assert_eq!(editor.text(), "one! three");
        editor.delete_to_start();
        assert_eq!(editor.take(), " three");
        assert!(editor.is_empty());
    }

    #[test]
    fn a_paste_keeps_its_lines_and_brings_nothing_that_steers() {
        assert_eq!(typed("a\r\nb\rc\u{1b}[2J\u{7}").text(), "a\nb\nc[2J");
        assert_eq!(
            typed(&"x".repeat(MAX_TEXT_BYTES + 9)).text().len(),
            MAX_TEXT_BYTES
        );
    }

    #[test]
    fn the_cursor_stands_where_the_next_character_comes() {
        assert_eq!(typed("").lines(5), (vec![String::new()], (0, 0)));
        let (lines, cursor) = typed("abcdefg").lines(5);
        assert_eq!((lines, cursor), (vec!["abcde".into(), "fg".into()], (2, 1)));
        assert_eq!(typed("abcde").lines(5).1, (0, 1));
        let mut editor = typed("東京\nx");
        assert_eq!(editor.lines(5).1, (1, 1));
        editor.left();
        editor.left();
        assert_eq!(editor.lines(5), (vec!["東京".into(), "x".into()], (4, 0)));
    }
}
