//! What a client decides about its sessions with one other device, as values: time comes in, nothing is stored
//! here. The rules are part of the protocol, for both sides have to come to the same end.
//!
//! - Which session to send with ([`session_to_send_with`]), also when both sides opened one at once.
//! - Which sessions are replaced by a new one, and which to forget ([`sessions_to_retire`], [`sessions_to_forget`]).
//! - How often a session may be replaced ([`ResetBudget`]).
//! - What shows that a device runs twice ([`ForkWitness`]).

mod fork;
mod reset;
mod sessions;

pub use fork::{ForkWitness, Observation};
pub use reset::{MAX_RESETS_PER_DAY, MIN_RESET_INTERVAL_MILLIS, ResetBudget};
pub use sessions::{
    KnownSession, MAX_SESSIONS_PER_DEVICE, RETIRED_SESSION_MILLIS, session_to_send_with, sessions_to_forget,
    sessions_to_retire,
};
