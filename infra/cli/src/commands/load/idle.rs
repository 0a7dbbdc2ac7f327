//! `cargo waxwing load --idle N`: what a connection costs the runner that does nothing.
//!
//! The runner is a process of its own, whose memory holds nothing of the clients. Its template is the built-in one without
//! authorizer and `$connect`: devices enough to hold so many connections would have to be registered first, and what a function
//! does once while a connection opens is not what an idle one costs.

use std::{io, net::SocketAddr, path::Path, process::Stdio, time::Duration};

use serde::Serialize;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::MissedTickBehavior,
};
use waxwing_local::runner::TEMPLATE;

use super::LoadError;
use crate::{
    commands::{Outcome, local::Ready},
    console::{Console, thousands},
};

/// Connections opened first, for what is there once for all of them.
const FIRST: usize = 50;

/// From one handshake to the next: AWS's quota is 500 a second, which the runner keeps.
const PACE: Duration = Duration::from_millis(3);

/// How long the runner may take to start.
const START: Duration = Duration::from_secs(30);

/// What is taken out of the template, and what comes in its place.
const OPEN: [(&str, &str); 2] = [
    (
        "        AuthType: CUSTOM\n        AuthArn: !GetAtt AuthorizeFunction.Arn\n        \
         IdentitySource: [route.request.header.Authorization]\n",
        "        AuthType: NONE\n",
    ),
    (
        "        $connect:\n          FunctionArn: !Ref ConnectFunction.Alias\n",
        "",
    ),
];

/// Why there is no figure.
#[derive(Debug, thiserror::Error)]
pub enum IdleError {
    /// No file, no process, no connection.
    #[error("the idle connections: {0}")]
    Io(#[from] io::Error),
    /// The built-in template is not what this command expects.
    #[error("the template has no authorizer and no $connect to leave out")]
    Template,
    /// The runner said nothing, or something else than its addresses.
    #[error("the runner did not start")]
    NotReady,
    /// The runner does not want a connection.
    #[error("the runner refused a connection: {0}")]
    Refused(String),
    /// The system does not tell how much memory the runner has.
    #[error("the system does not tell the runner's memory")]
    NoMemory,
}

#[derive(Debug, Serialize)]
struct Report {
    /// Connections that did nothing.
    connections: usize,
    /// Memory of the runner, in bytes, before them and with them.
    resident_before: u64,
    resident_with: u64,
    bytes_each: u64,
}

/// Opens them, and prints what they cost.
///
/// # Errors
/// [`LoadError`].
pub(super) async fn run(connections: usize, console: &Console) -> Result<Outcome, LoadError> {
    let report = measure(connections, console).await?;
    console.say(format_args!(
        "{} idle connections: {:.1} KB each of the runner's memory ({:.1} MB before, {:.1} MB with them).",
        thousands(report.connections),
        report.bytes_each as f64 / 1024.0,
        report.resident_before as f64 / 1_048_576.0,
        report.resident_with as f64 / 1_048_576.0,
    ));
    console.result(&report)?;
    Ok(Outcome::of(true))
}

async fn measure(connections: usize, console: &Console) -> Result<Report, IdleError> {
    let folder = tempfile::Builder::new().prefix("waxwing-idle-").tempdir()?;
    let template = folder.path().join("template.yaml");
    std::fs::write(&template, open_template()?)?;
    let (runner, address) = start(&template).await?;
    let progress = console.progress("connections", FIRST + connections);
    let mut pace = tokio::time::interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut open = Vec::with_capacity(FIRST + connections);
    let mut resident_before = 0;
    for number in 0..FIRST + connections {
        if number == FIRST {
            resident_before = resident(&runner)?;
        }
        pace.tick().await;
        open.push(connect(address).await?);
        progress.step();
    }
    let resident_with = resident(&runner)?;
    Ok(Report {
        connections,
        resident_before,
        resident_with,
        bytes_each: resident_with.saturating_sub(resident_before) / connections.max(1) as u64,
    })
}

fn open_template() -> Result<String, IdleError> {
    let mut template = TEMPLATE.to_owned();
    for (closed, open) in OPEN {
        if !template.contains(closed) {
            return Err(IdleError::Template);
        }
        template = template.replace(closed, open);
    }
    Ok(template)
}

/// The runner in a process of its own; dropping it ends it.
async fn start(template: &Path) -> Result<(Child, SocketAddr), IdleError> {
    let mut runner = Command::new(std::env::current_exe()?)
        .args(["local", "--json", "--memory", "--port", "0", "--template"])
        .arg(template)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let output = runner.stdout.take().ok_or(IdleError::NotReady)?;
    let mut line = String::new();
    let mut output = BufReader::new(output);
    let said = tokio::time::timeout(START, output.read_line(&mut line)).await;
    said.map_err(|_| IdleError::NotReady)??;
    let ready: Ready = serde_json::from_str(&line).map_err(|_| IdleError::NotReady)?;
    let address = ready.aws_endpoint.trim_start_matches("http://").parse();
    Ok((runner, address.map_err(|_| IdleError::NotReady)?))
}

/// Shakes hands and waits for the answer.
async fn connect(address: SocketAddr) -> Result<TcpStream, IdleError> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /prod HTTP/1.1\r\nHost: {address}\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await?;
    if &answer == b"HTTP/1.1 101" {
        Ok(stream)
    } else {
        Err(IdleError::Refused(String::from_utf8_lossy(&answer).into_owned()))
    }
}

/// Bytes of a process that are in memory.
fn resident(process: &Child) -> Result<u64, IdleError> {
    let pid = Pid::from_u32(process.id().ok_or(IdleError::NoMemory)?);
    let mut system = System::new().map_err(io::Error::other)?;
    let what = ProcessRefreshKind::nothing().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, what);
    let process = system.process(pid).ok_or(IdleError::NoMemory)?;
    Ok(process.memory())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_can_be_opened_for_everybody() {
        let open = open_template().unwrap();
        assert!(open.contains("AuthType: NONE") && !open.contains("AuthType: CUSTOM"));
    }
}
