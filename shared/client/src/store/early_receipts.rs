//! Table `early_receipts`: how far messages of this account got that are not here yet: another own device sent them, and its
//! copy or its history is still to come.

use rusqlite::{OptionalExtension, Transaction, params};
use waxwing_wire::{AccountId, DeviceAddress, MessageId};

use super::{StoreError, messages};
use crate::messages::MessageState;

/// Receipts of one contact that wait at most. Who returns after weeks reads that much at once; whoever makes names up fills
/// no more than half a megabyte.
pub(crate) const MAX_EARLY_RECEIPTS: u32 = 4_096;

/// Remembers how far messages of a conversation got; what is known to be further stays.
pub(crate) fn remember(
    tx: &Transaction<'_>,
    conversation: AccountId,
    names: &[(DeviceAddress, MessageId)],
    state: MessageState,
) -> Result<(), StoreError> {
    if names.is_empty() {
        return Ok(());
    }
    let conversation = conversation.to_bytes();
    let (state, _) = messages::to_columns(state)?;
    // `Delivered` is less than `Read` in the column, too.
    let mut remember = tx.prepare_cached(
        "INSERT INTO early_receipts (conversation, device, message, state) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET state = max(state, excluded.state)",
    )?;
    for (from, message) in names {
        remember.execute(params![
            conversation,
            from.device.get(),
            message.to_bytes(),
            state
        ])?;
    }
    tx.prepare_cached(
        "DELETE FROM early_receipts WHERE conversation = ?1 AND id <= (
             SELECT id FROM early_receipts WHERE conversation = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
    )?
    .execute(params![conversation, MAX_EARLY_RECEIPTS])?;
    Ok(())
}

/// Takes out how far a message got.
pub(crate) fn take(
    tx: &Transaction<'_>,
    conversation: AccountId,
    (from, message): (DeviceAddress, MessageId),
) -> Result<Option<MessageState>, StoreError> {
    Ok(tx
        .prepare_cached(
            "DELETE FROM early_receipts WHERE conversation = ?1 AND device = ?2 AND message = ?3 RETURNING state",
        )?
        .query_row(
            params![conversation.to_bytes(), from.device.get(), message.to_bytes()],
            |row| messages::state_of_receipt(row, 0),
        )
        .optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NOW, Party, account};

    #[test]
    fn of_each_contact_the_last_receipts_are_kept_and_no_more() {
        let mut alice = Party::new(account(1), 1, 11);
        let names: Vec<_> = (0..MAX_EARLY_RECEIPTS + 70)
            .map(|_| MessageId::new(NOW, &mut alice.rng))
            .collect();
        let name = |number: u32| names[number as usize];
        let from = alice.address();
        let (bob, carol) = (account(2), account(3));
        alice.write(|tx, _| remember(tx, carol, &[(from, name(0))], MessageState::Read));
        for first in (0..MAX_EARLY_RECEIPTS + 70 - 35).step_by(35) {
            let some: Vec<_> = (first..first + 35).map(|number| (from, name(number))).collect();
            alice.write(|tx, _| remember(tx, bob, &some, MessageState::Delivered));
        }
        let count = |tx: &Transaction<'_>| {
            let count = "SELECT count(*) FROM early_receipts WHERE conversation = ?1";
            Ok(tx.query_row(count, [bob.to_bytes()], |row| row.get::<_, u32>(0))?)
        };
        assert_eq!(alice.write(|tx, _| count(tx)), MAX_EARLY_RECEIPTS);
        let mut of = |conversation, number| alice.write(|tx, _| take(tx, conversation, (from, name(number))));
        assert_eq!(of(bob, 0), None, "the oldest");
        assert_eq!(of(bob, MAX_EARLY_RECEIPTS), Some(MessageState::Delivered));
        assert_eq!(of(bob, MAX_EARLY_RECEIPTS), None, "taken");
        assert_eq!(of(carol, 0), Some(MessageState::Read), "another's");
    }
}
