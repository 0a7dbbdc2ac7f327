//! What shows that a device runs twice, from a copy or a restored backup.
//!
//! **Evidence** is only what was authenticated: two contents with one sequence number. A device counts what it
//! writes to another and never uses a number for something else; two that share a state do. Only who has the
//! device's keys can produce it.
//!
//! **Suspicion** is what anyone on the way can bring about with garbage, and a copy does, too: messages that
//! do not decrypt, [`Duplicate`](crate::session::DecryptError::Duplicate) for other bytes than the first time,
//! [`BeyondEnd`](crate::session::DecryptError::BeyondEnd), [`Epoch`](crate::session::DecryptError::Epoch). It may lead to a
//! reset within its [budget](super::ResetBudget), never to an accusation.

use std::collections::BTreeMap;

use crate::{codec::Reader, labels, primitives::hash};

/// What a content turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// A sequence number not seen before.
    New,
    /// The same content again: written anew in another session, because the first may not have arrived.
    Repeated,
    /// Another content under a number that was used. The device runs twice, or breaks the protocol.
    Forked,
    /// A number so low that what it stood for was forgotten.
    Forgotten,
}

/// Digests of the latest contents of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForkWitness {
    seen: BTreeMap<u64, [u8; DIGEST_BYTES]>,
    /// Numbers below this one are forgotten.
    floor: u64,
}

/// Bytes of a digest. Who finds two contents with one digest has only hidden a fork of its own.
const DIGEST_BYTES: usize = 8;

impl ForkWitness {
    /// Contents remembered: what a copy writes before both notice, some KB.
    pub const MAX: usize = 256;

    /// Observes an encoded content that was decrypted, and its sequence number.
    pub fn observe(&mut self, sequence: u64, content: &[u8]) -> Observation {
        let digest = digest(content);
        if let Some(first) = self.seen.get(&sequence) {
            return if *first == digest {
                Observation::Repeated
            } else {
                Observation::Forked
            };
        }
        if sequence < self.floor {
            return Observation::Forgotten;
        }
        self.seen.insert(sequence, digest);
        while self.seen.len() > Self::MAX
            && let Some((lowest, _)) = self.seen.pop_first()
        {
            self.floor = lowest.saturating_add(1);
        }
        Observation::New
    }

    /// For our own store: floor u64, then number u64 and digest (8 bytes) of each.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.floor.to_be_bytes().to_vec();
        for (sequence, digest) in &self.seen {
            bytes.extend_from_slice(&sequence.to_be_bytes());
            bytes.extend_from_slice(digest);
        }
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote. `None`: it did not write this.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let floor = reader.u64().ok()?;
        let count = bytes.len().saturating_sub(8) / (8 + DIGEST_BYTES);
        let mut seen = BTreeMap::new();
        let mut last = None;
        for _ in 0..count {
            let sequence = reader.u64().ok()?;
            let rises = sequence >= floor && last.is_none_or(|last| sequence > last);
            last = rises.then_some(Some(sequence))?;
            seen.insert(sequence, *reader.array().ok()?);
        }
        reader.finish().ok()?;
        (count <= Self::MAX).then_some(Self { seen, floor })
    }
}

fn digest(content: &[u8]) -> [u8; DIGEST_BYTES] {
    let hash = hash(&[labels::CONTENT_DIGEST, content]);
    let mut digest = [0; DIGEST_BYTES];
    if let Some(first) = hash.first_chunk() {
        digest = *first;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        content::{Body, Content},
        testing::{NOW, fresh, receive, sessions},
    };

    fn content(sequence: u64, text: &str) -> Vec<u8> {
        Content {
            sequence,
            sent_at_millis: NOW,
            conversation: [1; 16],
            body: Body::Text(text.to_owned()),
        }
        .encode()
        .unwrap()
    }

    #[test]
    fn x24_a_device_that_runs_twice_is_seen_in_its_second_content_under_one_number() {
        let mut witness = ForkWitness::default();
        let (mut alice, mut bob) = sessions();
        let first = alice.encrypt(&mut fresh(), &content(1, "first"), NOW).unwrap();
        assert_eq!(
            witness.observe(1, &receive(&mut bob, &first).unwrap()),
            Observation::New
        );
        // Restored from a backup made here, with its counter.
        let mut restored = alice.clone();
        let second = alice.encrypt(&mut fresh(), &content(2, "second"), NOW).unwrap();
        let other = restored.encrypt(&mut fresh(), &content(2, "other"), NOW).unwrap();
        assert_eq!(
            witness.observe(2, &receive(&mut bob, &second).unwrap()),
            Observation::New
        );
        // In this session the copy's message is a duplicate: no evidence, for anyone can make such.
        assert!(receive(&mut bob, &other).is_err());
        // As soon as the copy is heard at all, in its next chain's session or a new one, it is.
        assert_eq!(witness.observe(2, &content(2, "other")), Observation::Forked);
        assert_eq!(witness.observe(2, &content(2, "second")), Observation::Repeated);
    }

    #[test]
    fn x24_what_is_remembered_is_bounded_and_survives_its_stored_form() {
        let mut witness = ForkWitness::default();
        let most = u64::try_from(ForkWitness::MAX).unwrap();
        for sequence in 0..most + 10 {
            assert_eq!(witness.observe(sequence, &[]), Observation::New);
            witness = ForkWitness::from_bytes(&witness.to_bytes()).unwrap();
        }
        assert_eq!(witness.to_bytes().len(), 8 + 16 * ForkWitness::MAX);
        assert_eq!(witness.observe(9, &[]), Observation::Forgotten);
        assert_eq!(witness.observe(10, &[]), Observation::Repeated);
        assert_eq!(witness.observe(10, &[1]), Observation::Forked);
        let stored = witness.to_bytes();
        for length in 0..stored.len() {
            let whole = length >= 8 && (length - 8) % 16 == 0;
            assert_eq!(
                ForkWitness::from_bytes(&stored[..length]).is_some(),
                whole,
                "{length}"
            );
        }
        let twice = [&stored[..24], &stored[8..24]].concat();
        assert_eq!(ForkWitness::from_bytes(&twice), None);
        let largest = [0xff; 16];
        let once = [&[0; 8], largest.as_slice()].concat();
        assert!(ForkWitness::from_bytes(&once).is_some());
        assert_eq!(ForkWitness::from_bytes(&[once, largest.to_vec()].concat()), None);
    }
}
