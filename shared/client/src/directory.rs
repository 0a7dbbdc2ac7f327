//! Which devices an account has, as the service says, and the sessions needed to write to all of them.
//!
//! The service's word is not the last: a device's keys must verify, and that a known device has other keys
//! is told to the app.

use std::collections::BTreeSet;

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::keys::TheirDevice;
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, RegisteredDevice, claim::PrekeyBundle, keys::PublishedDevice,
    limits::MAX_DEVICES_PER_ACCOUNT, send::AccountMismatch,
};

use crate::{
    events::{Effects, Event},
    sessions::{self, InvalidKeys, Me, OpenError},
    store::{
        StoreError,
        directory::{self, Knowledge},
        peers::{self, Acquaintance, PeerId},
        sessions as session_rows,
        timeline::{self, Note},
    },
};

/// What is to be done before an account can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing: its devices are known, and there is a session with each.
    Ready,
    /// Fetch its list of devices. Costs no prekey.
    Fetch,
    /// Claim the bundles of all its devices: nothing is known of it.
    ClaimAll,
    /// Claim the bundles of these.
    Claim(Vec<DeviceId>),
}

/// What is to be done before an account can be written to.
pub(crate) fn plan(tx: &Transaction<'_>, me: &Me, account: AccountId) -> Result<Plan, StoreError> {
    match directory::knowledge(tx, account)? {
        Knowledge::Stale => return Ok(Plan::Fetch),
        // One who wrote to us first has sessions with us already: no need to burn prekeys for new ones.
        Knowledge::None if peers::any_session(tx, account)? => return Ok(Plan::Fetch),
        Knowledge::None => return Ok(Plan::ClaimAll),
        Knowledge::Fresh => {}
    }
    let mut missing = Vec::new();
    for known in directory::devices(tx, account)? {
        let address = DeviceAddress {
            account,
            device: known.device,
        };
        let ready = match known.peer {
            Some(peer) => session_rows::has_current(tx, peer)?,
            None => false,
        };
        if address != me.address() && !ready {
            missing.push(known.device);
        }
    }
    Ok(if missing.is_empty() {
        Plan::Ready
    } else {
        Plan::Claim(missing)
    })
}

/// Takes the list of an account's devices that was fetched.
pub(crate) fn take_list(
    tx: &Transaction<'_>,
    me: &Me,
    account: AccountId,
    published: &[PublishedDevice],
) -> Result<Effects, OpenError> {
    check_count(published.len())?;
    // The parent row of the devices.
    directory::set_stale(tx, account, false)?;
    let mut effects = Effects::default();
    for device in published {
        let keys = sessions::verify_identity(&device.identity)?;
        effects.merge(learn(tx, me, account, device, &keys)?.1);
    }
    let listed: BTreeSet<_> = published.iter().map(|device| device.device).collect();
    effects.merge(keep_only(tx, account, &listed)?);
    Ok(effects)
}

/// Takes bundles that were claimed and opens the sessions that are missing. `asked` is what the claim named;
/// without it the bundles are the whole list.
pub(crate) fn take_bundles(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    (account, asked): (AccountId, Option<&[DeviceId]>),
    bundles: &[PrekeyBundle],
    now_millis: u64,
) -> Result<Effects, OpenError> {
    check_count(bundles.len())?;
    // The parent row of the devices; whether it is the whole list is decided below.
    directory::set_stale(tx, account, false)?;
    let mut effects = Effects::default();
    for bundle in bundles {
        let device = &bundle.published;
        if asked.is_some_and(|asked| !asked.contains(&device.device)) {
            continue;
        }
        let verified = sessions::verify_bundle(bundle)?;
        let (peer, learned) = learn(tx, me, account, device, verified.device())?;
        effects.merge(learned);
        let address = DeviceAddress {
            account,
            device: device.device,
        };
        if let Some(peer) = peer
            && !session_rows::has_current(tx, peer)?
        {
            sessions::open(tx, rng, me, (address, peer), &verified, now_millis)?;
            effects.tell(Event::Handshake {
                peer: address,
                initiated: true,
                one_time_prekey: verified.has_one_time_prekey(),
            });
        }
    }
    let listed: BTreeSet<_> = bundles.iter().map(|bundle| bundle.published.device).collect();
    match asked {
        None => effects.merge(keep_only(tx, account, &listed)?),
        // What was asked for and is not there may be gone: the list says.
        Some(asked) if asked.iter().any(|device| !listed.contains(device)) => {
            directory::set_stale(tx, account, true)?;
        }
        Some(_) => {}
    }
    Ok(effects)
}

/// An account has so many devices at most; a longer list would make every message as costly as whoever wrote
/// it likes.
fn check_count(devices: usize) -> Result<(), InvalidKeys> {
    if devices <= MAX_DEVICES_PER_ACCOUNT {
        Ok(())
    } else {
        Err(InvalidKeys)
    }
}

/// Takes what the service said about a message whose list of devices was not the account's.
pub(crate) fn take_mismatch(
    tx: &Transaction<'_>,
    me: &Me,
    mismatch: &AccountMismatch,
) -> Result<Effects, StoreError> {
    let account = mismatch.account;
    let listed = mismatch.missing.len() + mismatch.reregistered.len();
    if check_count(listed).is_err() || directory::knowledge(tx, account)? == Knowledge::None {
        return Ok(Effects::default());
    }
    for device in &mismatch.gone {
        let device = *device;
        directory::unlist(tx, DeviceAddress { account, device })?;
    }
    for known in mismatch.missing.iter().chain(&mismatch.reregistered) {
        let device = RegisteredDevice {
            address: DeviceAddress {
                account,
                device: known.device,
            },
            registration: known.registration,
        };
        if device.address != me.address() {
            directory::list(tx, device, None)?;
        }
    }
    let mut effects = Effects::default();
    effects.tell(Event::DevicesChanged { account });
    Ok(effects)
}

/// Learns of one device. Returns its peer, but `None` for this very device.
fn learn(
    tx: &Transaction<'_>,
    me: &Me,
    account: AccountId,
    device: &PublishedDevice,
    keys: &TheirDevice,
) -> Result<(Option<PeerId>, Effects), StoreError> {
    let mut effects = Effects::default();
    let address = DeviceAddress {
        account,
        device: device.device,
    };
    if address == me.address() {
        return Ok((None, effects));
    }
    let (peer, acquaintance) = peers::meet(tx, address, &keys.to_bytes())?;
    if acquaintance == Acquaintance::Changed {
        effects.grew(timeline::append_note(
            tx,
            &Note::IdentityChanged { peer: address },
        )?);
    }
    let device = RegisteredDevice {
        address,
        registration: device.registration,
    };
    if directory::has_moved(tx, device, peer)? {
        // The sessions it had are gone with its former registration.
        session_rows::retire_all(tx, peer)?;
    }
    directory::list(tx, device, Some(peer))?;
    Ok((Some(peer), effects))
}

/// Takes the devices off an account's list that are not on this one.
fn keep_only(
    tx: &Transaction<'_>,
    account: AccountId,
    listed: &BTreeSet<DeviceId>,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    for known in directory::devices(tx, account)? {
        if !listed.contains(&known.device) {
            let device = known.device;
            directory::unlist(tx, DeviceAddress { account, device })?;
            effects.tell(Event::DevicesChanged { account });
        }
    }
    Ok(effects)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::dump,
        testing::{Party, account},
    };

    fn plan_for(party: &mut Party, account: AccountId) -> Plan {
        let me = party.me.clone();
        party.write(|tx, _| plan(tx, &me, account))
    }

    #[test]
    fn a_stranger_s_devices_are_claimed_all_at_once() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        assert_eq!(plan_for(&mut alice, bob.account()), Plan::ClaimAll);
        alice.meet(&mut bob);
        assert_eq!(plan_for(&mut alice, bob.account()), Plan::Ready);
    }

    #[test]
    fn only_what_is_missing_is_claimed() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let laptop = Party::new(account(2), 2, 13);
        alice.meet(&mut bob);
        alice.list(account(2), &[bob.published(), laptop.published()]);
        assert_eq!(
            plan_for(&mut alice, account(2)),
            Plan::Claim(vec![laptop.address().device])
        );
    }

    #[test]
    fn a_bundle_that_was_asked_for_and_is_missing_has_the_list_fetched() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let laptop = Party::new(account(2), 2, 13);
        alice.meet(&mut bob);
        alice.list(account(2), &[bob.published(), laptop.published()]);
        let (me, now, rng) = (alice.me.clone(), alice.now, &mut alice.rng);
        let asked = [laptop.address().device];
        alice
            .store
            .write_now(|tx| take_bundles(tx, rng, &me, (account(2), Some(asked.as_slice())), &[], now))
            .unwrap();
        assert_eq!(plan_for(&mut alice, account(2)), Plan::Fetch);
        alice.list(account(2), &[bob.published()]);
        assert_eq!(plan_for(&mut alice, account(2)), Plan::Ready);
    }

    #[test]
    fn a_bundle_for_a_device_nobody_asked_for_is_not_taken() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let mut ghost = Party::new(account(2), 2, 13);
        alice.meet(&mut bob);
        let before = alice.write(|tx, _| directory::devices(tx, account(2)));
        let (me, now, rng) = (alice.me.clone(), alice.now, &mut alice.rng);
        let (asked, bundle) = ([bob.address().device], ghost.bundle());
        alice
            .store
            .write_now(|tx| take_bundles(tx, rng, &me, (account(2), Some(asked.as_slice())), &[bundle], now))
            .unwrap();
        assert_eq!(alice.write(|tx, _| directory::devices(tx, account(2))), before);
    }

    #[test]
    fn a_list_longer_than_an_account_may_have_is_refused() {
        let mut alice = Party::new(account(1), 1, 11);
        let published: Vec<_> = (1..=MAX_DEVICES_PER_ACCOUNT as u64 + 1)
            .map(|device| Party::new(account(2), device, 20 + device).published())
            .collect();
        let me = alice.me.clone();
        let refused: Result<_, OpenError> = alice
            .store
            .write_now(|tx| take_list(tx, &me, account(2), &published));
        assert!(matches!(refused, Err(OpenError::InvalidKeys(_))));
        assert_eq!(plan_for(&mut alice, account(2)), Plan::ClaimAll);
    }

    #[test]
    fn the_own_device_is_never_a_recipient() {
        let mut phone = Party::new(account(1), 1, 11);
        let laptop = Party::new(account(1), 2, 12);
        phone.list(account(1), &[phone.published(), laptop.published()]);
        let devices = phone.write(|tx, _| directory::devices(tx, account(1)));
        assert_eq!(devices.len(), 1);
        assert_eq!(
            plan_for(&mut phone, account(1)),
            Plan::Claim(vec![laptop.address().device])
        );
    }

    #[test]
    fn x7_a_device_with_another_identity_key_under_the_same_signing_key_is_refused() {
        let mut alice = Party::new(account(1), 1, 11);
        let bob = Party::new(account(2), 1, 12);
        let mut swapped = bob.published();
        swapped.identity.identity_key = Party::new(account(3), 1, 13).published().identity.identity_key;
        let me = alice.me.clone();
        let before = alice.write(|tx, _| dump(tx));
        let refused: Result<_, OpenError> = alice
            .store
            .write_now(|tx| take_list(tx, &me, account(2), &[swapped]));
        assert!(matches!(refused, Err(OpenError::InvalidKeys(_))));
        assert_eq!(alice.write(|tx, _| dump(tx)), before);
    }

    /// Two answers about one account may arrive in the other order.
    #[test]
    fn an_older_list_that_comes_late_restarts_no_channel() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.receive_all(&alice.send(bob.account(), "one"));
        let former = Party::new(account(2), 1, 13);
        alice.list(account(2), &[]);
        alice.list(account(2), &[former.published()]);
        alice.list(account(2), &[bob.published()]);
        bob.receive_all(&alice.send(bob.account(), "two"));
        let late = |event: &Event| matches!(event, Event::Message(message) if message.late);
        assert!(!bob.told().iter().any(late));
        assert_eq!(bob.texts(), ["one", "two"]);
    }

    #[test]
    fn a_device_that_kept_its_keys_over_a_new_registration_gets_a_new_session() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        let mut moved = bob.published();
        moved.registration = Party::new(account(2), 1, 13).me.device.registration;
        alice.list(account(2), &[moved]);
        assert_eq!(
            plan_for(&mut alice, account(2)),
            Plan::Claim(vec![bob.address().device])
        );
        alice.list(account(2), &[moved]);
        assert_eq!(
            plan_for(&mut alice, account(2)),
            Plan::Claim(vec![bob.address().device])
        );
    }

    #[test]
    fn a_device_that_registered_again_gets_a_new_channel_and_a_new_session() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.receive_all(&alice.send(bob.account(), "to the old"));
        let mut again = Party::new(account(2), 1, 13);
        alice.list(account(2), &[again.published()]);
        assert_eq!(
            plan_for(&mut alice, account(2)),
            Plan::Claim(vec![again.address().device])
        );
        let bundle = again.bundle();
        alice.claim(account(2), &[bundle]);
        again.receive_all(&alice.send(account(2), "to the new"));
        assert_eq!(again.texts(), ["to the new"]);
        assert_eq!(alice.told(), [Event::IdentityChanged { peer: bob.address() }]);
    }
}
