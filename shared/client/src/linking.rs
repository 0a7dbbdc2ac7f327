//! On a new device: taking up a place in an account that another of its devices offers by a QR code.

use std::{fmt, time::Duration};

use sha2::{Digest, Sha256};
use waxwing_protocol::linking::{DeviceName, LinkCodeError, LinkOffer};
use waxwing_wire::{
    AccountId, DeviceAddress, ErrorCode,
    bytes::SealedLink,
    fetch::Fetched,
    link::{LinkRequest, LinkStatus},
    register::Registered,
    secret::LinkToken,
};
use zeroize::Zeroizing;

use crate::{
    clock,
    devices::DevicesError,
    prekeys, registration,
    shared::Shared,
    store::{
        StoreError,
        identity::{self, ThisDevice},
        joining::{self, Linking},
        offers::OfferId,
        peers::PeerKeys,
    },
    transport::http::HttpError,
};

/// Why a device was not linked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The new device has an account already.
    #[error("this device has an account already; begin with an empty store")]
    AlreadyIn,
    /// The code is none that a new device can use.
    #[error("the code cannot be used ({0}); show a new one")]
    Code(#[from] LinkCodeError),
    /// The offer was declined, taken up by another device, or ended.
    #[error("the offer was declined, used or ended; show a new code")]
    Ended,
    /// The account's list does not say what the code promised.
    #[error("the account is not the one of the code; do not use this device")]
    NotAuthentic,
    /// The own devices could not be changed.
    #[error(transparent)]
    Devices(#[from] DevicesError),
    /// The service refused or could not be reached.
    #[error(transparent)]
    Http(HttpError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<HttpError> for LinkError {
    fn from(error: HttpError) -> Self {
        if error.is(ErrorCode::InvalidLink) {
            Self::Ended
        } else {
            Self::Http(error)
        }
    }
}

/// A device that wants to be linked, as [`Event::LinkRequested`](crate::Event::LinkRequested) tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkRequestId(OfferId);

impl LinkRequestId {
    pub(crate) fn of(offer: OfferId) -> Self {
        Self(offer)
    }
}

/// As an app keeps it that is not written in Rust.
impl From<i64> for LinkRequestId {
    fn from(number: i64) -> Self {
        Self(OfferId(number))
    }
}

impl From<LinkRequestId> for i64 {
    fn from(request: LinkRequestId) -> Self {
        request.0.0
    }
}

impl From<LinkRequestId> for OfferId {
    fn from(request: LinkRequestId) -> Self {
        request.0
    }
}

/// A digest of a new device's long-term keys that two people can compare at a glance: 128 bits.
pub(crate) fn fingerprint(keys: &PeerKeys) -> String {
    let digest = Sha256::digest(keys);
    let groups = digest.chunks(2).take(8).map(|pair| {
        pair.iter().fold(String::new(), |mut text, byte| {
            let _never_fails = fmt::Write::write_fmt(&mut text, format_args!("{byte:02x}"));
            text
        })
    });
    groups.collect::<Vec<_>>().join(" ")
}

/// Takes up an offer and waits until it is answered.
pub(crate) async fn link(shared: &Shared, code: &str, name: &DeviceName) -> Result<DeviceAddress, LinkError> {
    let _one_at_a_time = shared.joining.lock().await;
    let (code, name) = (Zeroizing::new(code.to_owned()), name.clone());
    let now = clock::now_millis();
    let (this, request, offer) = shared
        .store
        .write(move |tx| prepare(tx, code, &name, now))
        .await?;
    let registered = wait(shared, &request).await?;
    // In the account by the service's word. Whether it is the account of the code, the list says.
    let account = this.account;
    let mut joined = this.clone();
    joined.device = Some(registered.device);
    let me = shared.me_of(&joined).ok_or(LinkError::NotAuthentic)?;
    let fetched: Fetched = shared
        .http
        .get(&format!("/v1/keys/{account}"), &me.credentials)
        .await?;
    let (list, number) = offer
        .confirm(
            &fetched.list.signing_bytes(account),
            fetched.list.signature.as_bytes(),
            this.registration.get(),
            &this.keys.public(),
        )
        .map_err(|error| {
            tracing::warn!(%error, "the list of the account that this device was linked to is wrong");
            LinkError::NotAuthentic
        })?;
    if registered.account != account || number != registered.device.get() {
        return Err(LinkError::NotAuthentic);
    }
    let list = crate::trust::to_wire(&list)?;
    Ok(registration::join(shared, this, registered.device, list, request.device).await?)
}

/// Makes the request, and stores all that its repetition needs. The same code gives the same request.
fn prepare(
    tx: &rusqlite::Transaction<'_>,
    code: Zeroizing<String>,
    name: &DeviceName,
    now_millis: u64,
) -> Result<(ThisDevice, LinkRequest, LinkOffer), LinkError> {
    let known = identity::load(tx)?;
    if known.as_ref().is_some_and(|this| this.device.is_some()) {
        return Err(LinkError::AlreadyIn);
    }
    let before = joining::load_link(tx)?.filter(|before| before.code == code);
    let (this, sealed, offer) = match (known, before) {
        (Some(this), Some(before)) => (this, before.sealed, LinkOffer::read(&code)?),
        _ => {
            let rng = &mut clock::rng();
            let offer = LinkOffer::scan(&code, now_millis)?;
            let account = AccountId::from_bytes(&offer.account()).map_err(|_| LinkError::NotAuthentic)?;
            let this = registration::make_device(tx, rng, account, None, now_millis)?;
            let sealed = offer
                .request(rng, this.registration.get(), &this.keys.public(), name)
                .map_err(|_| StoreError::Damaged("registration"))?;
            let sealed = SealedLink::from_vec(sealed.to_vec()).map_err(|_| StoreError::Damaged("link"))?;
            joining::clear(tx)?;
            joining::store_link(
                tx,
                &Linking {
                    code,
                    sealed: sealed.clone(),
                },
            )?;
            (this, sealed, offer)
        }
    };
    let request = LinkRequest {
        token: LinkToken::new(offer.token()),
        device: prekeys::first_published(tx, &this.keys, this.registration)?,
        sealed,
    };
    Ok((this, request, offer))
}

/// Asks until the other device has answered.
async fn wait(shared: &Shared, request: &LinkRequest) -> Result<Registered, LinkError> {
    loop {
        match shared.http.post("/v1/devices", None, request).await? {
            LinkStatus::Linked(registered) => return Ok(registered),
            LinkStatus::Waiting { next_in_seconds } => {
                tokio::time::sleep(Duration::from_secs(next_in_seconds.max(1).into())).await;
            }
        }
    }
}
