//! What crosses the network between a client and the service.
//!
//! This crate is the contract: ids, limits, the envelope, error codes and one file per verb. It has no
//! input or output and knows no other crate of the workspace. A value that exists is valid: parsing checks
//! every bound, so neither side checks it again.
//!
//! # Layout
//! - [`ids`]: accounts, devices, messages, keys. [`limits`]: every bound, with its reason.
//! - [`bytes`]: key material and ciphertext as base64url in JSON.
//! - [`envelope`]: one ciphertext for one device. [`keys`]: what a device publishes.
//! - [`frame`]: every frame a socket carries, in both directions. [`error`]: what a refused request says.
//! - WebSocket verbs: [`send`], [`ack`], [`receive`], [`claim`], [`ephemeral`].
//! - HTTP verbs: [`challenge`], [`confirm`], [`register`], [`lock`]; [`offer`], [`link`], [`answer`], [`revoke`];
//!   [`upload`], [`check`], [`fetch`]; [`subscribe`]. [`token`]: how a device proves who it is.
//! - [`devices`]: the signed list of an account's devices. [`phone`], [`secret`]: what never prints.

pub mod ack;
pub mod answer;
pub mod bytes;
pub mod challenge;
pub mod check;
pub mod claim;
pub mod confirm;
pub mod devices;
pub mod envelope;
pub mod ephemeral;
pub mod error;
pub mod fetch;
pub mod frame;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod link;
pub mod lock;
pub mod offer;
pub mod phone;
pub mod receive;
pub mod register;
pub mod revoke;
pub mod secret;
pub mod send;
pub mod subscribe;
pub mod token;
pub mod upload;

pub use bytes::{Ciphertext, KemKey, PublicKey, SealedEphemeral, Signature};
pub use devices::DeviceList;
pub use envelope::{Envelope, EnvelopeId};
pub use error::{ErrorCode, Problem};
pub use frame::{ClientFrame, ServiceFrame};
pub use ids::{
    AccountId, DeviceAddress, DeviceId, KeyId, ListVersion, MessageId, RegisteredDevice, RegistrationId,
    RequestId,
};
