//! What is missing is asked for again.
//!
//! A gap that is reported to the app is also reported to the device that left it: in the session with it, so that nobody
//! else can ask in its name. That device still knows what it used the latest numbers of each channel for, and sends the
//! messages for people once more, each with the id and the number that it had; of what was not for people it says just
//! that. What was read meanwhile, or comes twice, is stored once. Who was asked and has forgotten says nothing, and the
//! gap stays. What came and could not be read is [asked for by its id](crate::ask_for).
//!
//! Both sides keep a budget: whoever leaves gaps on purpose does not make this device write without end, and whoever
//! asks without end is not answered.

use std::time::Duration;

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    Body,
    content::{Again, AskAgain, MAX_ASKED},
};
use waxwing_wire::{AccountId, DeviceAddress, MessageId};

use crate::{
    events::{Effects, Event},
    store::{
        StoreError,
        asks::{self, Asker, SentMessage},
        directory,
        outbox::{self, Control, Matter},
        peers::{self, PeerId},
        received,
    },
};

/// Numbers of a channel that are remembered: as many as may be held back behind a gap.
pub(crate) const MAX_REMEMBERED: u64 = crate::channel::MAX_HELD;

/// Numbers of one gap that are asked for: more were hardly lost by accident.
const MAX_MISSING: u64 = 4 * MAX_ASKED;

/// Requests to one device, and of one device, in [`PERIOD`].
const MAX_ASKS: u64 = 16;

/// What [`MAX_ASKS`] counts for.
const PERIOD: Duration = Duration::from_secs(60 * 60);

impl SentMessage {
    /// The message once more.
    pub(crate) fn again(self, sequence: u64) -> Again {
        Again {
            sequence,
            message: self.message.to_bytes(),
            sent_at_millis: self.sent_at_millis,
            conversation: self.conversation.to_bytes(),
            text: Some(self.text),
        }
    }
}

/// Remembers what a number of the channel to a device was used for.
pub(crate) fn sent(
    tx: &Transaction<'_>,
    peer: PeerId,
    sequence: u64,
    matter: Matter,
    body: &Body,
) -> Result<(), StoreError> {
    let message = match (matter, body) {
        (Matter::Control(_), Body::Again(again)) => {
            return asks::note_sent_again(tx, peer, sequence, again.sequence);
        }
        (Matter::Control(_), _) => None,
        (Matter::Message(row), _) => Some(row),
    };
    asks::note_sent(tx, peer, sequence, message, MAX_REMEMBERED)
}

/// A gap was reported: its newest numbers are to be asked for.
pub(crate) fn gap(tx: &Transaction<'_>, peer: PeerId, first: u64, last: u64) -> Result<(), StoreError> {
    let first = first.max(last.saturating_sub(MAX_MISSING - 1)).max(1);
    asks::note_missing(tx, peer, first..=last)
}

/// Puts what is to be asked for into the outbox. A device that is on no trusted list is not asked.
pub(crate) fn leave(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<(), StoreError> {
    for peer in asks::to_ask(tx)? {
        let address = peers::address(tx, peer)?;
        if directory::device(tx, address)?.is_none_or(|listed| listed.peer != peer) {
            continue;
        }
        while asks::is_to_be_asked(tx, peer)?
            && asks::take_ask(tx, peer, Asker::Us, budget(now_millis), now_millis)?
        {
            let Some((first, last)) = asks::take_missing(tx, peer, MAX_ASKED)? else {
                break;
            };
            let ask = Body::AskAgain(AskAgain { first, last });
            let control = Control::new(rng, now_millis, address.account, ask, Some(peer));
            outbox::append_control(tx, &control)?;
        }
    }
    Ok(())
}

/// A device asks for what this one sent to it.
pub(crate) fn answer(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    (account, peer): (AccountId, PeerId),
    ask: AskAgain,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    if !asks::take_ask(tx, peer, Asker::Them, budget(now_millis), now_millis)? {
        return Ok(effects);
    }
    for sequence in ask.first..=ask.last {
        let Some(sent) = asks::sent(tx, peer, sequence)? else {
            continue;
        };
        let again = match sent {
            Some(sent) => sent.again(sequence),
            None => Again {
                sequence,
                message: MessageId::new(now_millis, rng).to_bytes(),
                sent_at_millis: now_millis,
                conversation: account.to_bytes(),
                text: None,
            },
        };
        let control = Control::new(rng, now_millis, account, Body::Again(again), Some(peer));
        outbox::append_control(tx, &control)?;
        effects.send = true;
    }
    Ok(effects)
}

/// Sessions with a device were replaced: what it was asked for in those before may not have reached it.
pub(crate) fn anew(tx: &Transaction<'_>, device: DeviceAddress, peer: PeerId) -> Result<(), StoreError> {
    asks::ask_anew(tx, peer)?;
    received::ask_anew(tx, device)
}

/// A number of a channel came after it was reported as missing.
pub(crate) fn found(tx: &Transaction<'_>, peer: PeerId, sequence: u64) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    if asks::found(tx, peer, sequence)? {
        effects.tell(Event::Recovered {
            from: peers::address(tx, peer)?,
            sequence,
        });
    }
    Ok(effects)
}

/// How many requests there may be since when, for [`asks::take_ask`]. Those by number and those by id count together.
pub(crate) fn budget(now_millis: u64) -> (u64, u64) {
    let period = u64::try_from(PERIOD.as_millis()).unwrap_or(u64::MAX);
    (MAX_ASKS, now_millis.saturating_sub(period))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::settings,
        testing::{Carried, Party, account},
    };

    /// Two people who know each other's devices.
    fn pair() -> (Party, Party) {
        let mut alice = Party::on_disk(account(1), 1, 11);
        let mut bob = Party::on_disk(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.meet(&mut alice);
        (alice, bob)
    }

    /// Alice sends these; those at `lost` do not arrive. Bob has reported the gaps.
    fn lose(alice: &mut Party, bob: &mut Party, texts: &[&str], lost: &[usize]) -> Vec<Carried> {
        let mut gone = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            let sent = alice.send(bob.account(), text);
            if lost.contains(&at) {
                gone.extend(sent);
            } else {
                bob.receive_all(&sent);
            }
        }
        for _ in texts {
            bob.skip_gaps(0);
        }
        gone
    }

    fn gaps(party: &Party) -> usize {
        let told = party.told();
        told.iter()
            .filter(|event| matches!(event, Event::Gap { .. }))
            .count()
    }

    #[test]
    fn what_was_lost_is_asked_for_and_comes_once_with_its_own_id() {
        let (mut alice, mut bob) = pair();
        let gone = lose(
            &mut alice,
            &mut bob,
            &["one", "two", "three", "four", "five"],
            &[1, 3],
        );
        assert_eq!(
            (bob.texts(), gaps(&bob)),
            (["one", "three", "five"].map(str::to_owned).to_vec(), 2)
        );
        bob.reopen();
        let asked = bob.leave();
        assert_eq!(asked.len(), 2);
        alice.receive_all(&asked);
        alice.reopen();
        let again = alice.leave();
        bob.receive_all(&again);
        assert_eq!(bob.texts(), ["one", "three", "five", "two", "four"]);
        let told = bob.told();
        let recovered = told.iter().filter_map(|event| match event {
            Event::Message(message) if message.late => Some(message.id),
            _ => None,
        });
        let ids: Vec<_> = gone.iter().map(|carried| carried.envelope.id.message).collect();
        assert_eq!(recovered.collect::<Vec<_>>(), ids);
        // What was believed lost was only slow.
        bob.receive_all(&gone);
        bob.receive_all(&again);
        assert_eq!(bob.texts().len(), 5);
        assert!(bob.leave().is_empty());
    }

    #[test]
    fn what_was_only_slow_is_not_stored_again() {
        let (mut alice, mut bob) = pair();
        let gone = lose(&mut alice, &mut bob, &["one", "two", "three"], &[1]);
        let asked = bob.leave();
        bob.receive_all(&gone);
        alice.receive_all(&asked);
        let again = alice.leave();
        bob.receive_all(&again);
        assert_eq!(bob.texts(), ["one", "three", "two"]);
    }

    #[test]
    fn a_lost_answer_is_asked_for_like_any_other_message() {
        let (mut alice, mut bob) = pair();
        lose(&mut alice, &mut bob, &["one", "two", "three"], &[1]);
        let asked = bob.leave();
        alice.receive_all(&asked);
        drop(alice.leave());
        lose(&mut alice, &mut bob, &["four"], &[]);
        let asked = bob.leave();
        alice.receive_all(&asked);
        let again = alice.leave();
        bob.receive_all(&again);
        assert_eq!(bob.texts(), ["one", "three", "four", "two"]);
    }

    #[test]
    fn what_was_not_for_people_is_said_to_be_nothing() {
        let (mut alice, mut bob) = pair();
        bob.write(|tx, _| settings::add_contact(tx, account(1)));
        alice.write(|tx, _| settings::add_contact(tx, account(2)));
        let hello = bob.send(account(1), "hello");
        alice.receive_all(&hello);
        alice.now += 60_000;
        let receipt = alice.leave();
        assert_eq!(receipt.len(), 1);
        lose(&mut alice, &mut bob, &["one"], &[]);
        let asked = bob.leave();
        alice.receive_all(&asked);
        let again = alice.leave();
        let from = alice.address();
        let told: Vec<_> = again
            .iter()
            .filter(|carried| carried.to == bob.me.device)
            .map(|carried| carried.envelope.clone())
            .collect();
        let events: Vec<_> = told
            .iter()
            .flat_map(|envelope| bob.receive(envelope).events)
            .collect();
        assert!(
            events.contains(&Event::Recovered { from, sequence: 1 }),
            "{events:?}"
        );
        assert_eq!(bob.texts(), ["one"]);
    }

    #[test]
    fn who_has_forgotten_says_nothing_and_the_gap_stays() {
        let (mut alice, mut bob) = pair();
        lose(&mut alice, &mut bob, &["one", "two", "three"], &[1]);
        alice.write(|tx, _| Ok(tx.execute("DELETE FROM sent", [])?));
        let asked = bob.leave();
        alice.receive_all(&asked);
        assert!(alice.leave().is_empty());
        assert_eq!((bob.texts().len(), gaps(&bob)), (2, 1));
        // It is not asked twice for the same.
        assert!(bob.leave().is_empty());
    }

    #[test]
    fn whoever_asks_or_leaves_gaps_without_end_is_not_answered_without_end() {
        let (mut alice, mut bob) = pair();
        lose(&mut alice, &mut bob, &["one", "two"], &[]);
        let peer = alice.write(|tx, _| Ok(directory::device(tx, bob.address())?.unwrap().peer));
        let ask = AskAgain { first: 1, last: 1 };
        for _ in 0..3 * MAX_ASKS {
            let now = alice.now;
            alice.write(|tx, rng| answer(tx, rng, (account(2), peer), ask, now));
        }
        let answers = alice.write(|tx, _| outbox::entries_to(tx, account(2), None));
        assert_eq!(answers.len() as u64, MAX_ASKS);

        let peer = bob.write(|tx, _| Ok(directory::device(tx, alice.address())?.unwrap().peer));
        for number in 0..3 * MAX_ASKS {
            let (now, at) = (bob.now, 100 + 2 * number);
            bob.write(|tx, rng| {
                gap(tx, peer, at, at)?;
                leave_asks(tx, rng, now)
            });
        }
        let asked = bob.write(|tx, _| outbox::entries_to(tx, account(1), None));
        assert_eq!(asked.len() as u64, MAX_ASKS);
        // An hour later there is a new budget.
        let later = bob.now + 3_600_000;
        bob.write(|tx, rng| leave_asks(tx, rng, later));
        let asked = bob.write(|tx, _| outbox::entries_to(tx, account(1), None));
        assert_eq!(asked.len() as u64, 2 * MAX_ASKS);
    }

    #[test]
    fn of_a_gap_beyond_measure_the_newest_numbers_are_asked_for() {
        let (mut alice, mut bob) = pair();
        lose(&mut alice, &mut bob, &["one"], &[]);
        let peer = bob.write(|tx, _| Ok(directory::device(tx, alice.address())?.unwrap().peer));
        bob.write(|tx, _| gap(tx, peer, 2, u64::from(u32::MAX)));
        let missing = bob.write(|tx, _| {
            let count = "SELECT count(*) FROM missing";
            Ok(tx.query_row(count, [], |row| row.get::<_, u64>(0))?)
        });
        assert_eq!(missing, MAX_MISSING);
    }

    #[test]
    fn what_nobody_asked_for_is_passed_over() {
        let (mut alice, mut bob) = pair();
        lose(&mut alice, &mut bob, &["one"], &[]);
        let now = alice.now;
        alice.write(|tx, rng| {
            let again = Again {
                sequence: 7,
                message: MessageId::new(now, rng).to_bytes(),
                sent_at_millis: now,
                conversation: account(2).to_bytes(),
                text: Some("unasked".to_owned()),
            };
            let control = Control::new(rng, now, account(2), Body::Again(again), None);
            outbox::append_control(tx, &control)
        });
        let again = alice.leave();
        bob.receive_all(&again);
        assert_eq!(bob.texts(), ["one"]);
    }

    use super::leave as leave_asks;
}
