//! What the person read, the same on every device of the account.
//!
//! The own other devices learn it from the receipt that the contact gets, which goes to them as well; where no receipt
//! goes out, from a *read state* to them alone. Either may come before the message itself: then it waits for it. Only
//! devices on the own list are believed (attack X40).

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    Body,
    content::{MessageName, ReadState},
};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, MessageId};

use crate::{
    events::{Effects, Event},
    receipts,
    sessions::Me,
    store::{
        StoreError, directory,
        messages::{self, MessageRow},
        outbox::{self, Control},
        read_elsewhere,
    },
};

/// The person read a conversation up to a place, on this device. Tells the contact and the own other devices. Returns
/// whether there is something to send.
pub(crate) fn read_here(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    conversation: AccountId,
    until: u64,
    now_millis: u64,
) -> Result<bool, StoreError> {
    let read = messages::mark_read(tx, conversation, until)?;
    let Some((from, message)) = read.last().copied() else {
        return Ok(false);
    };
    if receipts::read(tx, conversation, &read, now_millis)? {
        return Ok(true);
    }
    let own = me.address().account;
    if conversation == own || directory::devices(tx, own)?.is_empty() {
        return Ok(false);
    }
    let state = ReadState {
        conversation: conversation.to_bytes(),
        until: MessageName {
            device: from.device.get(),
            message: message.to_bytes(),
        },
    };
    let control = Control::new(rng, now_millis, own, Body::ReadState(state), None);
    outbox::append_control(tx, &control)?;
    Ok(true)
}

/// Another own device says how far the person read a conversation.
pub(crate) fn take(tx: &Transaction<'_>, state: &ReadState) -> Result<Effects, StoreError> {
    let named = (
        AccountId::from_bytes(&state.conversation),
        DeviceId::new(state.until.device.into()),
        MessageId::from_bytes(&state.until.message),
    );
    // What parses as none was not written by a device of this software.
    let (Ok(account), Ok(device), Ok(message)) = named else {
        return Ok(Effects::default());
    };
    let from = DeviceAddress { account, device };
    match messages::place_of(tx, (from, message), account)? {
        Some(place) => Ok(told(account, messages::mark_read(tx, account, place)?)),
        None => {
            read_elsewhere::remember(tx, (from, message), true)?;
            Ok(Effects::default())
        }
    }
}

/// Another own device says that the person read these messages of a conversation.
pub(crate) fn read_elsewhere(
    tx: &Transaction<'_>,
    conversation: AccountId,
    named: impl Iterator<Item = (DeviceAddress, MessageId)>,
) -> Result<Effects, StoreError> {
    let mut read = Vec::new();
    for name in named {
        match messages::place_of(tx, name, conversation)? {
            Some(place) => read.extend(messages::mark_one_read(tx, conversation, place)?.then_some(name)),
            None => read_elsewhere::remember(tx, name, false)?,
        }
    }
    Ok(told(conversation, read))
}

/// A message was given its place. Another own device may have told of it before.
pub(crate) fn placed(tx: &Transaction<'_>, message: MessageRow, place: u64) -> Result<(), StoreError> {
    let Some((conversation, and_before)) = read_elsewhere::take(tx, message)? else {
        return Ok(());
    };
    if and_before {
        messages::mark_read(tx, conversation, place)?;
    } else {
        messages::mark_one_read(tx, conversation, place)?;
    }
    Ok(())
}

fn told(conversation: AccountId, read: Vec<(DeviceAddress, MessageId)>) -> Effects {
    let mut effects = Effects::default();
    if !read.is_empty() {
        effects.tell(Event::ReadElsewhere { conversation });
    }
    effects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        receipts::{ReceiptSettings, set},
        store::settings,
        testing::{Party, account},
    };

    /// Alice, and Bob's phone and laptop, who all know each other; Bob wrote first.
    fn three() -> (Party, Party, Party) {
        let mut alice = Party::new(account(1), 1, 11);
        let mut phone = Party::new(account(2), 1, 12);
        let mut laptop = Party::new(account(2), 2, 13);
        let bundles = [phone.bundle(), laptop.bundle()];
        alice.claim(account(2), &bundles);
        alice.claim(account(1), &[]);
        let (of_phone, of_laptop) = (phone.bundle(), laptop.bundle());
        phone.claim(account(2), &[of_laptop]);
        laptop.claim(account(2), &[of_phone]);
        for device in [&mut phone, &mut laptop] {
            let bundle = alice.bundle();
            device.claim(account(1), &[bundle]);
            device.write(|tx, _| settings::add_contact(tx, account(1)));
        }
        (alice, phone, laptop)
    }

    fn read_all(party: &mut Party, with: AccountId) -> bool {
        let (me, now) = (party.me.clone(), party.now);
        party.write(|tx, rng| read_here(tx, rng, &me, with, u64::MAX, now))
    }

    fn unread(party: &Party) -> Vec<u64> {
        let conversations = party.store.read_now(messages::conversations).unwrap();
        conversations
            .iter()
            .map(|conversation| conversation.unread)
            .collect()
    }

    fn told_by_read_states(receipts: bool, late: bool) {
        let (mut alice, mut phone, mut laptop) = three();
        let settings = ReceiptSettings {
            delivered: receipts,
            read: receipts,
        };
        phone.write(|tx, _| set(tx, settings));
        let sent: Vec<_> = ["one", "two"]
            .iter()
            .flat_map(|text| alice.send(account(2), text))
            .collect();
        phone.receive_all(&sent);
        if !late {
            laptop.receive_all(&sent);
            assert_eq!(unread(&laptop), [2]);
        }
        assert!(read_all(&mut phone, account(1)));
        let told = phone.leave();
        let to_alice = told.iter().any(|carried| carried.to == alice.me.device);
        assert_eq!(to_alice, receipts);
        laptop.receive_all(&told);
        laptop.receive_all(&sent);
        assert_eq!(unread(&laptop), [0]);
        assert_eq!(unread(&phone), [0]);
        let more = alice.send(account(2), "three");
        laptop.receive_all(&more);
        assert_eq!(unread(&laptop), [1]);
    }

    #[test]
    fn what_was_read_here_is_read_there() {
        told_by_read_states(true, false);
        told_by_read_states(false, false);
    }

    #[test]
    fn what_was_read_elsewhere_before_it_came_is_read_when_it_comes() {
        told_by_read_states(true, true);
        told_by_read_states(false, true);
    }

    #[test]
    fn reading_twice_tells_once() {
        let (mut alice, mut phone, _) = three();
        let sent = alice.send(account(2), "one");
        phone.receive_all(&sent);
        assert!(read_all(&mut phone, account(1)));
        assert!(!read_all(&mut phone, account(1)));
        phone.leave();
        assert!(phone.leave().is_empty());
    }

    /// X40.
    #[test]
    fn x40_a_contact_cannot_say_what_we_read() {
        let (mut alice, mut phone, _) = three();
        let sent = alice.send(account(2), "one");
        phone.receive_all(&sent);
        let message = sent[0].envelope.id.message;
        let now = alice.now;
        let state = ReadState {
            conversation: account(1).to_bytes(),
            until: MessageName {
                device: 1,
                message: message.to_bytes(),
            },
        };
        alice.write(|tx, rng| {
            let control = Control::new(rng, now, account(2), Body::ReadState(state), None);
            outbox::append_control(tx, &control)
        });
        let carried = alice.leave();
        assert!(!carried.is_empty());
        phone.receive_all(&carried);
        assert_eq!(unread(&phone), [1]);
    }
}
