//! Which devices an account has, as the service says, and the sessions needed to write to all of them.
//!
//! The service's word is not the last: a device's keys must verify, and that a known device has other keys
//! is told to the app.

use std::collections::BTreeSet;

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::keys::TheirDevice;
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, RegistrationId, claim::PrekeyBundle, keys::PublishedDevice,
    send::AccountMismatch,
};

use crate::{
    events::{Effects, Event},
    sessions::{self, Me, OpenError},
    store::{
        StoreError,
        directory::{self, Knowledge},
        outbox,
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
    let mut effects = Effects::default();
    for device in published {
        let keys = sessions::verify_identity(&device.identity)?;
        effects.merge(learn(tx, me, account, device, &keys)?.1);
    }
    let listed: BTreeSet<_> = published.iter().map(|device| device.device).collect();
    effects.merge(keep_only(tx, account, &listed)?);
    directory::set_stale(tx, account, false)?;
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

/// Takes what the service said about a message whose list of devices was not the account's.
pub(crate) fn take_mismatch(
    tx: &Transaction<'_>,
    me: &Me,
    mismatch: &AccountMismatch,
) -> Result<Effects, StoreError> {
    let account = mismatch.account;
    if directory::knowledge(tx, account)? == Knowledge::None {
        return Ok(Effects::default());
    }
    for device in &mismatch.gone {
        forget(
            tx,
            DeviceAddress {
                account,
                device: *device,
            },
        )?;
    }
    for known in mismatch.missing.iter().chain(&mismatch.reregistered) {
        let address = DeviceAddress {
            account,
            device: known.device,
        };
        let unchanged =
            directory::device(tx, address)?.is_some_and(|listed| listed.registration == known.registration);
        if address != me.address() && !unchanged {
            relist(tx, address, known.registration, None)?;
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
    let before = directory::device(tx, address)?;
    let same = before.is_some_and(|before| before.registration == device.registration);
    match before {
        Some(before) if same && before.peer == Some(peer) => {}
        // Only its registration was known so far.
        Some(before) if same && before.peer.is_none() => {
            directory::put(tx, address, device.registration, Some(peer))?;
        }
        _ => {
            // A registration with new keys has no session; one with the same keys starts anew as well: what
            // the device had before is gone with its former registration.
            if before.is_some_and(|before| before.peer == Some(peer)) {
                session_rows::retire_all(tx, peer)?;
            }
            relist(tx, address, device.registration, Some(peer))?;
        }
    }
    Ok((Some(peer), effects))
}

/// Lists a device under another registration or other keys than before: what was encrypted to its former
/// self and not accepted is made anew.
fn relist(
    tx: &Transaction<'_>,
    address: DeviceAddress,
    registration: RegistrationId,
    peer: Option<PeerId>,
) -> Result<(), StoreError> {
    outbox::unseal(tx, address)?;
    directory::put(tx, address, registration, peer)
}

fn forget(tx: &Transaction<'_>, address: DeviceAddress) -> Result<(), StoreError> {
    outbox::unseal(tx, address)?;
    directory::remove(tx, address)
}

/// Forgets the devices of an account that are not on its list.
fn keep_only(
    tx: &Transaction<'_>,
    account: AccountId,
    listed: &BTreeSet<DeviceId>,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    for known in directory::devices(tx, account)? {
        if !listed.contains(&known.device) {
            let device = known.device;
            forget(tx, DeviceAddress { account, device })?;
            effects.tell(Event::DevicesChanged { account });
        }
    }
    Ok(effects)
}
