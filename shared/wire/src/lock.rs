//! `POST /v1/lock`: set, change or remove the PIN that registering the number again must prove.

use serde::{Deserialize, Serialize};

use crate::secret::{LockProof, Salt};

/// Set the lock, or remove it. Repeating it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockRequest {
    /// The new lock; without it, none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<NewLock>,
}

/// A registration lock. The service learns neither PIN nor anything it could guess the PIN from quickly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewLock {
    /// Random; handed to whoever confirms the number.
    pub salt: Salt,
    /// What the slow function makes of PIN and salt.
    pub proof: LockProof,
}

/// The lock is as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockSet {
    /// Whether there is one.
    pub locked: bool,
}
