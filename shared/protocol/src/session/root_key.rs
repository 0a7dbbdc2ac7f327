//! The root key: what ties each chain to all that went before.
//!
//! ```text
//! prk = HKDF-Extract(salt: root, secret: ECDH(ratchet key of one side, ratchet key of the other) [|| KEM secret])
//! next root = HKDF-Expand(prk, label || sender's ratchet key || receiver's ratchet key || epoch)
//! chain key = HKDF-Expand(prk, another label || the same)
//! ```
//!
//! The *epoch* is how many of the steps so far, this one included, had a KEM secret.

use zeroize::Zeroizing;

use super::chain_key::ChainKey;
use crate::{
    labels,
    primitives::{POINT_BYTES, Prk, SECRET_BYTES, Secret},
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

    /// The next root key, and the first chain key of who sends under `sender`. `kem` is the secret of a
    /// post-quantum step; `epoch` counts it.
    pub(super) fn step(
        &self,
        shared: &Secret,
        kem: Option<&Secret>,
        sender: &[u8; POINT_BYTES],
        receiver: &[u8; POINT_BYTES],
        epoch: u32,
    ) -> (Self, ChainKey) {
        let prk = match kem {
            None => Prk::extract(self.0.as_bytes(), shared.as_bytes()),
            Some(kem) => {
                let mut both = Zeroizing::new([0; 2 * SECRET_BYTES]);
                let (first, second) = both.split_at_mut(SECRET_BYTES);
                first.copy_from_slice(shared.as_bytes());
                second.copy_from_slice(kem.as_bytes());
                Prk::extract(self.0.as_bytes(), both.as_ref())
            }
        };
        let epoch = epoch.to_be_bytes();
        let root = prk.expand(&[labels::RATCHET_ROOT, sender, receiver, &epoch]);
        let chain = prk.expand(&[labels::RATCHET_CHAIN, sender, receiver, &epoch]);
        (Self(root), ChainKey::new(chain, 0))
    }
}
