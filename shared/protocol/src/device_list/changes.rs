//! What a new list changes of the one known before.

use super::{ListedDevice, SignedDeviceList};

/// A difference between two lists.
#[allow(
    clippy::large_enum_variant,
    reason = "a list has six devices; nobody keeps many of these"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceChange {
    /// A device the known list does not have.
    Added(ListedDevice),
    /// A device the new list does not have. Nothing is encrypted to it any more.
    Removed(ListedDevice),
    /// Another registration or other keys under the same number: to be treated as one removed and one added.
    Changed {
        /// As known.
        before: ListedDevice,
        /// As new.
        after: ListedDevice,
    },
}

/// Why a list does not follow the one known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdvanceError {
    /// It is another account's.
    #[error("a list of another account")]
    OtherAccount,
    /// Another account key signed it: a new person under the old name, or the same one set up anew. Only people can
    /// tell, by comparing [safety numbers](crate::safety_number).
    #[error("the account key is another one")]
    AccountKeyChanged,
    /// It is older than the one known.
    #[error("version {presented} after version {known}")]
    Rollback {
        /// The version known.
        known: u32,
        /// The version presented.
        presented: u32,
    },
    /// It has the number of the one known and says something else. Both are signed: whoever holds the account key
    /// signed two lists, which an honest client never does.
    #[error("two lists of version {version}")]
    Equivocation {
        /// The version of both.
        version: u32,
    },
}

impl SignedDeviceList {
    /// Compares a new list with this one. Nothing has changed when it is the same again.
    ///
    /// # Errors
    /// [`AdvanceError`], if this list must stay the known one.
    pub fn advance(&self, new: &Self) -> Result<Vec<DeviceChange>, AdvanceError> {
        if new.account() != self.account() {
            return Err(AdvanceError::OtherAccount);
        }
        if new.account_key() != self.account_key() {
            return Err(AdvanceError::AccountKeyChanged);
        }
        let (known, presented) = (self.version(), new.version());
        if presented < known {
            return Err(AdvanceError::Rollback { known, presented });
        }
        if presented == known && new.list_bytes() != self.list_bytes() {
            return Err(AdvanceError::Equivocation { version: known });
        }
        Ok(changes(self, new))
    }
}

/// The differences, by rising number.
fn changes(known: &SignedDeviceList, new: &SignedDeviceList) -> Vec<DeviceChange> {
    let gone = known.devices().iter().filter_map(|before| {
        let missing = new.device(before.number()).is_none();
        missing.then(|| (before.number(), DeviceChange::Removed(before.clone())))
    });
    let come = new.devices().iter().filter_map(|after| {
        let change = match known.device(after.number()) {
            None => DeviceChange::Added(after.clone()),
            Some(before) if before == after => return None,
            Some(before) => DeviceChange::Changed {
                before: before.clone(),
                after: after.clone(),
            },
        };
        Some((after.number(), change))
    });
    let mut all: Vec<_> = gone.chain(come).collect();
    all.sort_by_key(|(number, _)| *number);
    all.into_iter().map(|(_, change)| change).collect()
}
