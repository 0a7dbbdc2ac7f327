//! `revoke`: devices of an account end.
//!
//! One transaction replaces the list and deletes the records and keys of the devices that it leaves out, and of any
//! that were on no list. It fails if one of them connects meanwhile; then they are read again, so that every
//! connection that is to be closed is known. What follows the transaction is told in `ended`.
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

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    };

    use serde_json::{Value, json};
    use waxwing_wire::DeviceId;

    use super::*;
    use crate::{
        testing::{
            Answer, Call, account_item, backend, device, device_item, done, operations, standard_base64,
            transaction_condition_failed,
        },
        verify::tests::{TestDevice, signed_list},
    };

    fn revoker() -> RegisteredDevice {
        device(1, 1, 2)
    }

    fn removed() -> RegisteredDevice {
        device(1, 2, 3)
    }

    /// A list of the devices with these ids; device `n` has the keys and registration of `TestDevice::new(n)`.
    fn list(version: u64, ids: &[u8]) -> DeviceList {
        let devices: Vec<_> = ids
            .iter()
            .map(|id| {
                let id_of_device = DeviceId::new(u64::from(*id)).unwrap();
                verify::listed(id_of_device, &TestDevice::new(*id).published)
            })
            .collect();
        signed_list(revoker().address.account, 9, version, &devices)
    }

    fn request(list: DeviceList) -> RevokeRequest {
        RevokeRequest { list }
    }

    fn ended_note(connection: &str) -> Value {
        let bytes = [&[2, 0, 0, 0, 3], connection.as_bytes()].concat();
        json!({ "L": [{ "B": standard_base64(&bytes) }] })
    }

    /// An account of two devices, the second connected, until the transaction is done; then of one.
    fn account(
        otherwise: impl Fn(&Call) -> Option<Answer> + Send + Sync + 'static,
    ) -> impl Fn(&Call) -> Answer + Send + Sync {
        let revoked = AtomicBool::new(false);
        move |call| {
            if let Some(answer) = otherwise(call) {
                return answer;
            }
            let account = revoker().address.account;
            let own = device_item(revoker(), Some("own"));
            let is_revoked = revoked.load(Ordering::Relaxed);
            match (call.operation.as_str(), call.table.as_str()) {
                ("GetItem", "accounts") if is_revoked => {
                    let mut item = account_item(account, &list(6, &[1]));
                    item["e"] = ended_note("gone");
                    (200, json!({ "Item": item }))
                }
                ("GetItem", "accounts") => (200, json!({ "Item": account_item(account, &list(5, &[1, 2])) })),
                ("Query", "devices") if is_revoked => (200, json!({ "Items": [own] })),
                ("Query", "devices") => (
                    200,
                    json!({ "Items": [own, device_item(removed(), Some("gone"))] }),
                ),
                ("TransactWriteItems", _) => {
                    revoked.store(true, Ordering::Relaxed);
                    done()
                }
                _ => done(),
            }
        }
    }

    /// X68: what ends the device comes first; telling, closing and clearing follow, and then the note is taken away.
    #[tokio::test]
    async fn x68_a_removed_device_ends_before_anything_else_happens() {
        let (backend, calls) = backend(account(|_| None));
        let revoked = revoke(&backend, revoker(), request(list(6, &[1]))).await;
        assert_eq!(revoked, Ok(Revoked { ended: 1 }));
        let operations = operations(&calls);
        let expected = [
            "GetItem accounts",
            "Query devices",
            "TransactWriteItems",
            "POST gone",
            "DELETE gone",
        ];
        assert_eq!(operations[..5], expected);
        assert_eq!(operations.last().unwrap(), "UpdateItem accounts");
        assert!(operations.contains(&"Query mailbox".to_owned()));
        assert!(operations.contains(&"Query prekeys".to_owned()));
        let calls = calls.lock().unwrap();
        let parts = calls[2].body["TransactItems"].as_array().unwrap().clone();
        let tables: Vec<_> = parts
            .iter()
            .map(|part| {
                let (kind, part) = part.as_object().unwrap().iter().next().unwrap();
                format!("{kind} {}", part["TableName"].as_str().unwrap())
            })
            .collect();
        assert_eq!(tables, ["Update accounts", "Delete devices", "Delete keys"]);
        assert_eq!(
            parts[0]["Update"]["ExpressionAttributeValues"][":ended"],
            ended_note("gone")
        );
        assert_eq!(calls[3].body, json!({ "type": "removed", "reason": "revoked" }));
    }

    /// I14: a run that broke off right after its transaction is finished by the repetition, connection and all.
    #[tokio::test]
    async fn x68_a_repetition_finishes_what_a_broken_run_left() {
        let fail = Arc::new(AtomicBool::new(true));
        let failing = Arc::clone(&fail);
        let (backend, calls) = backend(account(move |call| {
            let is_close = call.operation == "DELETE gone";
            (is_close && failing.load(Ordering::Relaxed)).then(|| (403, json!({})))
        }));
        let first = revoke(&backend, revoker(), request(list(6, &[1]))).await;
        assert_eq!(first, Err(RevokeError::Fault(Fault::Internal)));
        assert!(!operations(&calls).contains(&"UpdateItem accounts".to_owned()));
        fail.store(false, Ordering::Relaxed);
        calls.lock().unwrap().clear();
        let again = revoke(&backend, revoker(), request(list(6, &[1]))).await;
        assert_eq!(again, Ok(Revoked { ended: 1 }));
        let operations = operations(&calls);
        assert!(operations.contains(&"DELETE gone".to_owned()));
        assert!(!operations.contains(&"TransactWriteItems".to_owned()));
        assert_eq!(operations.last().unwrap(), "UpdateItem accounts");
    }

    /// A device that connects while it is being removed would keep a connection that nobody knows of: the
    /// transaction holds the connection that was read, and all is read again.
    #[tokio::test]
    async fn x68_a_device_that_connects_meanwhile_is_read_again() {
        let tries = AtomicU32::new(0);
        let (backend, calls) = backend(account(move |call| {
            let is_first =
                call.operation == "TransactWriteItems" && tries.fetch_add(1, Ordering::Relaxed) == 0;
            is_first.then(transaction_condition_failed)
        }));
        let revoked = revoke(&backend, revoker(), request(list(6, &[1]))).await;
        assert_eq!(revoked, Ok(Revoked { ended: 1 }));
        let calls = calls.lock().unwrap();
        let reads = calls
            .iter()
            .filter(|call| call.operation == "Query" && call.table == "devices");
        assert_eq!(reads.count(), 2);
        let transaction = calls
            .iter()
            .find(|call| call.operation == "TransactWriteItems")
            .unwrap();
        let delete = &transaction.body["TransactItems"][1]["Delete"];
        assert_eq!(
            delete["ExpressionAttributeValues"][":connection"],
            json!({ "S": "gone" })
        );
        assert_eq!(
            delete["ConditionExpression"],
            "r = :registration AND s = :seen AND c = :connection"
        );
    }

    /// X31: a device that somebody put into the table ends with the next removal.
    #[tokio::test]
    async fn x31_a_device_that_is_on_no_list_ends_too() {
        let ghost = device(1, 5, 77);
        let (backend, _) = backend(account(move |call| {
            let is_read = call.operation == "Query" && call.table == "devices";
            let items = [revoker(), removed(), ghost].map(|device| device_item(device, None));
            is_read.then(|| (200, json!({ "Items": items })))
        }));
        let revoked = revoke(&backend, revoker(), request(list(6, &[1]))).await;
        assert_eq!(revoked, Ok(Revoked { ended: 2 }));
    }

    #[tokio::test]
    async fn a_list_that_does_not_follow_or_removes_nobody_is_refused() {
        let refused = async |list: DeviceList| {
            let (backend, calls) = backend(account(|_| None));
            let error = revoke(&backend, revoker(), request(list)).await.unwrap_err();
            assert!(!operations(&calls).contains(&"TransactWriteItems".to_owned()));
            Problem::from(error).code
        };
        assert_eq!(refused(list(5, &[1])).await, ErrorCode::StaleList);
        assert_eq!(refused(list(7, &[1])).await, ErrorCode::StaleList);
        assert_eq!(refused(list(6, &[1, 2])).await, ErrorCode::InvalidList);
        assert_eq!(refused(list(6, &[1, 3])).await, ErrorCode::InvalidList);
        assert_eq!(refused(list(6, &[])).await, ErrorCode::Malformed);
        let mut forged = list(6, &[1]);
        forged.issued_at += 1;
        assert_eq!(refused(forged).await, ErrorCode::InvalidSignature);
    }
}
