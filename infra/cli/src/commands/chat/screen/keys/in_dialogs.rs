//! What keys do in dialogs.

use ratatui::crossterm::event::{KeyCode, KeyEvent};
use waxwing_client::{AccountId, Comparison, DeviceId, HistoryChoice, OwnDevice, Pin};
use zeroize::Zeroizing;

use super::{
    super::{
        super::{
            history::{History, Wish},
            input::is_command,
        },
        app::App,
        dialogs::{self, Compared, Devices, Dialog, SETTINGS, Verify},
        editor::Editor,
        tasks::{Task, Then},
    },
    commands::obey,
    edit, verify,
};

/// The days of which a device is given the messages, where it is not given all.
const DAYS: u32 = 30;

/// A key was pressed while a dialog lies over all.
pub(super) fn press_in_dialog(app: &mut App, key: KeyEvent) -> Vec<Task> {
    let Some(mut dialog) = app.dialog.take() else {
        return Vec::new();
    };
    if key.code == KeyCode::Esc {
        return close(app, dialog);
    }
    let mut tasks = Vec::new();
    let stays = match &mut dialog {
        Dialog::Help(line) => {
            match key.code {
                KeyCode::Down | KeyCode::PageDown => *line = (*line + 1).min(dialogs::help().count()),
                KeyCode::Up | KeyCode::PageUp => *line = line.saturating_sub(1),
                _ => {}
            }
            !matches!(key.code, KeyCode::Char('?' | 'q') | KeyCode::Enter)
        }
        Dialog::New { typed, refused } => {
            if key.code == KeyCode::Enter && is_command(&typed.text()) {
                match typed.text().parse() {
                    Ok(command) => {
                        tasks.extend(obey(app, command));
                        return tasks;
                    }
                    Err(error) => *refused = Some(error),
                }
            } else if key.code == KeyCode::Enter {
                match typed.text().trim().parse() {
                    Ok(peer) => tasks.push(Task::Find {
                        peer,
                        then: Then::Write,
                    }),
                    Err(error) => *refused = Some(error),
                }
            } else {
                *refused = None;
                edit(typed, key, false);
            }
            true
        }
        Dialog::Verify(verify) => press_in_verify(app, verify, key, &mut tasks),
        Dialog::Trust(account) => press_in_trust(app, *account, key, &mut tasks),
        Dialog::Devices(devices) => press_in_devices(app, devices, key, &mut tasks),
        Dialog::Settings(line) => press_in_settings(app, line, key, &mut tasks),
        Dialog::Pin { typed, refused } => press_in_pin(typed, refused, key, &mut tasks),
    };
    // Whatever was pressed may have opened another.
    if stays && app.dialog.is_none() {
        app.dialog = Some(dialog);
    }
    tasks
}

/// Leaves a dialog. What lies under it comes first.
fn close(app: &mut App, dialog: Dialog) -> Vec<Task> {
    match dialog {
        Dialog::Devices(mut devices)
            if devices.code.is_some() || devices.to_end.is_some() || devices.to_give.is_some() =>
        {
            devices.code = None;
            devices.to_end = None;
            devices.to_give = None;
            app.dialog = Some(Dialog::Devices(devices));
        }
        Dialog::Verify(mut verify) if verify.as_code => {
            verify.as_code = false;
            app.dialog = Some(Dialog::Verify(verify));
        }
        Dialog::Pin { .. } => app.dialog = Some(Dialog::Settings(SETTINGS - 2)),
        _ => {}
    }
    Vec::new()
}

fn press_in_verify(app: &mut App, verify: &mut Verify, key: KeyEvent, tasks: &mut Vec<Task>) -> bool {
    let account = verify.account;
    let is_verified = app
        .talks
        .iter()
        .any(|talk| talk.account == account && talk.contact.verified);
    match key.code {
        KeyCode::Char('c') => verify.as_code = !verify.as_code,
        KeyCode::Char('m') if is_verified => tasks.push(Task::UnmarkVerified(account)),
        KeyCode::Char('m') => {
            if let Some(Ok(number)) = &verify.number {
                let number = number.as_ref().clone();
                tasks.push(Task::MarkVerified { account, number });
            }
        }
        _ => {}
    }
    true
}

fn press_in_trust(app: &mut App, account: AccountId, key: KeyEvent, tasks: &mut Vec<Task>) -> bool {
    match key.code {
        KeyCode::Char('v') => {
            tasks.extend(verify(app, account));
            false
        }
        KeyCode::Char('t') => {
            let new_key = app
                .talks
                .iter()
                .find(|talk| talk.account == account)
                .and_then(|talk| talk.contact.new_key);
            if let Some(fingerprint) = new_key {
                tasks.push(Task::Trust { account, fingerprint });
            }
            false
        }
        _ => true,
    }
}

/// How much a device is given.
fn press_in_giving(devices: &mut Devices, device: DeviceId, key: KeyEvent, tasks: &mut Vec<Task>) {
    let choice = match key.code {
        KeyCode::Char('a') => Some(HistoryChoice::All),
        KeyCode::Char('3') => Some(HistoryChoice::Days(DAYS)),
        KeyCode::Char('n') => None,
        // Not a slip of the finger is an answer.
        _ => return,
    };
    devices.to_give = None;
    tasks.extend(choice.map(|choice| Task::ChangeHistory(Wish::Give(choice, Some(device)))));
}

fn press_in_devices(app: &mut App, devices: &mut Devices, key: KeyEvent, tasks: &mut Vec<Task>) -> bool {
    if let Some(device) = devices.to_end {
        if key.code == KeyCode::Char('y') {
            tasks.push(Task::Revoke(device));
        }
        devices.to_end = None;
        return true;
    }
    if let Some(device) = devices.to_give {
        press_in_giving(devices, device, key, tasks);
        return true;
    }
    let chosen: Option<&OwnDevice> = devices.devices.get(devices.line);
    match key.code {
        KeyCode::Up => devices.line = devices.line.saturating_sub(1),
        KeyCode::Down if devices.line + 1 < devices.devices.len() => devices.line += 1,
        KeyCode::Char('l') => {
            devices.as_text = false;
            tasks.push(Task::OfferLink);
        }
        KeyCode::Char('t') => devices.as_text = !devices.as_text,
        KeyCode::Char('h') => {
            let other = chosen.filter(|device| !device.this);
            devices.to_give = other.map(|device| device.address.device);
        }
        KeyCode::Char(answer @ ('y' | 'n')) if app.histories.iter().any(History::asks_here) => {
            let wish = if answer == 'y' { Wish::Take } else { Wish::Decline };
            tasks.push(Task::ChangeHistory(wish));
        }
        KeyCode::Char('e') => devices.to_end = chosen.map(|device| device.address.device),
        KeyCode::Char(answer @ ('a' | 'd')) => {
            let newcomer = app.newcomers.iter_mut().find(|newcomer| !newcomer.answered);
            if let Some(newcomer) = newcomer {
                newcomer.answered = true;
                devices.code = None;
                tasks.push(Task::AnswerLink {
                    request: newcomer.request,
                    accept: answer == 'a',
                });
            }
        }
        _ => {}
    }
    true
}

fn press_in_settings(app: &mut App, line: &mut usize, key: KeyEvent, tasks: &mut Vec<Task>) -> bool {
    match key.code {
        KeyCode::Up => *line = line.saturating_sub(1),
        KeyCode::Down => *line = (*line + 1).min(SETTINGS - 1),
        KeyCode::Char(' ') | KeyCode::Enter => {
            let mut receipts = app.receipts;
            match *line {
                0 => {
                    receipts.delivered = !receipts.delivered;
                    tasks.push(Task::SetReceipts(receipts));
                }
                1 => {
                    receipts.read = !receipts.read;
                    tasks.push(Task::SetReceipts(receipts));
                }
                2 => tasks.push(Task::SharePresence(!app.presence)),
                3 => {
                    app.dialog = Some(Dialog::Pin {
                        typed: Editor::default(),
                        refused: None,
                    });
                }
                _ => tasks.push(Task::RemoveLock),
            }
        }
        _ => {}
    }
    true
}

fn press_in_pin(
    typed: &mut Editor,
    refused: &mut Option<String>,
    key: KeyEvent,
    tasks: &mut Vec<Task>,
) -> bool {
    if key.code != KeyCode::Enter {
        *refused = None;
        edit(typed, key, false);
        return true;
    }
    match Pin::new(&Zeroizing::new(typed.take())) {
        Ok(pin) => {
            tasks.push(Task::SetLock(pin));
            false
        }
        Err(error) => {
            *refused = Some(error.to_string());
            true
        }
    }
}

/// Compares what the other person shows.
pub(super) fn compare(verify: &mut Verify, text: &str) {
    let Some(Ok(number)) = &verify.number else {
        return;
    };
    let compared = number.compare_code(text).or_else(|_| number.compare_digits(text));
    verify.compared = Some(match compared {
        Ok(Comparison::Match) => Compared::Same,
        Ok(Comparison::Mismatch) => Compared::Not("They differ: somebody may read along. Find out why."),
        Ok(Comparison::OtherPerson) => Compared::Not("That is the number of other people."),
        Ok(Comparison::OtherVersion) => Compared::Not("One of you has to update the app first."),
        Err(_) => Compared::Not("That is neither 60 digits nor the text of a code."),
    });
}
