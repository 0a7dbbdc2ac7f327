//! The device that is offered a history and takes it.

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    Body,
    content::{Chunk, History, HistoryMatter, PastMessage, PastState, Wish},
    keys::TheirDevice,
};
use waxwing_wire::{AccountId, DeviceAddress, DeviceId, MessageId};

use super::{CHUNKS_UNDER_WAY, HistoryEnd, HistoryError, HistoryId, HistoryStage, tell_end};
use crate::{
    channel,
    events::{Effects, Event, FailureReason},
    messages::MessageState,
    read_state, receive,
    store::{
        StoreError, directory,
        histories::{self, Taken, Tell},
        messages::{self, NewMessage},
        peers::{self, PeerId},
        timeline::{self, Note},
    },
};

/// Another device offers a history. One that it offered before ends with it; the same one again is answered again.
pub(super) fn offered(
    tx: &Transaction<'_>,
    (from, peer): (DeviceId, PeerId),
    history: HistoryId,
    messages: u64,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    if let Some(mut known) = histories::taken(tx, peer)?.filter(|known| known.history == history) {
        let tell = match known.stage {
            HistoryStage::Offered => return Ok(effects),
            HistoryStage::UnderWay | HistoryStage::Complete => Tell::Again,
            HistoryStage::Ended => Tell::End,
        };
        known.tell = Some(tell);
        histories::update_taken(tx, &known)?;
        effects.send = true;
        return Ok(effects);
    }
    let taken = Taken {
        peer,
        history,
        messages,
        stage: HistoryStage::Offered,
        next_chunk: 0,
        done: 0,
        tell: None,
    };
    histories::take(tx, &taken)?;
    let offered = Note::HistoryOffered {
        history,
        device: from,
        messages,
    };
    effects.grew(timeline::append_note(tx, &offered)?);
    Ok(effects)
}

/// The person takes a history. May be repeated.
pub(super) fn answer(tx: &Transaction<'_>, history: HistoryId) -> Result<(), HistoryError> {
    let mut taken = find(tx, history)?.ok_or(HistoryError::NoSuchHistory)?;
    match taken.stage {
        HistoryStage::Offered => {
            taken.stage = HistoryStage::UnderWay;
            taken.tell = Some(Tell::More);
            Ok(histories::update_taken(tx, &taken)?)
        }
        HistoryStage::UnderWay | HistoryStage::Complete => Ok(()),
        HistoryStage::Ended => Err(HistoryError::NoSuchHistory),
    }
}

/// The person declines a history, or stops taking it. Returns whether there was one.
pub(super) fn decline(tx: &Transaction<'_>, history: HistoryId) -> Result<bool, StoreError> {
    let Some(mut taken) = find(tx, history)?.filter(Taken::is_open) else {
        return Ok(false);
    };
    taken.stage = HistoryStage::Ended;
    taken.tell = Some(Tell::End);
    histories::update_taken(tx, &taken)?;
    histories::forget_held(tx, taken.peer)?;
    Ok(true)
}

/// The giving device wants no more of it.
pub(super) fn withdrawn(
    tx: &Transaction<'_>,
    peer: PeerId,
    history: HistoryId,
    wish: Wish,
) -> Result<Effects, StoreError> {
    let taken = histories::taken(tx, peer)?;
    match taken.filter(|taken| taken.history == history && taken.is_open()) {
        Some(taken) if wish == Wish::End => over(tx, taken, HistoryEnd::Stopped),
        _ => Ok(Effects::default()),
    }
}

/// A history is over.
pub(super) fn over(tx: &Transaction<'_>, mut taken: Taken, end: HistoryEnd) -> Result<Effects, StoreError> {
    taken.stage = match end {
        HistoryEnd::Complete => HistoryStage::Complete,
        HistoryEnd::Stopped | HistoryEnd::DeviceGone => HistoryStage::Ended,
    };
    histories::update_taken(tx, &taken)?;
    histories::forget_held(tx, taken.peer)?;
    tell_end(tx, taken.peer, taken.history, end)
}

/// What is still missing of a history is asked for again, for it may be lost. Returns whether there is something to send.
pub(super) fn ask_on(tx: &Transaction<'_>) -> Result<bool, StoreError> {
    let mut asks = false;
    for mut taken in histories::all_taken(tx)? {
        if taken.stage == HistoryStage::UnderWay {
            taken.tell = Some(Tell::Again);
            histories::update_taken(tx, &taken)?;
            asks = true;
        }
    }
    Ok(asks)
}

/// Something that the giving device said may be lost.
pub(super) fn gap(tx: &Transaction<'_>, peer: PeerId) -> Result<(), StoreError> {
    if let Some(mut taken) = histories::taken(tx, peer)?
        && taken.stage == HistoryStage::UnderWay
    {
        taken.tell = Some(Tell::Again);
        histories::update_taken(tx, &taken)?;
    }
    Ok(())
}

/// Puts what the giving devices are to be told into the outbox.
pub(super) fn leave(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<(), StoreError> {
    for mut taken in histories::all_taken(tx)? {
        let Some(tell) = taken.tell.take() else { continue };
        let matter = HistoryMatter::Taken {
            next: taken.next_chunk,
            wish: match tell {
                Tell::More => Wish::More,
                Tell::Again => Wish::Again,
                Tell::End => Wish::End,
            },
        };
        super::say(tx, rng, (taken.peer, taken.history), matter, now_millis)?;
        histories::update_taken(tx, &taken)?;
    }
    Ok(())
}

/// Whether all of a chunk can be read: ids are ids, keys are keys.
pub(super) fn is_sound(us: AccountId, chunk: &Chunk) -> bool {
    chunk.messages.iter().all(|past| Named::of(us, past).is_some())
}

/// Takes a chunk. It is stored when those before it are; one that is known is only answered.
pub(super) fn chunk(
    tx: &Transaction<'_>,
    (us, peer): (AccountId, PeerId),
    history: HistoryId,
    chunk: &Chunk,
) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    let taken = histories::taken(tx, peer)?;
    let Some(mut taken) = taken.filter(|taken| taken.history == history) else {
        return Ok(effects);
    };
    match taken.stage {
        HistoryStage::UnderWay => {}
        HistoryStage::Complete => taken.tell = Some(Tell::More),
        HistoryStage::Ended => taken.tell = Some(Tell::End),
        // It was not asked for.
        HistoryStage::Offered => return Ok(effects),
    }
    let ahead = chunk.number.checked_sub(taken.next_chunk);
    if taken.stage != HistoryStage::UnderWay || ahead.is_none() {
        taken.tell = taken.tell.or(Some(Tell::More));
        histories::update_taken(tx, &taken)?;
        effects.send = true;
        return Ok(effects);
    }
    if ahead.is_some_and(|ahead| ahead > 0) {
        // No more than that is ever sent before an earlier one was taken.
        if ahead.is_some_and(|ahead| ahead < CHUNKS_UNDER_WAY) {
            let matter = HistoryMatter::Chunk(chunk.clone());
            let body = Body::History(History {
                history: history.to_bytes(),
                matter,
            });
            histories::hold_chunk(tx, peer, chunk.number, &body.to_bytes())?;
        }
        return Ok(effects);
    }
    let mut next = Some(chunk.clone());
    let mut last = false;
    while let Some(chunk) = next {
        for past in &chunk.messages {
            effects.merge(keep(tx, us, past, chunk.newer)?);
        }
        if !chunk.newer {
            taken.done = taken.done.saturating_add(chunk.messages.len() as u64);
        }
        taken.next_chunk = taken.next_chunk.saturating_add(1);
        last |= chunk.last;
        next = histories::take_held(tx, peer, taken.next_chunk)?
            .map(|body| match Body::from_bytes(&body) {
                Ok(Body::History(History {
                    matter: HistoryMatter::Chunk(chunk),
                    ..
                })) => Ok(chunk),
                _ => Err(StoreError::Damaged("chunk of a history")),
            })
            .transpose()?;
    }
    taken.tell = taken.tell.or(Some(Tell::More));
    effects.send = true;
    effects.tell(Event::HistoryProgress {
        history,
        done: taken.done,
        of: taken.messages,
    });
    if last {
        effects.merge(over(tx, taken, HistoryEnd::Complete)?);
    } else {
        histories::update_taken(tx, &taken)?;
    }
    Ok(effects)
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

/// Stores a message of a history. Of one that is there already, what was not known of it.
fn keep(tx: &Transaction<'_>, us: AccountId, past: &PastMessage, newer: bool) -> Result<Effects, StoreError> {
    let mut effects = Effects::default();
    let Some(Named {
        from,
        id,
        conversation,
    }) = Named::of(us, past)
    else {
        return Ok(effects);
    };
    let new = NewMessage {
        id,
        from,
        conversation,
        // It came through no channel to this device.
        sequence: 0,
        sent_at_millis: past.sent_at_millis,
        text: &past.text,
        own: past.own,
        late: past.late,
        unconfirmed: unconfirmed(tx, from, past)?,
        state: state(&past.state),
    };
    let Some(row) = receive::keep(tx, &new)? else {
        if let Some(row) = messages::find(tx, from, id)? {
            if past.own {
                messages::raise(tx, row, new.state)?;
            }
            if past.read {
                messages::set_read(tx, row)?;
            }
        }
        return Ok(effects);
    };
    if past.read {
        messages::set_read(tx, row)?;
    }
    if newer {
        channel::show(tx, Some(row), &mut effects)?;
    } else {
        let place = messages::place_first(tx, row)?;
        read_state::placed(tx, row, place)?;
    }
    Ok(effects)
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

fn find(tx: &Transaction<'_>, history: HistoryId) -> Result<Option<Taken>, StoreError> {
    let mut taken = histories::all_taken(tx)?.into_iter();
    Ok(taken.find(|taken| taken.history == history))
}

impl Taken {
    /// Whether it is offered or under way.
    fn is_open(&self) -> bool {
        matches!(self.stage, HistoryStage::Offered | HistoryStage::UnderWay)
    }
}
