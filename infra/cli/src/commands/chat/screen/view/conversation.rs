//! One conversation: who it is with, its messages, and what is typed.

use ratatui::{
    Frame,
    layout::{Position, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{
    super::{
        app::{App, Pane},
        layout::{PROMPT, TalkAreas, dim, draft_room, lines, refused_lines},
        talk::Talk,
        text::{fit, width},
    },
    inner,
};

pub(super) fn draw(app: &App, areas: TalkAreas, frame: &mut Frame<'_>) {
    let Some(talk) = app.talk() else {
        let line = Line::styled(" Ctrl-N writes to somebody, ? shows the keys.", dim());
        frame.render_widget(Paragraph::new(line), areas.messages);
        return;
    };
    header(app, talk, areas.header, frame);
    messages(app, talk, areas.messages, frame);
    banner(app, talk, areas.banner, frame);
    draft(app, talk, areas.draft, frame);
}

fn header(app: &App, talk: &Talk, area: Rect, frame: &mut Frame<'_>) {
    let name = fit(&app.name_of(talk.account), inner(area.width));
    let mut spans = vec![
        Span::raw(" "),
        Span::styled(name, Style::new().add_modifier(Modifier::BOLD)),
    ];
    if talk.contact.verified {
        spans.push(Span::styled(" ✔ verified", Style::new().fg(Color::Green)));
    }
    if talk.present {
        spans.push(Span::styled(" ● there", Style::new().fg(Color::Green)));
    }
    if talk.scroll > 0 {
        spans.push(Span::styled(format!("  ↑{}", talk.scroll), dim()));
    }
    let id = format!("  {}", talk.account);
    let taken: usize = spans.iter().map(|span| width(&span.content)).sum();
    if taken + width(&id) <= usize::from(area.width) {
        spans.push(Span::styled(id, dim()));
    }
    frame.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn messages(app: &App, talk: &Talk, area: Rect, frame: &mut Frame<'_>) {
    let height = usize::from(area.height);
    let lines = lines(app, area.width, height.saturating_add(talk.scroll));
    // Short conversations stand at the bottom, where one writes.
    let end = lines.len().saturating_sub(talk.scroll);
    let begin = end.saturating_sub(height);
    let shown: Vec<_> = lines.into_iter().skip(begin).take(end - begin).collect();
    let free = height.saturating_sub(shown.len());
    let mut all = vec![Line::default(); free];
    all.extend(shown);
    frame.render_widget(Paragraph::new(all), area);
}

/// What is to be known while one writes: the most important of it.
fn banner(app: &App, talk: &Talk, area: Rect, frame: &mut Frame<'_>) {
    let name = app.name_of(talk.account);
    let yellow = Style::new().fg(Color::Yellow);
    let refused = refused_lines(app, area.width);
    if !refused.is_empty() {
        let lines: Vec<_> = refused
            .into_iter()
            .map(|line| Line::raw(format!(" {line}")))
            .collect();
        frame.render_widget(Paragraph::new(lines).style(yellow), area);
        return;
    }
    let (text, style) = if talk.contact.new_key.is_some() {
        (
            format!("! Another account key. Ctrl-T answers; what you write to {name} waits."),
            yellow,
        )
    } else if !talk.typing.is_empty() {
        (format!("{name} types…"), dim())
    } else if !talk.contact.let_in && talk.newest.is_some() {
        (
            String::from("A stranger. Ctrl-Y lets them in, as an answer does."),
            yellow,
        )
    } else {
        return;
    };
    let text = fit(&format!(" {text}"), area.width.into());
    frame.render_widget(Paragraph::new(text).style(style), area);
}

fn draft(app: &App, talk: &Talk, area: Rect, frame: &mut Frame<'_>) {
    let (lines, (column, row)) = talk.draft.lines(draft_room(area));
    let height = usize::from(area.height);
    let skipped = (row + 1).saturating_sub(height);
    let begin = Span::styled(PROMPT, Style::new().fg(Color::Cyan));
    let shown: Vec<_> = lines
        .into_iter()
        .skip(skipped)
        .take(height)
        .map(|line| Line::from(vec![begin.clone(), Span::raw(line)]))
        .collect();
    frame.render_widget(Paragraph::new(shown), area);
    if app.pane == Pane::Talk && app.dialog.is_none() {
        let column = u16::try_from(column + width(PROMPT)).unwrap_or(0);
        let row = u16::try_from(row.saturating_sub(skipped)).unwrap_or(0);
        frame.set_cursor_position(Position::new(area.x + column, area.y + row));
    }
}
