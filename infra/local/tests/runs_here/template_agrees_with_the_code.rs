//! The template and the code say the same: every route, function, table, key, time to live and variable.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use waxwing_functions::{
    FUNCTIONS, Trigger,
    config::Environment,
    tables::{accounts, codes, devices, keys, limits, links, locks, mailbox, phones, prekeys, tickets},
};
use waxwing_local::{
    runner::TEMPLATE,
    template::{KeyType, Surroundings, TableSpec, Template},
};

/// What Lambda sets besides the template's variables.
const SET_BY_LAMBDA: [&str; 6] = [
    "_HANDLER",
    "AWS_ACCESS_KEY_ID",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
];

/// What the runner leaves out, and says so.
const LEFT_OUT: [&str; 6] = [
    // There are no alarms here that anybody could be told of.
    "Resources.AlarmsTopic",
    "Resources.AlarmsTopicPolicy",
    "Resources.DeadLetters",
    "Resources.DeadLettersPolicy",
    // No function uses the bucket yet.
    "Resources.MediaBucket.Properties.LifecycleConfiguration",
    "Resources.MediaBucketPolicy",
];

fn template() -> Template {
    Template::load(TEMPLATE, &BTreeMap::new(), &Surroundings::default()).unwrap()
}

#[test]
fn every_function_of_the_code_is_in_the_template_and_the_other_way_round() {
    let template = template();
    let in_template: BTreeSet<_> = template.functions.keys().map(String::as_str).collect();
    let in_code: BTreeSet<_> = FUNCTIONS.iter().map(|function| function.name).collect();
    assert_eq!(in_template, in_code);
    for (handler, function) in &template.functions {
        assert_eq!(
            function.logical_id.to_lowercase(),
            format!("{handler}function"),
            "one verb, one name"
        );
    }
}

#[test]
fn every_route_leads_to_the_function_that_was_written_for_it() {
    let template = template();
    let websocket = template.websocket.as_ref().unwrap();
    let http = template.http.as_ref().unwrap();
    assert_eq!(websocket.route_selection, ["action"]);
    let mut routes = 0;
    for function in FUNCTIONS {
        match function.trigger {
            Trigger::Authorizer => assert_eq!(websocket.authorizer.as_ref().unwrap().function, function.name),
            Trigger::WebSocket { route } => {
                let found = &websocket.routes[route];
                assert_eq!(found.function, function.name, "{route}");
                let replies = !["$connect", "$disconnect", "ephemeral"].contains(&route);
                assert_eq!(
                    found.has_response, replies,
                    "{route}: a reply is the route's response"
                );
                routes += 1;
            }
            Trigger::Schedule => {
                let spec = &template.functions[function.name];
                assert!(!spec.schedules.is_empty(), "{}", function.name);
            }
            Trigger::Http { method, path } => {
                let found = http
                    .routes
                    .iter()
                    .find(|route| route.method == method && route.path == path);
                assert_eq!(
                    found.unwrap_or_else(|| panic!("{method} {path}")).function,
                    function.name
                );
                routes += 1;
            }
        }
    }
    assert_eq!(
        routes,
        websocket.routes.len() + http.routes.len(),
        "the template has a route of no function"
    );
}

#[test]
fn every_table_has_the_keys_and_the_time_to_live_that_the_code_uses() {
    use KeyType::{Binary, Number};
    let template = template();
    let environments = template.functions.values().map(|function| &function.environment);
    let environment: BTreeMap<_, _> = environments.flatten().collect();
    let by_name: BTreeMap<_, _> = template
        .tables
        .values()
        .map(|table| (&table.name, table))
        .collect();
    let expected = [
        ("ACCOUNTS_TABLE", accounts::PARTITION_KEY, None, None),
        ("CODES_TABLE", codes::PARTITION_KEY, None, Some(codes::EXPIRES_AT)),
        (
            "DEVICES_TABLE",
            devices::PARTITION_KEY,
            Some((devices::SORT_KEY, Binary)),
            None,
        ),
        (
            "KEYS_TABLE",
            keys::PARTITION_KEY,
            Some((keys::SORT_KEY, Binary)),
            None,
        ),
        (
            "LIMITS_TABLE",
            limits::PARTITION_KEY,
            None,
            Some(limits::EXPIRES_AT),
        ),
        ("LINKS_TABLE", links::PARTITION_KEY, None, Some(links::EXPIRES_AT)),
        ("LOCKS_TABLE", locks::PARTITION_KEY, None, None),
        (
            "MAILBOX_TABLE",
            mailbox::PARTITION_KEY,
            Some((mailbox::SORT_KEY, Binary)),
            Some(mailbox::EXPIRES_AT),
        ),
        ("PHONES_TABLE", phones::PARTITION_KEY, None, None),
        (
            "PREKEYS_TABLE",
            prekeys::PARTITION_KEY,
            Some((prekeys::SORT_KEY, Number)),
            None,
        ),
        (
            "TICKETS_TABLE",
            tickets::PARTITION_KEY,
            None,
            Some(tickets::EXPIRES_AT),
        ),
    ];
    for (variable, partition_key, sort, expires_at) in expected {
        let table: &TableSpec = by_name[environment[&variable.to_owned()]];
        assert_eq!(table.partition_key.name, partition_key, "{variable}");
        assert_eq!(table.partition_key.kind, Binary, "{variable}");
        let sort_key = table.sort_key.as_ref().map(|key| (key.name.as_str(), key.kind));
        assert_eq!(sort_key, sort, "{variable}");
        assert_eq!(table.ttl_attribute.as_deref(), expires_at, "{variable}");
    }
    assert_eq!(
        template.tables.len(),
        expected.len(),
        "the template has a table the code does not know"
    );
}

#[test]
fn every_function_and_every_table_is_watched_and_no_alarm_watches_more_than_it_can() {
    const METRICS_OF_AN_ALARM: usize = 10;
    let template = template();
    let watched = |metric: &str, dimension: &str, resource: &str| {
        let line =
            format!("MetricName: {metric}, Dimensions: [{{ Name: {dimension}, Value: !Ref {resource} }}]");
        assert_eq!(TEMPLATE.matches(&line).count(), 1, "{metric} of {resource}");
    };
    for function in template.functions.values() {
        watched("Errors", "FunctionName", &function.logical_id);
    }
    for table in template.tables.keys() {
        watched("ReadThrottleEvents", "TableName", table);
        watched("WriteThrottleEvents", "TableName", table);
    }
    for alarm in TEMPLATE.split("Type: AWS::CloudWatch::Alarm").skip(1) {
        let alarm = alarm.split("\n\n").next().unwrap();
        assert!(
            alarm.matches("MetricStat:").count() <= METRICS_OF_AN_ALARM,
            "{alarm}"
        );
    }
}

#[test]
fn every_function_finds_the_variables_it_reads_and_is_given_no_others() {
    let template = template();
    for (handler, function) in &template.functions {
        let read = RefCell::new(BTreeSet::new());
        let environment = Environment::read(|name| {
            read.borrow_mut().insert(name.to_owned());
            match name {
                "_HANDLER" => Some(handler.clone()),
                name if SET_BY_LAMBDA.contains(&name) => Some("http://127.0.0.1:1".to_owned()),
                name => function.environment.get(name).cloned(),
            }
        });
        environment.unwrap_or_else(|error| panic!("{handler}: {error}"));
        let given: BTreeSet<_> = function.environment.keys().cloned().collect();
        let unread: Vec<_> = given.difference(&read.into_inner()).cloned().collect();
        assert!(
            unread.is_empty(),
            "{handler} is given {unread:?} and reads none of it"
        );
    }
}

#[test]
fn the_template_asks_for_nothing_that_the_runner_passes_over_in_silence() {
    let warnings = template().warnings;
    let unexpected: Vec<_> = warnings
        .iter()
        .filter(|warning| !LEFT_OUT.contains(&warning.path.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
}
