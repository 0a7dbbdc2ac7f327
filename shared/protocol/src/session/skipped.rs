//! The keys of messages that have not arrived, while later ones have.
//!
//! A service that reorders or holds back must not break a conversation, and one that invents must not fill
//! our memory: what is kept is bounded in number and in age. Without a clock, age is counted in messages.

use std::collections::VecDeque;

use super::message_key::MessageKey;

/// Message keys a session keeps at most, over all its chains. The oldest go first. A mailbox hands out its
/// messages oldest first, 100 a page, so what really arrives late lies within a few pages.
pub const MAX_SKIPPED_KEYS: usize = 1_000;

/// A key is deleted once the message this many places after its own was decrypted. What is missing that long
/// was lost.
pub const MAX_KEY_AGE: u32 = 2_000;

/// The skipped keys of one chain, in the order of their messages.
#[derive(Clone, Default)]
pub(super) struct SkippedKeys {
    /// Messages before this one have no key any more, whether they arrived or not.
    floor: u32,
    keys: VecDeque<(u32, MessageKey)>,
}

impl SkippedKeys {
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn floor(&self) -> u32 {
        self.floor
    }

    pub(super) fn get(&self, counter: u32) -> Option<&MessageKey> {
        let at = self.position(counter)?;
        self.keys.get(at).map(|(_, key)| key)
    }

    pub(super) fn remove(&mut self, counter: u32) {
        if let Some(at) = self.position(counter) {
            self.keys.remove(at);
        }
    }

    /// Adds keys that come after all others.
    pub(super) fn extend(&mut self, keys: Vec<(u32, MessageKey)>) {
        self.keys.extend(keys);
    }

    /// Deletes the keys of all messages before `floor`.
    pub(super) fn raise_floor(&mut self, floor: u32) {
        self.floor = self.floor.max(floor);
        while self
            .keys
            .front()
            .is_some_and(|(counter, _)| *counter < self.floor)
        {
            self.keys.pop_front();
        }
    }

    /// Deletes the oldest `count` keys; returns how many there were.
    pub(super) fn evict(&mut self, count: usize) -> usize {
        let count = count.min(self.keys.len());
        for (counter, _) in self.keys.drain(..count) {
            self.floor = counter.saturating_add(1);
        }
        count
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(u32, MessageKey)> {
        self.keys.iter()
    }

    /// Puts stored keys back. `None` unless they are in order and not below the floor.
    pub(super) fn restore(floor: u32, keys: VecDeque<(u32, MessageKey)>) -> Option<Self> {
        let in_order = keys
            .iter()
            .map(|(counter, _)| *counter)
            .is_sorted_by(|a, b| a < b);
        let above = keys.front().is_none_or(|(counter, _)| *counter >= floor);
        (in_order && above).then_some(Self { floor, keys })
    }

    #[cfg(test)]
    pub(super) fn unchecked(floor: u32, keys: VecDeque<(u32, MessageKey)>) -> Self {
        Self { floor, keys }
    }

    fn position(&self, counter: u32) -> Option<usize> {
        self.keys
            .binary_search_by_key(&counter, |(counter, _)| *counter)
            .ok()
    }
}
