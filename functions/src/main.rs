//! One binary for every function: `_HANDLER` says which one this process is.

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
use waxwing_backend::{Backend, Clock};
use waxwing_functions::config::Environment;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let environment = Environment::of_process()?;
    tracing_subscriber::registry()
        .with(environment.log_filter())
        .with(tracing_subscriber::fmt::layer().json())
        .init();
    let backend = Backend::new(&environment.backend, Clock::system(), None);
    let handler = environment.function.handler;
    lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        handler(&backend, event.payload)
    }))
    .await
}
