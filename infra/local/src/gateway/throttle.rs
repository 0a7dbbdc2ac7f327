//! How many requests the gateway lets in: token buckets, as in AWS.
//!
//! API Gateway developer guide, "Amazon API Gateway quotas" and "Protecting your WebSocket API": an account has so many
//! requests a second over all its APIs and so many new WebSocket connections; a stage may have less. A handshake is a
//! request, and so are each message of a client, each post to a connection and each HTTP request. What is beyond it is answered 429, or, on an
//! open WebSocket, by a message, and reaches no function.
//!
//! A stage's limit is one bucket for all routes of the stage. AWS does not say whether each route has one of its own,
//! and this is the stricter side.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::template::Throttle;

/// What an account may do. AWS raises each of them for who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quotas {
    /// Requests of all APIs.
    pub requests: Throttle,
    /// New WebSocket connections a second, of all APIs.
    pub connections_per_second: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self {
            requests: Throttle {
                per_second: 10_000,
                burst: 5_000,
            },
            connections_per_second: 500,
        }
    }
}

/// The buckets of a gateway.
#[derive(Debug)]
pub(super) struct Throttles {
    account: Arc<Bucket>,
    connections: Bucket,
    websocket: Option<Bucket>,
    http: Option<Bucket>,
}

/// What asks to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Handshake,
    Message,
    Http,
}

impl Throttles {
    /// Buckets for these quotas and for the stages' own limits.
    pub(super) fn new(quotas: Quotas, websocket: Option<Throttle>, http: Option<Throttle>) -> Self {
        let connections = Throttle {
            per_second: quotas.connections_per_second,
            burst: quotas.connections_per_second,
        };
        Self {
            account: Arc::new(Bucket::new(quotas.requests)),
            connections: Bucket::new(connections),
            websocket: websocket.map(Bucket::new),
            http: http.map(Bucket::new),
        }
    }

    /// The account's bucket, of which posts to connections take as well.
    pub(super) fn account(&self) -> Arc<Bucket> {
        Arc::clone(&self.account)
    }

    /// Whether one more may come in now.
    pub(super) fn admit(&self, asks: Asks) -> bool {
        let stage = match asks {
            Asks::Handshake | Asks::Message => &self.websocket,
            Asks::Http => &self.http,
        };
        (asks != Asks::Handshake || self.connections.take())
            && stage.as_ref().is_none_or(Bucket::take)
            && self.account.take()
    }
}

/// So many tokens at once, and so many more each second.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: Throttle,
    filled: Mutex<(f64, Instant)>,
}

impl Bucket {
    fn new(limit: Throttle) -> Self {
        Self {
            limit,
            filled: Mutex::new((f64::from(limit.burst), Instant::now())),
        }
    }

    /// Takes a token if there is one.
    pub(super) fn take(&self) -> bool {
        // Two numbers that are written together: a panic elsewhere leaves nothing half-done here.
        let mut filled = self.filled.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, at) = *filled;
        let now = Instant::now();
        let more = now.saturating_duration_since(at).as_secs_f64() * f64::from(self.limit.per_second);
        let tokens = (tokens + more).min(f64::from(self.limit.burst));
        let taken = tokens >= 1.0;
        *filled = (if taken { tokens - 1.0 } else { tokens }, now);
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Throttle = Throttle {
        per_second: 10,
        burst: 5,
    };

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_let_in_at_once_and_then_as_many_a_second_as_the_limit_says() {
        let bucket = Bucket::new(LIMIT);
        let admitted = || (0..100).filter(|_| bucket.take()).count();
        assert_eq!(admitted(), 5);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(admitted(), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(admitted(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn connections_have_a_limit_of_their_own_and_a_stage_has_no_more_than_its_account() {
        let quotas = Quotas {
            requests: Throttle {
                per_second: 10,
                burst: 8,
            },
            connections_per_second: 3,
        };
        let throttles = Throttles::new(quotas, Some(LIMIT), None);
        let admitted = |asks| (0..100).filter(|_| throttles.admit(asks)).count();
        assert_eq!(admitted(Asks::Handshake), 3);
        assert_eq!(admitted(Asks::Message), 2);
        assert_eq!(admitted(Asks::Http), 3);
    }
}
