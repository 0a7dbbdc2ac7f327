//! One request in, one answer out: who, may they, what.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Request, Response, StatusCode};

use crate::aws::answer::{AwsError, Shape};
use crate::aws::callers::{Caller, Callers, Credential};
use crate::aws::dynamodb::{self, DynamoDb};
use crate::aws::faults::{Fault, FaultPlan, Faults, Target};
use crate::aws::management;
use crate::aws::policies::{Grant, Policies};
use crate::aws::sns::{self, Sns};
use crate::gateway::connections::Connections;

/// Bytes of a request body: what DynamoDB accepts, and more than any other service here.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The AWS endpoint of a runner. Cheap to clone: all clones are the same endpoint.
#[derive(Debug, Clone)]
pub struct AwsFront {
    parts: Arc<Parts>,
    faults: Option<Faults>,
}

#[derive(Debug)]
struct Parts {
    callers: Callers,
    policies: Policies,
    database: DynamoDb,
    connections: Connections,
    sns: Sns,
    requests: AtomicU64,
}

impl AwsFront {
    /// The endpoint over these services, for these callers.
    pub fn new(
        callers: Callers,
        policies: Policies,
        database: DynamoDb,
        connections: Connections,
        sns: Sns,
    ) -> Self {
        let parts = Parts {
            callers,
            policies,
            database,
            connections,
            sns,
            requests: AtomicU64::new(0),
        };
        Self {
            parts: Arc::new(parts),
            faults: None,
        }
    }

    /// The same endpoint, to which [`exchange`](Self::exchange) goes wrong by this plan.
    pub fn with_faults(self, plan: FaultPlan) -> Self {
        Self {
            faults: Some(Faults::new(plan)),
            ..self
        }
    }

    /// Answers a request over the way there and back, on which things go wrong if that was asked for. None: the
    /// connection breaks before the answer.
    pub async fn exchange(&self, request: Request<Bytes>) -> Option<Response<Bytes>> {
        let Some((fault, service)) = self.fault(&request) else {
            return Some(self.handle(request).await);
        };
        if fault.is_after() {
            self.handle(request).await;
        }
        if let (Fault::Gone, Service::Management(path)) = (fault, &service) {
            self.parts.connections.break_off(&path.connection);
        }
        fault.answer(service.shape())
    }

    fn fault(&self, request: &Request<Bytes>) -> Option<(Fault, Service)> {
        let faults = self.faults.as_ref()?;
        let credential = Credential::read(request.headers()).ok()?;
        let Ok(Caller::Function(_)) = self.parts.callers.find(&credential) else {
            return None;
        };
        let service = Service::of(request);
        let target = match &service {
            Service::DynamoDb { operation } => Target::DynamoDb { operation },
            Service::Management(_) => Target::Connection(request.method()),
            Service::Sns | Service::Unknown { .. } => Target::Other,
        };
        let fault = faults.draw(target)?;
        Some((fault, service))
    }

    /// How many faults there were, for who asks over HTTP; none without a plan.
    pub(crate) fn report_faults(&self) -> Option<Response<Bytes>> {
        self.faults.as_ref().map(Faults::report)
    }

    /// Answers a request. Whatever is wrong with it is an answer too.
    pub async fn handle(&self, request: Request<Bytes>) -> Response<Bytes> {
        let service = Service::of(&request);
        let number = self.parts.requests.fetch_add(1, Ordering::Relaxed);
        let id = format!("{number:032x}");
        let mut response = match self.answer(&service, request, &id).await {
            Ok(response) => response,
            Err(error) => error.answer(service.shape()),
        };
        let id = HeaderValue::try_from(id);
        response.headers_mut().extend(id.ok().map(|id| (REQUEST_ID, id)));
        response
    }

    /// What the template grants and no call has needed so far.
    pub fn unused_grants(&self) -> Vec<Grant> {
        self.parts.policies.unused()
    }

    async fn answer(
        &self,
        service: &Service,
        request: Request<Bytes>,
        id: &str,
    ) -> Result<Response<Bytes>, AwsError> {
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
            Service::Sns => {
                let request = sns::Request::read(request.body())?;
                self.parts.policies.check_notification(&caller, &request)?;
                self.parts.sns.call(&request, id)
            }
            Service::Unknown { name } => Err(AwsError::new(
                StatusCode::NOT_IMPLEMENTED,
                "UnsupportedOperation",
                format!("The local runner has DynamoDB, @connections and SNS; it does not have {name}."),
            )),
        }
    }
}

/// The operation of DynamoDB that a request with these headers is for.
pub(super) fn operation(headers: &HeaderMap) -> Option<&str> {
    let target = headers.get(TARGET)?.to_str().ok()?;
    target.strip_prefix(dynamodb::TARGET_PREFIX)
}

/// Which service a request is for.
#[derive(Debug, PartialEq, Eq)]
enum Service {
    DynamoDb { operation: String },
    Management(management::Path),
    Sns,
    Unknown { name: String },
}

impl Service {
    fn of(request: &Request<Bytes>) -> Self {
        if let Some(operation) = operation(request.headers()) {
            return Self::DynamoDb {
                operation: operation.to_owned(),
            };
        }
        if let Some(path) = management::Path::parse(request.uri().path()) {
            return Self::Management(path);
        }
        match Credential::read(request.headers()).map(|credential| credential.service) {
            Ok(sns::SIGNING_NAME) => Self::Sns,
            Ok(name) => Self::Unknown {
                name: name.to_owned(),
            },
            Err(_) => Self::Unknown {
                name: "this".to_owned(),
            },
        }
    }

    fn shape(&self) -> Shape {
        match self {
            Self::DynamoDb { .. } => Shape::AwsJson,
            // Services of unknown protocol get the error's name in the header, which every SDK reads.
            Self::Management(_) | Self::Unknown { .. } => Shape::RestJson,
            Self::Sns => Shape::Query,
        }
    }

    /// The same refusal as this service puts it: DynamoDB says 400, the others 403, and SNS has its own name.
    fn refusal(&self, error: AwsError) -> AwsError {
        match self.shape() {
            Shape::AwsJson => error,
            Shape::RestJson => AwsError {
                status: StatusCode::FORBIDDEN,
                ..error
            },
            Shape::Query => AwsError {
                status: StatusCode::FORBIDDEN,
                kind: "InvalidClientTokenId",
                ..error
            },
        }
    }
}
