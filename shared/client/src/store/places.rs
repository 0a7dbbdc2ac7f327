//! Where messages stand, column `position` of the table `messages`: numbers that rise in the order they are shown.
//!
//! What arrives stands at its position in the timeline times [`APART`], so that a message which a history brings finds room
//! between any two. What is older than all this device has itself stands below [`HISTORY_END`], which is where a timeline
//! begins. A place never changes: apps page by it.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_wire::AccountId;

use super::{StoreError, columns, messages::MessageRow, timeline};

/// From the place of one message that arrived to that of the next. There is room for 32,000 messages of one history between
/// two neighbours, and of a second one for 250 between any two of those; for 2³² before all and as many behind.
const APART: u64 = 1 << 28;

/// The timeline begins at 2³²: what a device has itself stands above this.
pub(crate) const HISTORY_END: u64 = APART << 32;

/// Gives a message that arrived or was written its place, by its position in the timeline: from now on it is shown.
pub(super) fn of_timeline(
    tx: &Transaction<'_>,
    message: MessageRow,
    position: u64,
) -> Result<u64, StoreError> {
    let place = in_timeline(position)?;
    set(tx, message, place)?;
    Ok(place)
}

/// Gives a message a place below another one, with nothing in between. If there is no room, in the nearest gap below that
/// has some. Returns it.
pub(crate) fn put_below(tx: &Transaction<'_>, message: MessageRow, place: u64) -> Result<u64, StoreError> {
    let mut above = place;
    let step = loop {
        let Some(below) = next_below(tx, above)? else {
            break APART;
        };
        match above.saturating_sub(below) {
            0 | 1 => above = below,
            free if free >= 2 * APART => break APART,
            // So that many more fit, below it and above it.
            free => break free.isqrt(),
        }
    };
    let place = above.checked_sub(step).ok_or(StoreError::Damaged("positions"))?;
    set(tx, message, place)?;
    Ok(place)
}

/// The place of the next message below a place.
fn next_below(tx: &Transaction<'_>, place: u64) -> Result<Option<u64>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT max(position) FROM messages WHERE position < ?1")?
        .query_row([columns::to_integer(place)], |row| {
            columns::optional(row, 0, columns::count)
        })?)
}

/// The place of the next message above a place; if there is none, one that the next to arrive will not have passed.
pub(crate) fn next_above(tx: &Transaction<'_>, place: u64) -> Result<u64, StoreError> {
    let next = tx
        .prepare_cached("SELECT min(position) FROM messages WHERE position > ?1")?
        .query_row([columns::to_integer(place)], |row| {
            columns::optional(row, 0, columns::count)
        })?;
    match next {
        Some(next) => Ok(next),
        None => Ok(in_timeline(timeline::newest(tx)?.saturating_add(1))?.max(HISTORY_END)),
    }
}

/// Whether a message of a conversation stands between two places.
pub(crate) fn is_any_between(
    tx: &Transaction<'_>,
    conversation: AccountId,
    (below, above): (u64, u64),
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached(
            "SELECT 1 FROM messages WHERE conversation = ?1 AND position > ?2 AND position < ?3 LIMIT 1",
        )?
        .exists(params![
            conversation.to_bytes(),
            columns::to_integer(below),
            columns::to_integer(above)
        ])?)
}

/// The place of a message, if it is shown.
pub(crate) fn of(tx: &Transaction<'_>, message: MessageRow) -> Result<Option<u64>, StoreError> {
    let place = tx
        .prepare_cached("SELECT position FROM messages WHERE id = ?1")?
        .query_row([message.0], |row| columns::optional(row, 0, columns::count))
        .optional()?;
    Ok(place.flatten())
}

/// The highest place; where histories end if there is none above that.
pub(crate) fn newest(tx: &Transaction<'_>) -> Result<u64, StoreError> {
    let newest = tx
        .prepare_cached("SELECT max(position) FROM messages")?
        .query_row([], |row| columns::optional(row, 0, columns::count))?;
    Ok(newest.unwrap_or_default().max(HISTORY_END))
}

fn in_timeline(position: u64) -> Result<u64, StoreError> {
    position
        .checked_mul(APART)
        .ok_or(StoreError::Damaged("positions"))
}

fn set(tx: &Transaction<'_>, message: MessageRow, place: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE messages SET position = ?2 WHERE id = ?1")?
        .execute(params![message.0, columns::to_integer(place)])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Party, account};

    fn shown(alice: &mut Party) -> Vec<(String, u64)> {
        let shown = alice.write(|tx, _| super::super::messages::of_conversation(tx, account(2)));
        shown
            .into_iter()
            .map(|message| (message.text, message.position))
            .collect()
    }

    fn row(tx: &Transaction<'_>, text: &str) -> Result<MessageRow, StoreError> {
        let row = "SELECT id FROM messages WHERE body = ?1";
        Ok(tx.query_row(row, [text], |row| row.get(0).map(MessageRow))?)
    }

    #[test]
    fn between_two_neighbours_there_is_room_for_thousands_and_between_each_two_of_those_for_more() {
        let mut alice = Party::new(account(1), 1, 11);
        for text in ["one", "two"] {
            alice.write_to(account(2), text);
        }
        let (one, two) = (shown(&mut alice)[0].1, shown(&mut alice)[1].1);
        alice.write_to(account(2), "moved");
        alice.write(|tx, _| {
            let moved = row(tx, "moved")?;
            let mut copy = tx.prepare(
                "INSERT INTO messages (message, account, device, conversation, sequence, sent_at, body, own, late, state,
                                       position)
                 SELECT randomblob(16), account, device, conversation, 0, 0, '', 1, 0, 3, ?2 FROM messages WHERE id = ?1",
            )?;
            let (mut above, mut second) = (two, 0);
            for number in 0..30_000 {
                let place = put_below(tx, moved, above)?;
                assert!(one < place && place < above, "number {number}");
                // Another one stays there.
                tx.execute("UPDATE messages SET position = NULL WHERE id = ?1", [moved.0])?;
                copy.execute(params![moved.0, columns::to_integer(place)])?;
                (above, second) = (place, if number == 10 { above } else { second });
            }
            let below = next_below(tx, second)?.unwrap();
            above = second;
            for number in 0..200 {
                let place = put_below(tx, moved, above)?;
                assert!(below < place && place < above, "between two of those, number {number}");
                above = place;
            }
            Ok(())
        });
    }

    #[test]
    fn where_there_is_no_room_the_nearest_below_is_taken() {
        let mut alice = Party::new(account(1), 1, 11);
        for text in ["one", "two", "three", "four"] {
            alice.write_to(account(2), text);
        }
        let three = shown(&mut alice)[2].1;
        alice.write(|tx, _| {
            set(tx, row(tx, "two")?, three - 1)?;
            put_below(tx, row(tx, "four")?, three)
        });
        let texts: Vec<_> = shown(&mut alice).into_iter().map(|(text, _)| text).collect();
        assert_eq!(texts, ["one", "four", "two", "three"]);
    }
}
