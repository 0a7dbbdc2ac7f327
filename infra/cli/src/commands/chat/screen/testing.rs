//! What the tests of the app share: people, messages, keys in words, and the screen as text.

use std::fmt::Write;

use jiff::tz::TimeZone;
use rand::{SeedableRng, rngs::StdRng};
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
    layout::Size,
};
use waxwing_client::{
    AccountId, Contact, Conversation, DeviceAddress, DeviceId, Event, MessageId, MessageState, StoredMessage,
};

use super::{
    app::{App, Happening, Pane},
    tasks::{Answer, Task},
    view,
};

/// 28 November 2026, 10:00 UTC, in milliseconds.
pub(super) const TEN: u64 = 1_795_860_000_000;

/// A minute in milliseconds.
pub(super) const MINUTE: u64 = 60_000;

/// The account of a number.
pub(super) fn account(number: u32) -> AccountId {
    format!("{number:08x}-8b86-4011-b42d-00c04fc964ff")
        .parse()
        .unwrap()
}

/// The first device of an account.
pub(super) fn device(account: AccountId) -> DeviceAddress {
    DeviceAddress {
        account,
        device: DeviceId::MIN,
    }
}

/// The app of alice, account 1, who knows bob by name, account 2.
pub(super) fn app(width: u16, height: u16) -> App {
    let me = device(account(1));
    let size = Size::new(width, height);
    let mut app = App::new(me, "alice".parse().unwrap(), TimeZone::UTC, size, TEN);
    app.names.insert(account(2), "bob".parse().unwrap());
    app
}

/// A message of the conversation with an account.
pub(super) fn message(with: AccountId, position: u64, own: bool, text: &str) -> StoredMessage {
    StoredMessage {
        position,
        id: MessageId::new(TEN, &mut StdRng::seed_from_u64(position)),
        from: device(if own { account(1) } else { with }),
        conversation: with,
        sequence: position,
        sent_at_millis: TEN + position * MINUTE,
        text: text.to_owned(),
        own,
        late: false,
        unconfirmed: false,
        state: if own {
            MessageState::Accepted
        } else {
            MessageState::Received
        },
    }
}

/// Somebody that alice wrote to.
pub(super) fn known() -> Contact {
    Contact {
        let_in: true,
        ..Contact::default()
    }
}

/// The store has this conversation, and the app has read it.
pub(super) fn holds(app: &mut App, contact: Contact, unread: u64, messages: Vec<StoredMessage>) {
    let newest = messages.last().unwrap().clone();
    let account = newest.conversation;
    let conversation = Conversation {
        account,
        newest,
        unread,
    };
    answered(
        app,
        Answer::Conversations {
            conversations: vec![(conversation, contact)],
            pending: 0,
        },
    );
    answered(
        app,
        Answer::Page {
            account,
            before: None,
            page: messages,
        },
    );
}

pub(super) fn answered(app: &mut App, answer: Answer) -> Vec<Task> {
    app.update(Happening::Answered(answer))
}

/// The client tells something.
pub(super) fn told(app: &mut App, event: Event, at: Option<u64>) {
    let event = Box::new(event);
    app.update(Happening::Told { event, at });
}

/// Opens the chosen conversation.
pub(super) fn open(app: &mut App) {
    app.pane = Pane::Talk;
}

/// Types: characters as they are, other keys by name: `<enter>`, `<c-n>` with Ctrl, `<a-enter>` with Alt.
pub(super) fn keys(script: &str) -> Vec<KeyEvent> {
    let mut keys = Vec::new();
    let mut rest = script;
    while let Some(first) = rest.chars().next() {
        let named = rest.strip_prefix('<').and_then(|after| after.split_once('>'));
        if let Some((name, after)) = named {
            keys.push(key(name));
            rest = after;
        } else {
            keys.push(KeyEvent::new(KeyCode::Char(first), KeyModifiers::NONE));
            rest = &rest[first.len_utf8()..];
        }
    }
    keys
}

fn key(name: &str) -> KeyEvent {
    let (modifiers, name) = match name.split_at_checked(2) {
        Some(("c-", name)) => (KeyModifiers::CONTROL, name),
        Some(("a-", name)) => (KeyModifiers::ALT, name),
        _ => (KeyModifiers::NONE, name),
    };
    let code = match name {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "pageup" => KeyCode::PageUp,
        "pagedown" => KeyCode::PageDown,
        "backspace" => KeyCode::Backspace,
        one if one.chars().count() == 1 => KeyCode::Char(one.chars().next().unwrap()),
        other => panic!("no key {other}"),
    };
    KeyEvent::new(code, modifiers)
}

/// Types into an app that has no client, and gives what it asks for.
pub(super) fn types(app: &mut App, script: &str) -> Vec<Task> {
    keys(script)
        .into_iter()
        .flat_map(|key| app.update(Happening::Key(key)))
        .collect()
}

/// What is on the screen.
pub(super) fn drawn(app: &App) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(app.size.width, app.size.height)).unwrap();
    terminal.draw(|frame| view::draw(app, frame)).unwrap();
    terminal.backend().buffer().clone()
}

/// The same as text, line by line.
pub(super) fn screen(app: &App) -> String {
    as_text(&drawn(app))
}

pub(super) fn as_text(buffer: &Buffer) -> String {
    let mut text = String::new();
    for row in 0..buffer.area.height {
        let mut skip = 0;
        let mut line = String::new();
        for column in 0..buffer.area.width {
            let symbol = buffer[(column, row)].symbol();
            if skip == 0 {
                line.push_str(symbol);
                skip = super::text::width(symbol).max(1);
            }
            skip -= 1;
        }
        writeln!(text, "{}", line.trim_end()).unwrap();
    }
    text
}

/// Whether this text stands somewhere on the screen in this colour.
pub(super) fn has_in_colour(buffer: &Buffer, text: &str, colour: ratatui::style::Color) -> bool {
    let area = buffer.area;
    let wanted: Vec<_> = text.chars().map(String::from).collect();
    let length = u16::try_from(wanted.len()).unwrap();
    (0..area.height).any(|row| {
        (0..area.width.saturating_sub(length - 1)).any(|begin| {
            (begin..).zip(&wanted).all(|(column, character)| {
                let cell = &buffer[(column, row)];
                cell.symbol() == character && cell.fg == colour
            })
        })
    })
}
