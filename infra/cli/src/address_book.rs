//! Who is who on this machine: one small file a name, with the account's id in it.
//!
//! A file each, because two shells may begin at the same moment: neither can overwrite the other's entry.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use waxwing_client::AccountId;

use crate::name::Name;

/// What the file of a name ends with.
const EXTENSION: &str = "account";

/// A directory of names.
#[derive(Clone, Debug)]
pub struct AddressBook(PathBuf);

impl AddressBook {
    /// The book in this directory.
    pub fn in_directory(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// Enters a name, or changes its entry.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn enter(&self, name: &Name, account: AccountId) -> io::Result<()> {
        let file = self.file_of(name);
        // Written beside and renamed: a reader sees a whole entry or none.
        let unfinished = file.with_extension(format!("{EXTENSION}.new"));
        fs::write(&unfinished, format!("{account}\n"))?;
        fs::rename(unfinished, file)
    }

    /// The account of a name, if it is known here.
    ///
    /// # Errors
    /// If the file is there and cannot be read, or holds no account.
    pub fn find(&self, name: &Name) -> io::Result<Option<AccountId>> {
        match fs::read_to_string(self.file_of(name)) {
            Ok(text) => text.trim().parse().map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Everybody who is known here. Files that are no entries are passed over.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn everybody(&self) -> io::Result<BTreeMap<AccountId, Name>> {
        let mut everybody = BTreeMap::new();
        for file in fs::read_dir(&self.0)? {
            let path = file?.path();
            let name = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse::<Name>().ok())
                .filter(|_| path.extension().is_some_and(|extension| extension == EXTENSION));
            if let Some(name) = name
                && let Ok(Some(account)) = self.find(&name)
            {
                everybody.insert(account, name);
            }
        }
        Ok(everybody)
    }

    fn file_of(&self, name: &Name) -> PathBuf {
        self.0.join(format!("{name}.{EXTENSION}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: &str = "6f9619ff-8b86-4011-b42d-00c04fc964ff";
    const BOB: &str = "0b0e19ff-8b86-4011-b42d-00c04fc964ff";

    fn book() -> (tempfile::TempDir, AddressBook) {
        let directory = tempfile::tempdir().unwrap();
        let book = AddressBook::in_directory(directory.path());
        (directory, book)
    }

    #[test]
    fn who_was_entered_is_found_by_name_and_by_account() {
        let (_directory, book) = book();
        let (alice, bob): (Name, Name) = ("alice".parse().unwrap(), "bob".parse().unwrap());
        book.enter(&alice, BOB.parse().unwrap()).unwrap();
        book.enter(&alice, ALICE.parse().unwrap()).unwrap();
        book.enter(&bob, BOB.parse().unwrap()).unwrap();
        assert_eq!(book.find(&alice).unwrap(), Some(ALICE.parse().unwrap()));
        let everybody = book.everybody().unwrap();
        assert_eq!(everybody[&BOB.parse().unwrap()], bob);
        assert_eq!(everybody.len(), 2);
    }

    #[test]
    fn who_was_never_entered_is_nobody() {
        let (_directory, book) = book();
        assert_eq!(book.find(&"carol".parse().unwrap()).unwrap(), None);
    }

    #[test]
    fn files_that_are_no_entries_are_passed_over() {
        let (directory, book) = book();
        for (file, text) in [
            ("alice.db", ALICE),
            ("Bad.account", ALICE),
            ("dave.account", "nonsense"),
        ] {
            fs::write(directory.path().join(file), text).unwrap();
        }
        assert!(book.everybody().unwrap().is_empty());
        assert!(book.find(&"dave".parse().unwrap()).is_err());
    }
}
