//! The client library in other languages: what is generated, and a story told in Python.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::LazyLock,
};

use crate::other_language::python;
use scenarios::Service;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

/// The library that the bindings load. Cargo puts it beside this test.
fn library() -> PathBuf {
    let name = format!(
        "{}waxwing_bindings{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    );
    std::env::current_exe().unwrap().with_file_name(name)
}

/// The generated sources, made once for all stories: folders `swift`, `kotlin` and `python`. The generator is compiled if
/// it is not yet; it is no part of what the workspace's tests are built from.
fn generated() -> &'static Path {
    static GENERATED: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let output = std::process::Command::new(env!("CARGO"))
            .args([
                "run",
                "--quiet",
                "--locked",
                "--package",
                "waxwing-bindgen",
                "--features",
                "bindgen",
                "--",
            ])
            .args([library().as_path(), folder.path()])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        folder
    });
    GENERATED.path()
}

/// A generated file, without the marks by which Swift and Kotlin take any word for a name.
fn generated_file(path: &str) -> String {
    fs::read_to_string(generated().join(path))
        .unwrap()
        .replace('`', "")
}

/// A file of `shared`, without its tests.
fn source(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests").next().unwrap().to_owned()
}

/// The names of the functions in a text, which begin like this.
fn functions<'a>(text: &'a str, beginnings: &'a [&'a str]) -> impl Iterator<Item = String> + 'a {
    let begun = text
        .lines()
        .filter_map(|line| beginnings.iter().find_map(|begins| line.strip_prefix(begins)));
    begun.map(|rest| rest.split(['(', '<']).next().unwrap().to_owned())
}

/// The cases of an enum, but for what is in them.
fn cases(text: &str, name: &str) -> BTreeSet<String> {
    let (_, body) = text
        .split_once(&format!("enum {name} {{\n"))
        .unwrap_or_else(|| panic!("there is no enum {name}"));
    let body = body.split("\n}").next().unwrap();
    let names = body.lines().filter_map(|line| {
        let case = line.strip_prefix("    ")?;
        case.starts_with(|first: char| first.is_ascii_uppercase())
            .then(|| {
                case.split(|c: char| !c.is_alphanumeric())
                    .next()
                    .unwrap()
                    .to_owned()
            })
    });
    names.collect()
}

/// All that is exported: the functions in blocks marked for it.
fn exported() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for file in ["client", "keys", "location", "reader", "safety"] {
        let text = source(&format!("bindings/src/{file}.rs"));
        for block in text.split("#[uniffi::export").skip(1) {
            let block = block.split("\n}").next().unwrap();
            names.extend(functions(block, &["    pub async fn ", "    pub fn ", "    fn "]));
        }
    }
    names
}

fn camel(snake: &str) -> String {
    let mut words = snake.split('_');
    let first = words.next().unwrap().to_owned();
    words.fold(first, |name, word| name + &word[..1].to_uppercase() + &word[1..])
}

/// No compiler of Swift or Kotlin is needed to see that each call, each error and each event is in the sources.
#[test]
fn the_sources_for_swift_kotlin_and_python_have_every_call_error_and_event() {
    let swift = generated_file("swift/Waxwing.swift");
    let kotlin = generated_file("kotlin/waxwing/waxwing.kt");
    let python = generated_file("python/waxwing/_bindings.py");
    for file in [
        "swift/WaxwingFFI.h",
        "swift/WaxwingFFI.modulemap",
        "python/pyproject.toml",
        "python/setup.py",
    ] {
        assert!(generated().join(file).exists(), "{file}");
    }

    let calls = exported();
    assert!(calls.len() >= 48, "{calls:?}");
    for call in &calls {
        let name = camel(call);
        assert!(swift.contains(&format!("func {name}(")), "Swift has no {name}");
        assert!(kotlin.contains(&format!("fun {name}(")), "Kotlin has no {name}");
        assert!(python.contains(&format!("def {call}(")), "Python has no {call}");
    }
    // What Kotlin gives every object: a call of that name would not compile.
    for taken in ["close", "destroy"] {
        assert!(!calls.contains(taken), "{taken}");
    }

    let errors = source("bindings/src/error.rs");
    let (_, errors) = errors.split_once("\nerrors! {").unwrap();
    let errors = cases(&format!("enum All {{\n{errors}"), "All");
    assert!(errors.len() >= 45, "{errors:?}");
    for error in &errors {
        assert!(
            swift.contains(&format!("case {error}(message: String)")),
            "Swift has no {error}"
        );
        assert!(
            kotlin.contains(&format!("class {error}(message: String)")),
            "Kotlin has no {error}"
        );
        assert!(
            python.contains(&format!("class {error}(_UniffiTempClientError)")),
            "Python has no {error}"
        );
    }
    let events = cases(&source("bindings/src/event.rs"), "Event");
    assert!(events.len() >= 23, "{events:?}");
    for event in &events {
        let lower = event[..1].to_lowercase() + &event[1..];
        assert!(swift.contains(&format!("case {lower}")), "Swift has no {event}");
        let kotlin_has = [
            format!("data class {event}("),
            format!("object {event} : Event()"),
        ];
        assert!(
            kotlin_has.iter().any(|text| kotlin.contains(text)),
            "Kotlin has no {event}"
        );
        assert!(
            python.contains(&format!("def is_{}(", shouty(event))),
            "Python has no {event}"
        );
    }
}

/// The code of docs/bindings.md in a language.
fn example(language: &str) -> String {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bindings.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, code) = page.split_once(&format!("```{language}\n")).unwrap();
    code.split("```").next().unwrap().to_owned()
}

/// What is called on the client and its parts in an example: the name, and what stands between the parentheses.
fn called(example: &str) -> Vec<(String, String)> {
    let mut calls = Vec::new();
    for (at, _) in example.match_indices('(') {
        let before = &example[..at];
        let name_at = before
            .rfind(|c: char| !c.is_alphanumeric())
            .map_or(0, |at| at + 1);
        let object = before[..name_at].strip_suffix('.').unwrap_or_default();
        let ours = ["client", "events", "Client", "StoreLocation"];
        if ours.iter().any(|name| object.ends_with(name)) {
            let arguments = example[at + 1..].split(')').next().unwrap().to_owned();
            calls.push((before[name_at..].to_owned(), arguments));
        }
    }
    calls
}

/// Python's example is run. The others, which nothing here compiles, are held to the signatures that were generated.
#[test]
fn the_examples_for_swift_and_kotlin_call_what_there_is_as_it_is_called() {
    for (heading, file) in [
        ("swift", "swift/Waxwing.swift"),
        ("kotlin", "kotlin/waxwing/waxwing.kt"),
    ] {
        let generated = generated_file(file);
        let calls = called(&example(heading));
        assert!(calls.len() >= 7, "{calls:?}");
        for (name, arguments) in calls {
            let declared = [format!("func {name}("), format!("fun {name}(")];
            let signatures = generated
                .lines()
                .filter(|line| declared.iter().any(|text| line.contains(text)));
            let fits = |signature: &&str| {
                let labels = arguments
                    .split(", ")
                    .filter_map(|argument| argument.split_once(": "));
                let all = labels
                    .clone()
                    .all(|(label, _)| signature.contains(&format!("{label}: ")));
                all && (heading == "kotlin" || labels.count() == signature.matches(": ").count())
            };
            assert!(
                signatures.clone().any(|line| fits(&line)),
                "{name}({arguments}) is none of {:?}",
                signatures.collect::<Vec<_>>()
            );
        }
    }
}

fn shouty(name: &str) -> String {
    name.char_indices()
        .fold(String::new(), |mut text, (at, character)| {
            if at > 0 && character.is_ascii_uppercase() {
                text.push('_');
            }
            text.push(character.to_ascii_uppercase());
            text
        })
}

/// Calls of the client that an app in another language does without, and why.
const LEFT_OUT: [(&str, &str); 4] = [
    (
        "close",
        "is `shut_down` there: Kotlin gives every object a `close` of its own",
    ),
    ("messages", "a conversation may be long: `page` reads it"),
    ("observe", "for tools that watch a client beside its app"),
    ("rotate_signed_prekey", "is done every week anyway; for tests"),
];

#[test]
fn every_call_of_the_client_is_in_the_bindings_or_left_out_for_a_reason() {
    let beginnings = ["    pub async fn ", "    pub fn "];
    let (client, bindings) = (source("client/src/client.rs"), source("bindings/src/client.rs"));
    let offered: BTreeSet<_> = functions(&client, &beginnings).collect();
    let bound: BTreeSet<_> = functions(&bindings, &beginnings).collect();
    assert!(offered.len() >= 35, "{offered:?}");
    let left_out: BTreeSet<_> = LEFT_OUT.map(|(name, _)| name.to_owned()).into();
    let missing: BTreeSet<_> = offered.difference(&bound).cloned().collect();
    assert_eq!(missing, left_out, "in the client and not in the bindings");
    let invented: Vec<_> = bound.difference(&offered).collect();
    assert_eq!(invented, ["shut_down"], "in the bindings and not in the client");
}

/// The events of the client that no app needs, and why.
const UNTOLD: [(&str, &str); 6] = [
    ("CameAgain", "a repetition that nobody sees: for tools"),
    ("Renewed", "nothing was lost and nothing has to be shown"),
    ("Acked", "what the service forgot: for tools"),
    ("Handshake", "how sessions are opened: for tools"),
    (
        "SessionReset",
        "sessions heal by themselves; what was lost in between is a gap",
    ),
    ("PrekeysUploaded", "what this device published: for tools"),
];

/// The client may get new cases any time; here each is given a name in the other languages, or a reason why not.
#[test]
fn every_case_of_the_client_has_one_in_the_bindings() {
    let names = |file: &str| source(&format!("bindings/src/{file}.rs"));
    let (error, event, records) = (names("error"), names("event"), names("records"));
    let (history, push) = (names("history"), names("push"));
    for (file, name, text, written) in [
        ("events", "Event", &event, "From"),
        ("events", "FailureReason", &event, "Failure"),
        ("events", "UndecryptableReason", &event, "Unreadable"),
        ("events", "DisconnectReason", &event, "Disconnect"),
        ("trust", "DeviceChange", &event, "Change"),
        ("messages", "MessageState", &records, "State"),
        ("devices", "DevicesError", &error, "DevicesError"),
        ("history/mod", "HistoryEnd", &history, "HistoryEnd"),
        ("history/mod", "HistoryError", &error, "HistoryError"),
        ("history/mod", "HistoryStage", &history, "HistoryStage"),
        ("push", "PushState", &push, "PushState"),
        ("keys/mod", "KeyStoreError", &error, "KeyStoreError"),
        ("linking", "LinkError", &error, "LinkError"),
        ("lock", "LockError", &error, "LockError"),
        ("outbox", "SendError", &error, "SendError"),
        ("registration", "RegisterError", &error, "RegisterError"),
        ("safety", "VerifyError", &error, "VerifyError"),
        ("shared", "OpenError", &error, "OpenError"),
        ("store/mod", "StoreError", &error, "StoreError"),
        ("transport/http", "HttpError", &error, "HttpError"),
        ("trust", "TrustError", &error, "TrustError"),
    ] {
        let of_client = cases(&source(&format!("client/src/{file}.rs")), name);
        assert!(of_client.len() >= 3, "{name}: {of_client:?}");
        for case in of_client {
            let untold = name == "Event" && UNTOLD.iter().any(|(event, _)| *event == case);
            let bound = text
                .match_indices(&format!("{written}::{case}"))
                .any(|(at, found)| !text[at + found.len()..].starts_with(|c: char| c.is_alphanumeric()));
            assert!(
                bound != untold,
                "{name}::{case}: in the bindings {bound}, left out {untold}"
            );
        }
    }
}

/// What UniFFI's macros write is unsafe; the crate allows it for that alone.
#[test]
fn nothing_in_the_bindings_is_unsafe_by_hand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/bindings/src");
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        for line in text.lines() {
            let code = line.split("//").next().unwrap().replace("unsafe_code", "");
            assert!(!code.contains("unsafe"), "{line}");
        }
    }
}

/// The wheel of the Python package, installed into a folder. Needs no compiler and no network.
async fn install(python: &str, folder: &Path) -> PathBuf {
    let (wheels, installed) = (folder.join("wheels"), folder.join("installed"));
    let package = tokio::task::spawn_blocking(|| generated().join("python"))
        .await
        .unwrap();
    let pip = async |arguments: &[&Path]| {
        let output = Command::new(python)
            .args(["-m", "pip", "--quiet", "--disable-pip-version-check"])
            .args(arguments)
            .output()
            .await
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let [wheel, no_isolation, no_deps, into] =
        ["wheel", "--no-build-isolation", "--no-deps", "--wheel-dir"].map(Path::new);
    pip(&[wheel, no_isolation, no_deps, into, &wheels, &package]).await;
    let made = fs::read_dir(&wheels).unwrap().next().unwrap().unwrap().path();
    let name = made.file_name().unwrap().to_str().unwrap();
    assert!(
        name.starts_with("waxwing-0.1.0-py3-none-") && !name.contains("-any"),
        "{name}"
    );
    let [install, no_index, target] = ["install", "--no-index", "--target"].map(Path::new);
    pip(&[install, no_index, target, &installed, &made]).await;
    installed
}

#[tokio::test]
async fn two_people_talk_through_the_python_package() {
    let Some(python) = python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let installed = install(&python, folder.path()).await;
    let service = Service::start().await;
    let endpoints = service.endpoints();
    let numbers = [service.new_number(), service.new_number(), service.new_number()];
    let mut story = Command::new(python)
        .arg("-B")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python/two_people.py"))
        .args([endpoints.websocket_url, endpoints.http_url])
        .arg(folder.path())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/bindings.md"))
        .args(numbers.iter().map(|number| number.as_str()))
        .env("PYTHONPATH", installed)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut answers = story.stdin.take().unwrap();
    let mut lines = BufReader::new(story.stdout.take().unwrap()).lines();
    let mut last = Value::Null;
    while let Some(line) = lines.next_line().await.unwrap() {
        last = serde_json::from_str(&line).unwrap();
        let answer = match (last["code_for"].as_str(), last["let_time_pass"].as_i64()) {
            (Some(number), _) => json!(service.code_for(&number.parse().unwrap()).as_str()),
            (_, Some(seconds)) => {
                service.let_time_pass(seconds);
                Value::Null
            }
            _ => continue,
        };
        answers.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }
    let output = story.wait_with_output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    println!("{last}");
    assert_eq!(last["messages among them"], 150, "{last}");
    assert!(last["cancelled waits"].as_u64().unwrap() > 0, "{last}");
    assert!(last["messages kept"].as_u64().unwrap() > 150, "{last}");
    assert!(last["errors"].as_u64().unwrap() >= 23, "{last}");
    // Python tells on standard error of whatever went wrong beside the story: a task that failed, a callback that threw.
    let unexpected: Vec<_> = errors
        .lines()
        .filter(|line| line.contains("never") || line.contains("Exception ignored"))
        .collect();
    assert!(unexpected.is_empty(), "{errors}");
}
