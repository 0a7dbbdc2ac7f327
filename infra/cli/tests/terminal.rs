//! The terminal app as a person runs it: whole processes in terminals of their own, real sockets.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "here not all of it is used")]
mod shell;

use std::{
    fs,
    io::{Read, Write},
    path::Path,
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

/// A service on a port that is free, or on this one.
fn service(port: &str) -> (Shell, Value) {
    let mut service = Shell::run(&["local", "--memory", "--port", port, "--json"]);
    let ready = serde_json::from_str(&service.next_line()).unwrap();
    (service, ready)
}

/// What starts a chat that keeps its store here.
fn chat(data: &Path, ready: &Value, name: &str, more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["chat", "--as", name, "--data", data.to_str().unwrap()];
    arguments.extend(["--endpoint", ready["websocket_url"].as_str().unwrap()]);
    arguments.extend(["--http-endpoint", ready["http_url"].as_str().unwrap()]);
    arguments.extend(more);
    arguments.into_iter().map(str::to_owned).collect()
}

fn on_a_screen(arguments: &[String]) -> Terminal {
    Terminal::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Alice on a screen, who writes to Bob, and Bob line by line. Both are connected.
fn alice_with_bob(run: impl Fn(&'static str, &[&str]) -> Vec<String>) -> (Terminal, Shell) {
    let mut bob = line_by_line(&run("bob", &[]));
    bob.until("Connected.");
    let alice = on_a_screen(&run("alice", &["--to", "bob"]));
    alice.sees(" connected ");
    (alice, bob)
}

fn line_by_line(arguments: &[String]) -> Shell {
    Shell::run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// The code in a dialog that shows its text: in as many lines as it takes.
fn code_on(screen: &str) -> String {
    let inside = screen.lines().filter_map(|line| line.split('│').nth(1));
    let from = inside
        .map(str::trim)
        .skip_while(|line| !line.starts_with("waxwing:link?"));
    from.take_while(|line| !line.is_empty()).collect()
}

#[test]
fn a_new_device_declines_what_the_first_offers_and_takes_it_later() {
    let directory = tempfile::tempdir().unwrap();
    let (service, ready) = service("0");
    let run = |name, more: &[&str]| chat(directory.path(), &ready, name, more);
    let (alice, mut bob) = alice_with_bob(run);
    alice.types("Before the laptop.\r");
    bob.until("alice: Before the laptop.");

    alice.types("\u{f}");
    alice.sees("device 1 (this one)");
    alice.types("l");
    // How large a code is, and so whether it fits, depends on what it says. Each has the inner rows of a finder pattern.
    alice.until("a code, or its text", |shown| {
        shown.contains("█ ███ █") || shown.contains("waxwing:link?")
    });
    alice.types("t");
    let code = code_on(&alice.sees("Type it at:"));
    let mut laptop = line_by_line(&run("laptop", &["--link"]));
    laptop.until("type the code it shows:");
    laptop.types(&code);
    alice.sees("asks to be linked.");
    alice.types("a");
    laptop.until("Connected.");
    alice.sees("Give device 2 the messages that are here?");
    alice.types("a");
    laptop.until("Device 1 offers its messages, 1 of them: /history take, or /history decline.");
    laptop.types("/history decline");
    laptop.until("No more is taken.");
    alice.sees("! Device 2 declined what it was offered.");

    alice.types("\u{1b}");
    alice.until("no dialog", |shown| !shown.contains("Your devices"));
    alice.types("/history all\r");
    alice.sees("Device 2 was offered 1 message, and answers there.");
    laptop.until("Device 1 offers its messages, 1 of them");
    laptop.types("/history take");
    laptop.until("They come while both devices are connected");
    laptop.until("What device 1 offered is here: 1 message.");
    alice.sees("! Device 2 has what it was offered: 1 message.");
    laptop.types("/history");
    laptop.until("What device 1 offered is here: 1 message.");
    service.interrupt();
}

#[test]
fn a_copy_of_a_device_is_told_what_to_do_and_its_place_can_be_taken_back() {
    let directory = tempfile::tempdir().unwrap();
    let (here, copy) = (directory.path().join("here"), directory.path().join("copy"));
    let (service, ready) = service("0");
    let mut bob = line_by_line(&chat(&here, &ready, "bob", &[]));
    bob.until("Connected.");
    bob.types("/quit");
    assert_eq!(bob.ends(), Some(0));
    fs::create_dir(&copy).unwrap();
    for file in fs::read_dir(&here).unwrap().map(Result::unwrap) {
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), copy.join(file.file_name())).unwrap();
        }
    }

    let bob = on_a_screen(&chat(&here, &ready, "bob", &[]));
    bob.sees(" connected ");
    let mut twin = line_by_line(&chat(&copy, &ready, "bob", &[]));
    twin.until("Connected.");
    bob.sees("connected elsewhere; Ctrl-R connects, or it does in");
    let warned = bob.sees("End the other chat, then");
    assert!(warned.contains("its store was copied"), "{warned}");
    bob.types("\u{12}");
    bob.until("connected, and no warning", |shown| {
        shown.contains(" connected ") && !shown.contains("End the other chat")
    });
    twin.until("This device is connected elsewhere, and waits here. End the other chat, then say /connect.");
    twin.types("/connect");
    twin.until("Connected.");
    bob.sees("End the other chat, then");
    service.interrupt();
}

#[test]
fn a_service_that_began_anew_is_not_mistaken_at_the_first_refusal_and_then_named() {
    let directory = tempfile::tempdir().unwrap();
    let (mut first, ready) = service("0");
    let mut bob = line_by_line(&chat(directory.path(), &ready, "bob", &[]));
    bob.until("Connected.");
    first.interrupt();
    assert_eq!(first.ends(), Some(0));
    bob.until("Not connected: ");
    let url = ready["http_url"].as_str().unwrap();
    let port = url.rsplit(':').next().unwrap().split('/').next().unwrap();
    let (second, _) = service(port);
    // Each attempt is refused; the third is no accident.
    let mut told = String::new();
    for _ in 0..20 {
        bob.types("/connect");
        thread::sleep(Duration::from_millis(500));
        bob.types("/who");
        told = bob.through("(you)");
        assert!(!told.contains("does not know this device"), "{told}");
        if told.contains("again and again") {
            break;
        }
    }
    assert!(
        told.contains("the service began anew without it") && told.contains("bob.db"),
        "{told}"
    );
    second.interrupt();
}

#[test]
fn what_is_no_command_is_sent_nowhere_line_by_line_and_on_a_screen() {
    let directory = tempfile::tempdir().unwrap();
    let (service, ready) = service("0");
    let run = |name, more: &[&str]| chat(directory.path(), &ready, name, more);
    let (alice, mut bob) = alice_with_bob(run);
    alice.types("/etc/hosts\r");
    let refused = alice.sees("/etc/hosts is no command");
    assert!(refused.contains("› /etc/hosts"), "{refused}");
    // To its beginning, and one more slash.
    alice.types("\u{1}/\r");
    bob.until("alice: /etc/hosts");
    bob.types("/to alice");
    bob.types("/etc/hosts");
    bob.until("-- /etc/hosts is no command: /to,");
    bob.types("//me waves");
    alice.sees("/me waves");
    service.interrupt();
}
