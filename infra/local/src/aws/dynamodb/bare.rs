//! The same puts, reads and deletes as functions made, done again straight against the engine: no SDK, no HTTP, no
//! function, no thread in between. What the way costs beyond its database is the difference.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use dynoxide::storage_backend::SystemClock;

use super::operations::Call;
use super::storage::{Opened, Storage};
use super::tables;
use crate::cloud::CloudError;
use crate::template::TableSpec;

/// Calls that are kept: about 150 MB of them.
const MOST_CALLS: usize = 100_000;

/// Calls to the database, oldest first.
#[derive(Default)]
pub struct Recorded {
    calls: Vec<(Call, Bytes)>,
    /// How many calls there were after the last that is kept.
    left_out: u64,
}

impl Recorded {
    /// How many calls are kept.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// How many calls there were, kept or not.
    pub fn made(&self) -> u64 {
        self.left_out + u64::try_from(self.calls.len()).unwrap_or(u64::MAX)
    }
}

/// Keeps calls while it is told to.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Option<Recorded>>);

impl Recorder {
    pub(super) fn begin(&self) {
        self.lock().get_or_insert_default();
    }

    pub(super) fn end(&self) -> Recorded {
        self.lock().take().unwrap_or_default()
    }

    pub(super) fn keep(&self, call: Call, body: &Bytes) {
        if let Some(recorded) = &mut *self.lock() {
            if recorded.calls.len() < MOST_CALLS {
                recorded.calls.push((call, body.clone()));
            } else {
                recorded.left_out += 1;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Recorded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An engine in memory with a template's tables, and nothing around it.
pub struct Bare(Opened);

impl Bare {
    /// Opens it. Blocks.
    ///
    /// # Errors
    /// As [`Cloud::open`](crate::cloud::Cloud::open).
    pub fn open<'a>(tables: impl IntoIterator<Item = &'a TableSpec>) -> Result<Self, CloudError> {
        let opened = Storage::Memory.open(SystemClock::arc())?;
        for table in tables {
            tables::make(&opened.database, table)?;
        }
        Ok(Self(opened))
    }

    /// Does the calls again, one after the other. Blocks. Their outcomes are those they had, and are dropped.
    pub fn run(&self, recorded: &Recorded) {
        for (call, body) in &recorded.calls {
            let _ = call.run(&self.0.database, body);
        }
    }
}
