//! API Gateway without a network: the events of both APIs, and WebSockets with nobody's socket behind them, for those
//! who call functions themselves.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Uri};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{
    authorizer,
    connections::{Connection, Connections, Outgoing},
    events::{Api, Caller, Head, Moment},
    http_api::HttpApi,
};
use crate::template::{Surroundings, Template};

/// Code of a WebSocket that breaks off without a close frame (RFC 6455, section 7.4.1).
const ABNORMAL_CLOSURE: u16 = 1006;

/// Makes the events that the gateway makes.
pub struct Events {
    websocket: Api,
    http: HttpApi,
}

impl Events {
    /// Those of the template's APIs; none if it lacks one of the two.
    pub fn of(template: &Template, surroundings: &Surroundings) -> Option<Self> {
        Some(Self {
            websocket: Api::of(template.websocket.as_ref()?, surroundings),
            http: HttpApi::new(template.http.clone()?, surroundings),
        })
    }

    /// The event of the authorizer.
    pub fn authorize(&self, client: &Client) -> Value {
        self.moment(client, client.caller.connected_at)
            .authorize(&client.head)
    }

    /// The event of `$connect`.
    pub fn connect(&self, client: &Client) -> Value {
        self.moment(client, client.caller.connected_at)
            .connect(&client.head)
    }

    /// The event of a message.
    pub fn message(&self, client: &Client, at: Duration, route_key: &str, body: &str) -> Value {
        self.moment(client, UNIX_EPOCH + at).message(route_key, body)
    }

    /// The event of `$disconnect`, after a connection that broke off.
    pub fn disconnect(&self, client: &Client, at: Duration) -> Value {
        self.moment(client, UNIX_EPOCH + at)
            .disconnect(ABNORMAL_CLOSURE, "")
    }

    /// The function that an HTTP request goes to, and its event. None if no route takes it.
    pub fn http(
        &self,
        request: Request<Bytes>,
        source_ip: IpAddr,
        at: Duration,
        id: &str,
    ) -> Option<(String, Value)> {
        let (head, body) = request.into_parts();
        self.http.event(&head, &body, source_ip, UNIX_EPOCH + at, id)
    }

    /// Lets the client be who the authorizer's answer says, or refuses.
    pub fn admit(&self, client: &mut Client, answer: Value) -> bool {
        let context = authorizer::read(answer, &self.websocket.connect_arn());
        client.caller.authorizer = context.ok().map(Arc::new);
        client.caller.authorizer.is_some()
    }

    fn moment<'a>(&'a self, client: &'a Client, at: SystemTime) -> Moment<'a> {
        Moment {
            api: &self.websocket,
            caller: &client.caller,
            at,
            request_id: &client.caller.connection_id,
        }
    }
}

/// A client of the WebSocket API, from its handshake on.
pub struct Client {
    caller: Caller,
    head: Head,
}

impl Client {
    /// Whose handshake has these headers and came in `at`, since 1970. `id` becomes the connection's.
    pub fn new(id: &str, headers: &HeaderMap, at: Duration, source_ip: IpAddr) -> Self {
        Self {
            head: Head::new(headers, &Uri::from_static("/"), source_ip),
            caller: Caller {
                connection_id: id.into(),
                connected_at: UNIX_EPOCH + at,
                source_ip,
                user_agent: None,
                authorizer: None,
            },
        }
    }

    /// The connection's id.
    pub fn id(&self) -> &str {
        &self.caller.connection_id
    }

    /// Opens the connection: from now on it may be posted to.
    pub fn open(&self, connections: &Connections) -> Line {
        let (connection, posted) = connections.open(self.caller.clone());
        Line { connection, posted }
    }
}

/// What arrives at an open connection.
pub struct Line {
    connection: Arc<Connection>,
    posted: mpsc::Receiver<Outgoing>,
}

impl Line {
    /// The texts that were posted since this was last asked, in order.
    pub fn received(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        while let Ok(message) = self.posted.try_recv() {
            match message {
                Outgoing::Text(text) => texts.push(text.as_str().to_owned()),
                Outgoing::Binary(bytes) => texts.push(String::from_utf8_lossy(&bytes).into_owned()),
            }
        }
        texts
    }

    /// Whether the service closed it.
    pub fn was_closed(&self) -> bool {
        self.connection.deleted.is_cancelled()
    }
}

/// Breaks a connection off: posts to it are answered with 410 from now on.
pub fn cut(connections: &Connections, id: &str) {
    connections.forget(id);
}
