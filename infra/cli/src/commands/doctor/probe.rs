//! Requests that no client library makes: those of somebody without a token, and those for the local outbox.

use std::{net::IpAddr, time::Duration};

use reqwest::{
    Client, StatusCode, Url,
    header::{CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use serde::{Deserialize, de::DeserializeOwned};
use waxwing_client::wire::{ErrorCode, Problem};

/// The key of RFC 6455, section 1.3: any 16 bytes do, and nobody keeps them.
const WEBSOCKET_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// An account that nobody has.
const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

/// A message in the outbox of a local runner.
#[derive(Debug, Deserialize)]
pub(super) struct Text {
    pub(super) number: u64,
    pub(super) to: String,
    pub(super) body: String,
}

#[derive(Debug, Deserialize)]
struct Texts {
    messages: Vec<Text>,
}

/// What somebody without a token was answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// That a token is needed.
    Refused,
    /// This instead.
    Other(String),
}

/// An HTTP client with an end to its patience.
pub(super) struct Probe(Client);

impl Probe {
    pub(super) fn new(patience: Duration) -> Result<Self, reqwest::Error> {
        Client::builder().timeout(patience).no_proxy().build().map(Self)
    }

    /// Asks for somebody's keys without a token.
    pub(super) async fn keys_without_token(&self, http_url: &str) -> Result<Answer, reqwest::Error> {
        let asked = self.0.get(format!("{http_url}/v1/keys/{NOBODY}")).send().await?;
        let status = asked.status();
        let problem: Option<Problem> = asked.json().await.ok();
        Ok(match problem {
            Some(problem) if problem.code == ErrorCode::Unauthorized => Answer::Refused,
            Some(problem) => Answer::Other(format!("{status}: {problem}")),
            None => Answer::Other(format!("{status}, and not in the words of this service")),
        })
    }

    /// Opens a WebSocket without a token.
    pub(super) async fn socket_without_token(&self, websocket_url: &str) -> Result<Answer, reqwest::Error> {
        let handshake = self
            .0
            .get(websocket_url.replacen("ws", "http", 1))
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_VERSION, "13")
            .header(SEC_WEBSOCKET_KEY, WEBSOCKET_KEY);
        Ok(match handshake.send().await?.status() {
            StatusCode::UNAUTHORIZED => Answer::Refused,
            StatusCode::SWITCHING_PROTOCOLS => Answer::Other("it was let in".to_owned()),
            status => Answer::Other(status.to_string()),
        })
    }

    /// The outbox of a local runner, if this is one.
    pub(super) async fn outbox(&self, http_url: &str) -> Option<Vec<Text>> {
        let mut url: Url = http_url.parse().ok()?;
        if !is_loopback(&url) {
            return None;
        }
        url.set_path("/_local/outbox");
        self.json::<Texts>(url).await.map(|texts| texts.messages)
    }

    async fn json<T: DeserializeOwned>(&self, url: Url) -> Option<T> {
        let answer = self.0.get(url).send().await.ok()?;
        answer.error_for_status().ok()?.json().await.ok()
    }
}

/// Whether an address is on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let name = host.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
