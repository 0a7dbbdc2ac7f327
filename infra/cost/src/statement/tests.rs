//! Three workloads, computed by hand, on use cases with round numbers (`testing.rs`).

use super::*;
use crate::testing::measured;

/// Dollars to a hundredth of a cent.
fn assert_dollars(actual: f64, expected: f64, what: &str) {
    assert!(
        (actual - expected).abs() < 1e-4,
        "{what}: {actual}, by hand {expected}"
    );
}

fn bill(workload: &Workload) -> Statement {
    let book = PriceBook::of_region(&workload.region).unwrap();
    statement(&book, &measured(), workload, false)
}

/// Nobody new, nothing planned, no durations: what remains is counted in whole units.
fn plain(text: &str) -> Workload {
    let quiet = "new_people_share = 0\nnew_conversations_a_month = 0\nwaiting_hours = 0\n\
                 [durations]\noverhead_ms = 0\ntable_call_ms = 0\npost_ms = 0\ncpu_ms = 0\ncold_share = 0\n";
    let (fields, tables) = text
        .split_once("[")
        .map_or((text, String::new()), |(fields, rest)| {
            (fields, format!("[{rest}"))
        });
    Workload::parse(&format!("{fields}\n{quiet}{tables}")).unwrap()
}

/// Passes over the devices' records in 30 days, and read units of each, half the price.
fn sweeps(devices: f64) -> (f64, f64) {
    let passes = 30.0 * 24.0 * 12.0;
    (passes, passes * (devices * 240.0 / 4096.0).ceil() / 2.0)
}

/// 1,000 people with a phone each send 100 messages a day to connected phones: 1,000 × 100 × 30 = 3 M messages.
/// One session a day of 60 minutes: 30,000 sessions, 1.8 M minutes; 100 envelopes a session, so 20 share an ack:
/// 150,000 ack frames.
#[test]
fn everybody_online_costs_what_was_computed_by_hand() {
    let workload = plain(
        "people = 1000\nciphertext_bytes = 400\nmessages_a_day = 100\nonline_share = 1\nforeground_minutes = 60\nsessions_a_day = 1\n",
    );
    let bill = bill(&workload);
    // send: 3 M invocations; connections: authorize, connect, receive, fetch, disconnect; acks.
    let (passes, pass_reads) = sweeps(1000.0);
    let invocations = 3_000_000.0 + 5.0 * 30_000.0 + 150_000.0 + passes;
    assert_dollars(bill.by_service["Lambda"], invocations * 0.20 / 1e6, "Lambda");
    // put and delete; connect and disconnect write one each.
    let writes = 2.0 * 3_000_000.0 + 2.0 * 30_000.0;
    // two accounts a send; authorize, receive, disconnect read one each, fetch three.
    let reads = 2.0 * 3_000_000.0 + 6.0 * 30_000.0 + pass_reads;
    // 1,000 devices × 20,000 bytes, stored and backed up.
    let gb = 1000.0 * 20_000.0 / 1_073_741_824.0;
    let tables = writes * 0.625 / 1e6 + reads * 0.125 / 1e6 + gb * (0.25 + 0.20);
    assert_dollars(bill.by_service["DynamoDB"], tables, "DynamoDB");
    // send, accepted, delivery; ack, acked; receive, page.
    let frames = 3.0 * 3_000_000.0 + 2.0 * 150_000.0 + 2.0 * 30_000.0;
    // A fetch a session over HTTP.
    let gateway = frames * 1.00 / 1e6 + 1_800_000.0 * 0.25 / 1e6 + 30_000.0 * 1.00 / 1e6;
    assert_dollars(bill.by_service["API Gateway"], gateway, "API Gateway");
    // 100 + 1,000 bytes a message, 40 an ack, 60 an empty page.
    let bytes = 3_000_000.0 * 1100.0 + 150_000.0 * 40.0 + 30_000.0 * 60.0;
    let transfer = bytes / 1_073_741_824.0 * 0.09;
    assert_dollars(bill.by_service["Data transfer"], transfer, "transfer");
    let total = invocations * 0.20 / 1e6 + tables + gateway + transfer;
    assert_dollars(bill.total, total, "total");
    assert_dollars(bill.per_million_messages, total / 3.0, "a million");
    assert!((bill.acks_per_frame - 20.0).abs() < 1e-9);
    assert_dollars(
        bill.planned,
        passes * 0.20 / 1e6 + pass_reads * 0.125 / 1e6,
        "planned",
    );
}

/// 10 people with two devices each, all away, 10 messages a day: 3,000 messages with 3 envelopes each (the other's two
/// devices, the own second): 9,000. Two sessions a day of each of 20 devices: 1,200 sessions, 7.5 envelopes in each:
/// 1,200 acks and pushes. 1,900 bytes of ciphertext are 2 write units. Functions have 128 MB on x86_64 and take
/// 10 ms each.
#[test]
fn everybody_away_costs_what_was_computed_by_hand() {
    let functions = measured().memory_mb.into_keys();
    let durations: String = functions.map(|name| format!("{name} = 10\n")).collect();
    let workload = plain(&format!(
        "people = 10\ndevices_each = 2\nmessages_a_day = 10\nonline_share = 0\nforeground_minutes = 10\n\
         sessions_a_day = 2\nciphertext_bytes = 1900\n[durations.functions]\n{durations}\
         [tuning]\nmemory_mb = 128\narchitecture = \"x86_64\"\n"
    ));
    let bill = bill(&workload);
    let (messages, envelopes, sessions) = (3_000.0, 9_000.0, 1_200.0);
    let (passes, pass_reads) = sweeps(20.0);
    let invocations = messages + 5.0 * sessions + sessions + passes;
    let lambda = invocations * 0.20 / 1e6 + invocations * 0.010 * 0.125 * 0.0000166667;
    assert_dollars(bill.by_service["Lambda"], lambda, "Lambda");
    // put and delete, two units each; connect, disconnect, an alert that is owed and that is given.
    let writes = envelopes * 4.0 + 4.0 * sessions;
    // two accounts a send; authorize, receive, disconnect, fetch; a received envelope is 1,973 bytes of 4,096.
    let reads = 2.0 * messages + 6.0 * sessions + envelopes * 1973.0 / 4096.0 + pass_reads;
    let gb = 20.0 * 20_000.0 / 1_073_741_824.0;
    let tables = writes * 0.625 / 1e6 + reads * 0.125 / 1e6 + gb * 0.45;
    assert_dollars(bill.by_service["DynamoDB"], tables, "DynamoDB");
    let minutes = 20.0 * 10.0 * 30.0;
    let frames = 2.0 * messages + 2.0 * sessions + 2.0 * sessions;
    let gateway = frames / 1e6 + minutes * 0.25 / 1e6 + sessions / 1e6;
    assert_dollars(bill.by_service["API Gateway"], gateway, "API Gateway");
    let pushes = sessions * 0.50 / 1e6;
    assert_dollars(bill.by_service["SNS"], pushes, "SNS");
    let sweeping = passes * (0.20 / 1e6 + 0.010 * 0.125 * 0.0000166667) + pass_reads * 0.125 / 1e6;
    assert_dollars(bill.planned, sweeping, "planned");
    // A page's share for an envelope: 1,000 bytes measured, and (1,900 - 400) × 4/3 more.
    let bytes = messages * 100.0 + sessions * 40.0 + sessions * 60.0 + envelopes * 3000.0;
    let transfer = bytes / 1_073_741_824.0 * 0.09;
    assert_dollars(bill.total, lambda + tables + gateway + pushes + transfer, "total");
}

/// A million people, windowed with ten messages a frame, on provisioned tables, connected all day, with a heartbeat a
/// minute and a photo each a day: 50 × 30 M = 1,500 M messages. WebSocket messages and GB of transfer reach their
/// second tiers.
#[test]
fn a_large_windowed_workload_costs_what_was_computed_by_hand() {
    let workload = plain(
        "people = 1_000_000\nciphertext_bytes = 400\nmessages_a_day = 50\nonline_share = 1\nsessions_a_day = 1\n\
         [media]\nitems_a_day = 1\nbytes = 100_000\n\
         [tuning]\nwindowed = true\ntables = \"provisioned\"\nprovisioned_use = 0.5\nbackground_connections = true\n\
         heartbeat_seconds = 60\nacks_per_frame = 50\nmessages_per_frame = 10\n",
    );
    let bill = bill(&workload);
    let messages = 1_500_000_000.0;
    // A connection lives two hours: 12 a day for each of a million devices; 50 / 12 envelopes in each, so that few
    // wait for company.
    let sessions = 12.0 * 30.0 * 1e6;
    let acks = sessions;
    let minutes = 1440.0 * 30.0 * 1e6;
    let items = 30.0 * 1e6;
    let frames = messages / 10.0;
    let (passes, pass_reads) = sweeps(1e6);
    let invocations = frames + 5.0 * sessions + acks + minutes + items + passes;
    assert_dollars(bill.by_service["Lambda"], invocations * 0.20 / 1e6, "Lambda");
    // Half of each capacity unit's 3,600 requests an hour are used.
    let writes = (2.0 * messages + 2.0 * sessions) / 1800.0 * 0.00065;
    let reads = (2.0 * frames + 6.0 * sessions + minutes + pass_reads) / 1800.0 * 0.00013;
    let tables = writes + reads + 1e6 * 20_000.0 / 1_073_741_824.0 * 0.45;
    assert_dollars(bill.by_service["DynamoDB"], tables, "DynamoDB");
    let websocket = 2.0 * frames + messages + 2.0 * acks + 2.0 * sessions + 2.0 * minutes;
    let requests = items + sessions;
    let http = 300.0 + (requests / 1e6 - 300.0) * 0.90;
    let gateway = 1000.0 + (websocket / 1e6 - 1000.0) * 0.80 + minutes * 0.25 / 1e6 + http;
    assert_dollars(bill.by_service["API Gateway"], gateway, "API Gateway");
    let gb = items * 100_000.0 / 1_073_741_824.0;
    let s3 = items * (0.005 + 0.0004) / 1000.0 + gb * 0.023;
    assert_dollars(bill.by_service["S3"], s3, "S3");
    let out = frames * 100.0 + messages * 1000.0 + acks * 40.0 + (sessions + minutes) * 60.0;
    let out = out / 1_073_741_824.0 + gb;
    let transfer = out.min(10_240.0) * 0.09 + (out - 10_240.0).max(0.0) * 0.085;
    assert_dollars(bill.by_service["Data transfer"], transfer, "transfer");
}

#[test]
fn each_way_of_adding_up_gives_the_same_total() {
    let bill = bill(&Workload::default());
    for sums in [&bill.by_service, &bill.by_function, &bill.by_use_case] {
        assert_dollars(sums.values().sum(), bill.total, "sum");
    }
    assert!(bill.by_function.contains_key("send") && bill.by_function.contains_key("(API Gateway)"));
}

#[test]
fn what_is_free_for_ever_comes_off_only_when_asked_for() {
    let small = Workload {
        people: 10.0,
        ..Workload::default()
    };
    let book = PriceBook::built_in().unwrap();
    let free = statement(&book, &measured(), &small, true);
    let list = statement(&book, &measured(), &small, false);
    assert_eq!(free.by_service["Lambda"], 0.0);
    assert!(list.by_service["Lambda"] > 0.0);
    assert_eq!(free.by_service["API Gateway"], list.by_service["API Gateway"]);
}

#[test]
fn nobody_costs_nothing() {
    let nobody = Workload {
        people: 0.0,
        ..Workload::default()
    };
    let bill = bill(&nobody);
    assert_eq!((bill.total, bill.per_million_messages), (0.0, 0.0));
}

#[test]
fn a_second_device_costs_further_envelopes_and_a_group_its_members() {
    let one = bill(&Workload::default()).total;
    for setting in ["devices_each=2", "groups.share=0.5"] {
        let more = Workload::default().with(setting).unwrap();
        assert!(bill(&more).total > one, "{setting}");
    }
}
