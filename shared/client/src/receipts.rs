//! Receipts: the sender of a message is told that it was delivered, and that it was read.
//!
//! They are messages like any other, in the same envelopes. What is due is noted in the transaction that stores the
//! message, and told together with whatever else is due to the same account: after a wait that is drawn anew for each
//! message, so that a receipt does not tell when a phone woke up (attack X44). A receipt of *delivered* says that one
//! device of the account stored the message; one of *read*, that the person read it, on whichever device.
//!
//! Who gets none: a stranger, which is who this person neither wrote to nor [let in](crate::Client::let_in); a device
//! that is on no list trusted here; and the sender of whatever is not shown to people, receipts among it. The person may
//! switch them off.

use std::time::Duration;

use rand::{CryptoRng, RngExt};
use rusqlite::Transaction;
use waxwing_protocol::{
    Body,
    content::{MAX_RECEIPTED, Receipt, Stage},
};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, EnvelopeId, MessageId};

use crate::{
    events::{Effects, Event},
    messages::MessageState,
    read_state,
    store::{
        StoreError, early_receipts, messages,
        outbox::{self, Control},
        receipts, settings,
    },
};

/// Which receipts go out. Both do unless the person switches them off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptSettings {
    /// That a message was stored.
    pub delivered: bool,
    /// That a message was read.
    pub read: bool,
}

/// A message of a person was stored. Returns whether its sender will be told. `linger` is the shortest wait, twice of it
/// the longest.
pub(crate) fn stored(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    id: EnvelopeId,
    linger: Duration,
    now_millis: u64,
) -> Result<bool, StoreError> {
    let told = settings::receipts(tx)?.delivered && settings::is_contact(tx, id.from.account)?;
    if told {
        let due = now_millis.saturating_add(jittered(rng, linger));
        receipts::due(tx, id.from, id.message, Stage::Delivered, due)?;
    }
    Ok(told)
}

/// A list of devices names the sender of messages that were stored before. Returns whether it will be told. When the list
/// came is chance enough.
pub(crate) fn confirmed(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    messages: &[MessageId],
    linger: Duration,
    now_millis: u64,
) -> Result<bool, StoreError> {
    let told = settings::receipts(tx)?.delivered && settings::is_contact(tx, from.account)?;
    for message in messages.iter().filter(|_| told) {
        let due = now_millis.saturating_add(millis(linger));
        receipts::due(tx, from, *message, Stage::Delivered, due)?;
    }
    Ok(told)
}

/// The person read messages of an account. Returns whether its devices are told, and the own ones with them.
pub(crate) fn read(
    tx: &Transaction<'_>,
    account: AccountId,
    messages: &[(DeviceAddress, MessageId)],
    now_millis: u64,
) -> Result<bool, StoreError> {
    if !settings::receipts(tx)?.read || !settings::is_contact(tx, account)? {
        return Ok(false);
    }
    for (from, message) in messages {
        receipts::due(tx, *from, *message, Stage::Read, now_millis)?;
    }
    Ok(true)
}

/// Puts what is due into the outbox. Returns when the next is due.
pub(crate) fn leave(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<Option<u64>, StoreError> {
    for (account, stage) in receipts::due_by(tx, now_millis)? {
        loop {
            let messages = receipts::take(tx, account, stage, MAX_RECEIPTED)?;
            if messages.is_empty() {
                break;
            }
            let control = Control::new(
                rng,
                now_millis,
                account,
                Body::Receipt(Receipt { stage, messages }),
                None,
            );
            outbox::append_control(tx, &control)?;
        }
    }
    receipts::next_due(tx)
}

/// A contact tells of messages that this account sent it. What it was not sent is passed over; what is not here yet may still
/// come, from the own device that sent it.
pub(crate) fn take(
    tx: &Transaction<'_>,
    us: AccountId,
    from: AccountId,
    receipt: &Receipt,
) -> Result<Effects, StoreError> {
    let state = match receipt.stage {
        Stage::Delivered => MessageState::Delivered,
        Stage::Read => MessageState::Read,
    };
    let (mut told, mut early) = (Vec::new(), Vec::new());
    for (device, message) in named(us, receipt) {
        if messages::raise_named(tx, (device, message), from, state)? {
            told.push(message);
        } else if !messages::exists(tx, device, message)? {
            early.push((device, message));
        }
    }
    early_receipts::remember(tx, from, &early, state)?;
    let mut effects = Effects::default();
    if !told.is_empty() {
        effects.tell(Event::Receipt {
            from,
            stage: receipt.stage,
            messages: told,
        });
    }
    Ok(effects)
}

/// Another own device told a contact that the person read messages of it: so they were read.
pub(crate) fn take_own(
    tx: &Transaction<'_>,
    conversation: AccountId,
    receipt: &Receipt,
) -> Result<Effects, StoreError> {
    if receipt.stage != Stage::Read {
        return Ok(Effects::default());
    }
    read_state::read_elsewhere(tx, conversation, named(conversation, receipt))
}

/// Sets which receipts go out; what was due and is switched off is not told any more.
pub(crate) fn set(tx: &Transaction<'_>, settings: ReceiptSettings) -> Result<(), StoreError> {
    settings::set_receipts(tx, settings)?;
    if !settings.delivered {
        receipts::forget(tx, Stage::Delivered)?;
    }
    if !settings.read {
        receipts::forget(tx, Stage::Read)?;
    }
    Ok(())
}

/// The messages a receipt names, of devices of this account.
fn named(account: AccountId, receipt: &Receipt) -> impl Iterator<Item = (DeviceAddress, MessageId)> {
    receipt.messages.iter().filter_map(move |name| {
        let device = DeviceId::new(name.device.into()).ok()?;
        let message = MessageId::from_bytes(&name.message).ok()?;
        Some((DeviceAddress { account, device }, message))
    })
}

fn jittered(rng: &mut impl CryptoRng, linger: Duration) -> u64 {
    let linger = millis(linger);
    rng.random_range(linger..=linger.saturating_mul(2))
}

fn millis(linger: Duration) -> u64 {
    u64::try_from(linger.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use waxwing_protocol::content::MessageName;
    use waxwing_wire::{Ciphertext, Envelope};

    use super::*;
    use crate::{
        outbox::Outgoing,
        read_state,
        store::messages as message_rows,
        testing::{NOW, Party, RECEIPT_LINGER, account},
        under_way::UnderWay,
    };

    const LONGEST: u64 = 2 * RECEIPT_LINGER.as_millis() as u64;

    /// Two people of whom each has written to the other.
    fn acquainted() -> (Party, Party) {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::on_disk(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.meet(&mut alice);
        let from_bob = bob.send(alice.account(), "hello");
        alice.receive_all(&from_bob);
        let from_alice = alice.send(bob.account(), "hello");
        bob.receive_all(&from_alice);
        settle(&mut alice, &mut bob);
        settle(&mut bob, &mut alice);
        (alice, bob)
    }

    /// What the outbox holds when every receipt is due.
    fn due(party: &mut Party) -> Vec<Outgoing> {
        party.now += LONGEST;
        party.prepare(UnderWay::default()).outgoing
    }

    /// Sends what is due; how many messages that took.
    fn settle(from: &mut Party, to: &mut Party) -> usize {
        let outgoing = due(from);
        for outgoing in &outgoing {
            assert!(from.accept(outgoing));
            to.receive_all(&from.carry(outgoing));
        }
        outgoing.len()
    }

    fn states(party: &Party, with: AccountId) -> Vec<MessageState> {
        let messages = party
            .store
            .read_now(|tx| message_rows::of_conversation(tx, with))
            .unwrap();
        let own = messages.into_iter().filter(|message| message.own);
        own.map(|message| message.state).collect()
    }

    fn read_all(party: &mut Party, with: AccountId) -> bool {
        let (me, now) = (party.me.clone(), party.now);
        party.write(|tx, rng| read_state::read_here(tx, rng, &me, with, u64::MAX, now))
    }

    #[test]
    fn many_messages_are_told_as_delivered_and_then_as_read_by_one_receipt_each() {
        let (mut alice, mut bob) = acquainted();
        for text in ["one", "two", "three"] {
            let sent = alice.send(bob.account(), text);
            bob.receive_all(&sent);
        }
        assert_eq!(states(&alice, bob.account())[1..], [MessageState::Accepted; 3]);
        assert_eq!(settle(&mut bob, &mut alice), 1);
        assert_eq!(states(&alice, bob.account()), [MessageState::Delivered; 4]);
        assert!(read_all(&mut bob, alice.account()));
        assert_eq!(settle(&mut bob, &mut alice), 1);
        assert_eq!(states(&alice, bob.account()), [MessageState::Read; 4]);
        assert!(!read_all(&mut bob, alice.account()));
        // Alice's device tells nothing of the receipts it got.
        assert_eq!(settle(&mut alice, &mut bob), 0);
    }

    #[test]
    fn what_is_read_before_it_was_told_as_delivered_is_told_as_read_only() {
        let (mut alice, mut bob) = acquainted();
        let sent = alice.send(bob.account(), "one");
        bob.receive_all(&sent);
        read_all(&mut bob, alice.account());
        assert_eq!(settle(&mut bob, &mut alice), 1);
        assert_eq!(*states(&alice, bob.account()).last().unwrap(), MessageState::Read);
    }

    #[test]
    fn a_receipt_that_is_noted_with_its_message_survives_a_crash() {
        let (mut alice, mut bob) = acquainted();
        let sent = alice.send(bob.account(), "one");
        bob.receive_all(&sent);
        bob.reopen();
        // The envelope comes again, and is no reason for another.
        bob.receive_all(&sent);
        assert_eq!(settle(&mut bob, &mut alice), 1);
        assert_eq!(settle(&mut bob, &mut alice), 0);
    }

    #[test]
    fn no_receipt_leaves_before_the_wait_and_the_wait_differs() {
        let (mut alice, mut bob) = acquainted();
        let mut waits = std::collections::BTreeSet::new();
        for number in 0..8 {
            let sent = alice.send(bob.account(), &number.to_string());
            let now = bob.now;
            bob.receive_all(&sent);
            let next = bob.prepare(UnderWay::default()).next_receipt.unwrap();
            assert!((LONGEST / 2..=LONGEST).contains(&(next - now)), "{}", next - now);
            waits.insert(next - now);
            settle(&mut bob, &mut alice);
        }
        assert!(waits.len() > 1);
    }

    /// X44.
    #[test]
    fn x44_a_thousand_probes_of_a_stranger_get_no_receipt() {
        let mut mallory = Party::new(account(6), 1, 16);
        let mut bob = Party::new(account(2), 1, 12);
        mallory.meet(&mut bob);
        bob.meet(&mut mallory);
        for number in 0..1_000 {
            if number % 50 == 49 {
                // Whoever writes on without an answer begins a session anew.
                let bundle = bob.bundle_without_one_time_prekey();
                mallory.claim(bob.account(), &[bundle]);
            }
            mallory.write_to(bob.account(), "are you there?");
            for outgoing in mallory.prepare(UnderWay::default()).outgoing {
                mallory.accept(&outgoing);
                bob.receive_all(&mallory.carry(&outgoing));
            }
        }
        assert!(bob.texts().len() > 40, "{}", bob.texts().len());
        read_all(&mut bob, mallory.account());
        let to_mallory = |bob: &mut Party| {
            due(bob);
            let entries = bob.write(|tx, _| outbox::entries_to(tx, account(6), None));
            let receipts = entries
                .iter()
                .filter(|entry| matches!(entry.body, Body::Receipt(_)));
            receipts.count()
        };
        assert_eq!(to_mallory(&mut bob), 0);
        // Bob lets her in: of what comes from then on she is told.
        bob.write(|tx, _| settings::add_contact(tx, account(6)));
        let bundle = bob.bundle_without_one_time_prekey();
        mallory.claim(bob.account(), &[bundle]);
        mallory.write_to(bob.account(), "thanks");
        for outgoing in mallory.prepare(UnderWay::default()).outgoing {
            bob.receive_all(&mallory.carry(&outgoing));
        }
        assert_eq!(to_mallory(&mut bob), 1);
    }

    #[test]
    fn x44_there_is_no_receipt_for_what_is_not_shown() {
        let (mut alice, mut bob) = acquainted();
        let mut send = |body: Body| {
            let (now, to) = (alice.now, bob.account());
            alice.write(|tx, rng| {
                let control = Control::new(rng, now, to, body, None);
                outbox::append_control(tx, &control)
            });
            for outgoing in alice.prepare(UnderWay::default()).outgoing {
                alice.accept(&outgoing);
                bob.receive_all(&alice.carry(&outgoing));
            }
        };
        let name = MessageName {
            device: 1,
            message: [9; 16],
        };
        send(Body::Nothing);
        send(Body::Receipt(Receipt {
            stage: Stage::Read,
            messages: vec![name],
        }));
        let garbage = Envelope {
            id: EnvelopeId {
                message: MessageId::new(NOW, &mut crate::clock::rng()),
                from: alice.address(),
            },
            ciphertext: Ciphertext::from_vec(vec![7; 900]).unwrap(),
        };
        bob.receive(&garbage);
        assert!(due(&mut bob).is_empty());
    }

    #[test]
    fn receipts_that_are_switched_off_do_not_go_out() {
        let (mut alice, mut bob) = acquainted();
        let sent = alice.send(bob.account(), "one");
        bob.receive_all(&sent);
        let off = ReceiptSettings {
            delivered: false,
            read: false,
        };
        bob.write(|tx, _| set(tx, off));
        let sent = alice.send(bob.account(), "two");
        bob.receive_all(&sent);
        assert!(!read_all(&mut bob, alice.account()));
        assert!(due(&mut bob).is_empty());
        bob.reopen();
        assert_eq!(bob.write(|tx, _| settings::receipts(tx)), off);
    }

    #[test]
    fn the_first_message_of_a_device_is_told_as_delivered_once_its_list_is_known() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.write(|tx, _| settings::add_contact(tx, account(1)));
        let sent = alice.send(bob.account(), "one");
        bob.receive_all(&sent);
        let noted = |bob: &mut Party| bob.write(|tx, _| receipts::next_due(tx));
        assert_eq!(noted(&mut bob), None);
        bob.list(account(1), &[alice.published()]);
        assert!(noted(&mut bob).is_some());
    }

    #[test]
    fn a_receipt_for_what_one_was_not_sent_changes_nothing() {
        let (mut alice, bob) = acquainted();
        let carol = Party::new(account(3), 1, 13);
        let to_carol = alice.write_to(carol.account(), "for carol");
        let before = states(&alice, carol.account());
        let mut claim = |stage| {
            let receipt = Receipt {
                stage,
                messages: vec![MessageName {
                    device: 1,
                    message: to_carol.to_bytes(),
                }],
            };
            let (us, bob) = (alice.account(), bob.account());
            alice.write(|tx, _| take(tx, us, bob, &receipt))
        };
        assert_eq!(claim(Stage::Delivered), Effects::default());
        assert_eq!(claim(Stage::Read), Effects::default());
        assert_eq!(states(&alice, carol.account()), before);
    }

    #[test]
    fn receipts_in_whatever_order_only_raise() {
        let (mut alice, mut bob) = acquainted();
        alice.write_to(bob.account(), "one");
        let outgoing = alice.prepare(UnderWay::default()).outgoing.remove(0);
        assert_eq!(*states(&alice, bob.account()).last().unwrap(), MessageState::Sent);
        bob.receive_all(&alice.carry(&outgoing));
        read_all(&mut bob, alice.account());
        settle(&mut bob, &mut alice);
        // The answer of the service comes last.
        assert!(alice.accept(&outgoing));
        assert_eq!(*states(&alice, bob.account()).last().unwrap(), MessageState::Read);
    }

    #[test]
    fn the_layout_of_a_receipt_is_that_of_a_message() {
        let (mut alice, mut bob) = acquainted();
        let sent = alice.send(bob.account(), "one");
        bob.receive_all(&sent);
        let receipt = due(&mut bob).remove(0);
        let receipt = bob.carry(&receipt).remove(0).envelope;
        let text = alice.send(bob.account(), "two").remove(0).envelope;
        assert_eq!(
            receipt.ciphertext.as_bytes().len(),
            text.ciphertext.as_bytes().len()
        );
    }
}
