//! What happens to a message, and what comes back.

use std::time::Duration;

use tokio::sync::Barrier;

use super::*;
use crate::meter::Direction;

#[tokio::test]
async fn a_route_with_a_response_answers_and_one_without_is_silent() {
    let mut bench = Bench::start().await;
    let mut client = bench.connect().await;
    say(&mut client, r#"{"action":"mute"}"#).await;
    bench.call_of("mute").await;
    say(&mut client, r#"{"action":"say","n":1}"#).await;
    assert_eq!(hear(&mut client).await, r#"{"action":"say","n":1}"#);
}

#[tokio::test]
async fn a_message_without_a_route_is_forbidden() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    for message in [r#"{"action":"shout"}"#, r#"{"action":"$disconnect"}"#, "no JSON"] {
        say(&mut client, message).await;
        let heard: Value = serde_json::from_str(&hear(&mut client).await).unwrap();
        assert_eq!(heard["message"], "Forbidden", "{message}");
        assert!(heard["connectionId"].is_string() && heard["requestId"].is_string());
    }
}

#[tokio::test]
async fn a_failed_function_is_an_internal_server_error_of_this_request() {
    let outcomes: [fn() -> Outcome; 4] = [
        || Err(failed("secret detail")),
        || Err(InvokeError::Throttled),
        || Ok(json!("no reply")),
        || Ok(json!({"statusCode": 200, "body": "x".repeat(super::super::limits::MAX_MESSAGE_BYTES + 1)})),
    ];
    for outcome in outcomes {
        let mut bench = Bench::with(move |_, called, event| {
            Box::pin(async move {
                if called == "say" {
                    outcome()
                } else {
                    usual(&called, &event)
                }
            })
        })
        .await;
        let (mut client, connection) = bench.connect_known().await;
        say(&mut client, r#"{"action":"say"}"#).await;
        let request = bench.call_of("say").await["requestContext"]["requestId"].clone();
        let request = request.as_str().unwrap();
        let expected = format!(
            r#"{{"message": "Internal server error", "connectionId":"{connection}", "requestId":"{request}"}}"#
        );
        assert_eq!(hear(&mut client).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_takes_longer_than_29_seconds_is_given_up() {
    let bench = Bench::with(|_, called, event| {
        Box::pin(async move {
            if called == "say" {
                let seconds = if event["body"].as_str().unwrap().contains("slow") {
                    30
                } else {
                    28
                };
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            usual(&called, &event)
        })
    })
    .await
    .in_memory();
    let mut client = bench.connect().await;
    say(&mut client, r#"{"action":"say"}"#).await;
    assert_eq!(hear(&mut client).await, r#"{"action":"say"}"#);
    say(&mut client, r#"{"action":"say","slow":1}"#).await;
    assert!(
        hear(&mut client)
            .await
            .starts_with(r#"{"message": "Endpoint request timed out", "#)
    );
}

#[tokio::test]
async fn every_event_of_a_connection_says_who_it_is() {
    let mut bench = Bench::start().await;
    let (mut client, connection) = bench.connect_known().await;
    say(&mut client, r#"{"action":"say"}"#).await;
    let message = bench.call_of("say").await;
    client.close(None).await.unwrap();
    let disconnect = bench.call_of("disconnect").await;
    for event in [message, disconnect] {
        let context = &event["requestContext"];
        assert_eq!(context["authorizer"]["principalId"], "alice");
        assert_eq!(context["authorizer"]["device"], "3", "values are texts");
        assert_eq!(context["connectionId"].as_str(), Some(connection.as_str()));
    }
}

#[tokio::test]
async fn frames_of_one_connection_run_concurrently() {
    let both = Arc::new(Barrier::new(2));
    let bench = Bench::with(move |_, called, event| {
        let both = Arc::clone(&both);
        Box::pin(async move {
            if called == "say" {
                // Ends only if the other one runs at the same time.
                both.wait().await;
            }
            usual(&called, &event)
        })
    })
    .await;
    let mut client = bench.connect().await;
    say(&mut client, r#"{"action":"say","n":1}"#).await;
    say(&mut client, r#"{"action":"say","n":2}"#).await;
    let heard = std::collections::BTreeSet::from([hear(&mut client).await, hear(&mut client).await]);
    assert_eq!(
        heard,
        [
            r#"{"action":"say","n":1}"#.to_owned(),
            r#"{"action":"say","n":2}"#.to_owned()
        ]
        .into()
    );
}

#[tokio::test]
async fn a_posted_message_arrives_whole() {
    let mut bench = Bench::start().await;
    let (mut client, connection) = bench.connect_known().await;
    let large = "é".repeat(40_000);
    bench.connections.post(&connection, large.clone().into()).unwrap();
    assert_eq!(hear(&mut client).await, large);
}

#[tokio::test]
async fn a_ping_is_answered() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    client.send(Message::Ping("are you there".into())).await.unwrap();
    assert_eq!(
        client.next().await.unwrap().unwrap(),
        Message::Pong("are you there".into())
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_stalls_nobody_else() {
    let mut bench = Bench::start().await;
    let (_silent, silent) = bench.connect_known().await;
    let block = bytes::Bytes::from("x".repeat(super::super::limits::MAX_MESSAGE_BYTES));
    // Until both the sockets' buffers and the queue are full.
    while bench.connections.post(&silent, block.clone()).is_ok() {
        tokio::task::yield_now().await;
    }
    let mut client = bench.connect().await;
    say(&mut client, r#"{"action":"say"}"#).await;
    assert_eq!(hear(&mut client).await, r#"{"action":"say"}"#);
}

#[tokio::test]
async fn every_message_is_counted_and_shown_in_both_directions() {
    let mut bench = Bench::start().await;
    let mut observer = bench.gateway.observe();
    let (mut client, connection) = bench.connect_known().await;
    say(&mut client, r#"{"action":"say"}"#).await;
    hear(&mut client).await;
    bench.connections.post(&connection, "news".into()).unwrap();
    hear(&mut client).await;
    for (direction, text) in [
        (Direction::In, r#"{"action":"say"}"#),
        (Direction::Out, r#"{"action":"say"}"#),
        (Direction::Out, "news"),
    ] {
        let expected = ObservedFrame {
            direction,
            connection_id: connection.as_str().into(),
            text: text.into(),
        };
        assert_eq!(observer.recv().await.unwrap(), expected);
    }
    let gateway = bench.meter.snapshot().gateway;
    assert_eq!(
        (gateway.messages_in, gateway.messages_out, gateway.connections),
        (1, 2, 1)
    );
}
