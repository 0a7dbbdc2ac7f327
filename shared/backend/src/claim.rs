//! `claim`: prekey bundles of an account's devices, each with a one-time prekey that nobody else gets.
//!
//! A one-time prekey is handed out by a conditional delete that returns what it deleted. Candidates are read
//! from a random place of the pool and tried in random order, so that claims at the same moment seldom meet; one
//! that loses a race tries the next candidate, and reads again when it has none, until a read finds the pool
//! empty. Only then does the bundle come without.
//!
//! Twice, or an answer that was lost: the second run takes another key, and the first is burnt. That is allowed;
//! handing one out twice is not.

use futures_util::future::try_join_all;
use rand::{RngExt, seq::SliceRandom};
use waxwing_wire::{
    DeviceAddress, ErrorCode, KeyId, Problem, RegisteredDevice, ServiceFrame,
    claim::{Bundles, ClaimRequest, PrekeyBundle},
    frame::PrekeysLow,
    keys::OneTimePrekey,
    limits::PREKEYS_LOW,
};

use crate::{Backend, fault::Fault, random::Random, tables::keys::KeysRecord};

/// Ids read at a time: enough to see whether more than [`PREKEYS_LOW`] keys stay behind the one taken, and so
/// that many claims at once have candidates of their own.
const CANDIDATES: usize = PREKEYS_LOW + 2;

/// Why a claim was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// The account has no device.
    #[error("There is no such account.")]
    UnknownAccount,
    /// The service could not do its work. Keys it took are burnt.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ClaimError> for Problem {
    fn from(error: ClaimError) -> Self {
        match error {
            ClaimError::Request(problem) => problem,
            ClaimError::UnknownAccount => Self::new(ErrorCode::UnknownAccount, error.to_string()),
            ClaimError::Fault(fault) => fault.into(),
        }
    }
}

/// Bundles of the devices asked for, `claimer` itself left out.
///
/// # Errors
/// [`ClaimError`].
pub async fn claim(
    backend: &Backend,
    claimer: RegisteredDevice,
    request: ClaimRequest,
) -> Result<Bundles, ClaimError> {
    request.check()?;
    let account = request.account;
    let records = backend.keys.find_all(account).await?;
    if records.is_empty() {
        return Err(ClaimError::UnknownAccount);
    }
    let wanted = records.iter().filter(|record| {
        let device = record.published.device;
        let is_claimer = claimer.address == DeviceAddress { account, device };
        let is_named = request
            .devices
            .as_ref()
            .is_none_or(|devices| devices.contains(&device));
        is_named && !is_claimer
    });
    let bundles = wanted.map(|record| async {
        let address = DeviceAddress {
            account,
            device: record.published.device,
        };
        bundle(backend, address, record).await
    });
    let bundles = try_join_all(bundles).await?;
    Ok(Bundles {
        request: request.request,
        account,
        bundles,
    })
}

async fn bundle(
    backend: &Backend,
    address: DeviceAddress,
    record: &KeysRecord,
) -> Result<PrekeyBundle, Fault> {
    let owner = RegisteredDevice {
        address,
        registration: record.published.registration,
    };
    let taken = match record.highest {
        Some(highest) => take_any(backend, owner, highest).await?,
        None => Taken {
            prekey: None,
            remaining: Some(0),
        },
    };
    if let Some(remaining) = taken.remaining {
        tell_owner(backend, address, remaining).await;
    }
    Ok(PrekeyBundle {
        published: record.published,
        one_time_prekey: taken.prekey,
    })
}

/// What a claim got from a pool.
struct Taken {
    /// `None` if the pool is empty.
    prekey: Option<OneTimePrekey>,
    /// How many are left, if that is few.
    remaining: Option<u32>,
}

/// Takes one key of the pool, whose ids went up to `highest` a moment ago.
async fn take_any(backend: &Backend, owner: RegisteredDevice, highest: KeyId) -> Result<Taken, Fault> {
    loop {
        let candidates = read_candidates(backend, owner, highest).await?;
        if candidates.is_empty() {
            return Ok(Taken {
                prekey: None,
                remaining: Some(0),
            });
        }
        let found = candidates.len();
        for id in shuffled(candidates, &backend.random) {
            if let Some(prekey) = backend.prekeys.take(owner, id).await? {
                return Ok(Taken {
                    prekey: Some(prekey),
                    remaining: remaining_if_few(found),
                });
            }
        }
    }
}

/// Up to [`CANDIDATES`] ids from a random place of the pool, going round at its end (keys published since
/// `highest` was read are among them). Fewer mean that the pool has no more.
async fn read_candidates(
    backend: &Backend,
    owner: RegisteredDevice,
    highest: KeyId,
) -> Result<Vec<KeyId>, Fault> {
    let prekeys = &backend.prekeys;
    let start = backend.random.draw(|rng| rng.random_range(1..=highest.get()));
    let start = KeyId::new(start.into()).map_err(|_| Fault::Internal)?;
    let mut ids = prekeys.some_between(owner, start, KeyId::MAX, CANDIDATES).await?;
    let before_start = KeyId::new(u64::from(start.get()) - 1).ok();
    if let (Some(last), true) = (before_start, ids.len() < CANDIDATES) {
        let lacking = CANDIDATES - ids.len();
        ids.extend(prekeys.some_between(owner, KeyId::MIN, last, lacking).await?);
    }
    Ok(ids)
}

fn shuffled(mut ids: Vec<KeyId>, random: &Random) -> Vec<KeyId> {
    random.draw(|rng| ids.shuffle(rng));
    ids
}

/// How many keys are left after one of `found` candidates was taken, if that is at most [`PREKEYS_LOW`]: then
/// the candidates were the whole pool.
fn remaining_if_few(found: usize) -> Option<u32> {
    let remaining = found.saturating_sub(1);
    (remaining <= PREKEYS_LOW)
        .then_some(remaining)
        .and_then(|remaining| u32::try_from(remaining).ok())
}

/// Tells the owner, if connected, that its pool runs low. Of no account to the claim, so a failure is only
/// logged, where it happens; the next claim tells again.
async fn tell_owner(backend: &Backend, owner: DeviceAddress, remaining: u32) {
    let Ok(Some(record)) = backend.devices.find(owner).await else {
        return;
    };
    if let Some(connection) = record.connection {
        let news = ServiceFrame::PrekeysLow(PrekeysLow { remaining });
        let _ = backend.sockets.post(&connection, &news).await;
    }
}
