//! DynamoDB, embedded: the engine is `dynoxide`, over SQLite.
//!
//! The engine answers as DynamoDB does, to the wording of its errors. This module puts around it what a call
//! has in AWS: [`operations`] by name, capacity metered by caller, and threads of their own, because SQLite
//! works on the thread that calls it. [`tables`] makes the template's tables, [`storage`] says where they are.

pub mod operations;
pub mod storage;
pub mod tables;

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use http::{Response, StatusCode};
use tokio::sync::Semaphore;

use crate::aws::answer::{AwsError, Shape, aws_json};
use crate::aws::callers::Caller;
use crate::meter::Meter;
use operations::{Call, Units};
use storage::Opened;

/// What `X-Amz-Target` starts with.
pub const TARGET_PREFIX: &str = "DynamoDB_20120810.";

/// Calls that run at once. The engine has one lock inside, so more threads do not write more; a second and
/// third one read and write JSON meanwhile.
const THREADS: usize = 3;

/// The database. Cheap to clone: all clones are the same one.
#[derive(Clone)]
pub struct DynamoDb {
    shared: Arc<Shared>,
}

struct Shared {
    /// None after the end: whoever still holds a clone gets an error and keeps no file open.
    database: RwLock<Option<Opened>>,
    threads: Arc<Semaphore>,
    meter: Arc<Meter>,
}

/// The database was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database is closed")]
pub struct Closed;

impl DynamoDb {
    /// A database whose calls are counted by `meter`.
    pub fn new(database: Opened, meter: Arc<Meter>) -> Self {
        let threads = Arc::new(Semaphore::new(THREADS));
        Self {
            shared: Arc::new(Shared {
                database: RwLock::new(Some(database)),
                threads,
                meter,
            }),
        }
    }

    /// Does one operation. Every outcome is an answer.
    pub async fn call(&self, caller: &Caller, operation: &str, body: Bytes) -> Response<Bytes> {
        let Some(call) = Call::named(operation) else {
            let names = Call::names().collect::<Vec<_>>().join(", ");
            let message = format!("The local runner's DynamoDB has these operations: {names}.");
            return AwsError::new(StatusCode::BAD_REQUEST, "UnknownOperationException", message)
                .answer(Shape::AwsJson);
        };
        let (meter, caller) = (Arc::clone(&self.shared.meter), caller.name().to_owned());
        let name = operation.to_owned();
        // Counted where it is done: a caller that stops waiting is billed as well.
        let work = move |database: &Database| {
            let (answer, units) = call.run(database, &body);
            for Units { table, read, write } in units {
                meter.record_capacity(&caller, &table, &name, read, write);
            }
            answer
        };
        let closed = |Closed| Err(DynoxideError::InternalServerError(Closed.to_string()));
        let answer = self.run(work).await.unwrap_or_else(closed);
        match answer {
            Ok(json) => aws_json(StatusCode::OK, json),
            Err(error) => {
                let status = StatusCode::from_u16(error.status_code());
                aws_json(
                    status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                    error.to_json(),
                )
            }
        }
    }

    /// Runs `work` on a thread that may block.
    ///
    /// # Errors
    /// [`Closed`], also when the work panicked.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> T + Send + 'static,
    ) -> Result<T, Closed> {
        // The permit goes with the work: dropping this call does not end what a thread has begun.
        let permit = Arc::clone(&self.shared.threads)
            .acquire_owned()
            .await
            .map_err(|_| Closed)?;
        let shared = Arc::clone(&self.shared);
        let task = tokio::task::spawn_blocking(move || {
            let database = shared.handle()?;
            let done = work(&database);
            drop(permit);
            Ok(done)
        });
        task.await.map_err(|_| Closed)?
    }

    /// Deletes what has expired, in every table with a time to live, and tells how many items that were.
    /// Nobody is billed for it, as in AWS.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn sweep_expired(&self) -> Result<usize, Closed> {
        self.run(|database| database.sweep_ttl()).await.map(|swept| {
            swept.unwrap_or_else(|error| {
                tracing::warn!(%error, "expired items could not be deleted");
                0
            })
        })
    }

    /// Waits for the calls that run, then closes the files. Later calls are refused.
    pub async fn close(&self) {
        let all = u32::try_from(THREADS).unwrap_or(u32::MAX);
        if let Ok(permits) = self.shared.threads.acquire_many(all).await {
            self.shared.threads.close();
            let database = self
                .shared
                .database
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            // Closing writes SQLite's log back into its file.
            let _ = tokio::task::spawn_blocking(move || drop(database)).await;
            drop(permits);
        }
    }
}

impl Shared {
    fn handle(&self) -> Result<Database, Closed> {
        let opened = self.database.read().unwrap_or_else(PoisonError::into_inner);
        opened
            .as_ref()
            .map(|opened| opened.database.clone())
            .ok_or(Closed)
    }
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").finish_non_exhaustive()
    }
}
