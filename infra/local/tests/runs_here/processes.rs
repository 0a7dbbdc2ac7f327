//! The binary that would be deployed, as processes behind the runner's port.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use waxwing_local::lambda::{
    Concurrency, Executor, InvokeError, Lambda, ProcessLimits, Processes, environment,
};
use waxwing_local::logs::Logs;
use waxwing_local::meter::{FunctionUse, Meter};
use waxwing_local::runner::{Execution, Runner, RunnerConfig, TEMPLATE, functions_binary};
use waxwing_local::template::{FunctionSpec, Surroundings, Template};

fn bootstrap() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| functions_binary(|_| {}).unwrap()).clone()
}

async fn runner() -> Runner {
    let execution = Execution::Processes { binary: bootstrap() };
    Runner::start(RunnerConfig {
        execution,
        ..RunnerConfig::default()
    })
    .await
    .unwrap()
}

fn used(runner: &Runner, function: &str) -> FunctionUse {
    runner
        .meter()
        .functions
        .get(function)
        .copied()
        .unwrap_or_default()
}

/// The status and the body of a request.
async fn request(runner: &Runner, method: &str, path: &str, body: &str) -> (u16, Value) {
    let url = runner.http_url();
    let (address, stage) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("{method} /{stage}{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (
        status,
        serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")),
    )
}

#[tokio::test]
async fn a_request_reaches_the_function_and_its_instance_stays_warm() {
    let runner = runner().await;
    for _ in 0..3 {
        let (status, problem) = request(&runner, "POST", "/v1/accounts", "{}").await;
        assert_eq!(status, 400, "{problem}");
        assert!(problem["code"].is_string(), "{problem}");
    }
    let register = used(&runner, "register");
    assert_eq!(
        (register.invocations, register.cold_starts, register.errors),
        (3, 1, 0)
    );
    runner.shutdown().await;
}

/// An address that answers nothing, so that whoever calls it waits.
struct Silence {
    listener: TcpListener,
}

impl Silence {
    async fn new() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.listener.local_addr().unwrap())
    }
}

/// The functions of the template, as processes that find AWS at `aws_endpoint`.
fn lambda(aws_endpoint: &str, timeout_seconds: u32, meter: &Arc<Meter>) -> Lambda {
    let template = Template::load(TEMPLATE, &BTreeMap::new(), &Surroundings::default()).unwrap();
    let of = |function: FunctionSpec| FunctionSpec {
        timeout_seconds,
        ..function
    };
    let functions: Vec<_> = template.functions.into_values().map(of).collect();
    let (limits, logs) = (ProcessLimits::default(), Logs::default());
    let processes = Processes::new(bootstrap(), &functions, aws_endpoint, limits, &logs);
    Lambda::new(
        &functions,
        Executor::Processes(processes),
        Concurrency::default(),
        Arc::clone(meter),
        logs,
    )
}

/// An event on which `disconnect` calls DynamoDB.
fn closed() -> Value {
    json!({
        "requestContext": {
            "routeKey": "$disconnect", "eventType": "DISCONNECT", "connectionId": "L0SM9cOFvHcCIhw=",
            "connectedAt": 1, "stage": "prod", "requestTimeEpoch": 1, "apiId": "api",
            "authorizer": {
                "principalId": "device", "account": "4f9e0c1e-7a0a-4bfb-8a4c-0a8c3a6a2b11", "device": "1",
                "registration": "7",
            },
        },
        "isBase64Encoded": false,
    })
}

#[tokio::test]
async fn events_at_once_are_worked_on_at_once_and_stopped_at_their_timeout() {
    let silence = Silence::new().await;
    let meter = Arc::new(Meter::default());
    let lambda = lambda(&silence.url(), 1, &meter);
    let invoke = || lambda.invoke("disconnect", closed());
    // Both wait for DynamoDB before either is stopped, so neither waited for the other.
    let both_are_here = async {
        let (mut one, _) = silence.listener.accept().await.unwrap();
        let (mut other, _) = silence.listener.accept().await.unwrap();
        // Until the processes are gone and their connections with them.
        let mut request = String::new();
        one.read_to_string(&mut request).await.unwrap();
        other.read_to_string(&mut request).await.unwrap();
        request
    };
    let (one, other, requests) = tokio::join!(invoke(), invoke(), both_are_here);
    assert_eq!(
        (one, other),
        (Err(InvokeError::TimedOut), Err(InvokeError::TimedOut))
    );
    assert!(requests.contains("DynamoDB_20120810.Query"), "{requests}");
    let used = meter.snapshot().functions["disconnect"];
    assert_eq!((used.invocations, used.cold_starts, used.errors), (2, 2, 2));
    lambda.shutdown().await;
}

#[tokio::test]
async fn the_binary_ends_by_itself_when_its_runtime_api_is_gone() {
    let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let template = Template::load(TEMPLATE, &BTreeMap::new(), &Surroundings::default()).unwrap();
    let variables = environment::variables(&template.functions["send"], "http://127.0.0.1:9");
    let mut process = Command::new(bootstrap())
        .env_clear()
        .envs(variables)
        .env("AWS_LAMBDA_RUNTIME_API", api.local_addr().unwrap().to_string())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let (mut connection, _) = api.accept().await.unwrap();
    let mut head = [0; 64];
    connection.read_exact(&mut head).await.unwrap();
    assert!(head.starts_with(b"GET /2018-06-01/runtime/invocation/next"));
    // As if whoever serves it had been killed while the process waits for an event.
    drop((connection, api));
    process.wait().await.unwrap();
}

/// Ends when its input does.
#[tokio::test]
#[ignore = "the test below runs it, and kills it"]
async fn a_runner_that_will_be_killed() {
    let runner = runner().await;
    request(&runner, "POST", "/v1/accounts", "{}").await;
    println!("{READY}");
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
        .await
        .unwrap()
        .unwrap();
    runner.shutdown().await;
}

const READY: &str = "the runner has an instance";

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_instance_outlives_a_runner_that_is_killed() {
    let mut killed = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "processes::a_runner_that_will_be_killed",
            "--ignored",
            "--nocapture",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains(READY) {}
    let instances = children(killed.id().unwrap());
    assert_eq!(instances.len(), 1);
    killed.kill().await.unwrap();
    while instances.iter().any(|instance| runs(instance)) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The state and the parent of a process, if there is one (proc_pid_stat(5): after the name in brackets).
#[cfg(target_os = "linux")]
fn stat(process: &str) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut after_name = stat.rsplit_once(") ")?.1.split(' ');
    Some((after_name.next()?.to_owned(), after_name.next()?.parse().ok()?))
}

#[cfg(target_os = "linux")]
fn children(parent: u32) -> Vec<String> {
    let processes = std::fs::read_dir("/proc").unwrap();
    let names = processes.map(|process| process.unwrap().file_name().into_string().unwrap());
    names
        .filter(|process| stat(process).is_some_and(|(_, its)| its == parent))
        .collect()
}

/// An ended process that nobody has asked for yet is a zombie and does not run.
#[cfg(target_os = "linux")]
fn runs(process: &str) -> bool {
    stat(process).is_some_and(|(state, _)| state != "Z")
}
