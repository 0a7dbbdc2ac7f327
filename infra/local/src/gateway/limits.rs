//! Every bound of the gateway. Those of API Gateway are from its developer guide, "Amazon API Gateway quotas";
//! the others keep one client from using up what all share.

use std::time::Duration;

/// Bytes of the payload of one WebSocket frame, in either direction; beyond it the connection closes with 1009.
pub const MAX_FRAME_BYTES: usize = 32 * 1024;

/// Bytes of the payload of one WebSocket message, in either direction; beyond it the connection closes with 1009.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Bytes of what a Lambda authorizer returns, as JSON.
pub const MAX_AUTHORIZER_RESULT_BYTES: usize = 8 * 1024;

/// Characters of the URL of a WebSocket handshake.
pub const MAX_WEBSOCKET_URL_LENGTH: usize = 4096;

/// Bytes of the request line and the headers of a request to an HTTP API.
pub const MAX_HTTP_HEAD_BYTES: usize = 10_240;

/// Bytes of the body of a request to an HTTP API.
pub const MAX_HTTP_BODY_BYTES: usize = 10 * 1024 * 1024;

/// Bytes of an event, and of what a function returns (AWS Lambda quotas: invocation payload, synchronous).
pub const MAX_INVOCATION_BYTES: usize = 6 * 1024 * 1024;

/// How long an HTTP API waits for a function.
pub const HTTP_INTEGRATION_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the gateway waits for an authorizer, as for any integration of a WebSocket API.
pub const AUTHORIZER_TIMEOUT: Duration = Duration::from_secs(29);

/// Messages on their way to one client. What is posted beyond them is refused: that client does not read.
pub const MAX_QUEUED_MESSAGES: usize = 32;

/// Messages of one client whose functions run. Beyond them the gateway stops reading from that client, so that one client
/// cannot use up the concurrency of all.
pub const MAX_MESSAGES_IN_FLIGHT: usize = 64;

/// Bytes read from a connection at once. Every connection has such a buffer all its life.
pub const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Bytes that may wait to be written to a connection: one frame with its header, and the pongs between.
pub const MAX_WRITE_BUFFER_BYTES: usize = 2 * MAX_FRAME_BYTES;

/// How long a client has to take its last messages and to answer a close frame.
pub const CLOSE_GRACE: Duration = Duration::from_secs(2);

/// Bytes read and thrown away after a close frame was sent: what a client had under way when it was cut off.
pub const MAX_DISCARDED_BYTES: u64 = 1024 * 1024;

/// How long functions that run have left when the gateway ends.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Observed messages that wait for a slow observer. It is told how many it missed beyond them.
pub const MAX_UNSEEN_FRAMES: usize = 4096;

/// How long connections live. AWS fixes both; tests shorten them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// From the last message, in either direction, to the end. Control frames do not count: the quota is about
    /// messages, and a client that keeps itself alive with messages stays connected whatever AWS does with pings.
    pub idle: Duration,
    /// From the handshake to the end.
    pub connection: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10 * 60),
            connection: Duration::from_secs(2 * 60 * 60),
        }
    }
}
