//! The same puts, reads and deletes as functions made, done again straight against the engine: no SDK, no HTTP, no
//! function, no thread in between. What the way costs beyond its database is the difference. The same engine is an HTTP
//! client of the SDK and an HTTP server as well, so that what the SDK costs, and what a socket costs, can be told apart from
//! what Waxwing adds.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use bytes::Bytes;
use dynoxide::storage_backend::SystemClock;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::operations::Call;
use super::storage::{Opened, Storage};
use super::{answered, tables};
use crate::aws::connector::{received, returned};
use crate::aws::front::{self, MAX_BODY_BYTES};
use crate::cloud::CloudError;
use crate::template::TableSpec;

const NO_OPERATION: &str = "this is no operation of DynamoDB";

/// Calls that are kept: about 150 MB of them.
const MOST_CALLS: usize = 100_000;

/// Calls to the database, oldest first.
#[derive(Default)]
pub struct Recorded {
    calls: Vec<(Call, Bytes)>,
    /// How many calls there were after the last that is kept.
    left_out: u64,
}

impl Recorded {
    /// How many calls are kept.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Those that are kept: the operation's name, and its request in JSON.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.calls.iter().map(|(call, body)| (call.name(), body.as_ref()))
    }

    /// How many calls there were, kept or not.
    pub fn made(&self) -> u64 {
        self.left_out + u64::try_from(self.calls.len()).unwrap_or(u64::MAX)
    }
}

/// Keeps calls while it is told to.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Option<Recorded>>);

impl Recorder {
    pub(super) fn begin(&self) {
        self.lock().get_or_insert_default();
    }

    pub(super) fn end(&self) -> Recorded {
        self.lock().take().unwrap_or_default()
    }

    pub(super) fn keep(&self, call: Call, body: &Bytes) {
        if let Some(recorded) = &mut *self.lock() {
            if recorded.calls.len() < MOST_CALLS {
                recorded.calls.push((call, body.clone()));
            } else {
                recorded.left_out += 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An engine in memory with a template's tables, and nothing around it. Cheap to clone: all clones are the same one.
#[derive(Clone)]
pub struct Bare(Arc<Opened>);

impl Bare {
    /// Opens it. Blocks.
    ///
    /// # Errors
    /// As [`Cloud::open`](crate::cloud::Cloud::open).
    pub fn open<'a>(tables: impl IntoIterator<Item = &'a TableSpec>) -> Result<Self, CloudError> {
        let opened = Storage::Memory.open(SystemClock::arc())?;
        for table in tables {
            tables::make(&opened.database, table)?;
        }
        Ok(Self(Arc::new(opened)))
    }

    /// Answers calls over HTTP/1.1 to whoever connects, as long as it is polled and connections can be accepted.
    ///
    /// # Errors
    /// Why none can be accepted.
    pub async fn serve(self, listener: TcpListener) -> io::Result<Infallible> {
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let this = self.clone();
            let service = service_fn(move |request| this.clone().answer_http(request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection broke off");
                }
            });
        }
    }

    async fn answer_http(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Box<dyn Error + Send + Sync>> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY_BYTES).collect().await?.to_bytes();
        let answer = self.answer(&Request::from_parts(head, body));
        Ok(answer.ok_or(NO_OPERATION)?.map(Full::new))
    }

    /// None if it is no call to DynamoDB.
    fn answer(&self, request: &Request<Bytes>) -> Option<Response<Bytes>> {
        let call = front::operation(request.headers()).and_then(Call::named)?;
        let (outcome, _) = call.run(&self.0.database, request.body());
        Some(answered(outcome))
    }

    /// Does the calls again, one after the other. Blocks. Their outcomes are those they had, and are dropped.
    pub fn run(&self, recorded: &Recorded) {
        for (call, body) in &recorded.calls {
            let _ = call.run(&self.0.database, body);
        }
    }
}

impl HttpClient for Bare {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Bare {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let this = self.clone();
        HttpConnectorFuture::new(async move {
            let answer = this.answer(&received(request).await?);
            returned(answer.ok_or_else(|| ConnectorError::user(NO_OPERATION.into()))?)
        })
    }
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}
