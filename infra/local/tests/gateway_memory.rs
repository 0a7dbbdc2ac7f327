//! What a connection costs that does nothing: the one test of its process, so that its memory is its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use waxwing_local::runner::{Runner, RunnerConfig, TEMPLATE};

/// Connections that are compared with none. Each is two open files of this process, of which a process has
/// 1,024 unless someone raised that.
const CONNECTIONS: usize = 400;

/// What each may cost, the client's half in this process included. The gateway's own buffers are 4 KB.
const MOST_BYTES: usize = 20 * 1024;

/// Memory of this process in bytes (proc(5), `/proc/self/statm`: pages, the second field is what is resident).
fn resident_bytes() -> usize {
    const PAGE: usize = 4096;
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}

/// Shakes hands and waits for the answer. A bare socket: a WebSocket client would cost memory of its own.
async fn connect(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /prod HTTP/1.1\r\nHost: {address}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    stream
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_idle_connection_costs_little() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("template.yaml");
    let open = TEMPLATE
        .replace("        AuthType: CUSTOM\n        AuthArn: !GetAtt AuthorizeFunction.Arn\n        IdentitySource: [route.request.header.Authorization]\n", "        AuthType: NONE\n")
        .replace("        $connect:\n          FunctionArn: !Ref ConnectFunction.Alias\n", "");
    fs::write(&path, open).unwrap();
    let config = RunnerConfig {
        template: Some(path),
        ..RunnerConfig::default()
    };
    let runner = Runner::start(config).await.unwrap();
    let url = runner.websocket_url();
    let address = url.strip_prefix("ws://").unwrap().strip_suffix("/prod").unwrap();
    // What is there once for all of them.
    let mut clients = Vec::new();
    for _ in 0..50 {
        clients.push(connect(address).await);
    }
    let before = resident_bytes();
    for _ in 0..CONNECTIONS {
        clients.push(connect(address).await);
    }
    let each = resident_bytes().saturating_sub(before) / CONNECTIONS;
    println!("{each} bytes a connection");
    assert!(each < MOST_BYTES, "{each} bytes a connection");
    drop(clients);
    runner.shutdown().await;
}
