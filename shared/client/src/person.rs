//! What the person wants and whom the person knows, the same on every device of the account.
//!
//! A device that was linked just now is told by the one that let it in, whatever the person chose about the
//! [history](crate::history): so it sends receipts to whom the others do, and to nobody else. What changes later is told to
//! all own devices. The receipts that were set last count; a contact stays one. Only devices on the own list are believed
//! (attack X40).

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    Body,
    content::{MAX_CONTACTS, Person},
};
use waxwing_wire::AccountId;

use crate::{
    receipts::{self, ReceiptSettings},
    sessions::Me,
    store::{
        StoreError, directory, newcomers,
        outbox::{self, Control},
        peers::{self, PeerId},
        settings,
    },
};

/// The person sets the receipts on this device. Returns whether there is something to send.
pub(crate) fn set_receipts(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: Option<&Me>,
    wanted: ReceiptSettings,
    now_millis: u64,
) -> Result<bool, StoreError> {
    receipts::set(tx, wanted)?;
    // Later than what this device has seen, whatever the clocks say.
    let set_at = now_millis.max(settings::receipts_set_at(tx)?.saturating_add(1));
    settings::set_receipts_set_at(tx, set_at)?;
    tell_all(tx, rng, me, &[], now_millis)
}

/// The person lets an account in on this device. Returns whether there is something to send.
pub(crate) fn let_in(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: Option<&Me>,
    account: AccountId,
    now_millis: u64,
) -> Result<bool, StoreError> {
    settings::add_contact(tx, account)?;
    tell_all(tx, rng, me, &[account], now_millis)
}

/// Puts what newcomers among the own devices are to be told into the outbox.
pub(crate) fn leave(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<(), StoreError> {
    for peer in newcomers::take(tx)? {
        let address = peers::address(tx, peer)?;
        if directory::device(tx, address)?.is_none_or(|listed| listed.peer != peer) {
            continue;
        }
        let contacts = settings::contacts(tx)?;
        let mut parts = contacts.chunks(MAX_CONTACTS);
        // The settings go also where there is no contact.
        tell(
            tx,
            rng,
            (address.account, Some(peer)),
            parts.next().unwrap_or_default(),
            now_millis,
        )?;
        for part in parts {
            tell(tx, rng, (address.account, Some(peer)), part, now_millis)?;
        }
    }
    Ok(())
}

/// Another own device says what the person wants. What was set last counts; of two at once, what tells less.
pub(crate) fn take(tx: &Transaction<'_>, said: &Person) -> Result<(), StoreError> {
    let (known, known_at) = (settings::receipts(tx)?, settings::receipts_set_at(tx)?);
    let said_receipts = ReceiptSettings {
        delivered: said.delivered_receipts,
        read: said.read_receipts,
    };
    let wanted = match said.receipts_set_at.cmp(&known_at) {
        std::cmp::Ordering::Less => known,
        std::cmp::Ordering::Equal => ReceiptSettings {
            delivered: known.delivered && said_receipts.delivered,
            read: known.read && said_receipts.read,
        },
        std::cmp::Ordering::Greater => said_receipts,
    };
    if wanted != known {
        receipts::set(tx, wanted)?;
    }
    settings::set_receipts_set_at(tx, known_at.max(said.receipts_set_at))?;
    for contact in &said.contacts {
        // What parses as none was not written by a device of this software.
        if let Ok(contact) = AccountId::from_bytes(contact) {
            settings::add_contact(tx, contact)?;
        }
    }
    Ok(())
}

/// Tells all own other devices, if there are any.
fn tell_all(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: Option<&Me>,
    contacts: &[AccountId],
    now_millis: u64,
) -> Result<bool, StoreError> {
    let Some(own) = me.map(|me| me.address().account) else {
        return Ok(false);
    };
    if directory::devices(tx, own)?.is_empty() {
        return Ok(false);
    }
    tell(tx, rng, (own, None), contacts, now_millis)?;
    Ok(true)
}

fn tell(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    (own, peer): (AccountId, Option<PeerId>),
    contacts: &[AccountId],
    now_millis: u64,
) -> Result<(), StoreError> {
    let wanted = settings::receipts(tx)?;
    let person = Person {
        receipts_set_at: settings::receipts_set_at(tx)?,
        delivered_receipts: wanted.delivered,
        read_receipts: wanted.read,
        contacts: contacts.iter().map(|contact| contact.to_bytes()).collect(),
    };
    let control = Control::new(rng, now_millis, own, Body::Person(person), peer);
    outbox::append_control(tx, &control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        events::{Event, UndecryptableReason},
        testing::{Carried, Party, account},
        under_way::UnderWay,
    };

    const OFF: ReceiptSettings = ReceiptSettings {
        delivered: false,
        read: false,
    };
    const DELIVERED_ONLY: ReceiptSettings = ReceiptSettings {
        delivered: true,
        read: false,
    };

    /// Two devices of one person, which know each other.
    fn two() -> (Party, Party) {
        let mut phone = Party::new(account(1), 1, 11);
        let mut laptop = Party::new(account(1), 2, 12);
        let (of_phone, of_laptop) = (phone.bundle(), laptop.bundle());
        phone.claim(account(1), &[of_laptop]);
        laptop.claim(account(1), &[of_phone]);
        (phone, laptop)
    }

    fn leave_all(party: &mut Party) -> Vec<Carried> {
        let mut carried = Vec::new();
        loop {
            let outgoing = party.prepare(UnderWay::default()).outgoing;
            if outgoing.is_empty() {
                return carried;
            }
            for outgoing in outgoing {
                assert!(party.accept(&outgoing));
                carried.extend(party.carry(&outgoing));
            }
        }
    }

    fn set(party: &mut Party, wanted: ReceiptSettings) {
        let (me, now) = (party.me.clone(), party.now);
        party.write(|tx, rng| set_receipts(tx, rng, Some(&me), wanted, now));
    }

    fn wanted(party: &Party) -> ReceiptSettings {
        party.store.read_now(settings::receipts).unwrap()
    }

    fn knows(party: &Party, other: AccountId) -> bool {
        party
            .store
            .read_now(|tx| settings::is_contact(tx, other))
            .unwrap()
    }

    #[test]
    fn a_device_that_is_new_on_the_own_list_is_told_settings_and_all_contacts() {
        let mut phone = Party::new(account(1), 1, 11);
        let many = MAX_CONTACTS as u64 + 40;
        phone.write(|tx, _| (0..many).try_for_each(|seed| settings::add_contact(tx, account(100 + seed))));
        phone.claim(account(1), &[]);
        set(&mut phone, DELIVERED_ONLY);
        let mut laptop = Party::new(account(1), 2, 12);
        let (of_phone, of_laptop) = (phone.bundle(), laptop.bundle());
        phone.claim(account(1), &[of_laptop]);
        laptop.claim(account(1), &[of_phone]);
        let told = leave_all(&mut phone);
        assert_eq!(told.len(), 2);
        laptop.receive_all(&told);
        assert_eq!(wanted(&laptop), DELIVERED_ONLY);
        assert!((0..many).all(|seed| knows(&laptop, account(100 + seed))));
        // Once.
        let bundle = laptop.published();
        phone.list(account(1), &[bundle]);
        assert!(leave_all(&mut phone).is_empty());
    }

    #[test]
    fn what_is_set_last_counts_on_all_devices_whatever_their_clocks_say_and_however_it_crosses() {
        let (mut phone, mut laptop) = two();
        set(&mut phone, OFF);
        laptop.receive_all(&leave_all(&mut phone));
        assert_eq!(wanted(&laptop), OFF);
        laptop.now -= 3_600_000;
        set(&mut laptop, DELIVERED_ONLY);
        let later = leave_all(&mut laptop);
        phone.receive_all(&later);
        assert_eq!(wanted(&phone), DELIVERED_ONLY);
        // Both at once.
        set(&mut phone, OFF);
        let all = ReceiptSettings {
            delivered: true,
            read: true,
        };
        laptop.now = phone.now;
        set(&mut laptop, all);
        let (of_phone, of_laptop) = (leave_all(&mut phone), leave_all(&mut laptop));
        phone.receive_all(&of_laptop);
        laptop.receive_all(&of_phone);
        assert_eq!(wanted(&phone), wanted(&laptop));
    }

    #[test]
    fn who_is_let_in_on_one_device_is_known_on_the_other() {
        let (mut phone, mut laptop) = two();
        let (me, now) = (phone.me.clone(), phone.now);
        phone.write(|tx, rng| let_in(tx, rng, Some(&me), account(9), now));
        laptop.receive_all(&leave_all(&mut phone));
        assert!(knows(&laptop, account(9)));
    }

    #[test]
    fn x40_a_contact_cannot_say_what_the_person_wants() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.list(account(1), &[alice.published()]);
        let now = alice.now;
        alice.write(|tx, rng| {
            settings::set_receipts(tx, OFF)?;
            settings::set_receipts_set_at(tx, now)?;
            tell(tx, rng, (account(2), None), &[account(66)], now)
        });
        bob.receive_all(&leave_all(&mut alice));
        assert!(wanted(&bob).delivered && !knows(&bob, account(66)));
        let refused = |event: &Event| {
            let reason = UndecryptableReason::OwnDevicesOnly;
            matches!(event, Event::Undecryptable { reason: told, .. } if *told == reason)
        };
        assert_eq!(bob.told().iter().filter(|event| refused(event)).count(), 1);
    }
}
