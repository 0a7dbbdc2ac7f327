//! The connections that are open, and what others may do to one: post, close, ask (`@connections`).

use std::net::IpAddr;
use std::time::SystemTime;

use bytes::Bytes;
use thiserror::Error;

/// Bytes of one message, in either direction (API Gateway quotas: message payload size).
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Every open connection. Cheap to clone: all clones share them.
#[derive(Debug, Clone, Default)]
pub struct Connections {}

impl Connections {
    /// Puts a message into the queue of a connection.
    ///
    /// # Errors
    /// Every case of [`PostError`].
    pub fn post(&self, _id: &str, _data: Bytes) -> Result<(), PostError> {
        Err(PostError::Gone)
    }

    /// Closes a connection.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn delete(&self, _id: &str) -> Result<(), Gone> {
        Err(Gone)
    }

    /// What is known of a connection.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn info(&self, _id: &str) -> Result<ConnectionInfo, Gone> {
        Err(Gone)
    }
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
}

/// No such connection, not yet or not any more (`GoneException`, 410).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the connection is gone")]
pub struct Gone;
