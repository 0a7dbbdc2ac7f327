//! A new session where those before do not do any more.
//!
//! A reset is an entry of the outbox, before all else to the account: a message to all its devices as any other, with
//! the body *reset* for the one concerned and *nothing* for the others. The sessions with that one are retired at
//! once, so that it leaves only when a new one is open, as its first content.
//!
//! What cannot be decrypted is a suspicion, which whoever is on the way can bring about; so a device makes and takes
//! no more resets than the protocol's budget (attack X28). Only a device on the list that its owner signed is
//! answered with one: with others no session is opened.

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::Body;
use waxwing_wire::{DeviceAddress, MessageId};

use crate::{
    events::{Effects, Event, ResetCause, UndecryptableReason},
    sessions::Settled,
    store::{
        StoreError, directory,
        outbox::{self, Control},
        peers::{self, Resetter},
        sessions,
    },
};

/// Whether a new session could make readable what follows an envelope that was not.
pub(crate) fn may_help(reason: UndecryptableReason) -> bool {
    use UndecryptableReason as Reason;
    match reason {
        Reason::NoSession | Reason::PrekeyGone | Reason::NotAuthentic | Reason::TooFarAhead => true,
        Reason::Malformed
        | Reason::Replayed
        | Reason::TooOld
        | Reason::UnknownContent
        | Reason::TooManyOpenings
        | Reason::Unlisted
        | Reason::OwnDevicesOnly
        | Reason::Misdirected => false,
    }
}

/// Gives up the sessions with a device for a new one. Returns whether: not where it is no device to write to, its
/// sessions are being reset already, or they were reset too often.
pub(crate) fn request(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    device: DeviceAddress,
    cause: ResetCause,
    now_millis: u64,
) -> Result<bool, StoreError> {
    let Some(known) = directory::device(tx, device)? else {
        return Ok(false);
    };
    if outbox::is_resetting(tx, known.peer)? || !peers::take_reset(tx, known.peer, Resetter::Us, now_millis)?
    {
        return Ok(false);
    }
    let reset = Control {
        message: MessageId::new(now_millis, rng),
        recipient: device.account,
        made_at_millis: now_millis,
        body: Body::Reset(cause.into()),
        concerns: Some(known.peer),
    };
    outbox::append_control(tx, &reset)?;
    sessions::retire_all(tx, known.peer, now_millis)?;
    Ok(true)
}

/// The other side says in a session that it replaces the others. Beyond the budget that retires nothing.
pub(crate) fn obey(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    settled: Settled,
    cause: ResetCause,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    if peers::take_reset(tx, settled.peer, Resetter::Them, now_millis)? {
        // Where two resets cross, both sessions stay, and the rule for two opened at once decides.
        let ours = peers::reset_in(tx, settled.peer)?;
        sessions::retire_others(tx, settled.peer, &settled.session, ours, now_millis)?;
        effects.tell(Event::SessionReset {
            peer: from,
            initiated: false,
            cause,
        });
    }
    Ok(effects)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waxwing_protocol::management::{MAX_RESETS_PER_DAY, MIN_RESET_INTERVAL_MILLIS};
    use waxwing_wire::{Ciphertext, Envelope, EnvelopeId};

    use super::*;
    use crate::{
        directory::Plan,
        testing::{NOW, Party, account},
        under_way::UnderWay,
    };

    /// Two devices that have heard each other.
    fn pair() -> (Party, Party) {
        let mut alice = Party::on_disk(account(1), 1, 11);
        let mut bob = Party::on_disk(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.list(account(1), &[alice.published()]);
        bob.claim(account(2), &[]);
        exchange(&mut alice, &mut bob, "a");
        exchange(&mut bob, &mut alice, "b");
        (alice, bob)
    }

    fn exchange(from: &mut Party, to: &mut Party, text: &str) {
        from.write_to(to.account(), text);
        flush(from, to);
    }

    /// Sends what is in the outbox, with the sessions it takes; what both were told in passing.
    fn flush(from: &mut Party, to: &mut Party) -> Vec<Event> {
        let mut told = Vec::new();
        for _ in 0..20 {
            // A list lives for a day.
            from.list(from.account(), &[]);
            if from.plan(to.account()) == Plan::Fetch {
                from.list(to.account(), &[to.published()]);
            }
            if matches!(from.plan(to.account()), Plan::Claim(_)) {
                let bundle = to.bundle_without_one_time_prekey();
                from.claim(to.account(), &[bundle]);
            }
            for outgoing in from.prepare(UnderWay::default()).outgoing {
                told.extend(
                    from.write(|tx, _| crate::outbox::accepted(tx, &outgoing))
                        .1
                        .events,
                );
                for carried in from.carry(&outgoing) {
                    told.extend(to.receive(&carried.envelope).events);
                }
            }
        }
        told.retain(|event| matches!(event, Event::SessionReset { .. }));
        told
    }

    fn reset(peer: &Party, initiated: bool, cause: ResetCause) -> Event {
        Event::SessionReset {
            peer: peer.address(),
            initiated,
            cause,
        }
    }

    /// Loses all sessions, as a damaged store would.
    fn lose_sessions(party: &mut Party) {
        party.write(|tx, _| Ok(tx.execute("DELETE FROM sessions", [])?));
    }

    fn give_up_sessions(party: &mut Party, peer: &Party) {
        let peer = peer.address();
        let given_up = party.write(|tx, rng| request(tx, rng, peer, ResetCause::Unreadable, NOW));
        assert!(given_up);
    }

    fn current(party: &mut Party, other: DeviceAddress) -> Option<[u8; 32]> {
        party.write(|tx, _| {
            let peer = directory::device(tx, other)?.unwrap().peer;
            Ok(sessions::current(tx, peer)?.map(|stored| stored.session.id()))
        })
    }

    fn converged(alice: &mut Party, bob: &mut Party) -> bool {
        let (a, b) = (alice.address(), bob.address());
        current(alice, b) == current(bob, a)
    }

    /// Something in the shape of a message of this device, which no session opens.
    fn garbage(from: &mut Party, to: &Party, seed: u8) -> Envelope {
        let text = from.send(to.account(), "never delivered").remove(0);
        let mut bytes = text.envelope.ciphertext.as_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= seed | 1;
        Envelope {
            id: EnvelopeId {
                message: MessageId::new(NOW, &mut crate::clock::rng()),
                from: from.address(),
            },
            ciphertext: Ciphertext::from_vec(bytes).unwrap(),
        }
    }

    #[test]
    fn x28_a_device_that_cannot_decrypt_opens_a_session_both_sides_go_on_in() {
        let (mut alice, mut bob) = pair();
        lose_sessions(&mut bob);
        exchange(&mut alice, &mut bob, "lost");
        assert!(current(&mut bob, alice.address()).is_none());
        bob.reopen();
        bob.write_to(alice.account(), "after the reset");
        let told = flush(&mut bob, &mut alice);
        let (ours, theirs) = (
            reset(&alice, true, ResetCause::Unreadable),
            reset(&bob, false, ResetCause::Unreadable),
        );
        assert_eq!(told, [ours, theirs]);
        assert!(converged(&mut alice, &mut bob));
        exchange(&mut alice, &mut bob, "read again");
        bob.skip_gaps(0);
        assert_eq!(bob.texts(), ["a", "read again"]);
        assert_eq!(alice.texts(), ["b", "after the reset"]);
        assert_eq!(alice.write(|tx, _| outbox::pending(tx)), 0);
    }

    #[test]
    fn x28_whatever_garbage_comes_four_resets_a_day_are_made() {
        let (mut alice, mut bob) = pair();
        let garbage = garbage(&mut alice, &bob, 1);
        let mut made = 0;
        for _ in 0..24 * 4 {
            bob.now += MIN_RESET_INTERVAL_MILLIS / 4;
            let mut again = garbage.clone();
            again.id.message = MessageId::new(NOW, &mut bob.rng);
            bob.receive(&again);
            bob.receive(&again);
            made += flush(&mut bob, &mut alice)
                .iter()
                .filter(|event| matches!(event, Event::SessionReset { initiated: true, .. }))
                .count();
        }
        assert_eq!(made, MAX_RESETS_PER_DAY);
    }

    #[test]
    fn x28_garbage_of_one_who_is_on_no_list_resets_nothing() {
        let (mut alice, _) = pair();
        let mut carol = Party::new(account(3), 1, 13);
        carol.meet(&mut alice);
        let garbage = garbage(&mut carol, &alice, 1);
        assert!(!alice.receive(&garbage).send);
        assert!(flush(&mut alice, &mut carol).is_empty());
    }

    #[test]
    fn x28_one_who_resets_beyond_the_budget_is_read_and_retires_nothing() {
        let (mut alice, mut bob) = pair();
        let mut told = Vec::new();
        for _ in 0..3 {
            alice.write(|tx, _| Ok(tx.execute("UPDATE peers SET resets_made = x''", [])?));
            give_up_sessions(&mut alice, &bob);
            told.extend(flush(&mut alice, &mut bob));
            exchange(&mut alice, &mut bob, "read");
        }
        let theirs = reset(&alice, false, ResetCause::Unreadable);
        assert_eq!(told.iter().filter(|event| **event == theirs).count(), 1);
        assert_eq!(bob.texts(), ["a", "read", "read", "read"]);
    }

    #[test]
    fn x26_x28_of_two_resets_that_cross_one_session_is_left() {
        for seed in 0..4 {
            let (mut alice, mut bob) = pair();
            alice.rng = rand::SeedableRng::seed_from_u64(seed);
            lose_sessions(&mut alice);
            lose_sessions(&mut bob);
            let (to_bob, to_alice) = (bob.bundle(), alice.bundle());
            give_up_sessions(&mut alice, &bob);
            give_up_sessions(&mut bob, &alice);
            alice.claim(bob.account(), &[to_bob]);
            bob.claim(alice.account(), &[to_alice]);
            let sent = [&mut alice, &mut bob].map(|party| {
                let outgoing = party.prepare(UnderWay::default()).outgoing.remove(0);
                assert!(party.accept(&outgoing));
                party.carry(&outgoing)
            });
            bob.receive_all(&sent[0]);
            alice.receive_all(&sent[1]);
            for _ in 0..2 {
                exchange(&mut alice, &mut bob, "to Bob");
                exchange(&mut bob, &mut alice, "to Alice");
            }
            assert!(converged(&mut alice, &mut bob), "seed {seed}");
            assert_eq!(bob.texts(), ["a", "to Bob", "to Bob"]);
            assert_eq!(alice.texts(), ["b", "to Alice", "to Alice"]);
        }
    }

    #[test]
    fn a_stream_in_one_direction_gets_a_new_session_when_its_post_quantum_step_is_overdue() {
        let (mut alice, mut bob) = pair();
        let mut told = Vec::new();
        let mut expected = vec!["a".to_owned()];
        for number in 0..120 {
            expected.push(number.to_string());
            alice.write_to(bob.account(), &number.to_string());
            told.extend(flush(&mut alice, &mut bob));
        }
        assert_eq!(bob.texts(), expected);
        let (ours, theirs) = (
            reset(&bob, true, ResetCause::Overdue),
            reset(&alice, false, ResetCause::Overdue),
        );
        assert_eq!(told, [ours, theirs]);
    }

    #[test]
    fn the_other_devices_of_the_account_get_nothing_to_show_and_miss_nothing() {
        let (mut alice, mut bob) = pair();
        let mut laptop = Party::new(bob.account(), 2, 13);
        let both = [bob.published(), laptop.published()];
        alice.list(bob.account(), &both);
        let list = crate::testing::signed_list(bob.account(), &both);
        let bundles = [laptop.bundle(), bob.bundle()];
        alice
            .claim_beside(bob.account(), list.clone(), None, &bundles)
            .unwrap();
        give_up_sessions(&mut alice, &bob);
        let bundle = bob.bundle();
        alice.claim_beside(bob.account(), list, None, &[bundle]).unwrap();
        alice.write_to(bob.account(), "for both");
        let outgoing = alice.prepare(UnderWay::default()).outgoing;
        assert_eq!(outgoing.len(), 2);
        for outgoing in &outgoing {
            let carried = alice.carry(outgoing);
            bob.receive_all(&carried);
            laptop.receive_all(&carried);
        }
        assert_eq!(laptop.texts(), ["for both"]);
        assert_eq!(bob.texts(), ["a", "for both"]);
        assert_eq!(laptop.told().len(), 1);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        /// I3: whichever device loses its sessions, whenever: as soon as the budget allows, all is read again.
        #[test]
        fn x28_after_whatever_loss_of_sessions_both_end_at_one(steps in prop::collection::vec((any::<bool>(), 0_u8..4), 1..12)) {
            let (mut alice, mut bob) = pair();
            for (alices, step) in steps {
                let (from, to) = if alices { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
                match step {
                    0 => lose_sessions(from),
                    1 => from.reopen(),
                    _ => exchange(from, to, "maybe lost"),
                }
            }
            // Within a day, at four resets a day, whatever is lost is noticed by who wants to read it.
            for _ in 0..4 {
                for party in [&mut alice, &mut bob] {
                    party.now += 7 * MIN_RESET_INTERVAL_MILLIS;
                }
                exchange(&mut alice, &mut bob, "probe");
                exchange(&mut bob, &mut alice, "probe");
            }
            exchange(&mut alice, &mut bob, "heard by Bob");
            exchange(&mut bob, &mut alice, "heard by Alice");
            bob.now += 60_000;
            bob.skip_gaps(1);
            alice.now += 60_000;
            alice.skip_gaps(1);
            prop_assert!(converged(&mut alice, &mut bob));
            prop_assert_eq!(bob.texts().pop().unwrap(), "heard by Bob");
            prop_assert_eq!(alice.texts().pop().unwrap(), "heard by Alice");
        }
    }
}
