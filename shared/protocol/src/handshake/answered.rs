//! Which openings without a one-time prekey were answered already.
//!
//! An opening that names a one-time prekey can be answered once, for the prekey is gone then. One that names
//! none could be replayed for as long as the signed prekey is kept (X3DH, section 4.2). So it is remembered by
//! a digest of its base key for exactly that long, and there is a bound: beyond it such openings are refused
//! until the device has a new signed prekey, rather than answered without being remembered.

use std::collections::BTreeSet;

use crate::{labels, message::PrekeyMessage, primitives::hash};

/// Bytes of what names an answered opening.
pub const OPENING_DIGEST_BYTES: usize = 16;

/// The openings answered without a one-time prekey under one signed prekey.
///
/// Store it in the transaction that stores the session an opening made; delete it together with the signed
/// prekey's private half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredOpenings {
    signed_prekey_id: u32,
    digests: BTreeSet<[u8; OPENING_DIGEST_BYTES]>,
}

/// Whether an opening without a one-time prekey may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Admitted,
    OtherSignedPrekey,
    Replayed,
    Full,
}

impl AnsweredOpenings {
    /// Openings remembered per signed prekey. One-time prekeys have to be out for all of them, within the few
    /// weeks a signed prekey lives: far beyond what friends do, and 64 KiB.
    pub const MAX: usize = 4_096;

    /// None yet.
    pub fn new(signed_prekey_id: u32) -> Self {
        Self::from_digests(signed_prekey_id, [])
    }

    /// Those of our own store.
    pub fn from_digests(
        signed_prekey_id: u32,
        digests: impl IntoIterator<Item = [u8; OPENING_DIGEST_BYTES]>,
    ) -> Self {
        Self {
            signed_prekey_id,
            digests: digests.into_iter().collect(),
        }
    }

    /// Remembers an opening that was answered. Returns its digest, for a store that keeps one row for each.
    pub fn remember(&mut self, message: &PrekeyMessage) -> [u8; OPENING_DIGEST_BYTES] {
        let digest = digest(message);
        self.digests.insert(digest);
        digest
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether none is remembered.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    pub(super) fn admit(&self, message: &PrekeyMessage) -> Admission {
        if self.signed_prekey_id != message.signed_prekey_id() {
            Admission::OtherSignedPrekey
        } else if self.digests.contains(&digest(message)) {
            Admission::Replayed
        } else if self.digests.len() >= Self::MAX {
            Admission::Full
        } else {
            Admission::Admitted
        }
    }
}

/// Half a hash: two openings with one digest would take 2⁶⁴ attempts of a sender, who would only hurt itself.
fn digest(message: &PrekeyMessage) -> [u8; OPENING_DIGEST_BYTES] {
    let id = message.signed_prekey_id().to_be_bytes();
    let hash = hash(&[labels::ANSWERED_OPENING, &id, message.base_key()]);
    let mut digest = [0; OPENING_DIGEST_BYTES];
    if let Some(first) = hash.first_chunk() {
        digest = *first;
    }
    digest
}
