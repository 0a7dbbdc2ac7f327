//! Instances are real processes here, of a function that does what its event says (`examples/misbehaving.rs`).

use std::sync::OnceLock;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::instance::Instance;
use super::*;

fn spec(handler: &str) -> FunctionSpec {
    FunctionSpec {
        logical_id: format!("{handler}Function"),
        handler: handler.to_owned(),
        name: format!("waxwing-{handler}"),
        timeout_seconds: 30,
        memory_mb: 256,
        environment: BTreeMap::from([("COLOUR".to_owned(), "blue".to_owned())]),
        schedules: Vec::new(),
        policies: Vec::new(),
    }
}

fn binary() -> std::path::PathBuf {
    static BINARY: OnceLock<std::path::PathBuf> = OnceLock::new();
    BINARY.get_or_init(binary::misbehaving).clone()
}

struct Fixture {
    lambda: Lambda,
    meter: Arc<Meter>,
    logs: Logs,
}

impl Fixture {
    fn new(functions: &[FunctionSpec]) -> Self {
        Self::with_limits(functions, ProcessLimits::default(), Concurrency::default())
    }

    fn with_limits(functions: &[FunctionSpec], limits: ProcessLimits, concurrency: Concurrency) -> Self {
        let (meter, logs) = (Arc::new(Meter::default()), Logs::default());
        let processes = Processes::new(binary(), functions, "http://127.0.0.1:9", limits, &logs);
        let executor = Executor::Processes(processes);
        let lambda = Lambda::new(functions, executor, concurrency, Arc::clone(&meter), logs.clone());
        Self { lambda, meter, logs }
    }

    async fn invoke(&self, function: &str, what: &str, argument: &str) -> Result<Value, InvokeError> {
        self.lambda
            .invoke(function, json!({"do": what, "argument": argument}))
            .await
    }

    async fn pid(&self, function: &str) -> Value {
        self.invoke(function, "pid", "").await.unwrap()
    }

    fn used(&self, function: &str) -> crate::meter::FunctionUse {
        self.meter
            .snapshot()
            .functions
            .get(function)
            .copied()
            .unwrap_or_default()
    }
}

/// An address at which functions that stay report, and wait.
struct Meeting {
    listener: TcpListener,
    address: String,
}

impl Meeting {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        Self { listener, address }
    }

    /// A function that has come, and stays until it gets a byte.
    async fn arrival(&self) -> TcpStream {
        self.listener.accept().await.unwrap().0
    }
}

#[tokio::test]
async fn a_warm_instance_is_used_again() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    let first = fixture.pid("a").await;
    for _ in 0..10 {
        assert_eq!(fixture.pid("a").await, first);
    }
    let used = fixture.used("a");
    assert_eq!((used.invocations, used.cold_starts, used.errors), (11, 1, 0));
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn an_observer_is_told_which_invocation_had_to_wait_for_a_process_and_which_failed() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    let mut observed = fixture.lambda.observe();
    fixture.pid("a").await;
    fixture.pid("a").await;
    fixture.invoke("a", "fail", "").await.unwrap_err();
    fixture.lambda.shutdown().await;
    let mut seen = Vec::new();
    while let Ok(invocation) = observed.try_recv() {
        assert_eq!(invocation.function, "a");
        seen.push((invocation.start.is_some(), invocation.failed));
    }
    assert_eq!(seen, [(true, false), (false, false), (false, true)]);
}

#[tokio::test]
async fn events_at_once_have_an_instance_each_and_the_one_used_last_is_next() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    let meeting = Meeting::new().await;
    let lambda = &fixture.lambda;
    let stay = || lambda.invoke("a", json!({"do": "stay", "argument": meeting.address}));
    let both_at_once = async {
        let mut one = meeting.arrival().await;
        let mut other = meeting.arrival().await;
        one.write_u8(1).await.unwrap();
        other.write_u8(1).await.unwrap();
    };
    let (first, second, ()) = tokio::join!(stay(), stay(), both_at_once);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_ne!(first, second);
    let last = fixture.pid("a").await;
    assert!(last == first || last == second);
    assert_eq!(fixture.pid("a").await, last);
    assert_eq!(fixture.used("a").cold_starts, 2);
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn a_function_that_stays_is_killed_at_its_timeout() {
    let functions = [FunctionSpec {
        timeout_seconds: 1,
        ..spec("a")
    }];
    let fixture = Fixture::new(&functions);
    let meeting = Meeting::new().await;
    let (answer, mut connection) =
        tokio::join!(fixture.invoke("a", "stay", &meeting.address), meeting.arrival());
    assert_eq!(answer, Err(InvokeError::TimedOut));
    // The process is gone: the system has closed its end.
    let end = connection.read_u8().await.unwrap_err();
    assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
    assert!(fixture.pid("a").await.is_u64());
    let used = fixture.used("a");
    assert_eq!((used.invocations, used.cold_starts, used.errors), (2, 2, 1));
    assert!(used.billed_ms >= 1000, "{used:?}");
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn a_process_that_exits_is_a_function_error_and_the_next_event_has_a_new_one() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    let first = fixture.pid("a").await;
    let Err(InvokeError::Failed { kind, message }) = fixture.invoke("a", "exit", "7").await else {
        panic!("the function did not fail");
    };
    assert_eq!(
        (kind.as_str(), message.contains('7')),
        ("Runtime.ExitError", true)
    );
    assert_ne!(fixture.pid("a").await, first);
    assert_eq!(fixture.used("a").errors, 1);
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn an_error_and_a_panic_are_answers_and_the_instance_stays() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    let first = fixture.pid("a").await;
    for what in ["fail", "panic"] {
        let Err(InvokeError::Failed { message, .. }) = fixture.invoke("a", what, "no such luck").await else {
            panic!("the function did not fail");
        };
        assert!(message.contains("no such luck"), "{message}");
    }
    assert_eq!(fixture.pid("a").await, first);
    assert!(
        fixture
            .logs
            .recent()
            .iter()
            .any(|line| line.starts_with("a: ") && line.contains("no such luck"))
    );
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn an_answer_of_more_than_6_mb_is_refused() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    // Two quotation marks belong to the answer.
    let most = runtime_api::RESPONSE_BYTES - 2;
    assert!(fixture.invoke("a", "answer", &most.to_string()).await.is_ok());
    let Err(InvokeError::Failed { kind, .. }) = fixture.invoke("a", "answer", &(most + 1).to_string()).await
    else {
        panic!("the answer was taken");
    };
    assert_eq!(kind, "Function.ResponseSizeTooLarge");
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn beyond_the_limits_invocations_are_throttled_and_counted() {
    let limits = ProcessLimits {
        per_function: 1,
        wait: Duration::ZERO,
        ..ProcessLimits::default()
    };
    let functions = [spec("a"), spec("b")];
    let fixture = Fixture::with_limits(
        &functions,
        limits,
        Concurrency {
            total: 2,
            per_function: 2,
        },
    );
    let meeting = Meeting::new().await;
    let others = async {
        let mut staying = meeting.arrival().await;
        // No process is free; that of another function is none of ours.
        assert_eq!(fixture.invoke("a", "pid", "").await, Err(InvokeError::Throttled));
        assert!(fixture.pid("b").await.is_u64());
        let second = fixture.invoke("b", "stay", &meeting.address);
        let third = async {
            let mut second = meeting.arrival().await;
            // Two run, and two may run in all.
            assert_eq!(fixture.invoke("b", "pid", "").await, Err(InvokeError::Throttled));
            second.write_u8(1).await.unwrap();
        };
        let (second, ()) = tokio::join!(second, third);
        second.unwrap();
        staying.write_u8(1).await.unwrap();
    };
    let (first, ()) = tokio::join!(fixture.invoke("a", "stay", &meeting.address), others);
    first.unwrap();
    assert_eq!((fixture.used("a").throttles, fixture.used("b").throttles), (1, 1));
    assert_eq!(fixture.used("a").invocations, 1);
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn a_process_more_than_there_may_be_ends_the_one_that_has_waited_longest() {
    let limits = ProcessLimits {
        total: 2,
        ..ProcessLimits::default()
    };
    let functions = [spec("a"), spec("b"), spec("c")];
    let fixture = Fixture::with_limits(&functions, limits, Concurrency::default());
    let (a, b) = (fixture.pid("a").await, fixture.pid("b").await);
    fixture.pid("c").await;
    assert_eq!(fixture.pid("b").await, b);
    assert_ne!(fixture.pid("a").await, a);
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn a_function_sees_its_own_environment_and_nothing_of_ours() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    let seen = fixture.invoke("a", "environment", "").await.unwrap();
    let mut expected = environment::variables(&functions[0], "http://127.0.0.1:9");
    for of_the_process in ["AWS_LAMBDA_RUNTIME_API", "AWS_LAMBDA_LOG_STREAM_NAME"] {
        expected.insert(
            of_the_process.to_owned(),
            seen[of_the_process].as_str().unwrap().to_owned(),
        );
    }
    // The runtime sets this one for each event.
    expected.extend(
        seen["_X_AMZN_TRACE_ID"]
            .as_str()
            .map(|id| ("_X_AMZN_TRACE_ID".to_owned(), id.to_owned())),
    );
    let seen: BTreeMap<String, String> = serde_json::from_value(seen).unwrap();
    assert_eq!(seen, expected);
    assert_eq!(seen["COLOUR"], "blue");
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn an_event_comes_with_its_id_its_deadline_and_its_function() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    let before = crate::clock::since_epoch();
    let context = fixture.invoke("a", "context", "").await.unwrap();
    let deadline = Duration::from_millis(context["deadline"].as_u64().unwrap());
    assert!(deadline >= before + Duration::from_secs(30), "{context}");
    assert_eq!(
        context["arn"],
        "arn:aws:lambda:us-east-1:000000000000:function:waxwing-a"
    );
    assert!(context["trace_id"].as_str().unwrap().starts_with("Root=1-"));
    let other = fixture.invoke("a", "context", "").await.unwrap();
    assert_ne!(context["request_id"], other["request_id"]);
    fixture.lambda.shutdown().await;
}

#[tokio::test]
async fn what_a_process_prints_is_in_the_logs() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    fixture.invoke("a", "print", "a line of its own").await.unwrap();
    // At the end of the runner everything is read.
    fixture.lambda.shutdown().await;
    assert!(
        fixture.logs.recent().contains(&"a: a line of its own".to_owned()),
        "{:?}",
        fixture.logs.recent()
    );
}

#[tokio::test]
async fn a_binary_that_cannot_be_started_is_a_function_error() {
    let functions = [spec("a")];
    let logs = Logs::default();
    let limits = ProcessLimits::default();
    let processes = Processes::new(
        "/no/such/binary".into(),
        &functions,
        "http://127.0.0.1:9",
        limits,
        &logs,
    );
    let executor = Executor::Processes(processes);
    let lambda = Lambda::new(&functions, executor, Concurrency::default(), Arc::default(), logs);
    let Err(InvokeError::Failed { kind, .. }) = lambda.invoke("a", Value::Null).await else {
        panic!("the function did not fail");
    };
    assert_eq!(kind, "Runtime.InvalidEntrypoint");
    assert_eq!(
        lambda.invoke("z", Value::Null).await,
        Err(InvokeError::Unknown("z".to_owned()))
    );
}

#[tokio::test]
async fn an_instance_ends_by_itself_when_its_runtime_api_is_gone() {
    let tasks = TaskTracker::new();
    let variables = environment::variables(&spec("a"), "http://127.0.0.1:9");
    let instance = Instance::start(&binary(), &variables, &spec("a"), &Logs::default(), &tasks).await;
    // As if the runner had been killed: nobody kills the child.
    let mut orphan = instance.unwrap().lose_runtime_api();
    orphan.wait().await.unwrap();
}

#[tokio::test]
async fn the_end_refuses_new_events_and_waits_for_those_that_run() {
    let functions = [spec("a")];
    let fixture = Fixture::new(&functions);
    let meeting = Meeting::new().await;
    let end = async {
        let mut staying = meeting.arrival().await;
        let refused = async {
            while fixture.invoke("a", "pid", "").await != Err(InvokeError::Throttled) {
                tokio::task::yield_now().await;
            }
            staying.write_u8(1).await.unwrap();
        };
        tokio::join!(fixture.lambda.shutdown(), refused);
    };
    let (answer, ()) = tokio::join!(fixture.invoke("a", "stay", &meeting.address), end);
    assert!(answer.is_ok(), "{answer:?}");
}
