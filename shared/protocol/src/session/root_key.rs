//! The root key: what ties each chain to all that went before.
//!
//! ```text
//! prk = HKDF-Extract(salt: root, secret: ECDH(ratchet key of one side, ratchet key of the other))
//! next root = HKDF-Expand(prk, label || sender's ratchet key || receiver's ratchet key)
//! chain key = HKDF-Expand(prk, another label || the same keys)
//! ```

use zeroize::Zeroizing;

use super::chain_key::ChainKey;
use crate::{
    labels,
    primitives::{HASH_BYTES, POINT_BYTES, Prk},
};

/// A root key. Zeroized when dropped.
#[derive(Clone)]
pub(crate) struct RootKey(Zeroizing<[u8; HASH_BYTES]>);

impl RootKey {
    pub(crate) fn new(bytes: Zeroizing<[u8; HASH_BYTES]>) -> Self {
        Self(bytes)
    }

    pub(super) fn as_bytes(&self) -> &[u8; HASH_BYTES] {
        &self.0
    }

    /// The next root key, and the first chain key of who sends under `sender`.
    pub(super) fn step(
        &self,
        shared: &[u8; HASH_BYTES],
        sender: &[u8; POINT_BYTES],
        receiver: &[u8; POINT_BYTES],
    ) -> (Self, ChainKey) {
        let prk = Prk::extract(self.0.as_ref(), shared);
        let root = prk.expand(&[labels::RATCHET_ROOT, sender, receiver]);
        let chain = prk.expand(&[labels::RATCHET_CHAIN, sender, receiver]);
        (Self(root), ChainKey::new(chain, 0))
    }
}
