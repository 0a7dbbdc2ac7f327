//! What a phone's own connection to its maker is, for a device on this machine: the runner shows what the phone would get,
//! and whoever waits there hears it at once. So a device that is not connected can be woken.

use std::{net::IpAddr, time::Duration};

use rand::RngExt;
use reqwest::Url;
use serde::Deserialize;
use waxwing_client::{Client, Platform, PushError};

/// Longer than the runner holds a question that it has no answer to.
const ANSWER_TIME: Duration = Duration::from_secs(2 * waxwing_local::outbox::WAIT.as_secs());

/// Bytes of a made-up token.
const TOKEN_BYTES: usize = 32;

/// Why a device cannot be woken.
#[derive(Debug, thiserror::Error)]
pub enum WakingError {
    /// The service is not the runner of this machine; its alerts go to phones.
    #[error("only a service on this machine shows what phones would get")]
    Elsewhere,
    /// The token was not taken.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The runner does not answer.
    #[error("the runner does not say what phones get: {0}")]
    Http(#[from] reqwest::Error),
}

/// Hears the alerts for one device.
#[derive(Debug)]
pub struct Waking {
    url: Url,
    http: reqwest::Client,
    after: u64,
}

#[derive(Deserialize)]
struct Heard {
    after: u64,
}

impl Waking {
    /// Gives the client a token that no phone has, and listens for it at the runner that serves `http_url`. The service
    /// learns the token while the client is connected.
    ///
    /// # Errors
    /// [`WakingError`].
    pub async fn begin(client: &Client, http_url: &str) -> Result<Self, WakingError> {
        let mut url: Url = http_url.parse().map_err(|_| WakingError::Elsewhere)?;
        if !is_here(&url) {
            return Err(WakingError::Elsewhere);
        }
        let bytes: [u8; TOKEN_BYTES] = rand::rng().random();
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        client.set_push_token(Platform::ApnsSandbox, &token).await?;
        url.set_path(waxwing_local::outbox::PUSHES_PATH);
        url.query_pairs_mut().clear().append_pair("token", &token);
        let http = reqwest::Client::builder()
            .timeout(ANSWER_TIME)
            .no_proxy()
            .build()?;
        Ok(Self { url, http, after: 0 })
    }

    /// Waits for the next alert. May be dropped and asked again: none is missed in between.
    ///
    /// # Errors
    /// [`WakingError::Http`]; it may be asked again.
    pub async fn rung(&mut self) -> Result<(), WakingError> {
        loop {
            let mut url = self.url.clone();
            url.query_pairs_mut()
                .append_pair("after", &self.after.to_string());
            let answer = self.http.get(url).send().await?.error_for_status()?;
            let heard: Heard = answer.json().await?;
            if heard.after > self.after {
                self.after = heard.after;
                return Ok(());
            }
        }
    }
}

fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let is_loopback = name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    url.scheme() == "http" && is_loopback
}

#[cfg(test)]
mod tests {
    use waxwing_client::{Event, PushState};
    use waxwing_local::runner::{Runner, RunnerConfig};

    use super::*;
    use crate::{people, service};

    /// Long enough for what is to happen on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_device_that_is_not_connected_is_woken_connects_and_shows_what_waited() {
        let runner = Runner::start(RunnerConfig::default()).await.unwrap();
        let [alice, bob] =
            ["Alice", "Bob"].map(|name| people::register(name, service::client_config(&runner), &runner));
        let (alice, bob) = (alice.await.unwrap(), bob.await.unwrap());
        let mut waking = Waking::begin(&bob.client, &runner.http_url()).await.unwrap();
        bob.client.connect();
        let known = async {
            while bob.client.push_state().unwrap() != PushState::On {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, known).await.unwrap();
        bob.client.disconnect().await;
        let mut events = bob.client.observe().await.unwrap();
        alice.client.connect();
        alice
            .client
            .send_text(bob.address.account, "wake up")
            .await
            .unwrap();

        tokio::time::timeout(PATIENCE, waking.rung())
            .await
            .unwrap()
            .unwrap();
        bob.client.connect();
        let shown = async {
            loop {
                if let Some(Event::Message(message)) = events.next().await {
                    return message.text;
                }
            }
        };
        let text = tokio::time::timeout(PATIENCE, shown).await.unwrap();
        assert_eq!(text, "wake up");
        // The same alert is not heard twice.
        let again = tokio::time::timeout(Duration::from_millis(200), waking.rung()).await;
        assert!(again.is_err());
        runner.shutdown().await;
    }

    #[test]
    fn only_the_runner_of_this_machine_is_asked() {
        for (url, here) in [
            ("http://127.0.0.1:8080/prod", true),
            ("http://localhost:1/prod", true),
            ("https://127.0.0.1:8080/prod", false),
            ("https://abc.execute-api.eu-central-1.amazonaws.com/prod", false),
            ("http://127.0.0.1.example.com/prod", false),
        ] {
            assert_eq!(is_here(&url.parse().unwrap()), here, "{url}");
        }
    }
}
