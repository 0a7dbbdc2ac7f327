//! One message of a client: to its route's function, and the answer back.

use std::sync::Arc;

use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::{
    Shared, WebSocketApi,
    connections::{Connection, Outgoing},
    events::Moment,
    ids,
    limits::MAX_MESSAGE_BYTES,
    reply::Reply,
    selection::select,
    throttle::Asks,
};
use crate::meter::Direction;

/// What a client is told when something went wrong. The texts are API Gateway's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// No route matches, and there is no `$default`.
    Forbidden,
    /// The function failed, was throttled, or returned something that is no reply.
    Internal,
    /// More messages than the API lets in.
    TooMany,
    /// The function took longer than the integration may.
    TimedOut,
}

impl Fault {
    fn text(self) -> &'static str {
        match self {
            Self::Forbidden => "Forbidden",
            Self::Internal => "Internal server error",
            Self::TooMany => "Too Many Requests",
            Self::TimedOut => "Endpoint request timed out",
        }
    }
}

/// Answers one message. What comes back waits in the connection's queue, however slow the client reads.
pub(super) async fn answer(
    shared: Arc<Shared>,
    api: Arc<WebSocketApi>,
    connection: Arc<Connection>,
    text: Utf8Bytes,
) {
    let request_id = ids::fresh();
    let answer = match invoke(&shared, &api, &connection, &request_id, &text).await {
        Ok(None) => return,
        Ok(Some(body)) => body,
        // A fault is told whether or not the route has a response.
        Err(fault) => error_text(fault.text(), &connection.caller.connection_id, &request_id),
    };
    // An error says that the connection closed meanwhile.
    let _ = connection.queue.send(Outgoing::Text(answer.into())).await;
}

async fn invoke(
    shared: &Shared,
    api: &WebSocketApi,
    connection: &Connection,
    request_id: &str,
    text: &str,
) -> Result<Option<String>, Fault> {
    if !shared.throttles.admit(Asks::Message) {
        shared.meter.record_refused();
        return Err(Fault::TooMany);
    }
    // Not before: AWS does not bill what it refuses for being too much.
    shared.meter.record_message(Direction::In, text.len());
    let (key, route) = select(&api.spec, text).ok_or(Fault::Forbidden)?;
    let moment = Moment {
        api: &api.api,
        caller: &connection.caller,
        at: shared.now(),
        request_id,
    };
    let invocation = shared.lambda.invoke(&route.function, moment.message(key, text));
    let value = tokio::time::timeout(route.timeout, invocation)
        .await
        .map_err(|_| Fault::TimedOut)?;
    let reply = value
        .ok()
        .and_then(|value| Reply::read(value).ok())
        .ok_or(Fault::Internal)?;
    match reply.body.filter(|body| route.has_response && !body.is_empty()) {
        Some(body) if body.len() > MAX_MESSAGE_BYTES => Err(Fault::Internal),
        body => Ok(body),
    }
}

/// An error as API Gateway writes it, space for space.
pub(super) fn error_text(message: &str, connection_id: &str, request_id: &str) -> String {
    format!(r#"{{"message": "{message}", "connectionId":"{connection_id}", "requestId":"{request_id}"}}"#)
}
