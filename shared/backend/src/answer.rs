//! `answer`: the device that made an offer accepts or declines the device that took it up.
//!
//! Accepting is one transaction: the account's next list, the new device's record, its keys, and the offer's end. So
//! a device is in its account exactly if the list says so, and one acceptance of several at once wins: the others
//! find a newer list.
//!
//! Twice, or after a run that broke off: the offer says what became of it, the account's other devices are told
//! (again), and the answer is the same.

use waxwing_wire::{
    DeviceAddress, DeviceList, ErrorCode, Problem, RegisteredDevice,
    answer::{AnswerRequest, Answered},
    devices::ListedDevice,
    keys::NewDevice,
    secret::LinkToken,
};

use crate::{
    Backend,
    fault::Fault,
    news::{devices_changed, tell},
    publish::device_if_absent,
    tables::{
        accounts::AccountRecord,
        database::Commit,
        links::{LinkRecord, RequestDigest, Stage},
    },
    verify::{self, ListError},
};

/// Why an answer was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// The list is not the present one with the new device.
    #[error(transparent)]
    List(#[from] ListError),
    /// The offer is unknown, expired, another device's, not taken up, or answered the other way.
    #[error("This offer has ended, or nobody has taken it up.")]
    Ended,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<AnswerError> for Problem {
    fn from(error: AnswerError) -> Self {
        match error {
            AnswerError::Request(problem) => problem,
            AnswerError::List(error) => error.into(),
            AnswerError::Fault(fault) => fault.into(),
            AnswerError::Ended => Self::new(ErrorCode::InvalidLink, error.to_string()),
        }
    }
}

/// Answers an offer of `offerer`.
///
/// # Errors
/// [`AnswerError`].
pub async fn answer(
    backend: &Backend,
    offerer: RegisteredDevice,
    request: AnswerRequest,
) -> Result<Answered, AnswerError> {
    request.check()?;
    let link = find_own(backend, offerer, &request.token).await?;
    match request.list {
        Some(list) => accept(backend, link, &request.token, &list).await,
        None => decline(backend, &request.token).await,
    }
}

async fn find_own(
    backend: &Backend,
    offerer: RegisteredDevice,
    token: &LinkToken,
) -> Result<LinkRecord, AnswerError> {
    let link = backend.links.find_alive(token, backend.clock.now()).await?;
    link.filter(|link| link.offerer == offerer)
        .ok_or(AnswerError::Ended)
}

async fn decline(backend: &Backend, token: &LinkToken) -> Result<Answered, AnswerError> {
    let links = &backend.links;
    let link = links.decline_if_unanswered(token, backend.clock.now()).await?;
    match link.map(|link| link.stage) {
        Some(Stage::Declined) => Ok(Answered { linked: false }),
        _ => Err(AnswerError::Ended),
    }
}

async fn accept(
    backend: &Backend,
    link: LinkRecord,
    token: &LinkToken,
    list: &DeviceList,
) -> Result<Answered, AnswerError> {
    let offerer = link.offerer;
    match link.stage {
        Stage::TakenUp { request, new } => {
            let committed = add(backend, offerer, token, request, &new, list).await?;
            if committed == Commit::ConditionFailed {
                // Another run of this answer, another list, or the offer's end came first.
                let now = find_own(backend, offerer, token).await?;
                if !matches!(now.stage, Stage::Linked { .. }) {
                    return Err(ListError::Stale.into());
                }
            }
        }
        Stage::Linked { .. } => {}
        Stage::Offered | Stage::Declined => return Err(AnswerError::Ended),
    }
    tell_others(backend, offerer).await?;
    Ok(Answered { linked: true })
}

/// Adds the new device to the account, with the list that names it.
async fn add(
    backend: &Backend,
    offerer: RegisteredDevice,
    token: &LinkToken,
    request: RequestDigest,
    new: &NewDevice,
    list: &DeviceList,
) -> Result<Commit, AnswerError> {
    let account = offerer.address.account;
    let current = backend.accounts.find(account).await?.ok_or(Fault::Internal)?;
    verify::next_device_list(account, &current.list, list)?;
    let listed = added(&current, list, new)?;
    let device = RegisteredDevice {
        address: DeviceAddress {
            account,
            device: listed.device,
        },
        registration: new.registration,
    };
    let accounts = &backend.accounts;
    let now = backend.clock.now();
    let mut parts = vec![
        accounts.replace_list_if(account, current.list.version, list, &current.ended)?,
        backend
            .links
            .accept_if_taken_up(token, request, listed.device, now)?,
    ];
    parts.extend(device_if_absent(backend, device, new)?);
    Ok(backend.database.commit(&parts).await?)
}

/// What the list says of the new device, if that is all that it says beyond the present list.
fn added(current: &AccountRecord, list: &DeviceList, new: &NewDevice) -> Result<ListedDevice, ListError> {
    let (kept, added): (Vec<_>, Vec<_>) = list
        .devices
        .iter()
        .copied()
        .partition(|listed| current.list.devices.contains(listed));
    match added.as_slice() {
        [listed] if kept == current.list.devices && *listed == verify::listed(listed.device, new) => {
            Ok(*listed)
        }
        _ => Err(ListError::Content(
            "it must be the present list and the new device",
        )),
    }
}

async fn tell_others(backend: &Backend, offerer: RegisteredDevice) -> Result<(), Fault> {
    let account = offerer.address.account;
    let devices = backend.devices.find_all(account).await?;
    let others = devices.iter().filter(|record| record.device != offerer);
    tell(backend, others, &devices_changed(account)).await;
    Ok(())
}
