//! Keeps in step what the service and this device have of each other: lists of devices, published prekeys, and what
//! happens to the own account.

use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::MissedTickBehavior};
use waxwing_wire::{AccountId, fetch::Fetched, frame::RemovalReason};

use super::{drain::failed, pause};
use crate::{
    clock,
    directory::{self, TakeError},
    events::DisconnectReason,
    offers,
    prekeys::{self, UploadError},
    sessions::Me,
    shared::Shared,
    store::{
        self, lists,
        timeline::{self, Note},
    },
    transport::{backoff::Backoff, http::HttpError, requests::News},
    trust,
};

/// How often it is looked whether prekeys are due for rotation or for a comparison.
const UPKEEP: Duration = Duration::from_secs(60 * 60);

/// Fetches the own account when the connection opens, then follows the news and the clock.
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
    // What a former connection did not come to.
    shared.lists_are_stale.notify_one();
    let mut upkeep = tokio::time::interval(UPKEEP);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            heard = news.recv() => match heard {
                Some(heard) => follow(shared, me, heard).await?,
                None => return Ok(()),
            },
            () = shared.lists_are_stale.notified() => refresh_stale(shared, me).await?,
            _ = upkeep.tick() => published(prekeys::keep_up(shared, me).await)?,
        }
    }
}

async fn follow(shared: &Shared, me: &Arc<Me>, news: News) -> Result<(), DisconnectReason> {
    match news {
        News::PrekeysLow(remaining) => published(prekeys::refill(shared, me, remaining).await),
        News::DevicesChanged(account) if account == me.address().account => refresh_own(shared, me).await,
        News::DevicesChanged(account) => {
            let stale = move |tx: &rusqlite::Transaction<'_>| lists::set_stale(tx, account);
            shared.store.write(stale).await.map_err(failed)?;
            Ok(())
        }
        News::LinkRequested(requested) => offers::requested(shared, requested).await.map_err(failed),
        News::RegistrationAttempted => {
            let noted = shared.apply(|tx| {
                let mut effects = crate::events::Effects::default();
                effects.grew(timeline::append_note(tx, &Note::RegistrationAttempted)?);
                Ok::<_, store::StoreError>(effects)
            });
            noted.await.map_err(failed)
        }
        News::Removed(_) | News::Delivery(_) | News::Ephemeral(_) => Ok(()),
    }
}

/// The service says that this device is out. It cannot prove it: its token is refused from now on. But neither does it
/// gain anything by saying so, for it could as well not answer any more.
pub(super) async fn removed(shared: &Shared, me: &Arc<Me>, reason: RemovalReason) -> DisconnectReason {
    tracing::info!(?reason, account = %me.address().account, "this device was removed from its account");
    match shared.apply(move |tx| trust::removed(tx, reason)).await {
        Ok(()) => DisconnectReason::Removed,
        Err(error) => failed(error),
    }
}

/// The service refuses this device's token again and again.
pub(super) async fn refused_repeatedly(shared: &Shared) -> Result<(), store::StoreError> {
    let noted = shared.apply(|tx| {
        let mut effects = crate::events::Effects::default();
        effects.grew(timeline::append_note(tx, &Note::RefusedRepeatedly)?);
        Ok(effects)
    });
    noted.await
}

/// Fetches the own account: its devices, and how many prekeys are left.
pub(super) async fn refresh_own(shared: &Shared, me: &Arc<Me>) -> Result<(), DisconnectReason> {
    let mut backoff = Backoff::new(shared.timings.backoff_first, shared.timings.backoff_longest);
    let account = me.address().account;
    loop {
        match fetch(shared, me, account).await {
            Ok(remaining) => {
                if shared.is_removed() {
                    return Err(DisconnectReason::Removed);
                }
                // A new device of our own is to get what is in the outbox.
                shared.outbox_grew.notify_one();
                return match remaining {
                    Some(remaining) => published(prekeys::refill(shared, me, remaining).await),
                    None => Ok(()),
                };
            }
            Err(error) => error.or_retry()?,
        }
        pause(&mut backoff, Duration::ZERO).await;
    }
}

/// Fetches the lists for which there is reason. One that is not to be had now is asked for before the next message to
/// that account, or at the next connection.
async fn refresh_stale(shared: &Shared, me: &Arc<Me>) -> Result<(), DisconnectReason> {
    for account in shared.store.read(lists::stale).await.map_err(failed)? {
        if let Err(error) = fetch(shared, me, account).await {
            error.or_retry()?;
        }
    }
    shared.outbox_grew.notify_one();
    Ok(())
}

/// Why an account's list was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Take(#[from] TakeError),
}

impl FetchError {
    /// Whether to try again, or the reason why the connection must end.
    fn or_retry(self) -> Result<(), DisconnectReason> {
        match self {
            Self::Http(error) if error.is_unauthorized() => Err(DisconnectReason::Unauthorized),
            Self::Take(TakeError::Store(error)) => Err(failed(error)),
            other => {
                tracing::warn!(error = %other, "a list of devices was not taken");
                Ok(())
            }
        }
    }
}

/// Fetches an account's list of devices and takes it. Returns the number of own prekeys left, if it is ours.
pub(crate) async fn fetch(
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
    let taken = shared.apply(move |tx| {
        directory::take_list(
            tx,
            &me,
            account,
            &fetched.list,
            &fetched.devices,
            clock::now_millis(),
        )
    });
    taken.await?;
    Ok(remaining)
}

fn published(result: Result<(), UploadError>) -> Result<(), DisconnectReason> {
    match result {
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
