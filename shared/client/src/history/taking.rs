//! The device that is offered a history and takes it.

use rand::CryptoRng;
use rusqlite::Transaction;
use waxwing_protocol::{
    Body,
    content::{Chunk, History, HistoryMatter, Wish},
};
use waxwing_wire::{AccountId, DeviceId};

use super::{
    CHUNKS_UNDER_WAY, HistoryEnd, HistoryError, HistoryId, HistoryStage, MAX_UNREADABLE_CHUNKS,
    keeping::keep_all, tell_end,
};
use crate::{
    events::{Effects, Event},
    store::{
        StoreError,
        histories::{self, Taken, Tell},
        peers::PeerId,
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
        place: None,
        unreadable: 0,
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
    histories::forget_on_the_way(tx, taken.peer)?;
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
        HistoryEnd::Stopped | HistoryEnd::DeviceGone | HistoryEnd::Unreadable => HistoryStage::Ended,
    };
    histories::update_taken(tx, &taken)?;
    histories::forget_on_the_way(tx, taken.peer)?;
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

/// A chunk may have come that cannot be read: it is asked for again, or the history ends.
pub(super) fn unreadable(tx: &Transaction<'_>, peer: PeerId) -> Result<Effects, StoreError> {
    let under_way = |taken: &Taken| taken.stage == HistoryStage::UnderWay;
    let Some(mut taken) = histories::taken(tx, peer)?.filter(under_way) else {
        return Ok(Effects::default());
    };
    taken.unreadable = taken.unreadable.saturating_add(1);
    let mut effects = Effects::default();
    if taken.unreadable < MAX_UNREADABLE_CHUNKS {
        taken.tell = Some(Tell::Again);
        histories::update_taken(tx, &taken)?;
    } else {
        taken.tell = Some(Tell::End);
        effects.merge(over(tx, taken, HistoryEnd::Unreadable)?);
    }
    effects.send = true;
    Ok(effects)
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
        effects.merge(keep_all(tx, us, &mut taken, &chunk)?);
        if !chunk.newer {
            taken.done = taken.done.saturating_add(chunk.messages.len() as u64);
        }
        taken.next_chunk = taken.next_chunk.saturating_add(1);
        taken.unreadable = 0;
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
