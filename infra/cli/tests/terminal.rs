//! The terminal app as a person runs it: whole processes in terminals of their own, real sockets.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "here only the service runs in a shell")]
mod shell;

use std::{
    io::{Read, Write},
    process::{Child, Command},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use pty_process::{Size, blocking as pty};
use serde_json::Value;
use vt100::Parser;

use shell::Shell;

/// How long a screen may take to show something. Far beyond what it takes; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the screen is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A terminal in which the app runs.
struct Terminal {
    child: Child,
    keyboard: Arc<pty::Pty>,
    screen: Arc<Mutex<Parser>>,
}

fn parser(rows: u16, columns: u16) -> Parser {
    Parser::new(rows.try_into().unwrap(), columns.try_into().unwrap(), 0)
}

impl Terminal {
    fn run(arguments: &[&str]) -> Self {
        let (rows, columns) = (24, 80);
        let (keyboard, inside) = pty::open().unwrap();
        keyboard.resize(Size::new(rows, columns)).unwrap();
        let command = pty::Command::new(env!("CARGO_BIN_EXE_waxwing"))
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("TZ", "UTC");
        let child = command.spawn(inside).unwrap();
        let keyboard = Arc::new(keyboard);
        let screen = Arc::new(Mutex::new(parser(rows, columns)));
        let (reader, drawn) = (keyboard.clone(), screen.clone());
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = (&*reader).read(&mut bytes) {
                drawn.lock().unwrap().process(bytes.get(..count).unwrap());
            }
        });
        Self {
            child,
            keyboard,
            screen,
        }
    }

    fn types(&self, keys: &str) {
        (&*self.keyboard).write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&self, rows: u16, columns: u16) {
        let (high, wide) = (rows.try_into().unwrap(), columns.try_into().unwrap());
        self.screen.lock().unwrap().screen_mut().set_size(high, wide);
        self.keyboard.resize(Size::new(rows, columns)).unwrap();
    }

    /// Looks until the screen is as it should be.
    fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.screen.lock().unwrap().screen().contents();
            if is_so(&shown) {
                return shown;
            }
            assert!(Instant::now() < deadline, "{what}\n{shown}");
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn sees(&self, text: &str) -> String {
        self.until(text, |shown| shown.contains(text))
    }

    fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end, and looks whether the terminal is as it was before.
    fn gives_the_terminal_back(&mut self) {
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen.lock().unwrap();
            let screen = screen.screen();
            if !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste() {
                return;
            }
            assert!(Instant::now() < deadline, "{}", screen.contents());
            thread::sleep(LOOK_AGAIN);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A failed test leaves nothing running.
        let _ = self.child.kill();
    }
}

#[test]
fn two_people_talk_in_two_terminals_of_any_size_which_they_get_back() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Shell::run(&["local", "--memory", "--port", "0", "--json"]);
    let ready: Value = serde_json::from_str(&service.next_line()).unwrap();
    let chat = |name: &str, more: &[&str]| {
        let data = directory.path().to_str().unwrap();
        let mut arguments = vec!["chat", "--as", name, "--data", data];
        arguments.extend(["--endpoint", ready["websocket_url"].as_str().unwrap()]);
        arguments.extend(["--http-endpoint", ready["http_url"].as_str().unwrap()]);
        arguments.extend(more);
        Terminal::run(&arguments)
    };

    let mut bob = chat("bob", &[]);
    bob.sees(" connected ");
    let mut alice = chat("alice", &["--to", "bob"]);
    alice.sees(" connected ");
    alice.types("Hello Bob, 絹の尾!\r");
    alice.until("accepted", |shown| {
        shown
            .lines()
            .any(|line| line.contains("絹の尾!") && line.contains('✓'))
    });
    let list = bob.sees("(1)");
    assert!(list.contains("alice") && list.contains("A stranger"), "{list}");

    bob.resize(12, 40);
    bob.until("the list alone", |shown| {
        shown.contains("(1)") && !shown.contains('›')
    });
    bob.types("\r");
    let talk = bob.sees("›");
    assert!(
        talk.contains("Hello Bob, 絹の尾!") && !talk.contains("(1)"),
        "{talk}"
    );
    bob.types("\u{19}I am here.\r");
    let answer = alice.sees("I am here.");
    assert!(answer.contains("› "), "{answer}");
    // What a person pastes is typed as it is, and not sent by the line breaks in it.
    alice.types("\u{1b}[200~one\ntwo\u{1b}[201~");
    alice.until("both lines", |shown| {
        shown.contains("› one") && shown.contains("› two")
    });

    alice.types("\u{11}");
    alice.gives_the_terminal_back();
    bob.terminate();
    bob.gives_the_terminal_back();
    service.interrupt();
    assert_eq!(service.ends(), Some(0));
}
