//! A command that runs while somebody types into it and reads what it prints.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// How long a line may take. Far beyond what it takes; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

/// The command with these arguments, not started.
pub(crate) fn waxwing(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.args(arguments);
    command
}

/// A command that runs.
pub(crate) struct Shell {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Shell {
    pub(crate) fn run(arguments: &[&str]) -> Self {
        let mut child = waxwing(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Self {
            input: child.stdin.take(),
            child,
            lines,
        }
    }

    pub(crate) fn types(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    pub(crate) fn closes_its_input(&mut self) {
        self.input = None;
    }

    pub(crate) fn next_line(&mut self) -> String {
        self.lines.recv_timeout(PATIENCE).unwrap()
    }

    /// Reads on until a line holds `text`.
    pub(crate) fn until(&mut self, text: &str) {
        self.through(text);
    }

    /// The same, and gives what was printed up to that line.
    pub(crate) fn through(&mut self, text: &str) -> String {
        let mut read = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return read.join("\n"),
                Ok(line) => read.push(line),
                Err(error) => panic!("{text:?} was not printed ({error}), but:\n{}", read.join("\n")),
            }
        }
    }

    /// As Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-INT", &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for the end, and gives the exit code.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // A failed test leaves nothing running.
        let _ = self.child.kill();
    }
}
