//! What fuzzers try on `waxwing-wire`: each function takes any bytes and asserts what must hold for them. It says whether
//! the bytes were accepted, so that tests know whether their valid inputs still are.
//!
//! `.ci/fuzz` builds each into a libFuzzer target; the test `replay` runs all over the inputs in `corpus`, without a
//! fuzzer.

mod bodies;
mod frames;
mod seeds;
mod texts;

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};

pub use bodies::body;
pub use frames::{client_frame, service_frame};
pub use seeds::{Seed, seeds};
pub use texts::text;

/// A target: its name, which is also the name of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All targets.
pub const TARGETS: [Target; 4] = [
    ("body", body),
    ("client_frame", client_frame),
    ("service_frame", service_frame),
    ("text", text),
];

/// What was read is written so that it is read as the same, and written as the same again.
fn keeps_its_form<T: Debug + PartialEq + Serialize + DeserializeOwned>(value: &T) {
    let text = serde_json::to_string(value).expect("what was read is written");
    let again: T = serde_json::from_str(&text).expect("what was written is read");
    assert_eq!(&again, value);
    assert_eq!(serde_json::to_string(&again).expect("again"), text);
}

/// No excerpt of a secret text: none of its runs of base64url of at least this many characters is in what is shown.
const EXCERPT_CHARS: usize = 24;

/// What is shown to a person or a log repeats nothing of what came in.
fn repeats_nothing(shown: &str, came: &str) {
    let excerpt = came.as_bytes().windows(EXCERPT_CHARS);
    let shown = shown.as_bytes();
    for excerpt in excerpt.filter(|excerpt| excerpt.iter().all(u8::is_ascii_alphanumeric)) {
        let is_in = shown.windows(EXCERPT_CHARS).any(|part| part == excerpt);
        assert!(
            !is_in,
            "what came in is repeated: {}",
            String::from_utf8_lossy(excerpt)
        );
    }
}
