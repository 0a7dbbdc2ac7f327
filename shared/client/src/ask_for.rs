//! What came and could not be read is asked for by its id.
//!
//! Its number is inside the encryption. It need not show as a gap either: a device that goes on with an older state of its
//! store uses numbers a second time, so that none is missing (attack X24). The sender still knows what it sent to this
//! device under the id and sends that [again](waxwing_protocol::content::Again), in the session that a
//! [reset](crate::resets) opened. It is stored once, by its id, in the place its number gives it.
//!
//! The id is the service's word: one that its sender does not know, or used for something between devices, is not
//! answered. Only a device on the list that its owner signed is asked, also for what came before it was known to be there,
//! within the budget of [requests by number](crate::ask_again).

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    Body,
    content::{AskFor, MAX_ASKED_FOR},
};
use waxwing_wire::{AccountId, MessageId};

use crate::{
    ask_again::budget,
    events::Effects,
    store::{
        StoreError,
        asks::{self, Asker},
        directory,
        outbox::{self, Control},
        peers::PeerId,
        received,
    },
};

/// Puts what is to be asked for into the outbox.
pub(crate) fn leave(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<(), StoreError> {
    for from in received::senders_to_ask(tx)? {
        let Some(listed) = directory::device(tx, from)? else {
            continue;
        };
        while received::is_to_be_asked(tx, from)?
            && asks::take_ask(tx, listed.peer, Asker::Us, budget(now_millis), now_millis)?
        {
            let messages = received::take_unasked(tx, from, MAX_ASKED_FOR)?;
            let messages = messages.into_iter().map(MessageId::to_bytes).collect();
            let ask = Body::AskFor(AskFor { messages });
            let control = Control::new(rng, now_millis, from.account, ask, Some(listed.peer));
            outbox::append_control(tx, &control)?;
        }
    }
    Ok(())
}

/// A device asks for what this one sent to it under these ids.
pub(crate) fn answer(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    (account, peer): (AccountId, PeerId),
    ask: &AskFor,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    if !asks::take_ask(tx, peer, Asker::Them, budget(now_millis), now_millis)? {
        return Ok(effects);
    }
    for message in &ask.messages {
        let Ok(message) = MessageId::from_bytes(message) else {
            continue;
        };
        if let Some((sequence, sent)) = asks::sent_as(tx, peer, message)? {
            let again = Body::Again(sent.again(sequence));
            let control = Control::new(rng, now_millis, account, again, Some(peer));
            outbox::append_control(tx, &control)?;
            effects.send = true;
        }
    }
    Ok(effects)
}

#[cfg(test)]
mod tests {
    use waxwing_wire::{Ciphertext, Envelope, EnvelopeId};

    use super::*;
    use crate::{
        events::{Event, UndecryptableReason},
        testing::{Party, account, acquainted, exchange, flush},
        under_way::UnderWay,
    };

    /// Two people who have heard each other. Alice wrote last, so that her next texts go on in one chain.
    fn pair() -> (Party, Party) {
        let (mut alice, mut bob) = acquainted();
        exchange(&mut alice, &mut bob, "hello");
        exchange(&mut bob, &mut alice, "hello back");
        exchange(&mut alice, &mut bob, "before the copy");
        (alice, bob)
    }

    /// Both read and answer until neither has anything to say.
    fn come_to_rest(alice: &mut Party, bob: &mut Party) {
        for _ in 0..3 {
            flush(bob, alice);
            flush(alice, bob);
        }
    }

    /// Goes back to what the store held before this was said.
    fn say_and_forget(party: &mut Party, to: &mut Party, texts: &[&str]) {
        let folder = tempfile::tempdir().unwrap();
        party.copy_to(folder.path());
        for text in texts {
            exchange(party, to, text);
        }
        party.go_back_to(folder.path());
    }

    fn unreadable(party: &Party) -> Vec<UndecryptableReason> {
        let reason = |event| match event {
            Event::Undecryptable { reason, .. } => Some(reason),
            _ => None,
        };
        party.told().into_iter().filter_map(reason).collect()
    }

    fn cloned(party: &Party) -> usize {
        let told = party.told();
        let cloned = told
            .iter()
            .filter(|event| matches!(event, Event::ClonedDevice { .. }));
        cloned.count()
    }

    #[test]
    fn x24_what_a_restored_store_says_under_a_used_number_is_asked_for_and_shown_once() {
        let (mut alice, mut bob) = pair();
        say_and_forget(&mut alice, &mut bob, &["one", "two"]);
        exchange(&mut alice, &mut bob, "from the copy");
        assert_eq!(unreadable(&bob), [UndecryptableReason::UsedNumber]);
        assert!(!bob.texts().contains(&"from the copy".to_owned()));
        bob.reopen();
        come_to_rest(&mut alice, &mut bob);
        exchange(&mut alice, &mut bob, "and on");
        let all = [
            "hello",
            "before the copy",
            "one",
            "two",
            "from the copy",
            "and on",
        ];
        assert_eq!(bob.texts(), all);
        assert_eq!((cloned(&bob), unreadable(&bob).len()), (1, 1));
        assert_eq!(cloned(&alice), 0);
    }

    #[test]
    fn x24_the_envelope_that_could_not_be_read_is_done_with_once_it_was_sent_again() {
        let (mut alice, mut bob) = pair();
        say_and_forget(&mut alice, &mut bob, &["one"]);
        alice.write_to(bob.account(), "from the copy");
        let outgoing = alice.prepare(UnderWay::default()).outgoing;
        let carried = alice.carry(&outgoing[0]);
        assert!(alice.accept(&outgoing[0]));
        bob.receive_all(&carried);
        come_to_rest(&mut alice, &mut bob);
        for _ in 0..2 {
            bob.receive_all(&carried);
            come_to_rest(&mut alice, &mut bob);
        }
        assert_eq!(bob.texts().len(), 4);
        assert_eq!(unreadable(&bob).len(), 1);
    }

    #[test]
    fn x24_what_a_stranger_s_restored_store_says_is_asked_for_once_its_device_is_on_a_list() {
        let mut alice = Party::on_disk(account(1), 1, 11);
        let mut bob = Party::on_disk(account(2), 1, 12);
        alice.meet(&mut bob);
        say_and_forget(&mut alice, &mut bob, &["one"]);
        exchange(&mut alice, &mut bob, "from the copy");
        assert_eq!(unreadable(&bob).len(), 1);
        assert!(bob.leave().is_empty(), "nobody to ask");
        bob.list(alice.account(), &[alice.published()]);
        come_to_rest(&mut alice, &mut bob);
        assert_eq!(bob.texts(), ["one", "from the copy"]);
    }

    #[test]
    fn x24_what_a_restored_store_forgot_is_missing_and_asked_for() {
        let (mut alice, mut bob) = pair();
        let folder = tempfile::tempdir().unwrap();
        bob.copy_to(folder.path());
        exchange(&mut alice, &mut bob, "forgotten");
        bob.go_back_to(folder.path());
        exchange(&mut alice, &mut bob, "the next");
        bob.wait_out_gaps();
        come_to_rest(&mut alice, &mut bob);
        assert_eq!(bob.texts(), ["hello", "before the copy", "the next", "forgotten"]);
    }

    #[test]
    fn what_its_sender_never_sent_to_this_device_is_not_told_to_it() {
        let (mut alice, mut bob) = pair();
        let mut carol = Party::new(account(3), 1, 13);
        carol.meet(&mut bob);
        alice.claim(account(3), &[carol.bundle()]);
        let secret = alice.send(account(3), "for Carol");
        // The service knows the id, and says that this was for Bob.
        bob.receive(&Envelope {
            id: secret[0].envelope.id,
            ciphertext: secret[0].envelope.ciphertext.clone(),
        });
        come_to_rest(&mut alice, &mut bob);
        assert_eq!(bob.texts(), ["hello", "before the copy"]);
    }

    #[test]
    fn x28_whatever_garbage_comes_so_many_requests_are_made_and_answered() {
        let (mut alice, mut bob) = pair();
        for _ in 0..MAX_ASKED_FOR * 20 {
            let id = EnvelopeId {
                message: MessageId::new(bob.now, &mut bob.rng),
                from: alice.address(),
            };
            // The shape of a ratchet message, whose ratchet key begins with 02.
            let mut bytes = vec![7; 900];
            bytes[..3].copy_from_slice(&[1, 2, 2]);
            let ciphertext = Ciphertext::from_vec(bytes).unwrap();
            bob.receive(&Envelope { id, ciphertext });
        }
        let mut asked = 0;
        for _ in 0..30 {
            let now = bob.now;
            bob.write(|tx, rng| leave(tx, rng, now));
            asked = bob.write(|tx, _| {
                let entries = crate::store::outbox::entries_to(tx, account(1), None)?;
                Ok(entries
                    .iter()
                    .filter(|entry| matches!(entry.body, Body::AskFor(_)))
                    .count())
            });
        }
        assert_eq!(asked, 16);
        let peer = alice.write(|tx, _| Ok(directory::device(tx, bob.address())?.unwrap().peer));
        let sent = alice.write(|tx, _| {
            let name = "SELECT messages.message FROM sent JOIN messages ON messages.id = sent.message";
            Ok(tx.query_row(name, [], |row| row.get::<_, [u8; 16]>(0))?)
        });
        for _ in 0..30 {
            let now = alice.now;
            let ask = AskFor { messages: vec![sent] };
            alice.write(|tx, rng| answer(tx, rng, (account(2), peer), &ask, now));
        }
        let answers = alice.write(|tx, _| crate::store::outbox::entries_to(tx, account(2), None));
        assert_eq!(answers.len(), 16);
    }
}
