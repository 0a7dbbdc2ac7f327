//! `send`: one message into the mailboxes of all its recipients' devices, then word to each of them.
//!
//! The order carries the promises. First every envelope is put, then the recipients' devices are read: a device
//! that connects in between finds the envelope when it asks. *Accepted* is said only after each device was
//! posted to or marked for push.
//!
//! A put made for a registration that the directory does not have is deleted again. That is safe even while
//! another run of the same message is under way: a registration that is gone never comes back, and nobody
//! learns of one before the directory has it.
//!
//! Twice: puts change nothing the second time, and a device may get the same envelope posted again, which it
//! keeps once. Partial: nothing was promised, and the sender repeats what was not accepted. What was put is
//! announced even if the answer is a mismatch, so that no envelope lies in a mailbox unannounced.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use waxwing_wire::{
    AccountId, DeviceAddress, Envelope, EnvelopeId, ErrorCode, Problem, RegisteredDevice, ServiceFrame,
    frame::Delivery,
    send::{Accepted, AccountMismatch, KnownDevice, Mismatch, Recipient, SendRequest},
};

use crate::{
    Backend,
    clock::UnixSeconds,
    fault::Fault,
    sockets::Posted,
    tables::{devices::DeviceRecord, mailbox::Put},
};

/// Requests to AWS under way at once in one `send`. As many as the largest message has envelopes would be four
/// times the sockets for the rare message only.
const CONCURRENT_REQUESTS: usize = 8;

/// What a message was answered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// Every device of every recipient has it.
    Accepted(Accepted),
    /// The recipients' devices are others than it names.
    Mismatch(Mismatch),
}

/// Why a message was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// The sender's own account is listed with the sending device.
    #[error("A message does not list the device that sends it.")]
    ListsItself,
    /// This message id was used with other bytes for one of the devices. That device keeps what it has.
    #[error("This message id already carries other bytes. Use a new id.")]
    MessageIdReused,
    /// A recipient has no device.
    #[error("There is no account {0}.")]
    UnknownAccount(AccountId),
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<SendError> for Problem {
    fn from(error: SendError) -> Self {
        let code = match error {
            SendError::Request(problem) => return problem,
            SendError::Fault(fault) => return fault.into(),
            SendError::ListsItself => ErrorCode::Malformed,
            SendError::MessageIdReused => ErrorCode::MessageIdReused,
            SendError::UnknownAccount(_) => ErrorCode::UnknownAccount,
        };
        Self::new(code, error.to_string())
    }
}

/// Puts a message of `sender` into its recipients' mailboxes and tells their devices.
///
/// # Errors
/// [`SendError`]. Except after [`SendError::Request`] and [`SendError::ListsItself`], some recipients may have
/// the message already; repeating it with the same id is always safe.
pub async fn send(
    backend: &Backend,
    sender: RegisteredDevice,
    request: SendRequest,
) -> Result<Sent, SendError> {
    request.check()?;
    let listed: Vec<_> = request.recipients.iter().map(Listed::of).collect();
    if listed
        .iter()
        .any(|recipient| recipient.devices.contains_key(&sender.address))
    {
        return Err(SendError::ListsItself);
    }
    let now = backend.clock.now();
    let letters = letters(sender, &request);
    let envelopes = letters.len();
    let letters = put_all(backend, letters, now).await?;
    let is_reused = letters.len() < envelopes;
    let directory = read_directory(backend, &listed).await?;
    let comparison = compare(sender.address, &listed, &directory);
    finish(backend, letters, &comparison, now).await?;
    if is_reused {
        return Err(SendError::MessageIdReused);
    }
    if let Some(account) = comparison.unknown {
        return Err(SendError::UnknownAccount(account));
    }
    let (request, message) = (request.request, request.message);
    Ok(if comparison.mismatches.is_empty() {
        Sent::Accepted(Accepted { request, message })
    } else {
        Sent::Mismatch(Mismatch {
            request,
            message,
            accounts: comparison.mismatches,
        })
    })
}

/// One envelope and whose mailbox it goes into.
struct Letter {
    owner: RegisteredDevice,
    envelope: Envelope,
}

fn letters(sender: RegisteredDevice, request: &SendRequest) -> Vec<Letter> {
    let id = EnvelopeId {
        message: request.message,
        from: sender.address,
    };
    let letter = |account, device: &waxwing_wire::send::RecipientDevice| Letter {
        owner: RegisteredDevice {
            address: DeviceAddress {
                account,
                device: device.device,
            },
            registration: device.registration,
        },
        envelope: Envelope {
            id,
            ciphertext: device.ciphertext.clone(),
        },
    };
    let recipients = request.recipients.iter();
    recipients
        .flat_map(|recipient| {
            recipient
                .devices
                .iter()
                .map(|device| letter(recipient.account, device))
        })
        .collect()
}

/// Puts all letters and gives back those that are in their mailboxes now: all but those whose id was there with
/// other bytes.
async fn put_all(backend: &Backend, letters: Vec<Letter>, now: UnixSeconds) -> Result<Vec<Letter>, Fault> {
    let puts = letters.into_iter().map(|letter| async move {
        let put = backend
            .mailbox
            .put_if_absent(letter.owner, &letter.envelope, now)
            .await?;
        Ok((put == Put::Present).then_some(letter))
    });
    Ok(all(puts.collect()).await?.into_iter().flatten().collect())
}

async fn read_directory(
    backend: &Backend,
    listed: &[Listed],
) -> Result<BTreeMap<AccountId, Vec<DeviceRecord>>, Fault> {
    let reads = listed.iter().map(|recipient| async {
        let devices = backend.devices.find_all(recipient.account).await?;
        Ok((recipient.account, devices))
    });
    Ok(all(reads.collect()).await?.into_iter().collect())
}

/// Takes back what was put for nobody and tells the others.
async fn finish(
    backend: &Backend,
    letters: Vec<Letter>,
    comparison: &Comparison,
    now: UnixSeconds,
) -> Result<(), Fault> {
    let steps = letters.into_iter().map(|letter| async move {
        match comparison.present.get(&letter.owner) {
            Some(record) => announce(backend, record, letter.envelope, now).await,
            None => backend.mailbox.delete(letter.owner, letter.envelope.id).await,
        }
    });
    all(steps.collect()).await.map(drop)
}

/// Posts the envelope to the device if it is connected, and marks the device for push if it is not.
async fn announce(
    backend: &Backend,
    record: &DeviceRecord,
    envelope: Envelope,
    now: UnixSeconds,
) -> Result<(), Fault> {
    let device = record.device;
    match &record.connection {
        Some(connection) => {
            let news = ServiceFrame::Delivery(Delivery {
                envelopes: vec![envelope],
            });
            match backend.sockets.post(connection, &news).await? {
                Posted::Sent => Ok(()),
                Posted::Gone => {
                    let devices = &backend.devices;
                    devices
                        .replace_connection_with_mark(device, connection, now)
                        .await
                }
            }
        }
        // The mark was there after the put: whoever follows it finds the envelope.
        None if record.waiting_since.is_some() => Ok(()),
        None => backend.devices.mark_waiting_if_away(device, now).await,
    }
}

/// Runs all of `steps`, a few at a time, each to its end, and then gives their results or the first fault.
async fn all<T>(steps: Vec<impl Future<Output = Result<T, Fault>>>) -> Result<Vec<T>, Fault> {
    let results: Vec<_> = stream::iter(steps)
        .buffer_unordered(CONCURRENT_REQUESTS)
        .collect()
        .await;
    results.into_iter().collect()
}

/// A recipient as the sender knows it, without the ciphertexts.
struct Listed {
    account: AccountId,
    devices: BTreeMap<DeviceAddress, RegisteredDevice>,
}

impl Listed {
    fn of(recipient: &Recipient) -> Self {
        let account = recipient.account;
        let devices = recipient.devices.iter().map(|device| {
            let address = DeviceAddress {
                account,
                device: device.device,
            };
            (
                address,
                RegisteredDevice {
                    address,
                    registration: device.registration,
                },
            )
        });
        Self {
            account,
            devices: devices.collect(),
        }
    }
}

/// How the message's lists compare with the directory.
#[derive(Debug, Default, PartialEq, Eq)]
struct Comparison {
    /// The registrations that are listed and exist.
    present: BTreeMap<RegisteredDevice, DeviceRecord>,
    /// The accounts whose list differs.
    mismatches: Vec<AccountMismatch>,
    /// The first account that has no device at all.
    unknown: Option<AccountId>,
}

fn compare(
    sender: DeviceAddress,
    listed: &[Listed],
    directory: &BTreeMap<AccountId, Vec<DeviceRecord>>,
) -> Comparison {
    let mut comparison = Comparison::default();
    for recipient in listed {
        let records = directory.get(&recipient.account).map_or(&[][..], Vec::as_slice);
        if records.is_empty() {
            comparison.unknown.get_or_insert(recipient.account);
            continue;
        }
        let others = records.iter().filter(|record| record.device.address != sender);
        compare_account(recipient, others, &mut comparison);
    }
    comparison
}

fn compare_account<'a>(
    recipient: &Listed,
    records: impl Iterator<Item = &'a DeviceRecord>,
    comparison: &mut Comparison,
) {
    let (mut missing, mut reregistered) = (Vec::new(), Vec::new());
    let mut known = BTreeSet::new();
    for record in records {
        let RegisteredDevice {
            address,
            registration,
        } = record.device;
        known.insert(address);
        let actual = KnownDevice {
            device: address.device,
            registration,
        };
        match recipient.devices.get(&address) {
            None => missing.push(actual),
            Some(device) if *device == record.device => {
                comparison.present.insert(*device, record.clone());
            }
            Some(_) => reregistered.push(actual),
        }
    }
    let gone: Vec<_> = recipient
        .devices
        .keys()
        .filter(|address| !known.contains(address))
        .map(|address| address.device)
        .collect();
    if !(missing.is_empty() && gone.is_empty() && reregistered.is_empty()) {
        let account = recipient.account;
        comparison.mismatches.push(AccountMismatch {
            account,
            missing,
            gone,
            reregistered,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use waxwing_wire::{Ciphertext, MessageId, RequestId, send::RecipientDevice};

    use super::*;
    use crate::testing::{Answer, Call, backend, condition_failed, device, device_item, done, operations};

    fn record(device: RegisteredDevice) -> DeviceRecord {
        let signing_key = waxwing_wire::PublicKey::new([2; 33]).unwrap();
        DeviceRecord {
            device,
            signing_key,
            connection: None,
            waiting_since: None,
        }
    }

    fn listed(devices: &[RegisteredDevice]) -> Listed {
        Listed {
            account: devices[0].address.account,
            devices: devices.iter().map(|device| (device.address, *device)).collect(),
        }
    }

    fn directory(devices: &[RegisteredDevice]) -> BTreeMap<AccountId, Vec<DeviceRecord>> {
        let mut directory = BTreeMap::new();
        for device in devices {
            let records: &mut Vec<_> = directory.entry(device.address.account).or_default();
            records.push(record(*device));
        }
        directory
    }

    fn compared(listing: &[RegisteredDevice], existing: &[RegisteredDevice]) -> Comparison {
        compare(sender().address, &[listed(listing)], &directory(existing))
    }

    fn sender() -> RegisteredDevice {
        device(1, 1, 5)
    }

    fn known(device: RegisteredDevice) -> KnownDevice {
        KnownDevice {
            device: device.address.device,
            registration: device.registration,
        }
    }

    /// I6: the list must be the directory's, device for device and registration for registration.
    #[test]
    fn x43_missing_gone_and_reregistered_devices_are_told_apart() {
        let (same, gone, old, new, missing) = (
            device(2, 1, 7),
            device(2, 2, 7),
            device(2, 3, 7),
            device(2, 3, 8),
            device(2, 4, 7),
        );
        let comparison = compared(&[same, gone, old], &[same, new, missing]);
        let account = same.address.account;
        let expected = AccountMismatch {
            account,
            missing: vec![known(missing)],
            gone: vec![gone.address.device],
            reregistered: vec![known(new)],
        };
        assert_eq!(comparison.mismatches, [expected]);
        assert_eq!(comparison.present.keys().collect::<Vec<_>>(), [&same]);
        assert_eq!(comparison.unknown, None);
    }

    #[test]
    fn the_senders_own_account_is_compared_without_the_sending_device() {
        let other = device(1, 2, 7);
        assert_eq!(compared(&[other], &[sender(), other]).mismatches, []);
    }

    #[test]
    fn an_account_without_devices_is_unknown_and_keeps_nothing() {
        let comparison = compared(&[device(2, 1, 7)], &[device(3, 1, 7)]);
        assert_eq!(comparison.unknown, Some(device(2, 1, 7).address.account));
        assert!(comparison.present.is_empty());
    }

    fn request(devices: &[RegisteredDevice]) -> SendRequest {
        let mut message = [7; 16];
        (message[6], message[8]) = (0x70, 0x80);
        let mut recipients = BTreeMap::<_, Vec<_>>::new();
        for device in devices {
            recipients
                .entry(device.address.account)
                .or_default()
                .push(RecipientDevice {
                    device: device.address.device,
                    registration: device.registration,
                    ciphertext: Ciphertext::from_vec(vec![7; 32]).unwrap(),
                });
        }
        let recipients = recipients
            .into_iter()
            .map(|(account, devices)| Recipient { account, devices });
        SendRequest {
            request: RequestId::MIN,
            message: MessageId::from_bytes(&message).unwrap(),
            recipients: recipients.collect(),
        }
    }

    /// AWS with these devices in the directory, everything else as wished.
    fn with_directory(
        items: Vec<Value>,
        otherwise: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> impl Fn(&Call) -> Answer + Send + Sync + 'static {
        move |call| match call.operation.as_str() {
            "Query" => (200, json!({ "Items": items })),
            _ => otherwise(call),
        }
    }

    fn accepted(devices: &[RegisteredDevice]) -> Result<Sent, SendError> {
        let SendRequest { request, message, .. } = request(devices);
        Ok(Sent::Accepted(Accepted { request, message }))
    }

    /// I10: put first, then read who is connected, then post. The other way round loses the message of a device
    /// that connects in between.
    #[tokio::test]
    async fn the_envelope_is_put_before_the_directory_is_read() {
        let bob = device(2, 1, 7);
        let (backend, calls) = backend(with_directory(vec![device_item(bob, Some("open"))], |_| done()));
        assert_eq!(send(&backend, sender(), request(&[bob])).await, accepted(&[bob]));
        assert_eq!(
            operations(&calls),
            ["PutItem mailbox", "Query devices", "POST open"]
        );
        assert_eq!(calls.lock().unwrap()[1].body["ConsistentRead"], true);
    }

    #[tokio::test]
    async fn a_device_that_is_away_is_marked_once() {
        let bob = device(2, 1, 7);
        let away = device_item(bob, None);
        let mut marked = away.clone();
        marked["p"] = json!({ "N": "5" });
        for (item, expected) in [(away, 3), (marked, 2)] {
            let (backend, calls) = backend(with_directory(vec![item], |_| done()));
            assert_eq!(send(&backend, sender(), request(&[bob])).await, accepted(&[bob]));
            let expected = &["PutItem mailbox", "Query devices", "UpdateItem devices"][..expected];
            assert_eq!(operations(&calls), expected);
        }
    }

    /// I11: a dead connection leads to a mark, and the message is accepted.
    #[tokio::test]
    async fn a_post_to_a_dead_connection_becomes_a_mark() {
        let bob = device(2, 1, 7);
        let script = with_directory(vec![device_item(bob, Some("dead"))], |call| {
            match call.operation.as_str() {
                "POST dead" => (410, json!({})),
                _ => done(),
            }
        });
        let (backend, calls) = backend(script);
        assert_eq!(send(&backend, sender(), request(&[bob])).await, accepted(&[bob]));
        let expected = [
            "PutItem mailbox",
            "Query devices",
            "POST dead",
            "UpdateItem devices",
        ];
        assert_eq!(operations(&calls), expected);
    }

    /// I6, I10: what could be neither posted nor marked is not accepted; the sender repeats it.
    #[tokio::test(start_paused = true)]
    async fn a_message_is_not_accepted_before_its_post_was() {
        let bob = device(2, 1, 7);
        let script = with_directory(vec![device_item(bob, Some("open"))], |call| {
            match call.operation.as_str() {
                "POST open" => (500, json!({})),
                _ => done(),
            }
        });
        let (backend, _) = backend(script);
        let result = send(&backend, sender(), request(&[bob])).await;
        assert_eq!(result, Err(SendError::Fault(Fault::Unavailable)));
    }

    #[tokio::test]
    async fn what_was_put_for_a_former_registration_is_taken_back_and_the_rest_announced() {
        let (same, old, new) = (device(2, 1, 7), device(2, 2, 7), device(2, 2, 8));
        let items = vec![device_item(same, Some("open")), device_item(new, Some("other"))];
        let (backend, calls) = backend(with_directory(items, |_| done()));
        let result = send(&backend, sender(), request(&[same, old])).await;
        assert!(matches!(result, Ok(Sent::Mismatch(_))), "{result:?}");
        let calls = calls.lock().unwrap();
        let deleted: Vec<_> = calls
            .iter()
            .filter(|call| call.operation == "DeleteItem")
            .collect();
        assert_eq!(deleted.len(), 1);
        assert_eq!(
            crate::testing::bytes(&deleted[0].body["Key"]["o"]),
            old.to_bytes()
        );
        assert!(calls.iter().any(|call| call.operation == "POST open"));
        assert!(!calls.iter().any(|call| call.operation == "POST other"));
    }

    #[tokio::test]
    async fn a_message_id_that_carries_other_bytes_is_refused() {
        let bob = device(2, 1, 7);
        let script = with_directory(vec![device_item(bob, None)], |call| {
            match call.operation.as_str() {
                "PutItem" => {
                    let mut item = call.body["Item"].clone();
                    item["c"] = json!({ "B": crate::testing::standard_base64(&[8; 32]) });
                    condition_failed(&item)
                }
                _ => done(),
            }
        });
        let (backend, calls) = backend(script);
        let result = send(&backend, sender(), request(&[bob])).await;
        assert_eq!(result, Err(SendError::MessageIdReused));
        // What is there stays, and what is not there is not posted.
        assert_eq!(operations(&calls), ["PutItem mailbox", "Query devices"]);
    }

    #[tokio::test]
    async fn a_message_to_the_sending_device_itself_changes_nothing() {
        let (backend, calls) = backend(|_| done());
        let result = send(&backend, sender(), request(&[sender()])).await;
        assert_eq!(result, Err(SendError::ListsItself));
        assert!(operations(&calls).is_empty());
    }

    #[test]
    fn the_delivery_of_the_largest_envelope_fits_one_frame() {
        use waxwing_wire::limits::{MAX_CIPHERTEXT_BYTES, MAX_FRAME_BYTES};
        let id = EnvelopeId {
            message: request(&[sender()]).message,
            from: sender().address,
        };
        let ciphertext = Ciphertext::from_vec(vec![7; MAX_CIPHERTEXT_BYTES]).unwrap();
        let envelopes = vec![Envelope { id, ciphertext }];
        let news = ServiceFrame::Delivery(Delivery { envelopes });
        assert!(serde_json::to_vec(&news).unwrap().len() <= MAX_FRAME_BYTES);
    }
}
