//! Tries every input of the corpus again: what fuzzers found once, and valid inputs to begin from.

use waxwing_wire_fuzz as fuzzed;

#[path = "replay/corpus.rs"]
mod corpus;
