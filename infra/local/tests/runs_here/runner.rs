//! Starting, being in the way, ending.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::path::PathBuf;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waxwing_local::runner::{Runner, RunnerConfig, StartError, Storage, TEMPLATE};

/// The project's template with one part changed, as a file.
fn template_with(directory: &TempDir, from: &str, to: &str) -> PathBuf {
    assert!(TEMPLATE.contains(from), "the template has no {from:?} any more");
    let path = directory.path().join("template.yaml");
    std::fs::write(&path, TEMPLATE.replace(from, to)).unwrap();
    path
}

async fn refusal(config: RunnerConfig) -> StartError {
    match Runner::start(config).await {
        Ok(_) => panic!("the runner started"),
        Err(error) => error,
    }
}

async fn started(config: RunnerConfig) -> Runner {
    Runner::start(config).await.unwrap()
}

/// The status line of a POST.
async fn post(runner: &Runner, path: &str) -> String {
    let url = runner.http_url();
    let (address, stage) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "POST /{stage}{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_projects_own_template_starts_with_nothing_but_defaults() {
    let runner = started(RunnerConfig::default()).await;
    assert!(
        runner.websocket_url().starts_with("ws://127.0.0.1:") && runner.websocket_url().ends_with("/prod")
    );
    assert_eq!(runner.http_url(), format!("{}/prod", runner.aws_endpoint()));
    assert!(runner.table_name("MailboxTable").is_some() && runner.table_name("NoTable").is_none());
    runner.shutdown().await;
}

#[tokio::test]
async fn a_request_runs_the_real_function_and_is_metered() {
    let runner = started(RunnerConfig::default()).await;
    assert!(post(&runner, "/v1/accounts").await.contains(" 400 "));
    let used = runner.meter();
    let register = used.functions.get("register").copied().unwrap_or_default();
    assert_eq!(
        (register.invocations, register.cold_starts, register.errors),
        (1, 0, 0)
    );
    assert_eq!((register.memory_mb, used.gateway.http_requests), (256, 1));
    runner.shutdown().await;
}

#[tokio::test]
async fn what_a_function_consumes_is_counted_under_its_own_name() {
    let runner = started(RunnerConfig::default()).await;
    let event = serde_json::json!({
        "requestContext": {
            "routeKey": "$disconnect", "eventType": "DISCONNECT", "connectionId": "L0SM9cOFvHcCIhw=",
            "connectedAt": 1, "stage": "prod", "requestTimeEpoch": 1, "apiId": "api",
            "authorizer": {
                "principalId": "device", "account": "4f9e0c1e-7a0a-4bfb-8a4c-0a8c3a6a2b11", "device": "1",
                "registration": "7",
            },
        },
        "isBase64Encoded": false,
    });
    assert_eq!(
        runner.invoke("disconnect", event).await.unwrap()["statusCode"],
        200
    );
    let (meter, devices) = (runner.meter(), runner.table_name("DevicesTable").unwrap());
    let update = meter.tables["disconnect"][&devices]["UpdateItem"];
    // There is no such device: the condition fails, which costs a unit.
    assert_eq!((update.calls, update.write_units), (1, 1.0));
    assert_eq!(meter.tables.len(), 1);
    runner.shutdown().await;
}

#[tokio::test]
async fn a_parameter_of_the_template_can_be_set() {
    let parameters = [("StageName".to_owned(), "test".to_owned())].into();
    let runner = started(RunnerConfig {
        parameters,
        ..RunnerConfig::default()
    })
    .await;
    assert!(runner.websocket_url().ends_with("/test"));
    runner.shutdown().await;
    let parameters = [("LogLevel".to_owned(), "loud".to_owned())].into();
    let error = refusal(RunnerConfig {
        parameters,
        ..RunnerConfig::default()
    })
    .await;
    assert!(
        matches!(&error, StartError::Template(_)) && error.to_string().contains("LogLevel"),
        "{error}"
    );
}

#[tokio::test]
async fn a_template_that_is_not_there_is_named() {
    let template = Some(PathBuf::from("/no/such/template.yaml"));
    let error = refusal(RunnerConfig {
        template,
        ..RunnerConfig::default()
    })
    .await;
    assert!(error.to_string().contains("/no/such/template.yaml"), "{error}");
}

#[tokio::test]
async fn tables_with_other_keys_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let storage = Storage::Directory(directory.path().join("data"));
    let config = || RunnerConfig {
        storage: storage.clone(),
        ..RunnerConfig::default()
    };
    started(config()).await.shutdown().await;
    let number = "{ AttributeName: i, AttributeType: N }";
    let template = Some(template_with(
        &directory,
        number,
        "{ AttributeName: i, AttributeType: S }",
    ));
    let error = refusal(RunnerConfig { template, ..config() }).await;
    let said = error.to_string();
    assert!(
        said.contains("o (B), i (N)") && said.contains("o (B), i (S)"),
        "{said}"
    );
    // Nothing was changed, and nothing of the failed start holds the files.
    started(config()).await.shutdown().await;
}

#[tokio::test]
async fn a_variable_that_a_function_needs_and_the_template_does_not_set_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let template = Some(template_with(&directory, "MAILBOX_TABLE:", "POSTBOX_TABLE:"));
    let error = refusal(RunnerConfig {
        template,
        ..RunnerConfig::default()
    })
    .await;
    assert!(matches!(&error, StartError::Function(_)), "{error:?}");
    assert!(
        std::error::Error::source(&error).is_some() || error.to_string().contains("MAILBOX_TABLE"),
        "{error}"
    );
}

#[tokio::test]
async fn a_policy_that_cannot_be_checked_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let template = template_with(
        &directory,
        "              Action: dynamodb:GetItem\n",
        "              Action: dynamodb:GetItem\n              Condition: {}\n",
    );
    let error = refusal(RunnerConfig {
        template: Some(template),
        ..RunnerConfig::default()
    })
    .await;
    assert!(
        matches!(&error, StartError::Policy(_)) && error.to_string().contains("Function"),
        "{error}"
    );
}
