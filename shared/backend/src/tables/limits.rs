//! Limits: counters, each for one thing in one span of time.
//!
//! A counter is raised by one atomic write that also tells whether it may be. Its key is binary and typed: one
//! byte that says what is counted, then fields of fixed width, so that no two counters share a key whatever a
//! client sends. Most counters belong to an aligned span of time that is part of the key: a new span is a new
//! item, and what time to live has not deleted yet is never asked for.

use aws_sdk_dynamodb::{
    operation::update_item::{UpdateItemError, builders::UpdateItemFluentBuilder},
    types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure},
};
use waxwing_wire::AccountId;

use crate::{
    clock::UnixSeconds,
    fault::Fault,
    keyed_hash::Hash,
    tables::{
        database::Database,
        item::{Item, Reader, binary, item, number},
    },
};

/// Partition key, binary: what is counted, as `Counter` encodes it.
pub const PARTITION_KEY: &str = "k";
/// Number: seconds of Unix time after which the item says nothing.
pub const EXPIRES_AT: &str = "expires_at";
/// Number: the count.
const COUNT: &str = "n";

const ADD: &str = "SET expires_at = :end ADD n :weight";
const IS_BELOW: &str = "attribute_not_exists(n) OR n < :most";

const START_TRIES: &str = "SET n = :one, expires_at = :end";
const TRIES_ARE_OVER: &str = "attribute_not_exists(k) OR expires_at <= :now";
const COUNT_TRY: &str = "SET n = n + :one, expires_at = :end";
const TRIES_ARE_LEFT: &str = "expires_at > :now AND n < :most";

/// Seconds that an item outlives its span: the clocks of functions may differ.
const GRACE_SECONDS: u64 = 60;

/// Times that counting a try looks again because the tries before it ended in between.
const MAX_LOOKS: usize = 3;

/// A span of time, aligned to the beginning of Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    number: u64,
    /// The first second after it.
    pub(crate) end: UnixSeconds,
}

impl Span {
    /// The span of this many seconds that `now` is in.
    pub(crate) fn of(now: UnixSeconds, seconds: u64) -> Self {
        let number = now.0.checked_div(seconds).unwrap_or_default();
        Self {
            number,
            end: UnixSeconds(number.saturating_add(1).saturating_mul(seconds)),
        }
    }

    /// Seconds until it ends: at least one.
    pub(crate) fn left(self, now: UnixSeconds) -> u32 {
        seconds_until(self.end, now)
    }
}

/// Seconds until `end`: at least one, so that nobody comes back at once.
pub(crate) fn seconds_until(end: UnixSeconds, now: UnixSeconds) -> u32 {
    u32::try_from(end.0.saturating_sub(now.0))
        .unwrap_or(u32::MAX)
        .max(1)
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// Requests of an account.
    Requests(AccountId, Span),
    /// Ephemeral messages of an account.
    Ephemerals(AccountId, Span),
    /// Codes sent for requests from a network.
    CodesToNetwork(Hash, Span),
    /// Codes sent to a block of numbers.
    CodesToPrefix(Hash, Span),
    /// Codes sent at all.
    Codes(Span),
    /// Claims by one account of another's bundles.
    ClaimsBetween(AccountId, AccountId, Span),
    /// Claims of an account's bundles, whoever makes them.
    ClaimsOf(AccountId, Span),
    /// Tries at an account's registration lock, since the last day without one.
    LockTries(AccountId),
    /// Announcements of an attempt to take over a number, for each ticket.
    Announced(Hash),
}

impl Counter {
    fn key(&self) -> Vec<u8> {
        let encode = |kind: u8, fields: &[&[u8]]| [&[[kind].as_slice()], fields].concat().concat();
        let span = |span: &Span| span.number.to_be_bytes();
        match self {
            Self::Requests(account, during) => encode(1, &[&account.to_bytes(), &span(during)]),
            Self::Ephemerals(account, during) => encode(9, &[&account.to_bytes(), &span(during)]),
            Self::CodesToNetwork(network, during) => encode(2, &[network.as_bytes(), &span(during)]),
            Self::CodesToPrefix(prefix, during) => encode(3, &[prefix.as_bytes(), &span(during)]),
            Self::Codes(during) => encode(4, &[&span(during)]),
            Self::ClaimsBetween(claimer, target, during) => {
                encode(5, &[&claimer.to_bytes(), &target.to_bytes(), &span(during)])
            }
            Self::ClaimsOf(target, during) => encode(6, &[&target.to_bytes(), &span(during)]),
            Self::LockTries(account) => encode(7, &[&account.to_bytes()]),
            Self::Announced(ticket) => encode(8, &[ticket.as_bytes()]),
        }
    }
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    database: Database,
    table: String,
}

impl Limits {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// Raises a counter by `weight` and says where it stands.
    pub(crate) async fn add(&self, counter: Counter, weight: u32, end: UnixSeconds) -> Result<u64, Fault> {
        let update = self
            .update(counter, ADD, end)
            .expression_attribute_values(":weight", number(weight))
            .return_values(ReturnValue::UpdatedNew);
        let output = update
            .send()
            .await
            .map_err(|error| Fault::of("UpdateItem Limits", &error))?;
        let item = output.attributes.unwrap_or_default();
        Ok(read(&item).number(COUNT)?)
    }

    /// Raises a counter by one unless it stands at `most`. Says whether it was raised: of any number of callers
    /// at once, at most `most` are told so.
    pub(crate) async fn take(&self, counter: Counter, most: u32, end: UnixSeconds) -> Result<bool, Fault> {
        let update = self
            .update(counter, ADD, end)
            .condition_expression(IS_BELOW)
            .expression_attribute_values(":weight", number(1_u32))
            .expression_attribute_values(":most", number(most));
        Ok(conditional(update).await?.is_ok())
    }

    /// Counts a try. After `most` tries none is left until `pause` seconds have passed since the last of them;
    /// then the count starts anew. `Err` says when that is.
    pub(crate) async fn take_try(
        &self,
        counter: Counter,
        most: u32,
        pause: u64,
        now: UnixSeconds,
    ) -> Result<Result<(), UnixSeconds>, Fault> {
        let end = now.plus(pause);
        for _ in 0..MAX_LOOKS {
            let next = self
                .update(counter, COUNT_TRY, end)
                .condition_expression(TRIES_ARE_LEFT)
                .expression_attribute_values(":one", number(1_u32))
                .expression_attribute_values(":now", number(now.0))
                .expression_attribute_values(":most", number(most));
            match conditional(next).await? {
                Ok(()) => return Ok(Ok(())),
                Err(found) => {
                    let until = found.map(|found| read(&found).number(EXPIRES_AT)).transpose()?;
                    let until = until.map(UnixSeconds).filter(|until| *until > now);
                    if let Some(until) = until {
                        return Ok(Err(until));
                    }
                }
            }
            let first = self
                .update(counter, START_TRIES, end)
                .condition_expression(TRIES_ARE_OVER)
                .expression_attribute_values(":one", number(1_u32))
                .expression_attribute_values(":now", number(now.0));
            if conditional(first).await?.is_ok() {
                return Ok(Ok(()));
            }
        }
        Err(Fault::Unavailable)
    }

    /// Forgets a counter.
    pub(crate) async fn delete(&self, counter: Counter) -> Result<(), Fault> {
        let delete = self.database.client().delete_item().table_name(&self.table);
        delete
            .set_key(Some(key(counter)))
            .send()
            .await
            .map(drop)
            .map_err(|error| Fault::of("DeleteItem Limits", &error))
    }

    fn update(
        &self,
        counter: Counter,
        expression: &'static str,
        end: UnixSeconds,
    ) -> UpdateItemFluentBuilder {
        let update = self.database.client().update_item().table_name(&self.table);
        update
            .set_key(Some(key(counter)))
            .update_expression(expression)
            .expression_attribute_values(":end", end_value(counter, end))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

/// A counter of tries ends exactly when it says; one of a span is only swept away some time after it.
fn end_value(counter: Counter, end: UnixSeconds) -> AttributeValue {
    match counter {
        Counter::LockTries(_) => number(end.0),
        _ => number(end.plus(GRACE_SECONDS).0),
    }
}

/// `Err` holds the item that the condition was refused by, if there is one.
async fn conditional(update: UpdateItemFluentBuilder) -> Result<Result<(), Option<Item>>, Fault> {
    match update.send().await {
        Ok(_) => Ok(Ok(())),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(Err(failed.item.clone())),
            _ => Err(Fault::of("UpdateItem Limits", &error)),
        },
    }
}

fn key(counter: Counter) -> Item {
    item([(PARTITION_KEY, binary(counter.key()))])
}

fn read(item: &Item) -> Reader<'_> {
    Reader {
        table: "Limits",
        item,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{backend, condition_failed, device, done};

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn account(number: u8) -> AccountId {
        device(number, 1, 7).address.account
    }

    /// X72, X81: whatever is counted for whomever in whatever span, no two counters are one item.
    #[test]
    fn x81_no_two_counters_share_a_key() {
        let hash = |fill| Hash::from_slice(&[fill; 32]).unwrap();
        let mut counters = Vec::new();
        for span in [
            Span::of(NOW, 60),
            Span::of(NOW, 3_600),
            Span::of(NOW.plus(60), 60),
        ] {
            counters.push(Counter::Codes(span));
            for one in [1, 2] {
                counters.push(Counter::Requests(account(one), span));
                counters.push(Counter::CodesToNetwork(hash(one), span));
                counters.push(Counter::CodesToPrefix(hash(one), span));
                counters.push(Counter::ClaimsOf(account(one), span));
                counters.push(Counter::ClaimsBetween(account(one), account(3 - one), span));
            }
        }
        counters.extend([1, 2].map(|one| Counter::LockTries(account(one))));
        counters.extend([1, 2].map(|one| Counter::Announced(hash(one))));
        let keys: BTreeSet<_> = counters.iter().map(Counter::key).collect();
        assert_eq!(keys.len(), counters.len());
        for key in &keys {
            let is_prefix = |other: &&Vec<u8>| *other != key && other.starts_with(key);
            assert!(
                !keys.iter().any(|other| is_prefix(&other)),
                "no key begins another"
            );
        }
    }

    #[test]
    fn a_span_begins_with_its_first_second_and_ends_before_its_last() {
        assert_eq!(Span::of(UnixSeconds(119), 60), Span::of(UnixSeconds(60), 60));
        assert_ne!(Span::of(UnixSeconds(120), 60), Span::of(UnixSeconds(119), 60));
        assert_eq!(Span::of(UnixSeconds(119), 60).left(UnixSeconds(119)), 1);
        assert_eq!(Span::of(UnixSeconds(60), 60).left(UnixSeconds(60)), 60);
    }

    #[tokio::test]
    async fn a_counter_at_its_bound_is_not_raised() {
        let (backend, calls) = backend(|_| condition_failed(&Value::Null));
        let counter = Counter::Codes(Span::of(NOW, 60));
        assert_eq!(backend.limits.take(counter, 5, NOW).await, Ok(false));
        let calls = calls.lock().unwrap();
        assert_eq!(calls[0].body["ConditionExpression"], IS_BELOW);
        assert_eq!(
            calls[0].body["ExpressionAttributeValues"][":most"],
            json!({ "N": "5" })
        );
    }

    async fn try_lock(answers: [crate::testing::Answer; 2]) -> Result<Result<(), UnixSeconds>, Fault> {
        let (backend, _) = backend(move |call| {
            let starts = call.body["UpdateExpression"] == START_TRIES;
            answers[usize::from(starts)].clone()
        });
        backend
            .limits
            .take_try(Counter::LockTries(account(1)), 5, 100, NOW)
            .await
    }

    fn refused_until(seconds: u64) -> crate::testing::Answer {
        condition_failed(&json!({ "n": { "N": "5" }, "expires_at": { "N": seconds.to_string() } }))
    }

    #[tokio::test]
    async fn x65_tries_that_are_used_up_come_back_when_the_pause_is_over() {
        assert_eq!(try_lock([done(), done()]).await, Ok(Ok(())));
        let later = NOW.plus(50);
        assert_eq!(try_lock([refused_until(later.0), done()]).await, Ok(Err(later)));
        // X73: the item of former tries may still be there.
        assert_eq!(try_lock([refused_until(NOW.0), done()]).await, Ok(Ok(())));
        assert_eq!(
            try_lock([condition_failed(&Value::Null), done()]).await,
            Ok(Ok(()))
        );
    }

    #[tokio::test]
    async fn x81_tries_that_cannot_be_counted_are_a_fault() {
        let lost = [condition_failed(&Value::Null), condition_failed(&Value::Null)];
        assert_eq!(try_lock(lost).await, Err(Fault::Unavailable));
    }
}
