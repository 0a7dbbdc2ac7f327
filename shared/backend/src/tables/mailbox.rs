//! Mailbox: the envelopes that wait for one registration of a device, oldest first.
//!
//! An item that has expired does not exist for this service, although DynamoDB may keep it for days: every read
//! filters it, and a put replaces it.

use aws_sdk_dynamodb::{
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure, Select},
};
use waxwing_wire::{Ciphertext, Envelope, EnvelopeId, RegisteredDevice, limits::MESSAGE_LIFE_SECONDS};

use crate::{
    clock::UnixSeconds,
    fault::Fault,
    tables::{
        database::Database,
        item::{Damaged, Item, Reader, binary, item, number},
    },
};

/// Partition key, binary: account, device and registration, 21 bytes.
pub const PARTITION_KEY: &str = "o";
/// Sort key, binary: message id (time-ordered) and sender, 33 bytes.
pub const SORT_KEY: &str = "i";
/// Number: when the item stops to exist, in seconds of Unix time. The table's TTL attribute.
pub const EXPIRES_AT: &str = "expires_at";
/// Binary: the ciphertext, of a message that is worth waking the device for.
const CIPHERTEXT: &str = "c";
/// Binary: the ciphertext of one that is not. The name tells them apart because a further attribute would make the items of
/// short texts cost two write units.
const QUIET_CIPHERTEXT: &str = "q";

/// Bytes of the longest ciphertext whose item costs one write unit (1,024 bytes, names counted).
pub const ONE_WRITE_UNIT_CIPHERTEXT_BYTES: usize = 951;

/// Items read at a time to see whether any envelope waits: the first is alive, or a few expired ones lie before
/// it.
const ITEMS_PER_LOOK: i32 = 10;

/// Looks for one that is worth waking the device for, among others, before one is taken to be there: a push for nothing is
/// better than none.
const MAX_LOOKS: usize = 10;

const IS_ABSENT_OR_EXPIRED: &str = "attribute_not_exists(o) OR expires_at <= :now";
const IS_ALIVE: &str = "expires_at > :now";
const IS_ALIVE_AND_URGENT: &str = "expires_at > :now AND attribute_exists(c)";
const IN_MAILBOX: &str = "o = :owner";
const IN_MAILBOX_AFTER: &str = "o = :owner AND i > :after";

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// The envelope is in the mailbox, by this put or by one before it.
    Present,
    /// The same id is there with another ciphertext, which stays.
    OtherBytes,
}

/// Part of a mailbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slice {
    /// Oldest first, none expired.
    pub(crate) envelopes: Vec<Envelope>,
    /// Where to read on, if there may be more.
    pub(crate) read_on_after: Option<EnvelopeId>,
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox {
    database: Database,
    table: String,
}

impl Mailbox {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// Puts an envelope unless its id is there already. Repeating it changes nothing, not even its expiry.
    pub(crate) async fn put_if_absent(
        &self,
        owner: RegisteredDevice,
        envelope: &Envelope,
        urgent: bool,
        now: UnixSeconds,
    ) -> Result<Put, Fault> {
        let put = self.database.client().put_item().table_name(&self.table);
        let result = put
            .set_item(Some(stored(owner, envelope, urgent, now)))
            .condition_expression(IS_ABSENT_OR_EXPIRED)
            .expression_attribute_values(":now", number(now.0))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else {
            return Ok(Put::Present);
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                let there = failed.item.as_ref().ok_or(Fault::Internal)?;
                let same = read(there)?.ciphertext == envelope.ciphertext;
                Ok(if same { Put::Present } else { Put::OtherBytes })
            }
            _ => Err(Fault::of("PutItem Mailbox", &error)),
        }
    }

    /// Reads up to `limit` items after `after`, as of now. Expired ones count towards the limit and are left
    /// out; so is a damaged one, which must not block those behind it.
    pub(crate) async fn read_alive(
        &self,
        owner: RegisteredDevice,
        after: Option<EnvelopeId>,
        limit: usize,
        now: UnixSeconds,
    ) -> Result<Slice, Fault> {
        let request = self
            .database
            .client()
            .query()
            .table_name(&self.table)
            .expression_attribute_values(":owner", binary(owner.to_bytes()))
            .filter_expression(IS_ALIVE)
            .expression_attribute_values(":now", number(now.0))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .consistent_read(true);
        let request = match after {
            Some(after) => request
                .key_condition_expression(IN_MAILBOX_AFTER)
                .expression_attribute_values(":after", binary(after.to_bytes())),
            None => request.key_condition_expression(IN_MAILBOX),
        };
        let output = request
            .send()
            .await
            .map_err(|error| Fault::of("Query Mailbox", &error))?;
        let last = output.last_evaluated_key().map(id).transpose()?;
        let envelopes = output.items().iter().filter_map(read_or_skip).collect();
        Ok(Slice {
            envelopes,
            read_on_after: last,
        })
    }

    /// Whether an envelope waits that is worth waking the device for, as of now.
    pub(crate) async fn has_urgent(&self, owner: RegisteredDevice, now: UnixSeconds) -> Result<bool, Fault> {
        let mut pages = self
            .database
            .client()
            .query()
            .table_name(&self.table)
            .key_condition_expression(IN_MAILBOX)
            .expression_attribute_values(":owner", binary(owner.to_bytes()))
            .filter_expression(IS_ALIVE_AND_URGENT)
            .expression_attribute_values(":now", number(now.0))
            .select(Select::Count)
            .limit(ITEMS_PER_LOOK)
            .consistent_read(true)
            .into_paginator()
            .send();
        for _ in 0..MAX_LOOKS {
            let Some(page) = pages.next().await else {
                return Ok(false);
            };
            let page = page.map_err(|error| Fault::of("Query Mailbox", &error))?;
            if page.count() > 0 {
                return Ok(true);
            }
        }
        Ok(true)
    }

    /// Deletes one envelope. One that is not there is no error.
    pub(crate) async fn delete(&self, owner: RegisteredDevice, id: EnvelopeId) -> Result<(), Fault> {
        let delete = self.database.client().delete_item().table_name(&self.table);
        let result = delete.set_key(Some(key(owner, id))).send().await;
        result
            .map(drop)
            .map_err(|error| Fault::of("DeleteItem Mailbox", &error))
    }

    /// Deletes these envelopes, all different: every one, or an error. One that is not there is no error.
    pub(crate) async fn delete_all(
        &self,
        owner: RegisteredDevice,
        ids: impl IntoIterator<Item = EnvelopeId>,
    ) -> Result<(), Fault> {
        let keys = ids.into_iter().map(|id| key(owner, id)).collect();
        self.database.delete_all(&self.table, keys).await
    }

    /// Deletes a page of a mailbox whose owner is gone. Says whether it is empty now.
    pub(crate) async fn delete_page(&self, owner: RegisteredDevice) -> Result<bool, Fault> {
        self.database.delete_page_of_owner(&self.table, owner).await
    }
}

fn key(owner: RegisteredDevice, id: EnvelopeId) -> Item {
    item([
        (PARTITION_KEY, binary(owner.to_bytes())),
        (SORT_KEY, binary(id.to_bytes())),
    ])
}

fn stored(owner: RegisteredDevice, envelope: &Envelope, urgent: bool, now: UnixSeconds) -> Item {
    let mut item = key(owner, envelope.id);
    let name = if urgent { CIPHERTEXT } else { QUIET_CIPHERTEXT };
    item.insert(name.into(), binary(envelope.ciphertext.as_bytes()));
    let expires_at = now.plus(MESSAGE_LIFE_SECONDS);
    item.insert(EXPIRES_AT.into(), AttributeValue::N(expires_at.0.to_string()));
    item
}

fn id(item: &Item) -> Result<EnvelopeId, Damaged> {
    Reader {
        table: "Mailbox",
        item,
    }
    .binary(SORT_KEY, EnvelopeId::from_bytes)
}

fn read(item: &Item) -> Result<Envelope, Damaged> {
    let name = if item.contains_key(QUIET_CIPHERTEXT) {
        QUIET_CIPHERTEXT
    } else {
        CIPHERTEXT
    };
    let ciphertext = Reader {
        table: "Mailbox",
        item,
    }
    .binary(name, |bytes| Ciphertext::from_vec(bytes.to_vec()))?;
    Ok(Envelope {
        id: id(item)?,
        ciphertext,
    })
}

fn read_or_skip(item: &Item) -> Option<Envelope> {
    let envelope = read(item).map_err(Fault::from);
    envelope.ok()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use waxwing_wire::MessageId;

    use super::*;
    use crate::testing::{backend, condition_failed, device, done, standard_base64};

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn envelope(length: usize) -> Envelope {
        let mut message = [7; 16];
        (message[6], message[8]) = (0x70, 0x80);
        let id = EnvelopeId {
            message: MessageId::from_bytes(&message).unwrap(),
            from: device(2, 1, 9).address,
        };
        Envelope {
            id,
            ciphertext: Ciphertext::from_vec(vec![7; length]).unwrap(),
        }
    }

    /// Size of an item as DynamoDB bills it: names and values; a number has a byte for every two digits and one
    /// more (DynamoDB Developer Guide, "Item sizes and formats").
    fn billed_bytes(item: &Item) -> usize {
        let value = |value: &AttributeValue| match value {
            AttributeValue::B(blob) => blob.as_ref().len(),
            AttributeValue::N(digits) => digits.len().div_ceil(2) + 1,
            other => panic!("{other:?}"),
        };
        item.iter()
            .map(|(name, attribute)| name.len() + value(attribute))
            .sum()
    }

    #[test]
    fn the_item_of_a_short_text_costs_one_write_unit() {
        let owner = device(1, 1, 7);
        for urgent in [true, false] {
            let longest = stored(owner, &envelope(ONE_WRITE_UNIT_CIPHERTEXT_BYTES), urgent, NOW);
            assert_eq!(billed_bytes(&longest), 1024);
        }
    }

    #[test]
    fn x73_an_item_expires_thirty_days_on_in_seconds() {
        let item = stored(device(1, 1, 7), &envelope(16), true, NOW);
        let expected = NOW.0 + 30 * 24 * 60 * 60;
        assert_eq!(item[EXPIRES_AT], AttributeValue::N(expected.to_string()));
    }

    #[test]
    fn x72_neither_owner_nor_sender_nor_message_can_run_into_another() {
        let owners = [device(1, 1, 7), device(1, 2, 7), device(1, 1, 8), device(2, 1, 7)];
        for (number, owner) in owners.iter().enumerate() {
            for other in &owners[number + 1..] {
                assert_ne!(key(*owner, envelope(16).id), key(*other, envelope(16).id));
            }
        }
    }

    #[test]
    fn an_envelope_survives_the_table() {
        for urgent in [true, false] {
            let item = stored(device(1, 1, 7), &envelope(100), urgent, NOW);
            assert_eq!(read(&item), Ok(envelope(100)));
        }
    }

    async fn put(there: &Envelope) -> Put {
        let there = json!({
            "i": { "B": standard_base64(&there.id.to_bytes()) },
            "c": { "B": standard_base64(there.ciphertext.as_bytes()) },
        });
        let (backend, _) = backend(move |_| condition_failed(&there));
        backend
            .mailbox
            .put_if_absent(device(1, 1, 7), &envelope(100), true, NOW)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_same_bytes_again_are_a_repetition_and_others_are_not() {
        assert_eq!(put(&envelope(100)).await, Put::Present);
        assert_eq!(put(&envelope(101)).await, Put::OtherBytes);
    }

    #[tokio::test]
    async fn x73_a_put_takes_an_expired_item_for_absent_and_reads_leave_it_out() {
        let (backend, calls) = backend(|_| done());
        let owner = device(1, 1, 7);
        backend
            .mailbox
            .put_if_absent(owner, &envelope(16), true, NOW)
            .await
            .unwrap();
        backend.mailbox.read_alive(owner, None, 10, NOW).await.unwrap();
        backend.mailbox.has_urgent(owner, NOW).await.unwrap();
        let calls = calls.lock().unwrap();
        let expression = |call: usize, name: &str| calls[call].body[name].as_str().unwrap().to_owned();
        assert_eq!(
            expression(0, "ConditionExpression"),
            "attribute_not_exists(o) OR expires_at <= :now"
        );
        for (read, filter) in [(1, IS_ALIVE), (2, IS_ALIVE_AND_URGENT)] {
            assert!(filter.starts_with("expires_at > :now"));
            assert_eq!(expression(read, "FilterExpression"), filter);
            assert_eq!(
                calls[read].body["ExpressionAttributeValues"][":now"]["N"],
                NOW.0.to_string()
            );
            assert_eq!(calls[read].body["ConsistentRead"], true);
        }
    }

    /// I13: what is damaged is left out and does not block what is behind it.
    #[tokio::test]
    async fn x78_a_damaged_item_does_not_block_those_behind_it() {
        let good = json!({
            "i": { "B": standard_base64(&envelope(16).id.to_bytes()) },
            "c": { "B": standard_base64(&[7; 16]) },
        });
        let damaged = json!({ "i": good["i"], "c": { "S": "text" } });
        let (backend, _) = backend(move |_| (200, json!({ "Items": [damaged, good] })));
        let slice = backend
            .mailbox
            .read_alive(device(1, 1, 7), None, 10, NOW)
            .await
            .unwrap();
        assert_eq!(slice.envelopes, [envelope(16)]);
    }

    #[tokio::test]
    async fn x76_a_waiting_envelope_behind_expired_ones_is_seen() {
        let (backend, _) = backend(|call| {
            let last = json!({ "o": { "B": "AA==" }, "i": { "B": "AA==" } });
            match call.body.get("ExclusiveStartKey") {
                None => (200, json!({ "Count": 0, "LastEvaluatedKey": last })),
                Some(_) => (200, json!({ "Count": 1 })),
            }
        });
        assert_eq!(backend.mailbox.has_urgent(device(1, 1, 7), NOW).await, Ok(true));
    }

    /// A push for nothing is better than none, and a look must end.
    #[tokio::test]
    async fn a_mailbox_full_of_receipts_is_taken_to_hold_something_urgent_after_a_while() {
        let pages = std::sync::atomic::AtomicU8::new(0);
        let (backend, calls) = backend(move |_| {
            let page = pages.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let last = json!({ "o": { "B": "AA==" }, "i": { "B": standard_base64(&[page]) } });
            (200, json!({ "Count": 0, "LastEvaluatedKey": last }))
        });
        assert_eq!(backend.mailbox.has_urgent(device(1, 1, 7), NOW).await, Ok(true));
        assert_eq!(calls.lock().unwrap().len(), MAX_LOOKS);
    }

    #[tokio::test]
    async fn x71_an_ack_deletes_under_the_devices_own_key() {
        let (backend, calls) = backend(|_| done());
        let owner = device(1, 1, 7);
        backend
            .mailbox
            .delete_all(owner, [envelope(16).id])
            .await
            .unwrap();
        let calls = calls.lock().unwrap();
        let key = &calls[0].body["RequestItems"]["mailbox"][0]["DeleteRequest"]["Key"];
        assert_eq!(crate::testing::bytes(&key["o"]), owner.to_bytes());
        assert_ne!(key["i"], Value::Null);
    }
}
