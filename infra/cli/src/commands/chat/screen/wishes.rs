//! What is typed in place of a message, and what the own devices give each other: what a person sees of it.

use std::time::Duration;

use ratatui::layout::Size;
use waxwing_client::{
    DeviceId, DisconnectReason, Event, HistoryChoice, HistoryEnd, HistoryId, HistoryStage, LinkRequestId,
    wire::ErrorCode,
};

use super::{
    super::{
        Peer,
        history::{History, Wish},
    },
    app::{App, Happening},
    dialogs::Dialog,
    tasks::{Answer, Task, Then},
    testing::*,
};

/// Alice's app, in her conversation with bob.
fn with_bob() -> App {
    let mut app = app(80, 24);
    holds(&mut app, known(), 0, vec![message(account(2), 1, false, "hello")]);
    told(&mut app, Event::Connected, None);
    app.wanted();
    open(&mut app);
    app
}

/// All that is on the screen as one line: a sentence may be broken anywhere.
fn in_one_line(app: &App) -> String {
    let screen = screen(app);
    let words = screen.split(|one: char| one.is_whitespace() || "│┌┐└┘─".contains(one));
    words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn sends(tasks: &[Task]) -> Vec<&str> {
    fn text(task: &Task) -> Option<&str> {
        match task {
            Task::Send { text, .. } => Some(text),
            _ => None,
        }
    }
    tasks.iter().filter_map(text).collect()
}

fn id() -> HistoryId {
    "00112233445566778899aabbccddeeff".parse().unwrap()
}

fn second() -> DeviceId {
    DeviceId::new(2).unwrap()
}

fn history(giving: bool, stage: HistoryStage, done: u64) -> Answer {
    let device = if giving { second() } else { DeviceId::MIN };
    let id = id();
    Answer::Histories(vec![History {
        id,
        device,
        giving,
        stage,
        done,
        of: 120,
    }])
}

#[test]
fn what_begins_with_a_slash_and_is_no_command_is_not_sent_and_stays_to_be_mended() {
    let mut app = with_bob();
    let tasks = types(&mut app, "/quitt<enter>");
    assert!(sends(&tasks).is_empty() && !app.quits, "{tasks:?}");
    let refused = screen(&app);
    assert!(refused.contains("› /quitt"), "{refused}");
    let words = in_one_line(&app);
    for said in [
        "/quitt is no command:",
        "/history,",
        "/quit.",
        "Begin with // to send it as text.",
    ] {
        assert!(words.contains(said), "{said}\n{refused}");
    }
    types(&mut app, "<backspace>");
    assert!(!screen(&app).contains("no command"));
    types(&mut app, "<enter>");
    assert!(app.quits);

    let mut app = with_bob();
    let tasks = types(&mut app, "//etc/hosts<enter>");
    assert_eq!(sends(&tasks), ["/etc/hosts"]);
    let failed = Answer::NotQueued {
        account: account(2),
        text: String::from("/etc/hosts"),
        reason: String::from("the disk is full"),
    };
    answered(&mut app, failed);
    let again = screen(&app);
    assert!(again.contains("› //etc/hosts"), "as it was typed: {again}");
}

#[test]
fn nobody_sees_somebody_type_a_command() {
    let mut app = with_bob();
    let says = |tasks: &[Task]| {
        let typing = |task: &Task| matches!(task, Task::Typing { typing: true, .. });
        tasks.iter().any(typing)
    };
    assert!(!says(&types(&mut app, "/verify bob")));
    assert!(says(&types(&mut app, "<c-u>//verify")));
}

#[test]
fn commands_do_what_keys_do() {
    let mut app = with_bob();
    for (command, then) in [
        ("/to", Then::Write),
        ("/verify", Then::Verify),
        ("/trust", Then::Trust),
    ] {
        let tasks = types(&mut app, &format!("{command} bob<enter>"));
        let Some(Task::Find { peer, then: what_for }) = tasks.into_iter().last() else {
            panic!("{command} looks nobody up");
        };
        assert_eq!((&peer, what_for), (&Peer::Name("bob".parse().unwrap()), then));
        let found = Some((account(2), known()));
        let tasks = answered(&mut app, Answer::Found { peer, then, found });
        match then {
            Then::Write => assert!(app.dialog.is_none() && tasks.is_empty()),
            Then::Verify => assert!(matches!(tasks[..], [Task::SafetyNumber(with)] if with == account(2))),
            Then::Trust => assert!(screen(&app).contains("Their account key did not change.")),
        }
        types(&mut app, "<esc>");
        open(&mut app);
    }
    let last = |app: &mut App, command: &str| types(app, &format!("{command}<enter>")).pop();
    assert!(matches!(last(&mut app, "/network"), Some(Task::ChangeNetwork)));
    assert!(matches!(last(&mut app, "/connect"), Some(Task::Connect)));
    types(&mut app, "/who<enter>");
    assert!(screen(&app).contains("On this machine: bob"));
    types(&mut app, "/help<enter><pagedown>");
    assert!(matches!(app.dialog, Some(Dialog::Help(1))));
}

#[test]
fn commands_are_understood_before_there_is_a_conversation() {
    let mut app = app(80, 24);
    told(&mut app, Event::Connected, None);
    assert!(matches!(
        types(&mut app, "/connect<enter>").last(),
        Some(Task::Connect)
    ));
    assert!(app.dialog.is_none());
    assert!(types(&mut app, "/lnik<enter>").is_empty());
    assert!(in_one_line(&app).contains("/lnik"), "it stays to be mended");
    types(&mut app, "<esc>");
    let tasks = types(&mut app, "/to bob<enter>");
    assert!(matches!(
        &tasks[..],
        [Task::Find {
            then: Then::Write,
            ..
        }]
    ));
}

#[test]
fn a_new_device_is_offered_a_place_and_answered_by_commands_as_well() {
    let mut app = with_bob();
    let last = |app: &mut App, command: &str| types(app, &format!("{command}<enter>")).pop();
    let tasks = types(&mut app, "/link accept<enter>");
    assert!(!tasks.iter().any(|task| matches!(task, Task::AnswerLink { .. })));
    assert!(screen(&app).contains("No device asks for a place."));
    assert!(matches!(last(&mut app, "/link"), Some(Task::OfferLink)));
    types(&mut app, "<esc>");
    for (number, command, accepts) in [(1, "/link accept", true), (2, "/link decline", false)] {
        let request = LinkRequestId::from(number);
        let asked = Event::LinkRequested {
            request,
            name: String::from("laptop"),
            fingerprint: String::from("1234"),
        };
        told(&mut app, asked, None);
        let Some(Task::AnswerLink {
            request: answered,
            accept,
        }) = last(&mut app, command)
        else {
            panic!("{command} answers nobody");
        };
        assert_eq!((answered, accept), (request, accepts));
    }
}

#[test]
fn an_alert_that_a_phone_would_get_is_said() {
    let mut app = with_bob();
    app.update(Happening::Woken);
    assert!(in_one_line(&app).contains("An alert came, as a phone would get it"));
}

#[test]
fn who_is_away_sees_it_and_has_read_nothing_until_they_are_back() {
    let mut app = with_bob();
    assert!(matches!(
        types(&mut app, "/away<enter>").last(),
        Some(Task::Front(false))
    ));
    assert!(screen(&app).contains("connected for a moment, away; /back"));
    let reason = DisconnectReason::Background;
    told(
        &mut app,
        Event::Disconnected {
            reason,
            retry_in: None,
        },
        None,
    );
    assert!(screen(&app).contains("away, not connected; /back"));
    let reads = |app: &mut App| {
        app.wanted()
            .iter()
            .any(|task| matches!(task, Task::MarkRead { .. }))
    };
    holds(
        &mut app,
        known(),
        1,
        vec![message(account(2), 2, false, "there?")],
    );
    app.wanted();
    assert!(!reads(&mut app));
    assert!(matches!(
        types(&mut app, "/back<enter>").last(),
        Some(Task::Front(true))
    ));
    assert!(reads(&mut app));
}

#[test]
fn a_new_device_is_asked_whether_it_takes_messages_and_sees_them_come() {
    let mut app = with_bob();
    let (history_id, device) = (id(), DeviceId::MIN);
    let offered = Event::HistoryOffered {
        history: history_id,
        device,
        messages: 120,
    };
    told(&mut app, offered, Some(7));
    assert!(matches!(
        app.wanted()[..],
        [Task::Conversations, Task::Histories, ..]
    ));
    answered(&mut app, history(false, HistoryStage::Offered, 0));
    let asked = screen(&app);
    assert!(
        asked.contains("Device 1 offers 120 messages. Ctrl-O answers"),
        "{asked}"
    );
    types(&mut app, "<c-o>");
    assert!(screen(&app).contains("y take them, the newest first · n decline"));
    let declines = types(&mut app, "n");
    assert!(
        matches!(declines[..], [Task::ChangeHistory(Wish::Decline)]),
        "{declines:?}"
    );
    let takes = types(&mut app, "y");
    assert!(
        matches!(takes[..], [Task::ChangeHistory(Wish::Take)]),
        "{takes:?}"
    );
    types(&mut app, "<esc>");

    let read = app.talk_mut().unwrap();
    read.more = false;
    let progress = Event::HistoryProgress {
        history: history_id,
        done: 64,
        of: 120,
    };
    told(&mut app, progress, None);
    answered(&mut app, history(false, HistoryStage::UnderWay, 64));
    let under_way = screen(&app);
    assert!(
        under_way.contains("connected · 64 of 120 messages of device 1 are here."),
        "{under_way}"
    );
    let talk = app.talk().unwrap();
    assert!(talk.more && talk.stale, "there is more before what was read");

    let end = HistoryEnd::Complete;
    let ended = Event::HistoryEnded {
        history: history_id,
        device,
        end,
    };
    told(&mut app, ended, Some(8));
    assert!(app.wanted().iter().any(|task| matches!(task, Task::Histories)));
    answered(&mut app, history(false, HistoryStage::Complete, 120));
    let done = screen(&app);
    assert!(
        done.contains("! What device 1 offered is here: 120 messages.") && !done.contains("Ctrl-O answers"),
        "{done}"
    );
    types(&mut app, "<esc>");
    assert!(app.alerts.is_empty());
}

#[test]
fn who_let_a_device_in_is_asked_what_it_is_given() {
    let answer = |came| Answer::LinkAnswered {
        request: LinkRequestId::from(1),
        result: Ok(came),
    };
    let mut app = with_bob();
    types(&mut app, "<c-o>");
    let tasks = answered(&mut app, answer(Some(second())));
    assert!(matches!(tasks[..], [Task::Devices]));
    let asked = in_one_line(&app);
    assert!(
        asked.contains("Give device 2 the messages that are here?")
            && asked.contains("a all · 3 those of 30 days · n none"),
        "{asked}"
    );
    assert!(types(&mut app, "xy").is_empty(), "a slip is no answer");
    let tasks = types(&mut app, "3");
    let Some(Task::ChangeHistory(wish)) = tasks.last() else {
        panic!("{tasks:?}")
    };
    assert_eq!(*wish, Wish::Give(HistoryChoice::Days(30), Some(second())));
    assert!(!in_one_line(&app).contains("Give device"));
    answered(&mut app, history(true, HistoryStage::Offered, 0));
    assert!(in_one_line(&app).contains("Device 2 was offered 120 messages, and answers there."));

    // The same by a command, later.
    types(&mut app, "<esc>");
    let tasks = types(&mut app, "/history all 2<enter>");
    let wish = Wish::Give(HistoryChoice::All, Some(second()));
    assert!(
        matches!(tasks[..], [.., Task::ChangeHistory(last)] if last == wish),
        "{tasks:?}"
    );

    // Nobody is asked who declined the device, or has nothing to give.
    let mut declined = with_bob();
    answered(&mut declined, answer(None));
    assert!(declined.dialog.is_none());
    let mut empty = super::testing::app(80, 24);
    answered(&mut empty, answer(Some(second())));
    assert!(empty.dialog.is_none());
}

#[test]
fn warnings_are_shown_whole_and_say_what_to_do() {
    for (width, height) in [(40, 12), (80, 24)] {
        let mut app = with_bob();
        app.update(Happening::Resized(Size::new(width, height)));
        let reason = ErrorCode::UnknownAction;
        told(&mut app, Event::PushTokenRefused { reason }, None);
        let words = in_one_line(&app);
        assert!(
            words.contains("no alert wakes this device. Start anew to get another. Esc"),
            "{words}"
        );
        types(&mut app, "<esc>");
        told(&mut app, Event::RefusedRepeatedly, Some(3));
        let words = in_one_line(&app);
        assert!(
            words.contains("or the service began anew without it. What is stored stays readable. Esc"),
            "{words}"
        );
        types(&mut app, "<esc>");
        let elsewhere = Event::Disconnected {
            reason: DisconnectReason::TakenOver,
            retry_in: Some(Duration::from_secs(600)),
        };
        // Twice: it is said once.
        told(&mut app, elsewhere.clone(), None);
        told(&mut app, elsewhere, None);
        let words = in_one_line(&app);
        assert!(
            words.contains("End the other chat, then Ctrl-R. If there is none, its store was copied: begin anew with an empty one, and link it anew. Esc"),
            "{words}"
        );
        assert!(words.contains("connected elsewhere; Ct"), "{words}");
        told(&mut app, Event::Connected, None);
        assert!(app.alerts.is_empty(), "that is over");
        told(&mut app, Event::Renewed, None);
        assert!(in_one_line(&app).contains("On a new connection"));
    }
}
