//! The phone's own connection to its maker, for `--push`: each alert wakes the device, and the chat says so.

use std::time::Duration;

use tokio::{sync::mpsc, task::JoinHandle};
use waxwing_client::Client;

use crate::waking::{Waking, WakingError};

/// Until the runner is asked again that did not answer.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// Alerts for this device, as they come.
pub(super) struct Alerts {
    heard: mpsc::UnboundedReceiver<()>,
    listener: Option<JoinHandle<()>>,
    /// Kept where there is no listener, so that it never ends.
    _none: Option<mpsc::UnboundedSender<()>>,
}

impl Alerts {
    /// None will come.
    pub(super) fn none() -> Self {
        let (sender, heard) = mpsc::unbounded_channel();
        Self {
            heard,
            listener: None,
            _none: Some(sender),
        }
    }

    /// Those that the runner which serves `http_url` has for a phone with this client. Each makes it connect.
    ///
    /// # Errors
    /// [`WakingError`].
    pub(super) async fn of(client: &Client, http_url: &str) -> Result<Self, WakingError> {
        let mut waking = Waking::begin(client, http_url).await?;
        let (sender, heard) = mpsc::unbounded_channel();
        let client = client.clone();
        let listener = tokio::spawn(async move {
            loop {
                match waking.rung().await {
                    Ok(()) => {
                        client.connect();
                        if sender.send(()).is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        tracing::debug!(%error, "no alert can be heard");
                        tokio::time::sleep(ASK_AGAIN).await;
                    }
                }
            }
        });
        Ok(Self {
            heard,
            listener: Some(listener),
            _none: None,
        })
    }

    /// Waits for the next. May be dropped and asked again: none is missed in between.
    pub(super) async fn next(&mut self) {
        if self.heard.recv().await.is_none() {
            // The listener broke off; there will be no more.
            std::future::pending().await
        }
    }
}

impl Drop for Alerts {
    fn drop(&mut self) {
        if let Some(listener) = &self.listener {
            listener.abort();
        }
    }
}
