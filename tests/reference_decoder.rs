//! A second implementation of the protocol, in Python and written from the documents alone, agrees with the vectors in
//! `docs/vectors`, which the crate has to agree with as well. So the documents say all there is to say.

use std::path::Path;

use serde_json::Value;

use crate::other_language::python;

/// Runs a script of `tests/python` with a file of `docs/vectors`; gives what it counted, or nothing without a Python.
fn check(script: &str, vectors: &str) -> Option<Value> {
    let python = python()?;
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = std::process::Command::new(python)
        // Leave no compiled files in the source tree.
        .arg("-B")
        .arg(tests.join("python").join(script))
        .arg(tests.join("../docs/vectors").join(vectors))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn count(counts: &Value, kind: &str) -> u64 {
    counts[kind].as_u64().unwrap()
}

#[test]
fn x31_x53_another_implementation_agrees_on_device_lists_safety_numbers_links_and_pins() {
    let Some(counts) = check("check_accounts.py", "accounts.json") else {
        return;
    };
    assert!(
        count(&counts, "valid") >= 5 && count(&counts, "invalid") >= 30,
        "{counts}"
    );
    assert!(
        count(&counts, "advance") >= 9 && count(&counts, "bob_scans") >= 8,
        "{counts}"
    );
    assert!(
        count(&counts, "linking") >= 1 && count(&counts, "registration_lock") >= 2,
        "{counts}"
    );
}

#[test]
fn another_implementation_opens_the_handshakes_and_conversations() {
    let Some(counts) = check("check_protocol.py", "protocol.json") else {
        return;
    };
    assert!(
        count(&counts, "handshakes") >= 3 && count(&counts, "messages") >= 19,
        "{counts}"
    );
    assert!(count(&counts, "post_quantum_steps") >= 2, "{counts}");
    assert!(count(&counts, "ephemeral") >= 6, "{counts}");
    assert!(
        count(&counts, "kinds_of_bodies") >= 9 && count(&counts, "bodies") >= 14,
        "{counts}"
    );
    assert!(
        count(&counts, "points") >= 13 && count(&counts, "signatures") >= 7,
        "{counts}"
    );
}
