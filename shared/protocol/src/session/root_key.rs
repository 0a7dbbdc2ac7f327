//! The root key: what ties each chain to all that went before.
//!
//! ```text
//! prk = HKDF-Extract(salt: root, secret: ECDH(ratchet key of one side, ratchet key of the other))
//! next root = HKDF-Expand(prk, label || sender's ratchet key || receiver's ratchet key)
//! chain key = HKDF-Expand(prk, another label || the same keys)
//! ```

use super::chain_key::ChainKey;
use crate::{
    labels,
    primitives::{POINT_BYTES, Prk, Secret},
};

/// A root key. Zeroized when dropped.
#[derive(Clone)]
pub(crate) struct RootKey(Secret);

impl RootKey {
    pub(crate) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.0
    }

    /// The next root key, and the first chain key of who sends under `sender`.
    pub(super) fn step(
        &self,
        shared: &Secret,
        sender: &[u8; POINT_BYTES],
        receiver: &[u8; POINT_BYTES],
    ) -> (Self, ChainKey) {
        let prk = Prk::extract(self.0.as_bytes(), shared.as_bytes());
        let root = prk.expand(&[labels::RATCHET_ROOT, sender, receiver]);
        let chain = prk.expand(&[labels::RATCHET_CHAIN, sender, receiver]);
        (Self(root), ChainKey::new(chain, 0))
    }
}
