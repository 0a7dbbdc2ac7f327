//! API Gateway on this machine: a WebSocket API and an HTTP API in front of the template's functions.
//!
//! It keeps what AWS documents and what code comes to rely on: who is asked before a connection exists, what an
//! event looks like, which route a message takes, what comes back when a function fails, and every limit.
//! What AWS does not document is decided for the stricter side and said at the place.
//!
//! # Layout
//! - WebSocket: `websocket` (handshake, `authorizer`, `policy`), then `session` (an open connection),
//!   then `messages` (`selection`, `reply`); [`connections`] is what `@connections` acts on; `events`.
//! - HTTP: `http_api` (`http_routes`, `http_event`, `http_reply`).
//! - [`by_hand`]: the same events and connections without a network.
//! - `throttle`: how much it lets in. [`limits`]: every other bound. `observer`: shows every WebSocket message to whoever looks on.

mod authorizer;
pub mod by_hand;
pub mod connections;
mod events;
mod http_api;
mod http_event;
mod http_reply;
mod http_routes;
mod ids;
pub mod limits;
mod messages;
mod observer;
mod policy;
mod reply;
mod selection;
mod session;
mod throttle;
mod websocket;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response, StatusCode,
    header::{CONTENT_TYPE, DATE},
};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use limits::Lifetimes;
pub use observer::ObservedFrame;
pub use throttle::Quotas;

use crate::{
    clock::{self, OffsetClock},
    lambda::Lambda,
    meter::Meter,
    template::{Surroundings, Template, WebSocketSpec},
};
use connections::Connections;
use http_api::HttpApi;
use observer::Observer;
use throttle::Throttles;

/// A response of the gateway.
pub type GatewayResponse = Response<Full<Bytes>>;

/// What tests change about a gateway.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How long connections live.
    pub lifetimes: Lifetimes,
    /// How many requests it lets in.
    pub quotas: Quotas,
    /// The time that events and answers tell.
    pub clock: OffsetClock,
}

/// The gateway of one template. Cheap to clone: all clones are the same gateway.
#[derive(Clone)]
pub struct Gateway {
    shared: Arc<Shared>,
}

impl Gateway {
    /// The gateway in front of these functions.
    pub fn new(
        template: &Template,
        surroundings: &Surroundings,
        lambda: Lambda,
        meter: Arc<Meter>,
        connections: Connections,
        settings: Settings,
    ) -> Self {
        let websocket = template.websocket.clone().map(|spec| {
            let api = events::Api::of(&spec, surroundings);
            Arc::new(WebSocketApi { spec, api })
        });
        let limit_of_http = template.http.as_ref().and_then(|spec| spec.throttle);
        let limit = websocket.as_ref().and_then(|api| api.spec.throttle);
        let http = template.http.clone().map(|spec| HttpApi::new(spec, surroundings));
        let throttles = Throttles::new(settings.quotas, limit, limit_of_http);
        connections.limit_posts(throttles.account());
        Self {
            shared: Arc::new(Shared {
                websocket,
                http,
                lambda,
                meter,
                connections,
                observer: Observer::default(),
                lifetimes: settings.lifetimes,
                throttles,
                clock: settings.clock,
                tasks: TaskTracker::new(),
                ending: CancellationToken::new(),
            }),
        }
    }

    /// Answers a request to one of the two APIs. The connection it came over has to be served with upgrades
    /// (`http1::Builder::serve_connection(…).with_upgrades()`).
    pub async fn handle(&self, request: Request<Incoming>, client: SocketAddr) -> GatewayResponse {
        let mut response = self.answer(request, client).await;
        // Clients set their clocks by it.
        if let Some(date) = date(self.shared.now()) {
            response.headers_mut().insert(DATE, date);
        }
        response
    }

    async fn answer(&self, request: Request<Incoming>, client: SocketAddr) -> GatewayResponse {
        let shared = Arc::clone(&self.shared);
        if shared.ending.is_cancelled() {
            return json_response(
                StatusCode::SERVICE_UNAVAILABLE,
                r#"{"message":"Service Unavailable"}"#,
            );
        }
        if websocket::is_handshake(&request) {
            websocket::accept(shared, request, client).await
        } else {
            http_api::answer(shared, request, client).await
        }
    }

    /// Every WebSocket message from now on, in both directions. An observer that falls behind by more than
    /// [`limits::MAX_UNSEEN_FRAMES`] is told how many it missed.
    pub fn observe(&self) -> broadcast::Receiver<ObservedFrame> {
        self.shared.observer.subscribe()
    }

    /// Ends the gateway: refuses requests, closes every connection with 1001, and waits for what still runs,
    /// `$disconnect` included, for at most [`limits::SHUTDOWN_GRACE`].
    pub async fn shutdown(&self) {
        self.shared.ending.cancel();
        self.shared.tasks.close();
        let _ = tokio::time::timeout(limits::SHUTDOWN_GRACE, self.shared.tasks.wait()).await;
    }
}

/// What the tasks of a gateway share.
struct Shared {
    websocket: Option<Arc<WebSocketApi>>,
    http: Option<HttpApi>,
    lambda: Lambda,
    meter: Arc<Meter>,
    connections: Connections,
    observer: Observer,
    lifetimes: Lifetimes,
    throttles: Throttles,
    clock: OffsetClock,
    tasks: TaskTracker,
    ending: CancellationToken,
}

impl Shared {
    /// The time that events and answers tell.
    fn now(&self) -> SystemTime {
        let offset = self.clock.offset.load(Ordering::Relaxed);
        let distance = Duration::from_secs(offset.unsigned_abs());
        let moved = if offset < 0 {
            clock::now().checked_sub(distance)
        } else {
            clock::now().checked_add(distance)
        };
        moved.unwrap_or_else(clock::now)
    }
}

/// The WebSocket API of the template.
struct WebSocketApi {
    spec: WebSocketSpec,
    api: events::Api,
}

/// The first second of the year 10000, which HTTP cannot write, as seconds since 1970.
const TIME_ENDS: u64 = 253_402_300_800;

/// The header `Date` (RFC 9110, section 6.6.1).
fn date(at: SystemTime) -> Option<HeaderValue> {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let date = (since.as_secs() < TIME_ENDS).then(|| httpdate::fmt_http_date(at))?;
    HeaderValue::try_from(date).ok()
}

fn json_response(status: StatusCode, body: impl Into<Bytes>) -> GatewayResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
