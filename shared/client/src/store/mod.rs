//! The device's state, in SQLite: one writer, short transactions, nothing held across an `await`.
//!
//! What must not come apart is written by one transaction: a message with the ratchet state that decrypted
//! it, a ciphertext with the ratchet state that made it. Callers in [`outbox`](crate::outbox) and
//! [`receive`](crate::receive) say what belongs together; the files here know one table each.
//!
//! One client at a time: the file is locked for as long as it is open, since two clients on one state would
//! use the same message keys twice.
//!
//! # Layout
//! [`file`]: the file, its lock and its encryption. [`plain`]: files of versions that did not encrypt. [`schema`]: tables
//! and migrations. [`columns`]: ids to and from columns. Then one file a table.

pub(crate) mod asks;
pub(crate) mod channels;
pub(crate) mod columns;
#[cfg(test)]
pub(crate) mod crash;
pub(crate) mod directory;
pub(crate) mod early_receipts;
mod file;
pub(crate) mod histories;
pub(crate) mod identity;
pub(crate) mod joining;
pub(crate) mod lists;
pub(crate) mod messages;
pub(crate) mod newcomers;
pub(crate) mod offers;
pub(crate) mod outbox;
pub(crate) mod peers;
pub(crate) mod places;
mod plain;
pub(crate) mod prekeys;
pub(crate) mod push;
pub(crate) mod read_elsewhere;
pub(crate) mod receipts;
pub(crate) mod received;
mod schema;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod timeline;
pub(crate) mod verified;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::CryptoRng;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

use self::file::Opened;
use crate::{
    config::{Durability, StoreLocation},
    keys::KeyStoreError,
};

/// Why the store did not do what was asked. Whatever was asked is undone as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// SQLite failed; the source says how.
    #[error("the local store failed; check the disk's free space and permissions")]
    Sqlite(#[from] rusqlite::Error),
    /// The file could not be made or opened.
    #[error("the store's file could not be opened; check its folder and permissions")]
    File(#[from] std::io::Error),
    /// The key could not be had from where the app keeps it, or not be kept there.
    #[error(transparent)]
    Key(#[from] KeyStoreError),
    /// The store is encrypted, and no key is kept for it.
    #[error("the store's key is gone, and nothing opens it without; begin anew with an empty store")]
    KeyMissing,
    /// The key that is kept does not open the file: it is another store's, or the file is damaged.
    #[error("the key does not open the store; is it this store's?")]
    WrongKey,
    /// The store has no key that could be changed.
    #[error("the store is not encrypted")]
    NotEncrypted,
    /// A stored value is not what was stored there.
    #[error("the local store is damaged ({0}); link the device anew")]
    Damaged(&'static str),
    /// Another client has the file open.
    #[error("the store is in use by another client; close that one first")]
    InUse,
    /// A newer version of the software wrote the file.
    #[error("the store was written by a newer version ({found}, this one knows {known}); update the app")]
    Newer {
        /// The version of the file.
        found: u32,
        /// The newest version this software knows.
        known: u32,
    },
    /// The client was closed.
    #[error("the client is closed; open it again")]
    Closed,
}

/// The open store. Cheap to clone: all clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    opened: Arc<Mutex<Option<Opened>>>,
    durability: Durability,
    #[cfg(test)]
    pub(crate) crash: crash::Crash,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file, makes or migrates its tables and locks it. A new store's key comes from `rng`. Blocks.
    pub(crate) fn open(
        location: &StoreLocation,
        durability: Durability,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, StoreError> {
        let mut opened = file::open(location, rng)?;
        set_synchronous(&opened.connection, durability)?;
        opened
            .connection
            .set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        schema::migrate(&mut opened.connection)?;
        Ok(Self {
            opened: Arc::new(Mutex::new(Some(opened))),
            durability,
            #[cfg(test)]
            crash: crash::Crash::default(),
        })
    }

    /// Runs `work` in one transaction: committed if it returns `Ok`, undone otherwise. Blocks for as long as
    /// the disk takes.
    pub(crate) fn write_now<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut guard = self.lock();
        let connection = &mut guard.as_mut().ok_or(StoreError::Closed)?.connection;
        self.transact(connection, work)
    }

    /// As [`write_now`](Self::write_now), off the caller's thread. A transaction that has begun ends, also
    /// when the future is dropped.
    pub(crate) async fn write<T, E>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let store = self.clone();
        off_thread(move || store.write_now(work)).await
    }

    /// As [`write_now`](Self::write_now), but the commit does not wait for the disk: after a loss of power it
    /// may be undone. Only for what may be.
    pub(crate) fn write_lightly_now<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut guard = self.lock();
        let connection = &mut guard.as_mut().ok_or(StoreError::Closed)?.connection;
        set_synchronous(connection, Durability::ProcessCrash)?;
        let done = self.transact(connection, work);
        set_synchronous(connection, self.durability)?;
        done
    }

    /// Reads one state of the store. Blocks shortly.
    pub(crate) fn read_now<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut guard = self.lock();
        let connection = &mut guard.as_mut().ok_or(StoreError::Closed)?.connection;
        let tx = connection.transaction()?;
        work(&tx)
    }

    /// As [`read_now`](Self::read_now), off the caller's thread.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        off_thread(move || store.read_now(work)).await
    }

    /// Runs several transactions off the caller's thread, with one change of threads.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        off_thread(move || Ok(work(&store))).await
    }

    /// Encrypts everything under a new key. After an error the store is closed. Blocks for as long as it takes to write
    /// all of it.
    pub(crate) fn change_key(&self, rng: &mut impl CryptoRng) -> Result<(), StoreError> {
        let mut guard = self.lock();
        let opened = guard.as_ref().ok_or(StoreError::Closed)?;
        match opened.change_key(rng) {
            Err(StoreError::NotEncrypted) => Err(StoreError::NotEncrypted),
            Err(error) => {
                *guard = None;
                Err(error)
            }
            Ok(()) => Ok(()),
        }
    }

    /// Closes the file for all clones. Blocks.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        match self.lock().take() {
            Some(opened) => opened.close(),
            None => Ok(()),
        }
    }

    fn transact<T, E: From<StoreError>>(
        &self,
        connection: &mut Connection,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        #[cfg(test)]
        let crash = self.crash.due();
        let tx = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(StoreError::from)?;
        let done = work(&tx)?;
        #[cfg(test)]
        if crash == Some(crash::Side::Before) {
            return Err(StoreError::Closed.into());
        }
        tx.commit().map_err(StoreError::from)?;
        #[cfg(test)]
        if crash == Some(crash::Side::After) {
            return Err(StoreError::Closed.into());
        }
        Ok(done)
    }

    /// A panic inside `work` undid its transaction: the state behind a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Prepared statements kept: more than the code has.
const STATEMENTS_CACHED: usize = 144;

/// WAL with FULL waits for the disk at every commit, with NORMAL only at checkpoints.
fn set_synchronous(connection: &Connection, durability: Durability) -> Result<(), StoreError> {
    let level = match durability {
        Durability::PowerLoss => "FULL",
        Durability::ProcessCrash => "NORMAL",
    };
    Ok(connection.pragma_update(None, "synchronous", level)?)
}

async fn off_thread<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels a blocking task.
            Err(_) => Err(StoreError::Closed.into()),
        },
    }
}

fn in_use(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::InUse,
        _ => error.into(),
    }
}

/// Every row of every table as text, to see that nothing changed.
#[cfg(test)]
pub(crate) fn dump(tx: &Transaction<'_>) -> Result<Vec<String>, StoreError> {
    let tables =
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY 1";
    let names: Vec<String> = tx
        .prepare(tables)?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut rows = Vec::new();
    for name in names {
        let mut select = tx.prepare(&format!("SELECT * FROM {name} ORDER BY 1"))?;
        let columns = select.column_count();
        let read = select.query_map([], |row| {
            let values: Result<Vec<rusqlite::types::Value>, _> = (0..columns).map(|at| row.get(at)).collect();
            Ok(format!("{name} {:?}", values?))
        })?;
        rows.extend(read.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    fn open(location: &StoreLocation) -> Result<Store, StoreError> {
        Store::open(location, Durability::PowerLoss, &mut StdRng::seed_from_u64(1))
    }

    #[test]
    fn a_second_client_on_the_same_file_is_refused_until_the_first_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Unencrypted(folder.path().join("device.db"));
        let first = open(&location).unwrap();
        assert!(matches!(open(&location), Err(StoreError::InUse)));
        first.close().unwrap();
        assert!(matches!(first.read_now(|_| Ok(())), Err(StoreError::Closed)));
        open(&location).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_the_store() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let location = StoreLocation::Unencrypted(folder.path().join("device.db"));
        let store = open(&location).unwrap();
        for file in std::fs::read_dir(folder.path()).unwrap() {
            let file = file.unwrap();
            assert_eq!(
                file.metadata().unwrap().permissions().mode() & 0o077,
                0,
                "{:?}",
                file.path()
            );
        }
        store.close().unwrap();
        let nowhere = StoreLocation::Unencrypted(folder.path().join("no such folder/device.db"));
        assert!(matches!(open(&nowhere), Err(StoreError::File(_))));
    }

    #[test]
    fn a_transaction_that_fails_leaves_nothing_behind() {
        let store = open(&StoreLocation::Memory).unwrap();
        let failed: Result<(), StoreError> = store.write_now(|tx| {
            tx.execute_batch("CREATE TABLE leftover (x INTEGER) STRICT")?;
            Err(StoreError::Damaged("on purpose"))
        });
        assert!(failed.is_err());
        let tables: i64 = store
            .read_now(|tx| {
                let count = "SELECT count(*) FROM sqlite_schema WHERE name = 'leftover'";
                Ok(tx.query_row(count, [], |row| row.get(0))?)
            })
            .unwrap();
        assert_eq!(tables, 0);
    }
}
