//! Encrypting a file that a version without encryption left.
//!
//! An encrypted copy is made beside the file; then the two change places by renaming; then the old one is overwritten
//! and deleted. A crash at any point leaves one of the two whole, and the next opening goes on ([`finish`]). Bytes that
//! a file system or a disk moved elsewhere before are out of reach.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{
    StoreError,
    file::{be_silent, connect, private},
    in_use,
};
use crate::keys::{StoreSecret, beside, sync_folder};

/// Goes on where a crash ended an [`encrypt`].
pub(super) fn finish(path: &Path) -> Result<(), StoreError> {
    let (fresh, aside) = (fresh(path), aside(path));
    if aside.exists() {
        if !path.exists() {
            // The old file is moved only once the fresh one is whole.
            fs::rename(if fresh.exists() { &fresh } else { &aside }, path)?;
            sync_folder(path)?;
        }
        if aside.exists() {
            wipe(&aside)?;
        }
    }
    remove_fresh(path)?;
    Ok(())
}

/// Encrypts the file. Nobody else has it open.
pub(super) fn encrypt(path: &Path, key: &StoreSecret) -> Result<(), StoreError> {
    remove_fresh(path)?;
    copy(path, key)?;
    put_aside(path)?;
    put_in_place(path)?;
    Ok(wipe(&aside(path))?)
}

/// Makes the encrypted copy, whole and on the disk.
fn copy(path: &Path, key: &StoreSecret) -> Result<(), StoreError> {
    let fresh = fresh(path);
    private().open(&fresh)?;
    let connection = connect(path)?;
    let version: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(in_use)?;
    // As a parameter: SQLite reports statements, not parameters.
    connection.execute(
        "ATTACH DATABASE ?1 AS fresh KEY ?2",
        (fresh.to_string_lossy(), key.literal().as_str()),
    )?;
    be_silent(&connection)?;
    connection.query_row("SELECT sqlcipher_export('fresh')", [], |_| Ok(()))?;
    connection.pragma_update(Some("fresh"), "user_version", version)?;
    let sound: String = connection.query_row("PRAGMA fresh.integrity_check(1)", [], |row| row.get(0))?;
    if sound != "ok" {
        return Err(StoreError::Damaged("encrypted copy"));
    }
    connection.execute_batch("DETACH DATABASE fresh")?;
    File::open(&fresh)?.sync_all()?;
    empty_wal(&connection, path)?;
    connection.close().map_err(|(_, error)| StoreError::Sqlite(error))
}

/// Overwrites the `-wal` of the unencrypted file once all of it is in the file, which SQLite then deletes.
fn empty_wal(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let wal = beside(path, "-wal");
    if wal.exists() {
        let (written, moved): (i64, i64) =
            connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |row| {
                Ok((row.get(1)?, row.get(2)?))
            })?;
        if written != moved {
            return Err(StoreError::InUse);
        }
        overwrite(&wal)?;
    }
    Ok(())
}

fn put_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, aside(path))?;
    sync_folder(path)
}

fn put_in_place(path: &Path) -> io::Result<()> {
    fs::rename(fresh(path), path)?;
    sync_folder(path)
}

/// Overwrites a file and deletes it.
fn wipe(path: &Path) -> io::Result<()> {
    overwrite(path)?;
    fs::remove_file(path)
}

/// Overwrites a file with zeros: its first bytes first, without which SQLite takes none of the rest for content.
fn overwrite(path: &Path) -> io::Result<()> {
    let mut file = private().open(path)?;
    let length = file.metadata()?.len();
    file.rewind()?;
    for part in [length.min(HEADER_BYTES), length.saturating_sub(HEADER_BYTES)] {
        io::copy(&mut io::repeat(0).take(part), &mut file)?;
        file.flush()?;
        file.sync_all()?;
    }
    Ok(())
}

/// Bytes that a file and a `-wal` begin with before they hold content (SQLite's file format, sections 1.3 and 4.1).
const HEADER_BYTES: u64 = 32;

fn remove_fresh(path: &Path) -> io::Result<()> {
    for suffix in ["", "-journal", "-wal", "-shm"] {
        match fs::remove_file(beside(&fresh(path), suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// The encrypted copy while it is made.
fn fresh(path: &Path) -> PathBuf {
    beside(path, "-encrypting")
}

/// The old file while it waits to be overwritten.
fn aside(path: &Path) -> PathBuf {
    beside(path, "-plain")
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use tempfile::TempDir;

    use super::*;
    use crate::{
        config::{Durability, StoreLocation},
        keys::KeyStore,
        store::{Store, dump},
        testing::{HeldKey, Party, account},
    };

    const TEXT: &str = "written before there was encryption";

    /// A store that an older version left, as after a crash: with a `-wal`. And every row of it.
    fn old_store() -> (TempDir, PathBuf, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device.db");
        let written = folder.path().join("written.db");
        let mut party = Party::at_location(StoreLocation::Unencrypted(written.clone()), account(1), 1, 11);
        let mut other = Party::new(account(2), 1, 12);
        party.meet(&mut other);
        party.send(other.account(), TEXT);
        let rows = party.store.read_now(dump).unwrap();
        for suffix in ["", "-wal"] {
            fs::copy(beside(&written, suffix), beside(&path, suffix)).unwrap();
        }
        party.store.close().unwrap();
        fs::remove_file(&written).unwrap();
        fs::remove_file(beside(&written, "-lock")).unwrap();
        (folder, path, rows)
    }

    fn open(path: &Path, keys: &HeldKey) -> Vec<String> {
        let location = StoreLocation::file(path, keys.clone());
        let store = Store::open(&location, Durability::PowerLoss, &mut StdRng::seed_from_u64(7)).unwrap();
        store.read_now(dump).unwrap()
    }

    /// Names and bytes of what is in a folder.
    fn files(folder: &Path) -> (Vec<String>, Vec<u8>) {
        let (mut names, mut bytes) = (Vec::new(), Vec::new());
        for file in fs::read_dir(folder).unwrap() {
            let path = file.unwrap().path();
            names.push(path.file_name().unwrap().to_string_lossy().into_owned());
            bytes.extend(fs::read(path).unwrap());
        }
        names.sort();
        (names, bytes)
    }

    fn shows_text(folder: &Path) -> bool {
        let (_, bytes) = files(folder);
        bytes.windows(TEXT.len()).any(|window| window == TEXT.as_bytes())
    }

    #[test]
    fn a_file_of_an_older_version_is_encrypted_and_nothing_of_it_is_lost() {
        let (folder, path, rows) = old_store();
        assert!(shows_text(folder.path()));
        let keys = HeldKey::default();
        assert_eq!(open(&path, &keys), rows);
        assert!(!shows_text(folder.path()));
        assert_eq!(files(folder.path()).0, ["device.db", "device.db-lock"]);
        assert_eq!(open(&path, &keys), rows);
    }

    #[test]
    fn a_crash_at_any_step_of_encrypting_an_old_file_loses_nothing() {
        type Step = dyn Fn(&Path, &StoreSecret);
        let steps: [&Step; 4] = [
            &|path, _| fs::write(fresh(path), b"begun").unwrap(),
            &|path, key| {
                remove_fresh(path).unwrap();
                copy(path, key).unwrap();
            },
            &|path, _| put_aside(path).unwrap(),
            &|path, _| put_in_place(path).unwrap(),
        ];
        for done in 0..=steps.len() {
            let (folder, path, rows) = old_store();
            let keys = HeldKey::holding(&[3; 32]);
            let key = keys.load().unwrap().unwrap();
            for step in &steps[..done] {
                step(&path, &key);
            }
            assert_eq!(open(&path, &keys), rows, "after {done} steps");
            assert!(!shows_text(folder.path()), "after {done} steps");
            assert_eq!(
                files(folder.path()).0,
                ["device.db", "device.db-lock"],
                "after {done} steps"
            );
        }
    }

    #[test]
    fn the_old_files_bytes_are_overwritten_before_they_are_deleted() {
        let (folder, path, _) = old_store();
        // Another name for the same bytes on the disk.
        let same = folder.path().join("same");
        let same_wal = folder.path().join("same-wal");
        fs::hard_link(&path, &same).unwrap();
        fs::hard_link(beside(&path, "-wal"), &same_wal).unwrap();
        open(&path, &HeldKey::default());
        for file in [same, same_wal] {
            assert!(fs::read(&file).unwrap().iter().all(|&byte| byte == 0), "{file:?}");
        }
    }
}
