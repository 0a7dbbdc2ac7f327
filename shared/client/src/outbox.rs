//! From the app's message to what leaves: stored, encrypted, stored again, sent, accepted.
//!
//! 1. [`send_text`] stores the message and returns.
//! 2. [`prepare`] encrypts it for every device concerned. New ratchet states and ciphertexts are stored by
//!    one transaction, and only its commit lets a byte leave (I17). So a crash at any point leads to the
//!    same bytes being sent again, never to a second message under a used key.
//! 3. The service answers: [`accepted`], [`mismatch`] or [`fail`]. Without an answer the same goes out again.
//!
//! # Order
//! Messages of a conversation are encrypted in the order of the outbox, which gives them their numbers in
//! each channel; the recipient restores that order. A device that turns up while messages are under way gets
//! all of them, in order: whatever is in the outbox of a conversation is encrypted for the same devices.

use std::collections::BTreeSet;

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{Body, Content};
use waxwing_wire::{
    AccountId, Ciphertext, DeviceAddress, MessageId,
    send::{Mismatch, Recipient, RecipientDevice},
};
use zeroize::Zeroizing;

use crate::{
    clock, directory as directory_logic,
    events::{Effects, Event, FailureReason},
    messages::MessageState,
    sessions::{self, Me},
    shared::Shared,
    store::{
        StoreError,
        directory::{self, KnownDevice},
        messages::{self, NewMessage},
        outbox::{self, Entry, EntryId, Sealed},
        sessions as session_rows,
        timeline::{self, Note},
    },
};

/// Bytes of a text at most, so that one message to both people's full sets of devices fits one WebSocket
/// message. Longer content travels as media.
pub const MAX_TEXT_BYTES: usize = 7_800;

/// Why a message was not taken. Nothing is stored then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The device has no account.
    #[error("the device has no account yet; register or link it first")]
    NotRegistered,
    /// The text is empty.
    #[error("the text is empty; write something")]
    Empty,
    /// The text is longer than [`MAX_TEXT_BYTES`].
    #[error("the text has {bytes} bytes, at most {MAX_TEXT_BYTES} fit; send it in parts")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Stores a text to be sent.
pub(crate) async fn send_text(shared: &Shared, to: AccountId, text: &str) -> Result<MessageId, SendError> {
    let me = shared.me().ok_or(SendError::NotRegistered)?;
    match text.len() {
        0 => return Err(SendError::Empty),
        1..=MAX_TEXT_BYTES => {}
        bytes => return Err(SendError::TooLong { bytes }),
    }
    let text = text.to_owned();
    let id = shared
        .store
        .write(move |tx| {
            append(
                tx,
                &mut clock::rng(),
                me.address(),
                to,
                &text,
                clock::now_millis(),
            )
        })
        .await?;
    shared.outbox_grew.notify_one();
    Ok(id)
}

/// Stores a text to be sent.
pub(crate) fn append(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    from: DeviceAddress,
    to: AccountId,
    text: &str,
    now_millis: u64,
) -> Result<MessageId, StoreError> {
    let id = MessageId::new(now_millis, rng);
    let row = messages::insert(
        tx,
        &NewMessage {
            id,
            from,
            conversation: to,
            sequence: 0,
            sent_at_millis: now_millis,
            text,
            own: true,
            late: false,
            state: MessageState::Pending,
        },
    )?;
    timeline::append_sent(tx, row)?;
    outbox::append(tx, row, to)?;
    Ok(id)
}

/// A message that is ready to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) entry: EntryId,
    pub(crate) message: MessageId,
    pub(crate) recipients: Vec<Recipient>,
}

/// What can be done for the outbox now.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// To be sent.
    pub(crate) outgoing: Vec<Outgoing>,
    /// Accounts of which something must be learned first.
    pub(crate) learn: BTreeSet<AccountId>,
}

/// Entries looked at in one go.
const ENTRIES_PER_READ: usize = 64;

/// Encrypts what is next in the outbox, at most `room` messages. `busy` ones are under way already; those to
/// `blocked` accounts wait.
pub(crate) fn prepare(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    (busy, blocked): (&BTreeSet<EntryId>, &BTreeSet<AccountId>),
    room: usize,
    now_millis: u64,
) -> Result<Prepared, StoreError> {
    let mut prepared = Prepared::default();
    let mut waiting = blocked.clone();
    let mut after = None;
    while prepared.outgoing.len() < room {
        let page = outbox::entries_after(tx, after, ENTRIES_PER_READ)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for entry in &page {
            if prepared.outgoing.len() == room {
                break;
            }
            if busy.contains(&entry.id) || waiting.contains(&entry.recipient) {
                continue;
            }
            let mut unknown = unready(tx, me, entry.recipient)?;
            if unknown.is_empty() {
                unknown = seal_up_to(tx, rng, me, entry, now_millis)?;
            }
            if unknown.is_empty() {
                prepared.outgoing.push(outgoing(tx, me, entry)?);
            } else {
                // All of a conversation waits, so that its order holds.
                waiting.insert(entry.recipient);
                prepared.learn.extend(unknown.difference(blocked));
            }
        }
    }
    Ok(prepared)
}

/// The service has the message in all mailboxes that `sent` names. Returns whether it is done with: if
/// devices were learned of since it was sent, it goes out once more, to them too.
pub(crate) fn accepted(tx: &Transaction<'_>, sent: &Outgoing) -> Result<(bool, Effects), StoreError> {
    let mut effects = Effects::default();
    let Some(entry) = outbox::entry(tx, sent.entry)? else {
        return Ok((true, effects));
    };
    let was_sent: BTreeSet<_> = sent
        .recipients
        .iter()
        .flat_map(|recipient| {
            recipient
                .devices
                .iter()
                .map(|device| (recipient.account, device.device, device.registration))
        })
        .collect();
    let sealed = outbox::sealed(tx, sent.entry)?;
    let complete = sealed
        .iter()
        .all(|sealed| was_sent.contains(&(sealed.account, sealed.device, sealed.registration)));
    if complete {
        outbox::remove(tx, entry.id)?;
        messages::set_state(tx, entry.row, MessageState::Accepted)?;
        effects.tell(Event::Accepted {
            message: entry.message,
        });
    }
    Ok((complete, effects))
}

/// The accounts' devices are others than the message named.
pub(crate) fn mismatch(tx: &Transaction<'_>, me: &Me, mismatch: &Mismatch) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    for account in &mismatch.accounts {
        effects.merge(directory_logic::take_mismatch(tx, me, account)?);
    }
    Ok(effects)
}

/// Gives up a message.
pub(crate) fn fail(
    tx: &Transaction<'_>,
    entry: EntryId,
    reason: FailureReason,
) -> Result<Effects, StoreError> {
    match outbox::entry(tx, entry)? {
        Some(entry) => give_up(tx, &entry, reason),
        None => Ok(Effects::default()),
    }
}

/// Gives up all messages to an account.
pub(crate) fn fail_all_to(
    tx: &Transaction<'_>,
    account: AccountId,
    reason: FailureReason,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    for entry in outbox::entries_to(tx, account, None)? {
        effects.merge(give_up(tx, &entry, reason)?);
    }
    Ok(effects)
}

fn give_up(tx: &Transaction<'_>, entry: &Entry, reason: FailureReason) -> Result<Effects, StoreError> {
    outbox::remove(tx, entry.id)?;
    messages::set_state(tx, entry.row, MessageState::Failed(reason))?;
    let mut effects = Effects::default();
    effects.grew(timeline::append_note(
        tx,
        &Note::Failed {
            message: entry.message,
            reason,
        },
    )?);
    Ok(effects)
}

/// The accounts a message goes to: the recipient and ourselves, for our other devices.
fn accounts(me: &Me, recipient: AccountId) -> BTreeSet<AccountId> {
    [recipient, me.address().account].into()
}

/// Those of the accounts a message goes to of which something must be learned first.
fn unready(tx: &Transaction<'_>, me: &Me, recipient: AccountId) -> Result<BTreeSet<AccountId>, StoreError> {
    let mut unready = BTreeSet::new();
    for account in accounts(me, recipient) {
        if directory_logic::plan(tx, me, account)? != directory_logic::Plan::Ready {
            unready.insert(account);
        }
    }
    Ok(unready)
}

/// Encrypts an entry, and those of its conversation before it that are under way, for every device that it
/// is not encrypted for yet. Returns the accounts with a device whose session is at its end.
fn seal_up_to(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    last: &Entry,
    now_millis: u64,
) -> Result<BTreeSet<AccountId>, StoreError> {
    let mut unready = BTreeSet::new();
    for entry in outbox::entries_to(tx, last.recipient, Some(last.id))? {
        let sealed: BTreeSet<_> = outbox::sealed(tx, entry.id)?
            .iter()
            .map(|sealed| (sealed.account, sealed.device))
            .collect();
        for account in accounts(me, entry.recipient) {
            for known in directory::devices(tx, account)? {
                let missing = !sealed.contains(&(account, known.device));
                if missing && !seal(tx, rng, me, &entry, (account, known), now_millis)? {
                    unready.insert(account);
                }
            }
        }
    }
    Ok(unready)
}

/// Encrypts an entry for one device, as the next message of the channel to it. Returns whether there was a
/// session that could.
fn seal(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    entry: &Entry,
    (account, known): (AccountId, KnownDevice),
    now_millis: u64,
) -> Result<bool, StoreError> {
    let address = DeviceAddress {
        account,
        device: known.device,
    };
    let Some(peer) = known.peer.filter(|_| address != me.address()) else {
        return Ok(address == me.address());
    };
    let content = Content {
        sequence: directory::next_sequence(tx, address)?,
        sent_at_millis: entry.sent_at_millis,
        conversation: entry.recipient.to_bytes(),
        body: Body::Text(entry.text.clone()),
    };
    let plaintext = Zeroizing::new(content.encode().map_err(|_| StoreError::Damaged("text"))?);
    let Some(ciphertext) = sessions::encrypt(tx, rng, peer, &plaintext, now_millis)? else {
        session_rows::retire_all(tx, peer)?;
        return Ok(false);
    };
    directory::take_sequence(tx, address)?;
    let sealed = Sealed {
        account,
        device: known.device,
        registration: known.registration,
        ciphertext: Ciphertext::from_vec(ciphertext).map_err(|_| StoreError::Damaged("ciphertext"))?,
    };
    outbox::seal(tx, entry.id, &sealed)?;
    Ok(true)
}

/// The message as it leaves: for each account all its devices, our own account among them always.
fn outgoing(tx: &Transaction<'_>, me: &Me, entry: &Entry) -> Result<Outgoing, StoreError> {
    let sealed = outbox::sealed(tx, entry.id)?;
    let recipients = accounts(me, entry.recipient)
        .into_iter()
        .map(|account| Recipient {
            account,
            devices: sealed
                .iter()
                .filter(|sealed| sealed.account == account)
                .map(|sealed| RecipientDevice {
                    device: sealed.device,
                    registration: sealed.registration,
                    ciphertext: sealed.ciphertext.clone(),
                })
                .collect(),
        })
        .collect();
    Ok(Outgoing {
        entry: entry.id,
        message: entry.message,
        recipients,
    })
}
