//! `answer`: the device that made an offer accepts or declines the device that took it up.
//!
//! Accepting is one transaction: the account's next list, the new device's record, its keys, and the offer's end. So
//! a device is in its account exactly if the list says so, and one acceptance of several at once wins: the others
//! find a newer list.
//!
//! Twice, or after a run that broke off: the offer says what became of it, the account's other devices are told
//! (again), what is left to do for devices that ended before is done, and the answer is the same.

use waxwing_wire::{
    AccountId, DeviceAddress, DeviceList, ErrorCode, Problem, RegisteredDevice,
    answer::{AnswerRequest, Answered},
    devices::ListedDevice,
    frame::RemovalReason,
    keys::NewDevice,
    secret::LinkToken,
};

use crate::{
    Backend, ended,
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
            let added = add(backend, offerer, token, request, &new, list).await;
            if added != Ok(Commit::Done) {
                // Another run of this answer, another list, or the offer's end may have come first.
                let now = find_own(backend, offerer, token).await?;
                if !matches!(now.stage, Stage::Linked { .. }) {
                    return Err(added.err().unwrap_or(ListError::Stale.into()));
                }
            }
        }
        Stage::Linked { .. } => {}
        Stage::Offered | Stage::Declined => return Err(AnswerError::Ended),
    }
    tell_others(backend, offerer).await?;
    finish_former_devices(backend, offerer.address.account).await?;
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
    ended::check_new(device, &current.list, &[], &current.ended)?;
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

/// Does what an earlier removal or take-over left to do: whoever changes the list sees to it.
async fn finish_former_devices(backend: &Backend, account: AccountId) -> Result<(), Fault> {
    let found = backend.accounts.find(account).await?;
    let AccountRecord { list, ended } = found.ok_or(Fault::Internal)?;
    ended::finish(backend, account, list.version, &ended, RemovalReason::Revoked).await
}

async fn tell_others(backend: &Backend, offerer: RegisteredDevice) -> Result<(), Fault> {
    let account = offerer.address.account;
    let devices = backend.devices.find_all(account).await?;
    let others = devices.iter().filter(|record| record.device != offerer);
    tell(backend, others, &devices_changed(account)).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde_json::{Value, json};
    use waxwing_wire::{DeviceId, limits::OFFER_LIFE_SECONDS};

    use super::*;
    use crate::{
        testing::{
            Answer, Call, account_item, backend, device, device_item, done, keys_item, operations,
            standard_base64, transaction_condition_failed,
        },
        verify::tests::{TestDevice, signed_list},
    };

    /// Device `n` has the keys and the registration of `TestDevice::new(n)`.
    fn offerer() -> RegisteredDevice {
        device(1, 1, 2)
    }

    fn list(version: u64, ids: &[u8]) -> DeviceList {
        let listed = |id: &u8| {
            let id_of_device = DeviceId::new(u64::from(*id)).unwrap();
            verify::listed(id_of_device, &TestDevice::new(*id).published)
        };
        let devices: Vec<_> = ids.iter().map(listed).collect();
        signed_list(offerer().address.account, 9, version, &devices)
    }

    fn request(list: DeviceList) -> AnswerRequest {
        AnswerRequest {
            token: LinkToken::new([9; 16]),
            list: Some(list),
        }
    }

    /// An offer at this stage; from the second on it is device 3 that took it up.
    fn link_at(stage: u32) -> Value {
        let expires_at = crate::Clock::system().now().plus(OFFER_LIFE_SECONDS);
        let mut item = keys_item(offerer(), &TestDevice::new(3).published);
        item["o"] = json!({ "B": standard_base64(&offerer().to_bytes()) });
        item["z"] = json!({ "N": stage.to_string() });
        item["q"] = json!({ "B": standard_base64(&[4; 32]) });
        item["d"] = json!({ "N": "3" });
        item["expires_at"] = json!({ "N": expires_at.0.to_string() });
        item
    }

    /// An account of devices 1 and 2, both connected; the link is at `before`, and after the transaction at `after`.
    fn account(
        (before, after): (u32, u32),
        transaction: fn() -> Answer,
    ) -> impl Fn(&Call) -> Answer + Send + Sync {
        let tried = AtomicBool::new(false);
        move |call| match (call.operation.as_str(), call.table.as_str()) {
            ("GetItem", "links") => {
                let stage = if tried.load(Ordering::Relaxed) {
                    after
                } else {
                    before
                };
                (200, json!({ "Item": link_at(stage) }))
            }
            ("GetItem", "accounts") => {
                let account = offerer().address.account;
                (200, json!({ "Item": account_item(account, &list(5, &[1, 2])) }))
            }
            ("Query", "devices") => {
                let own = device_item(offerer(), Some("own"));
                (
                    200,
                    json!({ "Items": [own, device_item(device(1, 2, 3), Some("other"))] }),
                )
            }
            ("TransactWriteItems", _) => {
                tried.store(true, Ordering::Relaxed);
                transaction()
            }
            _ => done(),
        }
    }

    /// List, link, record and keys are one write: a device is in the account exactly if the list says so.
    #[tokio::test]
    async fn accepting_is_one_transaction_and_the_other_devices_are_told_after_it() {
        let (backend, calls) = backend(account((2, 3), done));
        let answered = answer(&backend, offerer(), request(list(6, &[1, 2, 3]))).await;
        assert_eq!(answered, Ok(Answered { linked: true }));
        let expected = [
            "GetItem links",
            "GetItem accounts",
            "TransactWriteItems",
            "Query devices",
            "POST other",
            "GetItem accounts",
        ];
        assert_eq!(operations(&calls), expected);
        let calls = calls.lock().unwrap();
        let parts = calls[2].body["TransactItems"].as_array().unwrap().clone();
        let tables: Vec<_> = parts
            .iter()
            .map(|part| {
                let (kind, part) = part.as_object().unwrap().iter().next().unwrap();
                format!("{kind} {}", part["TableName"].as_str().unwrap())
            })
            .collect();
        let expected = ["Update accounts", "Update links", "Put devices", "Put keys"];
        assert_eq!(tables, expected);
        assert!(parts.iter().all(|part| {
            let (_, part) = part.as_object().unwrap().iter().next().unwrap();
            part["ConditionExpression"].is_string()
        }));
    }

    /// I14: the answer of a run whose own answer was lost.
    #[tokio::test]
    async fn an_acceptance_again_tells_again_and_writes_nothing() {
        let (backend, calls) = backend(account((3, 3), done));
        let answered = answer(&backend, offerer(), request(list(6, &[1, 2, 3]))).await;
        assert_eq!(answered, Ok(Answered { linked: true }));
        assert_eq!(
            operations(&calls),
            ["GetItem links", "Query devices", "POST other", "GetItem accounts"]
        );
    }

    /// A transaction that does not go through lost to another run of the same answer, or to another list.
    #[tokio::test]
    async fn a_lost_race_is_told_from_an_answer_that_went_through_before() {
        for (after, expected) in [
            (3, Ok(Answered { linked: true })),
            (2, Err(ListError::Stale.into())),
            (4, Err(ListError::Stale.into())),
        ] {
            let (backend, _) = backend(account((2, after), transaction_condition_failed));
            let answered = answer(&backend, offerer(), request(list(6, &[1, 2, 3]))).await;
            assert_eq!(answered, expected, "stage {after}");
        }
    }

    #[tokio::test]
    async fn x41_a_list_with_anything_but_the_new_device_is_refused() {
        for (list, code) in [
            (list(6, &[1, 2]), ErrorCode::InvalidList),
            (list(6, &[1, 2, 4]), ErrorCode::InvalidList),
            (list(6, &[1, 3]), ErrorCode::InvalidList),
            (list(6, &[1, 2, 3, 4]), ErrorCode::InvalidList),
            (list(5, &[1, 2, 3]), ErrorCode::StaleList),
            (list(7, &[1, 2, 3]), ErrorCode::StaleList),
        ] {
            let (backend, calls) = backend(account((2, 2), done));
            let error = answer(&backend, offerer(), request(list)).await.unwrap_err();
            assert_eq!(Problem::from(error).code, code);
            assert!(!operations(&calls).contains(&"TransactWriteItems".to_owned()));
        }
    }

    /// I14: another run of this answer committed after this one had read the offer; this one finds the newer list.
    #[tokio::test]
    async fn an_answer_whose_twin_came_first_gives_the_same_answer() {
        let looks = AtomicBool::new(false);
        let account = account((2, 3), done);
        let (backend, calls) = backend(move |call| match (call.operation.as_str(), call.table.as_str()) {
            ("GetItem", "links") => {
                let stage = if looks.swap(true, Ordering::Relaxed) { 3 } else { 2 };
                (200, json!({ "Item": link_at(stage) }))
            }
            ("GetItem", "accounts") => {
                let account = offerer().address.account;
                (
                    200,
                    json!({ "Item": account_item(account, &list(6, &[1, 2, 3])) }),
                )
            }
            _ => account(call),
        });
        let answered = answer(&backend, offerer(), request(list(6, &[1, 2, 3]))).await;
        assert_eq!(answered, Ok(Answered { linked: true }));
        assert!(!operations(&calls).contains(&"TransactWriteItems".to_owned()));
    }

    /// The account of [`account`], with this registration and connection of a device that ended and is not done with.
    fn account_with_ended(stages: (u32, u32), registration: u8) -> impl Fn(&Call) -> Answer + Send + Sync {
        let account = account(stages, done);
        move |call| {
            let (status, mut body) = account(call);
            if (call.operation.as_str(), call.table.as_str()) == ("GetItem", "accounts") {
                let note = [&[2, 0, 0, 0, registration], "gone".as_bytes()].concat();
                body["Item"]["e"] = json!({ "L": [{ "B": standard_base64(&note) }] });
            }
            (status, body)
        }
    }

    /// X68: what a removal before left to do is not left to nobody.
    #[tokio::test]
    async fn x68_whoever_adds_a_device_finishes_the_removal_of_another() {
        let (backend, calls) = backend(account_with_ended((2, 3), 77));
        let answered = answer(&backend, offerer(), request(list(6, &[1, 2, 3]))).await;
        assert_eq!(answered, Ok(Answered { linked: true }));
        let calls = operations(&calls);
        assert!(calls.contains(&"DELETE gone".to_owned()));
        assert_eq!(calls.last().unwrap(), "UpdateItem accounts");
    }

    /// Mailbox and prekeys of the one that ended are being emptied: they are not those of a new device.
    #[tokio::test]
    async fn x68_a_new_device_with_the_registration_of_one_that_ended_is_refused() {
        let registration = TestDevice::new(3).published.registration.get();
        let (backend, calls) = backend(account_with_ended((2, 2), u8::try_from(registration).unwrap()));
        let refused = answer(&backend, offerer(), request(list(6, &[1, 2, 3]))).await;
        assert_eq!(Problem::from(refused.unwrap_err()).code, ErrorCode::InvalidList);
        assert!(!operations(&calls).contains(&"TransactWriteItems".to_owned()));
    }

    #[tokio::test]
    async fn x41_an_offer_nobody_took_up_and_one_of_another_device_are_not_accepted() {
        for (stage, who) in [
            (1, offerer()),
            (4, offerer()),
            (2, device(1, 2, 3)),
            (2, device(2, 1, 2)),
        ] {
            let (backend, calls) = backend(account((stage, stage), done));
            let refused = answer(&backend, who, request(list(6, &[1, 2, 3]))).await;
            assert_eq!(refused, Err(AnswerError::Ended));
            assert_eq!(operations(&calls), ["GetItem links"]);
        }
    }
}
