//! What lies over the conversations.

mod devices;

use ratatui::{
    Frame,
    layout::{Position, Rect, Size},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};
use waxwing_client::SafetyNumber;

use super::{
    super::{
        app::App,
        dialogs::{self, Compared, Dialog, SETTINGS, Verify},
        editor::Editor,
        layout::{dim, read},
        text::{fit, width, wrap},
    },
    qr,
};

/// Columns of a dialog where the terminal has more.
const WIDTH: u16 = 62;

/// Columns of a frame and of the room beside it.
const FRAME: u16 = 4;

/// Groups of a safety number in one line, as wide as the narrowest terminals show.
const GROUPS_IN_A_LINE: usize = 4;

pub(super) fn draw(app: &App, dialog: &Dialog, frame: &mut Frame<'_>) {
    match dialog {
        Dialog::Help(line) => help(*line, frame),
        Dialog::New { typed, refused } => new(app, typed, refused.as_deref(), frame),
        Dialog::Verify(verify) => draw_verify(app, verify, frame),
        Dialog::Trust(account) => trust(&app.name_of(*account), frame),
        Dialog::Devices(devices) => devices::draw(app, devices, frame),
        Dialog::Settings(line) => settings(app, *line, frame),
        Dialog::Pin { typed, refused } => pin(typed, refused.as_deref(), frame),
    }
}

/// Columns for text in a dialog.
fn room(frame: &Frame<'_>) -> usize {
    usize::from(frame.area().width.min(WIDTH).saturating_sub(FRAME).max(8))
}

/// Shows lines in a frame in the middle, and gives where they begin.
fn show(title: &str, lines: Vec<Line<'static>>, frame: &mut Frame<'_>) -> Rect {
    let screen = frame.area();
    let widest = lines
        .iter()
        .map(Line::width)
        .max()
        .unwrap_or(0)
        .max(width(title) + 2);
    let size = Size::new(
        (u16::try_from(widest).unwrap_or(WIDTH).saturating_add(FRAME)).min(screen.width),
        (u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2)).min(screen.height),
    );
    let area = Rect::new(
        (screen.width - size.width) / 2,
        (screen.height - size.height) / 2,
        size.width,
        size.height,
    );
    let block = Block::bordered()
        .title(format!(" {title} "))
        .padding(ratatui::widgets::Padding::horizontal(1));
    let inside = block.inner(area);
    frame.render_widget(Clear, area);
    frame.render_widget(block, area);
    frame.render_widget(Paragraph::new(lines), inside);
    inside
}

fn text(text: &str, room: usize) -> Vec<Line<'static>> {
    wrap(text, room).into_iter().map(Line::raw).collect()
}

fn styled(words: &str, room: usize, style: Style) -> Vec<Line<'static>> {
    wrap(words, room)
        .into_iter()
        .map(|line| Line::styled(line, style))
        .collect()
}

fn warning() -> Style {
    Style::new().fg(Color::Yellow)
}

fn help(line: usize, frame: &mut Frame<'_>) {
    let room = room(frame);
    let keys = dialogs::help().map(|(key, _)| width(key)).max().unwrap_or(0);
    let shown = usize::from(frame.area().height.saturating_sub(2));
    let skipped = line.min(dialogs::help().count().saturating_sub(shown));
    let row = |(key, what): (&'static str, &str)| {
        let style = if what.starts_with("in colour") {
            read()
        } else {
            Style::new()
        };
        let gap = " ".repeat(keys + 2 - width(key));
        Line::from(vec![
            Span::styled(String::from(key), style),
            Span::raw(gap),
            Span::styled(fit(what, room.saturating_sub(keys + 2)), dim()),
        ])
    };
    let lines: Vec<_> = dialogs::help().skip(skipped).take(shown).map(row).collect();
    show("Keys and commands: ↓ further", lines, frame);
}

fn new(app: &App, typed: &Editor, refused: Option<&str>, frame: &mut Frame<'_>) {
    let room = room(frame);
    let mut lines = text(
        "To whom? A name used on this machine, or an account id. A command begins with a slash:",
        room,
    );
    lines.push(Line::default());
    let typed_at = lines.len();
    lines.push(input_line(&typed.text(), room));
    lines.push(Line::default());
    match refused {
        Some(refused) => lines.extend(styled(refused, room, warning())),
        None => lines.extend(styled("Your own, for others to write to:", room, dim())),
    }
    lines.extend(text(&app.me.account.to_string(), room));
    let inside = show("Write to somebody", lines, frame);
    let (_, (column, row)) = typed.lines(usize::MAX);
    set_cursor(inside, column, typed_at + row, frame);
}

/// The end of what is typed, where the cursor mostly is.
fn input_line(typed: &str, room: usize) -> Line<'static> {
    let mut shown = typed.to_owned();
    while width(&shown) >= room && !shown.is_empty() {
        shown.remove(0);
    }
    let style = Style::new().add_modifier(Modifier::UNDERLINED);
    Line::styled(format!("{shown:<room$}"), style)
}

fn set_cursor(inside: Rect, column: usize, row: usize, frame: &mut Frame<'_>) {
    let column = u16::try_from(column).unwrap_or(u16::MAX);
    let row = u16::try_from(row).unwrap_or(u16::MAX);
    frame.set_cursor_position(Position::new(
        inside
            .x
            .saturating_add(column)
            .min(inside.right().saturating_sub(1)),
        inside
            .y
            .saturating_add(row)
            .min(inside.bottom().saturating_sub(1)),
    ));
}

fn draw_verify(app: &App, verify: &Verify, frame: &mut Frame<'_>) {
    let name = app.name_of(verify.account);
    let room = room(frame);
    let title = format!("Safety number with {name}");
    let number = match &verify.number {
        None => {
            show(&title, text("One moment…", room), frame);
            return;
        }
        Some(Err(reason)) => {
            show(&title, styled(reason, room, warning()), frame);
            return;
        }
        Some(Ok(number)) => number,
    };
    if verify.as_code {
        return code(&number.code(), "c, Esc: back to the digits", frame);
    }
    let is_verified = app
        .talks
        .iter()
        .any(|talk| talk.account == verify.account && talk.contact.verified);
    let mut lines: Vec<_> = digits(number).into_iter().map(Line::raw).collect();
    lines.push(Line::default());
    match (verify.compared, is_verified) {
        (Some(Compared::Same), _) => lines.extend(styled(
            "They match: nobody stands between the two of you.",
            room,
            Style::new().fg(Color::Green),
        )),
        (Some(Compared::Not(why)), _) => lines.extend(styled(why, room, warning())),
        (None, true) => lines.extend(styled("✔ verified", room, Style::new().fg(Color::Green))),
        (None, false) => lines.extend(text(
            &format!("Ask {name} by another way whether they see the same."),
            room,
        )),
    }
    let mark = if is_verified {
        "m take the mark back"
    } else {
        "m mark as verified"
    };
    lines.extend(styled(
        &format!("{mark} · c QR code · paste theirs to compare"),
        room,
        dim(),
    ));
    show(&title, lines, frame);
}

/// The digits in groups, some to a line.
fn digits(number: &SafetyNumber) -> Vec<String> {
    let text = number.to_string();
    let groups: Vec<_> = text.split(' ').collect();
    let lines = groups.chunks(GROUPS_IN_A_LINE);
    lines.map(|line| line.join(" ")).collect()
}

/// A QR code over the whole screen, or its text where it does not fit.
fn code(text_of_it: &str, hint: &str, frame: &mut Frame<'_>) {
    let screen = frame.area();
    match qr::lines(text_of_it, screen.as_size()) {
        Ok(lines) => {
            frame.render_widget(Clear, screen);
            let height = u16::try_from(lines.len()).unwrap_or(screen.height);
            let wide = lines.first().map_or(0, Line::width);
            let wide = u16::try_from(wide).unwrap_or(screen.width);
            let area = Rect::new(
                (screen.width.saturating_sub(wide)) / 2,
                (screen.height.saturating_sub(height)) / 2,
                wide.min(screen.width),
                height.min(screen.height),
            );
            frame.render_widget(Paragraph::new(lines), area);
            // Beside it, where there is room.
            let left = usize::from(area.x.saturating_sub(1));
            let hints: Vec<_> = wrap(hint, left.max(1)).into_iter().map(Line::raw).collect();
            if left >= 10 {
                let beside = Rect::new(0, area.y, area.x.saturating_sub(1), area.height);
                frame.render_widget(Paragraph::new(hints), beside);
            }
        }
        Err(needed) => {
            let room = room(frame);
            let mut lines = styled(
                &format!(
                    "The code needs {} × {} cells. Its text:",
                    needed.width, needed.height
                ),
                room,
                dim(),
            );
            lines.extend(text(text_of_it, room));
            lines.extend(styled(hint, room, dim()));
            show("Code", lines, frame);
        }
    }
}

fn trust(name: &str, frame: &mut Frame<'_>) {
    let room = room(frame);
    let mut lines = text(
        &format!(
            "{name} has another account key than before: they registered anew, or somebody took their account \
             over. Ask them by another way, and compare."
        ),
        room,
    );
    lines.push(Line::default());
    lines.extend(text("v  see the safety number of the new key", room));
    lines.extend(text("t  trust it; what waits is sent", room));
    lines.extend(text("Esc  decide later", room));
    show("Another account key", lines, frame);
}

fn settings(app: &App, chosen: usize, frame: &mut Frame<'_>) {
    let room = room(frame);
    let check = |is: bool| if is { "[x]" } else { "[ ]" };
    let rows: [String; SETTINGS] = [
        format!(
            "{} tell contacts what was delivered",
            check(app.receipts.delivered)
        ),
        format!("{} tell contacts what you read", check(app.receipts.read)),
        format!("{} show that you are there, and see them", check(app.presence)),
        String::from("    lock your number with a PIN"),
        String::from("    remove the lock"),
    ];
    let chosen_style = Style::new().add_modifier(Modifier::REVERSED);
    let row = |(at, row): (usize, &String)| {
        let line = Line::raw(fit(row, room));
        if at == chosen {
            line.style(chosen_style)
        } else {
            line
        }
    };
    let mut lines: Vec<_> = rows.iter().enumerate().map(row).collect();
    lines.push(Line::default());
    lines.extend(styled(
        &format!("{}, device {}", app.me.account, app.me.device),
        room,
        dim(),
    ));
    lines.extend(styled(
        "Space changes the chosen line, for this device.",
        room,
        dim(),
    ));
    show("Settings", lines, frame);
}

fn pin(typed: &Editor, refused: Option<&str>, frame: &mut Frame<'_>) {
    let room = room(frame);
    let mut lines = text(
        "Whoever registers your number anew needs this PIN. Nobody can tell it to you again.",
        room,
    );
    lines.push(Line::default());
    let typed_at = lines.len();
    let hidden = "•".repeat(typed.text().chars().count());
    let column = width(&hidden);
    lines.push(input_line(&hidden, room));
    if let Some(refused) = refused {
        lines.extend(styled(refused, room, warning()));
    }
    let inside = show("A PIN", lines, frame);
    set_cursor(inside, column, typed_at, frame);
}
