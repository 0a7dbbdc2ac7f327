//! What a function of an HTTP API returns, as a response.
//!
//! API Gateway developer guide, "Lambda function response for format 2.0": with a `statusCode` it is a response, without
//! one it is the body of a response.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::{Map, Value};
use thiserror::Error;

use super::{GatewayResponse, json_response, limits::MAX_INVOCATION_BYTES, reply::status_code};

/// A function returned something that is no response.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("what the function returned is no response, or larger than one may be")]
pub(super) struct Malformed;

/// Makes a response of what a function returned.
pub(super) fn response(value: Value) -> Result<GatewayResponse, Malformed> {
    match value {
        Value::Object(reply) if reply.contains_key("statusCode") => explicit(reply),
        Value::String(text) => inferred(text),
        other => inferred(other.to_string()),
    }
}

fn inferred(body: String) -> Result<GatewayResponse, Malformed> {
    (body.len() <= MAX_INVOCATION_BYTES)
        .then(|| json_response(StatusCode::OK, body))
        .ok_or(Malformed)
}

fn explicit(mut reply: Map<String, Value>) -> Result<GatewayResponse, Malformed> {
    let status = reply.get("statusCode").and_then(status_code).ok_or(Malformed)?;
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|status| !status.is_informational())
        .ok_or(Malformed)?;
    let body = match reply.remove("body") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(body)) => body,
        Some(_) => return Err(Malformed),
    };
    if body.len() > MAX_INVOCATION_BYTES {
        return Err(Malformed);
    }
    let is_base64 = reply
        .get("isBase64Encoded")
        .and_then(Value::as_bool)
        .unwrap_or_default();
    let body = if is_base64 {
        STANDARD.decode(body).map_err(|_| Malformed)?.into()
    } else {
        Bytes::from(body)
    };

    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain;charset=UTF-8"),
    );
    for (name, value) in reply
        .get("headers")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let name = HeaderName::try_from(name.as_str()).map_err(|_| Malformed)?;
        let value = header_value(value)?;
        if !belongs_to_connection(&name) {
            headers.insert(name, value);
        }
    }
    for cookie in reply
        .get("cookies")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        headers.append(header::SET_COOKIE, header_value(cookie)?);
    }
    Ok(response)
}

/// Headers that say how the response travels: the gateway's own business.
fn belongs_to_connection(name: &HeaderName) -> bool {
    [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
}

fn header_value(value: &Value) -> Result<HeaderValue, Malformed> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(flag) => flag.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return Err(Malformed),
    };
    HeaderValue::try_from(text).map_err(|_| Malformed)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::json;

    use super::*;

    async fn body(response: GatewayResponse) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_reply_with_a_status_is_the_response() {
        let reply = json!({
            "statusCode": 201,
            "headers": {"Content-Type": "application/json", "X-Number": 3, "Connection": "close"},
            "cookies": ["a=1", "b=2"],
            "body": "{}",
        });
        let response = response(reply).unwrap();
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers()["x-number"], "3");
        assert!(!response.headers().contains_key("connection"));
        assert_eq!(response.headers().get_all("set-cookie").iter().count(), 2);
        assert_eq!(body(response).await, "{}");
    }

    #[tokio::test]
    async fn a_body_in_base64_is_decoded() {
        let response = response(json!({"statusCode": 200, "isBase64Encoded": true, "body": "/w=="})).unwrap();
        assert_eq!(response.headers()["content-type"], "text/plain;charset=UTF-8");
        assert_eq!(body(response).await.as_ref(), [0xFF]);
    }

    #[tokio::test]
    async fn a_reply_without_a_status_is_the_body() {
        for (value, expected) in [
            (json!("Hello from Lambda!"), "Hello from Lambda!"),
            (json!({"message": "hello"}), r#"{"message":"hello"}"#),
        ] {
            let response = response(value).unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "application/json");
            assert_eq!(body(response).await, expected);
        }
    }

    #[test]
    fn what_is_no_response_is_malformed() {
        let most = "x".repeat(MAX_INVOCATION_BYTES);
        assert!(response(json!({"statusCode": 200, "body": most})).is_ok());
        for value in [
            json!({"statusCode": 200, "body": format!("{most}x")}),
            json!(format!("{most}x")),
            json!({"statusCode": 1000}),
            json!({"statusCode": 101}),
            json!({"statusCode": 200, "body": {}}),
            json!({"statusCode": 200, "isBase64Encoded": true, "body": "?"}),
            json!({"statusCode": 200, "headers": {"a b": "c"}}),
            json!({"statusCode": 200, "headers": {"a": "b\r\nc: d"}}),
            json!({"statusCode": 200, "headers": {"a": ["b"]}}),
        ] {
            assert!(response(value).is_err());
        }
    }
}
