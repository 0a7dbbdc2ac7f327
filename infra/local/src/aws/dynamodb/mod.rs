//! DynamoDB, embedded: the engine is `dynoxide`, over SQLite.
//!
//! The engine answers as DynamoDB does, to the wording of its errors. This module puts around it what a call
//! has in AWS: [`operations`] by name, capacity metered by caller, and for tables in files threads of their own, because
//! SQLite works, and waits for the disk, on the thread that calls it. [`tables`] makes the template's tables, [`storage`] says where they are. In its
//! place calls can go to a database [`elsewhere`].

pub mod bare;
pub mod elsewhere;
pub mod operations;
pub mod storage;
pub mod tables;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use http::{Response, StatusCode};
use tokio::sync::Semaphore;

use crate::aws::answer::{AwsError, Shape, aws_json};
use crate::aws::callers::Caller;
use crate::meter::Meter;
use bare::{Recorded, Recorder};
use elsewhere::Elsewhere;
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
    engine: Engine,
    /// Whether a call waits for nothing: no disk, no network.
    is_quick: bool,
    threads: Arc<Semaphore>,
    meter: Arc<Meter>,
    recorder: Recorder,
}

enum Engine {
    /// None after the end: whoever still holds a clone gets an error and keeps no file open.
    Embedded(RwLock<Option<Opened>>),
    Elsewhere(Elsewhere),
}

/// The database was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the database is closed")]
pub struct Closed;

impl DynamoDb {
    /// A database whose calls are counted by `meter`.
    pub fn new(database: Opened, meter: Arc<Meter>) -> Self {
        let is_quick = database.is_in_memory();
        Self::with(Engine::Embedded(RwLock::new(Some(database))), is_quick, meter)
    }

    /// A database that runs elsewhere, whose calls are counted by `meter`.
    pub fn elsewhere(database: Elsewhere, meter: Arc<Meter>) -> Self {
        Self::with(Engine::Elsewhere(database), false, meter)
    }

    fn with(engine: Engine, is_quick: bool, meter: Arc<Meter>) -> Self {
        let threads = Arc::new(Semaphore::new(THREADS));
        Self {
            shared: Arc::new(Shared {
                engine,
                is_quick,
                threads,
                meter,
                recorder: Recorder::default(),
            }),
        }
    }

    /// Keeps every call from now on, to be done again by [`bare::Bare`].
    pub fn record(&self) {
        self.shared.recorder.begin();
    }

    /// The calls kept so far, oldest first; no more are kept.
    pub fn recorded(&self) -> Recorded {
        self.shared.recorder.end()
    }

    /// Does one operation. Every outcome is an answer.
    pub async fn call(&self, caller: &Caller, operation: &str, body: Bytes) -> Response<Bytes> {
        let Some(call) = Call::named(operation) else {
            let names = Call::names().collect::<Vec<_>>().join(", ");
            let message = format!("The local runner's DynamoDB has these operations: {names}.");
            return AwsError::new(StatusCode::BAD_REQUEST, "UnknownOperationException", message)
                .answer(Shape::AwsJson);
        };
        if let Engine::Elsewhere(database) = &self.shared.engine {
            let (answer, units) = database.call(operation, body).await;
            for Units { table, read, write } in units {
                let meter = &self.shared.meter;
                meter.record_capacity(caller.name(), &table, operation, read, write);
            }
            return answer;
        }
        self.shared.recorder.keep(call, &body);
        let (meter, caller) = (Arc::clone(&self.shared.meter), caller.name().to_owned());
        // Counted where it is done: a caller that stops waiting is billed as well.
        let work = move |database: &Database| {
            let (answer, units) = call.run(database, &body);
            for Units { table, read, write } in units {
                meter.record_capacity(&caller, &table, call.name(), read, write);
            }
            answer
        };
        let closed = |Closed| Err(DynoxideError::InternalServerError(Closed.to_string()));
        let outcome = if self.shared.is_quick {
            self.run_here(work).await
        } else {
            self.run(work).await
        };
        answered(outcome.unwrap_or_else(closed))
    }

    /// Runs `work` on this thread. A call to tables in memory takes some ten microseconds, which is less than handing it to
    /// another thread and waiting for that.
    async fn run_here<T>(&self, work: impl FnOnce(&Database) -> T) -> Result<T, Closed> {
        let _permit = self.shared.threads.acquire().await.map_err(|_| Closed)?;
        let database = self.shared.handle()?;
        // The engine survives a panic in a thread of its own as well.
        std::panic::catch_unwind(AssertUnwindSafe(|| work(&database))).map_err(|_| Closed)
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
    /// Nobody is billed for it, as in AWS. A database elsewhere does it by itself, when it does.
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
            let database = self.shared.take();
            // Closing writes SQLite's log back into its file.
            let _ = tokio::task::spawn_blocking(move || drop(database)).await;
            drop(permits);
        }
    }
}

/// What the engine said, as DynamoDB answers it.
fn answered(outcome: Result<Vec<u8>, DynoxideError>) -> Response<Bytes> {
    match outcome {
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

impl Shared {
    fn handle(&self) -> Result<Database, Closed> {
        let Engine::Embedded(database) = &self.engine else {
            return Err(Closed);
        };
        let opened = database.read().unwrap_or_else(PoisonError::into_inner);
        opened
            .as_ref()
            .map(|opened| opened.database.clone())
            .ok_or(Closed)
    }

    fn take(&self) -> Option<Opened> {
        let Engine::Embedded(database) = &self.engine else {
            return None;
        };
        database.write().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").finish_non_exhaustive()
    }
}
