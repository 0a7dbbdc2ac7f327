//! Which devices an account has, and the sessions needed to write to all of them.
//!
//! The list that the account's owner signed decides ([`trust`](crate::trust)); what the service says beside it only
//! helps: prekeys of listed devices, and hints that there may be a newer list.

use std::collections::BTreeSet;

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, RegisteredDevice, claim::Bundles, keys::PublishedDevice,
    limits::MAX_DEVICES_PER_ACCOUNT, send::AccountMismatch,
};

use crate::{
    events::{Effects, Event},
    history, receipts,
    sessions::{self, InvalidKeys, Me, OpenError},
    store::{
        StoreError, directory, identity,
        lists::{self, Knowledge},
        messages, newcomers,
        peers::PeerId,
        sessions as session_rows,
        timeline::{self, Note},
    },
    trust::{self, ListError},
};

/// What is to be done before an account can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing: its devices are known, and there is a session with each.
    Ready,
    /// Nothing that could be done here: its account key is another, and the app has not answered yet.
    Held,
    /// Fetch its list of devices. Costs no prekey.
    Fetch,
    /// Claim the bundles of all its devices: nothing is known of it.
    ClaimAll,
    /// Claim the bundles of these.
    Claim(Vec<DeviceId>),
}

/// Why what the service said of an account was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeError {
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    Keys(#[from] InvalidKeys),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<OpenError> for TakeError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::InvalidKeys(error) => error.into(),
            OpenError::Store(error) => error.into(),
        }
    }
}

/// What is to be done before an account can be written to.
pub(crate) fn plan(
    tx: &Transaction<'_>,
    me: &Me,
    account: AccountId,
    now_millis: u64,
) -> Result<Plan, StoreError> {
    match lists::knowledge(tx, account, now_millis)? {
        Knowledge::Held => return Ok(Plan::Held),
        Knowledge::Stale => return Ok(Plan::Fetch),
        Knowledge::None => return Ok(Plan::ClaimAll),
        Knowledge::Fresh => {}
    }
    let mut missing = Vec::new();
    for known in directory::devices(tx, account)? {
        let address = DeviceAddress {
            account,
            device: known.device,
        };
        if address != me.address() && !session_rows::has_current(tx, known.peer)? {
            missing.push(known.device);
        }
    }
    Ok(if missing.is_empty() {
        Plan::Ready
    } else {
        Plan::Claim(missing)
    })
}

/// Takes the list of an account's devices that was fetched, and looks at what the service publishes beside it.
pub(crate) fn take_list(
    tx: &Transaction<'_>,
    me: &Me,
    account: AccountId,
    list: &DeviceList,
    published: &[PublishedDevice],
    now_millis: u64,
) -> Result<Effects, TakeError> {
    check_count(published.len())?;
    let mut effects = match trust::take(tx, me, account, list, now_millis) {
        // Whatever the service presents as our account: the devices we know are ours, and nothing stops for it.
        Err(TakeError::List(ListError::Invalid))
            if account == me.address().account && lists::is_known(tx, account)? =>
        {
            lists::checked(tx, account, now_millis)?;
            return Ok(Effects::default());
        }
        taken => taken?,
    };
    for device in published {
        if !is_listed(list, device) {
            effects.merge(report_unlisted(tx, account, device.device)?);
        }
    }
    Ok(effects)
}

/// Takes bundles that were claimed and opens the sessions that are missing, with devices on the list alone. `asked` is
/// what the claim named.
pub(crate) fn take_bundles(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    asked: Option<&[DeviceId]>,
    claimed: &Bundles,
    now_millis: u64,
) -> Result<Effects, TakeError> {
    let account = claimed.account;
    check_count(claimed.bundles.len())?;
    let mut effects = trust::take(tx, me, account, &claimed.list, now_millis)?;
    if lists::knowledge(tx, account, now_millis)? == Knowledge::Held {
        return Ok(effects);
    }
    for bundle in &claimed.bundles {
        let device = &bundle.published;
        if asked.is_some_and(|asked| !asked.contains(&device.device)) {
            continue;
        }
        if !is_listed(&claimed.list, device) {
            effects.merge(report_unlisted(tx, account, device.device)?);
            continue;
        }
        let verified = sessions::verify_bundle(bundle)?;
        let address = DeviceAddress {
            account,
            device: device.device,
        };
        let listed = directory::device(tx, address)?;
        if let Some(listed) = listed
            && !session_rows::has_current(tx, listed.peer)?
        {
            sessions::open(tx, rng, me, (address, listed.peer), &verified, now_millis)?;
            effects.tell(Event::Handshake {
                peer: address,
                initiated: true,
                one_time_prekey: verified.has_one_time_prekey(),
            });
        }
    }
    // What was asked for and is not there may be gone: a newer list says.
    let came: BTreeSet<_> = claimed
        .bundles
        .iter()
        .map(|bundle| bundle.published.device)
        .collect();
    if asked.is_some_and(|asked| asked.iter().any(|device| !came.contains(device))) {
        lists::set_stale(tx, account)?;
    }
    Ok(effects)
}

/// Takes what the service said about a message whose devices were not the account's. It is a hint to ask for the list
/// again, no more: who is on the account is for its owner to say.
pub(crate) fn take_mismatch(tx: &Transaction<'_>, mismatch: &AccountMismatch) -> Result<(), StoreError> {
    lists::set_stale(tx, mismatch.account)?;
    Ok(())
}

/// An account has so many devices at most; a longer answer would make every message as costly as whoever wrote it
/// likes.
fn check_count(devices: usize) -> Result<(), InvalidKeys> {
    if devices <= MAX_DEVICES_PER_ACCOUNT {
        Ok(())
    } else {
        Err(InvalidKeys)
    }
}

/// Whether a published device is the one that the list names: registration and both long-term keys.
fn is_listed(list: &DeviceList, device: &PublishedDevice) -> bool {
    list.find(device.device).is_some_and(|listed| {
        listed.registration == device.registration
            && listed.signing_key == device.identity.signing_key
            && listed.identity_key == device.identity.identity_key
    })
}

/// A device that the owner did not sign (attack X31).
fn report_unlisted(
    tx: &Transaction<'_>,
    account: AccountId,
    device: DeviceId,
) -> Result<Effects, StoreError> {
    let device = DeviceAddress { account, device };
    tracing::warn!(%device, "the service presents a device that is not on its account's list");
    let mut effects = Effects::default();
    if let Some(position) = timeline::append_note_once(tx, &Note::UnlistedDevice { device })? {
        effects.grew(position);
    }
    Ok(effects)
}

/// Puts the devices of a list that is trusted into the directory, and takes off it what is not on the list. What a
/// listed device sent before is confirmed by it.
pub(crate) fn relist(
    tx: &Transaction<'_>,
    me: &Me,
    account: AccountId,
    list: &waxwing_protocol::device_list::SignedDeviceList,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let (mut listed, mut effects) = (BTreeSet::new(), Effects::default());
    for entry in list.devices() {
        let device = trust::registered(account, entry)?;
        listed.insert(device.address.device);
        if device.address != me.address() {
            let peer = list_one(tx, device, &entry.keys().to_bytes(), now_millis)?;
            let confirmed = messages::confirm(tx, peer)?;
            if !confirmed.is_empty() {
                let linger = me.receipt_linger;
                effects.send |= receipts::confirmed(tx, device.address, &confirmed, linger, now_millis)?;
                effects.tell(Event::SenderConfirmed {
                    device: device.address,
                });
            }
        }
    }
    for known in directory::devices(tx, account)? {
        if !listed.contains(&known.device) {
            let device = known.device;
            directory::unlist(tx, DeviceAddress { account, device })?;
        }
    }
    if account == me.address().account {
        effects.merge(history::own_list_changed(tx, account)?);
    }
    Ok(effects)
}

/// Takes a newer list of the own account. Devices that are new on it are to be told what the person wants: by the one that
/// signs the list, so that one does.
pub(crate) fn relist_own(
    tx: &Transaction<'_>,
    me: &Me,
    list: &waxwing_protocol::device_list::SignedDeviceList,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let own = me.address().account;
    let before = directory::devices(tx, own)?;
    let effects = relist(tx, me, own, list, now_millis)?;
    if !identity::has_account_key(tx)? {
        return Ok(effects);
    }
    for device in directory::devices(tx, own)? {
        if before.iter().all(|known| known.peer != device.peer) {
            newcomers::welcome(tx, device.peer)?;
        }
    }
    Ok(effects)
}

/// Lists a device. Returns the life of it that has these keys.
fn list_one(
    tx: &Transaction<'_>,
    device: RegisteredDevice,
    keys: &crate::store::peers::PeerKeys,
    now_millis: u64,
) -> Result<PeerId, StoreError> {
    let peer = crate::store::peers::meet(tx, device.address, keys)?;
    if directory::has_moved(tx, device, peer)? {
        // The sessions it had are gone with its former registration.
        session_rows::retire_all(tx, peer, now_millis)?;
    }
    directory::list(tx, device, peer)?;
    Ok(peer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{dump, lists::LIST_LIFE_MILLIS},
        testing::{Party, account, signed_list},
        under_way::UnderWay,
    };

    #[test]
    fn a_stranger_s_devices_are_claimed_all_at_once() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        assert_eq!(alice.plan(bob.account()), Plan::ClaimAll);
        alice.meet(&mut bob);
        assert_eq!(alice.plan(bob.account()), Plan::Ready);
    }

    /// K12.
    #[test]
    fn a_list_is_asked_for_again_after_a_day() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        alice.now += LIST_LIFE_MILLIS - 1;
        assert_eq!(alice.plan(bob.account()), Plan::Ready);
        alice.now += 1;
        assert_eq!(alice.plan(bob.account()), Plan::Fetch);
        alice.list(bob.account(), &[bob.published()]);
        assert_eq!(alice.plan(bob.account()), Plan::Ready);
    }

    #[test]
    fn only_what_is_missing_is_claimed() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let laptop = Party::new(account(2), 2, 13);
        alice.meet(&mut bob);
        alice.list(account(2), &[bob.published(), laptop.published()]);
        assert_eq!(alice.plan(account(2)), Plan::Claim(vec![laptop.address().device]));
    }

    #[test]
    fn a_bundle_that_was_asked_for_and_is_missing_has_the_list_fetched() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let laptop = Party::new(account(2), 2, 13);
        alice.meet(&mut bob);
        let list = signed_list(account(2), &[bob.published(), laptop.published()]);
        let asked = [laptop.address().device];
        alice.claim_beside(account(2), list, Some(&asked), &[]).unwrap();
        assert_eq!(alice.plan(account(2)), Plan::Fetch);
        alice.list(account(2), &[bob.published()]);
        assert_eq!(alice.plan(account(2)), Plan::Ready);
    }

    #[test]
    fn a_bundle_for_a_device_nobody_asked_for_opens_no_session() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let mut laptop = Party::new(account(2), 2, 13);
        alice.meet(&mut bob);
        let list = signed_list(account(2), &[bob.published(), laptop.published()]);
        let (asked, bundles) = ([bob.address().device], [bob.bundle(), laptop.bundle()]);
        alice
            .claim_beside(account(2), list, Some(&asked), &bundles)
            .unwrap();
        assert_eq!(alice.plan(account(2)), Plan::Claim(vec![laptop.address().device]));
    }

    #[test]
    fn x31_nothing_is_encrypted_to_a_device_that_the_owner_did_not_sign() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let mut ghost = Party::new(account(2), 2, 13);
        let list = signed_list(account(2), &[bob.published()]);
        let bundles = [bob.bundle(), ghost.bundle()];
        alice.claim(account(1), &[]);
        for _ in 0..2 {
            alice
                .claim_beside(account(2), list.clone(), None, &bundles)
                .unwrap();
            let published = [bob.published(), ghost.published()];
            alice.list_beside(account(2), &list, &published).unwrap();
        }
        let sent = alice.send(account(2), "for Bob alone");
        assert_eq!(
            sent.iter().map(|carried| carried.to).collect::<Vec<_>>(),
            [bob.me.device]
        );
        let told = Event::UnlistedDevice {
            device: ghost.address(),
        };
        assert_eq!(alice.told(), [told], "told once");
    }

    #[test]
    fn x31_a_device_on_the_list_whose_keys_the_service_exchanged_gets_no_session() {
        let mut alice = Party::new(account(1), 1, 11);
        let bob = Party::new(account(2), 1, 12);
        let mut mallory = Party::new(account(2), 1, 13);
        let mut bundle = mallory.bundle();
        bundle.published.registration = bob.published().registration;
        let list = signed_list(account(2), &[bob.published()]);
        alice.claim_beside(account(2), list, None, &[bundle]).unwrap();
        assert_eq!(alice.plan(account(2)), Plan::Claim(vec![bob.address().device]));
    }

    #[test]
    fn a_longer_answer_than_an_account_may_have_devices_is_refused() {
        let mut alice = Party::new(account(1), 1, 11);
        let published: Vec<_> = (1..=MAX_DEVICES_PER_ACCOUNT as u64 + 1)
            .map(|device| Party::new(account(2), device, 20 + device).published())
            .collect();
        let list = signed_list(account(2), &published[..1]);
        let refused = alice.list_beside(account(2), &list, &published);
        assert!(matches!(refused, Err(TakeError::Keys(_))));
        assert_eq!(alice.plan(account(2)), Plan::ClaimAll);
    }

    /// Without the newer list there is nothing that an older one could be compared with.
    #[test]
    fn x31_a_mismatch_that_says_only_who_is_gone_has_the_newer_list_fetched_and_no_older_is_taken_then() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let mut laptop = Party::new(account(2), 2, 13);
        alice.claim(account(1), &[]);
        let both = [bob.published(), laptop.published()];
        let bundles = [bob.bundle(), laptop.bundle()];
        let older = signed_list(account(2), &both);
        alice
            .claim_beside(account(2), older.clone(), None, &bundles)
            .unwrap();
        assert_eq!(alice.plan(account(2)), Plan::Ready);
        let gone = AccountMismatch {
            account: account(2),
            missing: Vec::new(),
            gone: vec![laptop.address().device],
            reregistered: Vec::new(),
        };
        alice.write(|tx, _| take_mismatch(tx, &gone));
        assert_eq!(alice.plan(account(2)), Plan::Fetch);
        alice.list(account(2), &[bob.published()]);
        let refused = alice.list_beside(account(2), &older, &both);
        assert!(matches!(refused, Err(TakeError::List(ListError::Rollback))));
        let sent = alice.send(account(2), "for the phone alone");
        assert!(sent.iter().all(|carried| carried.to == bob.me.device));
    }

    #[test]
    fn keys_in_place_of_others_under_one_registration_get_nothing_that_was_for_those() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let mut again = Party::new(account(2), 1, 13);
        alice.meet(&mut bob);
        alice.write_to(account(2), "for whoever reads it");
        let before = alice.prepare(UnderWay::default()).outgoing;
        let mut bundle = again.bundle();
        bundle.published.registration = bob.published().registration;
        alice.claim(account(2), &[bundle]);
        let after = alice.prepare(UnderWay::default()).outgoing;
        let ciphertext = |outgoing: &crate::outbox::Outgoing| {
            let carried = alice.carry(outgoing);
            assert_eq!(carried[0].to, bob.me.device);
            carried[0].envelope.clone()
        };
        let (before, after) = (ciphertext(&before[0]), ciphertext(&after[0]));
        assert_ne!(before.ciphertext, after.ciphertext);
        again.receive(&before);
        assert!(again.texts().is_empty());
        again.receive(&after);
        again.now += u64::from(u32::MAX);
        again.skip_gaps(0);
        assert_eq!(again.texts(), ["for whoever reads it"]);
    }

    #[test]
    fn the_own_device_is_never_a_recipient() {
        let mut phone = Party::new(account(1), 1, 11);
        let laptop = Party::new(account(1), 2, 12);
        phone.list(account(1), &[phone.published(), laptop.published()]);
        let devices = phone.write(|tx, _| directory::devices(tx, account(1)));
        assert_eq!(devices.len(), 1);
        assert_eq!(phone.plan(account(1)), Plan::Claim(vec![laptop.address().device]));
    }

    #[test]
    fn x7_a_bundle_with_another_identity_key_under_the_same_signing_key_is_refused() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        let list = signed_list(account(2), &[bob.published()]);
        let mut swapped = bob.bundle();
        swapped.published.identity.identity_signature = Party::new(account(3), 1, 13)
            .published()
            .identity
            .identity_signature;
        let before = alice.write(|tx, _| dump(tx));
        let refused = alice.claim_beside(account(2), list, None, &[swapped]);
        assert!(matches!(refused, Err(TakeError::Keys(_))));
        assert_eq!(alice.write(|tx, _| dump(tx)), before);
    }

    #[test]
    fn a_device_that_kept_its_keys_over_a_new_registration_gets_a_new_session() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        let mut moved = bob.published();
        moved.registration = Party::new(account(2), 1, 13).me.device.registration;
        for _ in 0..2 {
            alice.list(account(2), &[moved.clone()]);
            assert_eq!(alice.plan(account(2)), Plan::Claim(vec![bob.address().device]));
        }
    }

    #[test]
    fn a_device_that_registered_again_gets_a_new_channel_and_a_new_session() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        bob.receive_all(&alice.send(bob.account(), "to the old"));
        let mut again = Party::new(account(2), 1, 13);
        alice.list(account(2), &[again.published()]);
        assert_eq!(alice.plan(account(2)), Plan::Claim(vec![again.address().device]));
        let bundle = again.bundle();
        alice.claim(account(2), &[bundle]);
        again.receive_all(&alice.send(account(2), "to the new"));
        assert_eq!(again.texts(), ["to the new"]);
        let changed = Event::DevicesChanged {
            account: account(2),
            changes: vec![trust::DeviceChange::Replaced(bob.address().device)],
        };
        assert_eq!(alice.told(), [changed]);
    }
}
