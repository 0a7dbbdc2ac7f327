//! What becomes of an envelope.
//!
//! One transaction an envelope: the session's new state, the message, the deletion of a one-time prekey and
//! the note that this envelope is dealt with are stored together or not at all. Only then may it be acked
//! (I3). An envelope that cannot be read is noted with the reason and acked too, so that it does not stand
//! in the way of what follows (I13). Only if the store fails it is not acked: it comes again.

use rusqlite::Transaction;
use waxwing_protocol::{Body, Content, content::DecodeError};
use waxwing_wire::{AccountId, DeviceAddress, Envelope, EnvelopeId};

use crate::{
    channel::{self, Place},
    events::{Effects, Event, UndecryptableReason},
    messages::MessageState,
    sessions::{self, DecryptFailure, Me, Settled},
    store::{
        StoreError, channels, directory,
        messages::{self, NewMessage},
        peers::Acquaintance,
        received,
        timeline::{self, Note},
    },
};

/// Takes an envelope. When the transaction is committed the envelope may be acked.
pub(crate) fn envelope(
    tx: &Transaction<'_>,
    me: &Me,
    envelope: &Envelope,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    if received::contains(tx, envelope.id)? {
        return Ok(Effects::default());
    }
    let from = envelope.id.from;
    let opened = match sessions::decrypt(tx, me, from, envelope.ciphertext.as_bytes()) {
        Ok(opened) => opened,
        Err(DecryptFailure::Unreadable(reason)) => return bury(tx, envelope.id, reason, now_millis),
        Err(DecryptFailure::Store(error)) => return Err(error),
    };
    // From here on the message key is used up: whatever the content is, the session's state is stored.
    let content = Content::decode(&opened.plaintext);
    let sequence = match &content {
        Ok(content) => Some(content.sequence),
        Err(error) => error.sequence(),
    };
    let settled = sessions::settle(tx, from, opened, sequence, now_millis)?;
    received::insert(tx, envelope.id, now_millis)?;
    received::unbury(tx, envelope.id)?;
    let mut effects = greet(tx, from, settled)?;
    effects.merge(match admit(me.address().account, from, content) {
        Ok(message) => store(tx, envelope.id, settled, &message, now_millis)?,
        Err(reason) => {
            let mut refused = bury(tx, envelope.id, reason, now_millis)?;
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
}

/// The content names the account it was written to. A contact may only write to us; only our own devices
/// may tell us what we wrote to others (attack X40).
fn admit(
    us: AccountId,
    from: DeviceAddress,
    content: Result<Content, DecodeError>,
) -> Result<Admitted, UndecryptableReason> {
    let content = content.map_err(|_| UndecryptableReason::UnknownContent)?;
    let to = AccountId::from_bytes(&content.conversation).map_err(|_| UndecryptableReason::Misdirected)?;
    let own = from.account == us;
    if !own && to != us {
        return Err(UndecryptableReason::Misdirected);
    }
    Ok(Admitted {
        content,
        conversation: if own { to } else { from.account },
        own,
    })
}

fn store(
    tx: &Transaction<'_>,
    id: EnvelopeId,
    settled: Settled,
    message: &Admitted,
    now_millis: u64,
) -> Result<Effects, StoreError> {
    let Admitted {
        content,
        conversation,
        own,
    } = message;
    let text = match &content.body {
        Body::Text(text) => text,
        // A kind this version can decode and does not show.
        _ => return channel::arrive(tx, settled.peer, content.sequence, None, now_millis),
    };
    let channel = channels::load(tx, settled.peer)?;
    let row = messages::insert(
        tx,
        &NewMessage {
            id: id.message,
            from: id.from,
            conversation: *conversation,
            sequence: content.sequence,
            sent_at_millis: content.sent_at_millis,
            text,
            own: *own,
            late: channel.place(content.sequence) == Place::Late,
            state: MessageState::Received,
        },
    )?;
    channel::arrive(tx, settled.peer, content.sequence, Some(row), now_millis)
}

/// Tells of a session that was opened, and of a device that has other keys than it had.
fn greet(tx: &Transaction<'_>, from: DeviceAddress, settled: Settled) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    if let Some(one_time_prekey) = settled.handshake {
        effects.tell(Event::Handshake {
            peer: from,
            initiated: false,
            one_time_prekey,
        });
    }
    if settled.acquaintance == Acquaintance::Changed {
        effects.grew(timeline::append_note(tx, &Note::IdentityChanged { peer: from })?);
    }
    // Whether the device our list has is this one, the service can say.
    let listed = directory::device(tx, from)?.and_then(|device| device.peer);
    if settled.acquaintance != Acquaintance::Known && listed != Some(settled.peer) {
        directory::set_stale(tx, from.account, true)?;
    }
    Ok(effects)
}

/// Notes that an envelope cannot be read, and tells the app the first time.
fn bury(
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
