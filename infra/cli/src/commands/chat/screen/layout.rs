//! Where things are on the screen, and how a conversation becomes lines. Keys need it as well as the drawing: how far one
//! can scroll depends on it.

use jiff::{Timestamp, tz::TimeZone};
use ratatui::{
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
};
use waxwing_client::{MessageState, StoredMessage};

use super::{
    app::{App, Pane},
    heard,
    talk::{Entry, Notice},
    text::{width, wrap},
};

/// Columns below which the list and the conversation do not fit beside each other.
const NARROW: u16 = 60;

/// Columns of the list.
const LIST_WIDTH: u16 = 26;

/// The most lines that the draft takes.
const DRAFT_LINES: usize = 5;

/// The most lines that a warning takes: the longest has room in terminals of 40 columns.
const WARNING_LINES: usize = 6;

/// What stands before the draft.
pub(super) const PROMPT: &str = "› ";

/// Columns left free beside messages.
const MARGIN: u16 = 1;

/// Where things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) alert: Option<Rect>,
    pub(super) list: Option<Rect>,
    pub(super) talk: Option<TalkAreas>,
    pub(super) status: Rect,
}

/// Where the parts of a conversation are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TalkAreas {
    pub(super) header: Rect,
    pub(super) messages: Rect,
    pub(super) banner: Rect,
    pub(super) draft: Rect,
}

/// Where things are now.
pub(super) fn areas(app: &App) -> Areas {
    let screen = Rect::new(0, 0, app.size.width, app.size.height);
    let alert = u16::try_from(alert_lines(app).len()).unwrap_or(0);
    let [alert_row, middle, status] = Layout::vertical([
        Constraint::Length(alert),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(screen);
    let (list, talk) = if screen.width < NARROW {
        match app.pane {
            Pane::List => (Some(middle), None),
            Pane::Talk => (None, Some(middle)),
        }
    } else {
        let [list, talk] =
            Layout::horizontal([Constraint::Length(LIST_WIDTH), Constraint::Min(0)]).areas(middle);
        (Some(list), Some(talk))
    };
    Areas {
        alert: (alert > 0).then_some(alert_row),
        list,
        talk: talk.map(|area| talk_areas(app, area)),
        status,
    }
}

fn talk_areas(app: &App, area: Rect) -> TalkAreas {
    let lines = app.talk().map_or(1, |talk| {
        let (lines, (_, row)) = talk.draft.lines(draft_room(area));
        lines.len().max(row + 1).min(DRAFT_LINES)
    });
    let banner = refused_lines(app, area.width).len().max(1);
    let [header, messages, banner, draft] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(u16::try_from(banner).unwrap_or(1)),
        Constraint::Length(u16::try_from(lines).unwrap_or(1)),
    ])
    .areas(area);
    TalkAreas {
        header,
        messages,
        banner,
        draft,
    }
}

/// The newest warning, as far as there is room for it.
pub(super) fn alert_lines(app: &App) -> Vec<String> {
    let Some(alert) = app.alerts.back() else {
        return Vec::new();
    };
    let more = match app.alerts.len() {
        0 | 1 => String::new(),
        more => format!(" (+{})", more - 1),
    };
    let mut lines = wrap(&format!("! {alert}{more}  Esc"), inside(app.size.width));
    lines.truncate(WARNING_LINES);
    lines
}

/// Why what is typed was not sent, in a conversation of this width.
pub(super) fn refused_lines(app: &App, wide: u16) -> Vec<String> {
    let refused = app.talk().and_then(|talk| talk.refused.as_ref());
    let mut lines = refused.map_or_else(Vec::new, |refused| wrap(refused, inside(wide)));
    lines.truncate(WARNING_LINES);
    lines
}

/// Columns inside a margin at both sides.
fn inside(wide: u16) -> usize {
    usize::from(wide.saturating_sub(2 * MARGIN).max(8))
}

/// Columns of the draft.
pub(super) fn draft_room(area: Rect) -> usize {
    usize::from(area.width).saturating_sub(width(PROMPT))
}

/// Lines of messages on the screen.
pub(super) fn message_height(app: &App) -> usize {
    areas(app)
        .talk
        .map_or(0, |talk| usize::from(talk.messages.height))
}

/// Lines of all that is loaded of the chosen conversation.
pub(super) fn height(app: &App) -> usize {
    let room = areas(app).talk.map_or(0, |talk| talk.messages.width);
    lines(app, room, usize::MAX).len()
}

/// The last `most` lines of the chosen conversation or some more, in columns of `room`.
pub(super) fn lines(app: &App, room: u16, most: usize) -> Vec<Line<'static>> {
    let Some(talk) = app.talk() else {
        return Vec::new();
    };
    let room = usize::from(room.saturating_sub(2 * MARGIN).max(8));
    let mut from_the_end: Vec<Line<'static>> = Vec::new();
    let mut below: Option<String> = None;
    for entry in talk.entries_from_the_end() {
        if from_the_end.len() >= most {
            return in_order(from_the_end);
        }
        let lines = match entry {
            Entry::Message(message) => {
                let day = day(&app.zone, message.sent_at_millis);
                if let Some(below) = below.replace(day.clone()).filter(|below| *below != day) {
                    from_the_end.push(day_line(&below, room));
                }
                message_lines(message, room, &app.zone)
            }
            Entry::Notice(notice) => notice_lines(app, notice, room),
        };
        from_the_end.extend(lines.into_iter().rev());
    }
    if let Some(day) = below {
        from_the_end.push(day_line(&day, room));
    }
    in_order(from_the_end)
}

fn in_order(mut from_the_end: Vec<Line<'static>>) -> Vec<Line<'static>> {
    from_the_end.reverse();
    from_the_end
}

fn day(zone: &TimeZone, millis: u64) -> String {
    at(zone, millis, "%a %-d %b %Y")
}

/// A moment as people write it. A sender's clock may say anything.
pub(super) fn at(zone: &TimeZone, millis: u64, format: &str) -> String {
    let moment = i64::try_from(millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH);
    moment
        .to_zoned_datetime(zone.clone())
        .strftime(format)
        .to_string()
}

fn day_line(day: &str, room: usize) -> Line<'static> {
    let rest = room.saturating_sub(width(day) + 2);
    let (left, right) = ("─".repeat(rest / 2), "─".repeat(rest - rest / 2));
    Line::styled(format!(" {left} {day} {right}"), dim())
}

fn notice_lines(app: &App, notice: &Notice, room: usize) -> Vec<Line<'static>> {
    let style = match notice {
        Notice::Note(_) => dim(),
        Notice::Gap { .. } | Notice::Warning(_) => Style::new().fg(Color::Yellow),
    };
    let text = format!("– {}", heard::in_words(app, notice));
    let lines = wrap(&text, room).into_iter();
    lines
        .map(|line| Line::styled(format!(" {line}"), style))
        .collect()
}

/// A message in a block: of others at the left, of one's own at the right.
fn message_lines(message: &StoredMessage, room: usize, zone: &TimeZone) -> Vec<Line<'static>> {
    let most = (room * 4 / 5).max(room.min(24));
    let mut rows: Vec<Vec<Span<'static>>> = wrap(&message.text, most)
        .into_iter()
        .map(|line| vec![Span::raw(line)])
        .collect();
    let marks = marks(message, zone);
    let marks_width = marks.iter().map(|mark| width(&mark.content)).sum::<usize>();
    let last = rows.last().map_or(0, |row| row_width(row));
    match rows.last_mut() {
        Some(row) if last + 2 + marks_width <= most => {
            row.push(Span::raw("  "));
            row.extend(marks);
        }
        _ => rows.push(marks),
    }
    if let MessageState::Failed(reason) = message.state {
        let red = Style::new().fg(Color::Red);
        let lines = wrap(&format!("not sent: {reason}"), most).into_iter();
        rows.extend(lines.map(|line| vec![Span::styled(line, red)]));
    }
    let block = rows.iter().map(|row| row_width(row)).max().unwrap_or(0);
    let indent = if message.own {
        room.saturating_sub(block)
    } else {
        0
    };
    let begin = " ".repeat(indent + usize::from(MARGIN));
    rows.into_iter()
        .map(|row| {
            let mut line = Line::from(Span::raw(begin.clone()));
            line.spans.extend(row);
            line
        })
        .collect()
}

fn row_width(row: &[Span<'_>]) -> usize {
    row.iter().map(|span| width(&span.content)).sum()
}

/// When a message was sent, what is odd about it, and how far it got.
fn marks(message: &StoredMessage, zone: &TimeZone) -> Vec<Span<'static>> {
    let mut marks = vec![Span::styled(at(zone, message.sent_at_millis, "%H:%M"), dim())];
    if message.late {
        marks.push(Span::styled(" late", Style::new().fg(Color::Yellow)));
    }
    if message.unconfirmed {
        marks.push(Span::styled(" not confirmed", Style::new().fg(Color::Yellow)));
    }
    if let Some(tick) = tick(message.state) {
        marks.push(Span::raw(" "));
        marks.push(tick);
    }
    marks
}

/// How far a message got.
fn tick(state: MessageState) -> Option<Span<'static>> {
    Some(match state {
        MessageState::Pending => Span::styled("◷", dim()),
        MessageState::Held => Span::styled("held", Style::new().fg(Color::Yellow)),
        MessageState::Sent => Span::styled("·", dim()),
        MessageState::Accepted => Span::styled("✓", dim()),
        MessageState::Delivered => Span::styled("✓✓", dim()),
        MessageState::Read => Span::styled("✓✓", read()),
        MessageState::Failed(_) => Span::styled("✗", Style::new().fg(Color::Red)),
        _ => return None,
    })
}

/// How the ticks of what was read look.
pub(super) fn read() -> Style {
    Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD)
}

/// What is not of the first importance.
pub(super) fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}
