//! What is typed, scrolled and read.

use super::*;

#[test]
fn drafts_stay_with_their_conversations_and_typing_is_said_once_it_stops() {
    let mut app = app(80, 24);
    holds(&mut app, known(), 0, vec![message(account(2), 2, false, "hello")]);
    holds(&mut app, known(), 0, vec![message(account(3), 1, false, "hello")]);
    let tasks = types(&mut app, "<enter>for bob");
    assert!(
        matches!(tasks[..], [.., Task::Typing { account: with, typing: true }] if with == account(2)),
        "{tasks:?}"
    );
    let left = types(&mut app, "<tab>");
    assert!(
        matches!(left[..], [Task::Typing { account: with, typing: false }] if with == account(2)),
        "{left:?}"
    );
    types(&mut app, "for carol");
    let other = screen(&app);
    assert!(
        other.contains("› for carol") && other.contains("draft: for bob"),
        "{other}"
    );
    app.update(Happening::Key(keys("<up>")[0]));
    types(&mut app, "<esc><up>");
    let back = screen(&app);
    assert!(back.contains("› for bob"), "{back}");
}

#[test]
fn paging_up_asks_for_what_is_before_and_stays_where_one_reads_when_something_comes() {
    let mut app = app(80, 24);
    let bob = account(2);
    let page = |from: u64| {
        (from..from + PAGE as u64)
            .map(|at| message(bob, at, false, &format!("number {at}.")))
            .collect::<Vec<_>>()
    };
    holds(&mut app, known(), 0, page(1001));
    open(&mut app);
    app.wanted();
    for _ in 0..8 {
        types(&mut app, "<pageup>");
    }
    let asked = app.wanted();
    let before = asked.iter().find_map(|task| match task {
        Task::Page { before, .. } => *before,
        _ => None,
    });
    assert_eq!(before, Some(1001), "{asked:?}");
    answered(
        &mut app,
        Answer::Page {
            account: bob,
            before,
            page: page(901),
        },
    );
    types(&mut app, "<pageup>");
    let reading = screen(&app);
    assert!(reading.contains("number 990."), "{reading}");
    holds(
        &mut app,
        known(),
        1,
        [page(1001), vec![message(bob, 2000, false, "new")]].concat(),
    );
    let shown = |screen: &str| screen.lines().filter(|line| line.contains("number")).count();
    let still = screen(&app);
    assert!(
        still.contains("number 990.") && !still.contains("│ new"),
        "{still}"
    );
    assert_eq!(shown(&still), shown(&reading));
    assert!(
        !app.wanted()
            .iter()
            .any(|task| matches!(task, Task::MarkRead { .. })),
        "what is below was not seen"
    );
}

#[test]
fn only_what_is_before_the_person_s_eyes_is_marked_as_read() {
    let marks = |app: &mut App| {
        let tasks = app.wanted();
        tasks
            .iter()
            .any(|task| matches!(task, Task::MarkRead { until: 2, .. }))
    };
    let fresh = || {
        let mut app = app(80, 24);
        let bob = account(2);
        let messages = vec![message(bob, 1, true, "one"), message(bob, 2, false, "two")];
        holds(&mut app, known(), 1, messages);
        app.wanted();
        app
    };
    let mut in_the_list = fresh();
    assert!(!marks(&mut in_the_list), "the list is what the person looks at");
    let mut behind = fresh();
    open(&mut behind);
    behind.update(Happening::InFront(false));
    assert!(!marks(&mut behind), "another window is in front");
    let mut covered = fresh();
    types(&mut covered, "<enter><c-s>");
    assert!(!marks(&mut covered), "a dialog lies over it");
    let mut read = fresh();
    types(&mut read, "<enter>");
    assert!(marks(&mut read));
    assert!(!marks(&mut read), "once");
}

#[test]
fn what_was_typed_is_not_lost_when_it_cannot_be_stored() {
    let mut app = app(80, 24);
    holds(&mut app, known(), 0, vec![message(account(2), 1, false, "hello")]);
    let tasks = types(&mut app, "<enter>one<c-j>two<enter>");
    let Some(Task::Send { account, text }) = tasks.into_iter().last() else {
        panic!("nothing is sent");
    };
    assert_eq!(text, "one\ntwo");
    assert!(!screen(&app).contains("› one"));
    let reason = String::from("the disk is full");
    answered(
        &mut app,
        Answer::NotQueued {
            account,
            text,
            reason,
        },
    );
    let screen = screen(&app);
    assert!(screen.contains("› one") && screen.contains("› two"), "{screen}");
    assert!(screen.contains("Not sent: the disk is full"), "{screen}");
}

#[test]
fn nothing_is_sent_to_strangers_devices_and_keys_without_a_deliberate_key() {
    let mut app = app(80, 24);
    holds(
        &mut app,
        Contact::default(),
        1,
        vec![message(account(2), 1, false, "hi")],
    );
    open(&mut app);
    let stranger = screen(&app);
    assert!(
        stranger.contains("A stranger. Ctrl-Y lets them in, as an answer does."),
        "{stranger}"
    );
    let tasks = types(&mut app, "yes");
    assert!(
        tasks.iter().all(|task| matches!(task, Task::Typing { .. })),
        "{tasks:?}"
    );
    assert!(matches!(types(&mut app, "<c-y>")[..], [Task::LetIn(with)] if with == account(2)));
    // No key changed: there is nothing to answer.
    types(&mut app, "<c-t>");
    assert!(app.dialog.is_none());
}

#[test]
fn a_pin_is_not_shown_while_it_is_typed() {
    let mut app = app(80, 24);
    types(&mut app, "<c-s><down><down><down><enter>271828");
    assert!(matches!(app.dialog, Some(Dialog::Pin { .. })));
    let screen = screen(&app);
    assert!(
        screen.contains("••••••") && !screen.contains("271828"),
        "{screen}"
    );
    let tasks = types(&mut app, "<enter>");
    assert!(matches!(tasks[..], [Task::SetLock(_)]), "{tasks:?}");
}
