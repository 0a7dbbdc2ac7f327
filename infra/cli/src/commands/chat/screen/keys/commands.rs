//! What commands do that are typed in place of a message.

use super::super::{
    super::{Peer, input::Input},
    app::App,
    dialogs::{Devices, Dialog},
    tasks::{Task, Then},
};

/// Does what a command says.
pub(super) fn obey(app: &mut App, command: Input) -> Vec<Task> {
    match command {
        // Those are no commands.
        Input::Text(_) | Input::Nothing => Vec::new(),
        Input::To(peer) => find(peer, Then::Write),
        Input::Verify(peer) => find(peer, Then::Verify),
        Input::Trust(peer) => find(peer, Then::Trust),
        Input::Who => {
            let names: Vec<_> = app.names.keys().map(|account| app.name_of(*account)).collect();
            app.say(format!("On this machine: {}", names.join(", ")));
            Vec::new()
        }
        Input::Link => {
            app.dialog = Some(Dialog::Devices(Devices::default()));
            vec![Task::Devices, Task::OfferLink]
        }
        Input::AnswerLink(accept) => answer_link(app, accept),
        Input::Histories => {
            app.dialog = Some(Dialog::Devices(Devices::default()));
            vec![Task::Devices, Task::Histories]
        }
        Input::History(wish) => vec![Task::ChangeHistory(wish)],
        Input::Connect => vec![Task::Connect],
        Input::Network => vec![Task::ChangeNetwork],
        Input::Away => {
            app.away = true;
            vec![Task::Front(false)]
        }
        Input::Back => {
            app.away = false;
            vec![Task::Front(true)]
        }
        Input::Help => {
            app.dialog = Some(Dialog::Help(0));
            Vec::new()
        }
        Input::Quit => {
            app.quits = true;
            Vec::new()
        }
    }
}

/// Answers the new device that asked first.
fn answer_link(app: &mut App, accept: bool) -> Vec<Task> {
    let Some(newcomer) = app.newcomers.iter_mut().find(|newcomer| !newcomer.answered) else {
        app.say("No device asks for a place.");
        return Vec::new();
    };
    newcomer.answered = true;
    let request = newcomer.request;
    vec![Task::AnswerLink { request, accept }]
}

fn find(peer: Peer, then: Then) -> Vec<Task> {
    vec![Task::Find { peer, then }]
}
