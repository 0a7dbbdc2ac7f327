//! `revoke`: devices of an account end.
//!
//! One transaction replaces the list and deletes the records and keys of the devices that it leaves out, and of any
//! that were on no list. It fails if one of them connects meanwhile; then they are read again, so that every
//! connection that is to be closed is known. What follows the transaction is told in [`crate::ended`].
//!
//! A frame of a removed device that was on its way when its connection was closed still finds its own mailbox, which
//! is being emptied; `send` and `claim` refuse it.
//!
//! Twice, or after a run that broke off: the list is found to be the account's, what is left to do is done, the
//! other devices are told (again).

use waxwing_wire::{
    DeviceList, ErrorCode, Problem, RegisteredDevice,
    frame::RemovalReason,
    revoke::{RevokeRequest, Revoked},
};

use crate::{
    Backend, ended,
    fault::Fault,
    news::{devices_changed, tell},
    tables::{
        accounts::{AccountRecord, EndedDevice},
        database::Commit,
        devices::DeviceRecord,
    },
    verify::{self, ListError},
};

/// Times that devices connect while they are being ended before the request gives up.
const MAX_LOST_RACES: usize = 8;

/// Why devices were not ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// The list is not the present one with fewer devices.
    #[error(transparent)]
    List(#[from] ListError),
    /// The account is gone.
    #[error("This device is not registered (any more).")]
    Unknown,
    /// The service could not do its work. The devices may have ended; a repetition does what is left to do.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<RevokeError> for Problem {
    fn from(error: RevokeError) -> Self {
        match error {
            RevokeError::Request(problem) => problem,
            RevokeError::List(error) => error.into(),
            RevokeError::Fault(fault) => fault.into(),
            RevokeError::Unknown => Self::new(ErrorCode::Unauthorized, error.to_string()),
        }
    }
}

/// Ends the devices of the account of `revoker` that the list leaves out.
///
/// # Errors
/// [`RevokeError`].
pub async fn revoke(
    backend: &Backend,
    revoker: RegisteredDevice,
    request: RevokeRequest,
) -> Result<Revoked, RevokeError> {
    request.check()?;
    let account = revoker.address.account;
    let (ended, others) = end(backend, revoker, &request.list).await?;
    let others = others.iter().filter(|record| record.device != revoker);
    tell(backend, others, &devices_changed(account)).await;
    let version = request.list.version;
    ended::finish(backend, account, version, &ended, RemovalReason::Revoked).await?;
    Ok(Revoked {
        ended: u32::try_from(ended.len()).unwrap_or(u32::MAX),
    })
}

/// Makes the list the account's, if it is not yet. Gives the devices for which something is left to do, and those
/// that stay.
async fn end(
    backend: &Backend,
    revoker: RegisteredDevice,
    list: &DeviceList,
) -> Result<(Vec<EndedDevice>, Vec<DeviceRecord>), RevokeError> {
    let account = revoker.address.account;
    for _ in 0..=MAX_LOST_RACES {
        let current = backend
            .accounts
            .find(account)
            .await?
            .ok_or(RevokeError::Unknown)?;
        let devices = backend.devices.find_all(account).await?;
        if current.list == *list {
            return Ok((current.ended, devices));
        }
        verify::next_device_list(account, &current.list, list)?;
        check_fewer(&current, list)?;
        let (stay, end): (Vec<_>, Vec<_>) = devices
            .into_iter()
            .partition(|record| list.find(record.device.address.device).is_some());
        let noted = ended::noted(&current.ended, &end);
        let accounts = &backend.accounts;
        let mut parts = vec![accounts.replace_list_if(account, current.list.version, list, &noted)?];
        parts.extend(ended::deletes(backend, &end)?);
        if backend.database.commit(&parts).await? == Commit::Done {
            return Ok((noted, stay));
        }
    }
    Err(Fault::Unavailable.into())
}

fn check_fewer(current: &AccountRecord, list: &DeviceList) -> Result<(), ListError> {
    let present = &current.list.devices;
    let is_part = list.devices.iter().all(|listed| present.contains(listed));
    if is_part && list.devices.len() < present.len() {
        Ok(())
    } else {
        Err(ListError::Content(
            "it must be the present list with fewer devices",
        ))
    }
}
