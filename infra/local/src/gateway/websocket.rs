//! A WebSocket handshake: identity, authorizer, `$connect`, and only then a connection.
//!
//! API Gateway developer guide, "Managing connected users and client apps: `$connect` and `$disconnect` routes".

use std::{net::SocketAddr, sync::Arc};

use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

use super::{
    GatewayResponse, Shared, WebSocketApi, authorizer,
    events::{Caller, Head, Moment},
    ids, json_response,
    limits::MAX_WEBSOCKET_URL_LENGTH,
    messages::error_text,
    reply::Reply,
    session::Session,
    throttle::Asks,
};
use crate::lambda::InvokeError;

/// Whether a request asks for a WebSocket.
pub(super) fn is_handshake(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(header::UPGRADE);
    upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Answers a handshake. What it sets off runs to its end even if the client goes away meanwhile.
pub(super) async fn accept(
    shared: Arc<Shared>,
    mut request: Request<Incoming>,
    client: SocketAddr,
) -> GatewayResponse {
    if !shared.throttles.admit(Asks::Handshake) {
        shared.meter.record_refused();
        return json_response(
            StatusCode::TOO_MANY_REQUESTS,
            r#"{"message":"Too Many Requests"}"#,
        );
    }
    let handshake = match Handshake::new(&shared, &request, client) {
        Ok(handshake) => handshake,
        Err((status, message)) => return json_response(status, format!(r#"{{"message":"{message}"}}"#)),
    };
    let Ok(accepted) = create_response_with_body(&request, Full::default) else {
        return json_response(StatusCode::BAD_REQUEST, r#"{"message":"Bad Request"}"#);
    };
    let upgrade = hyper::upgrade::on(&mut request);
    let (answer, answered) = oneshot::channel();
    shared.tasks.spawn(handshake.run(accepted, answer, upgrade));
    answered.await.unwrap_or_else(|_| {
        json_response(
            StatusCode::INTERNAL_SERVER_ERROR,
            r#"{"message":"Internal server error"}"#,
        )
    })
}

struct Handshake {
    shared: Arc<Shared>,
    api: Arc<WebSocketApi>,
    caller: Caller,
    head: Head,
    has_identity: bool,
    request_id: String,
}

/// Why a handshake is refused, and in which words.
type Refusal = (StatusCode, String);

impl Handshake {
    fn new(shared: &Arc<Shared>, request: &Request<Incoming>, client: SocketAddr) -> Result<Self, Refusal> {
        let forbidden = || (StatusCode::FORBIDDEN, "Forbidden".to_owned());
        let api = shared.websocket.clone().ok_or_else(forbidden)?;
        let uri = request.uri();
        if uri.path().trim_matches('/') != api.spec.stage {
            return Err(forbidden());
        }
        if uri
            .path_and_query()
            .is_some_and(|url| url.as_str().len() > MAX_WEBSOCKET_URL_LENGTH)
        {
            return Err((StatusCode::URI_TOO_LONG, "URI Too Long".to_owned()));
        }
        let headers = request.headers();
        let user_agent = headers.get(header::USER_AGENT);
        let source_ip = client.ip().to_canonical();
        let authorizer = api.spec.authorizer.as_ref();
        Ok(Self {
            has_identity: authorizer.is_none_or(|spec| authorizer::has_identity(spec, headers, uri)),
            head: Head::new(headers, uri, source_ip),
            caller: Caller {
                connection_id: ids::fresh().into(),
                connected_at: shared.now(),
                source_ip,
                user_agent: user_agent.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()),
                authorizer: None,
            },
            request_id: ids::fresh(),
            shared: Arc::clone(shared),
            api,
        })
    }

    async fn run(
        mut self,
        mut accepted: GatewayResponse,
        answer: oneshot::Sender<GatewayResponse>,
        upgrade: OnUpgrade,
    ) {
        let subprotocol = match self.admit().await {
            Ok(subprotocol) => subprotocol,
            Err((status, message)) => {
                let body = error_text(&message, &self.caller.connection_id, &self.request_id);
                // An error says that the client went away. There is nothing to undo.
                let _ = answer.send(json_response(status, body));
                return;
            }
        };
        if let Some(value) = subprotocol {
            accepted
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, value);
        }
        let (connection, posted) = self.shared.connections.open(self.caller);
        self.shared.meter.record_connect();
        let session = Session {
            shared: self.shared,
            api: self.api,
            connection,
        };
        // If the client went away, the upgrade fails as well.
        let _ = answer.send(accepted);
        match upgrade.await {
            Ok(upgraded) => session.run(upgraded, posted).await,
            Err(_) => session.abandon().await,
        }
    }

    /// Asks the authorizer and `$connect`. Gives the subprotocol that `$connect` chose.
    async fn admit(&mut self) -> Result<Option<HeaderValue>, Refusal> {
        if let Some(spec) = &self.api.spec.authorizer {
            let arn = self.api.api.connect_arn();
            let context = if self.has_identity {
                authorizer::authorize(
                    &self.shared.lambda,
                    spec,
                    self.moment().authorize(&self.head),
                    &arn,
                )
                .await
            } else {
                Err(authorizer::Refusal::Unauthorized)
            };
            let context = context.map_err(|refusal| (refusal.status(), refusal.to_string()))?;
            self.caller.authorizer = Some(Arc::new(context));
        }
        let Some(route) = self.api.spec.routes.get("$connect") else {
            return Ok(None);
        };
        let invocation = self
            .shared
            .lambda
            .invoke(&route.function, self.moment().connect(&self.head));
        let reply = match tokio::time::timeout(route.timeout, invocation).await {
            Ok(Ok(value)) => Reply::read(value).map_err(|_| internal(StatusCode::BAD_GATEWAY))?,
            Ok(Err(InvokeError::Failed { .. } | InvokeError::TimedOut)) => {
                return Err(internal(StatusCode::BAD_GATEWAY));
            }
            Ok(Err(InvokeError::Throttled | InvokeError::Unknown(_))) => {
                return Err(internal(StatusCode::INTERNAL_SERVER_ERROR));
            }
            Err(_) => {
                return Err((
                    StatusCode::GATEWAY_TIMEOUT,
                    "Endpoint request timed out".to_owned(),
                ));
            }
        };
        if reply.is_success() {
            return Ok(reply
                .subprotocol
                .and_then(|value| HeaderValue::try_from(value).ok()));
        }
        // A refusal in the 100s would read as an acceptance.
        let status = StatusCode::from_u16(reply.status)
            .ok()
            .filter(|status| !status.is_informational());
        let status = status.ok_or_else(|| internal(StatusCode::BAD_GATEWAY))?;
        Err((status, status.canonical_reason().unwrap_or("Refused").to_owned()))
    }

    fn moment(&self) -> Moment<'_> {
        Moment {
            api: &self.api.api,
            caller: &self.caller,
            at: self.caller.connected_at,
            request_id: &self.request_id,
        }
    }
}

fn internal(status: StatusCode) -> Refusal {
    (status, "Internal server error".to_owned())
}
