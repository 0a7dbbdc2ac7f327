//! The event of an HTTP API, payload format 2.0, and what a request has to be for one.
//!
//! API Gateway developer guide, "Create AWS Lambda proxy integrations for HTTP APIs". As for the WebSocket API the
//! shape is written here and read back in tests with `aws_lambda_events`, whose type writes more than AWS sends.

use std::{net::IpAddr, time::SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Version, header, request::Parts};
use serde_json::{Map, Value, json};

use super::events::{clf_time, epoch_ms};

/// What names an HTTP API in its events.
#[derive(Debug)]
pub(super) struct Api {
    /// The id, and first part of the domain name.
    pub(super) id: String,
    /// The account.
    pub(super) account_id: String,
    /// The stage.
    pub(super) stage: String,
    /// The host that the API would have on AWS.
    pub(super) domain_name: String,
}

/// A request and what the gateway knows about it.
pub(super) struct Received<'a> {
    pub(super) api: &'a Api,
    pub(super) head: &'a Parts,
    pub(super) body: &'a Bytes,
    pub(super) source_ip: IpAddr,
    pub(super) at: SystemTime,
    pub(super) request_id: &'a str,
    /// `POST /v1/keys`, or `$default`.
    pub(super) route_key: String,
    pub(super) path_parameters: Map<String, Value>,
}

impl Received<'_> {
    /// The event.
    pub(super) fn event(self) -> Value {
        let Self { api, head, at, .. } = self;
        let raw_query = head.uri.query().unwrap_or_default();
        let mut event = json!({
            "version": "2.0",
            "routeKey": self.route_key,
            "rawPath": head.uri.path(),
            "rawQueryString": raw_query,
            "headers": self.headers(),
            "requestContext": {
                "accountId": api.account_id,
                "apiId": api.id,
                "domainName": api.domain_name,
                "domainPrefix": api.id,
                "http": {
                    "method": head.method.as_str(),
                    "path": head.uri.path(),
                    "protocol": protocol(head.version),
                    "sourceIp": self.source_ip,
                    "userAgent": text_of(&head.headers, header::USER_AGENT).unwrap_or_default(),
                },
                "requestId": self.request_id,
                "routeKey": self.route_key,
                "stage": api.stage,
                "time": clf_time(at),
                "timeEpoch": epoch_ms(at),
            },
            "isBase64Encoded": false,
        });
        // What is empty is left out.
        if let Value::Object(event) = &mut event {
            let cookies = cookies(&head.headers);
            if !cookies.is_empty() {
                event.insert("cookies".to_owned(), cookies.into());
            }
            let query = joined(form_urlencoded::parse(raw_query.as_bytes()).into_owned());
            if !query.is_empty() {
                event.insert("queryStringParameters".to_owned(), query.into());
            }
            if !self.path_parameters.is_empty() {
                event.insert("pathParameters".to_owned(), self.path_parameters.into());
            }
            if !self.body.is_empty() {
                let (body, is_base64) = encoded(&head.headers, self.body);
                event.insert("body".to_owned(), body.into());
                event.insert("isBase64Encoded".to_owned(), is_base64.into());
            }
        }
        event
    }

    fn headers(&self) -> Map<String, Value> {
        let headers = &self.head.headers;
        let own = headers.iter().filter(|(name, _)| !is_left_out(name));
        let own = own.map(|(name, value)| {
            (
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let port = text_of(headers, header::HOST);
        let port = port
            .as_deref()
            .and_then(|host| host.rsplit_once(':'))
            .map_or("80", |(_, port)| port);
        let added = [
            ("x-forwarded-for", self.source_ip.to_string()),
            ("x-forwarded-port", port.to_owned()),
            ("x-forwarded-proto", "http".to_owned()),
        ];
        joined(own.chain(added.map(|(name, value)| (name.to_owned(), value))))
    }
}

/// Cookies have a place of their own in the event; the others belong to the connection, not to the request.
fn is_left_out(name: &header::HeaderName) -> bool {
    [
        header::COOKIE,
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ]
    .contains(name)
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    lines
        .flat_map(|line| line.split(';'))
        .map(|cookie| cookie.trim().to_owned())
        .collect()
}

/// Values of the same name in one text, commas between.
fn joined(pairs: impl Iterator<Item = (String, String)>) -> Map<String, Value> {
    let mut map: Map<String, Value> = Map::new();
    for (name, value) in pairs {
        match map.get_mut(&name) {
            Some(Value::String(present)) => {
                present.push(',');
                present.push_str(&value);
            }
            _ => {
                map.insert(name, value.into());
            }
        }
    }
    map
}

/// The body as a text, or as base64 if its type is not one of texts.
fn encoded(headers: &HeaderMap, body: &Bytes) -> (String, bool) {
    let text = std::str::from_utf8(body).ok().filter(|_| is_text(headers));
    match text {
        Some(text) => (text.to_owned(), false),
        None => (STANDARD.encode(body), true),
    }
}

fn is_text(headers: &HeaderMap) -> bool {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return false;
    }
    let Some(content_type) = text_of(headers, header::CONTENT_TYPE) else {
        return true;
    };
    let media_type = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    media_type.starts_with("text/")
        || media_type.ends_with("+json")
        || media_type.ends_with("+xml")
        || ["application/json", "application/xml", "application/javascript"].contains(&media_type.as_str())
}

fn text_of(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers
        .get(name)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/1.1",
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
    use http::Request;

    use super::*;

    fn event(headers: &[(&str, &str)], uri: &str, body: &'static [u8]) -> Value {
        let mut request = Request::builder().method("POST").uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let api = Api {
            id: "http".to_owned(),
            account_id: "000000000000".to_owned(),
            stage: "prod".to_owned(),
            domain_name: "http.execute-api.us-east-1.amazonaws.com".to_owned(),
        };
        let received = Received {
            api: &api,
            head: &head,
            body: &Bytes::from_static(body),
            source_ip: [192, 0, 2, 1].into(),
            at: UNIX_EPOCH + Duration::from_millis(1_795_209_735_123),
            request_id: "JKJaXmPLvHcESHA=",
            route_key: "POST /v1/keys/{userId}".to_owned(),
            path_parameters: json!({"userId": "a"}).as_object().cloned().unwrap(),
        };
        received.event()
    }

    #[test]
    fn an_event_has_the_shape_of_format_2_0() {
        let headers = [
            ("Host", "127.0.0.1:4000"),
            ("Accept", "a"),
            ("Accept", "b"),
            ("Cookie", "c=1; d=2"),
            ("User-Agent", "test"),
            ("Content-Type", "application/json"),
        ];
        let event = event(&headers, "/prod/v1/keys/a?q=1&q=2&r=%20", b"{}");
        let expected = json!({
            "version": "2.0",
            "routeKey": "POST /v1/keys/{userId}",
            "rawPath": "/prod/v1/keys/a",
            "rawQueryString": "q=1&q=2&r=%20",
            "cookies": ["c=1", "d=2"],
            "headers": {
                "accept": "a,b",
                "content-type": "application/json",
                "host": "127.0.0.1:4000",
                "user-agent": "test",
                "x-forwarded-for": "192.0.2.1",
                "x-forwarded-port": "4000",
                "x-forwarded-proto": "http",
            },
            "queryStringParameters": {"q": "1,2", "r": " "},
            "pathParameters": {"userId": "a"},
            "requestContext": {
                "accountId": "000000000000",
                "apiId": "http",
                "domainName": "http.execute-api.us-east-1.amazonaws.com",
                "domainPrefix": "http",
                "http": {
                    "method": "POST",
                    "path": "/prod/v1/keys/a",
                    "protocol": "HTTP/1.1",
                    "sourceIp": "192.0.2.1",
                    "userAgent": "test",
                },
                "requestId": "JKJaXmPLvHcESHA=",
                "routeKey": "POST /v1/keys/{userId}",
                "stage": "prod",
                "time": "20/Nov/2026:21:22:15 +0000",
                "timeEpoch": 1_795_209_735_123_u64,
            },
            "body": "{}",
            "isBase64Encoded": false,
        });
        assert_eq!(event, expected);
        let parsed: ApiGatewayV2httpRequest = serde_json::from_value(event).unwrap();
        assert_eq!(parsed.path_parameters["userId"], "a");
        assert_eq!(parsed.request_context.http.method, "POST");
        assert_eq!(parsed.headers["accept"], "a,b");
    }

    #[test]
    fn a_body_is_a_text_or_base64_by_its_type() {
        for (headers, body, expected, is_base64) in [
            (vec![], b"x".as_slice(), "x", false),
            (
                vec![("Content-Type", "text/plain; charset=utf-8")],
                b"x",
                "x",
                false,
            ),
            (
                vec![("Content-Type", "application/problem+json")],
                b"{}",
                "{}",
                false,
            ),
            (
                vec![("Content-Type", "application/octet-stream")],
                b"x",
                "eA==",
                true,
            ),
            (
                vec![("Content-Type", "application/x-www-form-urlencoded")],
                b"a=b",
                "YT1i",
                true,
            ),
            (
                vec![("Content-Type", "application/json"), ("Content-Encoding", "gzip")],
                b"x",
                "eA==",
                true,
            ),
            (vec![("Content-Type", "application/json")], b"\xFF", "/w==", true),
        ] {
            let event = event(&headers, "/prod/v1/keys/a", body);
            assert_eq!(
                (&event["body"], &event["isBase64Encoded"]),
                (&json!(expected), &json!(is_base64)),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn what_is_empty_is_left_out() {
        let event = event(&[], "/prod/v1/keys/a", b"");
        for key in ["body", "cookies", "queryStringParameters"] {
            assert!(event.get(key).is_none(), "{key}");
        }
    }
}
