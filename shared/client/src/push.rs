//! Where this device is woken when something waits for it.
//!
//! What the app says is stored first, and told to the service while the connection is open, again and again until the
//! service has answered. It is told anew for another registration, and once a day: the service forgets an address when the
//! platform says that the app is gone, and tells nobody.

use std::{sync::Arc, time::Duration};

use rusqlite::Transaction;
use waxwing_wire::{
    ErrorCode, RegistrationId,
    subscribe::{Platform, PushAddress, PushToken, SubscribeRequest, Subscribed},
};

use crate::{
    clock,
    events::{DisconnectReason, Event},
    sessions::Me,
    shared::Shared,
    store::{StoreError, push},
    transport::{backoff::Backoff, http::HttpError},
};

/// After how long the service is told again what it knows.
const TELL_AGAIN_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// How often it is looked whether that is due.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// Why a push token was not taken. Nothing is stored then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The platform gives no such token.
    #[error("the platform gives no such push token; hand over the one it gave")]
    InvalidToken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether this device is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushState {
    /// The app has no push token for it, or took it back, and the service knows.
    Off,
    /// The service does not know yet what the app said last.
    Pending,
    /// It is woken.
    On,
    /// The service does not take the token, for this reason.
    Refused(ErrorCode),
}

/// Stores a token to be told.
pub(crate) async fn set(shared: &Shared, platform: Platform, token: &str) -> Result<(), PushError> {
    let token = PushToken::try_from(token.to_owned()).map_err(|_| PushError::InvalidToken)?;
    let request = SubscribeRequest {
        address: Some(PushAddress { platform, token }),
    };
    request.check().map_err(|_| PushError::InvalidToken)?;
    Ok(wish(shared, request.address).await?)
}

/// Stores that there is none any more.
pub(crate) async fn clear(shared: &Shared) -> Result<(), StoreError> {
    wish(shared, None).await
}

async fn wish(shared: &Shared, address: Option<PushAddress>) -> Result<(), StoreError> {
    let stored = shared
        .store
        .write(move |tx: &Transaction<'_>| push::wish(tx, address.as_ref()));
    stored.await?;
    shared.push_changed.notify_one();
    Ok(())
}

/// Whether this device is woken.
pub(crate) fn state(shared: &Shared) -> Result<PushState, StoreError> {
    let registration = shared.me().map(|me| me.device.registration);
    let wish = shared.store.read_now(push::load)?;
    let Some(wish) = wish else {
        return Ok(PushState::Off);
    };
    let is_told = wish.told.is_some_and(|(told, _)| Some(told) == registration);
    Ok(match (wish.refused, wish.address) {
        _ if !is_told => PushState::Pending,
        (Some(code), _) => PushState::Refused(code),
        (None, Some(_)) => PushState::On,
        (None, None) => PushState::Off,
    })
}

/// Tells the service what is due, as long as the connection is open.
pub(crate) async fn run(shared: &Shared, me: &Arc<Me>) -> DisconnectReason {
    let mut backoff = Backoff::new(shared.timings.backoff_first, shared.timings.backoff_longest);
    loop {
        let wait = match tell(shared, me).await {
            Ok(()) => {
                backoff.reset();
                LOOK
            }
            Err(TellError::Store(error)) => {
                tracing::error!(%error, "the store failed");
                return DisconnectReason::Store;
            }
            Err(TellError::Http(error)) if error.is_unauthorized() => return DisconnectReason::Unauthorized,
            Err(TellError::Http(error)) => {
                tracing::warn!(%error, "the service was not told where to wake this device");
                backoff.next(&mut clock::rng())
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shared.push_changed.notified() => {}
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Tells the service, if there is reason to.
async fn tell(shared: &Shared, me: &Me) -> Result<(), TellError> {
    let (registration, now) = (me.device.registration, clock::now_millis());
    let wish = shared.store.read(push::load).await?;
    let Some(wish) = wish.filter(|wish| is_due(wish, registration, now)) else {
        return Ok(());
    };
    let request = SubscribeRequest {
        address: wish.address,
    };
    let told: Result<Subscribed, _> = shared
        .http
        .post("/v1/push", Some(&me.credentials), &request)
        .await;
    let address = request.address;
    match told {
        Ok(Subscribed { subscribed }) if subscribed == address.is_some() => {
            let noted = shared
                .store
                .write(move |tx: &Transaction<'_>| push::told(tx, address.as_ref(), registration, now));
            noted.await?;
        }
        Ok(_) => return Err(HttpError::Unexpected(200).into()),
        Err(HttpError::Refused(problem)) if is_final(problem.code) => {
            let code = problem.code;
            tracing::warn!(?code, "the service does not take the push token");
            let noted = shared.store.write(move |tx: &Transaction<'_>| {
                push::refused(tx, address.as_ref(), registration, code, now)
            });
            noted.await?;
            shared.events.tell(Event::PushTokenRefused { reason: code });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

fn is_final(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::InvalidPushToken | ErrorCode::PushTokenTaken | ErrorCode::PushNotOffered
    )
}

fn is_due(wish: &push::Wish, registration: RegistrationId, now_millis: u64) -> bool {
    match wish.told {
        Some((told, at)) if told == registration => {
            // What is off stays off by itself. What was refused may not be any more.
            wish.address.is_some() && at.abs_diff(now_millis) >= TELL_AGAIN_MILLIS
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Durability, StoreLocation},
        store::Store,
    };

    fn store() -> Store {
        Store::open(
            &StoreLocation::Memory,
            Durability::ProcessCrash,
            &mut clock::rng(),
        )
        .unwrap()
    }

    fn registration(id: u64) -> RegistrationId {
        RegistrationId::new(id).unwrap()
    }

    fn address(token: &str) -> PushAddress {
        PushAddress {
            platform: Platform::Fcm,
            token: token.to_owned().try_into().unwrap(),
        }
    }

    fn due(store: &Store, registration: RegistrationId, now: u64) -> bool {
        let wish = store.read_now(push::load).unwrap().unwrap();
        is_due(&wish, registration, now)
    }

    #[test]
    fn the_service_is_told_once_then_daily_and_anew_for_another_registration_or_token() {
        let store = store();
        assert_eq!(store.read_now(push::load).unwrap(), None);
        let (first, second) = (address("first"), address("second"));
        store.write_now(|tx| push::wish(tx, Some(&first))).unwrap();
        assert!(due(&store, registration(7), 0));
        store
            .write_now(|tx| push::told(tx, Some(&first), registration(7), 1000))
            .unwrap();
        assert!(!due(&store, registration(7), 2000));
        assert!(due(&store, registration(7), 1000 + TELL_AGAIN_MILLIS));
        assert!(due(&store, registration(8), 2000));
        // The app says the same at each start.
        store.write_now(|tx| push::wish(tx, Some(&first))).unwrap();
        assert!(!due(&store, registration(7), 2000));
        store.write_now(|tx| push::wish(tx, Some(&second))).unwrap();
        assert!(due(&store, registration(7), 2000));
    }

    /// What the service answers about the token before must not be taken for an answer about this one.
    #[test]
    fn an_answer_that_comes_after_the_token_changed_says_nothing() {
        let store = store();
        let (first, second) = (address("first"), address("second"));
        store.write_now(|tx| push::wish(tx, Some(&first))).unwrap();
        store.write_now(|tx| push::wish(tx, Some(&second))).unwrap();
        store
            .write_now(|tx| push::told(tx, Some(&first), registration(7), 1000))
            .unwrap();
        let refuse = |tx: &Transaction<'_>| {
            push::refused(tx, Some(&first), registration(7), ErrorCode::PushTokenTaken, 1000)
        };
        store.write_now(refuse).unwrap();
        assert!(due(&store, registration(7), 2000));
        store.write_now(|tx| push::wish(tx, None)).unwrap();
        assert!(due(&store, registration(7), 2000));
        store
            .write_now(|tx| push::told(tx, None, registration(7), 3000))
            .unwrap();
        assert!(!due(&store, registration(7), u64::MAX / 2));
    }

    #[test]
    fn a_refused_token_is_tried_again_when_the_app_hands_it_over_again() {
        let store = store();
        let token = address("token");
        store.write_now(|tx| push::wish(tx, Some(&token))).unwrap();
        let refuse = |tx: &Transaction<'_>| {
            push::refused(tx, Some(&token), registration(7), ErrorCode::PushTokenTaken, 1000)
        };
        store.write_now(refuse).unwrap();
        assert!(!due(&store, registration(7), 2000));
        let wish = store.read_now(push::load).unwrap().unwrap();
        assert_eq!(wish.refused, Some(ErrorCode::PushTokenTaken));
        store.write_now(|tx| push::wish(tx, Some(&token))).unwrap();
        assert!(due(&store, registration(7), 2000));
    }
}
