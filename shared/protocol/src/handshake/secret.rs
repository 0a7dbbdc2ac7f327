//! From the shared secrets of a handshake to the first keys of a session.

use zeroize::Zeroizing;

use crate::{
    labels,
    primitives::{HASH_BYTES, Point, Prk, Scalar, Secret, ZeroSecret, agree},
    session::{EphemeralKeys, RootKey},
};

/// The shared secrets, one after the other: DH1 to DH4 in their order, then that of the key encapsulation.
pub(super) struct SharedSecrets(Zeroizing<Vec<u8>>);

impl SharedSecrets {
    pub(super) fn new() -> Self {
        Self(Zeroizing::new(Vec::with_capacity(5 * HASH_BYTES)))
    }

    /// Adds the next one.
    pub(super) fn add(&mut self, ours: &Scalar, theirs: &Point) -> Result<(), ZeroSecret> {
        self.0.extend_from_slice(agree(ours, theirs)?.as_bytes());
        Ok(())
    }

    /// The root key and the keys of ephemeral messages, with the encapsulated secret added last. There is no other
    /// way to them, so no handshake goes without.
    pub(super) fn into_keys(
        mut self,
        kem: &Secret,
        transcript: &[u8; HASH_BYTES],
    ) -> (RootKey, EphemeralKeys) {
        self.0.extend_from_slice(kem.as_bytes());
        let prk = Prk::extract(labels::HANDSHAKE, &self.0);
        let root = RootKey::new(prk.expand(&[labels::SESSION_ROOT, transcript]));
        (root, EphemeralKeys::derive(&prk, transcript))
    }
}
