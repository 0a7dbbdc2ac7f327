//! Codes: the code that was sent to a number last, how often it was guessed at, and when the next may be sent.
//!
//! One item a number, named by its keyed hash. The code itself is a keyed hash too: six digits could be tried
//! out in no time.

use aws_sdk_dynamodb::{
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    types::{AttributeValue, ReturnValue, TransactWriteItem, Update},
};
use waxwing_wire::limits::{CODE_LIFE_SECONDS, MAX_CODE_TRIES};

use crate::{
    clock::UnixSeconds,
    fault::Fault,
    keyed_hash::Hash,
    tables::{
        database::Database,
        item::{Damaged, Item, Reader, binary, item, number},
    },
};

/// Partition key, binary: the keyed hash of the number, 32 bytes.
pub const PARTITION_KEY: &str = "h";
/// Number: seconds of Unix time after which the item says nothing: the number has rested.
pub const EXPIRES_AT: &str = "expires_at";
/// Binary, absent once used: the keyed hash of the code, 32 bytes.
const CODE: &str = "c";
/// Number: the code is good until this second of Unix time.
const GOOD_UNTIL: &str = "u";
/// Number: guesses at the code.
const TRIES: &str = "t";
/// Number: codes sent to this number since it last rested.
const SENT: &str = "s";
/// Number: the next code may be sent from this second of Unix time on.
const NEXT_AT: &str = "n";

const IS_ABSENT: &str = "attribute_not_exists(h)";
const IS_AS_READ: &str = "s = :sent AND n = :next";

const WITHDRAW: &str = "SET n = :now REMOVE c";
const IS_THIS_CODE: &str = "c = :code";

const COUNT_TRY: &str = "SET t = t + :one";
const CAN_BE_TRIED: &str = "attribute_exists(c) AND u > :now AND t < :most";

const USE: &str = "REMOVE c";
const IS_THIS_GOOD_CODE: &str = "c = :code AND u > :now";

/// Seconds without a code after which a number has rested: its pauses begin small again.
const REST_SECONDS: u64 = 24 * 60 * 60;

/// What was sent to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodeRecord {
    /// Whether the code could still be confirmed.
    pub(crate) is_good: bool,
    /// The code ends at this second.
    pub(crate) good_until: UnixSeconds,
    sent: u32,
    /// The next may be sent from this second on.
    pub(crate) next_at: UnixSeconds,
    ends: UnixSeconds,
}

impl CodeRecord {
    /// One of which nothing counts but how many were sent, until when.
    #[cfg(test)]
    pub(crate) fn sent(sent: u32, ends: UnixSeconds) -> Self {
        Self {
            is_good: false,
            good_until: UnixSeconds(0),
            sent,
            next_at: UnixSeconds(0),
            ends,
        }
    }

    /// How many codes were sent since the number last rested.
    pub(crate) fn sent_lately(&self, now: UnixSeconds) -> u32 {
        if self.ends > now { self.sent } else { 0 }
    }
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    database: Database,
    table: String,
}

impl Codes {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// What was sent to the number, as of now.
    pub(crate) async fn find(&self, phone: Hash, now: UnixSeconds) -> Result<Option<CodeRecord>, Fault> {
        let request = self.database.client().get_item().table_name(&self.table);
        let output = request
            .set_key(Some(key(phone)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("GetItem Codes", &error))?;
        Ok(output.item.map(|found| read(&found, now)).transpose()?)
    }

    /// Replaces the number's code, if nothing was sent since `former` was read; `pause` seconds must pass before
    /// the next. Gives the new one, or `None` if it was not replaced.
    pub(crate) async fn replace_if(
        &self,
        phone: Hash,
        former: Option<&CodeRecord>,
        code: Hash,
        pause: u64,
        now: UnixSeconds,
    ) -> Result<Option<CodeRecord>, Fault> {
        let sent = former.map_or(0, |former| former.sent_lately(now));
        let record = CodeRecord {
            is_good: true,
            good_until: now.plus(CODE_LIFE_SECONDS),
            sent: sent.saturating_add(1),
            next_at: now.plus(pause),
            ends: now.plus(pause).plus(REST_SECONDS),
        };
        let mut item = key(phone);
        item.extend([
            (CODE.into(), hash_value(code)),
            (GOOD_UNTIL.into(), number(record.good_until.0)),
            (TRIES.into(), number(0_u32)),
            (SENT.into(), number(record.sent)),
            (NEXT_AT.into(), number(record.next_at.0)),
            (EXPIRES_AT.into(), number(record.ends.0)),
        ]);
        let put = self.database.client().put_item().table_name(&self.table);
        let put = put.set_item(Some(item));
        let put = match former {
            Some(former) => put
                .condition_expression(IS_AS_READ)
                .expression_attribute_values(":sent", number(former.sent))
                .expression_attribute_values(":next", number(former.next_at.0)),
            None => put.condition_expression(IS_ABSENT),
        };
        match put.send().await {
            Ok(_) => Ok(Some(record)),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(_)) => Ok(None),
                _ => Err(Fault::of("PutItem Codes", &error)),
            },
        }
    }

    /// Withdraws a code that was not sent, or of which nobody knows: it is good for nothing, and the next may be sent at
    /// once. It still counts for the pauses to come.
    pub(crate) async fn withdraw(&self, phone: Hash, code: Hash, now: UnixSeconds) -> Result<(), Fault> {
        let update = self.database.client().update_item().table_name(&self.table);
        let result = update
            .set_key(Some(key(phone)))
            .update_expression(WITHDRAW)
            .condition_expression(IS_THIS_CODE)
            .expression_attribute_values(":code", hash_value(code))
            .expression_attribute_values(":now", number(now.0))
            .send()
            .await;
        match result {
            Ok(_) => Ok(()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(()),
                _ => Err(Fault::of("UpdateItem Codes", &error)),
            },
        }
    }

    /// Counts a guess and gives what it is compared with. `None` if the code is used, expired, or was guessed at
    /// [`MAX_CODE_TRIES`] times: of any number of guesses at once, at most so many get it.
    pub(crate) async fn take_try(&self, phone: Hash, now: UnixSeconds) -> Result<Option<Hash>, Fault> {
        let update = self.database.client().update_item().table_name(&self.table);
        let result = update
            .set_key(Some(key(phone)))
            .update_expression(COUNT_TRY)
            .condition_expression(CAN_BE_TRIED)
            .expression_attribute_values(":one", number(1_u32))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":most", number(MAX_CODE_TRIES))
            .return_values(ReturnValue::AllNew)
            .send()
            .await;
        match result {
            Ok(output) => Ok(Some(code(&output.attributes.unwrap_or_default())?)),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(_)) => Ok(None),
                _ => Err(Fault::of("UpdateItem Codes", &error)),
            },
        }
    }

    /// The part of a transaction that uses a code, if it is still the number's and good.
    pub(crate) fn use_up(
        &self,
        phone: Hash,
        code: Hash,
        now: UnixSeconds,
    ) -> Result<TransactWriteItem, Fault> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(phone)))
            .update_expression(USE)
            .condition_expression(IS_THIS_GOOD_CODE)
            .expression_attribute_values(":code", hash_value(code))
            .expression_attribute_values(":now", number(now.0))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

fn key(phone: Hash) -> Item {
    item([(PARTITION_KEY, hash_value(phone))])
}

fn hash_value(hash: Hash) -> AttributeValue {
    binary(*hash.as_bytes())
}

fn code(item: &Item) -> Result<Hash, Damaged> {
    reader(item).binary(CODE, |bytes| Hash::from_slice(bytes).ok_or(()))
}

fn reader(item: &Item) -> Reader<'_> {
    Reader { table: "Codes", item }
}

fn read(item: &Item, now: UnixSeconds) -> Result<CodeRecord, Damaged> {
    let reader = reader(item);
    let good_until = UnixSeconds(reader.number(GOOD_UNTIL)?);
    let tries: u32 = reader.number(TRIES)?;
    Ok(CodeRecord {
        is_good: item.contains_key(CODE) && good_until > now && tries < MAX_CODE_TRIES,
        good_until,
        sent: reader.number(SENT)?,
        next_at: UnixSeconds(reader.number(NEXT_AT)?),
        ends: UnixSeconds(reader.number(EXPIRES_AT)?),
    })
}
