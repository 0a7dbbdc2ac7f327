//! `fetch`: the devices of an account, as its owner signed them, and what they published. Reads only.

use waxwing_wire::{AccountId, ErrorCode, Problem, RegisteredDevice, fetch::Fetched};

use crate::{Backend, directory, fault::Fault};

/// Why a fetch was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// There is no such account.
    #[error("There is no such account.")]
    UnknownAccount,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<FetchError> for Problem {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::UnknownAccount => Self::new(ErrorCode::UnknownAccount, error.to_string()),
            FetchError::Fault(fault) => fault.into(),
        }
    }
}

/// The devices of `account`; for the asker's own account also how many one-time prekeys the asker has left.
///
/// # Errors
/// [`FetchError`].
pub async fn fetch(
    backend: &Backend,
    asker: RegisteredDevice,
    account: AccountId,
) -> Result<Fetched, FetchError> {
    let directory = directory::read(backend, account).await?;
    let directory = directory.ok_or(FetchError::UnknownAccount)?;
    let own_one_time_prekeys = if asker.address.account == account {
        Some(backend.prekeys.count(asker).await?)
    } else {
        None
    };
    let devices = directory.keys.into_iter().map(|record| record.published);
    Ok(Fetched {
        account,
        list: directory.list,
        devices: devices.collect(),
        own_one_time_prekeys,
    })
}
