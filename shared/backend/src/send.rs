//! `send`: messages into the mailboxes of all their recipients' devices, then word to each of them.
//!
//! The messages of one frame share the reads of the directory and, for each device, one post; each has an outcome of
//! its own. The order carries the promises. First every envelope is put, then the recipients' devices are read: a device
//! that connects in between finds the envelope when it asks. *Accepted* is said only after each device was
//! posted to or is owed an alert. Whether the alert could be published in that moment is no matter: it stays owed.
//!
//! A put made for a registration that the directory does not have is deleted again. That is safe even while
//! another run of the same message is under way: a registration that is gone never comes back, and nobody
//! learns of one before the directory has it.
//!
//! A sender that is not in its account any more is refused; what it put stays, as if it had been sent a moment before
//! the removal, because another run may have had it accepted then. Clients list their own account unless they alone
//! can add a device to it and know of none; then a cheaper read, which may be a moment behind, tells that the sender
//! is there, and only if it does not, one as of now tells that it is gone.
//!
//! Twice: puts change nothing the second time, and a device may get the same envelope posted again, which it
//! keeps once. Partial: nothing was promised, and the sender repeats what was not accepted. What was put is
//! announced even if the answer is a mismatch, so that no envelope lies in a mailbox unannounced.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::{StreamExt, future, stream};
use waxwing_wire::{
    AccountId, DeviceAddress, Envelope, EnvelopeId, ErrorCode, MessageId, Problem, RegisteredDevice,
    ServiceFrame,
    frame::Delivery,
    send::{
        AccountMismatch, KnownDevice, MessageOutcome, Outcome, OutgoingMessage, Recipient, RecipientDevice,
        SendRequest, Sent,
    },
};

use crate::{
    Backend, alert,
    clock::UnixSeconds,
    fault::Fault,
    sockets::{ConnectionId, Posted},
    tables::{
        devices::{DeviceRecord, Replaced},
        mailbox::Put,
    },
};

/// Requests to AWS under way at once in one `send`. As many as the largest message has envelopes would be four
/// times the sockets for the rare message only.
const CONCURRENT_REQUESTS: usize = 8;

/// Pauses before each post to a connection that may be opening. What is left of `connect` when its record is written takes
/// some milliseconds, or some tens of them if an older connection is to be closed.
const PAUSES_WHILE_OPENING: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(50),
    Duration::from_millis(150),
    Duration::from_millis(400),
];

/// Why a frame was refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// The sender's own account is listed with the sending device.
    #[error("A message does not list the device that sends it.")]
    ListsItself,
    /// The sender's registration is gone.
    #[error("This device is not registered (any more).")]
    Unknown,
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
            SendError::Unknown => ErrorCode::Unauthorized,
        };
        Self::new(code, error.to_string())
    }
}

/// Why one message of a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum MessageError {
    /// This message id was used with other bytes for one of the devices. That device keeps what it has.
    #[error("This message id already carries other bytes. Use a new id.")]
    IdReused,
    /// A recipient has no device.
    #[error("There is no account {0}.")]
    UnknownAccount(AccountId),
}

impl From<MessageError> for Problem {
    fn from(error: MessageError) -> Self {
        let code = match error {
            MessageError::IdReused => ErrorCode::MessageIdReused,
            MessageError::UnknownAccount(_) => ErrorCode::UnknownAccount,
        };
        Self::new(code, error.to_string())
    }
}

/// Puts messages of `sender` into their recipients' mailboxes and tells their devices.
///
/// # Errors
/// [`SendError`]. After [`SendError::Unknown`] and [`SendError::Fault`] some recipients may have some of the messages
/// already; repeating the request with the same ids is always safe.
pub async fn send(
    backend: &Backend,
    sender: RegisteredDevice,
    request: SendRequest,
) -> Result<Sent, SendError> {
    request.check()?;
    let messages: Vec<_> = request.messages.iter().map(Listed::of).collect();
    if messages.iter().any(|message| message.names(sender.address)) {
        return Err(SendError::ListsItself);
    }
    let now = backend.clock.now();
    let letters = request
        .messages
        .iter()
        .flat_map(|message| letters(sender, message))
        .collect();
    let Puts { letters, reused } = put_all(backend, letters, now).await?;
    let directory = read_directory(backend, &messages);
    let (directory, sender_was_there) = future::join(directory, was_there(backend, sender, &messages)).await;
    let (directory, sender_was_there) = (directory?, sender_was_there?);
    finish(backend, letters, &directory, now).await?;
    let own = directory.get(&sender.address.account);
    let sender_is_there = own.map_or(sender_was_there, |records| {
        records.iter().any(|record| record.device == sender)
    });
    if !sender_is_there {
        return Err(SendError::Unknown);
    }
    let outcomes = messages.iter().map(|listed| {
        let is_reused = reused.contains(&listed.message);
        MessageOutcome {
            message: listed.message,
            outcome: outcome(sender.address, listed, &directory, is_reused),
        }
    });
    Ok(Sent {
        request: request.request,
        outcomes: outcomes.collect(),
    })
}

fn outcome(sender: DeviceAddress, listed: &Listed, directory: &Directory, is_reused: bool) -> Outcome {
    if is_reused {
        return Outcome::Refused(MessageError::IdReused.into());
    }
    match compare(sender, listed, directory) {
        Ok(accounts) if accounts.is_empty() => Outcome::Accepted,
        Ok(accounts) => Outcome::Mismatch { accounts },
        Err(error) => Outcome::Refused(error.into()),
    }
}

/// One envelope and whose mailbox it goes into.
struct Letter {
    owner: RegisteredDevice,
    envelope: Envelope,
    urgent: bool,
}

fn letters(sender: RegisteredDevice, message: &OutgoingMessage) -> impl Iterator<Item = Letter> {
    let id = EnvelopeId {
        message: message.message,
        from: sender.address,
    };
    message.recipients.iter().flat_map(move |recipient| {
        recipient.devices.iter().map(move |device| Letter {
            owner: registered(recipient.account, device),
            envelope: Envelope {
                id,
                ciphertext: device.ciphertext.clone(),
            },
            urgent: recipient.urgent,
        })
    })
}

/// What became of the puts.
struct Puts {
    /// Those that are in their mailboxes now.
    letters: Vec<Letter>,
    /// The messages whose id was in a mailbox with other bytes.
    reused: BTreeSet<MessageId>,
}

async fn put_all(backend: &Backend, letters: Vec<Letter>, now: UnixSeconds) -> Result<Puts, Fault> {
    let puts = letters.into_iter().map(|letter| async move {
        let put = backend
            .mailbox
            .put_if_absent(letter.owner, &letter.envelope, letter.urgent, now)
            .await?;
        Ok((put, letter))
    });
    let mut result = Puts {
        letters: Vec::new(),
        reused: BTreeSet::new(),
    };
    for (put, letter) in all(puts.collect()).await? {
        match put {
            Put::Present => result.letters.push(letter),
            Put::OtherBytes => drop(result.reused.insert(letter.envelope.id.message)),
        }
    }
    Ok(result)
}

/// The accounts concerned and their devices.
type Directory = BTreeMap<AccountId, Vec<DeviceRecord>>;

/// Reads each account that is listed once, however many of the messages go to it.
async fn read_directory(backend: &Backend, messages: &[Listed]) -> Result<Directory, Fault> {
    let accounts: BTreeSet<_> = messages
        .iter()
        .flat_map(|listed| listed.accounts.keys())
        .collect();
    let reads = accounts.into_iter().map(|account| async {
        let devices = backend.devices.find_all(*account).await?;
        Ok((*account, devices))
    });
    Ok(all(reads.collect()).await?.into_iter().collect())
}

/// Whether the sender was registered a moment ago; not asked if its account is listed and so read anyway.
async fn was_there(backend: &Backend, sender: RegisteredDevice, messages: &[Listed]) -> Result<bool, Fault> {
    let account = sender.address.account;
    if messages
        .iter()
        .any(|listed| listed.accounts.contains_key(&account))
    {
        return Ok(true);
    }
    if backend.devices.was_there_lately(sender).await? {
        return Ok(true);
    }
    // The read that may be a moment behind may lack a device that has just registered.
    let record = backend.devices.find(sender.address).await?;
    Ok(record.is_some_and(|record| record.device == sender))
}

/// Takes back what was put for nobody and tells the others, each device once.
async fn finish(
    backend: &Backend,
    letters: Vec<Letter>,
    directory: &Directory,
    now: UnixSeconds,
) -> Result<(), Fault> {
    let records: BTreeMap<_, _> = directory
        .values()
        .flatten()
        .map(|record| (record.device, record))
        .collect();
    let mut by_owner = BTreeMap::<_, (Vec<_>, bool)>::new();
    for letter in letters {
        let (envelopes, urgent) = by_owner.entry(letter.owner).or_default();
        envelopes.push(letter.envelope);
        *urgent |= letter.urgent;
    }
    let records = &records;
    let steps = by_owner
        .into_iter()
        .map(|(owner, (envelopes, urgent))| async move {
            match records.get(&owner) {
                Some(record) => announce(backend, record, envelopes, urgent, now).await,
                None => take_back(backend, owner, envelopes).await,
            }
        });
    all(steps.collect()).await.map(drop)
}

async fn take_back(
    backend: &Backend,
    owner: RegisteredDevice,
    envelopes: Vec<Envelope>,
) -> Result<(), Fault> {
    for envelope in envelopes {
        backend.mailbox.delete(owner, envelope.id).await?;
    }
    Ok(())
}

/// Posts envelopes to the device if it is connected, and alerts the device if it is not and one of them is urgent.
async fn announce(
    backend: &Backend,
    record: &DeviceRecord,
    mut envelopes: Vec<Envelope>,
    urgent: bool,
    now: UnixSeconds,
) -> Result<(), Fault> {
    let device = record.device;
    // Puts end in any order; the device sorts less if these are in the order they were made in.
    envelopes.sort_by_key(|envelope| envelope.id);
    match &record.connection {
        Some(connection) => {
            let news = ServiceFrame::Delivery(Delivery { envelopes });
            if urgent {
                return post_or_alert(backend, device, connection, &news, now).await;
            }
            // If nobody hears it, it waits until the device is there. That the connection is dead is found out by what is
            // urgent, by `disconnect` or by `wake`: who forgets it has to see to what was posted there before.
            backend.sockets.post(connection, &news).await.map(drop)
        }
        None if urgent => alert::alert(backend, record, now).await,
        None => Ok(()),
    }
}

/// Posts to the device's connection; if it is gone, the record forgets it and the device is alerted. One that was
/// recorded a moment ago may not be open yet: it is posted to again for a while, and then the sender has to repeat.
async fn post_or_alert(
    backend: &Backend,
    device: RegisteredDevice,
    connection: &ConnectionId,
    news: &ServiceFrame,
    now: UnixSeconds,
) -> Result<(), Fault> {
    for pause in PAUSES_WHILE_OPENING {
        tokio::time::sleep(pause).await;
        if backend.sockets.post(connection, news).await? == Posted::Sent {
            return Ok(());
        }
        let devices = &backend.devices;
        match devices
            .replace_connection_unless_opening(device, connection, now)
            .await?
        {
            Replaced::Done(owed) => {
                alert::give(backend, owed, now).await;
                return Ok(());
            }
            Replaced::MayBeOpening => {}
        }
    }
    tracing::warn!("a connection that was to open did not");
    Err(Fault::Unavailable)
}

/// Runs all of `steps`, a few at a time, each to its end, and then gives their results or the first fault.
async fn all<T>(steps: Vec<impl Future<Output = Result<T, Fault>>>) -> Result<Vec<T>, Fault> {
    let steps = match <[_; 1]>::try_from(steps) {
        // One alone, as in most messages, needs none of what keeps several apart.
        Ok([only]) => return Ok(vec![only.await?]),
        Err(steps) => steps,
    };
    let results: Vec<_> = stream::iter(steps)
        .buffer_unordered(CONCURRENT_REQUESTS)
        .collect()
        .await;
    results.into_iter().collect()
}

/// A message's recipients as the sender knows them, without the ciphertexts.
struct Listed {
    message: MessageId,
    accounts: BTreeMap<AccountId, BTreeMap<DeviceAddress, RegisteredDevice>>,
}

impl Listed {
    fn of(message: &OutgoingMessage) -> Self {
        let accounts = message
            .recipients
            .iter()
            .map(|Recipient { account, devices, .. }| {
                let devices = devices.iter().map(|device| {
                    let device = registered(*account, device);
                    (device.address, device)
                });
                (*account, devices.collect())
            });
        Self {
            message: message.message,
            accounts: accounts.collect(),
        }
    }

    fn names(&self, device: DeviceAddress) -> bool {
        self.accounts
            .values()
            .any(|devices| devices.contains_key(&device))
    }
}

fn registered(account: AccountId, device: &RecipientDevice) -> RegisteredDevice {
    let address = DeviceAddress {
        account,
        device: device.device,
    };
    RegisteredDevice {
        address,
        registration: device.registration,
    }
}

/// How a message's lists differ from the directory: one entry for each account that does.
fn compare(
    sender: DeviceAddress,
    listed: &Listed,
    directory: &Directory,
) -> Result<Vec<AccountMismatch>, MessageError> {
    let mut mismatches = Vec::new();
    for (account, devices) in &listed.accounts {
        let records = directory.get(account).map_or(&[][..], Vec::as_slice);
        if records.is_empty() {
            return Err(MessageError::UnknownAccount(*account));
        }
        let others = records.iter().filter(|record| record.device.address != sender);
        mismatches.extend(compare_account(*account, devices, others));
    }
    Ok(mismatches)
}

fn compare_account<'a>(
    account: AccountId,
    listed: &BTreeMap<DeviceAddress, RegisteredDevice>,
    records: impl Iterator<Item = &'a DeviceRecord>,
) -> Option<AccountMismatch> {
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
        match listed.get(&address) {
            None => missing.push(actual),
            Some(device) if *device == record.device => {}
            Some(_) => reregistered.push(actual),
        }
    }
    let gone: Vec<_> = listed
        .keys()
        .filter(|address| !known.contains(address))
        .map(|address| address.device)
        .collect();
    let differs = !(missing.is_empty() && gone.is_empty() && reregistered.is_empty());
    differs.then_some(AccountMismatch {
        account,
        missing,
        gone,
        reregistered,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::{Value, json};
    use waxwing_wire::{Ciphertext, RequestId};

    use super::*;
    use crate::testing::{Answer, Call, backend, condition_failed, device, device_item, done, operations};

    fn record(device: RegisteredDevice) -> DeviceRecord {
        let signing_key = waxwing_wire::PublicKey::new([2; 33]).unwrap();
        DeviceRecord {
            device,
            signing_key,
            connection: None,
            owed_since: None,
            alerted_at: None,
            endpoint: None,
            seen_at: UnixSeconds(0),
        }
    }

    fn directory(devices: &[RegisteredDevice]) -> Directory {
        let mut directory = BTreeMap::new();
        for device in devices {
            let records: &mut Vec<_> = directory.entry(device.address.account).or_default();
            records.push(record(*device));
        }
        directory
    }

    fn compared(
        listing: &[RegisteredDevice],
        existing: &[RegisteredDevice],
    ) -> Result<Vec<AccountMismatch>, MessageError> {
        let listed = Listed::of(&message(7, listing));
        compare(sender().address, &listed, &directory(existing))
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
        let account = same.address.account;
        let expected = AccountMismatch {
            account,
            missing: vec![known(missing)],
            gone: vec![gone.address.device],
            reregistered: vec![known(new)],
        };
        assert_eq!(
            compared(&[same, gone, old], &[same, new, missing]),
            Ok(vec![expected])
        );
    }

    #[test]
    fn the_senders_own_account_is_compared_without_the_sending_device() {
        let other = device(1, 2, 7);
        assert_eq!(compared(&[other], &[sender(), other]), Ok(Vec::new()));
    }

    #[test]
    fn an_account_without_devices_is_unknown() {
        let unknown = MessageError::UnknownAccount(device(2, 1, 7).address.account);
        assert_eq!(compared(&[device(2, 1, 7)], &[device(3, 1, 7)]), Err(unknown));
    }

    /// A message whose id and ciphertexts follow from `number`.
    fn message(number: u8, devices: &[RegisteredDevice]) -> OutgoingMessage {
        let mut id = [number; 16];
        (id[6], id[8]) = (0x70, 0x80);
        let mut recipients = BTreeMap::<_, Vec<_>>::new();
        for device in devices {
            recipients
                .entry(device.address.account)
                .or_default()
                .push(RecipientDevice {
                    device: device.address.device,
                    registration: device.registration,
                    ciphertext: Ciphertext::from_vec(vec![number; 32]).unwrap(),
                });
        }
        let recipients = recipients.into_iter().map(|(account, devices)| Recipient {
            account,
            devices,
            urgent: true,
        });
        OutgoingMessage {
            message: MessageId::from_bytes(&id).unwrap(),
            recipients: recipients.collect(),
        }
    }

    fn frame(messages: impl IntoIterator<Item = OutgoingMessage>) -> SendRequest {
        SendRequest {
            request: RequestId::MIN,
            messages: messages.into_iter().collect(),
        }
    }

    fn request(devices: &[RegisteredDevice]) -> SendRequest {
        frame([message(7, devices)])
    }

    /// Sends one message and gives its outcome.
    async fn send_one(backend: &Backend, devices: &[RegisteredDevice]) -> Outcome {
        let [only] = send(backend, sender(), request(devices))
            .await
            .unwrap()
            .outcomes
            .try_into()
            .unwrap();
        let MessageOutcome { message: id, outcome } = only;
        assert_eq!(id, message(7, devices).message);
        outcome
    }

    fn code(outcome: &Outcome) -> Option<ErrorCode> {
        match outcome {
            Outcome::Refused(problem) => Some(problem.code),
            _ => None,
        }
    }

    /// What is asked about a sender whose account is not listed.
    const OWN_READ: &str = "GetItem devices";

    /// AWS with these devices and the sender in the directory, everything else as wished.
    fn with_directory(
        items: Vec<Value>,
        otherwise: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> impl Fn(&Call) -> Answer + Send + Sync + 'static {
        let items: Vec<_> = items.into_iter().chain([device_item(sender(), None)]).collect();
        move |call| match call.operation.as_str() {
            "Query" => {
                let account = &call.body["ExpressionAttributeValues"][":account"];
                let found: Vec<_> = items.iter().filter(|item| item["a"] == *account).collect();
                (200, json!({ "Items": found }))
            }
            "GetItem" => (200, json!({ "Item": device_item(sender(), None) })),
            _ => otherwise(call),
        }
    }

    /// I10: put first, then read who is connected, then post. The other way round loses the message of a device
    /// that connects in between.
    #[tokio::test]
    async fn the_envelope_is_put_before_the_directory_is_read() {
        let bob = device(2, 1, 7);
        let (backend, calls) = backend(with_directory(vec![device_item(bob, Some("open"))], |_| done()));
        assert_eq!(send_one(&backend, &[bob]).await, Outcome::Accepted);
        assert_eq!(
            operations(&calls),
            ["PutItem mailbox", "Query devices", OWN_READ, "POST open"]
        );
        let calls = calls.lock().unwrap();
        let mut reads = calls.iter().filter(|call| call.operation == "Query");
        assert!(reads.all(|call| call.body["ConsistentRead"] == true));
    }

    /// The account of the sender costs one read, the cheaper one if the message does not list it.
    #[tokio::test]
    async fn a_message_that_lists_the_senders_account_needs_no_further_read() {
        let (bob, other) = (device(2, 1, 7), device(1, 2, 7));
        let items = || vec![device_item(bob, None), device_item(other, None)];
        for (to, of_the_sender) in [(vec![bob], 1), (vec![bob, other], 0)] {
            let (backend, calls) = backend(with_directory(items(), |_| done()));
            send_one(&backend, &to).await;
            let calls = calls.lock().unwrap();
            let reads: Vec<_> = calls.iter().filter(|call| call.operation == "GetItem").collect();
            assert_eq!(reads.len(), of_the_sender);
            assert!(reads.iter().all(|call| call.body["ConsistentRead"] == false));
        }
    }

    /// I6: a read that is a moment behind knows nothing of a device that has just registered.
    #[tokio::test]
    async fn x74_a_sender_that_has_just_registered_is_not_refused() {
        let bob = device(2, 1, 7);
        let (backend, calls) = backend(move |call| match call.operation.as_str() {
            "Query" => (200, json!({ "Items": [device_item(bob, Some("open"))] })),
            "GetItem" if call.body["ConsistentRead"] == true => {
                (200, json!({ "Item": device_item(sender(), None) }))
            }
            _ => done(),
        });
        assert_eq!(send_one(&backend, &[bob]).await, Outcome::Accepted);
        let reads = operations(&calls);
        assert_eq!(reads.iter().filter(|call| *call == OWN_READ).count(), 2);
    }

    #[tokio::test]
    async fn a_device_that_is_away_is_marked_once() {
        let bob = device(2, 1, 7);
        let away = device_item(bob, None);
        let mut marked = away.clone();
        marked["p"] = json!({ "N": "5" });
        for (item, expected) in [(away, 4), (marked, 3)] {
            let (backend, calls) = backend(with_directory(vec![item], |_| done()));
            assert_eq!(send_one(&backend, &[bob]).await, Outcome::Accepted);
            let calls = operations(&calls);
            let all = ["PutItem mailbox", "Query devices", OWN_READ, "UpdateItem devices"];
            assert_eq!(calls, all[..expected]);
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
        assert_eq!(send_one(&backend, &[bob]).await, Outcome::Accepted);
        let expected = [
            "PutItem mailbox",
            "Query devices",
            OWN_READ,
            "POST dead",
            "UpdateItem devices",
        ];
        assert_eq!(operations(&calls), expected);
    }

    /// I10, I11: a device that is connecting is posted to as soon as its connection is open, and stays connected.
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_opening_is_posted_to_again_and_not_forgotten() {
        let bob = device(2, 1, 7);
        for opens in [true, false] {
            let posts = AtomicU32::new(0);
            let script = with_directory(vec![device_item(bob, Some("new"))], move |call| {
                match call.operation.as_str() {
                    "POST new" if posts.fetch_add(1, Ordering::Relaxed) < 2 || !opens => (410, json!({})),
                    "UpdateItem" => condition_failed(&device_item(bob, Some("new"))),
                    _ => done(),
                }
            });
            let (backend, calls) = backend(script);
            let sent = send(&backend, sender(), request(&[bob])).await;
            let posts = operations(&calls)
                .iter()
                .filter(|call| *call == "POST new")
                .count();
            if opens {
                assert_eq!(sent.unwrap().outcomes[0].outcome, Outcome::Accepted);
                assert_eq!(posts, 3);
            } else {
                assert_eq!(sent, Err(SendError::Fault(Fault::Unavailable)));
                assert_eq!(posts, PAUSES_WHILE_OPENING.len());
            }
        }
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
        let outcome = send_one(&backend, &[same, old]).await;
        assert!(matches!(outcome, Outcome::Mismatch { .. }), "{outcome:?}");
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
        let outcome = send_one(&backend, &[bob]).await;
        assert_eq!(code(&outcome), Some(ErrorCode::MessageIdReused));
        // What is there stays, and what is not there is not posted.
        assert_eq!(operations(&calls), ["PutItem mailbox", "Query devices", OWN_READ]);
    }

    /// A frame may still come over a connection that is being closed. What it put is announced all the same: an
    /// earlier run of it may have been accepted.
    #[tokio::test]
    async fn x68_a_sender_that_was_removed_or_registered_again_is_refused() {
        let (bob, other) = (device(2, 1, 7), device(1, 2, 7));
        let again = device(1, 1, 6);
        for to in [vec![bob], vec![bob, other]] {
            for own in [None, Some(device_item(again, Some("new")))] {
                let (backend, calls) = backend(without_the_sender(bob, other, own));
                let result = send(&backend, sender(), request(&to)).await;
                assert_eq!(result, Err(SendError::Unknown));
                let calls = operations(&calls);
                assert!(calls.contains(&"POST open".to_owned()));
                assert!(!calls.iter().any(|call| call.starts_with("DeleteItem")));
            }
        }
    }

    /// AWS with a connected device of another account, and `other` and what is in the sender's place in the sender's.
    fn without_the_sender(
        bob: RegisteredDevice,
        other: RegisteredDevice,
        own: Option<Value>,
    ) -> impl Fn(&Call) -> Answer + Send + Sync + 'static {
        move |call| match call.operation.as_str() {
            "Query" => {
                let account = crate::testing::bytes(&call.body["ExpressionAttributeValues"][":account"]);
                let items: Vec<_> = if account == sender().address.account.to_bytes() {
                    own.iter().cloned().chain([device_item(other, None)]).collect()
                } else {
                    vec![device_item(bob, Some("open"))]
                };
                (200, json!({ "Items": items }))
            }
            "GetItem" => match &own {
                Some(own) => (200, json!({ "Item": own })),
                None => done(),
            },
            _ => done(),
        }
    }

    #[tokio::test]
    async fn a_message_to_the_sending_device_itself_changes_nothing() {
        let (backend, calls) = backend(|_| done());
        let result = send(&backend, sender(), request(&[sender()])).await;
        assert_eq!(result, Err(SendError::ListsItself));
        assert!(operations(&calls).is_empty());
    }

    /// Messages of one frame to one device: each has its own put, all share one read and one post.
    #[tokio::test]
    async fn messages_of_one_frame_share_the_read_and_the_post() {
        let bob = device(2, 1, 7);
        let (backend, calls) = backend(with_directory(vec![device_item(bob, Some("open"))], |_| done()));
        let messages = [3, 1, 2].map(|number| message(number, &[bob]));
        let sent = send(&backend, sender(), frame(messages.clone())).await.unwrap();
        let expected = messages.map(|message| MessageOutcome {
            message: message.message,
            outcome: Outcome::Accepted,
        });
        assert_eq!(sent.outcomes, expected);
        let (put, read) = ("PutItem mailbox", "Query devices");
        assert_eq!(operations(&calls), [put, put, put, read, OWN_READ, "POST open"]);
        let calls = calls.lock().unwrap();
        let posted = calls.last().unwrap().body["envelopes"]
            .as_array()
            .unwrap()
            .clone();
        let ids: Vec<_> = posted
            .iter()
            .map(|envelope| envelope["message"].to_string())
            .collect();
        assert!(ids.len() == 3 && ids.is_sorted(), "{ids:?}");
    }

    /// I6: what is wrong with one message holds up no other of its frame.
    #[tokio::test]
    async fn each_message_of_a_frame_has_an_outcome_of_its_own() {
        let (bob, old) = (device(2, 1, 7), device(2, 1, 6));
        let script = with_directory(vec![device_item(bob, None)], |call| {
            let id = crate::testing::bytes(&call.body["Item"]["i"]);
            match call.operation.as_str() {
                "PutItem" if id.starts_with(&[3; 6]) => {
                    let mut item = call.body["Item"].clone();
                    item["c"] = json!({ "B": crate::testing::standard_base64(&[8; 32]) });
                    condition_failed(&item)
                }
                _ => done(),
            }
        });
        let (backend, _) = backend(script);
        let messages = [message(1, &[bob]), message(2, &[old]), message(3, &[bob])];
        let sent = send(&backend, sender(), frame(messages)).await.unwrap();
        let [good, stale, reused] = sent.outcomes.try_into().unwrap();
        assert_eq!(good.outcome, Outcome::Accepted);
        assert!(matches!(stale.outcome, Outcome::Mismatch { .. }));
        assert_eq!(code(&reused.outcome), Some(ErrorCode::MessageIdReused));
    }

    #[tokio::test]
    async fn x82_a_frame_with_no_message_one_twice_or_too_many_changes_nothing() {
        use waxwing_wire::limits::MAX_MESSAGES_PER_SEND;
        let bob = device(2, 1, 7);
        let many = (0..=MAX_MESSAGES_PER_SEND).map(|number| message(number as u8, &[bob]));
        let bad = [
            (frame([]), ErrorCode::Malformed),
            (
                frame([message(1, &[bob]), message(1, &[bob])]),
                ErrorCode::Malformed,
            ),
            (frame(many), ErrorCode::TooLarge),
        ];
        for (request, code) in bad {
            let (backend, calls) = backend(|_| done());
            let refused = send(&backend, sender(), request).await.unwrap_err();
            assert_eq!(Problem::from(refused).code, code);
            assert!(operations(&calls).is_empty());
        }
    }

    #[test]
    fn the_delivery_of_the_largest_envelope_fits_one_frame() {
        use waxwing_wire::limits::{MAX_CIPHERTEXT_BYTES, MAX_FRAME_BYTES};
        let id = EnvelopeId {
            message: message(7, &[]).message,
            from: sender().address,
        };
        let ciphertext = Ciphertext::from_vec(vec![7; MAX_CIPHERTEXT_BYTES]).unwrap();
        let envelopes = vec![Envelope { id, ciphertext }];
        let news = ServiceFrame::Delivery(Delivery { envelopes });
        assert!(serde_json::to_vec(&news).unwrap().len() <= MAX_FRAME_BYTES);
    }
}
