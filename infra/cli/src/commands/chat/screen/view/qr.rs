//! A QR code in a terminal: two of its squares in one cell, dark on light whatever the terminal's colours are.

use qrcode::{Color as Square, EcLevel, QrCode};
use ratatui::{
    layout::Size,
    style::{Color, Style},
    text::Line,
};

/// Light squares around a code, by ISO/IEC 18004. Scanners get by with fewer, where there is no room.
const QUIET: [usize; 3] = [4, 2, 1];

/// A code for a text if it fits, or else the room that it needs.
pub(super) fn lines(text: &str, room: Size) -> Result<Vec<Line<'static>>, Size> {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else {
        return Err(Size::MAX);
    };
    let size_with = |quiet: usize| {
        let side = code.width() + 2 * quiet;
        let cells = |squares: usize| u16::try_from(squares).unwrap_or(u16::MAX);
        Size::new(cells(side), cells(side.div_ceil(2)))
    };
    let fits = |quiet: &usize| {
        let size = size_with(*quiet);
        size.width <= room.width && size.height <= room.height
    };
    let Some(quiet) = QUIET.into_iter().find(fits) else {
        return Err(size_with(1));
    };
    let squares = code.to_colors();
    let is_dark = |column: usize, row: usize| {
        let (Some(column), Some(row)) = (column.checked_sub(quiet), row.checked_sub(quiet)) else {
            return false;
        };
        column < code.width() && squares.get(row * code.width() + column) == Some(&Square::Dark)
    };
    let side = code.width() + 2 * quiet;
    let style = Style::new().fg(Color::Black).bg(Color::White);
    let line = |row: usize| {
        let cell = |column: usize| match (is_dark(column, row), is_dark(column, row + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        };
        Line::styled((0..side).map(cell).collect::<String>(), style)
    };
    Ok((0..side).step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_shows_its_three_corners_and_says_which_room_it_needs() {
        let lines = lines("waxwing", Size::new(80, 24)).unwrap();
        let text: Vec<_> = lines.iter().map(Line::to_string).collect();
        // A finder pattern: seven dark squares, a light ring, a dark middle of three.
        assert!(
            text[2].starts_with("    █▀▀▀▀▀█ ") && text[2].ends_with(" █▀▀▀▀▀█    "),
            "{text:#?}"
        );
        assert!(text[3].starts_with("    █ ███ █ "), "{text:#?}");
        let needed = super::lines("waxwing", Size::new(20, 10)).unwrap_err();
        assert_eq!(needed, Size::new(23, 12));
        assert_eq!(super::lines("waxwing", needed).unwrap().len(), 12);
    }
}
