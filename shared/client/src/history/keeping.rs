//! Messages of a chunk, stored where they stand among those that are there.
//!
//! A chunk has them as they stand on the giving device, each older than the one before it. One that is new here goes right
//! below the one that came before it, whether that was there already or not: so a second history, of the same device or
//! of another, fills what is missing in between. Devices may have live messages of several people in different orders;
//! what counts is the order within each conversation. Where the last message stands, of all and of each conversation, is
//! stored with the messages, and known for the next chunk.

use rusqlite::Transaction;
use waxwing_protocol::{
    content::{Chunk, PastMessage, PastState},
    keys::TheirDevice,
};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, MessageId};

use crate::{
    channel,
    events::{Effects, FailureReason},
    messages::MessageState,
    read_state, receive,
    store::{
        StoreError, directory,
        histories::{self, Taken},
        messages::{self, MessageRow, NewMessage},
        peers::{self, PeerId},
        places, timeline,
    },
};

/// Whether all of a chunk can be read: ids are ids, keys are keys.
pub(super) fn is_sound(us: AccountId, chunk: &Chunk) -> bool {
    chunk.messages.iter().all(|past| Named::of(us, past).is_some())
}

/// Stores the messages of a chunk. Of one that is there already, what was not known of it.
pub(super) fn keep_all(
    tx: &Transaction<'_>,
    us: AccountId,
    taken: &mut Taken,
    chunk: &Chunk,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    for (past, number) in chunk.messages.iter().zip(1..) {
        let Some(named) = Named::of(us, past) else {
            continue;
        };
        let row = keep(tx, &named, past)?;
        let place = match row {
            Kept::New(row) if chunk.newer => {
                channel::show(tx, Some(row), &mut effects)?;
                continue;
            }
            Kept::New(row) => {
                let older = chunk.messages.get(number..).unwrap_or_default();
                let above = above(tx, us, taken, (&named, older))?;
                let place = places::put_below(tx, row, above)?;
                read_state::placed(tx, row, place)?;
                Some(place)
            }
            // One that waits for an earlier one of its channel has no place yet.
            Kept::Known(row) => places::of(tx, row)?,
        };
        if let Some(place) = place.filter(|_| !chunk.newer) {
            taken.place = Some(place);
            histories::set_place_in(tx, taken.peer, named.conversation, place)?;
        }
    }
    Ok(effects)
}

/// The place right below which a message goes. `older` are those after it in its chunk.
fn above(
    tx: &Transaction<'_>,
    us: AccountId,
    taken: &Taken,
    (named, older): (&Named, &[PastMessage]),
) -> Result<u64, StoreError> {
    let conversation = named.conversation;
    let last = taken.place.unwrap_or(places::HISTORY_END);
    if let Some(last_in) = histories::place_in(tx, taken.peer, conversation)? {
        let is_apart = places::is_any_between(tx, conversation, (last, last_in))?;
        return Ok(if is_apart { last_in } else { last.min(last_in) });
    }
    // The newest of its conversation there, and not here: it goes above what is older and known. If it is the newest of all
    // there, above whatever of this chunk stands highest, for the order of the conversations.
    let mut highest = None;
    for older in older {
        let Some(older) = Named::of(us, older) else {
            continue;
        };
        if taken.place.is_some() && older.conversation != conversation {
            continue;
        }
        let row = messages::find(tx, older.from, older.id)?;
        let place = row.map(|row| places::of(tx, row)).transpose()?.flatten();
        highest = highest.max(place);
        if taken.place.is_some() && place.is_some() {
            break;
        }
    }
    match highest {
        Some(highest) if highest >= last => places::next_above(tx, highest),
        _ => Ok(last),
    }
}

/// A message of a history.
enum Kept {
    /// It was not there.
    New(MessageRow),
    /// It was.
    Known(MessageRow),
}

/// Stores a message, without a place; of one that is there already, what was not known of it.
fn keep(tx: &Transaction<'_>, named: &Named, past: &PastMessage) -> Result<Kept, StoreError> {
    let state = state(&past.state);
    let row = match messages::find(tx, named.from, named.id)? {
        Some(row) => {
            if past.own {
                messages::raise(tx, row, state)?;
            }
            Kept::Known(row)
        }
        None => Kept::New(receive::insert(
            tx,
            &NewMessage {
                id: named.id,
                from: named.from,
                conversation: named.conversation,
                // It came through no channel to this device.
                sequence: 0,
                sent_at_millis: past.sent_at_millis,
                text: &past.text,
                own: past.own,
                late: past.late,
                unconfirmed: unconfirmed(tx, named.from, past)?,
                state,
            },
        )?),
    };
    if past.read {
        let (Kept::New(row) | Kept::Known(row)) = row;
        messages::set_read(tx, row)?;
    }
    Ok(row)
}

/// The life of its sender, if no list that is trusted here names it.
fn unconfirmed(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    past: &PastMessage,
) -> Result<Option<PeerId>, StoreError> {
    let Some(keys) = &past.unconfirmed else {
        return Ok(None);
    };
    let peer = peers::meet(tx, from, keys)?;
    let listed = directory::device(tx, from)?;
    Ok((listed.map(|listed| listed.peer) != Some(peer)).then_some(peer))
}

fn state(past: &PastState) -> MessageState {
    match past {
        PastState::Received => MessageState::Received,
        PastState::Accepted => MessageState::Accepted,
        PastState::Delivered => MessageState::Delivered,
        PastState::Read => MessageState::Read,
        // A reason of a newer version is one that this one does not know.
        PastState::Failed(reason) => MessageState::Failed(
            timeline::from_json(reason, 0)
                .unwrap_or(FailureReason::Refused(waxwing_wire::ErrorCode::Internal)),
        ),
    }
}

/// Who sent a message, where, and under which id.
struct Named {
    from: DeviceAddress,
    id: MessageId,
    conversation: AccountId,
}

impl Named {
    fn of(us: AccountId, past: &PastMessage) -> Option<Self> {
        let conversation = AccountId::from_bytes(&past.conversation).ok()?;
        let from = DeviceAddress {
            account: if past.own { us } else { conversation },
            device: DeviceId::new(past.device.into()).ok()?,
        };
        let keys = past.unconfirmed.as_ref();
        if keys.is_some_and(|keys| TheirDevice::from_bytes(keys).is_err())
            || (!past.own && conversation == us)
        {
            return None;
        }
        Some(Self {
            from,
            id: MessageId::from_bytes(&past.message).ok()?,
            conversation,
        })
    }
}
