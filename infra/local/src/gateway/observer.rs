//! Shows every WebSocket message to whoever looks on: tests, and the search for what must not be there.

use std::sync::Arc;

use tokio::sync::broadcast;

use super::limits::MAX_UNSEEN_FRAMES;
use crate::meter::Direction;

/// A WebSocket message that passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedFrame {
    /// From or to the client.
    pub direction: Direction,
    /// Whose connection.
    pub connection_id: Arc<str>,
    /// The whole message. What is not UTF-8 in it is replaced.
    pub text: Arc<str>,
}

/// Hands observed messages on. Keeps nothing while nobody looks.
#[derive(Debug, Clone)]
pub(super) struct Observer(broadcast::Sender<ObservedFrame>);

impl Default for Observer {
    fn default() -> Self {
        Self(broadcast::Sender::new(MAX_UNSEEN_FRAMES))
    }
}

impl Observer {
    pub(super) fn subscribe(&self) -> broadcast::Receiver<ObservedFrame> {
        self.0.subscribe()
    }

    pub(super) fn show(&self, direction: Direction, connection_id: &Arc<str>, message: &[u8]) {
        if self.0.receiver_count() == 0 {
            return;
        }
        let connection_id = Arc::clone(connection_id);
        let text = String::from_utf8_lossy(message).into();
        // An error says that the last observer left just now.
        let _ = self.0.send(ObservedFrame {
            direction,
            connection_id,
            text,
        });
    }
}
