//! What fuzzers try on `waxwing-protocol`: each function takes any bytes and asserts what must hold for them. It
//! says whether the bytes were accepted, so that tests know whether their valid inputs still are.
//!
//! `.ci/fuzz` builds each into a libFuzzer target; the test `replay` runs all over the inputs in `corpus`, without
//! a fuzzer. Randomness is fixed, so an input always does the same.

mod fixture;
mod parsers;
mod seeds;
mod session;

pub use parsers::{bundle, content, device_list, keys, link_code, management, message, safety_code, state};
pub use seeds::seeds;
pub use session::session;

/// A target: its name, which is also the name of its corpus, and its body.
pub type Target = (&'static str, fn(&[u8]) -> bool);

/// All targets.
pub const TARGETS: [Target; 10] = [
    ("bundle", bundle),
    ("content", content),
    ("device_list", device_list),
    ("keys", keys),
    ("link_code", link_code),
    ("management", management),
    ("message", message),
    ("safety_code", safety_code),
    ("session", session),
    ("state", state),
];
