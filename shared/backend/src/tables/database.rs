//! What all tables share: the client, transactions, and batches whose leftovers are retried.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    operation::transact_write_items::TransactWriteItemsError,
    types::{CancellationReason, DeleteRequest, TransactWriteItem, WriteRequest},
};
use futures_util::future::try_join_all;
use rand::RngExt;
use waxwing_wire::RegisteredDevice;

use crate::{
    fault::Fault,
    random::Random,
    tables::item::{Item, binary},
};

/// DynamoDB's bound on the items of one transaction.
pub(crate) const MAX_TRANSACTION_ITEMS: usize = 100;

/// DynamoDB's bound on the writes of one batch.
const MAX_BATCH_WRITES: usize = 25;

/// Items that one page of a partition is emptied of: four batches.
const ITEMS_PER_PAGE: i32 = 100;

/// The key of the tables whose items belong to a registration: partition key `o`, sort key `i`.
const OF_OWNER: &str = "o = :owner";
const KEY_OF_OWNED: &str = "o, i";

/// Tries of a batch or a transaction. With the pauses below they take about a second at most, well inside a
/// function's time.
const MAX_TRIES: u32 = 6;

/// The longest first pause; each later one may be twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// The database that all tables are in.
#[derive(Clone, Debug)]
pub(crate) struct Database {
    client: Client,
    random: Random,
}

/// What became of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// All of it was written.
    Done,
    /// A condition did not hold. Nothing was written.
    ConditionFailed,
}

impl Database {
    pub(crate) fn new(client: Client, random: Random) -> Self {
        Self { client, random }
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Writes all of `items` or none. A conflict with another write is tried again. Idempotent within itself:
    /// the SDK repeats a lost request under the same token.
    pub(crate) async fn commit(&self, items: &[TransactWriteItem]) -> Result<Commit, Fault> {
        for attempt in 0..MAX_TRIES {
            let request = self.client.transact_write_items();
            let error = match request.set_transact_items(Some(items.to_vec())).send().await {
                Ok(_) => return Ok(Commit::Done),
                Err(error) => error,
            };
            let reasons = match error.as_service_error() {
                Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                    cancelled.cancellation_reasons()
                }
                _ => return Err(Fault::of("TransactWriteItems", &error)),
            };
            match Cancelled::of(reasons) {
                Cancelled::ByCondition => return Ok(Commit::ConditionFailed),
                Cancelled::ForNow => self.pause(attempt).await,
                Cancelled::ForGood => return Err(Fault::of("TransactWriteItems", &error)),
            }
        }
        tracing::warn!(operation = "TransactWriteItems", "conflicts did not end");
        Err(Fault::Unavailable)
    }

    /// Deletes the items with these keys, all different. `Ok` means that every one is gone: what DynamoDB
    /// leaves unprocessed is tried again, and an error is returned if it still is then.
    pub(crate) async fn delete_all(&self, table: &str, keys: Vec<Item>) -> Result<(), Fault> {
        let writes = keys.into_iter().map(delete_request).collect::<Option<Vec<_>>>();
        let mut left = writes.ok_or(Fault::Internal)?;
        for attempt in 0..MAX_TRIES {
            let batches = left.chunks(MAX_BATCH_WRITES);
            let unprocessed = try_join_all(batches.map(|batch| self.write_batch(table, batch))).await?;
            left = unprocessed.into_iter().flatten().collect();
            if left.is_empty() {
                return Ok(());
            }
            self.pause(attempt).await;
        }
        tracing::warn!(
            operation = "BatchWriteItem",
            left = left.len(),
            "writes stayed unprocessed"
        );
        Err(Fault::Unavailable)
    }

    /// Deletes a page of what belongs to `owner`, expired or not. Says whether nothing is left of it.
    pub(crate) async fn delete_page_of_owner(
        &self,
        table: &str,
        owner: RegisteredDevice,
    ) -> Result<bool, Fault> {
        let output = self
            .client
            .query()
            .table_name(table)
            .key_condition_expression(OF_OWNER)
            .expression_attribute_values(":owner", binary(owner.to_bytes()))
            .projection_expression(KEY_OF_OWNED)
            .limit(ITEMS_PER_PAGE)
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("Query of what a device owns", &error))?;
        let is_last = output.last_evaluated_key.is_none();
        self.delete_all(table, output.items.unwrap_or_default()).await?;
        Ok(is_last)
    }

    async fn write_batch(&self, table: &str, writes: &[WriteRequest]) -> Result<Vec<WriteRequest>, Fault> {
        let request = self
            .client
            .batch_write_item()
            .request_items(table, writes.to_vec());
        let output = request
            .send()
            .await
            .map_err(|error| Fault::of("BatchWriteItem", &error))?;
        Ok(output
            .unprocessed_items
            .and_then(|mut by_table| by_table.remove(table))
            .unwrap_or_default())
    }

    /// Exponential backoff with full jitter.
    async fn pause(&self, attempt: u32) {
        let longest = FIRST_PAUSE.saturating_mul(2u32.saturating_pow(attempt));
        let pause = self.random.draw(|rng| rng.random_range(Duration::ZERO..=longest));
        tokio::time::sleep(pause).await;
    }
}

fn delete_request(key: Item) -> Option<WriteRequest> {
    let delete = DeleteRequest::builder().set_key(Some(key)).build().ok()?;
    Some(WriteRequest::builder().delete_request(delete).build())
}

/// Why a transaction was cancelled.
#[derive(Debug, PartialEq, Eq)]
enum Cancelled {
    /// A condition did not hold.
    ByCondition,
    /// Another write was in the way, or a throttle.
    ForNow,
    /// The request itself is wrong.
    ForGood,
}

impl Cancelled {
    /// The reasons name one code per item; `None` for those that were fine.
    fn of(reasons: &[CancellationReason]) -> Self {
        let any = |wanted: &[&str]| {
            let mut codes = reasons.iter().filter_map(CancellationReason::code);
            codes.any(|code| wanted.contains(&code))
        };
        if any(&["ConditionalCheckFailed"]) {
            Self::ByCondition
        } else if any(&[
            "TransactionConflict",
            "ThrottlingError",
            "ProvisionedThroughputExceeded",
        ]) {
            Self::ForNow
        } else {
            Self::ForGood
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use super::*;
    use crate::{
        tables::item::item,
        testing::{Answer, backend, done, operations, refused},
    };

    fn keys(count: u8) -> Vec<Item> {
        (0..count).map(|number| item([("o", binary([number]))])).collect()
    }

    /// The first `count` writes of the call, as those that were left over.
    fn leave(count: usize, body: &serde_json::Value) -> Answer {
        let writes = body["RequestItems"]["mailbox"].as_array().unwrap();
        (200, json!({ "UnprocessedItems": { "mailbox": writes[..count] } }))
    }

    #[tokio::test(start_paused = true)]
    async fn x75_writes_that_are_left_over_are_tried_again_alone() {
        let (backend, calls) = backend(|call| {
            let writes = call.body["RequestItems"]["mailbox"].as_array().unwrap().len();
            if writes > 2 { leave(2, &call.body) } else { done() }
        });
        assert_eq!(backend.database.delete_all("mailbox", keys(30)).await, Ok(()));
        let calls = calls.lock().unwrap();
        let writes =
            |call: &crate::testing::Call| call.body["RequestItems"]["mailbox"].as_array().unwrap().len();
        assert_eq!(calls.iter().map(writes).collect::<Vec<_>>(), [25, 5, 4, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn x75_writes_that_stay_left_over_fail_the_whole() {
        let (backend, calls) = backend(|call| leave(1, &call.body));
        let result = backend.database.delete_all("mailbox", keys(3)).await;
        assert_eq!(result, Err(Fault::Unavailable));
        assert_eq!(calls.lock().unwrap().len(), MAX_TRIES as usize);
    }

    fn cancel(codes: &[&str]) -> Answer {
        let (status, mut body) = refused("TransactionCanceledException");
        let reasons: Vec<_> = codes.iter().map(|code| json!({ "Code": code })).collect();
        body["CancellationReasons"] = reasons.into();
        (status, body)
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_in_conflict_is_tried_again() {
        let tries = AtomicU32::new(0);
        let (backend, _) = backend(move |_| match tries.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => cancel(&["TransactionConflict", "None"]),
            _ => done(),
        });
        assert_eq!(backend.database.commit(&[]).await, Ok(Commit::Done));
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_whose_condition_fails_is_not_tried_again() {
        let (backend, calls) = backend(|_| cancel(&["None", "ConditionalCheckFailed"]));
        assert_eq!(backend.database.commit(&[]).await, Ok(Commit::ConditionFailed));
        assert_eq!(operations(&calls), ["TransactWriteItems"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_throttled_request_is_tried_again_and_then_unavailable() {
        let (backend, calls) = backend(|_| refused("ProvisionedThroughputExceededException"));
        let result = backend.database.delete_all("mailbox", keys(1)).await;
        assert_eq!(result, Err(Fault::Unavailable));
        assert_eq!(calls.lock().unwrap().len(), 3);
    }

    fn cancelled(codes: &[&str]) -> Cancelled {
        let reason = |code: &&str| CancellationReason::builder().code(*code).build();
        Cancelled::of(&codes.iter().map(reason).collect::<Vec<_>>())
    }

    #[test]
    fn a_failed_condition_decides_even_beside_a_conflict() {
        let codes = ["None", "TransactionConflict", "ConditionalCheckFailed"];
        assert_eq!(cancelled(&codes), Cancelled::ByCondition);
    }

    #[test]
    fn a_conflict_or_a_throttle_passes_and_a_wrong_request_does_not() {
        assert_eq!(cancelled(&["None", "TransactionConflict"]), Cancelled::ForNow);
        assert_eq!(cancelled(&["ThrottlingError"]), Cancelled::ForNow);
        assert_eq!(cancelled(&["ValidationError", "None"]), Cancelled::ForGood);
        assert_eq!(cancelled(&[]), Cancelled::ForGood);
    }
}
