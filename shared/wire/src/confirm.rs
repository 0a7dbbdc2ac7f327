//! `POST /v1/verification/confirm`: trade the code from the phone for a ticket to register with. Needs no token.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{AccountId, ListVersion},
    phone::{Code, PhoneNumber},
    secret::{Salt, Ticket},
};

/// Trade a code for a ticket. A code is good for one ticket and for few tries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmRequest {
    /// The phone the code was sent to.
    pub phone: PhoneNumber,
    /// What the person typed.
    pub code: Code,
    /// Chosen at random by the client, so that a repeated request gets the same answer.
    pub ticket: Ticket,
}

/// The number is the asking person's. The ticket that the request named is good for one registration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// Seconds until the ticket ends.
    pub expires_in_seconds: u32,
    /// The account that the number has already, if it has one: registering takes it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub existing: Option<ExistingAccount>,
}

/// An account that a registration would take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingAccount {
    /// Its id.
    pub account: AccountId,
    /// The version of its device list; the next has one more.
    pub version: ListVersion,
    /// If a PIN locks the registration: the salt to derive the proof with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Salt>,
}
