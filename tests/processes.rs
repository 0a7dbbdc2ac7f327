//! The same story with the functions as processes of the real binary over the Lambda Runtime API.

use scenarios::{Phone, Service, until};
use waxwing_local::runner::{Execution, RunnerConfig, functions_binary};

#[tokio::test]
async fn functions_as_processes_deliver_just_the_same() {
    let binary = tokio::task::spawn_blocking(|| functions_binary(|_| {}))
        .await
        .unwrap()
        .unwrap();
    let config = RunnerConfig {
        execution: Execution::Processes { binary },
        ..RunnerConfig::default()
    };
    let service = Service::start_with(config).await;
    let alice = Phone::of_a_new_person(&service).await;
    let bob = Phone::of_a_new_person(&service).await;
    let count = 20;
    for number in 0..count {
        alice.say(&bob, &format!("to a process, {number}")).await;
    }
    bob.until_shown(&alice, count).await;
    assert_eq!(
        bob.texts(&alice),
        (0..count)
            .map(|number| format!("to a process, {number}"))
            .collect::<Vec<_>>()
    );
    until("empty mailbox", async || service.mailbox().await.is_empty()).await;
    // Messages that are ready together share a frame.
    assert!(service.invocations("send") > 0);
    service.runner.shutdown().await;
}
