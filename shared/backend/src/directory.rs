//! An account as `fetch` and `claim` answer it: its signed list and what its devices published.
//!
//! The two lie in two tables. A list change writes both in one transaction, but two reads may fall on either side of
//! it; then the list and the keys name other devices, and both are read once more. Whoever still finds them apart
//! (a device that somebody put into the table, a second change) tells by the list what to believe.
//!
//! Costs one read unit for the list and one for every two and a half devices.

use futures_util::future::try_join;
use waxwing_wire::{AccountId, DeviceList};

use crate::{Backend, fault::Fault, tables::keys::KeysRecord};

/// Reads of an account before it is taken as it is.
const MAX_READS: usize = 2;

/// An account and what its devices published.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) list: DeviceList,
    /// By rising id of the device.
    pub(crate) keys: Vec<KeysRecord>,
}

/// The account as of now; `None` if there is no such account.
pub(crate) async fn read(backend: &Backend, account: AccountId) -> Result<Option<Directory>, Fault> {
    let mut directory = read_once(backend, account).await?;
    for _ in 1..MAX_READS {
        if directory.as_ref().is_none_or(Directory::agrees) {
            break;
        }
        directory = read_once(backend, account).await?;
    }
    Ok(directory)
}

async fn read_once(backend: &Backend, account: AccountId) -> Result<Option<Directory>, Fault> {
    let (record, keys) = try_join(backend.accounts.find(account), backend.keys.find_all(account)).await?;
    Ok(record.map(|record| Directory {
        list: record.list,
        keys,
    }))
}

impl Directory {
    /// Whether the list and the keys name the same registrations.
    fn agrees(&self) -> bool {
        let listed = self.list.devices.iter();
        let published = self.keys.iter().map(|record| &record.published);
        listed
            .map(|listed| (listed.device, listed.registration))
            .eq(published.map(|published| (published.device, published.registration)))
    }
}
