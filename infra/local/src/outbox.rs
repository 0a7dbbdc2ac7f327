//! What phones would get: text messages and pushes, the newest of them, bounded.
//!
//! The runner has no phone network and no push service behind it. What a function hands to SNS ends here, and a
//! person, a test or a tool reads it as the phone's owner would read the screen: [`Outbox::recent`] from Rust,
//! `GET /_local/outbox` from anywhere on this machine.

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::aws::answer::rest_json;
use crate::clock;

/// Where the outbox is read over HTTP. It goes before a route of the same path.
pub const PATH: &str = "/_local/outbox";

/// Where a client on this machine waits for the pushes to its token.
pub const PUSHES_PATH: &str = "/_local/pushes";

/// How long it waits at once: less than what a proxy or an HTTP client gives up after.
pub const WAIT: Duration = Duration::from_secs(25);

/// Messages kept: more than a person looks back at, and 2 MB at most (SNS takes 1,600 characters a text).
pub const KEPT_MESSAGES: usize = 1_000;

/// Messages that a reader of [`Outbox::observe`] may be behind by.
const OBSERVER_BACKLOG: usize = 256;

/// How a message reaches a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A text message to a number.
    Sms,
    /// A push through the platform of the phone's maker.
    Push,
}

/// A message that a phone would get.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct OutboxMessage {
    /// Counts from 1 in the order sent, and goes on counting when old ones are forgotten.
    pub number: u64,
    /// How it would reach the phone.
    pub channel: Channel,
    /// The phone number in E.164, or the ARN of the platform endpoint.
    pub to: String,
    /// The text, or the platform's payload.
    pub body: String,
    /// Of a push: the token that the platform knows the phone by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Of a push: phones show only the newest of those that have the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collapse_id: Option<String>,
    /// When it was sent, RFC 3339 in UTC.
    pub when: String,
}

/// Shows no number, no token and no text: a message may hold a code.
impl fmt::Debug for OutboxMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboxMessage")
            .field("number", &self.number)
            .field("channel", &self.channel)
            .finish_non_exhaustive()
    }
}

/// The newest messages. Cheap to clone: all clones share them.
#[derive(Debug, Clone)]
pub struct Outbox {
    kept: Arc<Mutex<Kept>>,
    observers: broadcast::Sender<OutboxMessage>,
    failures: Arc<AtomicU32>,
}

#[derive(Debug, Default)]
struct Kept {
    messages: VecDeque<OutboxMessage>,
    sent: u64,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            kept: Arc::default(),
            observers: broadcast::Sender::new(OBSERVER_BACKLOG),
            failures: Arc::default(),
        }
    }
}

impl Outbox {
    /// Keeps a text for a number.
    pub fn record_sms(&self, number: &str, text: &str) {
        self.record(Channel::Sms, number, text, None, None);
    }

    /// Keeps a push to a platform endpoint, which is the phone that has `token`.
    pub fn record_push(&self, endpoint: &str, token: &str, payload: &str, collapse_id: Option<&str>) {
        self.record(Channel::Push, endpoint, payload, Some(token), collapse_id);
    }

    /// Keeps a message, shows it to whoever observes, and forgets the oldest one when there are
    /// [`KEPT_MESSAGES`].
    fn record(&self, channel: Channel, to: &str, body: &str, token: Option<&str>, collapse_id: Option<&str>) {
        let now = OffsetDateTime::from(clock::now());
        let mut kept = self.lock();
        kept.sent += 1;
        let message = OutboxMessage {
            number: kept.sent,
            channel,
            to: to.to_owned(),
            body: body.to_owned(),
            token: token.map(str::to_owned),
            collapse_id: collapse_id.map(str::to_owned),
            when: now.format(&Rfc3339).unwrap_or_default(),
        };
        if kept.messages.len() == KEPT_MESSAGES {
            kept.messages.pop_front();
        }
        kept.messages.push_back(message.clone());
        // Under the lock, so that observers see the order of the numbers. Nobody listening is no failure.
        let _ = self.observers.send(message);
    }

    /// The messages kept, oldest first.
    pub fn recent(&self) -> Vec<OutboxMessage> {
        self.lock().messages.iter().cloned().collect()
    }

    /// The pushes kept for the phone that has `token`, oldest first.
    pub fn pushes(&self, token: &str) -> Vec<OutboxMessage> {
        let mut messages = self.recent();
        messages.retain(|message| message.token.as_deref() == Some(token));
        messages
    }

    /// Has the next `count` requests for a push fail, as when SNS is out of order.
    pub fn fail_pushes(&self, count: u32) {
        self.failures.store(count, Ordering::SeqCst);
    }

    /// Whether this request for a push is to fail.
    pub(crate) fn fails_a_push(&self) -> bool {
        let less = |count: u32| count.checked_sub(1);
        self.failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
            .is_ok()
    }

    /// Every message from now on. Who falls behind is told how many were missed.
    pub fn observe(&self) -> broadcast::Receiver<OutboxMessage> {
        self.observers.subscribe()
    }

    /// Answers `GET /_local/outbox`: `{"messages": [...]}`, oldest first.
    ///
    /// Only to this machine: what is in here opens accounts. The name asked for is looked at too, so that no web
    /// page can have its own name lead here and read along.
    pub(crate) fn answer(&self, headers: &HeaderMap, peer: SocketAddr) -> Response<Bytes> {
        if let Err(refusal) = check_is_here(headers, peer) {
            return refusal;
        }
        let body = json!({"messages": self.recent()});
        rest_json(StatusCode::OK, body.to_string())
    }

    /// Answers `GET /_local/pushes?token=…&after=N`: `{"pushes": [...], "after": M}`, those to the phone that has the token
    /// and that are newer than number `N`. If there are none it waits for one, up to [`WAIT`]: what the platform's own
    /// connection to a phone is, for a client on this machine. `M` is what to ask after next.
    pub(crate) async fn answer_pushes(
        &self,
        headers: &HeaderMap,
        query: &str,
        peer: SocketAddr,
    ) -> Response<Bytes> {
        if let Err(refusal) = check_is_here(headers, peer) {
            return refusal;
        }
        let (mut token, mut after) = (None, Some(0));
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "token" => token = Some(value.into_owned()),
                "after" => after = value.parse().ok(),
                _ => {}
            }
        }
        let (Some(token), Some(after)) = (token, after) else {
            let refusal = json!({"message": "Ask for ?token=TOKEN&after=NUMBER; 0 is before the first."});
            return rest_json(StatusCode::BAD_REQUEST, refusal.to_string());
        };
        let pushes = tokio::time::timeout(WAIT, self.pushes_after(&token, after));
        let pushes = pushes.await.unwrap_or_default();
        let after = pushes.last().map_or(after, |push| push.number);
        rest_json(
            StatusCode::OK,
            json!({"pushes": pushes, "after": after}).to_string(),
        )
    }

    /// The pushes to the phone that has `token` that are newer than number `after`, as soon as there is one.
    pub async fn pushes_after(&self, token: &str, after: u64) -> Vec<OutboxMessage> {
        // Before the first look, so that none falls in between.
        let mut news = self.observe();
        loop {
            let mut pushes = self.pushes(token);
            pushes.retain(|push| push.number > after);
            if !pushes.is_empty() {
                return pushes;
            }
            if let Err(RecvError::Closed) = news.recv().await {
                return pushes;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A message is whole or absent: a panic elsewhere leaves nothing half-done here.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is this machine that asks.
#[allow(
    clippy::result_large_err,
    reason = "the refusal is the answer, once a request at most"
)]
fn check_is_here(headers: &HeaderMap, peer: SocketAddr) -> Result<(), Response<Bytes>> {
    if peer.ip().to_canonical().is_loopback() && names_loopback(headers) {
        return Ok(());
    }
    let refusal = json!({"message": "The outbox is shown on this machine only."});
    Err(rest_json(StatusCode::FORBIDDEN, refusal.to_string()))
}

fn names_loopback(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(authority) = host.and_then(|host| host.parse::<http::uri::Authority>().ok()) else {
        return false;
    };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_newest_messages_are_kept_and_numbers_go_on() {
        let outbox = Outbox::default();
        for number in 0..=KEPT_MESSAGES {
            outbox.record_sms("+15550100", &number.to_string());
        }
        let messages = outbox.recent();
        assert_eq!(messages.len(), KEPT_MESSAGES);
        assert_eq!((messages[0].number, messages[0].body.as_str()), (2, "1"));
    }

    #[tokio::test]
    async fn an_observer_sees_what_comes_after_it_began() {
        let outbox = Outbox::default();
        outbox.record_sms("+15550100", "before");
        let mut observer = outbox.observe();
        outbox.record_push("endpoint", "token", "after", None);
        let seen = observer.recv().await.unwrap();
        assert_eq!((seen.number, seen.body.as_str()), (2, "after"));
    }

    #[test]
    fn only_this_machine_reads_and_only_by_its_own_name() {
        let outbox = Outbox::default();
        let status = |host: &'static str, peer: &str| {
            let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::from_static(host))]);
            outbox.answer(&headers, peer.parse().unwrap()).status().as_u16()
        };
        assert_eq!(status("127.0.0.1:4680", "127.0.0.1:50000"), 200);
        assert_eq!(status("localhost", "[::1]:50000"), 200);
        assert_eq!(status("[::1]:4680", "[::ffff:127.0.0.1]:50000"), 200);
        assert_eq!(status("127.0.0.1:4680", "192.0.2.1:50000"), 403);
        assert_eq!(status("evil.example:4680", "127.0.0.1:50000"), 403);
        assert_eq!(status("127.0.0.1.evil.example", "127.0.0.1:50000"), 403);
    }

    #[test]
    fn x86_a_message_prints_neither_number_nor_text() {
        let outbox = Outbox::default();
        outbox.record_sms("+15550100", "123456");
        let printed = format!("{:?}", outbox.recent());
        assert!(
            !printed.contains("555") && !printed.contains("123456"),
            "{printed}"
        );
    }
}
