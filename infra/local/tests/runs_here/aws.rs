//! The AWS endpoint as the real SDK clients see it: over TCP from a runner, and through the connector inside
//! the process.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_apigatewaymanagement as management;
use aws_sdk_dynamodb as dynamodb;
use bytes::Bytes;
use dynamodb::config::{BehaviorVersion, Credentials, Region};
use dynamodb::error::{DisplayErrorContext, ProvideErrorMetadata};
use dynamodb::operation::put_item::PutItemError;
use dynamodb::primitives::Blob;
use dynamodb::types::{
    AttributeValue, ConditionCheck, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
};
use waxwing_local::aws::callers::{Callers, access_key};
use waxwing_local::aws::dynamodb::DynamoDb;
use waxwing_local::aws::policies::Policies;
use waxwing_local::aws::{AwsFront, Connector, Sns, TOOLS_ACCESS_KEY};
use waxwing_local::clock::OffsetClock;
use waxwing_local::gateway::connections::Connections;
use waxwing_local::meter::Meter;
use waxwing_local::outbox::Outbox;
use waxwing_local::runner::{Runner, RunnerConfig, StartError, Storage};

fn credentials(access_key: &str) -> Credentials {
    Credentials::new(access_key, "not looked at", None, None, "test")
}

fn config(access_key: &str) -> dynamodb::config::Builder {
    dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials(access_key))
}

fn over_tcp(runner: &Runner, access_key: &str) -> dynamodb::Client {
    dynamodb::Client::from_conf(config(access_key).endpoint_url(runner.aws_endpoint()).build())
}

fn connections(runner: &Runner, access_key: &str) -> management::Client {
    let config = management::Config::builder()
        .behavior_version(management::config::BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(credentials(access_key))
        .endpoint_url(format!("{}/prod", runner.aws_endpoint()))
        .build();
    management::Client::from_conf(config)
}

/// A front of its own, with no runner around it.
fn front() -> AwsFront {
    let opened = Storage::Memory.open(Arc::new(OffsetClock::default())).unwrap();
    let meter = Arc::new(Meter::default());
    let database = DynamoDb::new(opened, Arc::clone(&meter));
    AwsFront::new(
        Callers::new(["send"]),
        Policies::default(),
        database,
        Connections::default(),
        Sns::new(BTreeSet::new(), Outbox::default(), meter),
    )
}

async fn runner() -> Runner {
    Runner::start(RunnerConfig::default()).await.unwrap()
}

fn table(runner: &Runner, logical_id: &str) -> String {
    runner.table_name(logical_id).unwrap()
}

fn blob(bytes: &[u8]) -> AttributeValue {
    AttributeValue::B(Blob::new(bytes))
}

/// A mailbox entry of exactly `size` bytes as DynamoDB counts: names and values.
fn entry(id: u8, size: usize) -> BTreeMap<&'static str, AttributeValue> {
    BTreeMap::from([
        ("o", blob(b"owner")),
        ("i", blob(&[id])),
        ("c", blob(&vec![0; size - 9])),
    ])
}

async fn put(client: &dynamodb::Client, table: &str, entry: BTreeMap<&'static str, AttributeValue>) {
    let item = entry
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    client
        .put_item()
        .table_name(table)
        .set_item(Some(item))
        .send()
        .await
        .unwrap();
}

async fn has(client: &dynamodb::Client, table: &str, id: u8) -> bool {
    let get = client
        .get_item()
        .table_name(table)
        .key("o", blob(b"owner"))
        .key("i", blob(&[id]));
    get.consistent_read(true).send().await.unwrap().item.is_some()
}

/// I5: whoever deletes first gets the item, everyone else learns that it is gone.
async fn each_key_is_taken_once(client: &dynamodb::Client, table: &str) {
    const KEYS: u32 = 100;
    const TAKERS: usize = 32;
    for id in 0..KEYS {
        let item = client.put_item().table_name(table).item("o", blob(b"owner"));
        item.item("i", AttributeValue::N(id.to_string()))
            .send()
            .await
            .unwrap();
    }
    let taken: Arc<Vec<AtomicU32>> = Arc::new((0..KEYS).map(|_| AtomicU32::new(0)).collect());
    let takers = (0..TAKERS).map(|taker| {
        let (client, table, taken) = (client.clone(), table.to_owned(), Arc::clone(&taken));
        tokio::spawn(async move {
            for step in 0..KEYS {
                // Everyone goes through the keys in the same order, two by two.
                let id = (step + taker as u32 % 2) % KEYS;
                let delete = client.delete_item().table_name(&table).key("o", blob(b"owner"));
                let delete = delete
                    .key("i", AttributeValue::N(id.to_string()))
                    .condition_expression("attribute_exists(o)")
                    .return_values(ReturnValue::AllOld);
                match delete.send().await {
                    Ok(deleted) => {
                        assert_eq!(
                            deleted.attributes.unwrap()["i"],
                            AttributeValue::N(id.to_string())
                        );
                        taken[id as usize].fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => {
                        let error = error.into_service_error();
                        assert!(
                            error.is_conditional_check_failed_exception(),
                            "{}",
                            DisplayErrorContext(&error)
                        );
                    }
                }
            }
        })
    });
    for taker in takers.collect::<Vec<_>>() {
        taker.await.unwrap();
    }
    assert!(
        taken.iter().all(|times| times.load(Ordering::Relaxed) == 1),
        "{taken:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_once_by_32_at_once_over_tcp() {
    let runner = runner().await;
    let client = over_tcp(&runner, TOOLS_ACCESS_KEY);
    each_key_is_taken_once(&client, &table(&runner, "PrekeysTable")).await;
    runner.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_taken_once_by_32_at_once_through_the_connector() {
    let client = dynamodb::Client::from_conf(
        config(TOOLS_ACCESS_KEY)
            .http_client(Connector::new(front()))
            .build(),
    );
    let create = client
        .create_table()
        .table_name("Prekeys")
        .billing_mode(dynamodb::types::BillingMode::PayPerRequest);
    let keys = [("o", "B", "HASH"), ("i", "N", "RANGE")];
    let create = keys.into_iter().fold(create, |create, (name, kind, role)| {
        let definition = dynamodb::types::AttributeDefinition::builder().attribute_name(name);
        let element = dynamodb::types::KeySchemaElement::builder().attribute_name(name);
        create
            .attribute_definitions(definition.attribute_type(kind.into()).build().unwrap())
            .key_schema(element.key_type(role.into()).build().unwrap())
    });
    create.send().await.unwrap();
    each_key_is_taken_once(&client, "Prekeys").await;
}

#[tokio::test]
async fn the_tables_of_the_template_are_there() {
    let runner = runner().await;
    let client = over_tcp(&runner, TOOLS_ACCESS_KEY);
    let tables = client.list_tables().send().await.unwrap().table_names.unwrap();
    let expected = [
        "AccountsTable",
        "CodesTable",
        "DevicesTable",
        "KeysTable",
        "LimitsTable",
        "LinksTable",
        "LocksTable",
        "MailboxTable",
        "PhonesTable",
        "PrekeysTable",
        "TicketsTable",
    ];
    assert_eq!(tables, expected.map(|logical_id| table(&runner, logical_id)));
    let mailbox = table(&runner, "MailboxTable");
    let expiry = client
        .describe_time_to_live()
        .table_name(mailbox)
        .send()
        .await
        .unwrap();
    assert_eq!(
        expiry.time_to_live_description.unwrap().attribute_name.as_deref(),
        Some("expires_at")
    );
    runner.shutdown().await;
}

#[tokio::test]
async fn an_unknown_access_key_is_refused_by_every_service() {
    let runner = runner().await;
    let error = over_tcp(&runner, "AKIDNOBODY")
        .list_tables()
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("UnrecognizedClientException"));
    let error = connections(&runner, "AKIDNOBODY")
        .get_connection()
        .connection_id("x")
        .send()
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("UnrecognizedClientException"));
    assert_eq!(error.raw_response().unwrap().status().as_u16(), 403);
    runner.shutdown().await;
}

#[tokio::test]
async fn a_function_may_do_what_the_template_grants_it_and_nothing_else() {
    let runner = runner().await;
    let mailbox = table(&runner, "MailboxTable");
    put(&over_tcp(&runner, &access_key("send")), &mailbox, entry(1, 100)).await;
    let ack = over_tcp(&runner, &access_key("ack"));
    let error = ack.scan().table_name(&mailbox).send().await.unwrap_err();
    assert_eq!(
        error.code(),
        Some("AccessDeniedException"),
        "{}",
        DisplayErrorContext(&error)
    );
    // `send` posts, `fetch` has nothing to do with connections.
    let fetch = connections(&runner, &access_key("fetch"));
    let error = fetch
        .delete_connection()
        .connection_id("x")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_forbidden_exception(), "{error:?}");
    let send = connections(&runner, &access_key("send"));
    let error = send
        .post_to_connection()
        .connection_id("x")
        .data(Blob::new("{}"))
        .send()
        .await
        .unwrap_err();
    assert!(error.into_service_error().is_gone_exception());
    runner.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_is_gone_is_told_in_the_sdks_own_types() {
    let runner = runner().await;
    let tools = connections(&runner, TOOLS_ACCESS_KEY);
    let id = "L0SM9cOFvHcCIhw=";
    let post = tools
        .post_to_connection()
        .connection_id(id)
        .data(Blob::new("{}"))
        .send()
        .await;
    assert!(post.unwrap_err().into_service_error().is_gone_exception());
    let get = tools.get_connection().connection_id(id).send().await;
    assert!(get.unwrap_err().into_service_error().is_gone_exception());
    let delete = tools.delete_connection().connection_id(id).send().await;
    assert!(delete.unwrap_err().into_service_error().is_gone_exception());
    runner.shutdown().await;
}

#[tokio::test]
async fn a_failed_condition_shows_the_item_found_when_asked() {
    let runner = runner().await;
    let client = over_tcp(&runner, TOOLS_ACCESS_KEY);
    let mailbox = table(&runner, "MailboxTable");
    put(&client, &mailbox, entry(1, 100)).await;
    let again = client
        .put_item()
        .table_name(&mailbox)
        .item("o", blob(b"owner"))
        .item("i", blob(&[1]))
        .condition_expression("attribute_not_exists(o)")
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    match again.send().await.unwrap_err().into_service_error() {
        PutItemError::ConditionalCheckFailedException(error) => {
            assert_eq!(error.item.unwrap()["c"], blob(&[0; 91]));
        }
        other => panic!("{other:?}"),
    }
    runner.shutdown().await;
}

#[tokio::test]
async fn other_errors_of_dynamodb_are_typed_too() {
    let runner = runner().await;
    let client = over_tcp(&runner, TOOLS_ACCESS_KEY);
    let error = client
        .scan()
        .table_name("NoSuchTable")
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert!(error.is_resource_not_found_exception(), "{error:?}");
    let mailbox = table(&runner, "MailboxTable");
    let error = client
        .put_item()
        .table_name(&mailbox)
        .item("o", AttributeValue::S("no bytes".to_owned()));
    assert_eq!(
        error.send().await.unwrap_err().code(),
        Some("ValidationException")
    );
    let key = |id: u8| {
        std::collections::HashMap::from([("o".to_owned(), blob(b"owner")), ("i".to_owned(), blob(&[id]))])
    };
    let put = Put::builder()
        .table_name(&mailbox)
        .set_item(Some(key(1)))
        .build()
        .unwrap();
    let check = ConditionCheck::builder()
        .table_name(&mailbox)
        .set_key(Some(key(2)));
    let check = check.condition_expression("attribute_exists(o)").build().unwrap();
    let transaction = client
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(put).build())
        .transact_items(TransactWriteItem::builder().condition_check(check).build());
    let error = transaction.send().await.unwrap_err().into_service_error();
    let dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(
        error,
    ) = error
    else {
        panic!("{error:?}");
    };
    let reasons: Vec<_> = error
        .cancellation_reasons()
        .iter()
        .map(|reason| reason.code())
        .collect();
    assert_eq!(reasons, [Some("None"), Some("ConditionalCheckFailed")]);
    assert!(!has(&client, &mailbox, 1).await);
    runner.shutdown().await;
}

#[tokio::test]
async fn what_calls_consume_is_metered_by_caller_table_and_operation() {
    let runner = runner().await;
    let mailbox = table(&runner, "MailboxTable");
    let send = over_tcp(&runner, &access_key("send"));
    put(&send, &mailbox, entry(1, 1024)).await;
    let before = runner.meter();
    put(&send, &mailbox, entry(2, 1024)).await;
    put(&send, &mailbox, entry(3, 1025)).await;
    let receive = over_tcp(&runner, &access_key("receive"));
    let query = receive
        .query()
        .table_name(&mailbox)
        .key_condition_expression("o = :o");
    let page = query
        .expression_attribute_values(":o", blob(b"owner"))
        .consistent_read(true)
        .send()
        .await
        .unwrap();
    assert_eq!(page.count, 3);
    assert!(page.consumed_capacity.is_none(), "nobody asked for it");
    let used = runner.meter().since(&before);
    let put = used.tables["send"][&mailbox]["PutItem"];
    assert_eq!((put.calls, put.read_units, put.write_units), (2, 0.0, 3.0));
    // 3,073 bytes in one page.
    let query = used.tables["receive"][&mailbox]["Query"];
    assert_eq!((query.calls, query.read_units, query.write_units), (1, 1.0, 0.0));
    runner.shutdown().await;
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named() {
    let request = |target: Option<&str>, path: &str| {
        let mut request = http::Request::post(path).header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={TOOLS_ACCESS_KEY}/20261120/us-east-1/s3/aws4_request, Signature=0"),
        );
        if let Some(target) = target {
            request = request.header("x-amz-target", target);
        }
        request.body(Bytes::new()).unwrap()
    };
    let answer = front().handle(request(None, "/bucket/key")).await;
    assert_eq!(answer.status(), 501);
    let said = String::from_utf8(answer.into_body().to_vec()).unwrap();
    assert!(said.contains("s3") && said.contains("DynamoDB"), "{said}");
    let answer = front()
        .handle(request(Some("DynamoDB_20120810.ExecuteStatement"), "/"))
        .await;
    assert_eq!(answer.status(), 400);
    let said = String::from_utf8(answer.into_body().to_vec()).unwrap();
    assert!(
        said.contains("UnknownOperationException") && said.contains("PutItem"),
        "{said}"
    );
}

fn in_directory(storage: Storage) -> RunnerConfig {
    RunnerConfig {
        storage,
        ..RunnerConfig::default()
    }
}

/// I1: what was answered is in the files at that moment, whatever becomes of the runner.
#[tokio::test]
async fn what_was_answered_is_in_the_files_before_the_answer() {
    let directory = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let runner = Runner::start(in_directory(Storage::Directory(directory.path().to_owned())))
        .await
        .unwrap();
    let mailbox = table(&runner, "MailboxTable");
    put(&over_tcp(&runner, TOOLS_ACCESS_KEY), &mailbox, entry(1, 100)).await;
    for file in std::fs::read_dir(directory.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    // The first runner still runs and has closed nothing.
    let second = Runner::start(in_directory(Storage::Directory(copy.path().to_owned())))
        .await
        .unwrap();
    assert!(has(&over_tcp(&second, TOOLS_ACCESS_KEY), &mailbox, 1).await);
    second.shutdown().await;
    runner.shutdown().await;
}

#[tokio::test]
async fn files_are_found_again_and_have_one_runner_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    for storage in [Storage::Directory as fn(_) -> _, Storage::FastDirectory] {
        let storage = storage(directory.path().to_owned());
        let runner = Runner::start(in_directory(storage.clone())).await.unwrap();
        let mailbox = table(&runner, "MailboxTable");
        put(&over_tcp(&runner, TOOLS_ACCESS_KEY), &mailbox, entry(1, 100)).await;
        assert!(matches!(
            Runner::start(in_directory(storage.clone())).await,
            Err(StartError::Storage(_))
        ));
        runner.shutdown().await;
        let runner = Runner::start(in_directory(storage)).await.unwrap();
        assert!(has(&over_tcp(&runner, TOOLS_ACCESS_KEY), &mailbox, 1).await);
        runner.shutdown().await;
    }
}

/// I12: until the sweep an expired item is there, as in AWS, and readers have to mind.
#[tokio::test]
async fn expired_items_stay_until_the_sweep_and_others_after_it() {
    let runner_config = RunnerConfig::default();
    let offset = Arc::clone(&runner_config.clock_offset);
    let runner = Runner::start(runner_config).await.unwrap();
    let client = over_tcp(&runner, TOOLS_ACCESS_KEY);
    let mailbox = table(&runner, "MailboxTable");
    let now = waxwing_local::clock::since_epoch().as_secs();
    for (id, expires_at) in [(1, now + 100), (2, now + 300)] {
        let mut item = entry(id, 50);
        item.insert("expires_at", AttributeValue::N(expires_at.to_string()));
        put(&client, &mailbox, item).await;
    }
    assert_eq!(runner.sweep_expired().await, 0);
    let before = runner.meter();
    offset.store(200, Ordering::Relaxed);
    assert!(has(&client, &mailbox, 1).await);
    assert_eq!(runner.sweep_expired().await, 1);
    assert!(!has(&client, &mailbox, 1).await);
    assert!(has(&client, &mailbox, 2).await);
    // Nobody is billed for the deletion.
    assert_eq!(runner.meter().since(&before).total_units().write_units, 0.0);
    runner.shutdown().await;
}

#[tokio::test]
async fn after_the_end_nobody_listens_and_the_port_is_free() {
    let first = runner().await;
    let address: std::net::SocketAddr = first
        .aws_endpoint()
        .strip_prefix("http://")
        .unwrap()
        .parse()
        .unwrap();
    first.shutdown().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    let second = Runner::start(RunnerConfig {
        port: address.port(),
        ..RunnerConfig::default()
    })
    .await
    .unwrap();
    let taken = Runner::start(RunnerConfig {
        port: address.port(),
        ..RunnerConfig::default()
    })
    .await;
    assert!(matches!(taken, Err(StartError::Listen { .. })));
    second.shutdown().await;
}

#[tokio::test]
async fn a_functions_requests_go_wrong_as_the_plan_says_and_a_tools_never_do() {
    const PUTS: u8 = 60;
    let runner = Runner::start(RunnerConfig {
        faults: Some("1:1".parse().unwrap()),
        ..RunnerConfig::default()
    })
    .await
    .unwrap();
    let mailbox = table(&runner, "MailboxTable");
    let config = config(&access_key("send"))
        .endpoint_url(runner.aws_endpoint())
        .retry_config(dynamodb::config::retry::RetryConfig::disabled());
    let function = dynamodb::Client::from_conf(config.build());
    let mut codes = BTreeSet::new();
    for id in 0..PUTS {
        let mut put = function.put_item().table_name(&mailbox);
        for (name, value) in entry(id, 50) {
            put = put.item(name, value);
        }
        let error = put.send().await.unwrap_err();
        codes.insert(error.code().unwrap_or("none, the connection broke").to_owned());
    }
    let expected = [
        "InternalServerError",
        "ProvisionedThroughputExceededException",
        "ServiceUnavailable",
        "none, the connection broke",
    ];
    assert_eq!(codes, expected.map(String::from).into());
    let tool = over_tcp(&runner, TOOLS_ACCESS_KEY);
    let mut done = 0;
    for id in 0..PUTS {
        done += u8::from(has(&tool, &mailbox, id).await);
    }
    // Those that failed afterwards, or whose answer was lost.
    assert!((1..PUTS).contains(&done), "{done}");
    runner.shutdown().await;
}
