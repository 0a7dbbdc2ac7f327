//! A secret in a file that only its owner can read.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{KeyStore, KeyStoreError, StoreSecret};

/// Keeps the secret in a file of its own, as it is, with mode 0600. Who reads both files reads the store: this protects a
/// store that is copied alone, backed up, or sent along with a report, and nothing else. For a program at a terminal, and
/// where the disk is encrypted by other means. A file that others can read is refused.
#[derive(Clone, Debug)]
pub struct KeyFile(PathBuf);

impl KeyFile {
    /// The secret is in this file, or will be.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

impl KeyStore for KeyFile {
    fn load(&self) -> Result<Option<StoreSecret>, KeyStoreError> {
        let Some(bytes) = read_private(&self.0)? else {
            return Ok(None);
        };
        StoreSecret::from_bytes(&bytes).map(Some)
    }

    fn save(&self, secret: &StoreSecret) -> Result<(), KeyStoreError> {
        Ok(replace(&self.0, secret.as_bytes())?)
    }
}

/// Reads a small file, if it is there and its owner's alone.
pub(super) fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, KeyStoreError> {
    match fs::metadata(path) {
        Ok(metadata) if is_exposed(&metadata) => Err(KeyStoreError::Exposed),
        Ok(_) => Ok(Some(Zeroizing::new(fs::read(path)?))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Puts a file in place of another, whole or not at all, for its owner alone.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path, "-new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    sync_folder(path)
}

/// The path with this at its end.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Waits until the names in a file's folder are on the disk. Where a folder cannot be opened like a file, names are on
/// the disk by other means.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if cfg!(unix) {
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    Ok(())
}

#[cfg(unix)]
fn is_exposed(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0
}

#[cfg(not(unix))]
fn is_exposed(_: &fs::Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_key_file_is_its_owners_alone_or_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.key");
        let keys = KeyFile::new(&path);
        assert!(keys.load().unwrap().is_none());
        for byte in [1, 2] {
            let secret = StoreSecret::from_bytes(&[byte; 32]).unwrap();
            keys.save(&secret).unwrap();
            assert_eq!(keys.load().unwrap().unwrap().as_bytes(), secret.as_bytes());
        }
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(keys.load(), Err(KeyStoreError::Exposed)));
    }

    #[test]
    fn a_file_that_is_no_key_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.key");
        replace(&path, b"not a key").unwrap();
        assert!(matches!(
            KeyFile::new(&path).load(),
            Err(KeyStoreError::Malformed)
        ));
    }
}
