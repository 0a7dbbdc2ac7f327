//! A small set of small numbers, which hashes and compares as one byte.

use std::fmt;

/// Numbers below eight: messages, registrations, keys.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Set(u8);

impl Set {
    /// Of one number.
    pub(super) fn of(number: u8) -> Self {
        Self(1 << number)
    }

    /// Of the numbers from 0 to `last`.
    pub(super) fn up_to(last: u8) -> Self {
        (0..=last).fold(Self::default(), |set, number| set | Self::of(number))
    }

    pub(super) fn contains(self, number: u8) -> bool {
        self.0 & (1 << number) != 0
    }

    pub(super) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) fn is_part_of(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    pub(super) fn add(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(super) fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Rising.
    pub(super) fn iter(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |number| self.contains(*number))
    }

    pub(super) fn last(self) -> Option<u8> {
        self.iter().last()
    }
}

impl std::ops::BitOr for Set {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitAnd for Set {
    type Output = Self;

    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

impl fmt::Debug for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
