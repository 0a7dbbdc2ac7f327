//! What an app decides when it opens a client, and every bound in time the client keeps.

use std::{path::PathBuf, sync::Arc, time::Duration};

use crate::keys::KeyStore;

/// Everything a [`Client`](crate::Client) is opened with.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Where the device's state lives.
    pub store: StoreLocation,
    /// How much of it survives a loss of power.
    pub durability: Durability,
    /// Where the service is.
    pub endpoints: Endpoints,
    /// Bounds in time. The defaults are what an app wants.
    pub timings: Timings,
}

impl ClientConfig {
    /// A configuration with the defaults: durable and with the usual timings.
    pub fn new(store: StoreLocation, endpoints: Endpoints) -> Self {
        Self {
            store,
            durability: Durability::default(),
            endpoints,
            timings: Timings::default(),
        }
    }
}

/// Where the device's state lives: keys, sessions, messages, outbox.
#[derive(Clone, Debug)]
pub enum StoreLocation {
    /// In memory, gone with the client: for tests and load tools.
    Memory,
    /// In this file (with `-wal` and `-lock` beside it), encrypted. One client at a time: two would use the same keys
    /// twice. Not for a backup: see [`keys`](crate::keys). A file that an older version left unencrypted is encrypted
    /// when it is opened, and its former bytes are overwritten.
    File {
        /// The file.
        path: PathBuf,
        /// Who keeps its key.
        keys: Arc<dyn KeyStore>,
    },
    /// In this file, **readable by whoever has it**: for tests and measurements.
    Unencrypted(PathBuf),
}

impl StoreLocation {
    /// In this file, encrypted under the key that is kept there.
    pub fn file(path: impl Into<PathBuf>, keys: impl KeyStore) -> Self {
        Self::File {
            path: path.into(),
            keys: Arc::new(keys),
        }
    }
}

/// What a committed transaction survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// A loss of power. Each transaction waits for the disk (SQLite `synchronous = FULL`).
    #[default]
    PowerLoss,
    /// The end of the process, not a loss of power: the last transactions may be undone by one, and **a
    /// message key may then be used twice**. For tests and load tools only.
    ProcessCrash,
}

/// Where the service is: what the deployment's template puts out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// `wss://…/stage` (the template's output `WebSocketUrl`); `ws://` for a runner on this machine.
    pub websocket_url: String,
    /// `https://…/stage` (the template's output `HttpUrl`); `http://` for a runner on this machine.
    pub http_url: String,
    /// What tokens name as their audience (the template's parameter `TokenAudience`).
    pub audience: String,
}

/// Every wait of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// The first retry waits up to this long; the bound doubles with each further one. Default 500 ms.
    pub backoff_first: Duration,
    /// No retry waits longer. Default 60 s.
    pub backoff_longest: Duration,
    /// While the connection lives, what was refused for want of room waits no longer, nor than `backoff_longest`. Short,
    /// because the others that wait give way as well. Default 15 s.
    pub request_backoff_longest: Duration,
    /// A connection that lived this long was a good one: the next retry begins at `backoff_first` again.
    /// Default 30 s.
    pub stable_after: Duration,
    /// How long a connection may take to open, name lookup to handshake. Default 15 s.
    pub connect_timeout: Duration,
    /// How long a reply may take before the connection counts as broken. Functions get 10 s, API Gateway
    /// itself gives up after 29 s. Default 15 s.
    pub request_timeout: Duration,
    /// How long an HTTP request may take. Default 15 s.
    pub http_timeout: Duration,
    /// A connection on which nothing was heard for this long is pinged, and broken if it stays silent as
    /// long again. Well inside API Gateway's idle limit of 10 minutes. Default 60 s.
    pub ping_after: Duration,
    /// In the foreground, a connection over which no message went either way for so long reads the mailbox: inside API
    /// Gateway's idle limit of 10 minutes, for which pings do not count. Default 9 min.
    pub keep_alive_after: Duration,
    /// A connection is replaced after so long, or up to a quarter earlier at random: inside API Gateway's limit of 2 hours. Default
    /// 110 min.
    pub renew_after: Duration,
    /// In the background a connection ends after so long: what a platform gives an app before it sleeps. Default 20 s.
    pub background_linger: Duration,
    /// How long acks wait for company; 20 wait no longer, and closing says what is left. An ack that is late or lost
    /// leads to an envelope that comes again and is known, and a frame for every single ack would cost more than all
    /// the rest of a message. Default 30 s.
    pub ack_linger: Duration,
    /// How long a new message waits for others to share a frame with. Zero sends at once; an app that can wait, say,
    /// a second pays for fewer frames, invocations and replies. Default zero.
    pub send_linger: Duration,
    /// How long a receipt of *delivered* waits at least, and twice as long at most: others share its message then, and
    /// it does not tell when exactly a message arrived. Default 2 s.
    pub receipt_linger: Duration,
    /// How long a message waits for an earlier one of its channel, once the mailbox is drained, before the
    /// gap is reported. A sender has a few messages under way at once and repeats what was not accepted,
    /// which after a broken connection takes seconds. Default 30 s.
    pub gap_wait: Duration,
    /// Wait after the service refused the token: the clock or the registration is wrong, and asking often
    /// helps neither. Default 5 min.
    pub unauthorized_wait: Duration,
    /// Wait before coming back after another process with this device's keys took over, or half of it at least, unless
    /// the app comes back before. Long, so that two do not throw each other out again and again. Default 15 min.
    pub taken_over_wait: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            backoff_first: Duration::from_millis(500),
            backoff_longest: Duration::from_secs(60),
            request_backoff_longest: Duration::from_secs(15),
            stable_after: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_secs(15),
            http_timeout: Duration::from_secs(15),
            ping_after: Duration::from_secs(60),
            keep_alive_after: Duration::from_secs(9 * 60),
            renew_after: Duration::from_secs(110 * 60),
            background_linger: Duration::from_secs(20),
            ack_linger: Duration::from_secs(30),
            send_linger: Duration::ZERO,
            receipt_linger: Duration::from_secs(2),
            gap_wait: Duration::from_secs(30),
            unauthorized_wait: Duration::from_secs(5 * 60),
            taken_over_wait: Duration::from_secs(15 * 60),
        }
    }
}

impl Timings {
    /// No request on a living connection waits longer before it is made again, unless the service asks for it.
    pub(crate) fn longest_between_requests(&self) -> Duration {
        self.request_backoff_longest.min(self.backoff_longest)
    }
}
