//! Who gets in, and what is asked before.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::gateway::connections::PostError;

const IN: &[(&str, &str)] = &[("Authorization", "let me in")];

async fn refused_when(function: &'static str, outcome: fn(&Value) -> Outcome) -> u16 {
    let bench = Bench::with(move |_, called, event| {
        Box::pin(async move {
            if called == function {
                outcome(&event)
            } else {
                usual(&called, &event)
            }
        })
    });
    bench.await.refusal(IN).await
}

#[tokio::test]
async fn without_its_identity_source_the_authorizer_is_not_even_asked() {
    let mut bench = Bench::start().await;
    assert_eq!(bench.refusal(&[]).await, 401);
    assert!(bench.calls.try_recv().is_err());
}

#[tokio::test]
async fn an_authorizer_refuses_with_a_denial_an_error_or_nonsense() {
    assert_eq!(refused_when("guard", |_| Err(failed("Unauthorized"))).await, 401);
    assert_eq!(
        refused_when("guard", |event| Ok(policy("Deny", event))).await,
        403
    );
    assert_eq!(
        refused_when("guard", |_| Err(failed("unauthorized, or so"))).await,
        500
    );
    assert_eq!(refused_when("guard", |_| Err(InvokeError::TimedOut)).await, 500);
    assert_eq!(refused_when("guard", |_| Ok(json!("Allow"))).await, 500);
}

#[tokio::test]
async fn connect_refuses_with_its_status_and_a_failure_is_a_bad_gateway() {
    assert_eq!(
        refused_when("connect", |_| Ok(json!({"statusCode": 403}))).await,
        403
    );
    assert_eq!(
        refused_when("connect", |_| Ok(json!({"statusCode": 409, "body": "taken"}))).await,
        409
    );
    assert_eq!(
        refused_when("connect", |_| Ok(json!({"statusCode": 101}))).await,
        502
    );
    assert_eq!(refused_when("connect", |_| Err(failed("broken"))).await, 502);
    assert_eq!(refused_when("connect", |_| Err(InvokeError::TimedOut)).await, 502);
    assert_eq!(refused_when("connect", |_| Ok(json!("yes"))).await, 502);
    assert_eq!(
        refused_when("connect", |_| Err(InvokeError::Throttled)).await,
        500
    );
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_takes_too_long_is_a_gateway_timeout() {
    let bench = Bench::with(|_, called, event| {
        Box::pin(async move {
            if called == "connect" {
                std::future::pending::<()>().await;
            }
            usual(&called, &event)
        })
    });
    assert_eq!(bench.await.in_memory().refusal(IN).await, 504);
}

#[tokio::test]
async fn whoever_was_refused_was_never_connected() {
    let mut bench = Bench::with(|_, called, event| {
        Box::pin(async move {
            if called == "connect" {
                Ok(json!({"statusCode": 403}))
            } else {
                usual(&called, &event)
            }
        })
    })
    .await;
    assert_eq!(bench.refusal(IN).await, 403);
    assert_eq!(bench.connections.count(), 0);
    let called: Vec<_> = std::iter::from_fn(|| bench.calls.try_recv().ok())
        .map(|(function, _)| function)
        .collect();
    assert_eq!(called, ["guard", "connect"]);
    assert_eq!(bench.meter.snapshot().gateway.connections, 0);
}

#[tokio::test]
async fn i11_a_post_during_connect_finds_nobody() {
    let (told, mut tells) = mpsc::unbounded_channel();
    let bench = Bench::with(move |connections, called, event| {
        let told = told.clone();
        Box::pin(async move {
            if called == "connect" {
                let id = event["requestContext"]["connectionId"].as_str().unwrap();
                let _ = told.send(connections.post(id, "too early".into()));
            }
            usual(&called, &event)
        })
    })
    .await;
    let _client = bench.connect().await;
    assert_eq!(tells.recv().await, Some(Err(PostError::Gone)));
    assert_eq!(bench.connections.count(), 1);
}

#[tokio::test]
async fn only_the_stage_is_a_websocket() {
    let bench = Bench::start().await;
    for (path, status) in [("/test", 403), ("/", 403), ("/prod/v1", 403)] {
        let request = format!("ws://{}{path}", bench.address)
            .into_client_request()
            .unwrap();
        let stream = TcpStream::connect(bench.address).await.unwrap();
        let Err(Error::Http(response)) = client_async(request, stream).await else {
            panic!("{path} is a WebSocket");
        };
        assert_eq!(response.status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_none_is_a_bad_request() {
    let bench = Bench::start().await;
    let mut stream = TcpStream::connect(bench.address).await.unwrap();
    let request = "GET /prod HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
}

#[tokio::test]
async fn connect_chooses_the_subprotocol() {
    let bench = Bench::with(|_, called, event| {
        Box::pin(async move {
            if called != "connect" {
                return usual(&called, &event);
            }
            assert_eq!(event["headers"]["Sec-WebSocket-Protocol"], "v1, v2");
            Ok(json!({"statusCode": 200, "headers": {"Sec-WebSocket-Protocol": "v2"}}))
        })
    })
    .await;
    let mut request = format!("ws://{}/prod", bench.address)
        .into_client_request()
        .unwrap();
    request
        .headers_mut()
        .insert("Authorization", "x".parse().unwrap());
    request
        .headers_mut()
        .insert("Sec-WebSocket-Protocol", "v1, v2".parse().unwrap());
    let stream = TcpStream::connect(bench.address).await.unwrap();
    let (_client, response) = client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "v2");
}

#[tokio::test]
async fn a_client_that_goes_away_during_connect_is_disconnected() {
    let (go_on, waiting) = tokio::sync::watch::channel(false);
    let mut bench = Bench::with(move |_, called, event| {
        let mut waiting = waiting.clone();
        Box::pin(async move {
            if called == "connect" {
                waiting.wait_for(|go_on| *go_on).await.unwrap();
            }
            usual(&called, &event)
        })
    })
    .await;
    let (mut client, server) = duplex(PIPE_BYTES);
    let serving = serve(server, bench.gateway.clone(), bench.address);
    let request = "GET /prod HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\nAuthorization: x\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let connected = bench.call_of("connect").await;
    drop(client);
    serving.await.unwrap();
    // The function knows nothing of it, and accepts.
    go_on.send(true).unwrap();
    let gone = bench.call_of("disconnect").await;
    assert_eq!(
        gone["requestContext"]["connectionId"],
        connected["requestContext"]["connectionId"]
    );
    assert_eq!(bench.connections.count(), 0);
    let gateway = bench.meter.snapshot().gateway;
    assert_eq!((gateway.connections, gateway.messages_in), (1, 0));
}
