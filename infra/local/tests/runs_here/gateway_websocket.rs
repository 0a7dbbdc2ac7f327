//! The WebSocket API of a whole runner: the project's template, its real functions, the real SDK.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_apigatewaymanagement::{
    Client as Management, Config,
    config::{BehaviorVersion, Region},
    primitives::Blob,
};
use futures_util::{SinkExt, StreamExt};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, protocol::CloseFrame},
};
use waxwing_local::{
    aws::TOOLS_ACCESS_KEY,
    gateway::Lifetimes,
    meter::Direction,
    runner::{Runner, RunnerConfig, TEMPLATE},
};

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A runner whose WebSocket lets everybody in: no authorizer, no `$connect`.
async fn open_runner(directory: &TempDir, lifetimes: Lifetimes) -> Runner {
    let mut template = TEMPLATE.to_owned();
    for part in [
        "      Auth:\n        AuthType: CUSTOM\n        AuthArn: !GetAtt AuthorizeFunction.Arn\n        \
         IdentitySource: [route.request.header.Authorization]\n",
        "        $connect:\n          FunctionArn: !Ref ConnectFunction.Alias\n",
    ] {
        assert!(template.contains(part), "the template has no {part:?} any more");
        template = template.replace(part, "");
    }
    let path = directory.path().join("template.yaml");
    std::fs::write(&path, template).unwrap();
    let config = RunnerConfig {
        template: Some(path),
        lifetimes,
        ..RunnerConfig::default()
    };
    Runner::start(config).await.unwrap()
}

async fn connect(runner: &Runner) -> Client {
    connect_async(runner.websocket_url()).await.unwrap().0
}

fn management(runner: &Runner) -> Management {
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(
            TOOLS_ACCESS_KEY,
            "not looked at",
            None,
            None,
            "test",
        ))
        .endpoint_url(format!("{}/prod", runner.aws_endpoint()));
    Management::from_conf(config.build())
}

async fn hear(client: &mut Client) -> String {
    client
        .next()
        .await
        .unwrap()
        .unwrap()
        .into_text()
        .unwrap()
        .to_string()
}

async fn close_code(client: &mut Client) -> u16 {
    loop {
        if let Message::Close(Some(CloseFrame { code, .. })) = client.next().await.unwrap().unwrap() {
            return code.into();
        }
    }
}

#[tokio::test]
async fn the_real_function_answers_and_the_real_sdk_reaches_the_client() {
    let directory = TempDir::new().unwrap();
    let runner = open_runner(&directory, Lifetimes::default()).await;
    let mut frames = runner.observe_frames();
    let mut client = connect(&runner).await;
    client.send(Message::text(r#"{"action":"sing"}"#)).await.unwrap();
    // No authorizer named a device, and the function lets nobody speak without one.
    assert!(hear(&mut client).await.contains("unauthorized"));

    let seen = frames.recv().await.unwrap();
    assert_eq!(
        (seen.direction, seen.text.as_ref()),
        (Direction::In, r#"{"action":"sing"}"#)
    );
    let id = seen.connection_id.as_ref();
    let tools = management(&runner);
    let post = |data: Vec<u8>| {
        tools
            .post_to_connection()
            .connection_id(id)
            .data(Blob::new(data))
            .send()
    };
    post(b"news".to_vec()).await.unwrap();
    assert_eq!(hear(&mut client).await, "news");
    let most = 128 * 1024;
    post(vec![b'x'; most]).await.unwrap();
    assert_eq!(hear(&mut client).await.len(), most);
    let refused = post(vec![b'x'; most + 1]).await.unwrap_err().into_service_error();
    assert!(refused.is_payload_too_large_exception(), "{refused:?}");

    let info = tools.get_connection().connection_id(id).send().await.unwrap();
    assert_eq!(info.identity().unwrap().source_ip(), Some("127.0.0.1"));
    assert!(info.last_active_at() >= info.connected_at());
    tools.delete_connection().connection_id(id).send().await.unwrap();
    assert_eq!(close_code(&mut client).await, 1000);
    let gone = post(b"too late".to_vec()).await.unwrap_err().into_service_error();
    assert!(gone.is_gone_exception(), "{gone:?}");
    runner.shutdown().await;
}

#[tokio::test]
async fn x69_without_a_good_token_there_is_no_connection() {
    let runner = Runner::start(RunnerConfig::default()).await.unwrap();
    for (token, invocations) in [(None, 0), (Some("Bearer nonsense"), 1)] {
        let mut request = runner.websocket_url().into_client_request().unwrap();
        if let Some(token) = token {
            request
                .headers_mut()
                .insert("Authorization", token.parse().unwrap());
        }
        let Err(Error::Http(refusal)) = connect_async(request).await else {
            panic!("{token:?} is let in");
        };
        assert_eq!(refusal.status(), 401, "{token:?}");
        let used = runner
            .meter()
            .functions
            .get("authorize")
            .map_or(0, |used| used.invocations);
        assert_eq!(used, invocations, "{token:?}");
    }
    assert_eq!(runner.meter().gateway.connections, 0);
    runner.shutdown().await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_the_time_the_runner_was_given() {
    let directory = TempDir::new().unwrap();
    let lifetimes = Lifetimes {
        idle: Duration::from_millis(50),
        ..Lifetimes::default()
    };
    let runner = open_runner(&directory, lifetimes).await;
    let mut client = connect(&runner).await;
    assert_eq!(close_code(&mut client).await, 1001);
    runner.shutdown().await;
}

#[tokio::test]
async fn the_end_of_the_runner_closes_its_connections() {
    let directory = TempDir::new().unwrap();
    let runner = open_runner(&directory, Lifetimes::default()).await;
    let mut client = connect(&runner).await;
    let ((), code) = tokio::join!(runner.shutdown(), close_code(&mut client));
    assert_eq!(code, 1001);
}
