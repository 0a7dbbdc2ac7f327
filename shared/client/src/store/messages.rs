//! Table `messages`: what was written and received, as plaintext.

use rusqlite::{OptionalExtension, Row, Transaction, params};
use waxwing_wire::{AccountId, DeviceAddress, MessageId};

use super::{StoreError, columns, peers::PeerId, timeline};
use crate::{
    events::FailureReason,
    messages::{Conversation, MessageState, StoredMessage},
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

/// A trusted list names the sender's keys. Returns the messages that waited for that.
pub(crate) fn confirm(tx: &Transaction<'_>, peer: PeerId) -> Result<Vec<MessageId>, StoreError> {
    let mut confirm =
        tx.prepare_cached("UPDATE messages SET unconfirmed = NULL WHERE unconfirmed = ?1 RETURNING message")?;
    let rows = confirm.query_map([peer.0], |row| columns::message(row, 0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Whether a message is stored, shown or not.
pub(crate) fn exists(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    message: MessageId,
) -> Result<bool, StoreError> {
    Ok(tx
        .prepare_cached("SELECT 1 FROM messages WHERE account = ?1 AND device = ?2 AND message = ?3")?
        .exists(params![
            from.account.to_bytes(),
            from.device.get(),
            message.to_bytes()
        ])?)
}

/// Stores how far a message got, whatever was stored before.
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

/// Stores that a message got further. What was known to be further stays.
pub(crate) fn raise(
    tx: &Transaction<'_>,
    message: MessageRow,
    state: MessageState,
) -> Result<(), StoreError> {
    let (state, failure) = to_columns(state)?;
    let raise = format!("UPDATE messages SET state = ?2, failure = ?3 WHERE id = ?1 AND {IS_NOT_AS_FAR}");
    tx.prepare_cached(&raise)?
        .execute(params![message.0, state, failure])?;
    Ok(())
}

/// The same for a message of this account to another, by its name. Returns whether it was not known.
pub(crate) fn raise_named(
    tx: &Transaction<'_>,
    (from, message): (DeviceAddress, MessageId),
    conversation: AccountId,
    state: MessageState,
) -> Result<bool, StoreError> {
    let (state, failure) = to_columns(state)?;
    let raise = format!(
        "UPDATE messages SET state = ?2, failure = ?3
         WHERE account = ?1 AND device = ?4 AND message = ?5 AND conversation = ?6 AND own = 1 AND {IS_NOT_AS_FAR}"
    );
    let raised = tx.prepare_cached(&raise)?.execute(params![
        from.account.to_bytes(),
        state,
        failure,
        from.device.get(),
        message.to_bytes(),
        conversation.to_bytes(),
    ])?;
    Ok(raised > 0)
}

/// The place of a received message of a conversation, if it is shown.
pub(crate) fn place_of(
    tx: &Transaction<'_>,
    (from, message): (DeviceAddress, MessageId),
    conversation: AccountId,
) -> Result<Option<u64>, StoreError> {
    let place = tx
        .prepare_cached(
            "SELECT position FROM messages
             WHERE account = ?1 AND device = ?2 AND message = ?3 AND conversation = ?4 AND own = 0",
        )?
        .query_row(
            params![
                from.account.to_bytes(),
                from.device.get(),
                message.to_bytes(),
                conversation.to_bytes()
            ],
            |row| columns::optional(row, 0, columns::count),
        )
        .optional()?;
    Ok(place.flatten())
}

/// Marks the messages of a conversation up to a place as read. Returns those that were not, in order.
pub(crate) fn mark_read(
    tx: &Transaction<'_>,
    conversation: AccountId,
    until: u64,
) -> Result<Vec<(DeviceAddress, MessageId)>, StoreError> {
    let bounds = params![conversation.to_bytes(), columns::to_integer(until)];
    let mut select = tx.prepare_cached(
        "SELECT account, device, message FROM messages
         WHERE conversation = ?1 AND own = 0 AND read = 0 AND position <= ?2 ORDER BY position",
    )?;
    let rows = select.query_map(bounds, |row| {
        Ok((columns::address(row, 0)?, columns::message(row, 2)?))
    })?;
    let unread = rows.collect::<Result<_, _>>()?;
    tx.prepare_cached(
        "UPDATE messages SET read = 1 WHERE conversation = ?1 AND own = 0 AND read = 0 AND position <= ?2",
    )?
    .execute(bounds)?;
    Ok(unread)
}

/// A message by its name, shown or not.
pub(crate) fn find(
    tx: &Transaction<'_>,
    from: DeviceAddress,
    message: MessageId,
) -> Result<Option<MessageRow>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT id FROM messages WHERE account = ?1 AND device = ?2 AND message = ?3")?
        .query_row(
            params![from.account.to_bytes(), from.device.get(), message.to_bytes()],
            |row| row.get(0).map(MessageRow),
        )
        .optional()?)
}

/// Marks a message of another account as read.
pub(crate) fn set_read(tx: &Transaction<'_>, message: MessageRow) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE messages SET read = 1 WHERE id = ?1 AND own = 0")?
        .execute([message.0])?;
    Ok(())
}

/// Marks one message of a conversation as read, by its place. Returns whether it was not.
pub(crate) fn mark_one_read(
    tx: &Transaction<'_>,
    conversation: AccountId,
    place: u64,
) -> Result<bool, StoreError> {
    let marked = tx
        .prepare_cached(
            "UPDATE messages SET read = 1 WHERE conversation = ?1 AND own = 0 AND read = 0 AND position = ?2",
        )?
        .execute(params![conversation.to_bytes(), columns::to_integer(place)])?;
    Ok(marked > 0)
}

pub(super) const COLUMNS: &str =
    "position, message, account, device, conversation, sequence, sent_at, body, own, late, state,
                       failure, unconfirmed";

/// The messages of a conversation that have their place, in order.
pub(crate) fn of_conversation(
    tx: &Transaction<'_>,
    conversation: AccountId,
) -> Result<Vec<StoredMessage>, StoreError> {
    let select = format!(
        "SELECT {COLUMNS} FROM messages WHERE conversation = ?1 AND position IS NOT NULL ORDER BY position"
    );
    let mut select = tx.prepare_cached(&select)?;
    let rows = select.query_map([conversation.to_bytes()], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Every conversation, the one with the newest message first.
pub(crate) fn conversations(tx: &Transaction<'_>) -> Result<Vec<Conversation>, StoreError> {
    let mut select = tx.prepare_cached(
        "SELECT conversation, max(position),
                (SELECT count(*) FROM messages AS unread
                 WHERE unread.conversation = messages.conversation AND read = 0 AND own = 0 AND position IS NOT NULL)
         FROM messages WHERE position IS NOT NULL GROUP BY conversation ORDER BY 2 DESC",
    )?;
    let rows = select.query_map([], |row| {
        Ok((
            columns::account(row, 0)?,
            columns::count(row, 1)?,
            columns::count(row, 2)?,
        ))
    })?;
    rows.map(|row| {
        let (account, newest, unread) = row?;
        let select = format!("SELECT {COLUMNS} FROM messages WHERE position = ?1");
        let newest = tx
            .prepare_cached(&select)?
            .query_row([columns::to_integer(newest)], read)?;
        Ok(Conversation {
            account,
            newest,
            unread,
        })
    })
    .collect()
}

/// The last of them before a position, in order.
pub(crate) fn page(
    tx: &Transaction<'_>,
    conversation: AccountId,
    before: Option<u64>,
    count: usize,
) -> Result<Vec<StoredMessage>, StoreError> {
    let select = format!(
        "SELECT {COLUMNS} FROM messages WHERE conversation = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3"
    );
    let mut select = tx.prepare_cached(&select)?;
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
        (SENT, None) => MessageState::Sent,
        (ACCEPTED, None) => MessageState::Accepted,
        (DELIVERED, None) => MessageState::Delivered,
        (READ, None) => MessageState::Read,
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
const SENT: i64 = 6;
const DELIVERED: i64 = 7;
const READ: i64 = 8;

/// How far a receipt says that a message got, from the column of [`to_columns`].
pub(super) fn state_of_receipt(row: &Row<'_>, column: usize) -> rusqlite::Result<MessageState> {
    match row.get::<_, i64>(column)? {
        DELIVERED => Ok(MessageState::Delivered),
        READ => Ok(MessageState::Read),
        other => Err(rusqlite::Error::IntegralValueOutOfRange(column, other)),
    }
}

/// Whether a message is shown, and was handed to the network if it is one of this device.
pub(super) const HAS_LEFT: &str = "position IS NOT NULL AND state NOT IN (2, 5)";
const _: () = assert!(PENDING == 2 && HELD == 5);

/// Whether a message is stored as having got less far than `?2` says: the order of the states by how far each is. One
/// that was given up may have arrived all the same.
const IS_NOT_AS_FAR: &str = "instr('42516378', state) < instr('42516378', ?2)";

pub(super) fn to_columns(state: MessageState) -> Result<(i64, Option<String>), StoreError> {
    Ok(match state {
        MessageState::Received => (RECEIVED, None),
        MessageState::Pending => (PENDING, None),
        MessageState::Held => (HELD, None),
        MessageState::Sent => (SENT, None),
        MessageState::Accepted => (ACCEPTED, None),
        MessageState::Delivered => (DELIVERED, None),
        MessageState::Read => (READ, None),
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
