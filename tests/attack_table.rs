//! `docs/attacks.md` tells the truth: there is a row for each attack on handshake and ratchet, and each test that a row
//! names exists.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The attacks on handshake and primitives, ratchet and sessions.
const ROWS: std::ops::RangeInclusive<u32> = 1..=29;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Row, and the tests it names.
fn rows() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("docs/attacks.md")).unwrap();
    text.lines()
        .filter(|line| line.starts_with("| X"))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            let tests = cells[4].split('`').skip(1).step_by(2).map(str::to_owned);
            (cells[1].to_owned(), tests.collect())
        })
        .collect()
}

/// All Rust sources of the workspace, in one text.
fn sources(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_attack_on_the_protocol_has_a_row() {
    let rows = rows();
    for number in ROWS {
        let row = format!("X{number}");
        assert_eq!(rows.iter().filter(|(name, _)| *name == row).count(), 1, "{row}");
    }
}

#[test]
fn every_test_a_row_names_exists() {
    let mut text = String::new();
    for folder in ["functions", "infra", "shared", "tests"] {
        sources(&root().join(folder), &mut text);
    }
    for (row, tests) in rows() {
        assert!(!tests.is_empty(), "{row} names no test");
        for test in tests {
            let exists = ["(", "<"].map(|next| text.contains(&format!("fn {test}{next}")));
            assert!(exists.contains(&true), "{row}: no test {test}");
        }
    }
}
