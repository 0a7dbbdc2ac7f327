//! What the functions behind HTTP routes share.

use std::borrow::Cow;

use aws_lambda_events::{
    apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse},
    encodings::Body,
    http::{
        HeaderValue,
        header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use waxwing_backend::{
    Backend,
    authorize::{Authorized, authorize},
};
use waxwing_wire::{ErrorCode, Problem};

use crate::FunctionError;

/// Bytes of a request's body. The largest valid one, a device with a hundred one-time prekeys, has about ten
/// thousand.
const MAX_BODY_BYTES: usize = 32 * 1024;

/// A request.
pub(crate) struct Request(ApiGatewayV2httpRequest);

impl Request {
    fn read(event: Value) -> Result<Self, FunctionError> {
        serde_json::from_value(event)
            .map(Self)
            .map_err(|_| FunctionError::Event)
    }

    /// The device whose token the request carries.
    pub(crate) async fn authorized(&self, backend: &Backend) -> Result<Authorized, Problem> {
        let header = self.0.headers.get(AUTHORIZATION);
        let header = header.and_then(|value| value.to_str().ok());
        Ok(authorize(backend, header).await?)
    }

    /// The body, from JSON.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let text = self.0.body.as_deref().unwrap_or_default();
        // Base64 is a third longer than what it encodes.
        if text.len() > MAX_BODY_BYTES.saturating_mul(4) / 3 {
            return Err(too_large());
        }
        let bytes = if self.0.is_base64_encoded {
            let decoded = STANDARD.decode(text);
            Cow::Owned(decoded.map_err(|_| malformed("The body is not what its encoding says."))?)
        } else {
            Cow::Borrowed(text.as_bytes())
        };
        if bytes.len() > MAX_BODY_BYTES {
            return Err(too_large());
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            malformed(format!(
                "The body goes wrong near {place}; see docs/api.md for its shape."
            ))
        })
    }

    /// The path parameter `name`.
    pub(crate) fn parameter<T: std::str::FromStr>(&self, name: &str) -> Result<T, Problem> {
        let text = self.0.path_parameters.get(name);
        let value = text.and_then(|text| text.parse().ok());
        value.ok_or_else(|| malformed(format!("The path has no valid {name}.")))
    }
}

/// Reads the event, lets `handle` answer its request, and replies with the answer or the refusal.
pub(crate) async fn on_request<F, T>(
    event: Value,
    handle: impl FnOnce(Request) -> F,
) -> Result<Value, FunctionError>
where
    F: Future<Output = Result<T, Problem>>,
    T: Serialize,
{
    match handle(Request::read(event)?).await {
        Ok(answer) => response(200, &answer, None),
        Err(problem) => {
            tracing::debug!(code = ?problem.code, "a request was refused");
            response(problem.code.http_status(), &problem, problem.retry_after_seconds)
        }
    }
}

fn malformed(message: impl Into<String>) -> Problem {
    Problem::new(ErrorCode::Malformed, message)
}

fn too_large() -> Problem {
    Problem::new(
        ErrorCode::TooLarge,
        format!("A body has at most {MAX_BODY_BYTES} bytes."),
    )
}

fn response(status: u16, body: &impl Serialize, retry_after: Option<u32>) -> Result<Value, FunctionError> {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status);
    let headers = &mut response.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let body = serde_json::to_string(body).map_err(|_| FunctionError::Event)?;
    response.body = Some(Body::Text(body));
    serde_json::to_value(response).map_err(|_| FunctionError::Event)
}
