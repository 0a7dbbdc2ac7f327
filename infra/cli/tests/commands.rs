//! The command as a person or a program runs it: whole processes, real sockets.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

mod shell;

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use shell::{Shell, waxwing};

/// Runs a command to its end and gives its exit code, the one JSON object it printed, and its standard error.
fn json_of(arguments: &[&str]) -> (i32, Value, String) {
    let output = waxwing(arguments).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}\n{errors}"));
    (output.status.code().unwrap(), json, errors)
}

fn assert_kept(report: &Value) {
    for figure in [
        "lost",
        "duplicated",
        "reordered",
        "altered",
        "unexpected",
        "mailbox_left",
    ] {
        assert_eq!(report[figure], 0, "{figure}: {report:#}");
    }
    assert_eq!(report["sent"], report["accepted"]);
    assert_eq!(report["expected"], report["delivered"]);
    assert_eq!(report["passed"], true, "{report:#}");
}

#[test]
fn the_demo_keeps_every_promise_and_says_so_in_one_json_object() {
    let (code, report, errors) = json_of(&["demo", "--json"]);
    assert_eq!(code, 0, "{errors}");
    assert_kept(&report);
    assert_eq!(report["sent"], 60);
    assert_eq!(report["delivered"], 120);
    assert_eq!(report["plaintext_found"], 0);
    assert!(report["latency_ms"]["p50"].as_f64().unwrap() > 0.0);
    assert!(report["latency_ms"]["p99"].as_f64() >= report["latency_ms"]["p50"].as_f64());
    assert_eq!(report["story"]["waited_for_bob"], 10);
    // And whom Alice knows, which follows to her second device.
    assert!((120..=121).contains(&report["story"]["acked"].as_u64().unwrap()));
    assert_eq!(report["by_device"].as_array().unwrap().len(), 3);
    let search = &report["search"];
    for place in ["tables", "frames"] {
        assert!(search[place]["looked_at"].as_u64().unwrap() > 0, "{search:#}");
    }
    assert!(search["control"]["items"].as_u64().unwrap() > 0);
    assert!(search["control"]["frames"].as_u64().unwrap() > 0);
    // Sixty lines share frames, and a frame of sends is one invocation.
    assert!(report["operations"]["totals"]["invocations"].as_u64().unwrap() >= 20);
    assert!(
        report["operations"]["dollars_per_million_messages"]["total"]
            .as_f64()
            .unwrap()
            > 0.0
    );
}

#[test]
fn the_demo_sends_a_text_of_ones_own_with_empty_short_and_repeated_lines() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("text.txt");
    fs::write(&file, "Once more, with feeling.\n\nJa.\nJa.\n絹の尾が来た。\n   \nregistration\nOnce more, with feeling.\nTschüß!\n").unwrap();
    let (code, report, errors) = json_of(&["demo", "--json", "--text", file.to_str().unwrap()]);
    assert_eq!(code, 0, "{errors}");
    assert_kept(&report);
    assert_eq!((&report["sent"], &report["empty_lines"]), (&7.into(), &2.into()));
    assert_eq!(
        (&report["search"]["lines"], &report["search"]["lines_left_out"]),
        (&3.into(), &4.into())
    );
}

#[test]
fn a_text_that_is_not_there_is_named_and_ends_with_code_1() {
    let output = waxwing(&["demo", "--json", "--text", "no/such/file"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("no/such/file cannot be read"), "{errors}");
}

#[test]
fn every_function_of_the_template_is_started_and_measured() {
    let (code, report, errors) = json_of(&["functions", "--rounds", "1", "--json"]);
    assert_eq!(code, 0, "{errors}");
    let measured = report["functions"].as_object().unwrap();
    let handlers: BTreeSet<_> = waxwing_local::runner::TEMPLATE
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Handler: "))
        .collect();
    assert_eq!(
        measured.keys().map(String::as_str).collect::<BTreeSet<_>>(),
        handlers
    );
    for (function, figures) in measured {
        for figure in ["invocations", "starts", "start_ms"] {
            assert!(figures[figure].as_f64().unwrap() > 0.0, "{function}: {figures:#}");
        }
    }
}

#[test]
fn arguments_that_make_no_sense_end_with_code_2_and_help_states_the_codes() {
    assert_eq!(
        waxwing(&["load", "--devices", "3", "--seconds", "1"])
            .output()
            .unwrap()
            .status
            .code(),
        Some(2)
    );
    let help = String::from_utf8(waxwing(&["--help"]).output().unwrap().stdout).unwrap();
    assert!(help.contains("Exit codes:"), "{help}");
}

#[test]
fn a_load_loses_nothing_and_reports_its_figures() {
    let (code, report, errors) = json_of(&[
        "load",
        "--devices",
        "4",
        "--seconds",
        "2",
        "--rate",
        "20",
        "--json",
    ]);
    assert_eq!(code, 0, "{errors}");
    assert_kept(&report);
    assert_eq!(report["devices"], 4);
    assert!(report["sent"].as_u64().unwrap() > 4);
    for figure in ["accepted", "delivered", "acked"] {
        assert!(report["per_second"][figure].as_f64().unwrap() > 0.0, "{report:#}");
    }
    let cpu = |whose: &str| report["cpu_seconds_per_1000_messages"][whose].as_f64().unwrap();
    // The service is a part of all, and does its database calls and more; so do the SDK and a socket.
    assert!(
        cpu("all") > cpu("service") && cpu("service") > cpu("bare"),
        "{report}"
    );
    assert!(
        cpu("through_sdk") > cpu("bare") && cpu("through_http") > cpu("bare"),
        "{report}"
    );
    assert!(
        report["operations_per_1000_messages"]["invocations"]
            .as_f64()
            .unwrap()
            >= 1000.0
    );
}

#[test]
fn two_people_talk_in_two_shells_also_while_one_is_away() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Shell::run(&["local", "--memory", "--port", "0", "--json"]);
    let ready: Value = serde_json::from_str(&service.next_line()).unwrap();
    let chat = |name: &str, more: &[&str]| chat(directory.path(), &ready, name, more);

    let mut bob = chat("bob", &[]);
    bob.until("Connected.");
    let mut alice = chat("alice", &["--to", "bob"]);
    alice.until("You write to bob.");
    alice.until("Connected.");
    alice.types("Hello Bob, \u{1b}[2Jare you there?");
    bob.until("alice: Hello Bob, \\u{1b}[2Jare you there?");
    bob.types("/to alice");
    bob.types("I am.");
    alice.until("bob: I am.");

    bob.types("/quit");
    assert_eq!(bob.ends(), Some(0));
    alice.types("Are you still there?");
    alice.types("/who");
    alice.until("(you write to them)");
    alice.types("/quit");
    assert_eq!(alice.ends(), Some(0));

    let mut bob = chat("bob", &["--to", "alice"]);
    bob.until("alice: Are you still there?");
    bob.types("I was away. This waits for you now.");
    bob.closes_its_input();
    assert_eq!(bob.ends(), Some(0));
    let mut alice = chat("alice", &[]);
    alice.until("bob: I was away. This waits for you now.");
    alice.closes_its_input();
    assert_eq!(alice.ends(), Some(0));

    service.interrupt();
    assert_eq!(service.ends(), Some(0));
}

/// A chat of this name with the service that said it was ready, its store in this folder.
fn chat(data: &Path, ready: &Value, name: &str, more: &[&str]) -> Shell {
    let mut arguments = vec!["chat", "--as", name, "--data", data.to_str().unwrap()];
    arguments.extend(["--endpoint", ready["websocket_url"].as_str().unwrap()]);
    arguments.extend(["--http-endpoint", ready["http_url"].as_str().unwrap()]);
    arguments.extend(more);
    Shell::run(&arguments)
}

#[test]
fn a_device_is_linked_line_by_line_and_woken_as_a_phone_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut service = Shell::run(&["local", "--memory", "--port", "0", "--json"]);
    let ready: Value = serde_json::from_str(&service.next_line()).unwrap();
    let chat = |name: &str, more: &[&str]| chat(directory.path(), &ready, name, more);
    let mut alice = chat("alice", &[]);
    alice.until("Connected.");
    let mut bob = chat("bob", &["--to", "alice"]);
    bob.until("Connected.");
    alice.types("/link accept");
    alice.until("No device asks.");
    alice.types("/link");
    alice.until("Type this there");
    let code = alice.next_line();
    let mut laptop = chat("laptop", &["--link", "--push"]);
    laptop.until("then type the code it shows:");
    laptop.types(code.strip_prefix("-- ").unwrap());
    alice.until("\"laptop\" asks to be your device, and shows:");
    alice.types("/link accept");
    alice.until("It is your device now.");
    laptop.until("Connected.");
    bob.types("To both.");
    laptop.until(": To both.");
    // Behind the screen it is not connected any more, until an alert comes.
    laptop.types("/away");
    laptop.until("Away, and not connected until /back.");
    bob.types("Wake up.");
    laptop.until("An alert came, as a phone would get it: without content.");
    laptop.until(": Wake up.");
    for mut device in [alice, bob, laptop] {
        device.types("/quit");
        assert_eq!(device.ends(), Some(0));
    }
    service.interrupt();
    assert_eq!(service.ends(), Some(0));
}

#[test]
fn people_and_messages_survive_a_restart_of_the_service_that_keeps_its_tables() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("service");
    let people = directory.path().join("people");
    let start = || Shell::run(&["local", "--data", data.to_str().unwrap(), "--port", "0", "--json"]);
    let chat = |ready: &Value, name: &str, more: &[&str]| {
        let mut arguments = vec!["chat", "--as", name, "--data", people.to_str().unwrap()];
        arguments.extend(["--endpoint", ready["websocket_url"].as_str().unwrap()]);
        arguments.extend(["--http-endpoint", ready["http_url"].as_str().unwrap()]);
        arguments.extend(more);
        Shell::run(&arguments)
    };

    let mut service = start();
    let ready: Value = serde_json::from_str(&service.next_line()).unwrap();
    let mut bob = chat(&ready, "bob", &[]);
    bob.until("Connected.");
    bob.types("/quit");
    assert_eq!(bob.ends(), Some(0));
    let mut alice = chat(&ready, "alice", &["--to", "bob"]);
    alice.until("Connected.");
    alice.types("This outlives the service.");
    alice.types("/quit");
    assert_eq!(alice.ends(), Some(0));
    service.interrupt();
    assert_eq!(service.ends(), Some(0));

    let mut service = start();
    let ready: Value = serde_json::from_str(&service.next_line()).unwrap();
    let mut bob = chat(&ready, "bob", &[]);
    bob.until("alice: This outlives the service.");
    bob.types("/quit");
    assert_eq!(bob.ends(), Some(0));
    service.interrupt();
    assert_eq!(service.ends(), Some(0));
}

/// I1, I2, I3, I9, I11: with the real binaries, small; `cargo waxwing load --chaos --seconds 120` is the same for longer.
#[test]
fn while_everything_breaks_nothing_is_lost_and_nothing_is_doubled() {
    let (code, report, errors) = json_of(&[
        "load",
        "--chaos",
        "--devices",
        "6",
        "--seconds",
        "10",
        "--rate",
        "12",
        "--seed",
        "1",
        "--json",
    ]);
    assert_eq!(code, 0, "{report:#}\n{errors}");
    assert_kept(&report);
    for done in [
        "kills",
        "restarts",
        "cuts",
        "faults",
        "reopened",
        "accepted",
        "delivered",
    ] {
        assert!(report[done].as_u64().unwrap() > 0, "{done}: {report:#}");
    }
    assert!(report["redelivered"].is_u64() && report["late"].is_u64());
}

/// The account is worth something: what a service forgets that said *accepted*, it finds missing.
#[test]
fn a_service_that_forgets_what_it_accepted_is_found_out() {
    let (code, report, errors) = json_of(&[
        "load",
        "--chaos",
        "--forget",
        "--devices",
        "4",
        "--seconds",
        "4",
        "--rest",
        "4",
        "--seed",
        "1",
        "--json",
    ]);
    assert_eq!(code, 1, "{report:#}\n{errors}");
    assert_eq!(report["passed"], false);
    assert!(report["lost"].as_u64().unwrap() > 0, "{report:#}");
    assert!(report["faults_by_kind"]["forgotten"].as_u64().unwrap() > 0);
}

/// I1, I3: small quotas, and more than they let through, give back-pressure and no collapse.
#[test]
fn i1_i3_overload_refuses_and_delays_and_loses_nothing() {
    let (code, report, errors) = json_of(&[
        "load",
        "--overload",
        "8",
        "--devices",
        "8",
        "--seconds",
        "2",
        "--json",
    ]);
    assert_eq!(code, 0, "{report:#}\n{errors}");
    assert_kept(&report);
    let overload = &report["overload"][0];
    let figure = |name: &str| overload[name].as_f64().unwrap();
    for is_met in ["refused_by_gateway", "backlog", "recovery_seconds"] {
        assert!(figure(is_met) > 0.0, "{is_met}: {report:#}");
    }
    assert!(
        figure("goodput") > 0.5,
        "more is offered, as much is done: {report:#}"
    );
    // As many as were offered, each with its latency, and the slowest of them.
    let latency = &overload["accepted_after_ms"];
    assert_eq!(latency["measured"], overload["offered"], "{report:#}");
    assert!(latency["max"].as_f64().unwrap() < 60_000.0, "{report:#}");
}
