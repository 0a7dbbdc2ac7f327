//! Table `messages`: what was written and received, as plaintext.

use rusqlite::{Row, Transaction, params};
use waxwing_wire::{AccountId, DeviceAddress, MessageId};

use super::{StoreError, columns, peers::PeerId, timeline};
use crate::{
    events::FailureReason,
    messages::{MessageState, StoredMessage},
};

/// The row of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MessageRow(pub(super) i64);

/// A message to be stored.
pub(crate) struct NewMessage<'a> {
    pub(crate) id: MessageId,
    pub(crate) from: DeviceAddress,
    pub(crate) conversation: AccountId,
    pub(crate) sequence: u64,
    pub(crate) sent_at_millis: u64,
    pub(crate) text: &'a str,
    pub(crate) own: bool,
    pub(crate) late: bool,
    /// The life of its sender, if that is on no list that is trusted.
    pub(crate) unconfirmed: Option<PeerId>,
    pub(crate) state: MessageState,
}

/// Stores a message that is not to be shown yet.
pub(crate) fn insert(tx: &Transaction<'_>, new: &NewMessage<'_>) -> Result<MessageRow, StoreError> {
    let (state, failure) = to_columns(new.state)?;
    tx.prepare_cached(
        "INSERT INTO messages
         (message, account, device, conversation, sequence, sent_at, body, own, late, state, failure, unconfirmed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?
    .execute(params![
        new.id.to_bytes(),
        new.from.account.to_bytes(),
        new.from.device.get(),
        new.conversation.to_bytes(),
        columns::to_integer(new.sequence),
        columns::to_integer(new.sent_at_millis),
        new.text,
        new.own,
        new.late,
        state,
        failure,
        new.unconfirmed.map(|peer| peer.0),
    ])?;
    Ok(MessageRow(tx.last_insert_rowid()))
}

/// Gives a message its place: from now on it is shown.
pub(crate) fn place(tx: &Transaction<'_>, message: MessageRow, position: u64) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE messages SET position = ?2 WHERE id = ?1")?
        .execute(params![message.0, columns::to_integer(position)])?;
    Ok(())
}

/// A trusted list names the sender's keys. Returns whether there was a message that waited for that.
pub(crate) fn confirm(tx: &Transaction<'_>, peer: PeerId) -> Result<bool, StoreError> {
    let confirmed = tx
        .prepare_cached("UPDATE messages SET unconfirmed = NULL WHERE unconfirmed = ?1")?
        .execute([peer.0])?;
    Ok(confirmed > 0)
}

/// Stores how far a message got.
pub(crate) fn set_state(
    tx: &Transaction<'_>,
    message: MessageRow,
    state: MessageState,
) -> Result<(), StoreError> {
    let (state, failure) = to_columns(state)?;
    tx.prepare_cached("UPDATE messages SET state = ?2, failure = ?3 WHERE id = ?1")?
        .execute(params![message.0, state, failure])?;
    Ok(())
}

/// The messages of a conversation that have their place, in order.
pub(crate) fn of_conversation(
    tx: &Transaction<'_>,
    conversation: AccountId,
) -> Result<Vec<StoredMessage>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT position, message, account, device, conversation, sequence, sent_at, body, own, late, state,
                failure, unconfirmed
         FROM messages WHERE conversation = ?1 AND position IS NOT NULL ORDER BY position",
    )?;
    let rows = select.query_map([conversation.to_bytes()], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The last of them before a position, in order.
pub(crate) fn page(
    tx: &Transaction<'_>,
    conversation: AccountId,
    before: Option<u64>,
    count: usize,
) -> Result<Vec<StoredMessage>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT position, message, account, device, conversation, sequence, sent_at, body, own, late, state,
                failure, unconfirmed
         FROM messages WHERE conversation = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3",
    )?;
    let bounds = params![
        conversation.to_bytes(),
        columns::to_integer(before.unwrap_or(u64::MAX)),
        columns::to_integer(count as u64),
    ];
    let mut page = select.query_map(bounds, read)?.collect::<Result<Vec<_>, _>>()?;
    page.reverse();
    Ok(page)
}

/// Reads a message from the columns that [`of_conversation`] and [`timeline::events_between`] select, in
/// their order from the first.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<StoredMessage> {
    let failure: Option<String> = row.get(11)?;
    let state = match (row.get::<_, i64>(10)?, failure) {
        (RECEIVED, None) => MessageState::Received,
        (PENDING, None) => MessageState::Pending,
        (HELD, None) => MessageState::Held,
        (ACCEPTED, None) => MessageState::Accepted,
        (FAILED, Some(reason)) => MessageState::Failed(timeline::from_json::<FailureReason>(&reason, 11)?),
        (other, _) => return Err(rusqlite::Error::IntegralValueOutOfRange(10, other)),
    };
    Ok(StoredMessage {
        position: columns::count(row, 0)?,
        id: columns::message(row, 1)?,
        from: columns::address(row, 2)?,
        conversation: columns::account(row, 4)?,
        sequence: columns::count(row, 5)?,
        sent_at_millis: columns::count(row, 6)?,
        text: row.get(7)?,
        own: row.get(8)?,
        late: row.get(9)?,
        unconfirmed: row.get::<_, Option<i64>>(12)?.is_some(),
        state,
    })
}

const RECEIVED: i64 = 1;
const PENDING: i64 = 2;
const ACCEPTED: i64 = 3;
const FAILED: i64 = 4;
const HELD: i64 = 5;

fn to_columns(state: MessageState) -> Result<(i64, Option<String>), StoreError> {
    Ok(match state {
        MessageState::Received => (RECEIVED, None),
        MessageState::Pending => (PENDING, None),
        MessageState::Held => (HELD, None),
        MessageState::Accepted => (ACCEPTED, None),
        MessageState::Failed(reason) => (FAILED, Some(timeline::to_json(&reason)?)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Party, account};

    #[test]
    fn pages_joined_are_the_conversation_and_each_is_found_by_the_index() {
        let mut alice = Party::new(account(1), 1, 11);
        for number in 0..25 {
            alice.write_to(account(2), &number.to_string());
            alice.write_to(account(3), "to somebody else");
        }
        let (mut before, mut joined) = (None, Vec::new());
        loop {
            let page = alice.write(|tx, _| page(tx, account(2), before, 10));
            let Some(first) = page.first() else { break };
            assert!(page.len() <= 10);
            before = Some(first.position);
            joined.splice(0..0, page);
        }
        let all = alice.write(|tx, _| of_conversation(tx, account(2)));
        assert_eq!((all.len(), all), (25, joined));

        let plan: String = alice.write(|tx, _| {
            let query = "EXPLAIN QUERY PLAN SELECT * FROM messages WHERE conversation = ?1 AND position < ?2
                         ORDER BY position DESC LIMIT ?3";
            Ok(tx.query_row(query, params![[0_u8; 16], 1, 1], |row| row.get(3))?)
        });
        assert!(plan.contains("conversation_order"), "{plan}");
    }
}
