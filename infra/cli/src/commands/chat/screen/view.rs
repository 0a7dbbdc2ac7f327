//! The screen as it looks: drawn from the app's state alone, all of it each time.

mod conversation;
mod dialogs;
mod list;
mod qr;
mod status;

use ratatui::{
    Frame,
    style::{Color, Style},
    text::Line,
    widgets::Paragraph,
};

use super::{
    app::App,
    layout::{alert_lines, areas},
};

/// Draws all of it.
pub(super) fn draw(app: &App, frame: &mut Frame<'_>) {
    let areas = areas(app);
    if let Some(area) = areas.alert {
        let lines = alert_lines(app).into_iter().map(|line| format!(" {line}"));
        let text: Vec<_> = lines.map(Line::raw).collect();
        let style = Style::new().fg(Color::Black).bg(Color::Yellow);
        frame.render_widget(Paragraph::new(text).style(style), area);
    }
    if let Some(area) = areas.list {
        list::draw(app, area, frame);
    }
    if let Some(talk) = areas.talk {
        conversation::draw(app, talk, frame);
    }
    status::draw(app, areas.status, frame);
    if let Some(dialog) = &app.dialog {
        dialogs::draw(app, dialog, frame);
    }
}

/// Room inside a margin of one column at both sides.
fn inner(width: u16) -> usize {
    usize::from(width.saturating_sub(2))
}
