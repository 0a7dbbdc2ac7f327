//! What becomes of an envelope.
//!
//! One transaction, which a few envelopes may share: the session's new state, the message, the deletion of a
//! one-time prekey and the note that this envelope is dealt with are stored together or not at all. Only then
//! may it be acked (I3). An envelope that cannot be read is noted with the reason and acked too, so that it does not stand
//! in the way of what follows (I13). Only if the store fails it is not acked: it comes again.

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    Body, Content,
    content::{Again, DecodeError},
    management::Observation,
};
use waxwing_wire::{AccountId, DeviceAddress, Envelope, EnvelopeId, MessageId};

use crate::{
    ask_again, ask_for,
    channel::{self, Place},
    events::{Effects, Event, UndecryptableReason},
    history,
    messages::MessageState,
    person, read_state, receipts, resets,
    sessions::{self, DecryptFailure, Me, Opened, Settled},
    store::{
        StoreError, asks, channels, directory, early_receipts, lists,
        messages::{self, MessageRow, NewMessage},
        peers::{self, PeerId},
        received, settings,
        timeline::{self, Note},
    },
};

/// What is to be done with an envelope now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// When the transaction is committed it may be acked.
    Dealt(Effects),
    /// The same: it was dealt with before.
    CameAgain,
    /// A device that is not on the own list says that it is one of ours. Fetch the list and come again.
    AskForOwnList,
}

/// Takes an envelope. `own_list_is_new` says that the own list was fetched just now.
pub(crate) fn envelope(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    envelope: &Envelope,
    own_list_is_new: bool,
    now_millis: u64,
) -> Result<Received, StoreError> {
    if received::contains(tx, envelope.id)? {
        return Ok(Received::CameAgain);
    }
    let from = envelope.id.from;
    // Who may tell us what we wrote elsewhere is decided by the list alone, before a key is used up (attack X40).
    if from.account == me.address().account && directory::device(tx, from)?.is_none() && !own_list_is_new {
        return Ok(Received::AskForOwnList);
    }
    open(tx, rng, me, envelope, now_millis).map(Received::Dealt)
}

fn open(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    envelope: &Envelope,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let from = envelope.id.from;
    let opened = match sessions::decrypt(tx, me, from, envelope.ciphertext.as_bytes()) {
        Ok(opened) => opened,
        Err(DecryptFailure::Unreadable(reason)) => {
            let mut effects = bury(tx, envelope.id, reason, now_millis)?;
            // Not for a repetition.
            if effects.grew.is_some() && resets::may_help(reason) {
                // One that is on no list known here yet is asked once it is.
                received::ask_for(tx, envelope.id)?;
                effects.send = resets::unreadable(tx, rng, from, now_millis)?;
            }
            return Ok(effects);
        }
        Err(DecryptFailure::Store(error)) => return Err(error),
    };
    // From here on the message key is used up: whatever the content is, the session's state is stored.
    let Opened { plaintext, sender } = opened;
    let content = Content::decode(&plaintext);
    let sequence = match &content {
        Ok(content) => Some(content.sequence),
        Err(error) => error.sequence(),
    };
    let unreadable = content.as_ref().err().copied();
    let settled = sessions::settle(tx, from, sender, now_millis)?;
    received::insert(tx, envelope.id, now_millis)?;
    received::unbury(tx, envelope.id)?;
    let (standing, mut effects) = greet(tx, from, settled)?;
    let may_be_of_a_history = from.account == me.address().account
        && standing == Standing::Listed
        && unreadable.is_some_and(DecodeError::may_be_of_a_history);
    if let Some(sequence) = sequence {
        effects.merge(bear_witness(tx, from, settled.peer, (sequence, &plaintext))?);
    }
    effects.merge(match admit(me.address().account, from, standing, content) {
        Ok(message) => store(tx, rng, me, (envelope.id, settled), &message, now_millis)?,
        Err(reason) => {
            let mut refused = bury(tx, envelope.id, reason, now_millis)?;
            if may_be_of_a_history {
                refused.merge(history::unreadable(tx, settled.peer)?);
            }
            if let Some(sequence) = sequence {
                refused.merge(channel::arrive(tx, settled.peer, sequence, None, now_millis)?);
            }
            refused
        }
    });
    Ok(effects)
}

/// A message that may be shown.
struct Admitted {
    content: Content,
    conversation: AccountId,
    own: bool,
    unconfirmed: bool,
}

/// How the device that sent something stands with the list of its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// The owner of the account signed these keys.
    Listed,
    /// No list of the account is known yet.
    Unknown,
    /// A list is known, and these keys are not on it.
    Unlisted,
}

/// The content names the account it was written to. A contact may only write to us; only our own devices, with the
/// keys on our list, may tell us what we wrote to others (attack X40).
fn admit(
    us: AccountId,
    from: DeviceAddress,
    standing: Standing,
    content: Result<Content, DecodeError>,
) -> Result<Admitted, UndecryptableReason> {
    let content = content.map_err(|_| UndecryptableReason::UnknownContent)?;
    let to = AccountId::from_bytes(&content.conversation).map_err(|_| UndecryptableReason::Misdirected)?;
    let own = from.account == us;
    if own && standing != Standing::Listed {
        return Err(UndecryptableReason::Unlisted);
    }
    let for_own_devices = matches!(
        content.body,
        Body::ReadState(_) | Body::History(_) | Body::Person(_)
    );
    if !own && for_own_devices {
        return Err(UndecryptableReason::OwnDevicesOnly);
    }
    if !own && to != us {
        return Err(UndecryptableReason::Misdirected);
    }
    Ok(Admitted {
        content,
        conversation: if own { to } else { from.account },
        own,
        unconfirmed: standing != Standing::Listed,
    })
}

fn store(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    (id, settled): (EnvelopeId, Settled),
    message: &Admitted,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let Admitted {
        content,
        conversation,
        own,
        unconfirmed,
    } = message;
    let Body::Text(text) = &content.body else {
        let mut effects = obey(tx, rng, me, (id, settled), message, now_millis)?;
        effects.merge(channel::arrive(
            tx,
            settled.peer,
            content.sequence,
            None,
            now_millis,
        )?);
        return Ok(effects);
    };
    let channel = channels::load(tx, settled.peer)?;
    let new = NewMessage {
        id: id.message,
        from: id.from,
        conversation: *conversation,
        sequence: content.sequence,
        sent_at_millis: content.sent_at_millis,
        text,
        own: *own,
        late: channel.place(content.sequence) == Place::Late,
        unconfirmed: unconfirmed.then_some(settled.peer),
        state: MessageState::Received,
    };
    let row = keep(tx, &new)?;
    let mut effects = channel::arrive(tx, settled.peer, content.sequence, row, now_millis)?;
    effects.send |= row.is_some() && is_to_be_told(tx, rng, me, &new, now_millis)?;
    Ok(effects)
}

/// Stores a message for people that is not there yet, by whichever way it came first: in its channel, again, or with a
/// history.
pub(crate) fn keep(tx: &Transaction<'_>, new: &NewMessage<'_>) -> Result<Option<MessageRow>, StoreError> {
    if messages::exists(tx, new.from, new.id)? {
        return Ok(None);
    }
    insert(tx, new).map(Some)
}

/// Stores one of which is known that it is not there. One of this account that a receipt came before is as far as that says.
pub(crate) fn insert(tx: &Transaction<'_>, new: &NewMessage<'_>) -> Result<MessageRow, StoreError> {
    let row = messages::insert(tx, new)?;
    if new.own {
        settings::add_contact(tx, new.conversation)?;
        if let Some(state) = early_receipts::take(tx, new.conversation, (new.from, new.id))? {
            messages::raise(tx, row, state)?;
        }
    }
    Ok(row)
}

/// Notes that the sender of a message that was stored is to be told. Returns whether it is.
fn is_to_be_told(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    new: &NewMessage<'_>,
    now_millis: u64,
) -> Result<bool, StoreError> {
    let id = EnvelopeId {
        message: new.id,
        from: new.from,
    };
    Ok(
        !new.own
            && new.unconfirmed.is_none()
            && receipts::stored(tx, rng, id, me.receipt_linger, now_millis)?,
    )
}

/// Does what a message between devices asks for. One whose sender is on no trusted list may reset its sessions, and
/// nothing else.
fn obey(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    (id, settled): (EnvelopeId, Settled),
    message: &Admitted,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let (own, us) = (message.own, me.address().account);
    match &message.content.body {
        Body::Reset(reason) => resets::obey(tx, id.from, settled, (*reason).into(), now_millis),
        _ if message.unconfirmed => Ok(Effects::default()),
        Body::Receipt(receipt) if own => receipts::take_own(tx, message.conversation, receipt),
        Body::Receipt(receipt) => receipts::take(tx, us, message.conversation, receipt),
        Body::ReadState(state) if own => read_state::take(tx, state),
        Body::History(said) if own => history::obey(tx, me, (id, settled.peer), said, now_millis),
        Body::Person(said) if own => person::take(tx, said).map(|()| Effects::default()),
        Body::AskAgain(ask) => ask_again::answer(tx, rng, (id.from.account, settled.peer), *ask, now_millis),
        Body::AskFor(ask) => ask_for::answer(tx, rng, (id.from.account, settled.peer), ask, now_millis),
        Body::Again(again) => store_again(tx, rng, me, (id, settled), again, now_millis),
        // Nothing, what only own devices may say, and kinds that this version can decode and does not obey.
        _ => Ok(Effects::default()),
    }
}

/// Stores a message that its sender was asked for. What it was not asked for is passed over.
fn store_again(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    me: &Me,
    (id, settled): (EnvelopeId, Settled),
    again: &Again,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let from = id.from;
    let (us, own) = (me.address().account, from.account == me.address().account);
    let (Ok(to), Ok(message)) = (
        AccountId::from_bytes(&again.conversation),
        MessageId::from_bytes(&again.message),
    ) else {
        return Ok(Effects::default());
    };
    let letter = EnvelopeId { message, from };
    let was_unreadable = received::is_asked_for(tx, letter)?;
    let was_missing = asks::is_missing(tx, settled.peer, again.sequence)?;
    if (!own && to != us) || !(was_missing || was_unreadable) {
        return Ok(Effects::default());
    }
    let Some(text) = &again.text else {
        return ask_again::found(tx, settled.peer, again.sequence);
    };
    if was_unreadable {
        received::unbury(tx, letter)?;
        received::insert(tx, letter, now_millis)?;
    }
    let channel = channels::load(tx, settled.peer)?;
    let new = NewMessage {
        id: message,
        from,
        conversation: if own { to } else { from.account },
        sequence: again.sequence,
        sent_at_millis: again.sent_at_millis,
        text,
        own,
        late: channel.place(again.sequence) == Place::Late,
        unconfirmed: None,
        state: MessageState::Received,
    };
    let row = keep(tx, &new)?;
    // What could not be read may be the next: then nothing was missing, and it has its place.
    let mut effects = channel::arrive(tx, settled.peer, again.sequence, row, now_millis)?;
    effects.send |= row.is_some() && is_to_be_told(tx, rng, me, &new, now_millis)?;
    Ok(effects)
}

/// Tells of a session that was opened, and says how its sender stands. Of one who is not on a list known here, the
/// list is asked for.
fn greet(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    settled: Settled,
) -> Result<(Standing, Effects), StoreError> {
    let mut effects = Effects::default();
    if let Some(one_time_prekey) = settled.handshake {
        effects.tell(Event::Handshake {
            peer: from,
            initiated: false,
            one_time_prekey,
        });
    }
    if directory::device(tx, from)?.is_some_and(|listed| listed.peer == settled.peer) {
        return Ok((Standing::Listed, effects));
    }
    let known = lists::is_known(tx, from.account)?;
    // Once for each session that it opens: a list does not change because one writes on.
    if settled.handshake.is_some() || !known {
        effects.ask = lists::set_stale(tx, from.account)?;
    }
    Ok((
        if known {
            Standing::Unlisted
        } else {
            Standing::Unknown
        },
        effects,
    ))
}

/// Compares a content with those before it. Another one under the same sequence number proves that its sender was
/// cloned (attack X24); whatever does not decrypt proves nothing.
fn bear_witness(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    peer: PeerId,
    (sequence, content): (u64, &[u8]),
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    let mut witness = peers::witness(tx, peer)?;
    match witness.observe(sequence, content) {
        Observation::New => peers::set_witness(tx, peer, &witness)?,
        Observation::Forked if peers::set_cloned(tx, peer)? => {
            tracing::warn!(device = %from, "a device uses a sequence number twice");
            effects.grew(timeline::append_note(tx, &Note::ClonedDevice { device: from })?);
        }
        Observation::Forked | Observation::Repeated | Observation::Forgotten => {}
    }
    Ok(effects)
}

/// Notes that an envelope cannot be read, and tells the app the first time.
pub(crate) fn bury(
    tx: &Transaction<'_>,
    envelope: EnvelopeId,
    reason: UndecryptableReason,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    if received::bury(tx, envelope, reason, now_millis)? == 1 {
        effects.grew(timeline::append_note(
            tx,
            &Note::Undecryptable { envelope, reason },
        )?);
    }
    Ok(effects)
}

#[cfg(test)]
mod tests {
    use waxwing_wire::Ciphertext;

    use super::*;
    use crate::{
        directory::Plan,
        store::dump,
        store::prekeys,
        testing::{NOW, Party, account},
        trust::DeviceChange,
        under_way::UnderWay,
    };

    fn alice_and_bob() -> (Party, Party) {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::on_disk(account(2), 1, 12);
        alice.meet(&mut bob);
        (alice, bob)
    }

    fn garbage(from: DeviceAddress) -> Envelope {
        Envelope {
            id: EnvelopeId {
                message: MessageId::new(NOW, &mut crate::clock::rng()),
                from,
            },
            ciphertext: Ciphertext::from_vec(vec![7; 900]).unwrap(),
        }
    }

    /// The texts of the messages whose senders are not confirmed.
    fn marked(party: &Party) -> Vec<String> {
        let marked = |event| match event {
            Event::Message(message) if message.unconfirmed => Some(message.text),
            _ => None,
        };
        party.told().into_iter().filter_map(marked).collect()
    }

    fn reasons(party: &Party) -> Vec<UndecryptableReason> {
        let reason = |event| match event {
            Event::Undecryptable { reason, .. } => Some(reason),
            _ => None,
        };
        party.told().into_iter().filter_map(reason).collect()
    }

    /// I3.
    #[test]
    fn an_envelope_that_comes_again_is_stored_once_and_needs_no_decrypting() {
        let (mut alice, mut bob) = alice_and_bob();
        let sent = alice.send(bob.account(), "once");
        bob.receive_all(&sent);
        for _ in 0..2 {
            bob.reopen();
            assert_eq!(bob.receive_once(&sent[0].envelope, false), Received::CameAgain);
        }
        assert_eq!(bob.texts(), ["once"]);
        assert_eq!(bob.told().len(), 1);
    }

    /// I3, I17: a crash between decrypting and the commit leaves everything as it was.
    #[test]
    fn an_envelope_whose_transaction_was_undone_can_be_received_again() {
        let (mut alice, mut bob) = alice_and_bob();
        let sent = alice.send(bob.account(), "after the crash");
        let (me, now) = (bob.me.clone(), bob.now);
        let crashed: Result<(), StoreError> = bob.store.write_now(|tx| {
            envelope(tx, &mut crate::clock::rng(), &me, &sent[0].envelope, false, now)?;
            Err(StoreError::Damaged("crash before the commit"))
        });
        assert!(crashed.is_err());
        bob.reopen();
        assert!(bob.told().is_empty());
        bob.receive_all(&sent);
        assert_eq!(bob.texts(), ["after the crash"]);
    }

    /// I13.
    #[test]
    fn x78_what_cannot_be_read_is_told_once_and_does_not_hold_up_what_follows() {
        let (mut alice, mut bob) = alice_and_bob();
        let first = alice.send(bob.account(), "before");
        let poison = garbage(alice.address());
        let second = alice.send(bob.account(), "after");
        bob.receive_all(&first);
        bob.receive(&poison);
        bob.receive(&poison);
        bob.receive_all(&second);
        assert_eq!(bob.texts(), ["before", "after"]);
        assert_eq!(reasons(&bob), [UndecryptableReason::Malformed]);
    }

    #[test]
    fn x13_a_damaged_first_message_burns_no_prekey() {
        let (mut alice, mut bob) = alice_and_bob();
        let sent = alice.send(bob.account(), "intact");
        let mut bytes = sent[0].envelope.ciphertext.as_bytes().to_vec();
        *bytes.last_mut().unwrap() ^= 1;
        let damaged = Envelope {
            id: garbage(alice.address()).id,
            ciphertext: Ciphertext::from_vec(bytes).unwrap(),
        };
        bob.receive(&damaged);
        assert_eq!(reasons(&bob), [UndecryptableReason::NotAuthentic]);
        bob.receive_all(&sent);
        assert_eq!(bob.texts(), ["intact"]);
    }

    #[test]
    fn x10_a_prekey_is_gone_with_the_first_message_it_opened() {
        let (mut alice, mut bob) = alice_and_bob();
        let used = bob.bundle().one_time_prekey.unwrap().id.get() + 1;
        let kept = |bob: &Party| {
            bob.store
                .read_now(|tx| Ok(prekeys::one_time(tx, used)?.is_some()))
                .unwrap()
        };
        assert!(kept(&bob));
        let sent = alice.send(bob.account(), "first");
        bob.receive_all(&sent);
        assert!(!kept(&bob));
    }

    #[test]
    fn x10_a_repeated_handshake_under_another_id_shows_nothing() {
        let (mut alice, mut bob) = alice_and_bob();
        let sent = alice.send(bob.account(), "once");
        bob.receive_all(&sent);
        let replayed = Envelope {
            id: garbage(alice.address()).id,
            ciphertext: sent[0].envelope.ciphertext.clone(),
        };
        bob.receive(&replayed);
        assert_eq!(bob.texts(), ["once"]);
        assert_eq!(reasons(&bob), [UndecryptableReason::UsedNumber]);
    }

    #[test]
    fn x11_a_repeated_handshake_without_one_time_prekey_is_refused_even_when_its_session_is_gone() {
        let mut alice = Party::new(account(1), 1, 11);
        let mut bob = Party::on_disk(account(2), 1, 12);
        let bundle = bob.bundle_without_one_time_prekey();
        alice.claim(bob.account(), &[bundle]);
        alice.claim(alice.account(), &[]);
        let sent = alice.send(bob.account(), "once");
        bob.receive_all(&sent);
        bob.write(|tx, _| Ok(tx.execute("DELETE FROM sessions", [])?));
        bob.reopen();
        let replayed = Envelope {
            id: garbage(alice.address()).id,
            ciphertext: sent[0].envelope.ciphertext.clone(),
        };
        bob.receive(&replayed);
        assert_eq!(bob.texts(), ["once"]);
        assert_eq!(reasons(&bob), [UndecryptableReason::Replayed]);
    }

    fn cloned(party: &Party) -> Vec<DeviceAddress> {
        let device = |event| match event {
            Event::ClonedDevice { device } => Some(device),
            _ => None,
        };
        party.told().into_iter().filter_map(device).collect()
    }

    #[test]
    fn x24_a_device_restored_from_a_backup_is_told_of_once_it_is_heard_twice_and_not_before() {
        let (mut alice, mut bob) = alice_and_bob();
        bob.receive_all(&alice.send(bob.account(), "one"));
        // The copy has Alice's keys and counters, and writes in a session of its own.
        let mut copy = Party::new(alice.account(), 1, 11);
        copy.rng = rand::SeedableRng::seed_from_u64(99);
        copy.meet(&mut bob);
        copy.send(bob.account(), "lost");
        bob.receive_all(&alice.send(bob.account(), "two"));
        bob.receive(&garbage(alice.address()));
        assert_eq!(cloned(&bob), []);
        for text in ["other", "and another"] {
            bob.receive_all(&copy.send(bob.account(), text));
            bob.reopen();
            bob.receive_all(&alice.send(bob.account(), "on"));
        }
        assert_eq!(cloned(&bob), [alice.address()], "told once");
        assert!(bob.texts().contains(&"other".to_owned()), "nothing is hidden");
    }

    #[test]
    fn x24_a_content_whose_transaction_was_undone_is_not_taken_for_one_of_a_copy() {
        let (mut alice, mut bob) = alice_and_bob();
        let sent = alice.send(bob.account(), "once");
        let (me, now) = (bob.me.clone(), bob.now);
        let undone: Result<(), StoreError> = bob.store.write_now(|tx| {
            envelope(tx, &mut crate::clock::rng(), &me, &sent[0].envelope, false, now)?;
            Err(StoreError::Damaged("undone"))
        });
        assert!(undone.is_err());
        for _ in 0..2 {
            bob.receive_all(&sent);
        }
        assert_eq!(cloned(&bob), []);
    }

    #[test]
    fn x40_a_contact_cannot_tell_us_what_we_wrote_to_somebody_else() {
        let (mut alice, mut bob) = alice_and_bob();
        let (carol, me) = (account(3), alice.me.clone());
        // What a dishonest client would do: content for another conversation, encrypted for Bob.
        let id = alice.write_to(carol, "forged");
        let forged = alice.write(|tx, rng| {
            let peer = directory::device(tx, bob.address())?.unwrap().peer;
            let content = Content {
                sequence: 1,
                sent_at_millis: NOW,
                conversation: carol.to_bytes(),
                body: Body::Text("forged".to_owned()),
            };
            let session = crate::store::sessions::current(tx, peer)?.unwrap();
            Ok(sessions::encrypt(tx, rng, session, &content.encode().unwrap(), NOW)?.unwrap())
        });
        bob.receive(&Envelope {
            id: EnvelopeId {
                message: id,
                from: me.address(),
            },
            ciphertext: Ciphertext::from_vec(forged).unwrap(),
        });
        assert!(bob.texts().is_empty());
        assert_eq!(reasons(&bob), [UndecryptableReason::Misdirected]);
    }

    #[test]
    fn x22_a_message_does_not_come_back_to_its_sender_as_one_of_the_other() {
        let (mut alice, mut bob) = alice_and_bob();
        let sent = alice.send(bob.account(), "there");
        bob.receive_all(&sent);
        bob.list(alice.account(), &[alice.published()]);
        bob.claim(bob.account(), &[]);
        let answer = bob.send(alice.account(), "and back");
        alice.receive_all(&answer);
        let reflected = Envelope {
            id: EnvelopeId {
                message: sent[0].envelope.id.message,
                from: bob.address(),
            },
            ciphertext: sent[0].envelope.ciphertext.clone(),
        };
        alice.receive(&reflected);
        assert_eq!(alice.texts(), ["and back"]);
        assert_eq!(reasons(&alice).len(), 1);
    }

    #[test]
    fn one_who_wrote_first_is_answered_without_burning_a_prekey() {
        let (mut alice, mut bob) = alice_and_bob();
        bob.receive_all(&alice.send(bob.account(), "hello"));
        bob.claim(bob.account(), &[]);
        bob.write_to(alice.account(), "hello back");
        let prepared = bob.prepare(UnderWay::default());
        assert_eq!(prepared.learn, [alice.account()].into());
        assert_eq!(bob.plan(alice.account()), Plan::Fetch);
        bob.list(alice.account(), &[alice.published()]);
        assert_eq!(bob.plan(alice.account()), Plan::Ready);
    }

    #[test]
    fn a_sender_that_registered_again_starts_a_channel_of_its_own_and_is_not_confirmed_before_its_list_is() {
        let (mut alice, mut bob) = alice_and_bob();
        bob.list(alice.account(), &[alice.published()]);
        for text in ["one", "two"] {
            bob.receive_all(&alice.send(bob.account(), text));
        }
        let mut again = Party::new(alice.account(), 1, 99);
        again.meet(&mut bob);
        let sent = again.send(bob.account(), "three");
        assert!(bob.receive(&sent[0].envelope).ask);
        assert_eq!(marked(&bob), ["three"]);
        bob.list(alice.account(), &[again.published()]);
        bob.receive_all(&again.send(bob.account(), "four"));
        // What its former self sent before is still read.
        bob.receive_all(&alice.send(bob.account(), "from before"));
        assert_eq!(bob.texts(), ["one", "two", "three", "four", "from before"]);
        assert_eq!(marked(&bob), ["from before"]);
        let changed = Event::DevicesChanged {
            account: alice.account(),
            changes: vec![DeviceChange::Replaced(alice.address().device)],
        };
        assert_eq!(bob.told().iter().filter(|event| **event == changed).count(), 1);
    }

    #[test]
    fn x40_a_first_message_is_not_confirmed_until_a_list_names_the_keys_it_came_from() {
        let (mut alice, mut bob) = alice_and_bob();
        let mut ghost = Party::new(alice.account(), 2, 98);
        ghost.meet(&mut bob);
        bob.receive_all(&alice.send(bob.account(), "from Alice"));
        bob.receive_all(&ghost.send(bob.account(), "from nobody"));
        assert_eq!(marked(&bob), ["from Alice", "from nobody"]);
        let effects = bob.list(alice.account(), &[alice.published()]);
        let confirmed = Event::SenderConfirmed {
            device: alice.address(),
        };
        assert_eq!(effects.events, [confirmed]);
        assert_eq!(marked(&bob), ["from nobody"]);
        // One that has the ghost's number, but not its keys, confirms nothing of it.
        let laptop = Party::new(alice.account(), 2, 97);
        let effects = bob.list(alice.account(), &[alice.published(), laptop.published()]);
        assert!(effects.events.is_empty());
        assert_eq!(marked(&bob), ["from nobody"]);
    }

    #[test]
    fn x37_what_a_contact_s_removed_device_sends_is_shown_as_not_confirmed() {
        let (alice, mut bob) = alice_and_bob();
        let mut laptop = Party::new(alice.account(), 2, 98);
        laptop.meet(&mut bob);
        bob.list(alice.account(), &[alice.published(), laptop.published()]);
        bob.receive_all(&laptop.send(bob.account(), "while it was in"));
        bob.list(alice.account(), &[alice.published()]);
        bob.receive_all(&laptop.send(bob.account(), "after it was removed"));
        assert_eq!(bob.texts(), ["while it was in", "after it was removed"]);
        assert_eq!(marked(&bob), ["after it was removed"]);
    }

    /// Every kind of content, from every kind of sender, in every conversation: shown as what it is, or refused.
    #[test]
    fn x42_nothing_is_admitted_but_what_its_sender_may_say() {
        use Standing::{Listed, Unknown, Unlisted};
        use UndecryptableReason::{Misdirected, UnknownContent, Unlisted as NotOurs};
        use waxwing_protocol::content::ResetReason;
        let (us, contact, third) = (account(1), account(2), account(3));
        let bodies = [
            Body::Text("hello".to_owned()),
            Body::Reset(ResetReason::Unreadable),
            Body::Nothing,
        ];
        let no_account = [0xFF; 16];
        assert!(AccountId::from_bytes(&no_account).is_err());
        for (from, standing, conversation, expected) in [
            // (sender, its standing, the conversation it names, (conversation, own, unconfirmed) or the refusal)
            (contact, Listed, us.to_bytes(), Ok((contact, false, false))),
            (contact, Unknown, us.to_bytes(), Ok((contact, false, true))),
            (contact, Unlisted, us.to_bytes(), Ok((contact, false, true))),
            (contact, Listed, contact.to_bytes(), Err(Misdirected)),
            (contact, Unknown, contact.to_bytes(), Err(Misdirected)),
            (contact, Unlisted, contact.to_bytes(), Err(Misdirected)),
            (contact, Listed, third.to_bytes(), Err(Misdirected)),
            (contact, Unknown, third.to_bytes(), Err(Misdirected)),
            (contact, Unlisted, third.to_bytes(), Err(Misdirected)),
            (contact, Listed, no_account, Err(Misdirected)),
            (contact, Unknown, no_account, Err(Misdirected)),
            (contact, Unlisted, no_account, Err(Misdirected)),
            (us, Listed, us.to_bytes(), Ok((us, true, false))),
            (us, Unknown, us.to_bytes(), Err(NotOurs)),
            (us, Unlisted, us.to_bytes(), Err(NotOurs)),
            (us, Listed, contact.to_bytes(), Ok((contact, true, false))),
            (us, Unknown, contact.to_bytes(), Err(NotOurs)),
            (us, Unlisted, contact.to_bytes(), Err(NotOurs)),
            (us, Listed, no_account, Err(Misdirected)),
            (us, Unknown, no_account, Err(Misdirected)),
            (us, Unlisted, no_account, Err(Misdirected)),
        ] {
            let device = DeviceAddress {
                account: from,
                device: waxwing_wire::DeviceId::new(2).unwrap(),
            };
            for body in &bodies {
                let content = Content {
                    sequence: 1,
                    sent_at_millis: NOW,
                    conversation,
                    body: body.clone(),
                };
                let admitted = admit(us, device, standing, Ok(content))
                    .map(|admitted| (admitted.conversation, admitted.own, admitted.unconfirmed));
                assert_eq!(admitted, expected, "{standing:?} {body:?}");
            }
            let unread = Err(DecodeError::Kind {
                kind: 99,
                sequence: 1,
            });
            let refused = admit(us, device, standing, unread).err();
            assert_eq!(refused, Some(UnknownContent));
        }
    }

    /// A content goes through only in the kinds of envelope that prove who made it: the one that opens a session, and
    /// those within one.
    #[test]
    fn x42_no_content_is_read_out_of_an_envelope_that_no_session_authenticates() {
        let (mut alice, mut bob) = alice_and_bob();
        let opening = alice.send(bob.account(), "opening").remove(0).envelope;
        let (mut mallory, mut carol) = (Party::new(account(8), 1, 88), Party::new(account(9), 1, 99));
        mallory.meet(&mut carol);
        let for_another = mallory.send(carol.account(), "for another").remove(0).envelope;
        let plain = Content {
            sequence: 1,
            sent_at_millis: NOW,
            conversation: bob.account().to_bytes(),
            body: Body::Text("in the clear".to_owned()),
        };
        for (from, bytes) in [
            // The opening of somebody else, as if it were Mallory's.
            (mallory.address(), opening.ciphertext.as_bytes().to_vec()),
            (alice.address(), for_another.ciphertext.as_bytes().to_vec()),
            (alice.address(), plain.encode().unwrap()),
            (alice.address(), Vec::new()),
        ] {
            let Ok(ciphertext) = Ciphertext::from_vec(bytes) else {
                continue;
            };
            let id = garbage(from).id;
            bob.receive(&Envelope { id, ciphertext });
        }
        assert!(bob.texts().is_empty());
        assert!(reasons(&bob).len() >= 3);
        bob.receive(&opening);
        assert_eq!(bob.texts(), ["opening"]);
    }

    #[test]
    fn x40_a_device_that_is_not_on_the_own_list_cannot_tell_us_what_we_wrote() {
        let mut phone = Party::new(account(1), 1, 11);
        let mut ghost = Party::new(account(1), 2, 12);
        let mut bob = Party::new(account(2), 1, 13);
        phone.list(account(1), &[]);
        let (to_phone, to_bob) = (phone.bundle(), bob.bundle());
        ghost.claim(account(1), &[to_phone]);
        ghost.claim(account(2), &[to_bob]);
        let sent = ghost.send(bob.account(), "never written");
        let to_phone = sent.iter().find(|carried| carried.to == phone.me.device).unwrap();
        let before = phone.write(|tx, _| dump(tx));
        assert_eq!(
            phone.receive_once(&to_phone.envelope, false),
            Received::AskForOwnList
        );
        assert_eq!(phone.write(|tx, _| dump(tx)), before);
        phone.receive_once(&to_phone.envelope, true);
        assert!(phone.texts().is_empty());
        assert_eq!(reasons(&phone), [UndecryptableReason::Unlisted]);
    }

    #[test]
    fn x37_x68_a_device_that_was_revoked_is_not_heard_any_more() {
        let mut phone = Party::new(account(1), 1, 11);
        let mut laptop = Party::new(account(1), 2, 12);
        phone.list(account(1), &[laptop.published()]);
        let to_phone = phone.bundle();
        laptop.claim(account(1), &[to_phone]);
        phone.receive_all(&laptop.send(account(1), "while it was in"));
        phone.list(account(1), &[]);
        phone.receive_all(&laptop.send(account(1), "after it was revoked"));
        assert_eq!(phone.texts(), ["while it was in"]);
    }

    #[test]
    fn a_message_of_our_own_other_device_is_shown_as_our_own() {
        let mut phone = Party::new(account(1), 1, 11);
        let mut laptop = Party::new(account(1), 2, 12);
        let mut bob = Party::new(account(2), 1, 13);
        let (to_laptop, to_bob) = (laptop.bundle(), bob.bundle());
        phone.claim(account(1), &[to_laptop]);
        phone.claim(account(2), &[to_bob]);
        laptop.list(account(1), &[phone.published()]);
        let sent = phone.send(bob.account(), "from the phone");
        assert_eq!(sent.len(), 2);
        laptop.receive_all(&sent);
        let told = laptop.told();
        let [Event::Message(message)] = &told[..] else {
            panic!("{told:?}")
        };
        assert!(message.own);
        assert_eq!(message.conversation, bob.account());
    }
}
