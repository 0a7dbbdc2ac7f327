//! Keeps in step what the service has of this device: its list of own devices, its pool of prekeys.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;
use waxwing_wire::{AccountId, fetch::Fetched};

use super::{drain::failed, pause};
use crate::{
    directory,
    events::{DisconnectReason, Event},
    prekeys::{self, UploadError},
    sessions::{InvalidKeys, Me, OpenError},
    shared::Shared,
    store,
    transport::{backoff::Backoff, http::HttpError, requests::News},
};

/// Fetches the own account when the connection opens, then follows the news.
pub(super) async fn run(shared: &Shared, me: &Arc<Me>, mut news: mpsc::Receiver<News>) -> DisconnectReason {
    match keep(shared, me, &mut news).await {
        Ok(()) => DisconnectReason::Broken,
        Err(reason) => reason,
    }
}

async fn keep(
    shared: &Shared,
    me: &Arc<Me>,
    news: &mut mpsc::Receiver<News>,
) -> Result<(), DisconnectReason> {
    refresh_own(shared, me).await?;
    while let Some(news) = news.recv().await {
        match news {
            News::PrekeysLow(remaining) => refill(shared, me, remaining).await?,
            News::DevicesChanged(account) => {
                shared.events.tell(Event::DevicesChanged { account });
                if account == me.address().account {
                    refresh_own(shared, me).await?;
                } else {
                    let stale =
                        move |tx: &rusqlite::Transaction<'_>| store::directory::set_stale(tx, account, true);
                    shared.store.write(stale).await.map_err(failed)?;
                }
            }
            News::Delivery(_) => {}
        }
    }
    Ok(())
}

/// Fetches the own account: its devices, and how many prekeys are left.
async fn refresh_own(shared: &Shared, me: &Arc<Me>) -> Result<(), DisconnectReason> {
    let mut backoff = Backoff::new(shared.timings.backoff_first, shared.timings.backoff_longest);
    let account = me.address().account;
    loop {
        match fetch(shared, me, account).await {
            Ok(remaining) => {
                // A new device of our own is to get what is in the outbox.
                shared.outbox_grew.notify_one();
                return match remaining {
                    Some(remaining) => refill(shared, me, remaining).await,
                    None => Ok(()),
                };
            }
            Err(error) => error.or_retry()?,
        }
        pause(&mut backoff, Duration::ZERO).await;
    }
}

/// Why an account's list was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    InvalidKeys(#[from] InvalidKeys),
    #[error(transparent)]
    Store(#[from] store::StoreError),
}

impl FetchError {
    /// Whether to try again, or the reason why the connection must end.
    fn or_retry(self) -> Result<(), DisconnectReason> {
        match self {
            Self::Http(error) if error.is_unauthorized() => Err(DisconnectReason::Unauthorized),
            Self::Store(error) => Err(failed(error)),
            other => {
                tracing::warn!(error = %other, "the own account could not be fetched");
                Ok(())
            }
        }
    }
}

/// Fetches an account's list of devices and takes it. Returns the number of own prekeys left, if it is ours.
pub(super) async fn fetch(
    shared: &Shared,
    me: &Arc<Me>,
    account: AccountId,
) -> Result<Option<u32>, FetchError> {
    let fetched: Fetched = shared
        .http
        .get(&format!("/v1/keys/{account}"), &me.credentials)
        .await?;
    if fetched.account != account {
        return Err(HttpError::Unexpected(200).into());
    }
    let remaining = fetched.own_one_time_prekeys;
    let me = me.clone();
    let taken = shared.apply(move |tx| directory::take_list(tx, &me, account, &fetched.devices));
    taken.await.map_err(|error| match error {
        OpenError::InvalidKeys(error) => FetchError::from(error),
        OpenError::Store(error) => error.into(),
    })?;
    Ok(remaining)
}

async fn refill(shared: &Shared, me: &Arc<Me>, remaining: u32) -> Result<(), DisconnectReason> {
    match prekeys::refill(shared, me, remaining).await {
        Ok(()) => Ok(()),
        Err(UploadError::Store(error)) => Err(failed(error)),
        Err(UploadError::Http(error)) if error.is_unauthorized() => Err(DisconnectReason::Unauthorized),
        Err(error) => {
            // The same keys are published at the next connection, or when the service says so again.
            tracing::warn!(%error, "prekeys could not be published");
            Ok(())
        }
    }
}
