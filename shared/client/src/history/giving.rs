//! The device that has a history and gives it.

use rand::{CryptoRng, RngExt};
use rusqlite::Transaction;
use waxwing_protocol::{
    Body,
    content::{
        Chunk, History, HistoryMatter, MAX_BODY_BYTES, MAX_CHUNK_MESSAGES, PastMessage, PastState, Wish,
    },
};
use waxwing_wire::DeviceAddress;

use super::{CHUNKS_UNDER_WAY, HistoryChoice, HistoryEnd, HistoryError, HistoryId, HistoryStage, tell_end};
use crate::{
    events::{Effects, Event},
    messages::MessageState,
    outbox::MAX_TEXT_BYTES,
    store::{
        StoreError, directory,
        histories::{self, Given, GivenChunk, Past},
        outbox,
        peers::PeerId,
        places, timeline,
    },
};

/// Bytes of messages in a chunk at most: with its head it fills a bucket of padding, and the longest text fits it.
const CHUNK_BYTES: usize = 8 * 1024;
const _: () = assert!(CHUNK_BYTES + 1024 < MAX_BODY_BYTES && MAX_TEXT_BYTES + 512 < CHUNK_BYTES);

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

/// Offers a history to a device. The same offer again is made once more under the same id; another one takes its place.
pub(super) fn offer(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    to: DeviceAddress,
    choice: HistoryChoice,
    now_millis: u64,
) -> Result<HistoryId, HistoryError> {
    // A device is not in its own directory.
    let listed = directory::device(tx, to)?.ok_or(HistoryError::NoSuchDevice)?;
    let days = match choice {
        HistoryChoice::All => 0,
        HistoryChoice::Days(days) => days.max(1),
    };
    let before = histories::given(tx, listed.peer)?;
    if let Some(before) = before.filter(|before| before.days == days) {
        match before.stage {
            HistoryStage::UnderWay => return Ok(before.history),
            HistoryStage::Offered => {
                announce(tx, rng, &before, now_millis)?;
                return Ok(before.history);
            }
            HistoryStage::Complete | HistoryStage::Ended => {}
        }
    }
    outbox::remove_chunks(tx, listed.peer)?;
    let since_millis = match days {
        0 => 0,
        days => now_millis.saturating_sub(DAY_MILLIS.saturating_mul(days.into())),
    };
    let newest = places::newest(tx)?;
    let given = Given {
        peer: listed.peer,
        history: HistoryId::new(rng.random()),
        days,
        since_millis,
        messages: histories::count_past(tx, since_millis)?,
        stage: HistoryStage::Offered,
        older_than: newest.saturating_add(1),
        newer_than: newest,
        next_chunk: 0,
        finished: false,
        done: 0,
        again: false,
        reminded_at: now_millis,
    };
    histories::give(tx, &given)?;
    announce(tx, rng, &given, now_millis)?;
    Ok(given.history)
}

fn announce(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    given: &Given,
    now_millis: u64,
) -> Result<(), StoreError> {
    let matter = HistoryMatter::Offer {
        since_millis: given.since_millis,
        messages: given.messages,
    };
    super::say(tx, rng, (given.peer, given.history), matter, now_millis)
}

/// Asks a device where it is that has not answered the last chunks: its answer may be lost. The offer once more does, for
/// it is answered where it is known. Returns whether there is something to send.
pub(super) fn remind(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<bool, StoreError> {
    let mut reminds = false;
    for mut given in histories::all_given(tx)? {
        if given.stage == HistoryStage::UnderWay && now_millis.abs_diff(given.reminded_at) >= REMIND_MILLIS {
            given.reminded_at = now_millis;
            histories::update_given(tx, &given)?;
            announce(tx, rng, &given, now_millis)?;
            reminds = true;
        }
    }
    Ok(reminds)
}

/// A device that is away finds no more than this many of them in a day: 24.
const REMIND_MILLIS: u64 = 60 * 60 * 1000;

/// Ends a history from this side. Returns whether there was one.
pub(super) fn withdraw(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    history: HistoryId,
    now_millis: u64,
) -> Result<bool, StoreError> {
    let mut given = histories::all_given(tx)?.into_iter();
    let Some(given) = given.find(|given| given.history == history && given.is_open()) else {
        return Ok(false);
    };
    let peer = given.peer;
    close(tx, given, HistoryStage::Ended)?;
    let matter = HistoryMatter::Taken {
        next: 0,
        wish: Wish::End,
    };
    super::say(tx, rng, (peer, history), matter, now_millis)?;
    Ok(true)
}

/// The taking device says what it has taken, and what it wants.
pub(super) fn taken(
    tx: &Transaction<'_>,
    peer: PeerId,
    history: HistoryId,
    (next, wish): (u32, Wish),
) -> Result<Effects, StoreError> {
    let given = histories::given(tx, peer)?;
    let Some(mut given) = given.filter(|given| given.history == history && given.is_open()) else {
        return Ok(Effects::default());
    };
    if wish == Wish::End {
        return over(tx, given, HistoryEnd::Stopped);
    }
    // It cannot have more than was made.
    if next > given.next_chunk {
        return Ok(Effects::default());
    }
    given.stage = HistoryStage::UnderWay;
    let messages = histories::forget_chunks(tx, peer, next)?;
    given.done = given.done.saturating_add(messages);
    given.again |= wish == Wish::Again;
    if given.finished && next == given.next_chunk {
        return over(tx, given, HistoryEnd::Complete);
    }
    histories::update_given(tx, &given)?;
    let mut effects = Effects {
        send: true,
        ..Effects::default()
    };
    if messages > 0 {
        effects.tell(Event::HistoryProgress {
            history,
            done: given.done,
            of: given.messages,
        });
    }
    Ok(effects)
}

/// Something that the taking device said may be lost: it is made to say where it is.
pub(super) fn gap(tx: &Transaction<'_>, peer: PeerId) -> Result<(), StoreError> {
    if let Some(mut given) = histories::given(tx, peer)?.filter(Given::is_open) {
        given.again = true;
        histories::update_given(tx, &given)?;
    }
    Ok(())
}

/// A history is over.
pub(super) fn over(tx: &Transaction<'_>, given: Given, end: HistoryEnd) -> Result<Effects, StoreError> {
    let (peer, history) = (given.peer, given.history);
    let stage = match end {
        HistoryEnd::Complete => HistoryStage::Complete,
        HistoryEnd::Stopped | HistoryEnd::DeviceGone | HistoryEnd::Unreadable => HistoryStage::Ended,
    };
    close(tx, given, stage)?;
    tell_end(tx, peer, history, end)
}

fn close(tx: &Transaction<'_>, mut given: Given, stage: HistoryStage) -> Result<(), StoreError> {
    given.stage = stage;
    histories::update_given(tx, &given)?;
    histories::forget_chunks(tx, given.peer, u32::MAX)?;
    outbox::remove_chunks(tx, given.peer)
}

/// Puts the chunks that are due into the outbox.
pub(super) fn leave(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    now_millis: u64,
) -> Result<(), StoreError> {
    for given in histories::all_given(tx)?.into_iter().filter(Given::is_open) {
        give(tx, rng, given, now_millis)?;
    }
    Ok(())
}

/// Sends what of a history may be under way.
fn give(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    mut given: Given,
    now_millis: u64,
) -> Result<(), StoreError> {
    if given.again {
        given.again = false;
        histories::update_given(tx, &given)?;
        match given.stage {
            HistoryStage::Offered => announce(tx, rng, &given, now_millis)?,
            _ => give_again(tx, rng, &given, now_millis)?,
        }
    }
    if given.stage != HistoryStage::UnderWay {
        return Ok(());
    }
    let mut under_way = histories::kept_chunks(tx, given.peer)?.len();
    while !given.finished && under_way < CHUNKS_UNDER_WAY as usize {
        let (chunk, messages) = next_chunk(tx, &mut given)?;
        let number = chunk.number;
        let body = Body::History(History {
            history: given.history.to_bytes(),
            matter: HistoryMatter::Chunk(chunk),
        });
        let body_bytes = body.to_bytes();
        let name = super::put(tx, rng, given.peer, body, now_millis)?;
        histories::keep_chunk(
            tx,
            given.peer,
            &GivenChunk {
                number,
                messages,
                name,
                body: body_bytes,
            },
        )?;
        histories::update_given(tx, &given)?;
        under_way += 1;
    }
    Ok(())
}

/// Sends the chunks once more that were sent and not taken.
fn give_again(
    tx: &Transaction<'_>,
    rng: &mut impl CryptoRng,
    given: &Given,
    now_millis: u64,
) -> Result<(), StoreError> {
    for mut chunk in histories::kept_chunks(tx, given.peer)? {
        if outbox::holds(tx, chunk.name)? {
            continue;
        }
        let body = Body::from_bytes(&chunk.body).map_err(|_| StoreError::Damaged("chunk of a history"))?;
        chunk.name = super::put(tx, rng, given.peer, body, now_millis)?;
        histories::keep_chunk(tx, given.peer, &chunk)?;
    }
    Ok(())
}

/// Makes the next chunk. Returns with it how many messages of the history it has.
fn next_chunk(tx: &Transaction<'_>, given: &mut Given) -> Result<(Chunk, u64), StoreError> {
    let one_more = MAX_CHUNK_MESSAGES + 1;
    let mut newer = false;
    let mut past = histories::past_below(tx, (given.older_than, given.since_millis), one_more)?;
    if past.is_empty() {
        newer = true;
        past = histories::past_above(tx, (given.newer_than, given.since_millis), one_more)?;
    }
    let waiting = past.len();
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for past in past.into_iter().take(MAX_CHUNK_MESSAGES) {
        let position = past.message.position;
        let message = encode(past)?;
        bytes += message.encoded_bytes();
        if bytes > CHUNK_BYTES && !messages.is_empty() {
            break;
        }
        messages.push(message);
        if newer {
            given.newer_than = position;
        } else {
            given.older_than = position;
        }
    }
    let last = newer && messages.len() == waiting;
    let number = given.next_chunk;
    given.next_chunk = number.saturating_add(1);
    given.finished = last;
    let of_history = if newer { 0 } else { messages.len() as u64 };
    let chunk = Chunk {
        number,
        last,
        newer,
        messages,
    };
    Ok((chunk, of_history))
}

fn encode(past: Past) -> Result<PastMessage, StoreError> {
    let Past {
        message,
        read,
        unconfirmed,
    } = past;
    let state = match message.state {
        // What was handed to the network may have been accepted, too: it is not known.
        MessageState::Received | MessageState::Pending | MessageState::Held | MessageState::Sent => {
            PastState::Received
        }
        MessageState::Accepted => PastState::Accepted,
        MessageState::Delivered => PastState::Delivered,
        MessageState::Read => PastState::Read,
        MessageState::Failed(reason) => PastState::Failed(timeline::to_json(&reason)?),
    };
    let unconfirmed = unconfirmed
        .map(|keys| {
            keys.try_into()
                .map_err(|_| StoreError::Damaged("keys of a device"))
        })
        .transpose()?;
    Ok(PastMessage {
        message: message.id.to_bytes(),
        device: message.from.device.get(),
        own: message.own,
        conversation: message.conversation.to_bytes(),
        sent_at_millis: message.sent_at_millis,
        late: message.late,
        read: read && !message.own,
        state,
        unconfirmed,
        text: message.text,
    })
}

impl Given {
    /// Whether it is offered or under way.
    fn is_open(&self) -> bool {
        matches!(self.stage, HistoryStage::Offered | HistoryStage::UnderWay)
    }
}
