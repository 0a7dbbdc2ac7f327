//! What keys do.

mod commands;
mod in_dialogs;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use waxwing_client::AccountId;

use self::in_dialogs::{compare, press_in_dialog};
use super::{
    super::input::{self, Input},
    app::{App, Pane},
    dialogs::{Devices, Dialog, Verify},
    editor::Editor,
    layout,
    tasks::Task,
};

/// A key was pressed.
pub(super) fn press(app: &mut App, key: KeyEvent) -> Vec<Task> {
    if key.modifiers.contains(KeyModifiers::CONTROL)
        && let KeyCode::Char(letter) = key.code
        && let Some(tasks) = command(app, letter)
    {
        return tasks;
    }
    if key.code == KeyCode::F(1) {
        app.dialog = Some(Dialog::Help(0));
        return Vec::new();
    }
    if app.dialog.is_some() {
        return press_in_dialog(app, key);
    }
    match app.pane {
        Pane::List => press_in_list(app, key),
        Pane::Talk => press_in_talk(app, key),
    }
}

/// What works everywhere.
fn command(app: &mut App, letter: char) -> Option<Vec<Task>> {
    let tasks = match letter {
        'q' | 'c' => {
            app.quits = true;
            Vec::new()
        }
        'r' => vec![Task::Connect],
        'n' => {
            app.dialog = Some(Dialog::New {
                typed: Editor::default(),
                refused: None,
            });
            Vec::new()
        }
        'v' => {
            let account = app.chosen.filter(|account| *account != app.me.account)?;
            verify(app, account)
        }
        't' => {
            app.talk()?;
            trust(app);
            Vec::new()
        }
        'y' => {
            let stranger = app
                .talk()
                .filter(|talk| !talk.contact.let_in && talk.newest.is_some());
            stranger
                .map(|talk| Task::LetIn(talk.account))
                .into_iter()
                .collect()
        }
        'o' => {
            app.dialog = Some(Dialog::Devices(Devices::default()));
            vec![Task::Devices]
        }
        's' => {
            app.dialog = Some(Dialog::Settings(0));
            vec![Task::Settings]
        }
        _ => return None,
    };
    Some(tasks)
}

/// Asks whether the changed key of the chosen conversation is believed.
pub(super) fn trust(app: &mut App) {
    match app.talk() {
        Some(talk) if talk.contact.new_key.is_some() => app.dialog = Some(Dialog::Trust(talk.account)),
        _ => app.say("Their account key did not change."),
    }
}

/// Shows the safety number with somebody.
pub(super) fn verify(app: &mut App, account: AccountId) -> Vec<Task> {
    app.dialog = Some(Dialog::Verify(Verify {
        account,
        number: None,
        as_code: false,
        compared: None,
    }));
    vec![Task::SafetyNumber(account)]
}

fn press_in_list(app: &mut App, key: KeyEvent) -> Vec<Task> {
    match key.code {
        KeyCode::Up | KeyCode::BackTab => step(app, -1),
        KeyCode::Down | KeyCode::Tab => step(app, 1),
        KeyCode::Enter | KeyCode::Right if app.chosen.is_some() => {
            app.pane = Pane::Talk;
            Vec::new()
        }
        KeyCode::Esc => {
            app.alerts.pop_back();
            Vec::new()
        }
        KeyCode::Char('?') => {
            app.dialog = Some(Dialog::Help(0));
            Vec::new()
        }
        // There is nothing to type it into.
        KeyCode::Char('/') if app.chosen.is_none() => {
            let mut typed = Editor::default();
            typed.insert("/");
            app.dialog = Some(Dialog::New { typed, refused: None });
            Vec::new()
        }
        KeyCode::Char(_)
            if app.chosen.is_some() && key.modifiers.difference(KeyModifiers::SHIFT).is_empty() =>
        {
            app.pane = Pane::Talk;
            press_in_talk(app, key)
        }
        _ => Vec::new(),
    }
}

fn press_in_talk(app: &mut App, key: KeyEvent) -> Vec<Task> {
    let page = layout::message_height(app).saturating_sub(1).max(1);
    match key.code {
        KeyCode::Esc if !app.alerts.is_empty() => {
            app.alerts.pop_back();
        }
        KeyCode::Esc => app.pane = Pane::List,
        KeyCode::Tab => return step(app, 1),
        KeyCode::BackTab => return step(app, -1),
        KeyCode::Up => scroll(app, 1, true),
        KeyCode::Down => scroll(app, 1, false),
        KeyCode::PageUp => scroll(app, page, true),
        KeyCode::PageDown => scroll(app, page, false),
        KeyCode::Char('?') if app.talk().is_some_and(|talk| talk.draft.is_empty()) => {
            app.dialog = Some(Dialog::Help(0));
        }
        KeyCode::Enter if key.modifiers.contains(KeyModifiers::ALT) => return write(app, "\n"),
        KeyCode::Enter => return send(app),
        _ => return edit_draft(app, key),
    }
    Vec::new()
}

/// Goes to the next conversation, or the one before.
fn step(app: &mut App, by: isize) -> Vec<Task> {
    let at = app.talks.iter().position(|talk| Some(talk.account) == app.chosen);
    let to = at.map_or(Some(0), |at| at.checked_add_signed(by));
    let to = to.and_then(|to| app.talks.get(to)).map(|talk| talk.account);
    to.map_or_else(Vec::new, |account| app.choose(account))
}

/// Goes further up, to what was read before, or down again.
fn scroll(app: &mut App, by: usize, up: bool) {
    let most = if up {
        layout::height(app).saturating_sub(layout::message_height(app))
    } else {
        0
    };
    let Some(talk) = app.talk_mut() else { return };
    if !up {
        talk.scroll = talk.scroll.saturating_sub(by);
        return;
    }
    let wanted = talk.scroll.saturating_add(by);
    talk.wants_earlier = talk.more && wanted >= most;
    talk.scroll = wanted.min(most);
}

fn send(app: &mut App) -> Vec<Task> {
    let Some(talk) = app.talk_mut() else {
        return Vec::new();
    };
    match talk.draft.text().parse() {
        Ok(Input::Nothing) => Vec::new(),
        Ok(Input::Text(text)) => {
            talk.draft.take();
            let account = talk.account;
            vec![Task::Send { account, text }]
        }
        Ok(command) => {
            talk.draft.take();
            commands::obey(app, command)
        }
        // What was typed stays, to be mended.
        Err(refused) => {
            talk.refused = Some(refused);
            Vec::new()
        }
    }
}

/// Writes into the draft.
fn write(app: &mut App, text: &str) -> Vec<Task> {
    change_draft(app, |draft| draft.insert(text))
}

fn edit_draft(app: &mut App, key: KeyEvent) -> Vec<Task> {
    change_draft(app, |draft| {
        edit(draft, key, true);
    })
}

/// Changes the draft, and tells the other that somebody types if that is so.
fn change_draft(app: &mut App, change: impl FnOnce(&mut Editor)) -> Vec<Task> {
    let Some(talk) = app.talk_mut() else {
        return Vec::new();
    };
    let before = talk.draft.text();
    change(&mut talk.draft);
    if talk.draft.text() == before {
        return Vec::new();
    }
    talk.refused = None;
    vec![Task::Typing {
        account: talk.account,
        typing: !talk.draft.is_empty() && !input::is_command(&talk.draft.text()),
    }]
}

/// Keys of an input line.
fn edit(editor: &mut Editor, key: KeyEvent, several_lines: bool) {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    match key.code {
        KeyCode::Char('j') if control && several_lines => editor.insert("\n"),
        KeyCode::Char('a') if control => editor.home(),
        KeyCode::Char('e') if control => editor.end(),
        KeyCode::Char('w') if control => editor.delete_word(),
        KeyCode::Char('u') if control => editor.delete_to_start(),
        KeyCode::Char(character) if !control && !alt => editor.insert(character.encode_utf8(&mut [0; 4])),
        KeyCode::Backspace if control || alt => editor.delete_word(),
        KeyCode::Backspace => editor.backspace(),
        KeyCode::Delete => editor.delete(),
        KeyCode::Left if control || alt => editor.word_left(),
        KeyCode::Right if control || alt => editor.word_right(),
        KeyCode::Left => editor.left(),
        KeyCode::Right => editor.right(),
        KeyCode::Home => editor.home(),
        KeyCode::End => editor.end(),
        _ => {}
    }
}

/// Text was pasted: into what is typed, or as the code of another person to compare.
pub(super) fn paste(app: &mut App, text: &str) -> Vec<Task> {
    match &mut app.dialog {
        None => {
            if app.chosen.is_some() {
                app.pane = Pane::Talk;
            }
            return write(app, text);
        }
        Some(Dialog::New { typed, refused }) | Some(Dialog::Pin { typed, refused }) => {
            *refused = None;
            typed.insert(text.trim());
        }
        Some(Dialog::Verify(verify)) => compare(verify, text.trim()),
        Some(_) => {}
    }
    Vec::new()
}
