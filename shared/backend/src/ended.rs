//! What is left to do when devices are not in their account any more.
//!
//! The transaction that changes the list also deletes the devices' records and keys: from then on no token of theirs
//! is taken, no prekey of theirs is handed out, and no message is put for them. It writes their names down with the
//! account. What remains is done here: each is told, its connection is closed, its push endpoint is deleted, and its
//! prekeys and its mailbox, which nobody reaches any more, are emptied. When all of it is done the names are taken away.
//!
//! What fails for one device keeps nothing from the others, nor the rest from that one; the first failure is the answer,
//! so that the request is repeated.
//!
//! Twice, or after a run that broke off: what is done already is found done. A run whose client never comes back is
//! finished by the next change of the account's list.

use aws_sdk_dynamodb::types::TransactWriteItem;
use futures_util::future::{join, join_all};
use waxwing_wire::{
    AccountId, DeviceList, ListVersion, RegisteredDevice, ServiceFrame,
    frame::{RemovalReason, Removed},
};

use crate::{
    Backend,
    fault::Fault,
    tables::{accounts::EndedDevice, devices::DeviceRecord},
    verify::ListError,
};

/// Pages of a mailbox, or of a pool of prekeys, that one run empties: a thousand items, which fit a function's time.
/// What is left after that is left to a repetition, or to its own expiry.
const MAX_PAGES: usize = 10;

/// The parts of the transaction that ends the devices. It fails if one of them connected since it was read: whoever
/// ends a device must know the connection to close.
pub(crate) fn deletes(backend: &Backend, devices: &[DeviceRecord]) -> Result<Vec<TransactWriteItem>, Fault> {
    let mut parts = Vec::with_capacity(devices.len() * 2);
    for record in devices {
        parts.push(backend.devices.delete_if_unchanged(record)?);
        parts.push(backend.keys.delete(record.device.address)?);
    }
    Ok(parts)
}

/// What the transaction writes down: the devices it ends, after those that are written down already.
pub(crate) fn noted(before: &[EndedDevice], devices: &[DeviceRecord]) -> Vec<EndedDevice> {
    let now = devices.iter().map(|record| EndedDevice {
        device: record.device,
        connection: record.connection.clone(),
        endpoint: record.endpoint.clone(),
    });
    before.iter().cloned().chain(now).collect()
}

/// Refuses a device whose registration another of the account has, or had and is not done with: mailbox, prekeys and what
/// is left to do are told apart by it.
pub(crate) fn check_new(
    new: RegisteredDevice,
    list: &DeviceList,
    devices: &[DeviceRecord],
    ended: &[EndedDevice],
) -> Result<(), ListError> {
    let listed = list.devices.iter().map(|listed| listed.registration);
    let there = devices.iter().map(|record| record.device.registration);
    let ended = ended.iter().map(|ended| ended.device.registration);
    let mut taken = listed.chain(there).chain(ended);
    if taken.any(|taken| taken == new.registration) {
        return Err(ListError::Content(
            "a device of the account has, or has had, this registration",
        ));
    }
    Ok(())
}

/// Does what is left to do for devices that are written down with version `version` of the account's list.
pub(crate) async fn finish(
    backend: &Backend,
    account: AccountId,
    version: ListVersion,
    devices: &[EndedDevice],
    reason: RemovalReason,
) -> Result<(), Fault> {
    if devices.is_empty() {
        return Ok(());
    }
    let mut is_done = true;
    for result in join_all(devices.iter().map(|ended| finish_one(backend, ended, reason))).await {
        is_done &= result?;
    }
    if is_done {
        backend.accounts.forget_ended_if(account, version).await?;
    }
    Ok(())
}

/// Says whether mailbox and pool are empty now.
async fn finish_one(backend: &Backend, ended: &EndedDevice, reason: RemovalReason) -> Result<bool, Fault> {
    let closed = close(backend, ended, reason).await;
    let silenced = silence(backend, ended).await;
    let mailbox = empty(|| backend.mailbox.delete_page(ended.device));
    let prekeys = empty(|| backend.prekeys.delete_page(ended.device));
    let (mailbox, prekeys) = join(mailbox, prekeys).await;
    closed?;
    silenced?;
    Ok(mailbox? && prekeys?)
}

/// Tells the device and closes its connection.
async fn close(backend: &Backend, ended: &EndedDevice, reason: RemovalReason) -> Result<(), Fault> {
    let Some(connection) = &ended.connection else {
        return Ok(());
    };
    // The close says enough to a device that misses the news.
    let news = ServiceFrame::Removed(Removed { reason });
    let _ = backend.sockets.post(connection, &news).await;
    backend.sockets.close(connection).await
}

/// Deletes the endpoint that would have woken the device.
async fn silence(backend: &Backend, ended: &EndedDevice) -> Result<(), Fault> {
    match &ended.endpoint {
        Some(endpoint) => backend.push.delete_if_of(endpoint, ended.device).await,
        None => Ok(()),
    }
}

/// Deletes page after page, up to [`MAX_PAGES`]. Says whether nothing is left.
async fn empty<F>(delete_page: impl Fn() -> F) -> Result<bool, Fault>
where
    F: Future<Output = Result<bool, Fault>>,
{
    for _ in 0..MAX_PAGES {
        if delete_page().await? {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        sockets::ConnectionId,
        testing::{Answer, Call, backend, device, done, operations},
    };

    fn ended() -> EndedDevice {
        EndedDevice {
            device: device(1, 2, 7),
            connection: ConnectionId::new("gone"),
            endpoint: None,
        }
    }

    async fn finish_with(
        script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> (Result<(), Fault>, Vec<String>) {
        let (backend, calls) = backend(script);
        let account = device(1, 1, 7).address.account;
        let finished = finish(
            &backend,
            account,
            ListVersion::MIN,
            &[ended()],
            RemovalReason::Revoked,
        )
        .await;
        let operations = operations(&calls);
        (finished, operations)
    }

    const FORGOTTEN: &str = "UpdateItem accounts";

    /// A page of one item, and more behind it as long as `more` says so.
    fn page(more: bool) -> Answer {
        let key = json!({ "o": { "B": "AAAA" }, "i": { "N": "1" } });
        let mut body = json!({ "Items": [key] });
        if more {
            body["LastEvaluatedKey"] = key;
        }
        (200, body)
    }

    #[tokio::test]
    async fn x68_the_names_are_taken_away_when_all_is_done_and_not_before() {
        let (finished, calls) = finish_with(|_| done()).await;
        assert_eq!(finished, Ok(()));
        assert_eq!(calls.last().unwrap(), FORGOTTEN);
        for fails in ["DELETE gone", "Query mailbox", "Query prekeys"] {
            let (finished, calls) = finish_with(move |call| {
                let name = format!("{} {}", call.operation, call.table);
                if name.trim_end() == fails {
                    (400, json!({}))
                } else {
                    done()
                }
            })
            .await;
            assert_eq!(finished, Err(Fault::Internal), "{fails}");
            assert!(!calls.contains(&FORGOTTEN.to_owned()), "{fails}");
        }
    }

    #[tokio::test]
    async fn x68_what_fails_for_one_device_keeps_nothing_from_the_others() {
        let other = EndedDevice {
            device: device(1, 3, 8),
            connection: ConnectionId::new("other"),
            endpoint: None,
        };
        let (backend, calls) = backend(|call| match call.operation.as_str() {
            "DELETE gone" => (403, json!({})),
            _ => done(),
        });
        let account = device(1, 1, 7).address.account;
        let devices = [ended(), other];
        let reason = RemovalReason::Revoked;
        let finished = finish(&backend, account, ListVersion::MIN, &devices, reason).await;
        assert_eq!(finished, Err(Fault::Internal));
        let calls = operations(&calls);
        assert!(calls.contains(&"DELETE other".to_owned()));
        for emptied in ["Query mailbox", "Query prekeys"] {
            let pages = calls.iter().filter(|call| *call == emptied).count();
            assert_eq!(pages, 2, "{emptied}");
        }
        assert!(!calls.contains(&FORGOTTEN.to_owned()), "it is left to do");
    }

    /// What one run cannot empty is left for the next; the device ended long before.
    #[tokio::test]
    async fn x82_a_run_empties_no_more_than_fits_its_time() {
        let (finished, calls) = finish_with(|call| match (call.operation.as_str(), call.table.as_str()) {
            ("Query", "mailbox") => page(true),
            ("Query", _) => page(false),
            _ => done(),
        })
        .await;
        assert_eq!(finished, Ok(()));
        let pages = calls.iter().filter(|call| *call == "Query mailbox").count();
        assert_eq!(pages, MAX_PAGES);
        assert!(!calls.contains(&FORGOTTEN.to_owned()));
    }

    #[tokio::test]
    async fn a_connection_that_is_gone_and_news_that_fails_are_no_obstacle() {
        for (post, close) in [(410, 410), (403, 204), (200, 204)] {
            let (finished, calls) = finish_with(move |call| match call.operation.as_str() {
                "POST gone" => (post, Value::Null),
                "DELETE gone" => (close, Value::Null),
                _ => done(),
            })
            .await;
            assert_eq!(finished, Ok(()));
            assert!(calls.contains(&FORGOTTEN.to_owned()));
        }
    }
}
