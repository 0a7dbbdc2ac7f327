//! What the doctor found.

use std::fmt;

use serde::Serialize;

/// The checks, in the order they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// The addresses are those of a service, and private on the way.
    Addresses,
    /// The HTTP API answers, and refuses who has no token.
    Http,
    /// The WebSocket API answers, and refuses who has no token.
    WebSocket,
    /// Two devices get accounts.
    Registration,
    /// Both connect.
    Connection,
    /// A message each way while both are connected.
    Online,
    /// A message to a device that is away waits for it.
    Offline,
    /// What waits has an end.
    Expiry,
    /// What was acked is deleted.
    Deletion,
    /// Nothing of this examination is left to be delivered.
    CleanUp,
}

impl Check {
    /// Every check, in order.
    pub const ALL: [Self; 10] = [
        Self::Addresses,
        Self::Http,
        Self::WebSocket,
        Self::Registration,
        Self::Connection,
        Self::Online,
        Self::Offline,
        Self::Expiry,
        Self::Deletion,
        Self::CleanUp,
    ];
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Addresses => "addresses",
            Self::Http => "HTTP API",
            Self::WebSocket => "WebSocket API",
            Self::Registration => "registration",
            Self::Connection => "connection",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Expiry => "expiry",
            Self::Deletion => "deletion",
            Self::CleanUp => "clean-up",
        })
    }
}

/// How a check went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum State {
    /// As promised.
    Passed {
        /// What was seen.
        seen: String,
    },
    /// Not as promised.
    Failed {
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: String,
    },
    /// Not tried.
    Skipped {
        /// Why, and how to look by hand.
        reason: String,
    },
}

/// One check and how it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// How it went.
    #[serde(flatten)]
    pub state: State,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let check = self.check;
        match &self.state {
            State::Passed { seen } => write!(f, "  ok    {check:<14} {seen}"),
            State::Failed { problem, remedy } => {
                write!(f, "  BAD   {check:<14} {problem}\n{:22} -> {remedy}", "")
            }
            State::Skipped { reason } => write!(f, "  --    {check:<14} {reason}"),
        }
    }
}

/// The whole report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Examination {
    /// The WebSocket URL examined.
    pub endpoint: String,
    /// Whether nothing failed.
    pub healthy: bool,
    /// One for each of [`Check::ALL`], in order.
    pub findings: Vec<Finding>,
}

impl Examination {
    pub(super) fn new(endpoint: String, findings: Vec<Finding>) -> Self {
        Self {
            healthy: findings
                .iter()
                .all(|finding| !matches!(finding.state, State::Failed { .. })),
            endpoint,
            findings,
        }
    }

    /// The first check that failed: what comes after it may have failed for the same reason.
    pub fn first_failed(&self) -> Option<Check> {
        let failed = |finding: &&Finding| matches!(finding.state, State::Failed { .. });
        self.findings.iter().find(failed).map(|finding| finding.check)
    }

    pub(super) fn summary(&self) -> String {
        match self.first_failed() {
            None => "The service does what it promises.".to_owned(),
            Some(check) => format!("Something is wrong; begin with {check}."),
        }
    }
}
