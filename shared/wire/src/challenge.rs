//! `POST /v1/verification`: send a code to a phone. Needs no token.

use serde::{Deserialize, Serialize};

use crate::phone::PhoneNumber;

/// Send a code by SMS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChallengeRequest {
    /// Where to.
    pub phone: PhoneNumber,
}

/// A code is on its way. The answer is the same whether or not the number has an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenged {
    /// Seconds until the code ends.
    pub expires_in_seconds: u32,
    /// Seconds until another code may be asked for.
    pub next_in_seconds: u32,
}
