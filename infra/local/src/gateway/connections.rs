//! The connections that are open, and what others may do to one: post, close, ask (`@connections`).
//!
//! A connection is here from the moment its `$connect` was accepted until it begins to close. Before and after,
//! whoever names it is told that it is gone, as in AWS.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use thiserror::Error;
use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::Instant,
};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

use super::{events::Caller, limits::MAX_QUEUED_MESSAGES, throttle::Bucket};

pub use super::limits::MAX_MESSAGE_BYTES;

/// Every open connection. Cheap to clone: all clones share them.
#[derive(Debug, Clone, Default)]
pub struct Connections {
    open: Arc<Mutex<HashMap<Arc<str>, Arc<Connection>>>>,
    /// How many posts are let in; all, where there is no gateway.
    account: Arc<OnceLock<Arc<Bucket>>>,
}

impl Connections {
    /// Puts a message into the queue of a connection. Bytes that are UTF-8 go out as a text message.
    ///
    /// # Errors
    /// Every case of [`PostError`].
    pub fn post(&self, id: &str, data: Bytes) -> Result<(), PostError> {
        let connection = self.find(id).map_err(|Gone| PostError::Gone)?;
        if data.len() > MAX_MESSAGE_BYTES {
            return Err(PostError::TooLarge);
        }
        if self.account.get().is_some_and(|account| !account.take()) {
            return Err(PostError::TooMany);
        }
        let message = match Utf8Bytes::try_from(data.clone()) {
            Ok(text) => Outgoing::Text(text),
            Err(_) => Outgoing::Binary(data),
        };
        connection.queue.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => PostError::LimitExceeded,
            TrySendError::Closed(_) => PostError::Gone,
        })
    }

    /// Closes a connection, after the messages it was posted before.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn delete(&self, id: &str) -> Result<(), Gone> {
        let connection = self.lock().remove(id).ok_or(Gone)?;
        connection.deleted.cancel();
        Ok(())
    }

    /// Breaks a connection off, as a network does: nobody says goodbye, and it is gone.
    pub(crate) fn break_off(&self, id: &str) {
        if let Some(connection) = self.lock().remove(id) {
            connection.lost.cancel();
        }
    }

    /// What is known of a connection.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn info(&self, id: &str) -> Result<ConnectionInfo, Gone> {
        let connection = self.find(id)?;
        Ok(ConnectionInfo {
            connected_at: connection.caller.connected_at,
            last_active_at: connection.caller.connected_at + connection.active_after(),
            source_ip: connection.caller.source_ip,
            user_agent: connection.caller.user_agent.clone(),
        })
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Opens a connection, and gives the messages posted to it.
    pub(super) fn open(&self, caller: Caller) -> (Arc<Connection>, mpsc::Receiver<Outgoing>) {
        let (queue, posted) = mpsc::channel(MAX_QUEUED_MESSAGES);
        let connection = Arc::new(Connection {
            caller,
            opened: Instant::now(),
            active_after_ms: AtomicU64::new(0),
            queue,
            deleted: CancellationToken::new(),
            lost: CancellationToken::new(),
        });
        self.lock().insert(
            Arc::clone(&connection.caller.connection_id),
            Arc::clone(&connection),
        );
        (connection, posted)
    }

    /// Posts take from this bucket from now on.
    pub(super) fn limit_posts(&self, account: Arc<Bucket>) {
        // A second gateway over the same connections leaves them to the first.
        let _ = self.account.set(account);
    }

    /// Makes a connection gone for everybody.
    pub(super) fn forget(&self, id: &str) {
        self.lock().remove(id);
    }

    fn find(&self, id: &str) -> Result<Arc<Connection>, Gone> {
        self.lock().get(id).cloned().ok_or(Gone)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Connection>>> {
        // One insertion or removal at a time: a panic elsewhere leaves nothing half-done here.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// Whose it is.
    pub(super) caller: Caller,
    /// When it was opened.
    pub(super) opened: Instant,
    /// Messages to the client.
    pub(super) queue: mpsc::Sender<Outgoing>,
    /// Cancelled by [`Connections::delete`].
    pub(super) deleted: CancellationToken,
    /// Cancelled by [`Connections::break_off`].
    pub(super) lost: CancellationToken,
    active_after_ms: AtomicU64,
}

impl Connection {
    /// Notes that a message passed.
    pub(super) fn touch(&self) {
        let after = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active_after_ms.fetch_max(after, Ordering::Relaxed);
    }

    /// When a message last passed, counted from the opening.
    pub(super) fn active_after(&self) -> Duration {
        Duration::from_millis(self.active_after_ms.load(Ordering::Relaxed))
    }
}

/// A message to a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    Text(Utf8Bytes),
    Binary(Bytes),
}

/// What `GetConnection` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// When the handshake was answered.
    pub connected_at: SystemTime,
    /// When a message last passed, in either direction.
    pub last_active_at: SystemTime,
    /// The client's address.
    pub source_ip: IpAddr,
    /// The client's `User-Agent`.
    pub user_agent: Option<String>,
}

/// Why a post did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PostError {
    /// No such connection, not yet or not any more (`GoneException`, 410).
    #[error("the connection is gone")]
    Gone,
    /// More than [`MAX_MESSAGE_BYTES`] (`PayloadTooLargeException`, 413).
    #[error("a message has at most {MAX_MESSAGE_BYTES} bytes")]
    TooLarge,
    /// The client does not read what it was sent before (`LimitExceededException`, 429).
    #[error("the client's buffer is full")]
    LimitExceeded,
    /// The account has made too many requests (`LimitExceededException`, 429).
    #[error("the account makes too many requests")]
    TooMany,
}

/// No such connection, not yet or not any more (`GoneException`, 410).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the connection is gone")]
pub struct Gone;

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(id: &str) -> Caller {
        Caller {
            connection_id: id.into(),
            connected_at: SystemTime::UNIX_EPOCH,
            source_ip: [127, 0, 0, 1].into(),
            user_agent: Some("test".to_owned()),
            authorizer: None,
        }
    }

    #[test]
    fn a_message_is_posted_up_to_its_bound_and_not_beyond() {
        let connections = Connections::default();
        let (_connection, mut posted) = connections.open(caller("a"));
        assert_eq!(
            connections.post("a", vec![b'x'; MAX_MESSAGE_BYTES].into()),
            Ok(())
        );
        assert_eq!(
            connections.post("a", vec![b'x'; MAX_MESSAGE_BYTES + 1].into()),
            Err(PostError::TooLarge)
        );
        assert!(posted.try_recv().is_ok());
        assert!(posted.try_recv().is_err());
    }

    #[test]
    fn text_goes_out_as_text_and_other_bytes_as_binary() {
        let connections = Connections::default();
        let (_connection, mut posted) = connections.open(caller("a"));
        connections.post("a", "é".into()).unwrap();
        connections.post("a", Bytes::from_static(&[0xFF])).unwrap();
        assert_eq!(posted.try_recv().unwrap(), Outgoing::Text("é".into()));
        assert_eq!(
            posted.try_recv().unwrap(),
            Outgoing::Binary(Bytes::from_static(&[0xFF]))
        );
    }

    #[test]
    fn a_client_that_does_not_read_is_refused_more() {
        let connections = Connections::default();
        let (_connection, _posted) = connections.open(caller("a"));
        for _ in 0..MAX_QUEUED_MESSAGES {
            assert_eq!(connections.post("a", "x".into()), Ok(()));
        }
        assert_eq!(connections.post("a", "x".into()), Err(PostError::LimitExceeded));
    }

    #[test]
    fn i11_a_connection_that_is_not_open_is_gone() {
        let connections = Connections::default();
        assert_eq!(connections.post("a", "x".into()), Err(PostError::Gone));
        assert_eq!(connections.info("a"), Err(Gone));
        let (connection, _posted) = connections.open(caller("a"));
        assert_eq!(connections.delete("a"), Ok(()));
        assert!(connection.deleted.is_cancelled());
        assert_eq!(connections.delete("a"), Err(Gone));
        assert_eq!(connections.post("a", "x".into()), Err(PostError::Gone));
    }

    #[tokio::test(start_paused = true)]
    async fn info_tells_when_a_message_last_passed() {
        let connections = Connections::default();
        let (connection, _posted) = connections.open(caller("a"));
        tokio::time::advance(Duration::from_secs(5)).await;
        connection.touch();
        tokio::time::advance(Duration::from_secs(5)).await;
        let expected = ConnectionInfo {
            connected_at: SystemTime::UNIX_EPOCH,
            last_active_at: SystemTime::UNIX_EPOCH + Duration::from_secs(5),
            source_ip: [127, 0, 0, 1].into(),
            user_agent: Some("test".to_owned()),
        };
        assert_eq!(connections.info("a"), Ok(expected));
    }
}
