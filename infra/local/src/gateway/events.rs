//! The events of a WebSocket API, in the shape that its functions get in AWS.
//!
//! `aws_lambda_events` has types for them, but writes what it does not know as `null` where API Gateway leaves
//! it out; a function in another language would see the difference. So the shapes are written here, and tests
//! read them back with those types. Sources: API Gateway developer guide, "Control access to WebSocket APIs
//! with Lambda `REQUEST` authorizers", "WebSocket API mapping template reference"; recorded events among the
//! fixtures of `aws_lambda_events`.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, Uri};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};

use super::ids;
use crate::template::{Surroundings, WebSocketSpec};

/// The Common Log Format's time, without its brackets: `20/Nov/2026:21:22:15 +0000`.
const CLF_TIME: &[BorrowedFormatItem<'_>] = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// What names a WebSocket API in its events.
#[derive(Debug, Clone)]
pub(super) struct Api {
    /// The id.
    pub(super) id: String,
    /// The stage.
    pub(super) stage: String,
    /// The host that the API would have on AWS.
    pub(super) domain_name: String,
    /// `arn:aws:execute-api:REGION:ACCOUNT`.
    pub(super) arn_prefix: String,
}

impl Api {
    /// Those of the template's WebSocket API.
    pub(super) fn of(spec: &WebSocketSpec, surroundings: &Surroundings) -> Self {
        Self {
            id: spec.api_id.clone(),
            stage: spec.stage.clone(),
            domain_name: surroundings.api_host(&spec.api_id),
            arn_prefix: format!(
                "arn:aws:execute-api:{}:{}",
                surroundings.region, surroundings.account_id
            ),
        }
    }

    /// What an authorizer's policy has to allow.
    pub(super) fn connect_arn(&self) -> String {
        format!("{}:{}/{}/$connect", self.arn_prefix, self.id, self.stage)
    }
}

/// Whose connection an event belongs to.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    /// The connection.
    pub(super) connection_id: Arc<str>,
    /// When the handshake came in.
    pub(super) connected_at: SystemTime,
    /// The client's address.
    pub(super) source_ip: IpAddr,
    /// The client's `User-Agent`.
    pub(super) user_agent: Option<String>,
    /// What the authorizer said of the client: the principal and the context, as texts.
    pub(super) authorizer: Option<Arc<Map<String, Value>>>,
}

/// A handshake's headers and query, in the two forms that events have of each.
#[derive(Debug)]
pub(super) struct Head {
    headers: Map<String, Value>,
    multi_value_headers: Map<String, Value>,
    query: Map<String, Value>,
    multi_value_query: Map<String, Value>,
}

impl Head {
    /// Reads the head of a request, and adds what API Gateway adds.
    pub(super) fn new(headers: &HeaderMap, uri: &Uri, source_ip: IpAddr) -> Self {
        let own = headers.iter().map(|(name, value)| {
            (
                customary_case(name.as_str()),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let port = uri.port_u16().or_else(|| host_port(headers)).unwrap_or(80);
        let added = [
            ("X-Forwarded-For", source_ip.to_string()),
            ("X-Forwarded-Port", port.to_string()),
            ("X-Forwarded-Proto", "http".to_owned()),
        ];
        let added = added.map(|(name, value)| (name.to_owned(), value));
        let (headers, multi_value_headers) = single_and_multi(own.chain(added));
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        let (query, multi_value_query) = single_and_multi(pairs.into_owned());
        Self {
            headers,
            multi_value_headers,
            query,
            multi_value_query,
        }
    }
}

/// One moment of one connection, from which events are made.
pub(super) struct Moment<'a> {
    pub(super) api: &'a Api,
    pub(super) caller: &'a Caller,
    pub(super) at: SystemTime,
    /// What this request is called in the events and in error messages.
    pub(super) request_id: &'a str,
}

impl Moment<'_> {
    /// The event of a `REQUEST` authorizer.
    pub(super) fn authorize(&self, head: &Head) -> Value {
        json!({
            "type": "REQUEST",
            "methodArn": self.api.connect_arn(),
            "headers": head.headers,
            "multiValueHeaders": head.multi_value_headers,
            "queryStringParameters": head.query,
            "multiValueQueryStringParameters": head.multi_value_query,
            "stageVariables": {},
            "requestContext": self.context("$connect", "CONNECT"),
        })
    }

    /// The event of `$connect`.
    pub(super) fn connect(&self, head: &Head) -> Value {
        let mut event = json!({
            "headers": head.headers,
            "multiValueHeaders": head.multi_value_headers,
            "requestContext": self.context("$connect", "CONNECT"),
            "isBase64Encoded": false,
        });
        if let Some(event) = event.as_object_mut().filter(|_| !head.query.is_empty()) {
            event.insert("queryStringParameters".to_owned(), head.query.clone().into());
            event.insert(
                "multiValueQueryStringParameters".to_owned(),
                head.multi_value_query.clone().into(),
            );
        }
        event
    }

    /// The event of a message.
    pub(super) fn message(&self, route_key: &str, body: &str) -> Value {
        let context = RequestContext {
            message_id: Some(ids::fresh()),
            ..self.context(route_key, "MESSAGE")
        };
        json!({ "requestContext": context, "body": body, "isBase64Encoded": false })
    }

    /// The event of `$disconnect`.
    pub(super) fn disconnect(&self, status_code: u16, reason: &str) -> Value {
        let context = RequestContext {
            disconnect_status_code: Some(status_code),
            disconnect_reason: Some(reason),
            ..self.context("$disconnect", "DISCONNECT")
        };
        let host = &self.api.domain_name;
        json!({
            "headers": { "Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": "" },
            "multiValueHeaders": {
                "Host": [host], "x-api-key": [""], "X-Forwarded-For": [""], "x-restapi": [""]
            },
            "requestContext": context,
            "isBase64Encoded": false,
        })
    }

    fn context<'a>(&'a self, route_key: &'a str, event_type: &'static str) -> RequestContext<'a> {
        RequestContext {
            route_key,
            authorizer: self.caller.authorizer.as_deref(),
            message_id: None,
            disconnect_status_code: None,
            disconnect_reason: None,
            event_type,
            extended_request_id: self.request_id,
            request_time: clf_time(self.at),
            message_direction: "IN",
            stage: &self.api.stage,
            connected_at: epoch_ms(self.caller.connected_at),
            request_time_epoch: epoch_ms(self.at),
            identity: Identity {
                user_agent: self.caller.user_agent.as_deref(),
                source_ip: self.caller.source_ip,
            },
            request_id: self.request_id,
            domain_name: &self.api.domain_name,
            connection_id: &self.caller.connection_id,
            api_id: &self.api.id,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    route_key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    authorizer: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_status_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_reason: Option<&'a str>,
    event_type: &'static str,
    extended_request_id: &'a str,
    request_time: String,
    message_direction: &'static str,
    stage: &'a str,
    connected_at: u64,
    request_time_epoch: u64,
    identity: Identity<'a>,
    request_id: &'a str,
    domain_name: &'a str,
    connection_id: &'a str,
    api_id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identity<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    source_ip: IpAddr,
}

/// Milliseconds since 1970.
pub(super) fn epoch_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time as log files have it.
pub(super) fn clf_time(at: SystemTime) -> String {
    // The format has no part that could fail for a UTC time.
    OffsetDateTime::from(at).format(CLF_TIME).unwrap_or_default()
}

/// A header's name as clients customarily write it (`Sec-WebSocket-Key`): the HTTP library keeps names in lower
/// case only, while events have them as the client wrote them.
fn customary_case(name: &str) -> String {
    let words = name.split('-').map(|word| match word {
        "websocket" => "WebSocket".to_owned(),
        word => {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase())
                .into_iter()
                .chain(letters)
                .collect()
        }
    });
    words.collect::<Vec<_>>().join("-")
}

fn host_port(headers: &HeaderMap) -> Option<u16> {
    let host = headers.get(http::header::HOST)?.to_str().ok()?;
    host.rsplit_once(':')?.1.parse().ok()
}

/// The last value of each name, and all of them.
fn single_and_multi(
    pairs: impl Iterator<Item = (String, String)>,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut single = Map::new();
    let mut multi = Map::new();
    for (name, value) in pairs {
        single.insert(name.clone(), Value::from(value.as_str()));
        if let Value::Array(values) = multi.entry(name).or_insert_with(|| json!([])) {
            values.push(value.into());
        }
    }
    (single, multi)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_lambda_events::apigw::{
        ApiGatewayCustomAuthorizerRequestTypeRequest, ApiGatewayWebsocketProxyRequest,
    };

    use super::*;

    fn api() -> Api {
        Api {
            id: "chat".to_owned(),
            stage: "prod".to_owned(),
            domain_name: "chat.execute-api.us-east-1.amazonaws.com".to_owned(),
            arn_prefix: "arn:aws:execute-api:us-east-1:000000000000".to_owned(),
        }
    }

    fn caller() -> Caller {
        let context = json!({"principalId": "alice", "device": "3"});
        Caller {
            connection_id: "L0SM9cOFvHcCIhw=".into(),
            connected_at: UNIX_EPOCH + Duration::from_millis(1_795_000_000_001),
            source_ip: [192, 0, 2, 1].into(),
            user_agent: Some("test".to_owned()),
            authorizer: context.as_object().cloned().map(Arc::new),
        }
    }

    fn head() -> Head {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "127.0.0.1:4000"),
            ("authorization", "Bearer x"),
            ("sec-websocket-key", "k"),
            ("accept", "a"),
            ("accept", "b"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        Head::new(
            &headers,
            &"/prod?q=1&q=a%20b&r=+".parse().unwrap(),
            [192, 0, 2, 1].into(),
        )
    }

    fn event(make: impl FnOnce(&Moment<'_>) -> Value) -> Value {
        let (api, caller) = (api(), caller());
        let at = UNIX_EPOCH + Duration::from_millis(1_795_209_735_123);
        make(&Moment {
            api: &api,
            caller: &caller,
            at,
            request_id: "JKJaXmPLvHcESHA=",
        })
    }

    #[test]
    fn a_message_has_its_route_its_text_and_what_the_authorizer_said() {
        let event = event(|moment| moment.message("send", "{\"action\":\"send\"}"));
        let parsed: ApiGatewayWebsocketProxyRequest = serde_json::from_value(event.clone()).unwrap();
        let context = parsed.request_context;
        assert_eq!(parsed.body.as_deref(), Some("{\"action\":\"send\"}"));
        assert!(!parsed.is_base64_encoded);
        for (value, expected) in [
            (&context.route_key, "send"),
            (&context.event_type, "MESSAGE"),
            (&context.message_direction, "IN"),
            (&context.connection_id, "L0SM9cOFvHcCIhw="),
            (&context.request_id, "JKJaXmPLvHcESHA="),
            (&context.extended_request_id, "JKJaXmPLvHcESHA="),
            (&context.request_time, "20/Nov/2026:21:22:15 +0000"),
            (&context.stage, "prod"),
            (&context.apiid, "chat"),
            (&context.domain_name, "chat.execute-api.us-east-1.amazonaws.com"),
            (&context.identity.source_ip, "192.0.2.1"),
            (&context.identity.user_agent, "test"),
        ] {
            assert_eq!(value.as_deref(), Some(expected));
        }
        assert_eq!(context.connected_at, 1_795_000_000_001);
        assert_eq!(context.request_time_epoch, 1_795_209_735_123);
        assert!(context.message_id.is_some());
        assert_eq!(context.authorizer.fields["principalId"], "alice");
        assert_eq!(context.authorizer.fields["device"], "3");
        let keys: Vec<_> = event.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["body", "isBase64Encoded", "requestContext"],
            "a message has no headers"
        );
    }

    #[test]
    fn a_connect_has_the_headers_and_the_query_of_the_handshake() {
        let event = event(|moment| moment.connect(&head()));
        assert_eq!(event["headers"]["Sec-WebSocket-Key"], "k");
        assert_eq!(event["headers"]["X-Forwarded-For"], "192.0.2.1");
        assert_eq!(event["headers"]["X-Forwarded-Port"], "4000");
        assert_eq!(event["multiValueHeaders"]["Accept"], json!(["a", "b"]));
        assert_eq!(event["queryStringParameters"], json!({"q": "a b", "r": " "}));
        assert_eq!(event["multiValueQueryStringParameters"]["q"], json!(["1", "a b"]));
        let parsed: ApiGatewayWebsocketProxyRequest = serde_json::from_value(event).unwrap();
        assert_eq!(parsed.headers["authorization"], "Bearer x");
        assert_eq!(parsed.request_context.event_type.as_deref(), Some("CONNECT"));
        assert_eq!(parsed.request_context.message_id, None);
    }

    #[test]
    fn an_authorizer_is_asked_about_the_arn_of_connect() {
        let event = event(|moment| moment.authorize(&head()));
        assert_eq!(event["type"], "REQUEST");
        assert_eq!(
            event["methodArn"],
            "arn:aws:execute-api:us-east-1:000000000000:chat/prod/$connect"
        );
        assert_eq!(event["requestContext"]["routeKey"], "$connect");
        let mut with_method = event;
        with_method["httpMethod"] = "GET".into();
        with_method["requestContext"]["httpMethod"] = "GET".into();
        let parsed: ApiGatewayCustomAuthorizerRequestTypeRequest =
            serde_json::from_value(with_method).unwrap();
        assert_eq!(parsed.headers["authorization"], "Bearer x");
    }

    #[test]
    fn a_disconnect_says_why() {
        let event = event(|moment| moment.disconnect(1001, "Going away"));
        let parsed: ApiGatewayWebsocketProxyRequest = serde_json::from_value(event).unwrap();
        let context = parsed.request_context;
        assert_eq!(context.event_type.as_deref(), Some("DISCONNECT"));
        assert_eq!(context.route_key.as_deref(), Some("$disconnect"));
        assert_eq!(context.disconnect_status_code, Some(1001));
        assert_eq!(context.disconnect_reason.as_deref(), Some("Going away"));
    }
}
