//! One binary for every function: `_HANDLER` says which one this process is.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use lambda_runtime::{LambdaEvent, service_fn};
use serde_json::Value;
use tracing_subscriber::{layer::SubscriberExt, util::SubscriberInitExt};
use waxwing_backend::{Backend, Clock};
use waxwing_functions::{config::Environment, metrics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_runtime::Error> {
    let environment = Environment::of_process()?;
    tracing_subscriber::registry()
        .with(environment.log_filter())
        .with(tracing_subscriber::fmt::layer().json())
        .init();
    let clock = Clock::system();
    let backend = Backend::new(&environment.backend, clock.clone(), None);
    let function = environment.function;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        let begun = Instant::now();
        let result = (function.handler)(&backend, event.payload).await;
        if environment.metrics {
            let seconds = Duration::from_secs(clock.now().0);
            let at = u64::try_from(seconds.as_millis()).unwrap_or(u64::MAX);
            let line = metrics::line(function.name, begun.elapsed(), result.is_err(), at);
            // A metric that cannot be written is no reason to fail a request.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
        result
    }))
    .await
}
