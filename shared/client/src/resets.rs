//! A new session where those before do not do any more.
//!
//! A reset is an entry of the outbox, before all else to the account: a message to all its devices as any other, with
//! the body *reset* for the one concerned and *nothing* for the others. The sessions with that one are retired at
//! once, so that it leaves only when a new one is open, as its first content.
//!
//! What cannot be decrypted is a suspicion, which whoever is on the way can bring about; so a device makes and takes
//! no more resets than the protocol's budget (attack X28). Only a device on the list that its owner signed is
//! answered with one: with others no session is opened.
//!
//! A new session makes readable what follows. What could not be read is [asked for](crate::ask_again).

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::Body;
use waxwing_wire::DeviceAddress;

use crate::{
    ask_again,
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
        Reason::NoSession
        | Reason::PrekeyGone
        | Reason::NotAuthentic
        | Reason::UsedNumber
        | Reason::TooOld
        | Reason::TooFarAhead => true,
        Reason::Malformed
        | Reason::Replayed
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
    let reset = Control::new(
        rng,
        now_millis,
        device.account,
        Body::Reset(cause.into()),
        Some(known.peer),
    );
    outbox::append_control(tx, &reset)?;
    sessions::retire_all(tx, known.peer, now_millis)?;
    peers::owe_reset(tx, known.peer, false)?;
    ask_again::anew(tx, device, known.peer)?;
    Ok(true)
}

/// Something of a device could not be read that a new session helps against: there is one as soon as the budget allows.
/// Returns whether: not where it is no device to write to.
pub(crate) fn unreadable(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    device: DeviceAddress,
    now_millis: u64,
) -> Result<bool, StoreError> {
    let Some(known) = directory::device(tx, device)? else {
        return Ok(false);
    };
    if !request(tx, rng, device, ResetCause::Unreadable, now_millis)?
        && !outbox::is_resetting(tx, known.peer)?
    {
        peers::owe_reset(tx, known.peer, true)?;
    }
    Ok(true)
}

/// Makes the resets that the budget did not allow before.
pub(crate) fn leave(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<(), StoreError> {
    for (peer, device) in peers::owed_resets(tx)? {
        if directory::device(tx, device)?.is_some_and(|listed| listed.peer == peer) {
            request(tx, rng, device, ResetCause::Unreadable, now_millis)?;
        } else {
            peers::owe_reset(tx, peer, false)?;
        }
    }
    Ok(())
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
    // It could not read something of ours, which may have been a request.
    ask_again::anew(tx, from, settled.peer)?;
    effects.send = true;
    if peers::take_reset(tx, settled.peer, Resetter::Them, now_millis)? {
        // Where two resets cross, both sessions stay, and the rule for two opened at once decides.
        let ours = peers::reset_in(tx, settled.peer)?;
        sessions::retire_others(tx, settled.peer, &settled.session, ours, now_millis)?;
        peers::owe_reset(tx, settled.peer, false)?;
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
    use waxwing_wire::{Ciphertext, Envelope, EnvelopeId, MessageId};

    use super::*;
    use crate::{
        testing::{NOW, Party, account, acquainted, exchange, flush},
        under_way::UnderWay,
    };

    /// Two devices that have heard each other.
    fn pair() -> (Party, Party) {
        let (mut alice, mut bob) = acquainted();
        exchange(&mut alice, &mut bob, "a");
        exchange(&mut bob, &mut alice, "b");
        (alice, bob)
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
        let (peer, now) = (peer.address(), party.now);
        let given_up = party.write(|tx, rng| request(tx, rng, peer, ResetCause::Unreadable, now));
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
        assert_eq!(bob.texts(), ["a", "lost", "read again"], "in its place");
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
    fn x28_a_reset_beyond_the_budget_is_owed_until_the_budget_allows_it() {
        let (mut alice, mut bob) = pair();
        let ours = reset(&alice, true, ResetCause::Unreadable);
        let mut made = Vec::new();
        for seed in [1, 2] {
            let garbage = garbage(&mut alice, &bob, seed);
            bob.receive(&garbage);
            made.push(flush(&mut bob, &mut alice).contains(&ours));
        }
        for _ in 0..3 {
            bob.reopen();
            bob.now += MIN_RESET_INTERVAL_MILLIS;
            made.push(flush(&mut bob, &mut alice).contains(&ours));
        }
        assert_eq!(made, [true, false, true, false, false]);
    }

    #[test]
    fn what_was_asked_in_vain_is_asked_again_in_a_new_session_at_either_end_s_wish() {
        let (mut alice, mut bob) = pair();
        let garbage = garbage(&mut alice, &bob, 1);
        bob.receive(&garbage);
        flush(&mut bob, &mut alice);
        let asks = |bob: &mut Party| {
            let (to, now) = (account(1), bob.now);
            bob.write(|tx, rng| {
                crate::ask_for::leave(tx, rng, now)?;
                let entries = outbox::entries_to(tx, to, None)?;
                let asks = |body: &Body| matches!(body, Body::AskFor(_));
                Ok(entries.iter().filter(|entry| asks(&entry.body)).count())
            })
        };
        assert_eq!(asks(&mut bob), 0);
        bob.now += MIN_RESET_INTERVAL_MILLIS;
        give_up_sessions(&mut bob, &alice);
        assert_eq!(asks(&mut bob), 1);
        flush(&mut bob, &mut alice);
        alice.now = bob.now + MIN_RESET_INTERVAL_MILLIS;
        give_up_sessions(&mut alice, &bob);
        flush(&mut alice, &mut bob);
        assert_eq!(asks(&mut bob), 1);
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

        /// I3: whichever device loses its sessions, whenever: as soon as the budget allows, all is read, also what was lost.
        #[test]
        fn x28_after_whatever_loss_of_sessions_both_end_at_one(steps in prop::collection::vec((any::<bool>(), 0_u8..4), 1..12)) {
            let (mut alice, mut bob) = pair();
            let (mut to_bob, mut to_alice) = (vec!["a".to_owned()], vec!["b".to_owned()]);
            for (number, (alices, step)) in steps.into_iter().enumerate() {
                let (from, to, said) = if alices {
                    (&mut alice, &mut bob, &mut to_bob)
                } else {
                    (&mut bob, &mut alice, &mut to_alice)
                };
                match step {
                    0 => lose_sessions(from),
                    1 => from.reopen(),
                    _ => {
                        said.push(format!("maybe lost {number}"));
                        exchange(from, to, &said[said.len() - 1]);
                    }
                }
            }
            // Within a day, at four resets a day, whatever is lost is noticed by who wants to read it.
            for number in 0..5 {
                for party in [&mut alice, &mut bob] {
                    party.now += 7 * MIN_RESET_INTERVAL_MILLIS;
                }
                let probe = format!("probe {number}");
                exchange(&mut alice, &mut bob, &probe);
                exchange(&mut bob, &mut alice, &probe);
                to_bob.push(probe.clone());
                to_alice.push(probe);
                alice.wait_out_gaps();
                bob.wait_out_gaps();
            }
            prop_assert!(converged(&mut alice, &mut bob));
            for (reader, said) in [(&bob, &mut to_bob), (&alice, &mut to_alice)] {
                let mut read = reader.texts();
                read.sort();
                said.sort();
                prop_assert_eq!(&read, &*said);
            }
        }
    }
}
