//! What is tried again of a corpus, the same for both packages of fuzz targets: `super::fuzzed` is the one that is built.

use std::{fs, path::PathBuf};

use super::fuzzed::{TARGETS, Target, seeds};

fn corpus(target: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "corpus", target].iter().collect()
}

fn replay((name, body): Target) {
    let mut valid = 0;
    let mut files: Vec<_> = fs::read_dir(corpus(name))
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    for path in files {
        let accepted = body(&fs::read(&path).unwrap());
        if path.file_name().unwrap().to_string_lossy().starts_with("valid") {
            assert!(accepted, "{} is refused", path.display());
            valid += 1;
        }
    }
    assert!(valid > 0, "no valid input for {name}");
}

#[test]
fn every_input_of_the_corpus_keeps_the_promises() {
    for target in TARGETS {
        replay(target);
    }
}

#[test]
fn every_target_takes_nothing_and_much() {
    for (_, body) in TARGETS {
        body(&[]);
        body(&[0xff; 20_000]);
    }
}

/// Writes the valid inputs, after a change of a format:
/// `cargo test -p waxwing-wire-fuzz -p waxwing-protocol-fuzz -- --ignored write_the_valid_inputs`.
#[test]
#[ignore = "writes into the source tree"]
fn write_the_valid_inputs() {
    for (target, name, bytes) in seeds() {
        fs::create_dir_all(corpus(target)).unwrap();
        fs::write(corpus(target).join(name), bytes).unwrap();
    }
}

#[test]
fn the_valid_inputs_are_those_of_the_present_format() {
    for (target, name, bytes) in seeds() {
        let file = fs::read(corpus(target).join(name)).unwrap();
        assert!(
            file == bytes,
            "{target}/{name} is of another format: write the valid inputs again"
        );
    }
}
