//! The store's file: locked, encrypted, and opened with the key that the app keeps.
//!
//! SQLCipher encrypts every page, of the file and of its `-wal`, under a key of 32 random bytes; it derives nothing
//! slowly from it, so opening costs what opening costs.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read},
    path::Path,
    sync::Arc,
    time::Duration,
};

use rand::CryptoRng;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use zeroize::Zeroizing;

use super::{StoreError, in_use, plain};
use crate::{
    config::StoreLocation,
    keys::{KeyStore, StoreSecret, beside},
};

/// An open file.
pub(super) struct Opened {
    pub(super) connection: Connection,
    /// Who keeps its key.
    keys: Option<Arc<dyn KeyStore>>,
    /// Held for as long as it is open: also while no SQLite connection is, and keys are made.
    _lock: Option<File>,
}

/// Opens what is at a location, makes it if it is not there, and locks it.
pub(super) fn open(location: &StoreLocation, rng: &mut impl CryptoRng) -> Result<Opened, StoreError> {
    match location {
        StoreLocation::Memory => {
            let connection = Connection::open_in_memory_with_flags(flags())?;
            configure(&connection)?;
            Ok(Opened {
                connection,
                keys: None,
                _lock: None,
            })
        }
        StoreLocation::Unencrypted(path) => {
            let lock = lock(path)?;
            let connection = connect(path)?;
            configure(&connection)?;
            Ok(Opened {
                connection,
                keys: None,
                _lock: Some(lock),
            })
        }
        StoreLocation::File { path, keys } => {
            let lock = lock(path)?;
            plain::finish(path)?;
            let secret = secret(path, keys.as_ref(), rng)?;
            if content(path)? == Content::Plain {
                plain::encrypt(path, &newest(&secret))?;
            }
            let (connection, key) = connect_with(path, &secret)?;
            if secret.is_changing() {
                keys.save(&key)?;
            }
            Ok(Opened {
                connection,
                keys: Some(keys.clone()),
                _lock: Some(lock),
            })
        }
    }
}

impl Opened {
    /// Closes the file.
    pub(super) fn close(self) -> Result<(), StoreError> {
        self.connection
            .close()
            .map_err(|(_, error)| StoreError::Sqlite(error))
    }

    /// Encrypts everything under a new key. After an error the file opens under the one key or the other, and this
    /// connection is not to be used any more.
    pub(super) fn change_key(&self, rng: &mut impl CryptoRng) -> Result<(), StoreError> {
        let keys = self.keys.as_ref().ok_or(StoreError::NotEncrypted)?;
        let old = newest(&keys.load()?.ok_or(StoreError::KeyMissing)?);
        let next = StoreSecret::random(rng);
        keys.save(&old.changing_to(&next))?;
        self.connection.execute_batch(&pragma("rekey", &next))?;
        // Also what was written under the old key goes.
        checkpoint(&self.connection)?;
        Ok(keys.save(&next)?)
    }
}

/// What a file holds, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Nothing yet.
    Nothing,
    /// A store of a version that did not encrypt.
    Plain,
    /// What cannot be told from noise.
    Encrypted,
}

pub(super) fn content(path: &Path) -> io::Result<Content> {
    let mut first = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(PLAIN.len() as u64).read_to_end(&mut first)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
        Err(error) => return Err(error),
    };
    Ok(match first.as_slice() {
        [] => Content::Nothing,
        PLAIN => Content::Plain,
        _ => Content::Encrypted,
    })
}

/// How every SQLite file begins that is not encrypted.
const PLAIN: &[u8] = b"SQLite format 3\0";

/// Locks a store beside its file: SQLite's own lock comes later than the key is made, and two clients that make one each
/// would leave a file that neither's opens.
fn lock(path: &Path) -> Result<File, StoreError> {
    let file = private().open(beside(path, "-lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The secret that is kept; a new one if there is none and nothing that it would have to open.
fn secret(path: &Path, keys: &dyn KeyStore, rng: &mut impl CryptoRng) -> Result<StoreSecret, StoreError> {
    if let Some(secret) = keys.load()? {
        return Ok(secret);
    }
    if content(path)? == Content::Encrypted {
        return Err(StoreError::KeyMissing);
    }
    let secret = StoreSecret::random(rng);
    keys.save(&secret)?;
    Ok(secret)
}

fn newest(secret: &StoreSecret) -> StoreSecret {
    secret.keys().next().unwrap_or_else(|| secret.clone())
}

/// Opens the file with the key that fits: of two, after a change of the key that did not end, either may.
fn connect_with(path: &Path, secret: &StoreSecret) -> Result<(Connection, StoreSecret), StoreError> {
    for key in secret.keys() {
        let connection = connect(path)?;
        connection.execute_batch(&pragma("key", &key))?;
        be_silent(&connection)?;
        match configure(&connection) {
            Ok(()) => return Ok((connection, key)),
            Err(StoreError::WrongKey) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::WrongKey)
}

/// Opens the file, and makes it if it is not there so that only its owner can read it. SQLite gives its other files the
/// same permissions.
pub(super) fn connect(path: &Path) -> Result<Connection, StoreError> {
    private().open(path)?;
    let connection = Connection::open_with_flags(path, flags())?;
    // Whoever has the file keeps it: waiting for it is in vain.
    connection.busy_timeout(Duration::ZERO)?;
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    Ok(connection)
}

fn flags() -> OpenFlags {
    OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE
}

/// Sets what holds for as long as it is open. The first that reads the file.
fn configure(connection: &Connection) -> Result<(), StoreError> {
    // A used key is overwritten, not only unlinked.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    let set = connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
    set.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::WrongKey,
        _ => in_use(error),
    })
}

/// Brings everything from the `-wal` into the file, and empties it.
fn checkpoint(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?)
}

/// Keeps SQLCipher from writing to stderr what comes back as an error anyway. It begins to when the first key is set.
pub(super) fn be_silent(connection: &Connection) -> Result<(), StoreError> {
    Ok(connection.pragma_update_and_check(None, "cipher_log_level", "NONE", |_| Ok(()))?)
}

/// A statement with a key in it.
fn pragma(name: &str, key: &StoreSecret) -> Zeroizing<String> {
    let literal = key.literal();
    let mut statement = Zeroizing::new(String::with_capacity(name.len() + literal.len() + 16));
    for part in ["PRAGMA ", name, " = \"", &literal, "\""] {
        statement.push_str(part);
    }
    statement
}

/// How files are made that only their owner can read.
pub(super) fn private() -> OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::PathBuf};

    use rand::{SeedableRng, rngs::StdRng};
    use waxwing_wire::AccountId;

    use super::*;
    use crate::{
        config::Durability,
        keys::KeyStoreError,
        store::{Store, dump},
        testing::{HeldKey, Party, account},
    };

    const TEXT: &str = "rowan berries in the winter of 1904";

    fn open(path: &Path, keys: &HeldKey) -> Result<Store, StoreError> {
        let location = StoreLocation::file(path, keys.clone());
        Store::open(&location, Durability::PowerLoss, &mut StdRng::seed_from_u64(7))
    }

    fn rows(store: &Store) -> Vec<String> {
        store.read_now(dump).unwrap()
    }

    /// A device that wrote to another and heard of it, at this location.
    fn used(location: StoreLocation) -> Party {
        let mut party = Party::at_location(location, account(1), 1, 11);
        let mut other = Party::new(account(2), 1, 12);
        party.meet(&mut other);
        other.meet(&mut party);
        other.receive_all(&party.send(other.account(), TEXT));
        party.receive_all(&other.send(party.account(), TEXT));
        party
    }

    /// Every byte in the folder.
    fn bytes(folder: &Path) -> Vec<u8> {
        let files = fs::read_dir(folder).unwrap();
        files
            .flat_map(|file| fs::read(file.unwrap().path()).unwrap())
            .collect()
    }

    fn holds(bytes: &[u8], part: &[u8]) -> bool {
        bytes.windows(part.len()).any(|window| window == part)
    }

    /// Whatever an open store of a device may show to one who has its files: what was written, private keys, ids.
    fn shown(party: &Party, folder: &Path) -> Vec<&'static str> {
        let identity: Vec<u8> = party
            .store
            .read_now(|tx| Ok(tx.query_row("SELECT identity_key FROM this_device", [], |row| row.get(0))?))
            .unwrap();
        let session: Vec<u8> = party
            .store
            .read_now(|tx| Ok(tx.query_row("SELECT state FROM sessions", [], |row| row.get(0))?))
            .unwrap();
        let other: AccountId = account(2);
        let bytes = bytes(folder);
        let parts: [(&str, &[u8]); 5] = [
            ("text", TEXT.as_bytes()),
            ("private key", &identity),
            ("session", &session[session.len() - 32..]),
            ("account", &other.to_bytes()),
            ("schema", b"CREATE TABLE"),
        ];
        let found = parts.into_iter().filter(|(_, part)| holds(&bytes, part));
        found.map(|(name, _)| name).collect()
    }

    /// K22.
    #[test]
    fn the_files_of_a_store_show_neither_text_nor_keys_nor_ids() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.db");
        let party = used(StoreLocation::file(&path, HeldKey::default()));
        assert!(fs::metadata(beside(&path, "-wal")).unwrap().len() > 0);
        assert_eq!(shown(&party, folder.path()), [""; 0]);
        // And once everything is in the file itself.
        let bytes_in_wal = bytes(folder.path()).len();
        party.store.close().unwrap();
        assert!(bytes_in_wal > 0 && !beside(&path, "-wal").exists());
        assert!(!holds(&bytes(folder.path()), TEXT.as_bytes()));

        // What is looked for is what an unencrypted store shows.
        let folder = tempfile::tempdir().unwrap();
        let party = used(StoreLocation::Unencrypted(folder.path().join("device.db")));
        assert_eq!(
            shown(&party, folder.path()),
            ["text", "private key", "session", "account", "schema"]
        );
    }

    #[test]
    fn a_store_opens_again_with_its_key_and_not_with_another_nor_with_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.db");
        let keys = HeldKey::default();
        let party = used(StoreLocation::file(&path, keys.clone()));
        let before = rows(&party.store);
        party.store.close().unwrap();

        let other = HeldKey::holding(&[9; 32]);
        assert!(matches!(open(&path, &other), Err(StoreError::WrongKey)));
        let none = HeldKey::default();
        assert!(matches!(open(&path, &none), Err(StoreError::KeyMissing)));
        assert!(none.load().unwrap().is_none(), "a key was made for nothing");
        let unencrypted = StoreLocation::Unencrypted(path.clone());
        assert!(matches!(
            Store::open(&unencrypted, Durability::PowerLoss, &mut StdRng::seed_from_u64(7)),
            Err(StoreError::WrongKey)
        ));
        assert_eq!(rows(&open(&path, &keys).unwrap()), before);
    }

    #[test]
    fn a_key_store_that_fails_is_said_to_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.db");
        let keys = HeldKey::default();
        keys.fail(true);
        assert!(matches!(
            open(&path, &keys),
            Err(StoreError::Key(KeyStoreError::Locked))
        ));
        assert!(!path.exists());
        keys.fail(false);
        open(&path, &keys).unwrap();
    }

    #[test]
    fn two_clients_that_open_a_new_store_at_once_make_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.db");
        let keys = HeldKey::default();
        let opened: Vec<_> = std::thread::scope(|scope| {
            let opening: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&path, &keys))).collect();
            opening.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(opened.iter().filter(|store| store.is_ok()).count(), 1);
        assert_eq!(keys.saved(), 1);
        drop(opened);
        open(&path, &keys).unwrap();
    }

    #[test]
    fn after_a_change_of_key_the_old_one_opens_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.db");
        let keys = HeldKey::default();
        let party = used(StoreLocation::file(&path, keys.clone()));
        let old = keys.load().unwrap().unwrap();
        let pages = |path: &Path| -> BTreeSet<Vec<u8>> {
            let file = fs::read(path).unwrap();
            file.chunks(4096).map(<[u8]>::to_vec).collect()
        };
        party.store.close().unwrap();
        let before = pages(&path);
        let store = open(&path, &keys).unwrap();
        let content = rows(&store);
        store.change_key(&mut StdRng::seed_from_u64(8)).unwrap();
        assert_eq!(rows(&store), content);
        let folder_now = bytes(folder.path());
        assert!(before.iter().all(|page| !holds(&folder_now, &page[..32])));
        store.write_now::<_, StoreError>(|_| Ok(())).unwrap();
        store.close().unwrap();

        let new = keys.load().unwrap().unwrap();
        assert!(!new.is_changing() && new.as_bytes() != old.as_bytes());
        assert!(matches!(
            open(&path, &HeldKey::holding(old.as_bytes())),
            Err(StoreError::WrongKey)
        ));
        assert_eq!(rows(&open(&path, &keys).unwrap()), content);
    }

    #[test]
    fn a_change_of_key_that_a_crash_cut_short_is_settled_by_the_next_opening() {
        for committed in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let path: PathBuf = folder.path().join("device.db");
            let keys = HeldKey::default();
            let party = used(StoreLocation::file(&path, keys.clone()));
            let content = rows(&party.store);
            let old = keys.load().unwrap().unwrap();
            let next = StoreSecret::from_bytes(&[5; 32]).unwrap();
            keys.save(&old.changing_to(&next)).unwrap();
            if committed {
                let guard = party.store.lock();
                let connection = &guard.as_ref().unwrap().connection;
                connection.execute_batch(&pragma("rekey", &next)).unwrap();
            }
            party.store.close().unwrap();
            let store = open(&path, &keys).unwrap();
            assert_eq!(rows(&store), content);
            let kept = keys.load().unwrap().unwrap();
            let expected = if committed { &next } else { &old };
            assert_eq!(kept.as_bytes(), expected.as_bytes(), "committed: {committed}");
        }
    }

    #[test]
    fn what_has_no_key_has_none_to_change() {
        let mut rng = StdRng::seed_from_u64(1);
        let store = Store::open(&StoreLocation::Memory, Durability::PowerLoss, &mut rng).unwrap();
        assert!(matches!(
            store.change_key(&mut rng),
            Err(StoreError::NotEncrypted)
        ));
        store.read_now(dump).unwrap();
    }
}
