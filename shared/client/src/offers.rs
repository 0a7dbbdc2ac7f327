//! On the device that has the account's key: offering a place to a new device, and answering who takes it up.
//!
//! The QR code says everything: where the account is, its key, and a secret that proves to this device that whoever
//! asks has seen the code. Its place is given only after the person said yes to the new device's name.

use waxwing_protocol::{
    keys::TheirDevice,
    linking::{LINK_LIFE_MILLIS, LinkOffer},
};
use waxwing_wire::{
    PublicKey,
    answer::{AnswerRequest, Answered},
    link::LinkRequested,
    offer::{OfferRequest, Offered},
    secret::LinkToken,
};
use zeroize::Zeroizing;

use crate::{
    clock,
    connection::keeper,
    devices::{self, DevicesError},
    events::Event,
    linking::{LinkError, LinkRequestId, fingerprint},
    shared::Shared,
    store::{
        StoreError, identity,
        offers::{self, OfferId, Taken},
        peers::PeerKeys,
    },
};

/// Makes an offer. Gives the text of its QR code.
pub(crate) async fn offer(shared: &Shared) -> Result<Zeroizing<String>, LinkError> {
    let _one_at_a_time = shared.joining.lock().await;
    let me = shared.me().ok_or(DevicesError::NotRegistered)?;
    let account = me.address().account;
    let (token, code) = shared
        .store
        .write::<_, LinkError>(move |tx| {
            let this = identity::load(tx)?.ok_or(DevicesError::NotRegistered)?;
            let key = this.account_key.ok_or(DevicesError::NotPrimary)?;
            let rng = &mut clock::rng();
            let token = LinkToken::random(rng);
            let until = clock::now_millis().saturating_add(LINK_LIFE_MILLIS);
            let code = LinkOffer::new(rng, *token.as_bytes(), account.to_bytes(), key.public(), until).code();
            offers::replace(tx, &token, &code)?;
            Ok((token, code))
        })
        .await?;
    let _: Offered = shared
        .http
        .post("/v1/links", Some(&me.credentials), &OfferRequest { token })
        .await?;
    Ok(code)
}

/// The service says that a device took an offer up. Only one that has seen the code gets through.
pub(crate) async fn requested(shared: &Shared, requested: LinkRequested) -> Result<(), StoreError> {
    let now = clock::now_millis();
    let taken = shared
        .store
        .write(move |tx| {
            let Some(offer) = offers::by_token(tx, &requested.token)? else {
                return Ok(None);
            };
            let Some(taken) = check(&offer.code, &requested, now) else {
                return Ok(None);
            };
            match &offer.taken {
                None => offers::take_up(tx, offer.id, &taken)?,
                Some(before) if before.is_same_device(&taken) => {}
                // The code was read by two. Neither is to be trusted.
                Some(_) => {
                    tracing::warn!("two devices took up one offer; it ends");
                    offers::remove(tx, offer.id)?;
                    return Ok(None);
                }
            }
            Ok::<_, StoreError>(Some((offer.id, taken)))
        })
        .await?;
    if let Some((id, taken)) = taken {
        let mut told = shared
            .told_offers
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if told.insert(id) {
            shared.events.tell(Event::LinkRequested {
                request: LinkRequestId::of(id),
                name: taken.name,
                fingerprint: fingerprint(&taken.keys),
            });
        }
    }
    Ok(())
}

fn check(code: &str, requested: &LinkRequested, now_millis: u64) -> Option<Taken> {
    let keys = [requested.keys.signing_key, requested.keys.identity_key];
    let keys: PeerKeys = keys.map(|key| *key.as_bytes()).concat().try_into().ok()?;
    let theirs = TheirDevice::from_bytes(&keys).ok()?;
    let registration = requested.keys.registration;
    let accepted = LinkOffer::read(code).ok()?.accept(
        now_millis,
        requested.sealed.as_bytes(),
        registration.get(),
        &theirs,
    );
    match accepted {
        Ok(name) => Some(Taken {
            device: requested.device,
            registration,
            keys,
            name: name.as_str().to_owned(),
        }),
        Err(error) => {
            tracing::warn!(%error, "a device that wants to be linked is refused");
            None
        }
    }
}

/// Takes the person's answer.
pub(crate) async fn answer(shared: &Shared, request: LinkRequestId, accept: bool) -> Result<(), LinkError> {
    let _one_at_a_time = shared.joining.lock().await;
    let me = shared.me().ok_or(DevicesError::NotRegistered)?;
    let id = OfferId::from(request);
    let offer = shared
        .store
        .read(move |tx| offers::by_id(tx, id))
        .await?
        .ok_or(LinkError::Ended)?;
    let taken = offer.taken.ok_or(LinkError::Ended)?;
    let list = if accept {
        keeper::fetch(shared, &me, me.address().account)
            .await
            .map_err(DevicesError::from)?;
        let keys =
            TheirDevice::from_bytes(&taken.keys).map_err(|_| StoreError::Damaged("keys of a new device"))?;
        let device = devices::entry(taken.device, taken.registration, keys)?;
        let next = devices::sign_next(shared, &me, move |list| {
            // A lost answer: it is in already.
            if !list.contains(&device) {
                list.push(device);
            }
            Ok(())
        });
        Some(next.await?)
    } else {
        None
    };
    let request = AnswerRequest {
        token: offer.token,
        list,
    };
    let answered: Answered = shared
        .http
        .post("/v1/links/answer", Some(&me.credentials), &request)
        .await
        .map_err(|error| {
            if devices::no_room(&error) {
                DevicesError::TooMany.into()
            } else {
                LinkError::from(error)
            }
        })?;
    if let Some(list) = request.list.filter(|_| answered.linked) {
        devices::published(shared, &me, list).await?;
    }
    shared.store.write(move |tx| offers::remove(tx, id)).await?;
    Ok(())
}

const _: () = assert!(std::mem::size_of::<PeerKeys>() == 2 * PublicKey::BYTES);
