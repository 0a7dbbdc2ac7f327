//! The binary with all functions: built by Cargo from this workspace, in the profile of this one, so that figures of a
//! release build are not those of unoptimised functions, and a development build compiles nothing twice.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};

use serde::Deserialize;
use thiserror::Error;

/// What is built, named as Lambda wants it.
const FUNCTIONS: Target<'static> = Target {
    kind: "--bin",
    name: "bootstrap",
};

/// The workspace this crate was built in.
const WORKSPACE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Why there is no binary.
#[derive(Debug, Error)]
pub enum BinaryError {
    /// Cargo cannot be started.
    #[error("the functions have to be built, but {program} cannot be started: {source} (is Rust installed?)")]
    NoCargo {
        /// What was tried.
        program: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The source is not where it was when the runner was built.
    #[error("the functions have to be built, but their source is not in {0} any more")]
    NoSource(PathBuf),
    /// The build failed.
    #[error("the functions could not be built:\n{0}")]
    Build(String),
    /// The build succeeded and made no such binary.
    #[error("the build made no binary named {0}")]
    NotMade(String),
}

/// Builds the functions' binary, which is quick if nothing changed, and tells where it is. Blocks.
///
/// `progress` gets each line that Cargo tells about what it does.
///
/// # Errors
/// Every case of [`BinaryError`].
pub fn functions_binary(progress: impl FnMut(&str)) -> Result<PathBuf, BinaryError> {
    build(&cargo(), Path::new(WORKSPACE), FUNCTIONS, progress)
}

/// Something that Cargo can build.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    /// `--bin` or `--example`.
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
}

fn build(
    program: &str,
    workspace: &Path,
    target: Target<'_>,
    mut progress: impl FnMut(&str),
) -> Result<PathBuf, BinaryError> {
    if !workspace.join("Cargo.toml").is_file() {
        return Err(BinaryError::NoSource(workspace.to_owned()));
    }
    let no_cargo = |source| BinaryError::NoCargo {
        program: program.to_owned(),
        source,
    };
    let mut command = Command::new(program);
    command
        .current_dir(workspace)
        .args([
            "build",
            "--message-format=json-render-diagnostics",
            // As `cargo waxwing` and the tests are built, so that no dependency is built twice for other
            // features.
            "--workspace",
            target.kind,
            target.name,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let mut child = command.spawn().map_err(no_cargo)?;
    let artifacts = child.stdout.take();
    // Both ends are read at once: either pipe may fill up.
    let name = target.name.to_owned();
    let artifacts = std::thread::spawn(move || artifacts.and_then(|report| find_executable(report, &name)));
    let messages = child
        .stderr
        .take()
        .map(|stderr| tell(stderr, &mut progress))
        .unwrap_or_default();
    let status = child.wait().map_err(no_cargo)?;
    let found = artifacts.join().ok().flatten();
    if !status.success() {
        return Err(BinaryError::Build(messages));
    }
    found.ok_or_else(|| BinaryError::NotMade(target.name.to_owned()))
}

/// Builds the function that the tests of instances run.
#[cfg(test)]
pub(super) fn misbehaving() -> PathBuf {
    let target = Target {
        kind: "--example",
        name: "misbehaving",
    };
    build(&cargo(), Path::new(WORKSPACE), target, |_| {}).unwrap()
}

/// The Cargo that runs this, if one does.
fn cargo() -> String {
    #[allow(
        clippy::disallowed_methods,
        reason = "Cargo tells its own path to what it runs in this one variable"
    )]
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

/// A line of Cargo's report (`--message-format=json`).
#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    target: Built,
    executable: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
struct Built {
    name: String,
}

fn find_executable(report: ChildStdout, name: &str) -> Option<PathBuf> {
    let lines = BufReader::new(report).lines().map_while(Result::ok);
    let messages = lines.filter_map(|line| serde_json::from_str::<Message>(&line).ok());
    // To the end of the report, whatever comes first.
    messages
        .filter(|message| message.target.name == name)
        .filter_map(|message| message.executable)
        .last()
}

/// Passes each line on, and gives them all for an error.
fn tell(messages: impl Read, progress: &mut impl FnMut(&str)) -> String {
    let mut all = String::new();
    for line in BufReader::new(messages).lines().map_while(Result::ok) {
        progress(line.trim());
        all.push_str(&line);
        all.push('\n');
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_cargo_the_error_says_what_is_missing() {
        let error = build("no-such-cargo", Path::new(WORKSPACE), FUNCTIONS, |_| {}).unwrap_err();
        assert!(matches!(&error, BinaryError::NoCargo { .. }));
        assert!(
            error.to_string().contains("no-such-cargo") && error.to_string().contains("Rust"),
            "{error}"
        );
    }

    #[test]
    fn a_target_that_does_not_build_tells_what_cargo_said() {
        let unknown = Target {
            name: "unknown",
            ..FUNCTIONS
        };
        let mut told = Vec::new();
        let error = build(&cargo(), Path::new(WORKSPACE), unknown, |line| {
            told.push(line.to_owned())
        });
        let error = error.unwrap_err().to_string();
        assert!(error.contains("unknown") && !told.is_empty(), "{error}");
    }

    #[test]
    fn without_the_source_the_error_says_where_it_was() {
        let error = build("cargo", Path::new("/nowhere"), FUNCTIONS, |_| {}).unwrap_err();
        assert!(error.to_string().contains("/nowhere"), "{error}");
    }
}
