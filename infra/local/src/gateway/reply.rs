//! What a function of a WebSocket API returns: `{"statusCode": 200, "headers": {…}, "body": "…"}`.

use serde_json::Value;
use thiserror::Error;

/// A function's reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// 100 to 599.
    pub(super) status: u16,
    /// What a route response carries.
    pub(super) body: Option<String>,
    /// The header `Sec-WebSocket-Protocol`: what `$connect` chose (API Gateway developer guide, "Set up a
    /// `$connect` route that requires a WebSocket subprotocol").
    pub(super) subprotocol: Option<String>,
}

/// A function returned something that is no reply of a proxy integration.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("what the function returned has no statusCode, or a body that is not a text")]
pub(super) struct Malformed;

impl Reply {
    /// Reads what a function returned.
    pub(super) fn read(value: Value) -> Result<Self, Malformed> {
        let Value::Object(mut value) = value else {
            return Err(Malformed);
        };
        let status = value.get("statusCode").and_then(status_code).ok_or(Malformed)?;
        let subprotocol = value
            .get("headers")
            .and_then(Value::as_object)
            .and_then(|headers| {
                let mut headers = headers.iter();
                let (_, protocol) =
                    headers.find(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Protocol"))?;
                protocol.as_str().map(str::to_owned)
            });
        let body = match value.remove("body") {
            None | Some(Value::Null) => None,
            Some(Value::String(body)) => Some(body),
            Some(_) => return Err(Malformed),
        };
        Ok(Self {
            status,
            body,
            subprotocol,
        })
    }

    /// Whether the function agrees: 200 to 299.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// A status code, as a number or as the text of one.
pub(super) fn status_code(value: &Value) -> Option<u16> {
    let number = match value {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    (100..600).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_reply_has_a_status_and_may_have_a_body_and_a_subprotocol() {
        let value = json!({"statusCode": 200, "body": "hello", "headers": {"sec-websocket-protocol": "v1"}});
        let expected = Reply {
            status: 200,
            body: Some("hello".to_owned()),
            subprotocol: Some("v1".to_owned()),
        };
        assert_eq!(Reply::read(value), Ok(expected));
        let expected = Reply {
            status: 204,
            body: None,
            subprotocol: None,
        };
        assert_eq!(
            Reply::read(json!({"statusCode": "204", "body": null})),
            Ok(expected)
        );
    }

    #[test]
    fn anything_else_is_malformed() {
        for value in [
            json!(null),
            json!("hello"),
            json!({}),
            json!({"statusCode": 99}),
            json!({"statusCode": 600}),
            json!({"statusCode": true}),
            json!({"statusCode": 200, "body": {"a": 1}}),
        ] {
            assert_eq!(Reply::read(value.clone()), Err(Malformed), "{value}");
        }
    }
}
