//! How connections end, and who is told.

use std::time::Duration;

use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::*;
use crate::gateway::connections::{Gone, PostError};

/// Why `$disconnect` was run.
async fn disconnected(bench: &mut Bench) -> (Value, Value) {
    let event = bench.call_of("disconnect").await;
    let context = &event["requestContext"];
    (
        context["disconnectStatusCode"].clone(),
        context["disconnectReason"].clone(),
    )
}

#[tokio::test]
async fn i11_a_closed_connection_is_gone() {
    let mut bench = Bench::start().await;
    let (mut client, connection) = bench.connect_known().await;
    client.close(None).await.unwrap();
    bench.call_of("disconnect").await;
    assert_eq!(
        bench.connections.post(&connection, "x".into()),
        Err(PostError::Gone)
    );
    assert_eq!(bench.connections.info(&connection), Err(Gone));
    assert_eq!(bench.connections.delete(&connection), Err(Gone));
}

#[tokio::test]
async fn the_clients_reason_is_handed_on() {
    let mut bench = Bench::start().await;
    let mut client = bench.connect().await;
    client
        .close(Some(CloseFrame {
            code: CloseCode::Library(4001),
            reason: "bye".into(),
        }))
        .await
        .unwrap();
    assert_eq!(close_code(&mut client).await, 4001);
    assert_eq!(disconnected(&mut bench).await, (json!(4001), json!("bye")));
    let mut client = bench.connect().await;
    client.close(None).await.unwrap();
    assert_eq!(
        disconnected(&mut bench).await,
        (json!(1005), json!("Client-side close frame status not set"))
    );
}

#[tokio::test]
async fn a_client_that_vanishes_is_disconnected_too() {
    let mut bench = Bench::start().await;
    drop(bench.connect().await);
    assert_eq!(disconnected(&mut bench).await.0, json!(1006));
}

#[tokio::test]
async fn x70_a_deleted_connection_gets_what_was_posted_before_and_closes() {
    let mut bench = Bench::start().await;
    let (mut client, connection) = bench.connect_known().await;
    bench.connections.post(&connection, "one".into()).unwrap();
    bench.connections.post(&connection, "two".into()).unwrap();
    bench.connections.delete(&connection).unwrap();
    assert_eq!(hear(&mut client).await, "one");
    assert_eq!(hear(&mut client).await, "two");
    assert_eq!(close_code(&mut client).await, 1000);
    assert_eq!(disconnected(&mut bench).await.0, json!(1000));
}

#[tokio::test(start_paused = true)]
async fn ten_idle_minutes_end_a_connection() {
    let mut bench = Bench::start().await.in_memory();
    let started = tokio::time::Instant::now();
    let mut client = bench.connect().await;
    assert_eq!(close_code(&mut client).await, 1001);
    assert_eq!(started.elapsed().as_secs(), 10 * 60);
    assert_eq!(disconnected(&mut bench).await, (json!(1001), json!("Going away")));
}

#[tokio::test(start_paused = true)]
async fn messages_keep_a_connection_alive_and_pings_do_not() {
    let mut bench = Bench::start().await.in_memory();
    let started = tokio::time::Instant::now();
    let (mut client, connection) = bench.connect_known().await;
    tokio::time::sleep(Duration::from_secs(9 * 60)).await;
    say(&mut client, r#"{"action":"say"}"#).await;
    hear(&mut client).await;
    tokio::time::sleep(Duration::from_secs(9 * 60)).await;
    bench.connections.post(&connection, "x".into()).unwrap();
    hear(&mut client).await;
    tokio::time::sleep(Duration::from_secs(9 * 60)).await;
    client.send(Message::Ping("".into())).await.unwrap();
    assert_eq!(client.next().await.unwrap().unwrap(), Message::Pong("".into()));
    assert_eq!(close_code(&mut client).await, 1001);
    assert_eq!(started.elapsed().as_secs(), (9 + 9 + 10) * 60);
}

#[tokio::test(start_paused = true)]
async fn two_hours_end_a_connection_however_busy_it_is() {
    let bench = Bench::start().await.in_memory();
    let started = tokio::time::Instant::now();
    let mut client = bench.connect().await;
    for _ in 0..(2 * 60 / 8) - 1 {
        tokio::time::sleep(Duration::from_secs(8 * 60)).await;
        say(&mut client, r#"{"action":"say"}"#).await;
        hear(&mut client).await;
    }
    assert_eq!(close_code(&mut client).await, 1001);
    assert_eq!(started.elapsed().as_secs(), 2 * 60 * 60);
}

#[tokio::test]
async fn the_end_of_the_gateway_disconnects_everybody() {
    let mut bench = Bench::start().await;
    let (mut first, connection) = bench.connect_known().await;
    let mut second = bench.connect().await;
    bench.connections.post(&connection, "last words".into()).unwrap();
    bench.gateway.shutdown().await;
    assert_eq!(hear(&mut first).await, "last words");
    for client in [&mut first, &mut second] {
        assert_eq!(close_code(client).await, 1001);
    }
    let disconnects =
        std::iter::from_fn(|| bench.calls.try_recv().ok()).filter(|(called, _)| called == "disconnect");
    assert_eq!(disconnects.count(), 2);
    assert_eq!(bench.connections.count(), 0);
}
