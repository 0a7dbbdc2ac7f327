//! A client of another language, which shares no line of code with ours, speaks to the gateway.

use std::path::Path;

use scenarios::{RawDevice, Service};
use serde_json::Value;

/// `WAXWING_PYTHON` names a Python that has the packages of `python/requirements.txt`; `.ci/run` makes one.
/// Without it there is nothing to run here: the workspace's tests need nothing but Rust.
#[tokio::test]
async fn a_python_client_connects_and_reads_the_error_of_a_hand_made_frame() {
    let Some(python) = python() else {
        return;
    };
    let service = Service::start().await;
    let device = RawDevice::register(&service, 0).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/hand_made_frame.py");
    let output = tokio::process::Command::new(python)
        .arg(script)
        .args([&service.endpoints().websocket_url, &device.token()])
        .args([
            r#"{"action":"fly","request":7}"#,
            "not json",
            r#"{"action":"receive","request":8}"#,
        ])
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["type"], &lines[0]["code"]),
        (&"error".into(), &"unknown_action".into())
    );
    assert_eq!(lines[0]["request"], 7);
    assert_eq!(lines[1]["code"], "malformed");
    assert_eq!(
        (&lines[2]["type"], &lines[2]["request"]),
        (&"page".into(), &8.into())
    );
    assert_eq!(lines[3]["close_code"], 1003);
}

/// The Python that `WAXWING_PYTHON` names. Says so if there is none.
pub(crate) fn python() -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "a test reads where its tools are")]
    let python = std::env::var("WAXWING_PYTHON").ok();
    if python.is_none() {
        println!(
            "skipped: set WAXWING_PYTHON to a Python with the packages of tests/python/requirements.txt"
        );
    }
    python
}
