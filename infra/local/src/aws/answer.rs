//! Responses in the shapes that AWS has: `awsJson1_0` (DynamoDB), `restJson1` (`@connections`), and `awsQuery`
//! (SNS), whose XML is in [`crate::aws::sns`].

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use crate::aws::sns::query;

/// Media type of DynamoDB's requests and answers.
pub const AWS_JSON: &str = "application/x-amz-json-1.0";

/// Media type of everything else here.
const JSON: &str = "application/json";

/// The header in which `restJson1` names an error.
const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// How a service writes its errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The name in the body's `__type`.
    AwsJson,
    /// The name in the header `x-amzn-errortype`.
    RestJson,
    /// XML with the name as `Code`.
    Query,
}

/// An error of AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsError {
    /// HTTP status.
    pub status: StatusCode,
    /// Its name: `GoneException`.
    pub kind: &'static str,
    /// A sentence for people.
    pub message: String,
}

impl AwsError {
    /// An error of this name.
    pub fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
        }
    }

    /// The error as this shape writes it.
    pub fn answer(&self, shape: Shape) -> Response<Bytes> {
        match shape {
            Shape::AwsJson => {
                let body = json!({"__type": format!("com.amazon.coral.service#{}", self.kind), "message": self.message});
                aws_json(self.status, body.to_string())
            }
            Shape::RestJson => {
                let mut answer = rest_json(self.status, json!({"message": self.message}).to_string());
                answer
                    .headers_mut()
                    .insert(ERROR_TYPE, HeaderValue::from_static(self.kind));
                answer
            }
            Shape::Query => query::error(self),
        }
    }
}

/// An answer of DynamoDB.
pub fn aws_json(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    with_type(status, AWS_JSON, body.into())
}

/// An answer of a `restJson1` service.
pub fn rest_json(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    with_type(status, JSON, body.into())
}

fn with_type(status: StatusCode, media_type: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
