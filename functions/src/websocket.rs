//! What the functions behind WebSocket routes share.
//!
//! Who sent a frame is what the authorizer said when the connection opened; API Gateway hands it to every later
//! frame. A frame without it, or with anything else in its place, is refused. Whatever a frame holds, it counts as
//! one request of its account. The reply to a frame is the function's return value, which API Gateway sends as the
//! route's response.

use std::time::Duration;

use aws_lambda_events::{
    apigw::{
        ApiGatewayProxyResponse, ApiGatewayWebsocketProxyRequest, ApiGatewayWebsocketProxyRequestContext,
    },
    encodings::Body,
};
use serde::Deserialize;
use serde_json::Value;
use waxwing_backend::{
    Backend,
    disconnect::hang_up,
    requests::{admit, admit_ephemeral},
    sockets::ConnectionId,
};
use waxwing_wire::{
    ClientFrame, DeviceAddress, ErrorCode, Problem, RegisteredDevice, RequestId, ServiceFrame,
    frame::Refused, limits::MAX_MESSAGE_BYTES,
};

use crate::FunctionError;

/// Names of the authorizer context's entries. All values are strings, as API Gateway hands them on.
pub(crate) mod context {
    pub(crate) const ACCOUNT: &str = "account";
    pub(crate) const DEVICE: &str = "device";
    pub(crate) const REGISTRATION: &str = "registration";
}

/// A connection that opens or has closed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) device: RegisteredDevice,
    pub(crate) id: ConnectionId,
    /// When it was opened, since 1970, by API Gateway's clock.
    pub(crate) opened: Duration,
}

/// Who sent a frame.
struct Sender {
    device: RegisteredDevice,
    connection: ConnectionId,
}

/// Reads the event, which must be of type `event_type` (`CONNECT` or `DISCONNECT`), lets `handle` work on its
/// connection, and replies with a status: only that of `$connect` is heeded, where it decides whether the
/// connection opens.
pub(crate) async fn on_connection<F>(
    event_type: &str,
    event: Value,
    handle: impl FnOnce(Connection) -> F,
) -> Result<Value, FunctionError>
where
    F: Future<Output = Result<(), Problem>>,
{
    let event = parse(event)?;
    let result = match connection(event_type, &event.request_context) {
        Ok(connection) => handle(connection).await,
        Err(problem) => Err(problem),
    };
    match result {
        Ok(()) => response(200, None),
        Err(problem) => response(problem.code.http_status(), None),
    }
}

/// Reads the event, lets `handle` answer its frame, and replies with the answer or the refusal.
pub(crate) async fn on_frame<F>(
    backend: &Backend,
    event: Value,
    handle: impl FnOnce(RegisteredDevice, ClientFrame) -> F,
) -> Result<Value, FunctionError>
where
    F: Future<Output = Result<ServiceFrame, Problem>>,
{
    let event = parse(event)?;
    let result = match admitted(backend, &event).await {
        Ok(Sender { device, connection }) => match frame(&event) {
            Ok(frame) => close_if_gone(backend, &connection, handle(device, frame).await).await,
            Err(problem) => Err(problem),
        },
        Err(problem) => Err(problem),
    };
    reply(&result.unwrap_or_else(|problem| refusal(&event, problem)))
}

/// Reads the event and lets `handle` work on its frame. Whatever comes of it, nothing is replied, and API Gateway hears
/// of no failure: it would say so on the connection, and not of which frame.
pub(crate) async fn on_unanswered<F>(
    backend: &Backend,
    event: Value,
    handle: impl FnOnce(RegisteredDevice, ClientFrame) -> F,
) -> Result<Value, FunctionError>
where
    F: Future<Output = Result<(), Problem>>,
{
    let event = parse(event)?;
    let handled = async {
        let Sender { device, connection } = sender(&event.request_context)?;
        admit_ephemeral(backend, device.address.account, &connection).await?;
        handle(device, frame(&event)?).await
    };
    if let Err(problem) = handled.await {
        tracing::debug!(code = ?problem.code, "an unanswered frame was dropped");
    }
    response(200, None)
}

/// A device that is not in its account any more keeps no connection, should the one who removed it not have been able
/// to close it.
async fn close_if_gone(
    backend: &Backend,
    connection: &ConnectionId,
    result: Result<ServiceFrame, Problem>,
) -> Result<ServiceFrame, Problem> {
    if let Err(Problem {
        code: ErrorCode::Unauthorized,
        ..
    }) = result
    {
        hang_up(backend, connection).await;
    }
    result
}

/// Reads the event of a frame that no route takes, and replies with what `refuse` says of its body.
pub(crate) async fn on_unrouted(
    backend: &Backend,
    event: Value,
    refuse: impl FnOnce(&str) -> Problem,
) -> Result<Value, FunctionError> {
    let event = parse(event)?;
    let problem = match admitted(backend, &event).await {
        Ok(_) => refuse(event.body.as_deref().unwrap_or_default()),
        Err(problem) => problem,
    };
    reply(&refusal(&event, problem))
}

/// The refusal of a frame that came by a route its action does not have.
pub(crate) fn wrong_route() -> Problem {
    Problem::new(
        ErrorCode::Malformed,
        "The frame's action is not that of its route.",
    )
}

fn parse(event: Value) -> Result<ApiGatewayWebsocketProxyRequest, FunctionError> {
    serde_json::from_value(event).map_err(|_| FunctionError::Event)
}

fn connection(
    event_type: &str,
    context: &ApiGatewayWebsocketProxyRequestContext,
) -> Result<Connection, Problem> {
    if context.event_type.as_deref() != Some(event_type) {
        return Err(unauthorized());
    }
    let id = context.connection_id.as_deref().and_then(ConnectionId::new);
    let opened = u64::try_from(context.connected_at).map_err(|_| unauthorized())?;
    Ok(Connection {
        device: device(context).ok_or_else(unauthorized)?,
        id: id.ok_or_else(unauthorized)?,
        opened: Duration::from_millis(opened),
    })
}

/// Who sent the frame, if the account may make another request.
async fn admitted(backend: &Backend, event: &ApiGatewayWebsocketProxyRequest) -> Result<Sender, Problem> {
    let sender = sender(&event.request_context)?;
    admit(backend, sender.device.address.account, Some(&sender.connection)).await?;
    Ok(sender)
}

fn sender(context: &ApiGatewayWebsocketProxyRequestContext) -> Result<Sender, Problem> {
    if context.event_type.as_deref() != Some("MESSAGE") {
        return Err(unauthorized());
    }
    let connection = context.connection_id.as_deref().and_then(ConnectionId::new);
    Ok(Sender {
        device: device(context).ok_or_else(unauthorized)?,
        connection: connection.ok_or_else(unauthorized)?,
    })
}

fn frame(event: &ApiGatewayWebsocketProxyRequest) -> Result<ClientFrame, Problem> {
    let body = event.body.as_deref().unwrap_or_default();
    if body.len() > MAX_MESSAGE_BYTES {
        let message = format!("A frame has at most {MAX_MESSAGE_BYTES} bytes.");
        return Err(Problem::new(ErrorCode::TooLarge, message));
    }
    if event.is_base64_encoded {
        return Err(Problem::new(
            ErrorCode::Malformed,
            "A frame is JSON text, not binary.",
        ));
    }
    ClientFrame::parse(body)
}

/// The device that the authorizer named.
fn device(context: &ApiGatewayWebsocketProxyRequestContext) -> Option<RegisteredDevice> {
    let text = |name| context.authorizer.fields.get(name).and_then(Value::as_str);
    let address = DeviceAddress {
        account: text(context::ACCOUNT)?.parse().ok()?,
        device: text(context::DEVICE)?.parse().ok()?,
    };
    let registration = text(context::REGISTRATION)?.parse().ok()?;
    Some(RegisteredDevice {
        address,
        registration,
    })
}

fn unauthorized() -> Problem {
    Problem::new(
        ErrorCode::Unauthorized,
        "This connection is not authorized. Connect again.",
    )
}

fn refusal(event: &ApiGatewayWebsocketProxyRequest, problem: Problem) -> ServiceFrame {
    tracing::debug!(code = ?problem.code, "a frame was refused");
    let request = request_id(event.body.as_deref().unwrap_or_default());
    ServiceFrame::Error(Refused { request, problem })
}

/// The request id of a frame that is refused, if it can be read.
fn request_id(body: &str) -> Option<RequestId> {
    #[derive(Deserialize)]
    struct Numbered {
        request: RequestId,
    }
    let numbered = serde_json::from_str::<Numbered>(body).ok()?;
    Some(numbered.request)
}

fn reply(frame: &ServiceFrame) -> Result<Value, FunctionError> {
    let body = serde_json::to_string(frame).map_err(|_| FunctionError::Event)?;
    response(200, Some(body))
}

fn response(status: u16, body: Option<String>) -> Result<Value, FunctionError> {
    let mut response = ApiGatewayProxyResponse::default();
    response.status_code = i64::from(status);
    response.body = body.map(Body::Text);
    serde_json::to_value(response).map_err(|_| FunctionError::Event)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use waxwing_wire::{
        ack::AckRequest, claim::ClaimRequest, ephemeral::EphemeralRequest, receive::ReceiveRequest,
        send::SendRequest,
    };

    use super::*;
    use crate::{
        invoke,
        samples::{body, sample, unreachable_backend},
    };

    const ACCOUNT: &str = "3b9f2c64-7d1e-4a58-9c0b-5e8d4f6a1b20";

    fn device_of_samples(device: u64, registration: u64) -> RegisteredDevice {
        RegisteredDevice {
            address: DeviceAddress {
                account: ACCOUNT.parse().unwrap(),
                device: device.try_into().unwrap(),
            },
            registration: registration.try_into().unwrap(),
        }
    }

    fn phone() -> RegisteredDevice {
        device_of_samples(1, 1_201_337_011)
    }

    fn laptop() -> RegisteredDevice {
        device_of_samples(2, 870_245_593)
    }

    fn read(name: &str) -> (RegisteredDevice, ClientFrame) {
        let event = parse(sample(name)).unwrap();
        let Sender { device, .. } = sender(&event.request_context).map_err(|_| name).unwrap();
        (device, frame(&event).unwrap())
    }

    /// The request a sample carries, read apart from the code that is tested.
    fn expected<T: serde::de::DeserializeOwned>(name: &str) -> T {
        let mut body = body(name);
        body.as_object_mut().unwrap().remove("action");
        serde_json::from_value(body).unwrap()
    }

    #[test]
    fn the_sample_frames_are_read_as_what_they_say_from_whom_the_authorizer_named() {
        let send = ClientFrame::Send(expected::<SendRequest>("send"));
        assert_eq!(read("send"), (phone(), send));
        let ack = ClientFrame::Ack(expected::<AckRequest>("ack"));
        assert_eq!(read("ack"), (laptop(), ack));
        let receive = ClientFrame::Receive(expected::<ReceiveRequest>("receive"));
        assert_eq!(read("receive"), (laptop(), receive));
        let claim = ClientFrame::Claim(expected::<ClaimRequest>("claim"));
        assert_eq!(read("claim"), (phone(), claim));
        let ephemeral = ClientFrame::Ephemeral(expected::<EphemeralRequest>("ephemeral"));
        assert_eq!(read("ephemeral"), (phone(), ephemeral));
    }

    #[test]
    fn the_sample_connections_are_read() {
        for (name, event_type) in [("connect", "CONNECT"), ("disconnect", "DISCONNECT")] {
            let event = parse(sample(name)).unwrap();
            let expected = Connection {
                device: laptop(),
                id: ConnectionId::new("cXrVudkBjoECHZw=").unwrap(),
                opened: Duration::from_millis(1_767_261_601_250),
            };
            assert_eq!(connection(event_type, &event.request_context), Ok(expected));
        }
    }

    async fn reply(function: &str, event: Value) -> Value {
        let reply = invoke(function, &unreachable_backend(), event).await.unwrap();
        assert_eq!(reply["statusCode"], 200);
        serde_json::from_str(reply["body"].as_str().unwrap()).unwrap()
    }

    fn sample_with(name: &str, pointer: &str, value: impl Into<Value>) -> Value {
        let mut event = sample(name);
        *event.pointer_mut(pointer).unwrap() = value.into();
        event
    }

    /// X69: who sent a frame is what the authorizer said. Without that, whatever it is, nothing is done.
    #[tokio::test]
    async fn x69_a_frame_without_a_valid_authorizer_context_is_refused() {
        let authorizer = "/requestContext/authorizer";
        let bad = [
            sample_with("send", authorizer, Value::Null),
            sample_with("send", authorizer, json!({})),
            sample_with("send", authorizer, json!({ "account": ACCOUNT, "device": "1" })),
            sample_with("send", &format!("{authorizer}/account"), "not an id"),
            sample_with("send", &format!("{authorizer}/account"), ACCOUNT.to_uppercase()),
            sample_with("send", &format!("{authorizer}/device"), "0"),
            sample_with("send", &format!("{authorizer}/device"), 1),
            sample_with("send", &format!("{authorizer}/registration"), "-1"),
            sample_with("send", "/requestContext/eventType", "CONNECT"),
            sample_with("send", "/requestContext/connectionId", ""),
        ];
        for event in bad {
            let context = event["requestContext"].clone();
            assert_eq!(reply("send", event).await["code"], "unauthorized", "{context}");
        }
    }

    /// M22: the sender hears nothing, whatever comes of an ephemeral message.
    #[tokio::test]
    async fn an_ephemeral_frame_is_never_answered() {
        for event in [
            sample("ephemeral"),
            sample_with("ephemeral", "/body", "not a frame"),
            sample_with("ephemeral", "/requestContext/authorizer", Value::Null),
        ] {
            let reply = invoke("ephemeral", &unreachable_backend(), event).await.unwrap();
            assert_eq!((&reply["statusCode"], reply.get("body")), (&json!(200), None));
        }
    }

    #[tokio::test]
    async fn a_connection_without_a_valid_authorizer_context_does_not_open() {
        let bad = [
            sample_with("connect", "/requestContext/authorizer", json!({})),
            sample_with("connect", "/requestContext/connectionId", ""),
            sample_with("connect", "/requestContext/connectedAt", -1),
            sample_with("connect", "/requestContext/eventType", "MESSAGE"),
        ];
        for event in bad {
            let reply = invoke("connect", &unreachable_backend(), event).await.unwrap();
            assert_eq!(reply["statusCode"], 401);
        }
    }

    #[tokio::test]
    async fn a_refusal_names_its_request_if_it_can_be_read() {
        let frames = [
            (r#"{"action":"send","request":7}"#, Some(7)),
            (r#"{"action":"ack","request":7,"ids":[]}"#, Some(7)),
            (r#"{"action":"send","request":-7}"#, None),
            (r#"{"action":"send""#, None),
            ("", None),
            ("[]", None),
        ];
        for (frame, request) in frames {
            let refused = reply("send", sample_with("send", "/body", frame)).await;
            assert_eq!(refused["type"], "error", "{frame}");
            assert_eq!(refused["code"], "malformed", "{frame}");
            assert_eq!(refused.get("request").and_then(Value::as_u64), request, "{frame}");
        }
    }

    #[tokio::test]
    async fn x82_a_frame_beyond_the_bound_is_refused_before_it_is_parsed() {
        let refused = reply(
            "send",
            sample_with("send", "/body", " ".repeat(MAX_MESSAGE_BYTES + 1)),
        )
        .await;
        assert_eq!(refused["code"], "too_large");
    }

    #[tokio::test]
    async fn x86_a_refusal_never_repeats_what_the_frame_held() {
        let frame = r#"{"action":"send","request":1,"message":"hush-hush"}"#;
        let refused = reply("send", sample_with("send", "/body", frame))
            .await
            .to_string();
        assert!(!refused.contains("hush"), "{refused}");
    }

    #[tokio::test]
    async fn an_event_of_another_kind_is_an_error_that_does_not_show_it() {
        for function in [
            "send",
            "connect",
            "disconnect",
            "reject",
            "authorize",
            "register",
            "wake",
        ] {
            let event = json!({ "headers": "hush-hush" });
            let error = invoke(function, &unreachable_backend(), event).await.unwrap_err();
            assert_eq!(error, FunctionError::Event, "{function}");
            assert!(!error.to_string().contains("hush"));
        }
    }
}
