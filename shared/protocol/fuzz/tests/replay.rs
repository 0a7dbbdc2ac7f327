//! Tries every input of the corpus again: what fuzzers found once, and valid inputs to begin from.

use waxwing_protocol_fuzz as fuzzed;

#[path = "../../../wire/fuzz/tests/replay/corpus.rs"]
mod corpus;
