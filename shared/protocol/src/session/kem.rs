//! The post-quantum step: every so often a fresh ML-KEM-768 secret goes into the root key.
//!
//! A quantum computer that breaks ECDH reads on from any state it learns, for the handshake's KEM secret is no
//! help once a state is known. So the two sides agree on a new one from time to time, beside the messages they
//! write anyway:
//!
//! 1. One side *asks*: it makes a key pair and sends the encapsulation key (1,184 bytes).
//! 2. The other *answers* with the ciphertext of a fresh secret and a confirmation (1,120 bytes).
//! 3. The asking side now knows that both have the secret, takes it into the root key of the next chain it
//!    begins, and says so in the *epoch* of that chain's header. The other does the same on that header.
//!
//! The initiator asks for the first step, the responder for the second, and so on. Because every message of a
//! chain names the epoch, and the sides begin their chains in turn, both take the secret at the same place
//! whatever was lost, late or repeated. Key and answer travel as *chunks* of blocks in the room that padding
//! leaves, over and over until the step is done; only when it is due soon does a message that begins a chain
//! grow for them.
//!
//! Nobody but the other side can write a chunk, for it is inside the encryption. Should the two ever disagree
//! all the same, the confirmation shows it before anything depends on it, and the asking side begins anew.

use rand::CryptoRng;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    labels,
    padding::{self, BadPadding},
    primitives::{
        HASH_BYTES, KEM_CIPHERTEXT_BYTES, KEM_KEY_BYTES, KEM_SEED_BYTES, KemCiphertext, KemPublicKey,
        KemSecret, Prk, Secret, hash,
    },
};

/// Messages, of both sides, after which a new step is asked for.
pub const KEM_STEP_BEGINS_AFTER_MESSAGES: u32 = 20;

/// Messages, of both sides, after which messages grow to get it done. Both sides have to write for that, the
/// asking one twice.
pub const KEM_STEP_HURRIES_AFTER_MESSAGES: u32 = 26;

/// Messages, of both sides, within which a step is due.
pub const KEM_STEP_DUE_AFTER_MESSAGES: u32 = 50;

/// Milliseconds after which a new step is asked for: 3 days.
pub const KEM_STEP_BEGINS_AFTER_MILLIS: u64 = 3 * DAY_MILLIS;

/// Milliseconds after which messages grow to get it done: 5 days.
pub const KEM_STEP_HURRIES_AFTER_MILLIS: u64 = 5 * DAY_MILLIS;

/// Milliseconds within which a step is due: 7 days.
pub const KEM_STEP_DUE_AFTER_MILLIS: u64 = 7 * DAY_MILLIS;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// Bytes of a block, the unit in which key and answer are cut.
pub(super) const BLOCK_BYTES: usize = 32;
/// Bytes of an answer: ciphertext and confirmation.
pub(super) const ANSWER_BYTES: usize = KEM_CIPHERTEXT_BYTES + HASH_BYTES;
/// Bytes behind the blocks of a chunk: first block, number of blocks, attempt, kind.
const TRAILER_BYTES: usize = 4;

/// How far the two sides are with the next step.
#[derive(Clone)]
pub(super) struct KemSteps {
    /// Messages of both sides since the last step.
    pub(super) messages: u32,
    /// When the first of them was encrypted. `None`: we have encrypted none.
    pub(super) since_millis: Option<u64>,
    /// Which key pair this is, of those made for this step. More than one only if something went wrong.
    pub(super) attempt: u8,
    pub(super) phase: Phase,
}

#[derive(Clone)]
pub(super) enum Phase {
    Idle,
    /// We send a key and collect the answer.
    Asking(Box<Asking>),
    /// We have the secret, and so has the other side: it goes into the next chain we begin.
    Decided(Secret),
    /// We collect the other side's key.
    Hearing(Blocks),
    /// We have it, and answer with our next message.
    Heard(KemPublicKey),
    /// We send the answer, until the other side begins a chain with its secret.
    Answering(Box<Answering>),
}

#[derive(Clone)]
pub(super) struct Asking {
    pub(super) seed: Zeroizing<[u8; KEM_SEED_BYTES]>,
    pub(super) key: KemPublicKey,
    /// The block to send next.
    pub(super) next: u8,
    pub(super) answer: Blocks,
}

#[derive(Clone)]
pub(super) struct Answering {
    pub(super) answer: [u8; ANSWER_BYTES],
    /// The block to send next.
    pub(super) next: u8,
    pub(super) secret: Secret,
}

/// What a chunk has blocks of. Its number is the last byte of the message's plaintext, where neither the mark
/// 80 nor a zero can stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Key = 1,
    Answer = 2,
}

/// Blocks of a key or an answer, as they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    kind: Kind,
    attempt: u8,
    first: u8,
    blocks: &'a [u8],
}

/// What a message is to carry.
pub(super) struct Outgoing<'a> {
    kind: Kind,
    attempt: u8,
    first: u8,
    blocks: &'a [u8],
}

impl KemSteps {
    /// Nothing asked for yet.
    pub(super) fn new() -> Self {
        Self {
            messages: 0,
            since_millis: None,
            attempt: 0,
            phase: Phase::Idle,
        }
    }

    /// The secret for the next chain we begin.
    pub(super) fn to_begin_with(&self) -> Option<&Secret> {
        match &self.phase {
            Phase::Decided(secret) => Some(secret),
            _ => None,
        }
    }

    /// The secret the next chain of the other side may begin with.
    pub(super) fn to_expect(&self) -> Option<&Secret> {
        match &self.phase {
            Phase::Answering(answering) => Some(&answering.secret),
            _ => None,
        }
    }

    /// A chain began with the secret: the step is done.
    pub(super) fn done(&mut self) {
        *self = Self::new();
    }

    /// Counts a message that was decrypted.
    pub(super) fn count_received(&mut self) {
        self.messages = self.messages.saturating_add(1);
    }

    /// Counts a message that is being encrypted. A clock that was set back begins the time anew.
    pub(super) fn count_sent(&mut self, now_millis: u64) {
        self.messages = self.messages.saturating_add(1);
        let since = self
            .since_millis
            .map_or(now_millis, |since| since.min(now_millis));
        self.since_millis = Some(since.max(1));
    }

    /// Whether so many messages or so much time have passed since the last step.
    pub(super) fn is_past(&self, messages: u32, millis: u64, now_millis: u64) -> bool {
        let since = self.since_millis.unwrap_or(now_millis);
        self.messages >= messages || now_millis.saturating_sub(since) >= millis
    }

    /// Does what takes randomness before a message: makes a key pair (64 bytes) if it is our turn to ask and
    /// time to, or answers (32 bytes) if a key was heard.
    pub(super) fn prepare(&mut self, rng: &mut impl CryptoRng, asks: bool, now_millis: u64) {
        let (messages, millis) = (KEM_STEP_BEGINS_AFTER_MESSAGES, KEM_STEP_BEGINS_AFTER_MILLIS);
        match &self.phase {
            Phase::Idle if asks && self.attempt < u8::MAX && self.is_past(messages, millis, now_millis) => {
                let mut seed = Zeroizing::new([0; KEM_SEED_BYTES]);
                rng.fill_bytes(seed.as_mut());
                let (_, key) = KemSecret::from_seed(&seed);
                self.phase = Phase::Asking(Box::new(Asking {
                    seed,
                    key,
                    next: 0,
                    answer: Blocks::none(Kind::Answer),
                }));
            }
            Phase::Heard(key) => {
                let (ciphertext, shared) = key.encapsulate(rng);
                let (secret, confirmation) = derive(&shared, key.as_bytes(), &ciphertext);
                let mut answer = [0; ANSWER_BYTES];
                let (first, second) = answer.split_at_mut(KEM_CIPHERTEXT_BYTES);
                first.copy_from_slice(ciphertext.as_ref());
                second.copy_from_slice(confirmation.as_bytes());
                self.phase = Phase::Answering(Box::new(Answering {
                    answer,
                    next: 0,
                    secret,
                }));
            }
            _ => {}
        }
    }

    /// What a message with `length` bytes of content and mark carries: its bucket, and a chunk if there is
    /// something to send and room for it. With `hurries`, room is made for all of it. `None`: the content
    /// alone is too long.
    pub(super) fn plan(&mut self, length: usize, hurries: bool) -> Option<(usize, Option<Outgoing<'_>>)> {
        let bucket = padding::bucket(length)?;
        let attempt = self.attempt;
        let (kind, all, next) = match &mut self.phase {
            Phase::Asking(asking) => (Kind::Key, asking.key.as_bytes().as_slice(), &mut asking.next),
            Phase::Answering(answering) => (Kind::Answer, answering.answer.as_slice(), &mut answering.next),
            _ => return Some((bucket, None)),
        };
        let enlarged = padding::bucket(length + all.len() + TRAILER_BYTES).filter(|_| hurries);
        let (bucket, from) = match enlarged {
            Some(enlarged) => (enlarged, 0),
            None => (bucket, usize::from(*next) * BLOCK_BYTES),
        };
        let room = bucket.saturating_sub(length + TRAILER_BYTES) / BLOCK_BYTES * BLOCK_BYTES;
        let to = all.len().min(from + room);
        let blocks = all.get(from..to).unwrap_or_default();
        if blocks.is_empty() {
            return Some((bucket, None));
        }
        let first = u8::try_from(from / BLOCK_BYTES).unwrap_or(0);
        *next = u8::try_from(to % all.len() / BLOCK_BYTES).unwrap_or(0);
        let outgoing = Outgoing {
            kind,
            attempt,
            first,
            blocks,
        };
        Some((bucket, Some(outgoing)))
    }

    /// Takes in what a decrypted message carried. Of chunks that are late, repeated or of another step nothing
    /// is taken.
    pub(super) fn take_in(&mut self, chunk: Chunk<'_>, asks: bool) {
        match (chunk.kind, asks) {
            (Kind::Key, false) => self.hear(chunk),
            (Kind::Answer, true) => self.collect(chunk),
            _ => {}
        }
    }

    /// Blocks of the other side's key. Those of a later attempt replace what there is of an earlier one.
    fn hear(&mut self, chunk: Chunk<'_>) {
        if chunk.attempt > self.attempt {
            self.attempt = chunk.attempt;
            self.phase = Phase::Idle;
        }
        if chunk.attempt < self.attempt {
            return;
        }
        if let Phase::Idle = self.phase {
            self.phase = Phase::Hearing(Blocks::none(Kind::Key));
        }
        let Phase::Hearing(key) = &mut self.phase else {
            return;
        };
        key.put(chunk);
        if key.is_complete() {
            // A key that is none was not made by this protocol: there is no step then, and no harm.
            self.phase = KemPublicKey::from_bytes(&key.bytes).map_or(Phase::Idle, Phase::Heard);
        }
    }

    /// Blocks of the answer to our key.
    fn collect(&mut self, chunk: Chunk<'_>) {
        let Phase::Asking(asking) = &mut self.phase else {
            return;
        };
        if chunk.attempt != self.attempt {
            return;
        }
        asking.answer.put(chunk);
        if !asking.answer.is_complete() {
            return;
        }
        self.phase = match asking.decide() {
            Some(secret) => Phase::Decided(secret),
            None => {
                self.attempt = self.attempt.saturating_add(1);
                Phase::Idle
            }
        };
    }
}

impl Asking {
    /// The secret of a complete answer. `None`: it was not made for our key.
    fn decide(&self) -> Option<Secret> {
        let (ciphertext, confirmation) = self.answer.bytes.split_first_chunk::<KEM_CIPHERTEXT_BYTES>()?;
        let (kem, _) = KemSecret::from_seed(&self.seed);
        let (secret, expected) = derive(&kem.decapsulate(ciphertext), self.key.as_bytes(), ciphertext);
        bool::from(expected.as_bytes().as_slice().ct_eq(confirmation)).then_some(secret)
    }
}

/// The secret of a step, and what shows that the other side has it, too. Both bind key and ciphertext.
fn derive(shared: &Secret, key: &[u8; KEM_KEY_BYTES], ciphertext: &KemCiphertext) -> (Secret, Secret) {
    let bound = hash(&[key, ciphertext]);
    let prk = Prk::from_key(shared);
    (
        prk.expand(&[labels::RATCHET_KEM_SECRET, &bound]),
        prk.expand(&[labels::RATCHET_KEM_CONFIRMATION, &bound]),
    )
}

/// Some blocks of a key or an answer.
#[derive(Clone)]
pub(super) struct Blocks {
    pub(super) bytes: Vec<u8>,
    /// Bit i: block i is there.
    pub(super) present: u64,
}

impl Blocks {
    pub(super) fn none(kind: Kind) -> Self {
        Self {
            bytes: vec![0; kind.bytes()],
            present: 0,
        }
    }

    /// Bits of all blocks.
    pub(super) fn all(&self) -> u64 {
        (1 << (self.bytes.len() / BLOCK_BYTES)) - 1
    }

    fn put(&mut self, chunk: Chunk<'_>) {
        let start = usize::from(chunk.first) * BLOCK_BYTES;
        let place = self.bytes.get_mut(start..start + chunk.blocks.len());
        if let Some(place) = place {
            place.copy_from_slice(chunk.blocks);
            let count = chunk.blocks.len() / BLOCK_BYTES;
            self.present |= ((1 << count) - 1) << chunk.first;
        }
    }

    fn is_complete(&self) -> bool {
        self.present == self.all()
    }
}

impl Kind {
    /// Bytes of the whole.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Key => KEM_KEY_BYTES,
            Self::Answer => ANSWER_BYTES,
        }
    }
}

impl<'a> Chunk<'a> {
    /// Splits the chunk off a padded plaintext, if it has one.
    pub(super) fn split(padded: &'a [u8]) -> Result<(&'a [u8], Option<Self>), BadPadding> {
        let kind = match padded.last() {
            Some(1) => Kind::Key,
            Some(2) => Kind::Answer,
            _ => return Ok((padded, None)),
        };
        let (rest, &[first, count, attempt, _]) =
            padded.split_last_chunk::<TRAILER_BYTES>().ok_or(BadPadding)?;
        let (start, length) = (usize::from(first) * BLOCK_BYTES, usize::from(count) * BLOCK_BYTES);
        if count == 0 || start + length > kind.bytes() {
            return Err(BadPadding);
        }
        let at = rest.len().checked_sub(length).ok_or(BadPadding)?;
        let (rest, blocks) = rest.split_at(at);
        Ok((
            rest,
            Some(Self {
                kind,
                attempt,
                first,
                blocks,
            }),
        ))
    }
}

impl Outgoing<'_> {
    /// Puts the chunk over the end of a padded plaintext that has room for it.
    pub(super) fn write(&self, padded: &mut Vec<u8>) {
        let count = u8::try_from(self.blocks.len() / BLOCK_BYTES).unwrap_or(0);
        let kept = padded.len().saturating_sub(self.blocks.len() + TRAILER_BYTES);
        padded.truncate(kept);
        padded.extend_from_slice(self.blocks);
        padded.extend_from_slice(&[self.first, count, self.attempt, self.kind as u8]);
    }
}
