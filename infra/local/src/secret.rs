//! The secret of a run: what stands in for every parameter that is one (`NoEcho`) and has no default.
//!
//! On AWS whoever deploys gives such a parameter a value and keeps it. Here the runner makes one up, and keeps it
//! beside the tables: what is hashed under it must be found again.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use rand::Rng;
use rand::rngs::StdRng;

/// The file in the directory of the tables.
const FILE: &str = "secret";

/// Random bytes of a secret; it has twice as many characters.
const BYTES: usize = 32;

/// A new secret: 64 hexadecimal digits.
pub fn fresh() -> String {
    let mut rng: StdRng = rand::make_rng();
    let mut bytes = [0; BYTES];
    rng.fill_bytes(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The secret that is kept in `directory`, made if there is none. Blocks.
///
/// # Errors
/// What the system says.
pub fn kept_in(directory: &Path) -> io::Result<String> {
    std::fs::create_dir_all(directory)?;
    let path = directory.join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(kept) if kept.len() == 2 * BYTES => return Ok(kept),
        // A start that broke off left a part: nothing was hashed under it.
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let secret = fresh();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_keeps_its_secret() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("new");
        let first = kept_in(&place).unwrap();
        assert_eq!(first.len(), 64);
        assert_eq!(kept_in(&place).unwrap(), first);
        assert_ne!(kept_in(&directory.path().join("other")).unwrap(), first);
    }

    #[test]
    fn a_secret_that_was_not_written_to_its_end_is_made_again() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(FILE), "0123").unwrap();
        assert_eq!(kept_in(directory.path()).unwrap().len(), 64);
    }
}
