//! Who is typing: what was said of it here, and what was heard. Nothing of it is stored.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;
use waxwing_wire::{AccountId, DeviceAddress};

/// While a person types on, it is said again this often: well within [`TYPING_LASTS`], should the network be slow, and
/// no more, because each costs a frame.
pub(crate) const TYPING_EVERY: Duration = Duration::from_secs(4);

/// So long after it was last said that somebody types, they do not any more.
pub(crate) const TYPING_LASTS: Duration = Duration::from_secs(6);

/// What was said.
#[derive(Debug, Default)]
pub(crate) struct Said(BTreeMap<AccountId, Instant>);

impl Said {
    /// Whether to say now that the person types.
    pub(crate) fn types(&mut self, conversation: AccountId, now: Instant) -> bool {
        self.0.retain(|_, at| now < *at + TYPING_LASTS);
        let due = self
            .0
            .get(&conversation)
            .is_none_or(|at| now >= *at + TYPING_EVERY);
        if due {
            self.0.insert(conversation, now);
        }
        due
    }

    /// Whether to say now that the person does not type any more.
    pub(crate) fn stops(&mut self, conversation: AccountId, now: Instant) -> bool {
        let said = self.0.remove(&conversation);
        said.is_some_and(|at| now < at + TYPING_LASTS)
    }

    /// The message was sent: that says it all.
    pub(crate) fn wrote(&mut self, conversation: AccountId) {
        self.0.remove(&conversation);
    }
}

/// What was heard.
#[derive(Debug, Default)]
pub(crate) struct Heard(BTreeMap<DeviceAddress, Instant>);

impl Heard {
    /// A device says so. Returns whether that is new.
    pub(crate) fn types(&mut self, from: DeviceAddress, now: Instant) -> bool {
        self.0.insert(from, now + TYPING_LASTS).is_none()
    }

    /// A device says so, or has sent what was typed. Returns whether that is new.
    pub(crate) fn stops(&mut self, from: DeviceAddress) -> bool {
        self.0.remove(&from).is_some()
    }

    /// Those who have not said it again in time. They do not type any more.
    pub(crate) fn expired(&mut self, now: Instant) -> Vec<DeviceAddress> {
        let expired = self.0.extract_if(.., |_, until| *until <= now);
        expired.map(|(device, _)| device).collect()
    }

    /// Nothing will be heard any more.
    pub(crate) fn end(&mut self) -> Vec<DeviceAddress> {
        std::mem::take(&mut self.0).into_keys().collect()
    }

    /// When to ask for [`expired`](Self::expired) again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Party, account};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_person_who_types_on_says_so_every_four_seconds_and_at_once_after_a_message() {
        let (mut said, begun) = (Said::default(), Instant::now());
        let bob = account(1);
        let times: Vec<_> = (0..=12)
            .filter(|at| said.types(bob, begun + seconds(*at)))
            .collect();
        assert_eq!(times, [0, 4, 8, 12]);
        assert!(
            said.types(account(2), begun + seconds(12)),
            "another conversation"
        );
        said.wrote(bob);
        assert!(!said.stops(bob, begun + seconds(13)), "the message has said it");
        assert!(said.types(bob, begun + seconds(13)));
    }

    #[test]
    fn stopping_is_said_once_and_only_while_the_other_side_believes_in_typing() {
        let (mut said, begun) = (Said::default(), Instant::now());
        let bob = account(1);
        assert!(!said.stops(bob, begun));
        said.types(bob, begun);
        assert!(said.stops(bob, begun + seconds(5)));
        assert!(!said.stops(bob, begun + seconds(5)));
        said.types(bob, begun + seconds(6));
        assert!(!said.stops(bob, begun + seconds(12)));
    }

    #[test]
    fn what_was_heard_ends_by_itself_after_six_seconds_unless_it_is_said_again() {
        let (mut heard, begun) = (Heard::default(), Instant::now());
        let phone = Party::new(account(1), 1, 11).address();
        assert!(heard.types(phone, begun));
        assert!(!heard.types(phone, begun + seconds(4)));
        assert!(heard.expired(begun + seconds(9)).is_empty());
        assert_eq!(heard.next(), Some(begun + seconds(10)));
        assert_eq!(heard.expired(begun + seconds(10)), [phone]);
        assert!(!heard.stops(phone));
        assert_eq!(heard.next(), None);
    }
}
