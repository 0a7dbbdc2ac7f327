//! The HTTP API: a request to its route's function, and the answer back.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, StatusCode, request::Parts};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::Value;

use super::{
    GatewayResponse, Shared,
    http_event::{Api, Received},
    http_reply::response,
    http_routes::{Found, Routes},
    ids, json_response,
    limits::{HTTP_INTEGRATION_TIMEOUT, MAX_HTTP_BODY_BYTES, MAX_HTTP_HEAD_BYTES, MAX_INVOCATION_BYTES},
    throttle::Asks,
};
use crate::{
    lambda::InvokeError,
    template::{HttpRoute, HttpSpec, Surroundings},
};

/// What API Gateway calls a request in its response.
const REQUEST_ID: HeaderName = HeaderName::from_static("apigw-requestid");

/// The stage that has no part in the path.
const DEFAULT_STAGE: &str = "$default";

/// The HTTP API of the template.
pub(super) struct HttpApi {
    api: Api,
    routes: Routes,
}

impl HttpApi {
    pub(super) fn new(spec: HttpSpec, surroundings: &Surroundings) -> Self {
        Self {
            routes: Routes::new(&spec.routes),
            api: Api {
                domain_name: surroundings.api_host(&spec.api_id),
                account_id: surroundings.account_id.clone(),
                id: spec.api_id,
                stage: spec.stage,
            },
        }
    }

    /// The function that a request goes to, and its event. None if no route takes it.
    pub(super) fn event(
        &self,
        head: &Parts,
        body: &Bytes,
        source_ip: IpAddr,
        at: SystemTime,
        request_id: &str,
    ) -> Option<(String, Value)> {
        let path = self.path_in_stage(head.uri.path())?;
        let found = self.routes.find(head.method.as_str(), path)?;
        let function = found.route.function.clone();
        let received = Received {
            api: &self.api,
            head,
            body,
            source_ip,
            at,
            request_id,
            route_key: route_key(found.route),
            path_parameters: found.parameters,
        };
        Some((function, received.event()))
    }

    /// The path behind the stage.
    fn path_in_stage<'a>(&self, path: &'a str) -> Option<&'a str> {
        if self.api.stage == DEFAULT_STAGE {
            return Some(path);
        }
        let rest = path.strip_prefix('/')?.strip_prefix(&self.api.stage)?;
        match rest {
            "" => Some("/"),
            rest => rest.starts_with('/').then_some(rest),
        }
    }
}

/// Why a request has no answer of a function. The texts are API Gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NotFound,
    HeadTooLarge,
    BodyTooLarge,
    /// The client broke off in the middle of the body.
    Incomplete,
    /// More requests than the API lets in.
    TooMany,
    /// The function failed, or returned something that is no response.
    Internal,
    /// The function was throttled, or took longer than an integration may.
    Unavailable,
}

impl Fault {
    fn response(self) -> GatewayResponse {
        let (status, message) = match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "Not Found"),
            Self::HeadTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "Request Header Fields Too Large",
            ),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large"),
            Self::Incomplete => (StatusCode::BAD_REQUEST, "Bad Request"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
            Self::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        };
        json_response(status, format!(r#"{{"message":"{message}"}}"#))
    }
}

/// Answers a request.
pub(super) async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
    client: SocketAddr,
) -> GatewayResponse {
    let request_id = ids::fresh();
    let outcome = invoke(&shared, request, client, &request_id).await;
    let mut response = outcome.unwrap_or_else(Fault::response);
    if let Ok(id) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn invoke(
    shared: &Shared,
    request: Request<Incoming>,
    client: SocketAddr,
    request_id: &str,
) -> Result<GatewayResponse, Fault> {
    let http = shared.http.as_ref().ok_or(Fault::NotFound)?;
    if !shared.throttles.admit(Asks::Http) {
        shared.meter.record_refused();
        return Err(Fault::TooMany);
    }
    let (head, body) = request.into_parts();
    let path = http.path_in_stage(head.uri.path()).ok_or(Fault::NotFound)?;
    if head_bytes(&head) > MAX_HTTP_HEAD_BYTES {
        return Err(Fault::HeadTooLarge);
    }
    let found = http
        .routes
        .find(head.method.as_str(), path)
        .ok_or(Fault::NotFound)?;
    let body = read(body).await?;
    shared.meter.record_http_request(body.len());

    let Found { route, parameters } = found;
    let received = Received {
        api: &http.api,
        head: &head,
        body: &body,
        source_ip: client.ip().to_canonical(),
        at: shared.now(),
        request_id,
        route_key: route_key(route),
        path_parameters: parameters,
    };
    let event = received.event();
    if event
        .get("body")
        .and_then(|body| body.as_str())
        .is_some_and(|body| body.len() > MAX_INVOCATION_BYTES)
    {
        return Err(Fault::BodyTooLarge);
    }
    let invocation = shared.lambda.invoke(&route.function, event);
    match tokio::time::timeout(HTTP_INTEGRATION_TIMEOUT, invocation).await {
        Ok(Ok(value)) => response(value).map_err(|_| Fault::Internal),
        Ok(Err(InvokeError::Throttled)) | Err(_) => Err(Fault::Unavailable),
        Ok(Err(_)) => Err(Fault::Internal),
    }
}

/// A route as events name it.
fn route_key(route: &HttpRoute) -> String {
    match route.path.as_str() {
        DEFAULT_STAGE => route.path.clone(),
        path => format!("{} {path}", route.method),
    }
}

async fn read(body: Incoming) -> Result<Bytes, Fault> {
    match Limited::new(body, MAX_HTTP_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(Fault::BodyTooLarge),
        Err(_) => Err(Fault::Incomplete),
    }
}

/// Bytes of the request line and the headers, as they came in.
fn head_bytes(head: &Parts) -> usize {
    let line = head.method.as_str().len() + head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    line + headers.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(stage: &str) -> HttpApi {
        let spec = HttpSpec {
            logical_id: "Api".to_owned(),
            api_id: "api".to_owned(),
            stage: stage.to_owned(),
            routes: Vec::new(),
            throttle: None,
        };
        HttpApi::new(spec, &Surroundings::default())
    }

    #[test]
    fn a_path_begins_with_its_stage_unless_that_is_the_default() {
        for (stage, path, expected) in [
            ("prod", "/prod/v1/keys", Some("/v1/keys")),
            ("prod", "/prod/", Some("/")),
            ("prod", "/prod", Some("/")),
            ("prod", "/production/v1", None),
            ("prod", "/v1/keys", None),
            ("$default", "/v1/keys", Some("/v1/keys")),
        ] {
            assert_eq!(api(stage).path_in_stage(path), expected, "{stage} {path}");
        }
    }
}
