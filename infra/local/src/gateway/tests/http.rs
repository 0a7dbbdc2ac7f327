//! The HTTP API.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Sends a request as it is on the wire; gives the status and the body.
async fn request(bench: &Bench, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = bench.stream().await;
    let head = format!(
        "{head}\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    // A request that is refused by its head is not read to its end.
    let _ = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), body.to_owned())
}

/// The status of a request that has a route.
pub(super) async fn status_of_a_request(bench: &Bench) -> u16 {
    request(bench, "POST /prod/page/a HTTP/1.1", b"").await.0
}

#[tokio::test]
async fn a_request_reaches_its_function_and_the_reply_comes_back() {
    let mut bench =
        Bench::with(|_, _, _| Box::pin(async { Ok(json!({"statusCode": 201, "body": "made"})) })).await;
    let answer = request(
        &bench,
        "POST /prod/page/a%20b?x=1 HTTP/1.1\r\nX-Two: a\r\nX-Two: b",
        b"hello",
    )
    .await;
    assert_eq!(answer, (201, "made".to_owned()));
    let event = bench.call_of("page").await;
    assert_eq!(event["routeKey"], "POST /page/{name}");
    assert_eq!(event["pathParameters"]["name"], "a b");
    assert_eq!(event["headers"]["x-two"], "a,b");
    assert_eq!(event["body"], "hello");
    assert_eq!(bench.meter.snapshot().gateway.http_requests, 1);
}

#[tokio::test]
async fn what_has_no_route_is_not_found() {
    let mut bench = Bench::start().await;
    for head in [
        "GET /prod/page/a HTTP/1.1",
        "POST /prod/pages HTTP/1.1",
        "POST /page/a HTTP/1.1",
    ] {
        assert_eq!(
            request(&bench, head, b"").await,
            (404, r#"{"message":"Not Found"}"#.to_owned()),
            "{head}"
        );
    }
    assert!(bench.calls.try_recv().is_err());
}

#[tokio::test]
async fn x82_a_head_has_at_most_10_kb_and_a_body_what_a_function_can_take() {
    let mut bench = Bench::start().await;
    let head = |bytes| format!("POST /prod/page/a HTTP/1.1\r\nX: {}", "x".repeat(bytes));
    assert_eq!(request(&bench, &head(10_000), b"").await.0, 200);
    assert_eq!(request(&bench, &head(10_240), b"").await.0, 431);
    bench.call_of("page").await;

    let head = "POST /prod/page/a HTTP/1.1";
    let most = vec![b'x'; super::super::limits::MAX_INVOCATION_BYTES];
    assert_eq!(request(&bench, head, &most).await.0, 200);
    bench.call_of("page").await;
    let more = vec![b'x'; super::super::limits::MAX_INVOCATION_BYTES + 1];
    let refused = (413, r#"{"message":"Request Entity Too Large"}"#.to_owned());
    assert_eq!(request(&bench, head, &more).await, refused);
    assert!(bench.calls.try_recv().is_err());
}

#[tokio::test]
async fn a_failed_function_is_an_internal_server_error_and_a_throttled_one_unavailable() {
    type Case = (fn() -> Outcome, u16, &'static str);
    let outcomes: [Case; 4] = [
        (|| Err(failed("secret detail")), 500, "Internal Server Error"),
        (|| Err(InvokeError::TimedOut), 500, "Internal Server Error"),
        (
            || Ok(json!({"statusCode": "created"})),
            500,
            "Internal Server Error",
        ),
        (|| Err(InvokeError::Throttled), 503, "Service Unavailable"),
    ];
    for (outcome, status, message) in outcomes {
        let bench = Bench::with(move |_, _, _| Box::pin(async move { outcome() })).await;
        let answer = request(&bench, "POST /prod/page/a HTTP/1.1", b"").await;
        assert_eq!(answer, (status, format!(r#"{{"message":"{message}"}}"#)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_that_takes_longer_than_30_seconds_is_given_up() {
    let bench = Bench::with(|_, _, _| Box::pin(std::future::pending()))
        .await
        .in_memory();
    let started = tokio::time::Instant::now();
    assert_eq!(request(&bench, "POST /prod/page/a HTTP/1.1", b"").await.0, 503);
    assert_eq!(started.elapsed().as_secs(), 30);
}
