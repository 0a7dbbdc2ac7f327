//! Everything that functions call, opened for one template.

use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;

use crate::aws::callers::Callers;
use crate::aws::dynamodb::DynamoDb;
use crate::aws::dynamodb::elsewhere::{Elsewhere, ElsewhereError};
use crate::aws::dynamodb::storage::{Opened, Storage, StorageError};
use crate::aws::dynamodb::tables::{self, TableError};
use crate::aws::policies::{Policies, PolicyError};
use crate::aws::{AwsFront, Sns};
use crate::clock::OffsetClock;
use crate::gateway::connections::Connections;
use crate::meter::Meter;
use crate::outbox::Outbox;
use crate::template::{TableSpec, Template};

/// AWS as the functions of one template see it: its tables, its policies, `@connections` and SNS.
#[derive(Debug, Clone)]
pub struct Cloud {
    /// The endpoint.
    pub aws: AwsFront,
    /// Its tables.
    pub database: DynamoDb,
    /// The WebSockets that may be posted to.
    pub connections: Connections,
    /// What phones would have got.
    pub outbox: Outbox,
}

/// Why it could not be opened.
#[derive(Debug, Error)]
pub enum CloudError {
    /// A policy of the template is not understood.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The tables cannot be opened.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A table is not as the template wants it.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The tables are elsewhere, and cannot be used.
    #[error(transparent)]
    Elsewhere(#[from] ElsewhereError),
    /// The thread that opened the tables broke off.
    #[error("opening the tables broke off: {0}")]
    Interrupted(#[from] tokio::task::JoinError),
}

impl Cloud {
    /// Opens the tables, makes those that are missing, and puts the endpoint over them. `clock` decides what is
    /// expired; `meter` counts.
    ///
    /// # Errors
    /// [`CloudError`].
    pub async fn open(
        template: &Template,
        storage: Storage,
        clock: OffsetClock,
        meter: &Arc<Meter>,
    ) -> Result<Self, CloudError> {
        let tables: Vec<_> = template.tables.values().cloned().collect();
        let database = match storage {
            Storage::Elsewhere(endpoint) => {
                DynamoDb::elsewhere(Elsewhere::open(&endpoint, &tables).await?, Arc::clone(meter))
            }
            here => DynamoDb::new(open_tables(here, clock, tables).await?, Arc::clone(meter)),
        };
        let connections = Connections::default();
        let outbox = Outbox::default();
        let websocket_api = template.websocket.as_ref().map_or("", |api| api.api_id.as_str());
        let policies = Policies::read(template.functions.values(), websocket_api)?;
        let callers = Callers::new(template.functions.keys().map(String::as_str));
        let sns = Sns::new(applications(template), outbox.clone(), Arc::clone(meter));
        let aws = AwsFront::new(callers, policies, database.clone(), connections.clone(), sns);
        Ok(Self {
            aws,
            database,
            connections,
            outbox,
        })
    }
}

/// The platform applications that parameters name.
fn applications(template: &Template) -> BTreeSet<String> {
    let values = template.parameters.values();
    values
        .filter(|value| Sns::is_application(value))
        .cloned()
        .collect()
}

async fn open_tables(
    storage: Storage,
    clock: OffsetClock,
    specs: Vec<TableSpec>,
) -> Result<Opened, CloudError> {
    let open = tokio::task::spawn_blocking(move || {
        let opened = storage.open(Arc::new(clock))?;
        for table in &specs {
            tables::make(&opened.database, table)?;
        }
        Ok(opened)
    });
    open.await?
}
