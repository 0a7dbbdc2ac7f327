//! A chain key: gives one message key after the other, and no way back.
//!
//! ```text
//! message key = HKDF-Expand(chain key, label)      next chain key = HKDF-Expand(chain key, another label)
//! ```

use super::message_key::MessageKey;
use crate::{
    labels,
    primitives::{Prk, Secret},
};

/// The key of the next message of a chain, and its number. Zeroized when dropped.
#[derive(Clone)]
pub(super) struct ChainKey {
    key: Secret,
    index: u32,
}

impl ChainKey {
    pub(super) fn new(key: Secret, index: u32) -> Self {
        Self { key, index }
    }

    /// The number of the next message.
    pub(super) fn index(&self) -> u32 {
        self.index
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.key
    }

    /// The key of the next message, and the chain key after it. `None` at the end of the chain.
    pub(super) fn next(&self) -> Option<(MessageKey, Self)> {
        let index = self.index.checked_add(1)?;
        let prk = Prk::from_key(&self.key);
        let message = MessageKey::new(prk.expand(&[labels::CHAIN_MESSAGE]));
        let key = prk.expand(&[labels::CHAIN_NEXT]);
        Some((message, Self { key, index }))
    }

    /// The chain key after the next message, whose key is not needed. `None` at the end of the chain.
    pub(super) fn skip(&self) -> Option<Self> {
        let index = self.index.checked_add(1)?;
        let key = Prk::from_key(&self.key).expand(&[labels::CHAIN_NEXT]);
        Some(Self { key, index })
    }
}
