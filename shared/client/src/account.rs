//! How a device comes into an account: as the first of a new one, or linked by one that is in.
//!
//! Keys are made and stored before any request. A request that is repeated, after a lost answer or a crash,
//! is the same request, and the service answers it the same way.

use serde::{Deserialize, Serialize};
use waxwing_wire::{
    AccountId, DeviceAddress, RegistrationId,
    keys::NewDevice,
    link::LinkRequest,
    register::{RegisterRequest, Registered},
};

use crate::{
    clock, prekeys,
    shared::Shared,
    store::{
        StoreError, directory,
        identity::{self, ThisDevice},
    },
    transport::http::HttpError,
};
use waxwing_protocol::keys::DeviceKeys;

/// Why there is no account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The keys of this device were made to be linked to an account.
    #[error("this device is being linked to an account; complete that, or begin with an empty store")]
    Linking,
    /// The service did not create it.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a device was not linked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The new device has an account already, or is registering one.
    #[error("this device has an account of its own; begin with an empty store")]
    AlreadyIn,
    /// The device that should link has no account itself.
    #[error("this device has no account yet; link on one that has")]
    NotRegistered,
    /// The new device has not made its card yet.
    #[error("make this device's card first, with prepare_link")]
    NotPrepared,
    /// The grant answers another device's card.
    #[error("the grant is for another device; hand this device's own card to the other")]
    OtherDevice,
    /// The service did not add it.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The public keys of a new device, on their way to one that is in an account. Nothing in it is secret, but
/// it must not be exchanged for another on the way: hand it over directly, for instance as a QR code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCard {
    device: NewDevice,
}

#[cfg(test)]
impl DeviceCard {
    /// The grant a service would give.
    pub(crate) fn grant_for_tests(&self, account: AccountId) -> LinkGrant {
        LinkGrant {
            address: DeviceAddress {
                account,
                device: waxwing_wire::DeviceId::MAX,
            },
            registration: self.device.registration,
        }
    }
}

/// The answer to a [`DeviceCard`]: the new device's place in the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkGrant {
    /// Where the new device is.
    pub address: DeviceAddress,
    registration: RegistrationId,
}

pub(crate) async fn register(shared: &Shared) -> Result<DeviceAddress, RegisterError> {
    let _one_at_a_time = shared.joining.lock().await;
    if let Some(address) = shared.address() {
        return Ok(address);
    }
    let (account, device) = shared
        .store
        .write::<_, RegisterError>(|tx| {
            let this = match identity::load(tx)? {
                Some(this) => this,
                None => make(tx, Some(AccountId::random(&mut clock::rng())))?,
            };
            let account = this.account.ok_or(RegisterError::Linking)?;
            Ok((
                account,
                prekeys::first_published(tx, &this.keys, this.registration)?,
            ))
        })
        .await?;
    let request = RegisterRequest { account, device };
    let registered: Registered = shared.http.post("/v1/accounts", None, &request).await?;
    if registered.account != account {
        return Err(HttpError::Unexpected(200).into());
    }
    let address = DeviceAddress {
        account,
        device: registered.device,
    };
    Ok(join(shared, address, request.device).await?)
}

pub(crate) async fn prepare_link(shared: &Shared) -> Result<DeviceCard, LinkError> {
    let _one_at_a_time = shared.joining.lock().await;
    shared
        .store
        .write(|tx| {
            let this = match identity::load(tx)? {
                Some(this) => this,
                None => make(tx, None)?,
            };
            if this.account.is_some() {
                return Err(LinkError::AlreadyIn);
            }
            let device = prekeys::first_published(tx, &this.keys, this.registration)?;
            Ok(DeviceCard { device })
        })
        .await
}

pub(crate) async fn link(shared: &Shared, card: DeviceCard) -> Result<LinkGrant, LinkError> {
    let me = shared.me().ok_or(LinkError::NotRegistered)?;
    let registration = card.device.registration;
    let request = LinkRequest { device: card.device };
    let registered: Registered = shared
        .http
        .post("/v1/devices", Some(&me.credentials), &request)
        .await?;
    let account = me.address().account;
    if registered.account != account {
        return Err(HttpError::Unexpected(200).into());
    }
    // The own list has changed: learn it before the next message.
    shared
        .store
        .write::<_, StoreError>(move |tx| directory::set_stale(tx, account, true))
        .await?;
    Ok(LinkGrant {
        address: DeviceAddress {
            account,
            device: registered.device,
        },
        registration,
    })
}

pub(crate) async fn complete_link(shared: &Shared, grant: LinkGrant) -> Result<DeviceAddress, LinkError> {
    let _one_at_a_time = shared.joining.lock().await;
    if let Some(address) = shared.address() {
        return if address == grant.address {
            Ok(address)
        } else {
            Err(LinkError::AlreadyIn)
        };
    }
    let device = shared
        .store
        .read(|tx| {
            let this = identity::load(tx)?;
            this.map(|this| Ok((prekeys::first_published(tx, &this.keys, this.registration)?, this)))
                .transpose()
        })
        .await?;
    let (published, this) = device.ok_or(LinkError::NotPrepared)?;
    if this.account.is_some() {
        return Err(LinkError::AlreadyIn);
    }
    if published.registration != grant.registration {
        return Err(LinkError::OtherDevice);
    }
    Ok(join(shared, grant.address, published).await?)
}

/// Makes this device's keys and stores them.
fn make(tx: &rusqlite::Transaction<'_>, account: Option<AccountId>) -> Result<ThisDevice, StoreError> {
    let rng = &mut clock::rng();
    let this = ThisDevice {
        keys: DeviceKeys::generate(rng),
        registration: RegistrationId::random(rng),
        account,
        device: None,
    };
    identity::insert(tx, &this)?;
    prekeys::make_first(tx, rng, clock::now_millis())?;
    Ok(this)
}

/// Stores that this device is in an account, with all it published.
async fn join(
    shared: &Shared,
    address: DeviceAddress,
    published: NewDevice,
) -> Result<DeviceAddress, StoreError> {
    let this = shared
        .store
        .write::<_, StoreError>(move |tx| {
            identity::complete(tx, address)?;
            prekeys::confirm_first(tx, &published)?;
            identity::load(tx)
        })
        .await?;
    if let Some(this) = this {
        shared.become_device(&this);
    }
    Ok(address)
}
