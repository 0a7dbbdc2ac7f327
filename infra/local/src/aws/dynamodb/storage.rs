//! Where the tables are: in memory, or in a directory that outlives the run.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dynoxide::storage_backend::Clock;
use dynoxide::{Database, DynoxideError};
use thiserror::Error;

/// The database's file in a directory.
pub const DATABASE_FILE: &str = "dynamodb.sqlite";

/// Held while a runner uses a directory.
const LOCK_FILE: &str = "lock";

/// Where a runner keeps its tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Storage {
    /// Gone with the runner.
    #[default]
    Memory,
    /// In files of this directory. A write that was answered survives a crash and a power cut: every commit
    /// is flushed to the disk first, about a thousand a second.
    Directory(PathBuf),
    /// In files of this directory, **not crash safe**: commits are left to the operating system's cache.
    /// Faster, and good for runs whose files nobody would miss.
    FastDirectory(PathBuf),
    /// In a database that runs at this address (`http://127.0.0.1:4566`), an emulator that others wrote: a second
    /// opinion on the engine here. Every run has tables of its own there, and leaves them behind.
    Elsewhere(String),
}

/// Why the tables could not be opened.
#[derive(Debug, Error)]
pub enum StorageError {
    /// The directory cannot be made or its lock file opened.
    #[error("{path} cannot be used: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another runner uses the directory.
    #[error("{0} is in use by another runner")]
    InUse(PathBuf),
    /// The path is not one the database can use.
    #[error("{0} is not a path that SQLite can use: it is not UTF-8")]
    Path(PathBuf),
    /// The tables are elsewhere.
    #[error("the tables are at {0}: there is nothing to open here")]
    Elsewhere(String),
    /// The database refused.
    #[error("the database cannot be opened: {0}")]
    Database(#[from] DynoxideError),
}

/// An open database, and the lock on its directory.
pub struct Opened {
    pub(crate) database: Database,
    /// None in memory. After the database: unlocked only when its files are closed.
    lock: Option<File>,
}

impl Opened {
    /// Whether nothing of it is in files.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.lock.is_none()
    }
}

impl Storage {
    /// Opens the database, which is made if it does not exist. Blocks.
    ///
    /// `clock` decides what is expired. Files are swept by the system's clock instead: the engine takes a
    /// clock for memory only.
    ///
    /// # Errors
    /// Every case of [`StorageError`].
    pub fn open(&self, clock: Arc<dyn Clock>) -> Result<Opened, StorageError> {
        match self {
            Self::Memory => Ok(Opened {
                database: Database::memory_with_clock(clock)?,
                lock: None,
            }),
            Self::Directory(path) => open_directory(path),
            Self::FastDirectory(path) => {
                let opened = open_directory(path)?;
                opened.database.enable_bulk_loading()?;
                Ok(opened)
            }
            Self::Elsewhere(endpoint) => Err(StorageError::Elsewhere(endpoint.clone())),
        }
    }
}

fn open_directory(path: &Path) -> Result<Opened, StorageError> {
    let failed = |source| StorageError::Directory {
        path: path.to_owned(),
        source,
    };
    std::fs::create_dir_all(path).map_err(failed)?;
    let lock = File::create(path.join(LOCK_FILE)).map_err(failed)?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => StorageError::InUse(path.to_owned()),
        TryLockError::Error(source) => failed(source),
    })?;
    let file = path.join(DATABASE_FILE);
    let name = file.to_str().ok_or_else(|| StorageError::Path(path.to_owned()))?;
    Ok(Opened {
        database: Database::new(name)?,
        lock: Some(lock),
    })
}

#[cfg(test)]
mod tests {
    use dynoxide::storage_backend::SystemClock;

    use super::*;

    #[test]
    fn a_directory_has_one_runner_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let storage = Storage::Directory(directory.path().join("new"));
        let first = storage.open(SystemClock::arc()).unwrap();
        assert!(matches!(
            storage.open(SystemClock::arc()),
            Err(StorageError::InUse(_))
        ));
        drop(first);
        storage.open(SystemClock::arc()).unwrap();
    }

    #[test]
    fn a_path_that_is_no_directory_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let Err(error) = Storage::Directory(file.path().to_owned()).open(SystemClock::arc()) else {
            panic!("a file was taken for a directory");
        };
        assert!(
            error.to_string().contains(file.path().to_str().unwrap()),
            "{error}"
        );
    }
}
