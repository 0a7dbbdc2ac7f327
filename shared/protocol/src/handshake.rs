//! X3DH: how two devices agree on a session while one of them is away.
//!
//! The initiator A takes B's published [`PrekeyBundle`], makes a base key, and computes
//!
//! ```text
//! DH1 = ECDH(identity A, signed prekey B)      DH2 = ECDH(base A, identity B)
//! DH3 = ECDH(base A, signed prekey B)          DH4 = ECDH(base A, one-time prekey B)
//! root = HKDF(salt: label, secret: DH1 || DH2 || DH3 [|| DH4], info: label || transcript)
//! ```
//!
//! B computes the same from its private halves and what A's first messages carry. DH1 and DH2 authenticate
//! both devices, DH3 and DH4 make the secret fresh. DH4 falls away when B's one-time prekeys are used up;
//! the transcript says so, hence both sides know and nobody between them can take it away.
//!
//! The *transcript* is a hash over all both sides must agree on: version and suite, both addresses, both
//! signing keys and identity keys, the base key, every prekey with its id. It goes into the key derivation
//! and into the associated data of every message. See the Signal specification "The X3DH Key Agreement
//! Protocol" (2016) for the rest; what differs is written in `docs/protocol.md`.

mod bundle;
mod initiate;
mod respond;
mod secret;
mod transcript;

pub use bundle::{BundleError, PrekeyBundle};
pub use initiate::{InitiateError, initiate};
pub use respond::{RespondError, respond};

/// Bytes of a device's address at most, so that its length fits one byte of the transcript.
pub const MAX_ADDRESS_BYTES: usize = 255;

/// Whether two addresses can have a session: neither is empty or too long, and they differ.
fn are_addresses(ours: &[u8], theirs: &[u8]) -> bool {
    let fits = |address: &[u8]| (1..=MAX_ADDRESS_BYTES).contains(&address.len());
    fits(ours) && fits(theirs) && ours != theirs
}
