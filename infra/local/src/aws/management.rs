//! `@connections`, the API Gateway Management API: post to a connection, close it, ask about it.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::aws::answer::{AwsError, rest_json};
use crate::gateway::connections::{ConnectionInfo, Connections, Gone, MAX_MESSAGE_BYTES, PostError};

/// The path of a request: `/{stage}/@connections/{id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The stage of the WebSocket API.
    pub stage: String,
    /// The connection.
    pub connection: String,
}

impl Path {
    /// The path, if it is one of `@connections`.
    pub fn parse(path: &str) -> Option<Self> {
        let (stage, connection) = path.strip_prefix('/')?.split_once("/@connections/")?;
        let one_segment = |text: &str| !text.is_empty() && !text.contains('/');
        if !one_segment(stage) || !one_segment(connection) {
            return None;
        }
        let connection = percent_decode_str(connection).decode_utf8().ok()?.into_owned();
        Some(Self {
            stage: stage.to_owned(),
            connection,
        })
    }
}

/// Whether a request is for this service, judged by its path alone.
pub fn is_management_path(path: &str) -> bool {
    path.contains("/@connections/")
}

/// Does what a request asks for.
///
/// # Errors
/// `GoneException` (410), `PayloadTooLargeException` (413), `LimitExceededException` (429), and 405 for a
/// method that the API does not have.
pub fn call(
    connections: &Connections,
    method: &Method,
    path: &Path,
    body: Bytes,
) -> Result<Response<Bytes>, AwsError> {
    match *method {
        Method::POST => {
            connections.post(&path.connection, body).map_err(post_error)?;
            Ok(rest_json(StatusCode::OK, Bytes::new()))
        }
        Method::DELETE => {
            connections.delete(&path.connection).map_err(gone)?;
            Ok(rest_json(StatusCode::NO_CONTENT, Bytes::new()))
        }
        Method::GET => {
            let info = connections.info(&path.connection).map_err(gone)?;
            Ok(rest_json(StatusCode::OK, describe(&info).to_string()))
        }
        _ => Err(AwsError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowedException",
            "@connections takes POST, GET and DELETE.",
        )),
    }
}

fn describe(info: &ConnectionInfo) -> serde_json::Value {
    let time = |at| OffsetDateTime::from(at).format(&Rfc3339).ok();
    json!({
        "connectedAt": time(info.connected_at),
        "lastActiveAt": time(info.last_active_at),
        "identity": {"sourceIp": info.source_ip.to_string(), "userAgent": info.user_agent},
    })
}

fn post_error(error: PostError) -> AwsError {
    match error {
        PostError::Gone => gone(Gone),
        PostError::TooLarge => AwsError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "PayloadTooLargeException",
            format!("A message has at most {MAX_MESSAGE_BYTES} bytes."),
        ),
        PostError::LimitExceeded => AwsError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "LimitExceededException",
            "The client does not read what it was sent before.",
        ),
        PostError::TooMany => AwsError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "LimitExceededException",
            "The account makes too many requests.",
        ),
    }
}

fn gone(Gone: Gone) -> AwsError {
    AwsError::new(StatusCode::GONE, "GoneException", "The connection is gone.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::answer::Shape;

    #[test]
    fn a_path_names_a_stage_and_a_connection() {
        let path = Path::parse("/prod/@connections/L0SM9cOFvHcCIhw%3D").unwrap();
        assert_eq!(
            path,
            Path {
                stage: "prod".to_owned(),
                connection: "L0SM9cOFvHcCIhw=".to_owned()
            }
        );
        for wrong in [
            "/prod/@connections/",
            "//@connections/a",
            "/prod/@connections/a/b",
            "/a/b/@connections/c",
            "/",
        ] {
            assert_eq!(Path::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_refusal_has_the_status_and_the_name_that_the_sdk_types_it_by() {
        let expected = [
            (PostError::Gone, 410, "GoneException"),
            (PostError::TooLarge, 413, "PayloadTooLargeException"),
            (PostError::LimitExceeded, 429, "LimitExceededException"),
            (PostError::TooMany, 429, "LimitExceededException"),
        ];
        for (error, status, name) in expected {
            let answer = post_error(error).answer(Shape::RestJson);
            assert_eq!(answer.status().as_u16(), status);
            assert_eq!(answer.headers()["x-amzn-errortype"], name);
        }
    }
}
