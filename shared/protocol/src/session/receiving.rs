//! The chains of the other side.
//!
//! The *current* chain grows. When the other side begins a new one it tells how long the old one was; that
//! one is *closed* then: its chain key goes, the keys of its missing messages stay for a while.

use std::collections::VecDeque;

use super::{
    chain_key::ChainKey,
    error::DecryptError,
    message_key::MessageKey,
    skipped::{MAX_KEY_AGE, MAX_SKIPPED_KEYS, SkippedKeys},
};
use crate::{keys::PUBLIC_KEY_BYTES, message::Header};

/// Messages of a chain that may be missing in a row. A device that is away while messages expire after 30
/// days misses that many at most; deriving the keys in between takes about 10 ms.
pub const MAX_JUMP: u32 = 25_000;

/// Chains of the other side a session remembers: the current one and the last closed ones. A message of an
/// older chain cannot be decrypted any more.
pub const MAX_CHAINS: usize = 5;

/// All chains of the other side that are remembered.
#[derive(Clone, Default)]
pub(super) struct ReceivingChains {
    pub(super) current: Option<CurrentChain>,
    /// The most recent first.
    pub(super) closed: VecDeque<ClosedChain>,
}

/// The chain that grows.
#[derive(Clone)]
pub(super) struct CurrentChain {
    pub(super) ratchet_key: [u8; PUBLIC_KEY_BYTES],
    pub(super) chain_key: ChainKey,
    pub(super) skipped: SkippedKeys,
}

/// A chain that has ended.
#[derive(Clone)]
pub(super) struct ClosedChain {
    pub(super) ratchet_key: [u8; PUBLIC_KEY_BYTES],
    /// How many messages it has.
    pub(super) length: u32,
    pub(super) skipped: SkippedKeys,
}

/// A chain, advanced beyond one message, to be stored when that message has proved genuine.
pub(super) struct Advance {
    pub(super) key: MessageKey,
    run: SkippedRun,
    next: ChainKey,
}

/// What a jump leaves out: the keys of the messages in between.
struct SkippedRun {
    keys: Vec<(u32, MessageKey)>,
    /// The first of them that has a key; 0 if all have.
    floor: u32,
}

impl ReceivingChains {
    /// Whether messages under this ratchet key belong to a chain we know.
    pub(super) fn knows(&self, ratchet_key: &[u8; PUBLIC_KEY_BYTES]) -> bool {
        self.current.iter().any(|chain| chain.ratchet_key == *ratchet_key)
            || self.closed.iter().any(|chain| chain.ratchet_key == *ratchet_key)
    }

    /// Decrypts a message of a chain we know.
    pub(super) fn decrypt<T>(
        &mut self,
        header: &Header,
        open: impl FnOnce(&MessageKey) -> Result<T, DecryptError>,
    ) -> Result<T, DecryptError> {
        let closed = self
            .closed
            .iter_mut()
            .find(|chain| chain.ratchet_key == header.ratchet_key);
        if let Some(chain) = closed {
            return chain.decrypt(header.counter, open);
        }
        let current = self
            .current
            .as_mut()
            .filter(|chain| chain.ratchet_key == header.ratchet_key);
        let opened = current
            .ok_or(DecryptError::UnknownChain)?
            .decrypt(header.counter, open)?;
        self.prune();
        Ok(opened)
    }

    /// Checks that a new chain may follow a current one of `previous_length`.
    pub(super) fn check_end(&self, previous_length: u32) -> Result<(), DecryptError> {
        match &self.current {
            Some(chain) => check_jump(chain.chain_key.index(), previous_length),
            None => Ok(()),
        }
    }

    /// Begins a new chain with its first message that arrived, which has proved genuine. The current one, of
    /// `previous_length` messages, is closed.
    pub(super) fn begin(
        &mut self,
        ratchet_key: [u8; PUBLIC_KEY_BYTES],
        advance: Advance,
        previous_length: u32,
    ) {
        let mut skipped = SkippedKeys::default();
        let chain_key = advance.commit(&mut skipped);
        let next = CurrentChain {
            ratchet_key,
            chain_key,
            skipped,
        };
        if let Some(chain) = self.current.replace(next) {
            self.closed.push_front(chain.close(previous_length));
            self.closed.truncate(MAX_CHAINS - 1);
        }
        self.prune();
    }

    /// How many skipped keys are stored.
    pub(super) fn skipped_len(&self) -> usize {
        let current = self.current.iter().map(|chain| chain.skipped.len());
        let closed = self.closed.iter().map(|chain| chain.skipped.len());
        current.chain(closed).sum()
    }

    /// Deletes the oldest skipped keys beyond the bound.
    fn prune(&mut self) {
        let mut excess = self.skipped_len().saturating_sub(MAX_SKIPPED_KEYS);
        let current = self.current.as_mut().map(|chain| &mut chain.skipped);
        let closed = self.closed.iter_mut().rev().map(|chain| &mut chain.skipped);
        for skipped in closed.chain(current) {
            excess -= skipped.evict(excess);
        }
    }
}

impl CurrentChain {
    fn decrypt<T>(
        &mut self,
        counter: u32,
        open: impl FnOnce(&MessageKey) -> Result<T, DecryptError>,
    ) -> Result<T, DecryptError> {
        if counter < self.chain_key.index() {
            return decrypt_skipped(&mut self.skipped, counter, open);
        }
        let advance = Advance::to(&self.chain_key, counter)?;
        let opened = open(&advance.key)?;
        self.chain_key = advance.commit(&mut self.skipped);
        Ok(opened)
    }

    fn close(mut self, length: u32) -> ClosedChain {
        let length = length.max(self.chain_key.index());
        let (run, _) = SkippedRun::to(&self.chain_key, length);
        run.store(&mut self.skipped, length);
        ClosedChain {
            ratchet_key: self.ratchet_key,
            length,
            skipped: self.skipped,
        }
    }
}

impl ClosedChain {
    fn decrypt<T>(
        &mut self,
        counter: u32,
        open: impl FnOnce(&MessageKey) -> Result<T, DecryptError>,
    ) -> Result<T, DecryptError> {
        if counter >= self.length {
            return Err(DecryptError::BeyondEnd);
        }
        decrypt_skipped(&mut self.skipped, counter, open)
    }
}

impl Advance {
    /// Derives the keys up to and including that of message `counter`.
    pub(super) fn to(chain_key: &ChainKey, counter: u32) -> Result<Self, DecryptError> {
        check_jump(chain_key.index(), counter)?;
        let (run, at) = SkippedRun::to(chain_key, counter);
        let (key, next) = at.next().ok_or(DecryptError::TooFarAhead)?;
        Ok(Self { key, run, next })
    }

    fn commit(self, skipped: &mut SkippedKeys) -> ChainKey {
        self.run.store(skipped, self.next.index());
        self.next
    }
}

impl SkippedRun {
    /// Derives the keys of the messages before `counter`, the last [`MAX_SKIPPED_KEYS`] of them, and the chain
    /// key at `counter`.
    fn to(chain_key: &ChainKey, counter: u32) -> (Self, ChainKey) {
        let mut at = chain_key.clone();
        let count = counter.saturating_sub(at.index()) as usize;
        let kept = count.min(MAX_SKIPPED_KEYS);
        for _ in kept..count {
            let Some(next) = at.skip() else { break };
            at = next;
        }
        let floor = if kept < count { at.index() } else { 0 };
        let mut keys = Vec::with_capacity(kept);
        while at.index() < counter {
            let Some((key, next)) = at.next() else { break };
            keys.push((at.index(), key));
            at = next;
        }
        (Self { keys, floor }, at)
    }

    /// Adds the keys to those of a chain whose next message is `next`, and deletes what is too old.
    fn store(self, skipped: &mut SkippedKeys, next: u32) {
        skipped.extend(self.keys);
        skipped.raise_floor(next.saturating_sub(MAX_KEY_AGE).max(self.floor));
    }
}

/// Refuses to derive more keys than [`MAX_JUMP`].
pub(super) fn check_jump(from: u32, to: u32) -> Result<(), DecryptError> {
    if to.saturating_sub(from) > MAX_JUMP {
        Err(DecryptError::TooFarAhead)
    } else {
        Ok(())
    }
}

fn decrypt_skipped<T>(
    skipped: &mut SkippedKeys,
    counter: u32,
    open: impl FnOnce(&MessageKey) -> Result<T, DecryptError>,
) -> Result<T, DecryptError> {
    let Some(key) = skipped.get(counter) else {
        let too_old = counter < skipped.floor();
        return Err(if too_old {
            DecryptError::TooOld
        } else {
            DecryptError::Duplicate
        });
    };
    let opened = open(key)?;
    skipped.remove(counter);
    Ok(opened)
}
