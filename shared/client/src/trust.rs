//! Which list of devices is believed: the newest that the account's owner signed.
//!
//! The first account key seen of a person is taken as theirs (compare the safety number to be sure). From then on:
//! - A list by the same key with a higher version replaces the one known, and the app is told what changed.
//! - An older one, or another one of the same version, is refused: it is the service that hides something, or worse.
//! - A list by another key waits for the app's answer, and so does everything that is to be sent there.
//! - Of the own account another key is never taken, for a device that is still in has seen its account's key. Whoever
//!   takes the account over ends this device instead.

use std::{fmt, str::FromStr};

use rusqlite::Transaction;
use serde::{Deserialize, Serialize};
use waxwing_protocol::{
    device_list::{self, AdvanceError, ExpectedKey, SignedDeviceList},
    keys::AccountKey,
};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, PublicKey, RegisteredDevice, RegistrationId, Signature,
    devices::ListedDevice, frame::RemovalReason,
};

use crate::{
    directory,
    events::Effects,
    messages::MessageState,
    sessions::Me,
    shared::Shared,
    store::{
        StoreError, identity, lists, messages, outbox,
        timeline::{self, Note},
    },
};

/// The key that an account's owner signs its devices with, as the app is told of it and answers with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint(PublicKey);

impl Fingerprint {
    pub(crate) fn of(key: &AccountKey) -> Result<Self, StoreError> {
        let key = PublicKey::new(key.to_bytes()).map_err(|_| StoreError::Damaged("account key"))?;
        Ok(Self(key))
    }
}

impl fmt::Display for Fingerprint {
    /// The compressed point as base64url.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&waxwing_wire::bytes::to_base64(self.0.as_bytes()))
    }
}

/// A text is none that [`Fingerprint`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the text of an account key")]
pub struct FingerprintError;

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    /// Takes what [`Display`](fmt::Display) gave.
    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let bytes = waxwing_wire::bytes::from_base64(text).map_err(|_| FingerprintError)?;
        PublicKey::from_slice(&bytes)
            .map(Self)
            .map_err(|_| FingerprintError)
    }
}

/// What is different on a new list of devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeviceChange {
    /// A device came.
    Added(DeviceId),
    /// A device is gone. Nothing is encrypted to it any more.
    Removed(DeviceId),
    /// Another device stands under the number of one that was known: it was set up anew.
    Replaced(DeviceId),
}

/// Why a list of devices was not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ListError {
    /// It does not verify.
    #[error("the list of devices does not verify")]
    Invalid,
    /// A newer one is known.
    #[error("the service presents an old list of devices")]
    Rollback,
    /// Another one of the same version is known, both signed by the account key.
    #[error("two lists of devices have the same version")]
    Equivocation,
}

/// Why the answer to a changed account key was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The device has no account.
    #[error("the device has no account; register or link it first")]
    NotRegistered,
    /// It is the own account, whose key does not change while this device is in it.
    #[error(
        "the key of the own account does not change; compare it on the device that registered the account"
    )]
    OwnAccount,
    /// The account key is neither the one known nor the one that waits for an answer: it changed again.
    #[error("the account key is another one by now; look at the newest event")]
    OtherKey,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The app's answer to a changed account key: believe this one. What waited for it is sent.
pub(crate) async fn answer(
    shared: &Shared,
    account: AccountId,
    fingerprint: Fingerprint,
) -> Result<(), TrustError> {
    let me = shared.me().ok_or(TrustError::NotRegistered)?;
    let now = crate::clock::now_millis();
    shared
        .apply(move |tx| believe(tx, &me, account, fingerprint, now))
        .await?;
    shared.outbox_grew.notify_one();
    Ok(())
}

/// Believes an account key: the one that waits for an answer, or, against that, the one known.
pub(crate) fn believe(
    tx: &Transaction<'_>,
    me: &Me,
    account: AccountId,
    fingerprint: Fingerprint,
    now_millis: u64,
) -> Result<Effects, TrustError> {
    if account == me.address().account {
        return Err(TrustError::OwnAccount);
    }
    let mut effects = Effects::default();
    let is = |list: &SignedDeviceList| list.account_key().to_bytes() == *fingerprint.0.as_bytes();
    let (known, offered) = (lists::trusted(tx, account)?, lists::offered(tx, account)?);
    if let Some(offered) = offered.filter(is) {
        lists::trust(tx, account, &offered, now_millis)?;
        effects.merge(directory::relist(tx, me, account, &offered, now_millis)?);
    } else if let Some(known) = known.filter(is) {
        lists::trust(tx, account, &known, now_millis)?;
        lists::set_stale(tx, account)?;
    } else {
        return Err(TrustError::OtherKey);
    }
    set_outbox(tx, account, MessageState::Pending)?;
    Ok(effects)
}

/// Takes a list that the service gave.
pub(crate) fn take(
    tx: &Transaction<'_>,
    me: &Me,
    account: AccountId,
    list: &DeviceList,
    now_millis: u64,
) -> Result<Effects, directory::TakeError> {
    let new = verify(account, list)?;
    let Some(known) = lists::trusted(tx, account)? else {
        lists::trust(tx, account, &new, now_millis)?;
        return Ok(directory::relist(tx, me, account, &new, now_millis)?);
    };
    match known.advance(&new) {
        Ok(_) if new.version() == known.version() => {
            lists::checked(tx, account, now_millis)?;
            Ok(Effects::default())
        }
        Ok(changes) => Ok(follow(tx, me, account, &new, &changes, now_millis)?),
        Err(AdvanceError::AccountKeyChanged) if account == me.address().account => {
            tracing::warn!("the service presents a list of the own account by another key");
            Err(ListError::Invalid.into())
        }
        Err(AdvanceError::AccountKeyChanged) => another_key(tx, account, &known, &new, now_millis),
        Err(AdvanceError::Rollback { .. }) => Err(ListError::Rollback.into()),
        Err(AdvanceError::Equivocation { .. }) => Err(ListError::Equivocation.into()),
        Err(AdvanceError::OtherAccount) => Err(ListError::Invalid.into()),
    }
}

/// A list that this device signed itself, once the service took it.
pub(crate) fn take_own(
    tx: &Transaction<'_>,
    me: &Me,
    list: &DeviceList,
    now_millis: u64,
) -> Result<Effects, directory::TakeError> {
    let account = me.address().account;
    let new = verify(account, list)?;
    lists::trust(tx, account, &new, now_millis)?;
    Ok(directory::relist_own(tx, me, &new, now_millis)?)
}

/// Verifies a list's signature, by the account key that it names.
pub(crate) fn verify(account: AccountId, list: &DeviceList) -> Result<SignedDeviceList, ListError> {
    SignedDeviceList::verify(
        &list.signing_bytes(account),
        list.signature.as_bytes(),
        &account.to_bytes(),
        ExpectedKey::FirstUse,
    )
    .map_err(|error| {
        tracing::warn!(%error, "a list of devices does not verify");
        ListError::Invalid
    })
}

/// A verified list as it crosses the network.
pub(crate) fn to_wire(list: &SignedDeviceList) -> Result<DeviceList, StoreError> {
    let damaged = || StoreError::Damaged("list of devices");
    let devices = list.devices().iter().map(|device| {
        let keys = device.keys().to_bytes();
        let (signing_key, identity_key) = keys.split_at(PublicKey::BYTES);
        Ok(ListedDevice {
            device: DeviceId::new(device.number().into()).map_err(|_| damaged())?,
            registration: RegistrationId::new(device.registration().into()).map_err(|_| damaged())?,
            signing_key: PublicKey::from_slice(signing_key).map_err(|_| damaged())?,
            identity_key: PublicKey::from_slice(identity_key).map_err(|_| damaged())?,
        })
    });
    Ok(DeviceList {
        account_key: PublicKey::new(list.account_key().to_bytes()).map_err(|_| damaged())?,
        version: waxwing_wire::ListVersion::new(list.version().into()).map_err(|_| damaged())?,
        issued_at: list.issued_at_millis(),
        devices: devices.collect::<Result<_, StoreError>>()?,
        signature: Signature::new(list.signature()),
    })
}

/// A listed device with its account.
pub(crate) fn registered(
    account: AccountId,
    listed: &device_list::ListedDevice,
) -> Result<RegisteredDevice, StoreError> {
    let damaged = |_| StoreError::Damaged("list of devices");
    let device = DeviceId::new(listed.number().into()).map_err(damaged)?;
    Ok(RegisteredDevice {
        address: DeviceAddress { account, device },
        registration: RegistrationId::new(listed.registration().into()).map_err(damaged)?,
    })
}

/// Follows a newer list by the key known.
fn follow(
    tx: &Transaction<'_>,
    me: &Me,
    account: AccountId,
    new: &SignedDeviceList,
    changes: &[device_list::DeviceChange],
    now_millis: u64,
) -> Result<Effects, StoreError> {
    lists::trust(tx, account, new, now_millis)?;
    let mut effects = if account == me.address().account {
        directory::relist_own(tx, me, new, now_millis)?
    } else {
        directory::relist(tx, me, account, new, now_millis)?
    };
    set_outbox(tx, account, MessageState::Pending)?;
    let changes = changes.iter().map(change).collect::<Result<Vec<_>, _>>()?;
    if !changes.is_empty() {
        effects.grew(timeline::append_note(
            tx,
            &Note::DevicesChanged { account, changes },
        )?);
    }
    let ours = || new.devices().iter().any(|device| is_me(me, device));
    if account == me.address().account && !ours() {
        effects.merge(removed(tx, RemovalReason::Revoked)?);
    }
    Ok(effects)
}

/// This device is not in its account any more.
pub(crate) fn removed(tx: &Transaction<'_>, reason: RemovalReason) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    if identity::remove(tx, reason)? {
        effects.removed = true;
        effects.grew(timeline::append_note(tx, &Note::Removed { reason })?);
    }
    Ok(effects)
}

/// A list by another key than the one known: the app has to answer.
fn another_key(
    tx: &Transaction<'_>,
    account: AccountId,
    known: &SignedDeviceList,
    new: &SignedDeviceList,
    now_millis: u64,
) -> Result<Effects, directory::TakeError> {
    // Versions go on over a change of the key.
    if new.version() <= known.version() {
        return Err(ListError::Rollback.into());
    }
    let mut effects = Effects::default();
    match lists::offered(tx, account)?.map(|offered| offered.advance(new)) {
        // The key that the app was told of.
        Some(Ok(_)) => {}
        Some(Err(AdvanceError::Rollback { .. })) => return Err(ListError::Rollback.into()),
        Some(Err(AdvanceError::Equivocation { .. })) => return Err(ListError::Equivocation.into()),
        None | Some(Err(_)) => {
            let fingerprint = Fingerprint::of(new.account_key())?;
            effects.grew(timeline::append_note(
                tx,
                &Note::AccountKeyChanged { account, fingerprint },
            )?);
        }
    }
    lists::offer(tx, account, new, now_millis)?;
    set_outbox(tx, account, MessageState::Held)?;
    Ok(effects)
}

/// Says of all messages to an account whether they wait for the app's answer.
fn set_outbox(tx: &Transaction<'_>, account: AccountId, state: MessageState) -> Result<(), StoreError> {
    for row in outbox::rows_to(tx, account)? {
        messages::set_state(tx, row, state)?;
    }
    Ok(())
}

fn is_me(me: &Me, listed: &device_list::ListedDevice) -> bool {
    listed.number() == me.address().device.get()
        && listed.registration() == me.device.registration.get()
        && *listed.keys() == me.keys.public()
}

fn change(change: &device_list::DeviceChange) -> Result<DeviceChange, StoreError> {
    use device_list::DeviceChange as Change;
    let (make, listed): (fn(DeviceId) -> DeviceChange, _) = match change {
        Change::Added(device) => (DeviceChange::Added, device),
        Change::Removed(device) => (DeviceChange::Removed, device),
        Change::Changed { after, .. } => (DeviceChange::Replaced, after),
    };
    let number = DeviceId::new(listed.number().into()).map_err(|_| StoreError::Damaged("list of devices"))?;
    Ok(make(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        directory::{Plan, TakeError},
        events::Event,
        store::dump,
        testing::{Party, account, account_key, account_key_after, signed_list_by},
        under_way::UnderWay,
    };

    fn alice_who_knows_bob() -> (Party, Party) {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.claim(account(1), &[]);
        let bundle = bob.bundle();
        let list = signed_list_by(&account_key(account(2)), account(2), 5, &[bob.published()]);
        alice.claim_beside(account(2), list, None, &[bundle]).unwrap();
        (alice, bob)
    }

    fn refused(alice: &mut Party, list: &DeviceList) -> ListError {
        let before = alice.write(|tx, _| dump(tx));
        let Err(TakeError::List(error)) = alice.list_beside(account(2), list, &[]) else {
            panic!("it was taken")
        };
        assert_eq!(alice.write(|tx, _| dump(tx)), before);
        error
    }

    #[test]
    fn a_fingerprint_is_read_from_the_text_it_prints() {
        let fingerprint = Fingerprint::of(account_key(account(2)).public()).unwrap();
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
        for bad in ["", "AAAA", "no base64!"] {
            assert_eq!(bad.parse::<Fingerprint>(), Err(FingerprintError), "{bad}");
        }
    }

    #[test]
    fn x31_a_list_that_goes_back_or_says_two_things_or_does_not_verify_changes_nothing() {
        let (mut alice, bob) = alice_who_knows_bob();
        let laptop = Party::new(account(2), 2, 13);
        let key = account_key(account(2));
        let both = [bob.published(), laptop.published()];
        let older = signed_list_by(&key, account(2), 4, &both);
        assert_eq!(refused(&mut alice, &older), ListError::Rollback);
        let other = signed_list_by(&key, account(2), 5, &both);
        assert_eq!(refused(&mut alice, &other), ListError::Equivocation);
        let mut forged = signed_list_by(&key, account(2), 6, &[bob.published()]);
        forged
            .devices
            .push(signed_list_by(&key, account(2), 6, &both).devices.remove(1));
        assert_eq!(refused(&mut alice, &forged), ListError::Invalid);
        let of_another = signed_list_by(&key, account(3), 6, &both);
        assert_eq!(refused(&mut alice, &of_another), ListError::Invalid);
        let back_under_another_key = signed_list_by(&account_key_after(account(2), 1), account(2), 5, &both);
        assert_eq!(refused(&mut alice, &back_under_another_key), ListError::Rollback);
    }

    #[test]
    fn x63_after_a_change_of_the_account_key_nothing_is_sent_until_the_app_answers() {
        let (mut alice, bob) = alice_who_knows_bob();
        alice.write_to(bob.account(), "written before");
        let mut again = Party::new(account(2), 1, 13);
        let list = signed_list_by(
            &account_key_after(account(2), 1),
            account(2),
            6,
            &[again.published()],
        );
        for _ in 0..2 {
            alice
                .list_beside(account(2), &list, &[again.published()])
                .unwrap();
        }
        alice.write_to(bob.account(), "written after");
        let told = alice.told();
        let [
            Event::AccountKeyChanged {
                account: whose,
                fingerprint,
            },
        ] = told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!(whose, account(2));
        let states = |alice: &Party| -> Vec<_> {
            let messages = alice
                .store
                .read_now(|tx| messages::of_conversation(tx, account(2)));
            messages.unwrap().iter().map(|message| message.state).collect()
        };
        assert_eq!(states(&alice), [MessageState::Held, MessageState::Held]);
        assert_eq!(alice.plan(account(2)), Plan::Held);
        let held = alice.prepare(UnderWay::default());
        assert!(held.outgoing.is_empty() && held.learn.is_empty());
        // What arrives is shown, and marked.
        let to_alice = alice.bundle();
        again.claim(account(1), &[to_alice]);
        again.claim(account(2), &[]);
        alice.receive_all(&again.send(account(1), "it is me"));
        let last = alice.told().pop();
        assert!(matches!(last, Some(Event::Message(message)) if message.unconfirmed));

        let (me, now) = (alice.me.clone(), alice.now);
        let wrong = Fingerprint::of(account_key_after(account(2), 9).public()).unwrap();
        let refused: Result<Effects, TrustError> = alice
            .store
            .write_now(|tx| believe(tx, &me, account(2), wrong, now));
        assert!(matches!(refused, Err(TrustError::OtherKey)));
        alice
            .store
            .write_now(|tx| believe(tx, &me, account(2), fingerprint, now))
            .unwrap();
        assert_eq!(
            states(&alice)[..2],
            [MessageState::Pending, MessageState::Pending]
        );
        let sent: Vec<_> = alice.prepare(UnderWay::default()).outgoing;
        for outgoing in &sent {
            let carried = alice.carry(outgoing);
            assert!(carried.iter().all(|carried| carried.to == again.me.device));
            again.receive_all(&carried);
        }
        assert_eq!(again.texts(), ["written before", "written after"]);
    }

    #[test]
    fn x31_x40_another_key_of_the_own_account_is_neither_offered_nor_believed() {
        let mut phone = Party::new(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        phone.meet(&mut bob);
        let mallory = Party::new(account(1), 2, 13);
        let foreign_key = account_key_after(account(1), 1);
        let devices = [phone.published(), mallory.published()];
        let foreign = signed_list_by(&foreign_key, account(1), 1_000_000, &devices);
        let before = phone.write(|tx, _| dump(tx));
        let claimed = phone.claim_beside(account(1), foreign.clone(), None, &[]);
        assert!(matches!(claimed, Err(TakeError::List(ListError::Invalid))));
        assert_eq!(phone.write(|tx, _| dump(tx)), before);

        let (me, now) = (phone.me.clone(), phone.now);
        let own_key = account_key(account(1));
        for key in [foreign_key.public(), own_key.public()] {
            let fingerprint = Fingerprint::of(key).unwrap();
            let answered = phone
                .store
                .write_now(|tx| believe(tx, &me, account(1), fingerprint, now));
            assert!(matches!(answered, Err(TrustError::OwnAccount)));
        }

        // The service says so when it is asked: conversations go on with the own devices that are known.
        phone.write(|tx, _| lists::set_stale(tx, account(1)));
        phone.list_beside(account(1), &foreign, &devices).unwrap();
        assert!(phone.told().is_empty());
        let sent = phone.send(bob.account(), "for Bob alone");
        assert!(sent.iter().all(|carried| carried.to == bob.me.device));
        let trusted = phone.write(|tx, _| lists::trusted(tx, account(1))).unwrap();
        assert_eq!(trusted.account_key().to_bytes(), own_key.public().to_bytes());
    }

    #[test]
    fn an_app_may_stay_with_the_key_it_knew() {
        let (mut alice, bob) = alice_who_knows_bob();
        let known = Fingerprint::of(account_key(account(2)).public()).unwrap();
        let list = signed_list_by(
            &account_key_after(account(2), 1),
            account(2),
            6,
            &[bob.published()],
        );
        alice.list_beside(account(2), &list, &[]).unwrap();
        assert_eq!(alice.plan(account(2)), Plan::Held);
        let (me, now) = (alice.me.clone(), alice.now);
        alice
            .store
            .write_now(|tx| believe(tx, &me, account(2), known, now))
            .unwrap();
        assert_eq!(alice.plan(account(2)), Plan::Fetch);
    }

    #[test]
    fn x68_a_device_that_its_own_account_left_out_knows_that_it_is_out() {
        let mut laptop = Party::on_disk(account(1), 2, 11);
        let phone = Party::new(account(1), 1, 12);
        laptop.list(account(1), &[phone.published()]);
        let list = crate::testing::signed_list(account(1), &[phone.published()]);
        laptop.list_beside(account(1), &list, &[]).unwrap();
        laptop.reopen();
        let this = laptop.store.read_now(identity::load).unwrap().unwrap();
        assert_eq!(this.removed, Some(RemovalReason::Revoked));
        let last = laptop.told().pop();
        assert_eq!(
            last,
            Some(Event::Removed {
                reason: RemovalReason::Revoked
            })
        );
    }
}
