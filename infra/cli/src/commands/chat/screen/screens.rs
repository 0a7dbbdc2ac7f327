//! Screens of states: what a person sees of what the app knows.

mod typed;

use std::time::Duration;

use ratatui::{layout::Size, style::Color};
use waxwing_client::{Contact, DisconnectReason, Event, FailureReason, MessageState};

use super::{
    app::{App, Happening, Link},
    dialogs::Dialog,
    talk::PAGE,
    tasks::{Answer, Task},
    testing::*,
};

/// A conversation in which each of alice's messages got further than the one before.
fn with_every_state() -> App {
    let mut app = app(80, 24);
    let bob = account(2);
    let states = [
        MessageState::Pending,
        MessageState::Held,
        MessageState::Sent,
        MessageState::Accepted,
        MessageState::Delivered,
        MessageState::Read,
        MessageState::Failed(FailureReason::UnknownAccount),
    ];
    let messages = (1..).zip(states).map(|(position, state)| {
        let mut message = message(bob, position, true, &format!("number {position}"));
        message.state = state;
        message
    });
    holds(&mut app, known(), 0, messages.collect());
    app
}

#[test]
fn each_message_shows_how_far_it_got_and_what_was_read_is_in_colour() {
    let app = with_every_state();
    let screen = screen(&app);
    for shown in [
        "number 1  10:01 ◷",
        "number 2  10:02 held",
        "number 3  10:03 ·",
        "number 4  10:04 ✓\n",
        "number 5  10:05 ✓✓",
        "number 6  10:06 ✓✓",
        "number 7  10:07 ✗",
        "not sent: there is no such account",
    ] {
        assert!(screen.contains(shown), "{shown}\n{screen}");
    }
    assert!(has_in_colour(&drawn(&app), "✓✓", Color::Cyan));
}

#[test]
fn own_messages_stand_at_the_right_those_of_others_at_the_left_and_days_are_told_apart() {
    let mut app = app(80, 24);
    let bob = account(2);
    let mut yesterday = message(bob, 1, false, "good night");
    yesterday.sent_at_millis = TEN - 24 * 60 * MINUTE;
    holds(
        &mut app,
        known(),
        0,
        vec![yesterday, message(bob, 2, true, "good morning")],
    );
    let screen = screen(&app);
    let line = |text: &str| screen.lines().position(|line| line.contains(text)).unwrap();
    let order = [
        "Fri 27 Nov 2026",
        "│ good night  10:00",
        "Sat 28 Nov 2026",
        "good morning  10:02 ✓",
    ]
    .map(line);
    assert!(order.is_sorted(), "{screen}");
    let own = screen.lines().nth(order[3]).unwrap();
    assert_eq!(super::text::width(own), 79, "{screen}");
}

#[test]
fn the_list_shows_who_is_there_who_was_verified_what_is_unread_and_the_last_word() {
    let mut app = app(80, 24);
    let verified = Contact {
        verified: true,
        ..known()
    };
    holds(
        &mut app,
        verified,
        3,
        vec![message(account(2), 9, false, "see\nyou")],
    );
    holds(
        &mut app,
        known(),
        0,
        vec![message(account(0xca01), 4, true, "later")],
    );
    told(
        &mut app,
        Event::Presence {
            account: account(2),
            present: true,
        },
        None,
    );
    let screen = screen(&app);
    let lines: Vec<_> = screen.lines().collect();
    assert!(lines[1].starts_with("● bob ✔              (3) │"), "{screen}");
    assert!(lines[2].starts_with("  10:09 see you"), "{screen}");
    assert!(
        lines[3].starts_with("  0000ca01 "),
        "whose name is not known: {screen}"
    );
    assert!(lines[4].starts_with("  10:04 you: later"), "{screen}");
}

#[test]
fn what_is_missing_is_said_in_its_place_and_so_is_that_it_came() {
    let mut app = app(80, 24);
    let bob = account(2);
    let mut late = message(bob, 4, false, "one");
    late.late = true;
    let messages = vec![message(bob, 1, false, "zero"), message(bob, 3, false, "two")];
    holds(&mut app, known(), 0, messages.clone());
    let from = device(bob);
    told(&mut app, Event::Gap { from, missing: 2..=2 }, Some(2));
    let before = screen(&app);
    let line = |screen: &str, text: &str| {
        screen
            .lines()
            .position(|line| line.contains(text))
            .unwrap_or_else(|| panic!("{text}\n{screen}"))
    };
    let missing = "– A message of bob is missing, asked again.";
    assert!(line(&before, "zero") < line(&before, missing), "{before}");
    assert!(line(&before, missing) < line(&before, "│ two"), "{before}");

    told(&mut app, Event::Recovered { from, sequence: 2 }, None);
    holds(&mut app, known(), 0, [messages, vec![late]].concat());
    let after = screen(&app);
    assert!(!after.contains("is missing"), "{after}");
    line(&after, "– A message of bob was missing, and came late.");
    line(&after, "one  10:04 late");
}

#[test]
fn text_of_others_cannot_steer_the_terminal_from_any_screen() {
    let mut app = app(80, 24);
    let bob = account(2);
    holds(
        &mut app,
        known(),
        0,
        vec![message(bob, 1, false, "a\u{1b}[2Jb\u{202e}c")],
    );
    let screen = screen(&app);
    assert!(screen.contains("a\\u{1b}[2Jb\\u{202e}c"), "{screen}");
    assert!(!screen.contains('\u{1b}') && !screen.contains('\u{202e}'));
}

#[test]
fn every_screen_fits_into_small_terminals_and_large_ones() {
    for (width, height) in [
        (80, 24),
        (40, 12),
        (59, 5),
        (60, 12),
        (200, 60),
        (20, 4),
        (3, 2),
        (1, 1),
    ] {
        let mut app = app(width, height);
        let bob = account(2);
        let long = "a long text, 東京都 and 🍰, ".repeat(20);
        let messages = (1..40).map(|at| message(bob, at, at % 3 == 0, &long)).collect();
        holds(&mut app, Contact::default(), 7, messages);
        app.alert("something of the whole account");
        for script in [
            "",
            "<enter>",
            "?",
            "<esc><c-n>x",
            "<esc><c-v>",
            "<esc><c-o>",
            "<esc><c-s>",
            "<down><down><down> 12",
            "<esc><esc>some words<a-enter>and more",
            "<pageup><pageup><up>",
            "<tab>",
        ] {
            types(&mut app, script);
            let _ = drawn(&app);
        }
    }
}

#[test]
fn a_narrow_terminal_shows_the_list_or_the_conversation() {
    let mut app = app(40, 12);
    holds(&mut app, known(), 1, vec![message(account(2), 1, false, "hello")]);
    let list = screen(&app);
    assert!(
        list.contains("bob") && list.contains("(1)") && !list.contains('›'),
        "{list}"
    );
    types(&mut app, "<enter>");
    let talk = screen(&app);
    assert!(talk.contains("hello  10:01") && talk.contains('›'), "{talk}");
    assert!(!talk.contains("(1)"), "{talk}");
    types(&mut app, "<esc>");
    assert_eq!(screen(&app), list);
    app.update(Happening::Resized(Size::new(80, 24)));
    let both = screen(&app);
    assert!(
        both.contains("(1)") && both.contains("hello  10:01") && both.contains('›'),
        "{both}"
    );
}

#[test]
fn the_status_line_tells_what_became_of_the_connection_and_when_it_is_tried_again() {
    let mut app = app(80, 24);
    assert!(screen(&app).contains("connecting…"));
    told(&mut app, Event::Connected, None);
    assert!(screen(&app).contains(" connected "));
    let lost = |app: &mut App, reason, retry_in| told(app, Event::Disconnected { reason, retry_in }, None);
    lost(
        &mut app,
        DisconnectReason::Unreachable,
        Some(Duration::from_millis(4200)),
    );
    let offline = screen(&app);
    assert!(
        offline.contains("offline: the service could not be reached; next try in 5 s"),
        "{offline}"
    );
    app.update(Happening::Now(TEN + 3000));
    assert!(screen(&app).contains("next try in 2 s"));
    lost(&mut app, DisconnectReason::TakenOver, None);
    let elsewhere = screen(&app);
    assert!(
        elsewhere.contains("connected elsewhere; Ctrl-R connects"),
        "{elsewhere}"
    );
    assert!(matches!(types(&mut app, "<c-r>")[..], [Task::Connect]));
    assert!(matches!(app.link, Link::Broken { .. }));
}
