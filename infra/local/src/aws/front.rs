//! One request in, one answer out: who, may they, what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};

use crate::aws::answer::{AwsError, Shape};
use crate::aws::callers::{Callers, Credential};
use crate::aws::dynamodb::{self, DynamoDb};
use crate::aws::management;
use crate::aws::policies::Policies;
use crate::gateway::connections::Connections;

/// Bytes of a request body: what DynamoDB accepts, and more than any other service here.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The AWS endpoint of a runner. Cheap to clone: all clones are the same endpoint.
#[derive(Debug, Clone)]
pub struct AwsFront {
    parts: Arc<Parts>,
}

#[derive(Debug)]
struct Parts {
    callers: Callers,
    policies: Policies,
    database: DynamoDb,
    connections: Connections,
    requests: AtomicU64,
}

impl AwsFront {
    /// The endpoint over these services, for these callers.
    pub fn new(callers: Callers, policies: Policies, database: DynamoDb, connections: Connections) -> Self {
        let parts = Parts {
            callers,
            policies,
            database,
            connections,
            requests: AtomicU64::new(0),
        };
        Self {
            parts: Arc::new(parts),
        }
    }

    /// Answers a request. Whatever is wrong with it is an answer too.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let service = Service::of(&request);
        let mut response = match self.answer(&service, request).await {
            Ok(response) => response,
            Err(error) => error.answer(service.shape()),
        };
        let number = self.parts.requests.fetch_add(1, Ordering::Relaxed);
        let id = HeaderValue::try_from(format!("{number:032x}"));
        response.headers_mut().extend(id.ok().map(|id| (REQUEST_ID, id)));
        response
    }

    async fn answer(&self, service: &Service, request: Request<Bytes>) -> Result<Response<Bytes>, AwsError> {
        let caller = {
            let credential = Credential::read(request.headers())?;
            let found = self.parts.callers.find(&credential);
            found.map_err(|error| service.refusal(error))?.clone()
        };
        match service {
            Service::DynamoDb { operation } => {
                self.parts
                    .policies
                    .check_table(&caller, operation, request.body())?;
                Ok(self
                    .parts
                    .database
                    .call(&caller, operation, request.into_body())
                    .await)
            }
            Service::Management(path) => {
                self.parts
                    .policies
                    .check_connection(&caller, request.method(), path)?;
                let (head, body) = request.into_parts();
                management::call(&self.parts.connections, &head.method, path, body)
            }
            Service::Unknown { name } => Err(AwsError::new(
                StatusCode::NOT_IMPLEMENTED,
                "UnsupportedOperation",
                format!("The local runner has DynamoDB and @connections; it does not have {name}."),
            )),
        }
    }
}

/// Which service a request is for.
#[derive(Debug, PartialEq, Eq)]
enum Service {
    DynamoDb { operation: String },
    Management(management::Path),
    Unknown { name: String },
}

impl Service {
    fn of(request: &Request<Bytes>) -> Self {
        if let Some(target) = request
            .headers()
            .get(TARGET)
            .and_then(|value| value.to_str().ok())
            && let Some(operation) = target.strip_prefix(dynamodb::TARGET_PREFIX)
        {
            return Self::DynamoDb {
                operation: operation.to_owned(),
            };
        }
        match management::Path::parse(request.uri().path()) {
            Some(path) => Self::Management(path),
            None => Self::Unknown {
                name: unknown_service(request.headers()),
            },
        }
    }

    fn shape(&self) -> Shape {
        match self {
            Self::DynamoDb { .. } => Shape::AwsJson,
            // Services of unknown protocol get the error's name in the header, which every SDK reads.
            Self::Management(_) | Self::Unknown { .. } => Shape::RestJson,
        }
    }

    /// The same refusal with the status this service gives it: DynamoDB says 400, API Gateway 403.
    fn refusal(&self, error: AwsError) -> AwsError {
        match self.shape() {
            Shape::AwsJson => error,
            Shape::RestJson => AwsError {
                status: StatusCode::FORBIDDEN,
                ..error
            },
        }
    }
}

fn unknown_service(headers: &HeaderMap) -> String {
    Credential::read(headers).map_or_else(|_| "this".to_owned(), |credential| credential.service.to_owned())
}
