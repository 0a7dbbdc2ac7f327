//! The list of conversations.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Paragraph},
};

use super::super::{
    app::{App, Pane},
    layout::{at, dim},
    talk::Talk,
    text::{fit, width},
};

/// Lines of one conversation.
const LINES: usize = 2;

pub(super) fn draw(app: &App, area: Rect, frame: &mut Frame<'_>) {
    let block = Block::new()
        .borders(Borders::RIGHT)
        .border_style(dim())
        .title(Span::styled(
            " Waxwing",
            Style::new().add_modifier(Modifier::BOLD),
        ));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let room = usize::from(inside.width);
    if app.talks.is_empty() {
        let lines = vec![
            Line::default(),
            Line::styled(fit(" Nobody yet. Ctrl-N writes", room), dim()),
            Line::styled(fit(" to somebody.", room), dim()),
        ];
        frame.render_widget(Paragraph::new(lines), inside);
        return;
    }
    let fitting = (usize::from(inside.height) / LINES).max(1);
    let chosen = app
        .talks
        .iter()
        .position(|talk| Some(talk.account) == app.chosen)
        .unwrap_or(0);
    let skipped = (chosen + 1).saturating_sub(fitting);
    let lines: Vec<_> = app
        .talks
        .iter()
        .skip(skipped)
        .take(fitting)
        .flat_map(|talk| conversation(app, talk, room))
        .collect();
    frame.render_widget(Paragraph::new(lines), inside);
}

fn conversation(app: &App, talk: &Talk, room: usize) -> [Line<'static>; LINES] {
    let is_chosen = Some(talk.account) == app.chosen;
    let style = match (is_chosen, app.pane) {
        (true, Pane::List) => Style::new().add_modifier(Modifier::REVERSED),
        (true, Pane::Talk) => Style::new().add_modifier(Modifier::BOLD),
        (false, _) => Style::new(),
    };
    let presence = if talk.present {
        Span::styled("●", Style::new().fg(Color::Green))
    } else {
        Span::raw(" ")
    };
    let unread = match talk.unread {
        0 => String::new(),
        unread => format!("({unread})"),
    };
    let verified = if talk.contact.verified { " ✔" } else { "" };
    let taken = 2 + width(verified) + width(&unread) + 1;
    let name = fit(&app.name_of(talk.account), room.saturating_sub(taken));
    let gap = room.saturating_sub(taken + width(&name));
    let first = Line::from(vec![
        presence,
        Span::raw(" "),
        Span::raw(name),
        Span::styled(verified, Style::new().fg(Color::Green)),
        Span::raw(" ".repeat(gap)),
        Span::styled(unread, Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD)),
        Span::raw(" "),
    ]);
    let second = Line::styled(fit(&format!("  {}", last(app, talk)), room), dim());
    [first.style(style), second]
}

/// What is said of a conversation under its name.
fn last(app: &App, talk: &Talk) -> String {
    if !talk.typing.is_empty() {
        return String::from("types…");
    }
    if talk.contact.new_key.is_some() {
        return String::from("! account key changed");
    }
    if !talk.draft.is_empty() && Some(talk.account) != app.chosen {
        return format!("draft: {}", talk.draft.text());
    }
    let Some(newest) = &talk.newest else {
        return String::from("nothing yet");
    };
    let whose = if newest.own { "you: " } else { "" };
    format!(
        "{} {whose}{}",
        at(&app.zone, newest.sent_at_millis, "%H:%M"),
        newest.text
    )
}
