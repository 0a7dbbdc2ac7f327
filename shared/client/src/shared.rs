//! What all parts of an open client share.

use std::{
    collections::BTreeSet,
    sync::{Arc, PoisonError, RwLock},
};

use rusqlite::Transaction;
use tokio::time::Instant;
use tokio::{
    runtime::Handle,
    sync::{Mutex, Notify},
};
use waxwing_wire::DeviceAddress;

use crate::{
    clock,
    config::{ClientConfig, Timings},
    ephemeral::Ephemerals,
    events::{Effects, EventSink},
    sessions::Me,
    store::{
        Store, StoreError, identity, identity::ThisDevice, offers::OfferId, received,
        sessions as session_rows, settings,
    },
    transport::{
        endpoints::{EndpointError, Service},
        http::{Http, HttpError},
        service_time::ServiceTime,
        token::Credentials,
    },
};

/// Why a client could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// An address of the configuration is wrong.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no tokio runtime here.
    #[error("open the client inside a tokio runtime; its connection runs there")]
    NoRuntime,
    /// The platform's TLS could not be set up.
    #[error("TLS could not be set up; check the platform's trusted certificates")]
    Tls(#[source] HttpError),
}

/// The parts of an open client.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) timings: Timings,
    pub(crate) service: Service,
    pub(crate) store: Store,
    pub(crate) http: Http,
    pub(crate) service_time: ServiceTime,
    pub(crate) ephemerals: Arc<Ephemerals>,
    pub(crate) events: EventSink,
    /// Told when a message was put into the outbox.
    pub(crate) outbox_grew: Notify,
    /// Told when there is reason to ask for the list of an account.
    pub(crate) lists_are_stale: Notify,
    /// Told when the app said where to wake this device.
    pub(crate) push_changed: Notify,
    /// Offers of which the app was told, since the client was opened, that a device took them up.
    pub(crate) told_offers: std::sync::Mutex<BTreeSet<OfferId>>,
    /// Held by whoever changes what this device is or publishes.
    pub(crate) joining: Mutex<()>,
    /// Where the connection runs.
    pub(crate) runtime: Handle,
    standing: Arc<RwLock<Standing>>,
}

/// How this device stands with an account.
#[derive(Debug, Default)]
enum Standing {
    /// It is in none yet.
    #[default]
    Outside,
    /// It is a device of one.
    Device(Arc<Me>),
    /// It was in one and is not any more.
    Removed,
}

impl Shared {
    pub(crate) async fn open(config: ClientConfig) -> Result<Self, OpenError> {
        let runtime = Handle::try_current().map_err(|_| OpenError::NoRuntime)?;
        let service = Service::parse(&config.endpoints)?;
        let service_time = ServiceTime::default();
        let http = Http::new(service.http_url.clone(), config.timings, service_time.clone())
            .map_err(OpenError::Tls)?;
        let opening = tokio::task::spawn_blocking(move || {
            Store::open(&config.store, config.durability, &mut clock::rng())
        });
        let store = opening.await.map_err(|_| StoreError::Closed)??;
        let this = store
            .write::<_, StoreError>(|tx| {
                received::forget_old(tx, clock::now_millis())?;
                session_rows::forget_old(tx, clock::now_millis())?;
                identity::load(tx)
            })
            .await?;
        let shared = Self {
            timings: config.timings,
            service,
            store,
            http,
            service_time,
            ephemerals: Arc::default(),
            events: EventSink::default(),
            outbox_grew: Notify::new(),
            lists_are_stale: Notify::new(),
            push_changed: Notify::new(),
            told_offers: std::sync::Mutex::default(),
            joining: Mutex::new(()),
            runtime,
            standing: Arc::default(),
        };
        let shares = shared.store.read(settings::shares_presence).await?;
        shared
            .ephemerals
            .set_presence(|presence| presence.share(shares, Instant::now()));
        if let Some(this) = this {
            shared.become_device(&this);
        }
        Ok(shared)
    }

    /// This device, once it is in an account.
    pub(crate) fn me(&self) -> Option<Arc<Me>> {
        match &*self.standing.read().unwrap_or_else(PoisonError::into_inner) {
            Standing::Device(me) => Some(me.clone()),
            Standing::Outside | Standing::Removed => None,
        }
    }

    /// This device's address, once it is in an account.
    pub(crate) fn address(&self) -> Option<DeviceAddress> {
        self.me().map(|me| me.address())
    }

    /// Whether this device was in an account and is not any more.
    pub(crate) fn is_removed(&self) -> bool {
        matches!(
            *self.standing.read().unwrap_or_else(PoisonError::into_inner),
            Standing::Removed
        )
    }

    /// Takes on what the store says this device is, if it is in an account.
    pub(crate) fn become_device(&self, this: &ThisDevice) {
        let standing = if this.removed.is_some() {
            Standing::Removed
        } else {
            self.me_of(this).map_or(Standing::Outside, Standing::Device)
        };
        *self.standing.write().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    /// What a device is, once it has its place in an account.
    pub(crate) fn me_of(&self, this: &ThisDevice) -> Option<Arc<Me>> {
        let device = this.registered()?;
        Some(Arc::new(Me {
            keys: this.keys.clone(),
            device,
            credentials: Credentials {
                key: this.keys.signing().clone(),
                device,
                audience: self.service.audience.clone(),
            },
            receipt_linger: self.timings.receipt_linger,
        }))
    }

    /// Runs a transaction, and tells readers of its effects as soon as it is committed. The two are not torn
    /// apart when the future is dropped in between: an event about what is stored would be missing. Whoever hears that this
    /// device is out of its account finds it so.
    pub(crate) async fn apply<E>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<Effects, E> + Send + 'static,
    ) -> Result<(), E>
    where
        E: From<StoreError> + Send + 'static,
    {
        let (events, standing) = (self.events.clone(), Arc::clone(&self.standing));
        let applied = self.store.run(move |store| {
            store.write_now(work).map(|effects| {
                let send = effects.send;
                if effects.removed {
                    *standing.write().unwrap_or_else(PoisonError::into_inner) = Standing::Removed;
                }
                events.publish(effects);
                send
            })
        });
        if applied.await?? {
            self.outbox_grew.notify_one();
        }
        Ok(())
    }

    /// The same for a transaction that a loss of power may undo.
    pub(crate) async fn apply_lightly<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<(T, Effects), StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let events = self.events.clone();
        let applied = self.store.run(move |store| {
            let (done, effects) = store.write_lightly_now(work)?;
            events.publish(effects);
            Ok(done)
        });
        applied.await?
    }

    /// Closes the store and ends all event readers.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        self.events.close();
        let store = self.store.clone();
        let closing = tokio::task::spawn_blocking(move || store.close());
        closing.await.map_err(|_| StoreError::Closed)?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        RemovalReason,
        config::StoreLocation,
        testing::{Party, account, without_service},
        trust,
    };

    #[tokio::test]
    async fn x63_whoever_hears_that_a_device_is_out_of_its_account_finds_it_so() {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Unencrypted(folder.path().join("store"));
        Party::at_location(location.clone(), account(1), 1, 1)
            .store
            .close()
            .unwrap();
        let shared = Shared::open(without_service(location)).await.unwrap();
        assert!(shared.address().is_some() && !shared.is_removed());
        shared
            .apply(|tx| trust::removed(tx, RemovalReason::Revoked))
            .await
            .unwrap();
        assert!(shared.address().is_none() && shared.is_removed());
    }
}
