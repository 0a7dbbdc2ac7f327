//! `cargo waxwing cost --json` against spreadsheets: three workloads, worked out below as plain arithmetic.
//!
//! Use cases come from `cost/use_cases.toml`, round numbers, so that a change of the service does not change the
//! arithmetic. Prices are those of us-east-1, written out again here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

use serde_json::Value;

const USE_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cost/use_cases.toml");

/// Dollars for one, us-east-1.
const INVOCATION: f64 = 0.20 / 1e6;
const GB_SECOND: f64 = 0.0000133334;
const WRITE: f64 = 0.625 / 1e6;
const READ: f64 = 0.125 / 1e6;
const FRAME: f64 = 1.00 / 1e6;
const MINUTE: f64 = 0.25 / 1e6;
const HTTP: f64 = 1.00 / 1e6;
const PUSH: f64 = 0.50 / 1e6;
const SMS: f64 = 0.00581;
const STORED_GB: f64 = 0.25 + 0.20;
const GB_OUT: f64 = 0.09;
const GB: f64 = 1_073_741_824.0;

/// Passes over the devices' records in 30 days, one every five minutes, and the read units of them all: 240 bytes a
/// record, at half the price.
fn sweeps(devices: f64) -> (f64, f64) {
    let passes = 30.0 * 24.0 * 12.0;
    (passes, passes * (devices * 240.0 / 4096.0).ceil() / 2.0)
}

fn waxwing(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_waxwing"));
    command.args(arguments);
    command
}

fn cost(workload: &str) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("workload.toml");
    fs::write(&file, workload).unwrap();
    let output = waxwing(&[
        "cost",
        "--json",
        "--use-cases",
        USE_CASES,
        "--workload",
        file.to_str().unwrap(),
    ])
    .output()
    .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_dollars(report: &Value, path: &str, expected: f64) {
    let actual = report.pointer(path).and_then(Value::as_f64).unwrap();
    let close = (actual - expected).abs() <= 1e-6 * expected.abs().max(1.0);
    assert!(close, "{path}: {actual}, by hand {expected}");
}

/// 1,000 people, a phone each, all connected, 100 messages a day: 3 M messages a month in 30,000 sessions of an hour.
/// A function takes 10 ms at 256 MB, and never starts cold. Nobody is new.
#[test]
fn a_workload_online_costs_what_the_spreadsheet_says() {
    let functions = [
        "send",
        "ack",
        "receive",
        "connect",
        "authorize",
        "disconnect",
        "fetch",
        "wake",
    ];
    let ten: String = functions.iter().map(|name| format!("{name} = 10\n")).collect();
    let report = cost(&format!(
        "people = 1000\nciphertext_bytes = 400\nmessages_a_day = 100\nonline_share = 1\nforeground_minutes = 60\nsessions_a_day = 1\n\
         new_people_share = 0\nnew_conversations_a_month = 0\nwaiting_hours = 0\n\
         [durations]\ncold_share = 0\n[durations.functions]\n{ten}"
    ));
    let (messages, sessions) = (3e6, 30_000.0);
    // A session brings 100 envelopes; 20 share an ack.
    let acks = messages / 20.0;
    // A session: authorize, connect, receive, fetch, disconnect.
    let (passes, pass_reads) = sweeps(1000.0);
    let invocations = messages + acks + 5.0 * sessions + passes;
    let lambda = invocations * (INVOCATION + 0.010 * 0.25 * GB_SECOND);
    assert_dollars(&report, "/month/by_service/Lambda", lambda);
    // Put and delete; connect and disconnect.
    let writes = 2.0 * messages + 2.0 * sessions;
    // Two accounts a message; authorize 1, receive 1, disconnect 1, fetch 3.
    let reads = 2.0 * messages + 6.0 * sessions + pass_reads;
    let stored = 1000.0 * 20_000.0 / GB;
    let tables = writes * WRITE + reads * READ + stored * STORED_GB;
    assert_dollars(&report, "/month/by_service/DynamoDB", tables);
    // send, reply, delivery; ack, reply; receive, page.
    let frames = 3.0 * messages + 2.0 * acks + 2.0 * sessions;
    let gateway = frames * FRAME + sessions * 60.0 * MINUTE + sessions * HTTP;
    assert_dollars(&report, "/month/by_service/API Gateway", gateway);
    let bytes = messages * 1100.0 + acks * 40.0 + sessions * 60.0;
    let total = lambda + tables + gateway + bytes / GB * GB_OUT;
    assert_dollars(&report, "/month/total", total);
    assert_dollars(&report, "/month/per_million_messages", total / 3.0);
    // A million messages: three frames, the ack's two by 20; and so on.
    let ack = (2.0 * FRAME + INVOCATION + 0.010 * 0.25 * GB_SECOND) / 20.0 + WRITE;
    let immediate = 3.0 * FRAME + INVOCATION + 0.010 * 0.25 * GB_SECOND + 2.0 * READ + WRITE + ack;
    assert_dollars(&report, "/per_million/online_immediate", immediate * 1e6);
    assert_dollars(&report, "/per_million/floor", 2.825);
    // The round use cases put each message of a burst into a frame of its own: windowed is no cheaper.
    assert_dollars(&report, "/per_million/online_windowed", immediate * 1e6);
}

/// 200 people, two devices each, all away, 20 messages a day: 120,000 messages of three envelopes, found in 24,000
/// sessions (two a day of each of 400 devices), 15 in each, acked in one frame each. 10 people are new.
#[test]
fn a_workload_away_costs_what_the_spreadsheet_says() {
    let report = cost(
        "people = 200\nciphertext_bytes = 400\ndevices_each = 2\nmessages_a_day = 20\nonline_share = 0\nforeground_minutes = 5\n\
         sessions_a_day = 2\nnew_people_share = 0.05\nnew_conversations_a_month = 1\nwaiting_hours = 12\n\
         [durations]\noverhead_ms = 0\ntable_call_ms = 0\npost_ms = 0\ncpu_ms = 0\ncold_share = 0\n",
    );
    let (messages, envelopes, sessions) = (120_000.0, 360_000.0, 24_000.0);
    // A registration and a link for each newcomer; four claims (two by two devices) a conversation, an upload for 80.
    let (new, claims) = (10.0, 200.0 * 4.0);
    let uploads = claims / 80.0;
    let (passes, pass_reads) = sweeps(400.0);
    let invocations = messages + sessions + 5.0 * sessions + 2.0 * new + claims + uploads + passes;
    assert_dollars(&report, "/month/by_service/Lambda", invocations * INVOCATION);
    let writes = 2.0 * envelopes
        // connect, disconnect, an alert that is owed and that is given
        + 4.0 * sessions
        + 2.0 * new * 210.0
        + claims
        + uploads * 2.0;
    // A page's ten envelopes took one read unit more than none; 473 bytes are more than a tenth of 4,096.
    let received = envelopes * 473.0 / 4096.0;
    let asked = 2.0 * new * 2.0 + claims * 2.0 + uploads * 2.0;
    let reads = 2.0 * messages + 6.0 * sessions + received + asked + pass_reads;
    let waiting = envelopes * 473.0 * 12.0 / 720.0;
    let stored = (waiting + 400.0 * 20_000.0) / GB;
    let tables = writes * WRITE + reads * READ + stored * STORED_GB;
    assert_dollars(&report, "/month/by_service/DynamoDB", tables);
    // send, reply; ack, reply; receive, page; claim, reply.
    let frames = 2.0 * messages + 2.0 * sessions + 2.0 * sessions + 2.0 * claims;
    let requests = sessions + 2.0 * new + uploads;
    let minutes = 400.0 * 5.0 * 30.0;
    let gateway = frames * FRAME + minutes * MINUTE + requests * HTTP;
    assert_dollars(&report, "/month/by_service/API Gateway", gateway);
    let planned = passes * INVOCATION + pass_reads * READ + new * SMS;
    assert_dollars(&report, "/month/planned", planned);
    let bytes = messages * 100.0 + envelopes * 1000.0 + sessions * (40.0 + 60.0) + claims * 700.0;
    let total =
        invocations * INVOCATION + tables + gateway + sessions * PUSH + new * SMS + bytes / GB * GB_OUT;
    assert_dollars(&report, "/month/total", total);
}

/// 10,000 people on x86_64 with 128 MB, half their envelopes for connected devices, windowed with four messages to a
/// frame: 6 M messages. Two sessions a day of ten minutes: 600,000 sessions with five envelopes online and five away.
#[test]
fn a_mixed_windowed_workload_costs_what_the_spreadsheet_says() {
    let report = cost(
        "people = 10000\nciphertext_bytes = 400\nmessages_a_day = 20\nonline_share = 0.5\nforeground_minutes = 10\nsessions_a_day = 2\n\
         new_people_share = 0\nnew_conversations_a_month = 0\nwaiting_hours = 0\n\
         [tuning]\nwindowed = true\nmessages_per_frame = 4\nmemory_mb = 128\narchitecture = \"x86_64\"\n\
         [durations]\noverhead_ms = 8\ntable_call_ms = 0\npost_ms = 20\ncpu_ms = 0\ncold_share = 0.01\ncold_gb_seconds = 0.1\n",
    );
    let (messages, sessions) = (6e6, 600_000.0);
    let (frames_sent, online, away) = (messages / 4.0, 3e6, 3e6);
    // Five wait for company and leave with the session; five more are acked with their page.
    let acks = online / 5.0 + away / 5.0;
    let (passes, pass_reads) = sweeps(10_000.0);
    let invocations = frames_sent + acks + 5.0 * sessions + passes;
    // 8 ms an invocation, 20 ms a post, an eighth of a GB; one in a hundred starts cold at 0.1 GB-seconds.
    let seconds = invocations * 0.008 + online * 0.020;
    let gb_seconds = seconds * 0.125 + invocations * 0.01 * 0.1;
    let lambda = invocations * INVOCATION + gb_seconds * 0.0000166667;
    assert_dollars(&report, "/month/by_service/Lambda", lambda);
    let alerts = away / 5.0;
    let writes = 2.0 * messages + 2.0 * sessions + 2.0 * alerts;
    let reads = 2.0 * frames_sent + 6.0 * sessions + away * 473.0 / 4096.0 + pass_reads;
    let tables = writes * WRITE + reads * READ + 10_000.0 * 20_000.0 / GB * STORED_GB;
    assert_dollars(&report, "/month/by_service/DynamoDB", tables);
    let frames = 2.0 * frames_sent + online + 2.0 * acks + 2.0 * sessions;
    let gateway = frames * FRAME + 10_000.0 * 10.0 * 30.0 * MINUTE + sessions * HTTP;
    assert_dollars(&report, "/month/by_service/API Gateway", gateway);
    let bytes = frames_sent * 100.0 + online * 1000.0 + away * 1000.0 + acks * 40.0 + sessions * 60.0;
    let total = lambda + tables + gateway + alerts * PUSH + bytes / GB * GB_OUT;
    assert_dollars(&report, "/month/total", total);
}

#[test]
fn a_bad_workload_is_refused_by_file_line_and_field() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mine.toml");
    fs::write(&file, "people = 10\nmesages_a_day = 5\n").unwrap();
    let output = waxwing(&["cost", "--committed", "--workload", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    for part in ["mine.toml", "line 2", "mesages_a_day", "--print-workload"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_page_and_the_table_are_written_where_they_are_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let output = waxwing(&[
        "cost",
        "--use-cases",
        USE_CASES,
        "--html",
        &place("cost.html"),
        "--csv",
        &place("cost.csv"),
        "--compare",
        "tuning.memory_mb=128,512",
    ])
    .output()
    .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("floor") && said.contains("tuning.memory_mb=512"),
        "{said}"
    );
    assert!(
        fs::read_to_string(Path::new(&place("cost.html")))
            .unwrap()
            .contains("<svg")
    );
    assert!(
        fs::read_to_string(Path::new(&place("cost.csv")))
            .unwrap()
            .starts_with("use_case,")
    );
}
