//! One device that writes while everything breaks, and is dropped and opened again itself.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use waxwing_client::{AccountId, ClientConfig, Durability, Endpoints, StoreLocation, keys::KeyFile};

use super::{super::sending::Pace, ChaosError};
use crate::{
    ledger::DeviceNumber,
    people::{self, Device},
    run::Run,
    service,
};

/// The first wait before a connection is tried again. An app has ten times as much: here a minute is to hold what
/// happens in an hour elsewhere.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);

/// The longest.
const BACKOFF_LONGEST: Duration = Duration::from_secs(2);

/// What a socket on which nothing is heard has: some of the stalls never end.
const PING_AFTER: Duration = Duration::from_secs(5);

/// What a reply may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// What a missing message is waited for before it is reported and asked for.
const GAP_WAIT: Duration = Duration::from_secs(5);

/// Messages that wait in an outbox before its device writes on: the run measures promises, not queues.
const MOST_PENDING: usize = 30;

/// How long the files of a dropped client may stay locked: until what it was writing is written.
const LOCKED: Duration = Duration::from_secs(10);

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// How the device of this name is opened, each time.
pub(super) fn config(folder: &std::path::Path, name: &str, endpoints: Endpoints) -> ClientConfig {
    let file = |ending| folder.join(format!("{}.{ending}", name.replace(' ', "-")));
    let store = StoreLocation::file(file("db"), KeyFile::new(file("key")));
    let mut config = ClientConfig::new(store, endpoints);
    // Nothing here loses its power, and the disk is for the service.
    config.durability = Durability::ProcessCrash;
    config.timings.ack_linger = service::ACK_LINGER;
    config.timings.backoff_first = BACKOFF_FIRST;
    config.timings.backoff_longest = BACKOFF_LONGEST;
    config.timings.ping_after = PING_AFTER;
    config.timings.request_timeout = REQUEST_TIMEOUT;
    config.timings.gap_wait = GAP_WAIT;
    config
}

/// A device of the run.
pub(super) struct Writer {
    pub(super) device: Device,
    pub(super) number: DeviceNumber,
    /// Who it writes to.
    pub(super) partner: AccountId,
    pub(super) config: ClientConfig,
}

impl Writer {
    /// Writes by its pace until the deadline; is dropped and opened again when it is told to.
    pub(super) async fn write(
        mut self,
        run: Arc<Run>,
        pace: Pace,
        deadline: Instant,
        mut reopen: mpsc::Receiver<()>,
    ) -> Result<Self, ChaosError> {
        let mut ticks = tokio::time::interval_at(Instant::now() + pace.first_after, pace.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut written = 0_u64;
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(deadline) => return Ok(self),
                Some(()) = reopen.recv() => self = self.reopen(&run).await?,
                _ = ticks.tick() => {
                    let pending = self.device.client.pending();
                    if pending.map_err(|error| self.store(error))? < MOST_PENDING {
                        written += 1;
                        let text = format!("Message {written} of {}.", self.device.name);
                        run.send(self.number, &self.device, self.partner, &text).await?;
                    }
                }
            }
        }
    }

    /// Drops the client, whatever it does, and opens it anew on its files.
    async fn reopen(self, run: &Arc<Run>) -> Result<Self, ChaosError> {
        let Self {
            device,
            number,
            partner,
            config,
        } = self;
        run.leave(number).await;
        let Device {
            name,
            client,
            address,
        } = device;
        drop(client);
        let deadline = Instant::now() + LOCKED;
        let client = loop {
            match people::open(&name, config.clone()).await {
                Ok(client) => break client,
                Err(error) if Instant::now() >= deadline => return Err(error.into()),
                Err(_) => tokio::time::sleep(TRY_AGAIN).await,
            }
        };
        let device = Device {
            name,
            client,
            address,
        };
        run.rejoin(number, &device).await?;
        device.client.connect();
        Ok(Self {
            device,
            number,
            partner,
            config,
        })
    }

    pub(super) fn store(&self, error: waxwing_client::StoreError) -> ChaosError {
        people::PeopleError::Store(self.device.name.clone(), error).into()
    }
}
