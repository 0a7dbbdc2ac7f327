//! The own devices, and the code for another.

use ratatui::{
    Frame,
    style::{Modifier, Style},
    text::Line,
};
use waxwing_client::DeviceId;

use super::{
    super::super::{app::App, dialogs::Devices, layout::dim},
    code, room, show, styled, text, warning,
};

pub(super) fn draw(app: &App, devices: &Devices, frame: &mut Frame<'_>) {
    let room = room(frame);
    let newcomer = app.newcomers.iter().find(|newcomer| !newcomer.answered);
    if let (Some(shown), None) = (&devices.code, newcomer) {
        let hint = "Scan it with the new device, or t shows its text. Good for five minutes. Esc hides it.";
        return offered(shown, devices.as_text, hint, frame);
    }
    let mut lines = Vec::new();
    if let Some(newcomer) = newcomer {
        lines.extend(text(
            &format!("“{}” asks to be linked. It shows:", newcomer.name),
            room,
        ));
        lines.extend(text(&newcomer.fingerprint, room));
        lines.extend(styled(
            "a accept, if it is your device and shows the same · d decline",
            room,
            warning(),
        ));
        lines.push(Line::default());
    }
    for offer in app.histories.iter().filter(|history| history.asks_here()) {
        lines.extend(text(&offer.told(), room));
        lines.extend(styled(
            "y take them, the newest first · n decline",
            room,
            warning(),
        ));
        lines.push(Line::default());
    }
    for (at, device) in devices.devices.iter().enumerate() {
        let this = if device.this { " (this one)" } else { "" };
        let line = Line::raw(format!("device {}{this}", device.address.device));
        let chosen = Style::new().add_modifier(Modifier::REVERSED);
        lines.push(if at == devices.line {
            line.style(chosen)
        } else {
            line
        });
    }
    let offered = app.histories.iter().filter(|history| !history.asks_here());
    for history in offered {
        lines.extend(styled(&history.told(), room, dim()));
    }
    lines.push(Line::default());
    match (devices.to_end, &devices.refused) {
        _ if devices.to_give.is_some() => lines.extend(give(devices.to_give, room)),
        (Some(device), _) => lines.extend(styled(
            &format!("End device {device}? Its messages and keys at the service are deleted. y ends it."),
            room,
            warning(),
        )),
        (None, Some(refused)) => lines.extend(styled(refused, room, warning())),
        (None, None) => lines.extend(styled(
            "l link a new device · h give it what is here · e end it",
            room,
            dim(),
        )),
    }
    show("Your devices", lines, frame);
}

/// How much a device is given.
fn give(device: Option<DeviceId>, room: usize) -> Vec<Line<'static>> {
    let device = device.map_or_else(String::new, |device| device.to_string());
    let question = format!("Give device {device} the messages that are here? It is asked as well.");
    let mut lines = styled(&question, room, warning());
    lines.extend(styled("a all · 3 those of 30 days · n none", room, warning()));
    lines
}

fn offered(shown: &str, as_text: bool, hint: &str, frame: &mut Frame<'_>) {
    if !as_text {
        return code(shown, hint, frame);
    }
    let room = room(frame);
    let mut lines = text(shown, room);
    lines.push(Line::default());
    lines.extend(styled(
        "Type it at: cargo waxwing chat --as NAME --link. Esc hides it.",
        room,
        dim(),
    ));
    show("A place for a new device", lines, frame);
}
