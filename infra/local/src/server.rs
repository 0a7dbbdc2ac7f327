//! The one port: API Gateway and the AWS endpoint share it.
//!
//! A request that is signed for AWS, names an AWS operation or asks for `@connections` goes to the AWS front;
//! everything else is a client's and goes to the gateway. So one address is all that a person, an SDK or a
//! function process has to know. Three paths are the runner's own: the [`outbox`], the
//! pushes in it, and the [`faults`] that were asked for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::aws::answer::{AwsError, Shape};
use crate::aws::callers::is_for_aws;
use crate::aws::faults;
use crate::aws::front::{AwsFront, MAX_BODY_BYTES};
use crate::aws::management::is_management_path;
use crate::gateway::Gateway;
use crate::outbox::{self, Outbox};

/// What a client gets to send the head of a request.
const HEAD_TIME: Duration = Duration::from_secs(30);

/// What connections get at the end to finish the request they have.
const END_GRACE: Duration = Duration::from_secs(5);

/// The pause after a connection could not be accepted, which is when this process has too many files open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What requests are answered by.
#[derive(Clone)]
pub(crate) struct Services {
    pub(crate) aws: AwsFront,
    pub(crate) gateway: Gateway,
    pub(crate) outbox: Outbox,
}

/// Serves until `ending`, then lets the requests that run finish. Dropping it ends everything at once, apart
/// from connections that were upgraded: those are the gateway's.
pub(crate) async fn serve(listener: TcpListener, services: Services, ending: CancellationToken) {
    let services = Arc::new(services);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            () = ending.cancelled() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                connections.spawn(connection(stream, peer, Arc::clone(&services), ending.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(END_GRACE, finished).await.is_err() {
        connections.shutdown().await;
    }
}

/// The connection breaks before its request is answered: a fault that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the answer was lost")]
struct AnswerLost;

async fn connection(stream: TcpStream, peer: SocketAddr, services: Arc<Services>, ending: CancellationToken) {
    // Frames are small and each is waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a socket keeps its delay");
    }
    let service = service_fn(|request| {
        let services = Arc::clone(&services);
        async move { services.answer(request, peer).await }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::pin!(serving);
    let served = tokio::select! {
        served = serving.as_mut() => served,
        () = ending.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a connection broke off");
    }
}

impl Services {
    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Result<Response<Full<Bytes>>, AnswerLost> {
        if request.uri().path() == outbox::PUSHES_PATH {
            let query = request.uri().query().unwrap_or_default();
            let answer = self.outbox.answer_pushes(request.headers(), query, peer);
            return Ok(answer.await.map(Full::new));
        }
        if request.uri().path() == outbox::PATH {
            return Ok(self.outbox.answer(request.headers(), peer).map(Full::new));
        }
        if request.uri().path() == faults::PATH
            && let Some(report) = self.aws.report_faults()
        {
            return Ok(report.map(Full::new));
        }
        if !is_for_aws(request.headers()) && !is_management_path(request.uri().path()) {
            return Ok(self.gateway.handle(request, peer).await);
        }
        let (head, body) = request.into_parts();
        let answer = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Ok(body) => {
                let request = Request::from_parts(head, body.to_bytes());
                self.aws.exchange(request).await.ok_or(AnswerLost)?
            }
            Err(error) => {
                let message = format!("the body cannot be read: {error}");
                let error = AwsError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", message);
                error.answer(Shape::RestJson)
            }
        };
        Ok(answer.map(Full::new))
    }
}
