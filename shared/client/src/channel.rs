//! The order of what a device sends: shown by rising sequence number, once each, and a gap never silently.
//!
//! What is ahead of a gap is held back in the store. The gap closes when what is missing arrives; if it does
//! not, it is reported after a while and what was held is shown. What arrives even later is shown then, out
//! of order and marked as late: better than not at all.

use rusqlite::Transaction;
use waxwing_wire::DeviceAddress;

use crate::{
    ask_again,
    events::Effects,
    history, read_state,
    store::{
        StoreError,
        channels::{self, Channel},
        messages::MessageRow,
        peers::{self, PeerId},
        timeline::{self, Note},
    },
};

/// Messages held back in one channel at most. As many as a session keeps the keys of missing messages for:
/// beyond it, what is missing could not be decrypted any more.
pub(crate) const MAX_HELD: u64 = 1_000;
const _: () = assert!(MAX_HELD as usize <= waxwing_protocol::session::MAX_SKIPPED_KEYS);

/// Where a message stands in its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its turn was over: a gap was reported there, or its sender counts wrongly.
    Late,
    /// It is the next.
    Next,
    /// Something before it is missing.
    Ahead,
}

impl Channel {
    /// Where a message with this number stands.
    pub(crate) fn place(&self, sequence: u64) -> Place {
        match sequence.cmp(&self.next_expected) {
            std::cmp::Ordering::Less => Place::Late,
            std::cmp::Ordering::Equal => Place::Next,
            std::cmp::Ordering::Greater => Place::Ahead,
        }
    }
}

/// Takes a message of a channel: shows it, and what waited for it, or holds it back. `None` for a message
/// there is nothing to show of; it counts all the same.
pub(crate) fn arrive(
    tx: &Transaction<'_>,
    peer: PeerId,
    sequence: u64,
    message: Option<MessageRow>,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let mut channel = channels::load(tx, peer)?;
    let mut effects = Effects::default();
    match channel.place(sequence) {
        Place::Late => {
            effects.merge(ask_again::found(tx, peer, sequence)?);
            show(tx, message, &mut effects)?;
        }
        Place::Next => {
            show(tx, message, &mut effects)?;
            channel.next_expected = sequence.saturating_add(1);
            release(tx, &mut channel, now_millis, &mut effects)?;
            channels::store(tx, channel)?;
        }
        Place::Ahead => {
            channels::hold(tx, peer, sequence, message)?;
            if channel.gap_since.is_none() {
                channel.gap_since = Some(now_millis);
                channels::store(tx, channel)?;
            }
            while channels::held_count(tx, peer)? > MAX_HELD {
                skip(tx, &mut channel, now_millis, &mut effects)?;
            }
        }
    }
    Ok(effects)
}

/// Reports the gaps that are older than `wait_millis` and shows what they held back.
pub(crate) fn skip_old_gaps(
    tx: &Transaction<'_>,
    wait_millis: u64,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    for mut channel in channels::with_gaps(tx)? {
        let since = channel.gap_since.unwrap_or(now_millis);
        if now_millis.saturating_sub(since) >= wait_millis {
            skip(tx, &mut channel, now_millis, &mut effects)?;
        }
    }
    Ok(effects)
}

/// When the oldest gap was noticed, if there is one.
pub(crate) fn oldest_gap(tx: &Transaction<'_>) -> Result<Option<u64>, StoreError> {
    let gaps = channels::with_gaps(tx)?;
    Ok(gaps.iter().filter_map(|channel| channel.gap_since).min())
}

/// Reports the gap at the head of a channel and shows what it held back, up to the next gap.
fn skip(
    tx: &Transaction<'_>,
    channel: &mut Channel,
    now_millis: u64,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    if let Some(first) = channels::first_held(tx, channel.peer)? {
        let from: DeviceAddress = peers::address(tx, channel.peer)?;
        let (missing, last) = (channel.next_expected, first.sequence.saturating_sub(1));
        effects.grew(timeline::append_note(
            tx,
            &Note::Gap {
                from,
                first: missing,
                last,
            },
        )?);
        ask_again::gap(tx, channel.peer, missing, last)?;
        history::gap(tx, channel.peer)?;
        effects.send = true;
        channel.next_expected = first.sequence;
    }
    release(tx, channel, now_millis, effects)?;
    channels::store(tx, *channel)
}

/// Shows what is held and now is next.
fn release(
    tx: &Transaction<'_>,
    channel: &mut Channel,
    now_millis: u64,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    let before = channel.next_expected;
    let remaining = loop {
        let first = channels::first_held(tx, channel.peer)?;
        let Some(next) = first.filter(|held| held.sequence <= channel.next_expected) else {
            break first;
        };
        show(tx, next.message, effects)?;
        channels::release(tx, next)?;
        channel.next_expected = channel.next_expected.max(next.sequence.saturating_add(1));
    };
    // A gap further on is as old as the first message that waits for it; its own wait begins now, which is
    // later and errs towards patience.
    channel.gap_since = match remaining {
        None => None,
        Some(_) if channel.next_expected > before => Some(now_millis),
        Some(_) => channel.gap_since,
    };
    Ok(())
}

/// Shows a message now, as the newest.
pub(crate) fn show(
    tx: &Transaction<'_>,
    message: Option<MessageRow>,
    effects: &mut Effects,
) -> Result<(), StoreError> {
    if let Some(message) = message {
        let (position, place) = timeline::append_received(tx, message)?;
        read_state::placed(tx, message, place)?;
        effects.grew(position);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        events::Event,
        testing::{Carried, Party, account},
    };

    const WAIT: u64 = 30_000;

    /// Bob, and `count` messages from Alice under way to him.
    fn messages(count: usize) -> (Party, Vec<Carried>) {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        let sent = (1..=count)
            .flat_map(|n| alice.send(bob.account(), &n.to_string()))
            .collect();
        (bob, sent)
    }

    fn gaps(party: &Party) -> Vec<(u64, u64)> {
        let gap = |event| match event {
            Event::Gap { missing, .. } => Some((*missing.start(), *missing.end())),
            _ => None,
        };
        party.told().into_iter().filter_map(gap).collect()
    }

    fn numbers(texts: impl IntoIterator<Item = usize>) -> Vec<String> {
        texts.into_iter().map(|number| number.to_string()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

        /// I4.
        #[test]
        fn x21_any_order_and_any_repetition_is_shown_in_the_sender_s_order(
            order in Just((0..12).collect::<Vec<usize>>()).prop_shuffle(),
            repeated in prop::collection::vec(0_usize..12, 0..6),
        ) {
            let (mut bob, sent) = messages(12);
            for index in order.into_iter().chain(repeated) {
                bob.receive(&sent[index].envelope);
            }
            prop_assert_eq!(bob.texts(), numbers(1..=12));
            prop_assert!(gaps(&bob).is_empty());
        }

        /// I4.
        #[test]
        fn x21_whatever_is_dropped_is_reported_and_all_else_is_shown(
            dropped in prop::collection::btree_set(1_usize..=10, 1..6),
            order in Just((1..=12).collect::<Vec<usize>>()).prop_shuffle(),
        ) {
            let (mut bob, sent) = messages(12);
            for number in order.into_iter().filter(|number| !dropped.contains(number)) {
                bob.receive(&sent[number - 1].envelope);
            }
            bob.now += WAIT * 13;
            for _ in 0..dropped.len() {
                bob.skip_gaps(WAIT);
                bob.now += WAIT;
            }
            prop_assert_eq!(bob.texts(), numbers((1..=12).filter(|number| !dropped.contains(number))));
            let reported: Vec<usize> =
                gaps(&bob).into_iter().flat_map(|(first, last)| first as usize..=last as usize).collect();
            prop_assert_eq!(reported, dropped.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_gap_is_not_reported_before_its_wait_is_over() {
        let (mut bob, sent) = messages(3);
        bob.receive(&sent[2].envelope);
        bob.now += WAIT - 1;
        bob.skip_gaps(WAIT);
        assert!(bob.told().is_empty());
        bob.now += 1;
        bob.skip_gaps(WAIT);
        assert_eq!(gaps(&bob), [(1, 2)]);
        assert_eq!(bob.texts(), ["3"]);
    }

    #[test]
    fn what_arrives_after_its_gap_was_reported_is_shown_as_late() {
        let (mut bob, sent) = messages(2);
        bob.receive(&sent[1].envelope);
        bob.now += WAIT;
        bob.skip_gaps(WAIT);
        bob.receive(&sent[0].envelope);
        assert_eq!(bob.texts(), ["2", "1"]);
        let late = |event: &Event| matches!(event, Event::Message(message) if message.late);
        assert_eq!(
            bob.told().iter().map(late).collect::<Vec<_>>(),
            [false, false, true]
        );
    }

    #[test]
    fn held_messages_survive_a_restart_and_are_shown_when_the_gap_closes() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::on_disk(account(2), 1, 12);
        alice.meet(&mut bob);
        let sent: Vec<_> = (1..=3)
            .flat_map(|n| alice.send(bob.account(), &n.to_string()))
            .collect();
        bob.receive(&sent[1].envelope);
        bob.receive(&sent[2].envelope);
        bob.reopen();
        assert!(bob.told().is_empty());
        bob.receive(&sent[0].envelope);
        assert_eq!(bob.texts(), ["1", "2", "3"]);
    }

    #[test]
    fn more_than_the_bound_is_not_held_back() {
        let (mut bob, sent) = messages(2);
        bob.receive(&sent[1].envelope);
        let now = bob.now;
        let peer = bob.write(|tx, _| Ok(channels::with_gaps(tx)?[0].peer));
        for sequence in 3..=MAX_HELD + 1 {
            bob.write(|tx, _| arrive(tx, peer, sequence, None, now));
        }
        assert!(gaps(&bob).is_empty());
        bob.write(|tx, _| arrive(tx, peer, MAX_HELD + 2, None, now));
        assert_eq!(gaps(&bob), [(1, 1)]);
        assert_eq!(bob.texts(), ["2"]);
        assert_eq!(bob.write(|tx, _| channels::held_count(tx, peer)), 0);
    }
}
