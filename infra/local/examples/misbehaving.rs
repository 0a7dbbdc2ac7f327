//! A Lambda function that does what its event says, also what no function should: stay, fail, panic, exit.
//! The tests of the runner's instances run it; it is a complete function over `lambda_runtime` to look at too.

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    lambda_runtime::run(service_fn(handle)).await
}

#[allow(
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "misbehaving is what it is for"
)]
async fn handle(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let LambdaEvent { payload, context } = event;
    let argument = payload
        .get("argument")
        .and_then(Value::as_str)
        .unwrap_or_default();
    match payload.get("do").and_then(Value::as_str) {
        Some("pid") => Ok(json!(std::process::id())),
        Some("environment") => Ok(std::env::vars().collect()),
        Some("context") => Ok(json!({
            "request_id": context.request_id,
            "deadline": context.deadline,
            "arn": context.invoked_function_arn,
            "trace_id": context.xray_trace_id,
        })),
        // Until the other end says something.
        Some("stay") => {
            let mut other = TcpStream::connect(argument).await?;
            other.read_u8().await?;
            Ok(json!(std::process::id()))
        }
        Some("print") => {
            println!("{argument}");
            Ok(Value::Null)
        }
        Some("answer") => Ok(json!("x".repeat(argument.parse()?))),
        Some("fail") => Err(argument.into()),
        Some("panic") => panic!("{argument}"),
        Some("exit") => std::process::exit(argument.parse()?),
        other => Err(format!("not a thing to do: {other:?}").into()),
    }
}
