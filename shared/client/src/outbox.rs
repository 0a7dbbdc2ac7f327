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
    AccountId, Ciphertext, DeviceAddress, MessageId, RegisteredDevice,
    send::{AccountMismatch, OutgoingMessage, Recipient, RecipientDevice},
};
use zeroize::Zeroizing;

use crate::{
    ask_again, ask_for, clock,
    directory::{self as directory_logic, Plan},
    events::{Effects, Event, FailureReason, ResetCause},
    frames::Packing,
    history,
    messages::MessageState,
    person, receipts, resets,
    sessions::{self, Me},
    shared::Shared,
    store::{
        StoreError, directory, identity, lists,
        messages::{self, NewMessage},
        offers,
        outbox::{self, Entry, EntryId, Matter, Sealed},
        peers::{self, PeerId},
        sessions as session_rows, settings,
        timeline::{self, Note},
    },
    under_way::{UnderWay, WINDOW},
};

/// Bytes of a text at most, so that one message to both people's full sets of devices fits one WebSocket
/// message. Longer content travels as media.
pub const MAX_TEXT_BYTES: usize = 6_700;

/// Why a message was not taken. Nothing is stored then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The device has no account, or none any more.
    #[error("the device is in no account; register or link it first")]
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
            unconfirmed: None,
            state: if lists::offered(tx, to)?.is_some() {
                MessageState::Held
            } else {
                MessageState::Pending
            },
        },
    )?;
    settings::add_contact(tx, to)?;
    timeline::append_sent(tx, row)?;
    outbox::append(tx, row, to)?;
    Ok(id)
}

/// A message that is ready to leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) entry: EntryId,
    pub(crate) recipient: AccountId,
    pub(crate) message: OutgoingMessage,
}

impl Outgoing {
    /// The devices it goes to.
    fn devices(&self) -> BTreeSet<RegisteredDevice> {
        let devices = self.message.recipients.iter().flat_map(|recipient| {
            recipient.devices.iter().map(|device| RegisteredDevice {
                address: DeviceAddress {
                    account: recipient.account,
                    device: device.device,
                },
                registration: device.registration,
            })
        });
        devices.collect()
    }
}

/// What can be done for the outbox now.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// To be sent.
    pub(crate) outgoing: Vec<Outgoing>,
    /// Accounts of which something must be learned first.
    pub(crate) learn: BTreeSet<AccountId>,
    /// When there is a receipt to send.
    pub(crate) next_receipt: Option<u64>,
}

/// Encrypts what may leave now and finds a place in the frames that are left.
pub(crate) fn prepare(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    mut under_way: UnderWay,
    mut room: Packing,
    now_millis: u64,
) -> Result<Prepared, StoreError> {
    resets::leave(tx, rng, now_millis)?;
    ask_again::leave(tx, rng, now_millis)?;
    ask_for::leave(tx, rng, now_millis)?;
    person::leave(tx, rng, now_millis)?;
    history::leave(tx, rng, now_millis)?;
    let mut prepared = Prepared {
        next_receipt: receipts::leave(tx, rng, now_millis)?,
        ..Prepared::default()
    };
    'recipients: for recipient in outbox::recipients(tx)? {
        let entries = outbox::entries_to(tx, recipient, Some(WINDOW))?;
        let accounts = accounts(tx, me, recipient, now_millis)?;
        for (index, entry) in entries.iter().enumerate() {
            if !under_way.may_leave(recipient, entry.id) {
                continue;
            }
            let Some(mut unknown) = unready(tx, me, &accounts, now_millis)? else {
                // The app is to answer first.
                break;
            };
            if unknown.is_empty() {
                let so_far = entries.get(..=index).unwrap_or_default();
                unknown = seal(tx, rng, &accounts, so_far, now_millis)?;
            }
            if !unknown.is_empty() {
                // All of the conversation waits, so that its order holds.
                prepared.learn.extend(unknown);
                break;
            }
            let outgoing = outgoing(tx, me.address().account, &accounts, entry)?;
            if room.place(&outgoing.message).is_none() {
                break 'recipients;
            }
            under_way.leave(recipient, entry.id);
            if let Matter::Message(row) = entry.matter {
                messages::raise(tx, row, MessageState::Sent)?;
            }
            prepared.outgoing.push(outgoing);
        }
    }
    prepared.learn.retain(|account| !under_way.is_blocked(*account));
    Ok(prepared)
}

/// The service has the message in all mailboxes that `sent` names. Returns whether it is done with: if
/// devices were learned of since it was sent, it goes out once more, to them too.
pub(crate) fn accepted(tx: &Transaction<'_>, sent: &Outgoing) -> Result<(bool, Effects), StoreError> {
    let mut effects = Effects::default();
    let Some(entry) = outbox::entry(tx, sent.entry)? else {
        return Ok((true, effects));
    };
    let was_sent = sent.devices();
    let complete = outbox::sealed(tx, sent.entry)?
        .iter()
        .all(|sealed| was_sent.contains(&sealed.device));
    if complete {
        outbox::remove(tx, entry.id)?;
        match (entry.matter, &entry.body) {
            (Matter::Message(row), _) => {
                messages::raise(tx, row, MessageState::Accepted)?;
                effects.tell(Event::Accepted {
                    message: entry.message,
                });
            }
            (Matter::Control(Some(peer)), Body::Reset(reason)) => effects.tell(Event::SessionReset {
                peer: peers::address(tx, peer)?,
                initiated: true,
                cause: (*reason).into(),
            }),
            (Matter::Control(_), _) => {}
        }
    }
    Ok((complete, effects))
}

/// The accounts' devices are others than the message named.
pub(crate) fn mismatch(tx: &Transaction<'_>, accounts: &[AccountMismatch]) -> Result<(), StoreError> {
    accounts
        .iter()
        .try_for_each(|account| directory_logic::take_mismatch(tx, account))
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
    let mut effects = Effects::default();
    outbox::remove(tx, entry.id)?;
    let Matter::Message(row) = entry.matter else {
        return Ok(effects);
    };
    messages::set_state(tx, row, MessageState::Failed(reason))?;
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
///
/// We are left out where there is no other device and none can come in unnoticed: this one has the account key, the
/// list it signed names itself alone, and it offers nobody a place. Nobody else can add a device then, so the service
/// need not compare our list for each message, which would cost as much as the recipient's.
fn accounts(
    tx: &Transaction<'_>,
    me: &Me,
    recipient: AccountId,
    now_millis: u64,
) -> Result<BTreeSet<AccountId>, StoreError> {
    let own = me.address().account;
    let alone = lists::is_known(tx, own)?
        && directory::devices(tx, own)?.is_empty()
        && identity::has_account_key(tx)?
        && !offers::any_open(tx, now_millis)?;
    Ok(if alone {
        [recipient].into()
    } else {
        [recipient, own].into()
    })
}

/// Those of the accounts a message goes to of which something must be learned first. `None`: nothing may be sent to
/// one of them until the app answers.
fn unready(
    tx: &Transaction<'_>,
    me: &Me,
    accounts: &BTreeSet<AccountId>,
    now_millis: u64,
) -> Result<Option<BTreeSet<AccountId>>, StoreError> {
    let mut unready = BTreeSet::new();
    for &account in accounts {
        match directory_logic::plan(tx, me, account, now_millis)? {
            Plan::Ready => {}
            Plan::Held => return Ok(None),
            Plan::Fetch | Plan::ClaimAll | Plan::Claim(_) => {
                unready.insert(account);
            }
        }
    }
    Ok(Some(unready))
}

/// Encrypts the last of these entries of one conversation, and those before it that are under way, for every
/// device that each is not encrypted for yet. Returns the accounts with a device whose session is at its end.
fn seal(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    accounts: &BTreeSet<AccountId>,
    entries: &[Entry],
    now_millis: u64,
) -> Result<BTreeSet<AccountId>, StoreError> {
    let mut unready = BTreeSet::new();
    for entry in entries {
        let sealed = outbox::sealed(tx, entry.id)?;
        for &account in accounts {
            for known in directory::devices(tx, account)? {
                let device = RegisteredDevice {
                    address: DeviceAddress {
                        account,
                        device: known.device,
                    },
                    registration: known.registration,
                };
                let missing = !sealed.iter().any(|sealed| sealed.device == device);
                if missing && !seal_for(tx, rng, entry, (device, known.peer), now_millis)? {
                    unready.insert(account);
                }
            }
        }
    }
    Ok(unready)
}

/// Encrypts an entry for one device, as the next message of the channel to it. Returns whether there was a
/// session that could.
fn seal_for(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    entry: &Entry,
    (device, peer): (RegisteredDevice, PeerId),
    now_millis: u64,
) -> Result<bool, StoreError> {
    let Some(stored) = session_rows::current(tx, peer)? else {
        return Ok(false);
    };
    if stored.session.post_quantum_step_is_overdue(now_millis)
        && resets::request(tx, rng, device.address, ResetCause::Overdue, now_millis)?
    {
        return Ok(false);
    }
    let body = match entry.matter {
        // It goes to all devices of the account, as every message does, and concerns one.
        Matter::Control(Some(concerned)) if concerned != peer => Body::Nothing,
        _ => entry.body.clone(),
    };
    if let Body::Reset(_) = body {
        peers::set_reset_in(tx, peer, &stored.session.id())?;
    }
    let content = Content {
        sequence: directory::next_sequence(tx, device)?,
        sent_at_millis: entry.sent_at_millis,
        conversation: entry.recipient.to_bytes(),
        body,
    };
    let plaintext = Zeroizing::new(content.encode().map_err(|_| StoreError::Damaged("body"))?);
    let Some(ciphertext) = sessions::encrypt(tx, rng, stored, &plaintext, now_millis)? else {
        session_rows::retire_all(tx, peer, now_millis)?;
        return Ok(false);
    };
    directory::take_sequence(tx, device)?;
    ask_again::sent(tx, peer, content.sequence, entry.matter, &content.body)?;
    let ciphertext = Ciphertext::from_vec(ciphertext).map_err(|_| StoreError::Damaged("ciphertext"))?;
    outbox::seal(tx, entry.id, &Sealed { device, ciphertext })?;
    Ok(true)
}

/// Whether somebody is to be woken for it: for what is shown, and for nothing that devices settle among themselves.
fn is_urgent(body: &Body) -> bool {
    matches!(body, Body::Text(_) | Body::Again(_))
}

/// The message as it leaves: for each account all its devices, also where it has no other than this one.
fn outgoing(
    tx: &Transaction<'_>,
    own: AccountId,
    accounts: &BTreeSet<AccountId>,
    entry: &Entry,
) -> Result<Outgoing, StoreError> {
    let sealed = outbox::sealed(tx, entry.id)?;
    let recipients = accounts
        .iter()
        .map(|&account| Recipient {
            account,
            devices: sealed
                .iter()
                .filter(|sealed| sealed.device.address.account == account)
                .map(|sealed| RecipientDevice {
                    device: sealed.device.address.device,
                    registration: sealed.device.registration,
                    ciphertext: sealed.ciphertext.clone(),
                })
                .collect(),
            urgent: account != own && is_urgent(&entry.body),
        })
        .collect();
    Ok(Outgoing {
        entry: entry.id,
        recipient: entry.recipient,
        message: OutgoingMessage {
            message: entry.message,
            recipients,
        },
    })
}

#[cfg(test)]
mod tests {
    use waxwing_protocol::linking::{LINK_LIFE_MILLIS, LinkOffer};
    use waxwing_wire::{
        ClientFrame, RequestId,
        limits::{MAX_DEVICES_PER_ACCOUNT, MAX_MESSAGE_BYTES},
        secret::LinkToken,
        send::{KnownDevice as Listed, SendRequest},
    };

    use super::*;
    use crate::{
        testing::{Party, account, account_key, signed_list},
        trust::DeviceChange,
    };

    fn alice_and_bob() -> (Party, Party) {
        let mut alice = Party::on_disk(account(1), 1, 11);
        let mut bob = Party::new(account(2), 1, 12);
        alice.meet(&mut bob);
        (alice, bob)
    }

    fn listed(party: &Party) -> Listed {
        Listed {
            device: party.address().device,
            registration: party.me.device.registration,
        }
    }

    fn corrected(party: &mut Party, account: AccountMismatch) {
        party.write(|tx, _| mismatch(tx, &[account]));
    }

    fn under_way(outgoing: &[&Outgoing]) -> UnderWay {
        let mut under_way = UnderWay::default();
        for outgoing in outgoing {
            under_way.leave(outgoing.recipient, outgoing.entry);
        }
        under_way
    }

    /// I17.
    #[test]
    fn x25_after_a_crash_the_same_bytes_go_out_again() {
        let (mut alice, bob) = alice_and_bob();
        for text in ["one", "two", "three"] {
            alice.write_to(bob.account(), text);
        }
        let before = alice.prepare(UnderWay::default()).outgoing;
        for _ in 0..3 {
            alice.reopen();
            assert_eq!(alice.prepare(UnderWay::default()).outgoing, before);
        }
    }

    /// I17: a crash before the commit leaves neither ciphertext nor ratchet state, and nothing has left.
    #[test]
    fn x25_a_crash_between_encrypting_and_storing_uses_no_message_key_twice() {
        let (mut alice, mut bob) = alice_and_bob();
        alice.write_to(bob.account(), "secret");
        let (me, now) = (alice.me.clone(), alice.now);
        let rng = &mut alice.rng;
        let crashed: Result<(), StoreError> = alice.store.write_now(|tx| {
            prepare(tx, rng, &me, UnderWay::default(), Packing::up_to(usize::MAX), now)?;
            Err(StoreError::Damaged("crash before the commit"))
        });
        assert!(crashed.is_err());
        alice.reopen();
        let stored: i64 =
            alice.write(|tx, _| Ok(tx.query_row("SELECT count(*) FROM ciphertexts", [], |row| row.get(0))?));
        assert_eq!(stored, 0);
        let outgoing = alice.prepare(UnderWay::default()).outgoing;
        bob.receive_all(&alice.carry(&outgoing[0]));
        assert_eq!(bob.texts(), ["secret"]);
    }

    #[test]
    fn a_message_stays_until_it_is_accepted_and_goes_out_only_then() {
        let (mut alice, bob) = alice_and_bob();
        alice.write_to(bob.account(), "patience");
        let pending = |alice: &mut Party| alice.write(|tx, _| outbox::pending(tx));
        let outgoing = alice.prepare(UnderWay::default()).outgoing;
        assert_eq!(pending(&mut alice), 1);
        assert!(alice.accept(&outgoing[0]));
        assert_eq!(pending(&mut alice), 0);
        // A second answer to a repetition changes nothing.
        assert!(alice.accept(&outgoing[0]));
        let kept = alice
            .store
            .read_now(|tx| messages::of_conversation(tx, bob.account()))
            .unwrap();
        assert_eq!(
            kept.iter().map(|message| message.state).collect::<Vec<_>>(),
            [MessageState::Accepted]
        );
    }

    /// The accounts that a message names, each with how many of its devices.
    fn named(outgoing: &Outgoing) -> Vec<(AccountId, usize)> {
        let recipients = outgoing.message.recipients.iter();
        recipients
            .map(|recipient| (recipient.account, recipient.devices.len()))
            .collect()
    }

    #[test]
    fn the_own_account_is_left_out_by_a_primary_device_that_is_alone() {
        let (mut alice, bob) = alice_and_bob();
        alice.write_to(bob.account(), "hello");
        let outgoing = alice.prepare(UnderWay::default()).outgoing;
        assert_eq!(named(&outgoing[0]), [(bob.account(), 1)]);
    }

    #[test]
    fn the_own_account_is_listed_while_a_device_can_come_in_or_another_may_let_one_in() {
        let (mut alice, bob) = alice_and_bob();
        alice.write_to(bob.account(), "hello");
        let mut both = [(alice.account(), 0), (bob.account(), 1)];
        both.sort();
        let names = |alice: &mut Party| named(&alice.prepare(UnderWay::default()).outgoing[0]);

        let until = alice.now + LINK_LIFE_MILLIS;
        let (own, key) = (alice.account().to_bytes(), account_key(alice.account()));
        alice.write(|tx, rng| {
            let token = LinkToken::random(rng);
            let offer = LinkOffer::new(rng, *token.as_bytes(), own, key.public(), until);
            offers::replace(tx, &token, &offer.code())
        });
        assert_eq!(names(&mut alice), both);
        alice.now = until;
        assert_eq!(names(&mut alice), [(bob.account(), 1)]);
        // Whoever took it up in time waits for the answer.
        alice.write(|tx, _| {
            Ok(tx.execute(
                "UPDATE offers SET device = 2, registration = 3, keys = x'00', name = 'laptop'",
                [],
            )?)
        });
        assert_eq!(names(&mut alice), both);
        alice.write(|tx, _| Ok(tx.execute("DELETE FROM offers", [])?));
        assert_eq!(names(&mut alice), [(bob.account(), 1)]);
        // A device without the account key does not decide who comes in.
        alice.write(|tx, _| Ok(tx.execute("UPDATE this_device SET account_key = NULL", [])?));
        assert_eq!(names(&mut alice), both);
    }

    #[test]
    fn x43_a_device_that_turns_up_gets_all_that_is_under_way_in_order() {
        let (mut alice, mut bob) = alice_and_bob();
        for text in ["one", "two", "three"] {
            alice.write_to(bob.account(), text);
        }
        let sent = alice.prepare(UnderWay::default()).outgoing;
        let mut laptop = Party::new(bob.account(), 2, 13);
        // The answer to the second arrives first.
        let missing = AccountMismatch {
            account: bob.account(),
            missing: vec![listed(&laptop)],
            gone: Vec::new(),
            reregistered: Vec::new(),
        };
        corrected(&mut alice, missing);
        let waiting = alice.prepare(under_way(&[&sent[0], &sent[2]]));
        assert!(waiting.outgoing.is_empty());
        assert_eq!(waiting.learn, [bob.account()].into());
        assert_eq!(alice.plan(bob.account()), Plan::Fetch);
        let devices = [bob.published(), laptop.published()];
        alice.list(bob.account(), &devices);
        let bundle = laptop.bundle();
        let list = signed_list(bob.account(), &devices);
        let asked = [laptop.address().device];
        alice
            .claim_beside(bob.account(), list, Some(&asked), &[bundle])
            .unwrap();
        let again = alice.prepare(under_way(&[&sent[0], &sent[2]])).outgoing;
        // The first was accepted before the laptop was there: it goes out once more, to the laptop too.
        assert!(!alice.accept(&sent[0]));
        assert!(alice.accept(&again[0]));
        for outgoing in again.iter().chain(&alice.prepare(UnderWay::default()).outgoing) {
            let carried = alice.carry(outgoing);
            laptop.receive_all(&carried);
            bob.receive_all(&carried);
        }
        assert_eq!(laptop.texts(), ["one", "two", "three"]);
        assert_eq!(bob.texts(), ["one", "two", "three"]);
        // What Bob's phone was sent before is what it was sent again.
        let phone = |outgoing: &Outgoing| {
            let carried = alice.carry(outgoing);
            carried
                .into_iter()
                .find(|carried| carried.to == bob.me.device)
                .unwrap()
                .envelope
        };
        assert_eq!(phone(&sent[1]), phone(&again[0]));
    }

    #[test]
    fn x43_a_device_that_is_gone_is_dropped_and_one_that_registered_again_is_encrypted_to_anew() {
        let (mut alice, mut bob) = alice_and_bob();
        let mut laptop = Party::new(bob.account(), 2, 13);
        let bundles = [bob.bundle(), laptop.bundle()];
        alice.claim(bob.account(), &bundles);
        alice.write_to(bob.account(), "hello");
        let sent = alice.prepare(UnderWay::default()).outgoing;
        let mut again = Party::new(bob.account(), 1, 14);
        let change = AccountMismatch {
            account: bob.account(),
            missing: Vec::new(),
            gone: vec![laptop.address().device],
            reregistered: vec![listed(&again)],
        };
        corrected(&mut alice, change);
        assert_eq!(alice.prepare(UnderWay::default()).learn, [bob.account()].into());
        let bundle = again.bundle();
        alice.claim(bob.account(), &[bundle]);
        let corrected = alice.prepare(UnderWay::default()).outgoing;
        assert_eq!(corrected[0].message.message, sent[0].message.message);
        let carried = alice.carry(&corrected[0]);
        assert_eq!(
            carried.iter().map(|carried| carried.to).collect::<Vec<_>>(),
            [again.me.device]
        );
        again.receive_all(&carried);
        assert_eq!(again.texts(), ["hello"]);
        let changed = Event::DevicesChanged {
            account: bob.account(),
            changes: vec![
                DeviceChange::Replaced(again.address().device),
                DeviceChange::Removed(laptop.address().device),
            ],
        };
        assert!(alice.told().contains(&changed), "{:?}", alice.told());
    }

    #[test]
    fn a_conversation_that_waits_keeps_its_order_and_holds_up_no_other() {
        let (mut alice, bob) = alice_and_bob();
        let stranger = account(9);
        alice.write_to(stranger, "who are you");
        alice.write_to(bob.account(), "hello");
        alice.write_to(stranger, "hello?");
        let prepared = alice.prepare(UnderWay::default());
        assert_eq!(prepared.learn, [stranger].into());
        assert_eq!(prepared.outgoing.len(), 1);
        alice.write(|tx, _| fail_all_to(tx, stranger, FailureReason::UnknownAccount));
        assert_eq!(alice.write(|tx, _| outbox::pending(tx)), 1);
        let failed = |event: &Event| {
            matches!(
                event,
                Event::Failed {
                    reason: FailureReason::UnknownAccount,
                    ..
                }
            )
        };
        assert_eq!(alice.told().iter().filter(|event| failed(event)).count(), 2);
    }

    #[test]
    fn a_note_to_oneself_goes_to_the_own_other_devices() {
        let mut phone = Party::new(account(1), 1, 11);
        let mut laptop = Party::new(account(1), 2, 12);
        let bundle = laptop.bundle();
        phone.claim(account(1), &[bundle]);
        laptop.list(account(1), &[phone.published()]);
        let sent = phone.send(account(1), "milk");
        laptop.receive_all(&sent);
        assert_eq!(laptop.texts(), ["milk"]);
    }

    #[test]
    fn x82_the_longest_text_to_both_people_s_full_sets_of_devices_fits_one_message() {
        let (mut alice, bob) = alice_and_bob();
        let mut bundles: Vec<_> = (2..=MAX_DEVICES_PER_ACCOUNT as u64)
            .map(|device| Party::new(alice.account(), device, 100 + device).bundle())
            .collect();
        let own = std::mem::take(&mut bundles);
        alice.claim(alice.account(), &own);
        let theirs: Vec<_> = (1..=MAX_DEVICES_PER_ACCOUNT as u64)
            .map(|device| Party::new(bob.account(), device, 200 + device).bundle())
            .collect();
        alice.claim(bob.account(), &theirs);
        alice.write_to(bob.account(), &"x".repeat(MAX_TEXT_BYTES));
        let outgoing = alice.prepare(UnderWay::default()).outgoing.remove(0);
        let frame = ClientFrame::Send(SendRequest {
            request: RequestId::MAX,
            messages: vec![outgoing.message],
        });
        let bytes = serde_json::to_string(&frame).unwrap().len();
        assert!(bytes <= MAX_MESSAGE_BYTES, "{bytes}");
        assert!(
            bytes > MAX_MESSAGE_BYTES * 9 / 10,
            "the bound is far too low: {bytes}"
        );
    }
}
