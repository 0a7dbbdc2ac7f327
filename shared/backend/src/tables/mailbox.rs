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
/// Binary: the ciphertext.
const CIPHERTEXT: &str = "c";

/// Bytes of the longest ciphertext whose item costs one write unit (1,024 bytes, names counted).
pub const ONE_WRITE_UNIT_CIPHERTEXT_BYTES: usize = 951;

/// Items read at a time to see whether any envelope waits: the first is alive, or a few expired ones lie before
/// it.
const ITEMS_PER_LOOK: i32 = 10;

const IS_ABSENT_OR_EXPIRED: &str = "attribute_not_exists(o) OR expires_at <= :now";
const IS_ALIVE: &str = "expires_at > :now";
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
        now: UnixSeconds,
    ) -> Result<Put, Fault> {
        let put = self.database.client().put_item().table_name(&self.table);
        let result = put
            .set_item(Some(stored(owner, envelope, now)))
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

    /// Whether any envelope waits, as of now.
    pub(crate) async fn has_alive(&self, owner: RegisteredDevice, now: UnixSeconds) -> Result<bool, Fault> {
        let mut pages = self
            .database
            .client()
            .query()
            .table_name(&self.table)
            .key_condition_expression(IN_MAILBOX)
            .expression_attribute_values(":owner", binary(owner.to_bytes()))
            .filter_expression(IS_ALIVE)
            .expression_attribute_values(":now", number(now.0))
            .select(Select::Count)
            .limit(ITEMS_PER_LOOK)
            .consistent_read(true)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| Fault::of("Query Mailbox", &error))?;
            if page.count() > 0 {
                return Ok(true);
            }
        }
        Ok(false)
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
}

fn key(owner: RegisteredDevice, id: EnvelopeId) -> Item {
    item([
        (PARTITION_KEY, binary(owner.to_bytes())),
        (SORT_KEY, binary(id.to_bytes())),
    ])
}

fn stored(owner: RegisteredDevice, envelope: &Envelope, now: UnixSeconds) -> Item {
    let mut item = key(owner, envelope.id);
    item.insert(CIPHERTEXT.into(), binary(envelope.ciphertext.as_bytes()));
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
    let ciphertext = Reader {
        table: "Mailbox",
        item,
    }
    .binary(CIPHERTEXT, |bytes| Ciphertext::from_vec(bytes.to_vec()))?;
    Ok(Envelope {
        id: id(item)?,
        ciphertext,
    })
}

fn read_or_skip(item: &Item) -> Option<Envelope> {
    let envelope = read(item).map_err(Fault::from);
    envelope.ok()
}
