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
    tables::{devices, keys, mailbox, prekeys},
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
const LEFT_OUT: [&str; 8] = [
    // Nothing is throttled here.
    "Resources.HttpApi.Properties.DefaultRouteSettings",
    "Resources.WebSocketApi.Properties.DefaultRouteSettings",
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
    let websocket = template.websocket.unwrap();
    let http = template.http.unwrap();
    assert_eq!(websocket.route_selection, ["action"]);
    let mut routes = 0;
    for function in FUNCTIONS {
        match function.trigger {
            Trigger::Authorizer => assert_eq!(websocket.authorizer.as_ref().unwrap().function, function.name),
            Trigger::WebSocket { route } => {
                let found = &websocket.routes[route];
                assert_eq!(found.function, function.name, "{route}");
                let replies = !["$connect", "$disconnect"].contains(&route);
                assert_eq!(
                    found.has_response, replies,
                    "{route}: a reply is the route's response"
                );
                routes += 1;
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
    let environment = &template.functions["send"].environment;
    let by_name: BTreeMap<_, _> = template
        .tables
        .values()
        .map(|table| (&table.name, table))
        .collect();
    let table = |variable: &str| -> &TableSpec { by_name[&environment[variable]] };
    let sort_key = |table: &TableSpec| {
        table
            .sort_key
            .as_ref()
            .map(|key| (key.name.clone(), key.kind))
            .unwrap()
    };
    let expected = [
        (
            "DEVICES_TABLE",
            devices::PARTITION_KEY,
            devices::SORT_KEY,
            Binary,
            None,
        ),
        ("KEYS_TABLE", keys::PARTITION_KEY, keys::SORT_KEY, Binary, None),
        (
            "PREKEYS_TABLE",
            prekeys::PARTITION_KEY,
            prekeys::SORT_KEY,
            Number,
            None,
        ),
        (
            "MAILBOX_TABLE",
            mailbox::PARTITION_KEY,
            mailbox::SORT_KEY,
            Binary,
            Some(mailbox::EXPIRES_AT),
        ),
    ];
    for (variable, partition_key, sort, sort_type, expires_at) in expected {
        let table = table(variable);
        assert_eq!(table.partition_key.name, partition_key, "{variable}");
        assert_eq!(table.partition_key.kind, Binary, "{variable}");
        assert_eq!(sort_key(table), (sort.to_owned(), sort_type), "{variable}");
        assert_eq!(table.ttl_attribute.as_deref(), expires_at, "{variable}");
    }
    assert_eq!(
        template.tables.len(),
        expected.len(),
        "the template has a table the code does not know"
    );
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
