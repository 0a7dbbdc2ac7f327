//! How a device comes into an account by its phone number: a code by SMS, a ticket for the code, the account for the
//! ticket.
//!
//! Whatever a repetition needs is stored before its request leaves: the ticket, the keys, the signed list. So a step
//! that is repeated after a lost answer or a crash is the same step, and the service answers it the same way.

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    device_list::SignedDeviceList,
    keys::{AccountKeyPair, DeviceKeys},
    pin::{OutOfMemory, Pin},
};
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, DeviceList, ErrorCode, RegistrationId,
    challenge::{ChallengeRequest, Challenged},
    confirm::{ConfirmRequest, Confirmed, ExistingAccount},
    keys::NewDevice,
    phone::{Code, PhoneNumber},
    register::{RegisterRequest, Registered},
    secret::{LockProof, Salt, Ticket},
};

use crate::{
    clock, devices, prekeys,
    shared::Shared,
    store::{
        StoreError,
        identity::{self, ThisDevice},
        joining::{self, Joining},
    },
    transport::http::HttpError,
    trust,
};

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// This device is in an account, or was.
    #[error("this device has an account already; begin with an empty store")]
    AlreadyIn,
    /// No code was asked for yet, or the one that was is for another number.
    #[error("ask for a code first")]
    NoCode,
    /// The number was not confirmed yet.
    #[error("confirm the number with its code first")]
    NotConfirmed,
    /// A PIN locks the registration of this number.
    #[error("a PIN locks the registration of this number; hand it over")]
    PinNeeded,
    /// The PIN is not the one of the lock.
    #[error("the PIN is wrong")]
    WrongPin,
    /// Somebody changed the account meanwhile, or the ticket ended.
    #[error("the account changed meanwhile or it took too long; ask for a new code")]
    StartAgain,
    /// The device has not the memory to prove a PIN.
    #[error(transparent)]
    Memory(#[from] OutOfMemory),
    /// The service refused or could not be reached.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known of a number once it is confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfirmedNumber {
    /// It has an account, which registering takes over: its other devices end, and its contacts are told.
    pub has_account: bool,
    /// Taking it over needs the PIN.
    pub locked: bool,
}

/// Asks for a code to be sent to a phone.
pub(crate) async fn request_code(shared: &Shared, phone: &PhoneNumber) -> Result<Challenged, RegisterError> {
    let _one_at_a_time = shared.joining.lock().await;
    let begun = phone.clone();
    shared.store.write(move |tx| begin(tx, &begun)).await?;
    let request = ChallengeRequest { phone: phone.clone() };
    Ok(shared.http.post("/v1/verification", None, &request).await?)
}

/// Trades the code for a ticket.
pub(crate) async fn confirm(
    shared: &Shared,
    phone: &PhoneNumber,
    code: &Code,
) -> Result<ConfirmedNumber, RegisterError> {
    let _one_at_a_time = shared.joining.lock().await;
    let begun = shared.store.read(joining::load).await?;
    let mut begun = begun
        .filter(|begun| begun.phone == *phone)
        .ok_or(RegisterError::NoCode)?;
    let request = ConfirmRequest {
        phone: phone.clone(),
        code: code.clone(),
        ticket: begun.ticket,
    };
    let confirmed: Confirmed = shared
        .http
        .post("/v1/verification/confirm", None, &request)
        .await?;
    if begun.existing != confirmed.existing {
        // What was signed and proved is for another state of the account.
        begun.list = None;
        begun.proof = None;
    }
    begun.confirmed = true;
    begun.existing = confirmed.existing;
    shared.store.write(move |tx| joining::store(tx, &begun)).await?;
    Ok(ConfirmedNumber {
        has_account: confirmed.existing.is_some(),
        locked: confirmed.existing.is_some_and(|existing| existing.lock.is_some()),
    })
}

/// Creates the account with this device as its first, or takes over the number's account.
pub(crate) async fn register(shared: &Shared, pin: Option<&Pin>) -> Result<DeviceAddress, RegisterError> {
    let _one_at_a_time = shared.joining.lock().await;
    if let Some(address) = shared.address() {
        return Ok(address);
    }
    let begun = shared
        .store
        .read(joining::load)
        .await?
        .ok_or(RegisterError::NoCode)?;
    if !begun.confirmed {
        return Err(RegisterError::NotConfirmed);
    }
    let proof = prove(begun.existing, begun.proof, pin).await?;
    let (request, this) = shared
        .store
        .write::<_, RegisterError>(move |tx| {
            prepare(tx, &mut clock::rng(), begun, proof, clock::now_millis())
        })
        .await?;
    let registered: Result<Registered, _> = shared.http.post("/v1/accounts", None, &request).await;
    let registered = match registered {
        Ok(registered) => registered,
        Err(error) => return Err(refused(shared, error).await?),
    };
    if registered.account != request.account || registered.device != DeviceId::MIN {
        return Err(HttpError::Unexpected(200).into());
    }
    Ok(join(shared, this, registered.device, request.list, request.device).await?)
}

/// Begins a registration. Each code gets a ticket of its own: the one before may lie at the service, traded for a code
/// by a request whose answer was lost, and a ticket is not traded twice.
fn begin(tx: &Transaction<'_>, phone: &PhoneNumber) -> Result<(), RegisterError> {
    let this = identity::load(tx)?;
    if this.is_some_and(|this| this.device.is_some()) {
        return Err(RegisterError::AlreadyIn);
    }
    let begun = Joining {
        phone: phone.clone(),
        ticket: Ticket::random(&mut clock::rng()),
        confirmed: false,
        existing: None,
        proof: None,
        list: None,
    };
    joining::clear(tx)?;
    Ok(joining::store(tx, &begun)?)
}

/// What proves the PIN of a lock, if there is one: from the PIN, or as it was proved last time.
async fn prove(
    existing: Option<ExistingAccount>,
    before: Option<LockProof>,
    pin: Option<&Pin>,
) -> Result<Option<LockProof>, RegisterError> {
    let Some((account, salt)) = existing.and_then(|existing| Some((existing.account, existing.lock?))) else {
        return Ok(None);
    };
    match (pin, before) {
        (Some(pin), _) => Ok(Some(proof_of(pin.clone(), salt, account).await?)),
        (None, Some(before)) => Ok(Some(before)),
        (None, None) => Err(RegisterError::PinNeeded),
    }
}

/// Derives the proof of a PIN: slow, and off the caller's thread.
pub(crate) async fn proof_of(pin: Pin, salt: Salt, account: AccountId) -> Result<LockProof, OutOfMemory> {
    let deriving = tokio::task::spawn_blocking(move || pin.proof(salt.as_bytes(), &account.to_bytes()));
    // A task that is not run is one of a runtime that shuts down.
    let proof = deriving.await.map_err(|_| OutOfMemory)??;
    Ok(LockProof::new(*proof.as_bytes()))
}

/// Makes the request, and stores all that its repetition needs.
fn prepare(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    mut begun: Joining,
    proof: Option<LockProof>,
    now_millis: u64,
) -> Result<(RegisterRequest, ThisDevice), RegisterError> {
    let stored = identity::load(tx)?.zip(begun.list.clone());
    let (this, list) = match stored {
        Some(stored) => stored,
        None => {
            let account = begun
                .existing
                .map_or_else(|| AccountId::random(rng), |existing| existing.account);
            let account_key = AccountKeyPair::generate(rng);
            let this = make_device(tx, rng, account, Some(account_key), now_millis)?;
            let list = first_list(&this, begun.existing, now_millis)?;
            (this, list)
        }
    };
    begun.list = Some(list.clone());
    begun.proof = proof;
    joining::store(tx, &begun)?;
    let request = RegisterRequest {
        account: this.account,
        ticket: begun.ticket,
        lock_proof: proof,
        list,
        device: prekeys::first_published(tx, &this.keys, this.registration)?,
    };
    Ok((request, this))
}

/// Makes this device's keys and stores them, in place of those of a device that never got in.
pub(crate) fn make_device(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    account: AccountId,
    account_key: Option<AccountKeyPair>,
    now_millis: u64,
) -> Result<ThisDevice, StoreError> {
    let this = ThisDevice {
        keys: DeviceKeys::generate(rng),
        registration: RegistrationId::random(rng),
        account,
        device: None,
        account_key,
        removed: None,
    };
    identity::insert(tx, &this)?;
    prekeys::make_first(tx, rng, now_millis)?;
    Ok(this)
}

/// A list with this device alone, that follows the existing account's.
fn first_list(
    this: &ThisDevice,
    existing: Option<ExistingAccount>,
    now_millis: u64,
) -> Result<DeviceList, RegisterError> {
    let version = match existing {
        Some(existing) => existing.version.next().ok_or(RegisterError::StartAgain)?.get(),
        None => 1,
    };
    let damaged = |_| StoreError::Damaged("keys of this device");
    let account_key = this
        .account_key
        .as_ref()
        .ok_or(StoreError::Damaged("account key"))?;
    let device = devices::entry(DeviceId::MIN, this.registration, this.keys.public())?;
    let account = this.account.to_bytes();
    let list =
        SignedDeviceList::sign(account_key, account, version, now_millis, vec![device]).map_err(damaged)?;
    Ok(trust::to_wire(&list)?)
}

/// What a refusal means, after forgetting what it made useless.
async fn refused(shared: &Shared, error: HttpError) -> Result<RegisterError, StoreError> {
    let (error, keep) = match error {
        error if error.is(ErrorCode::WrongPin) => (RegisterError::WrongPin, true),
        error if error.is(ErrorCode::RegistrationLocked) => (RegisterError::PinNeeded, true),
        error if error.is(ErrorCode::StaleList) || error.is(ErrorCode::InvalidTicket) => {
            (RegisterError::StartAgain, false)
        }
        error => return Ok(error.into()),
    };
    shared
        .store
        .write::<_, StoreError>(move |tx| match joining::load(tx)? {
            Some(mut begun) if keep => {
                begun.proof = None;
                joining::store(tx, &begun)
            }
            _ => joining::clear(tx),
        })
        .await?;
    Ok(error)
}

/// Stores that this device is in an account, with its list and all it published.
pub(crate) async fn join(
    shared: &Shared,
    mut this: ThisDevice,
    device: DeviceId,
    list: DeviceList,
    published: NewDevice,
) -> Result<DeviceAddress, StoreError> {
    this.device = Some(device);
    let me = shared.me_of(&this).ok_or(StoreError::Damaged("this device"))?;
    let address = me.address();
    shared
        .store
        .write::<_, StoreError>(move |tx| {
            identity::complete(tx, device)?;
            prekeys::confirm_first(tx, &published)?;
            joining::clear(tx)?;
            trust::take_own(tx, &me, &list, clock::now_millis()).map_err(|error| match error {
                crate::directory::TakeError::Store(error) => error,
                _ => StoreError::Damaged("own list of devices"),
            })
        })
        .await?;
    shared.become_device(&this);
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Durability, StoreLocation},
        store::Store,
    };

    #[test]
    fn every_code_that_is_asked_for_has_a_ticket_of_its_own() {
        let store = Store::open(
            &StoreLocation::Memory,
            Durability::ProcessCrash,
            &mut clock::rng(),
        )
        .unwrap();
        let phone: PhoneNumber = "+12025550123".parse().unwrap();
        let tickets: Vec<_> = (0..2)
            .map(|_| {
                store.write_now(|tx| begin(tx, &phone)).unwrap();
                store.read_now(joining::load).unwrap().unwrap().ticket
            })
            .collect();
        assert_ne!(tickets[0].as_bytes(), tickets[1].as_bytes());
    }
}
