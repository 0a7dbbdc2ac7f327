//! The cryptography of Waxwing: X3DH and the Double Ratchet on P-256 with ML-KEM-768, value in, value out.
//!
//! Two devices that may never be awake at the same time agree on a *session* and write to each other in it so
//! that each message has a key of its own, deleted once it was used. This crate does that and nothing else:
//! it reads no clock, no file, no socket, and draws no randomness but from the source it is handed.
//!
//! The protocol is specified in `docs/protocol.md`, to the byte.
//!
//! # Layout
//! - [`keys`]: the keys of a device; ours and theirs are different types.
//! - [`handshake`]: [`initiate`](handshake::initiate) and [`respond`](handshake::respond) make a session.
//! - [`session`]: [`Session`] encrypts and decrypts.
//! - [`ephemeral`]: messages outside the ratchet that nobody misses, such as typing.
//! - [`management`]: which session to use, when to replace one, what to make of a copy.
//! - [`message`]: what crosses the network. [`content`]: what it says, [`padding`] included.
//! - Around people rather than messages, specified in `docs/accounts.md`: [`device_list`] (which devices an account has),
//!   [`safety_number`] (what two people compare), [`linking`] (how a new device joins), [`pin`] (registration lock).
//! - Beside the protocol: [`passphrase`] (a secret that lies on a disk).
//! - Inside: `labels` (all of them), `primitives` (all that touches a cryptographic crate), `codec`.
//!
//! # Faster, with AWS-LC
//! Curve, ciphers and hashes are pure Rust by default: that is the reference. With the feature `accelerated`, the crate
//! `aws-lc-rs` does key agreement, public keys, verification and AES-GCM; every byte stays the same, and tests hold the
//! two against each other. A handshake then costs about a third. An app asks for it in its own manifest, and needs a C
//! compiler to build AWS-LC:
//! ```toml
//! waxwing-client = { version = "0.1", features = ["accelerated"] }     # or waxwing-protocol itself
//! ```
//! Signing stays with the pure crates: signatures are deterministic (RFC 6979), and AWS-LC's are not. So does
//! decoding of compressed points, where AWS-LC is slower. `docs/benchmarks.md` has the figures.
//!
//! # Example
//! Bob publishes keys; Alice writes to him while he is away.
//! ```
//! use rand::{SeedableRng, rngs::StdRng};
//! use waxwing_protocol::{
//!     Message, Session, handshake,
//!     keys::{DeviceKeys, OneTimePrekeyPair, SignedPrekeyPair, TheirDevice},
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut rng = StdRng::seed_from_u64(1); // a real one draws from the operating system
//! let alice = DeviceKeys::generate(&mut rng);
//! let bob = DeviceKeys::generate(&mut rng);
//! let bob_signed = SignedPrekeyPair::generate(1, &mut rng)?;
//! let bob_one_time = OneTimePrekeyPair::generate(1, &mut rng)?;
//!
//! // Alice verifies what she fetched, opens a session and writes.
//! let bundle = handshake::PrekeyBundle::verify(
//!     TheirDevice::verify(
//!         &bob.signing().public().to_bytes(),
//!         &bob.identity().public().to_bytes(),
//!         &bob.identity_signature(),
//!     )?,
//!     handshake::PublishedSignedPrekey {
//!         id: 1,
//!         key: &bob_signed.public().to_bytes(),
//!         kem_key: bob_signed.public().kem_key(),
//!         signature: &bob_signed.sign(bob.signing()),
//!     },
//!     Some((1, &bob_one_time.public().to_bytes())),
//! )?;
//! let mut alice_session = handshake::initiate(&mut rng, &alice, b"alice.1", &bundle, b"bob.1")?;
//! let now_millis = 1_700_000_000_000;
//! let first = alice_session.encrypt(&mut rng, b"Hello, Bob", now_millis)?;
//!
//! // Bob finds the private halves the message names, makes the session and reads.
//! let Message::Prekey(first) = Message::parse(&first)? else { unreachable!() };
//! assert_eq!((first.signed_prekey_id(), first.one_time_prekey_id()), (1, Some(1)));
//! let one_time = handshake::OneTime::Prekey(&bob_one_time);
//! let (mut bob_session, content) = handshake::respond(
//!     &bob, b"bob.1", &bob_signed, one_time, &first.sender()?, b"alice.1", &first,
//! )?;
//! assert_eq!(content, b"Hello, Bob");
//!
//! // From here on both write as they like. Sessions are stored between messages.
//! let answer = bob_session.encrypt(&mut rng, b"Hello, Alice", now_millis)?;
//! let mut alice_session = Session::from_bytes(&alice_session.to_bytes())?;
//! assert_eq!(alice_session.decrypt(&Message::parse(&answer)?)?, b"Hello, Alice");
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

#[cfg(test)]
mod accounts_vectors;
mod codec;
pub mod content;
pub mod device_list;
pub mod ephemeral;
pub mod handshake;
pub mod keys;
mod labels;
pub mod linking;
pub mod management;
pub mod message;
pub mod padding;
pub mod passphrase;
pub mod pin;
mod primitives;
mod qr;
pub mod safety_number;
pub mod session;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod vectors;

pub use content::{Body, Content, ResetReason};
pub use message::{Message, PrekeyMessage, RatchetMessage};
pub use session::Session;
