//! The last line: how things stand with the service.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Style},
    text::{Line, Span},
    widgets::Paragraph,
};
use waxwing_client::DisconnectReason;

use super::super::{
    app::{App, Link},
    layout::dim,
    text::{fit, width},
};

/// Milliseconds of a second.
const SECOND: u64 = 1000;

/// Seconds of a minute.
const SECONDS: u64 = 60;

pub(super) fn draw(app: &App, area: Rect, frame: &mut Frame<'_>) {
    let room = usize::from(area.width);
    let right = format!("{}  ? help ", app.name);
    let left_room = room.saturating_sub(width(&right) + 1);
    let (mut left, style) = link(app);
    if let Some((said, _)) = &app.said {
        left = said.clone();
    } else if let Some(newcomer) = app.newcomers.iter().find(|one| !one.answered) {
        left = format!("{} asks to be linked: Ctrl-O", newcomer.name);
    } else if let Some(offer) = app.histories.iter().find(|history| history.asks_here()) {
        left = format!("{} Ctrl-O answers", offer.told());
    } else if let Some(history) = app.histories.iter().find(|history| history.is_open()) {
        left = format!("{left} · {}", history.told());
    } else if app.pending > 0 {
        left = format!("{left}; {} in the outbox", app.pending);
    }
    let left = fit(&format!(" {left}"), left_room);
    let gap = room.saturating_sub(width(&left) + width(&right));
    let line = Line::from(vec![
        Span::styled(left, style),
        Span::raw(" ".repeat(gap)),
        Span::styled(right, dim()),
    ]);
    frame.render_widget(Paragraph::new(line), area);
}

/// How things stand, in words.
fn link(app: &App) -> (String, Style) {
    let (green, yellow) = (Style::new().fg(Color::Green), Style::new().fg(Color::Yellow));
    match &app.link {
        Link::Opening => (String::from("connecting…"), dim()),
        Link::Open if app.away => (String::from("connected for a moment, away; /back"), yellow),
        Link::Open => (String::from("connected"), green),
        Link::Broken { .. } if app.away => (String::from("away, not connected; /back"), yellow),
        Link::Broken { reason, next } => {
            let seconds = |next: u64| next.saturating_sub(app.now).div_ceil(SECOND);
            let when = match next {
                // That is long; the person need not wait.
                Some(next) if *reason == DisconnectReason::TakenOver => {
                    format!(
                        "Ctrl-R connects, or it does in {} min",
                        seconds(*next).div_ceil(SECONDS)
                    )
                }
                Some(next) => format!("next try in {} s", seconds(*next)),
                None => String::from("Ctrl-R connects"),
            };
            let what = match reason {
                DisconnectReason::TakenOver => String::from("connected elsewhere"),
                other => format!("offline: {other}"),
            };
            (format!("{what}; {when}"), yellow)
        }
    }
}
