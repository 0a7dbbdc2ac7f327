//! The bound on an account's requests in a minute, at a sixteenth of a write each.
//!
//! An instance counts an account's requests in its memory and writes every sixteenth down, for sixteen: one atomic
//! add that also reads what all instances have written of this minute. Once that is above the bound the request is
//! refused, and this instance refuses the account until the minute ends without asking again. The memory begins at
//! random, so that many instances which see few requests each write down as much as they should on average.
//!
//! An instance keeps at most fifteen requests to itself. So of a bound of 500, at most 512 + 15·I requests pass in a
//! minute, where I is the number of instances that served the account; and the first that is refused is the
//! (512 − 15·I)th or a later one.
//!
//! It fails open: if the count cannot be had, the request is let in. A message is worth more than the bound.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rand::RngExt;
use waxwing_wire::AccountId;

use crate::{
    Backend,
    budgets::RateLimited,
    clock::UnixSeconds,
    random::Random,
    sockets::ConnectionId,
    tables::limits::{Counter, Span, seconds_until},
};

/// One request in so many is written down, for all of them.
const WEIGHT: u32 = 16;

/// Seconds of the span that the bound is for.
const SPAN_SECONDS: u64 = 60;

/// Requests refused on a connection before it is closed: more than a client that obeys has under way when it is
/// told.
const REFUSALS_BEFORE_CLOSE: u32 = 64;

/// Accounts that an instance remembers: far more than it meets in a minute. Requests of others are written down at
/// random.
const MAX_REMEMBERED: usize = 10_000;

/// What this instance knows of the accounts it met in this minute.
#[derive(Clone, Debug)]
pub(crate) struct Requests {
    bound: u32,
    met: Arc<Mutex<HashMap<AccountId, Met>>>,
}

/// An account that made a request.
#[derive(Clone, Copy, Debug)]
struct Met {
    /// When this minute ends.
    until: UnixSeconds,
    /// Requests that are not written down: fewer than [`WEIGHT`].
    unwritten: u32,
    /// Requests refused; none as long as they are admitted.
    refused: u32,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Admit,
    WriteDown,
    /// As so many before it, this one included.
    Refuse(u32),
}

impl Requests {
    /// Up to `bound` requests a minute.
    pub(crate) fn new(bound: u32) -> Self {
        Self {
            bound,
            met: Arc::default(),
        }
    }

    /// The turn of a request of `account`, in the minute that ends at `end`.
    fn turn(&self, account: AccountId, now: UnixSeconds, end: UnixSeconds, random: &Random) -> Turn {
        let mut met = self.lock();
        if met.len() >= MAX_REMEMBERED && !met.contains_key(&account) {
            met.retain(|_, met| met.until > now);
            if met.len() >= MAX_REMEMBERED {
                let is_written = random.draw(|rng| rng.random_ratio(1, WEIGHT));
                return if is_written { Turn::WriteDown } else { Turn::Admit };
            }
        }
        let fresh = || Met {
            until: end,
            unwritten: random.draw(|rng| rng.random_range(0..WEIGHT)),
            refused: 0,
        };
        let met = met.entry(account).or_insert_with(fresh);
        if met.until <= now {
            *met = fresh();
        }
        met.next()
    }

    /// From now on this instance refuses the account, until `end`.
    fn refuse(&self, account: AccountId, end: UnixSeconds) {
        let refused = Met {
            until: end,
            unwritten: 0,
            refused: 1,
        };
        if let Some(met) = self.lock().get_mut(&account) {
            *met = refused;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Met>> {
        // Entries are put in and changed as a whole.
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Met {
    fn next(&mut self) -> Turn {
        if self.refused > 0 {
            self.refused = self.refused.saturating_add(1);
            return Turn::Refuse(self.refused);
        }
        self.unwritten += 1;
        if self.unwritten < WEIGHT {
            return Turn::Admit;
        }
        self.unwritten = 0;
        Turn::WriteDown
    }
}

/// Lets a request of `account` in, or refuses it. If it came over `connection` and its account goes on and on,
/// the connection is closed.
///
/// # Errors
/// [`RateLimited`].
pub async fn admit(
    backend: &Backend,
    account: AccountId,
    connection: Option<&ConnectionId>,
) -> Result<(), RateLimited> {
    admit_at(backend, account, connection, backend.clock.now()).await
}

/// The same for an ephemeral message, which is no request: it has a bound of its own.
///
/// # Errors
/// [`RateLimited`].
pub async fn admit_ephemeral(
    backend: &Backend,
    account: AccountId,
    connection: &ConnectionId,
) -> Result<(), RateLimited> {
    let (requests, now) = (&backend.ephemerals, backend.clock.now());
    admit_in(
        backend,
        requests,
        Counter::Ephemerals,
        (account, Some(connection)),
        now,
    )
    .await
}

async fn admit_at(
    backend: &Backend,
    account: AccountId,
    connection: Option<&ConnectionId>,
    now: UnixSeconds,
) -> Result<(), RateLimited> {
    let requests = &backend.requests;
    admit_in(backend, requests, Counter::Requests, (account, connection), now).await
}

async fn admit_in(
    backend: &Backend,
    requests: &Requests,
    counter: fn(AccountId, Span) -> Counter,
    (account, connection): (AccountId, Option<&ConnectionId>),
    now: UnixSeconds,
) -> Result<(), RateLimited> {
    let span = Span::of(now, SPAN_SECONDS);
    match requests.turn(account, now, span.end, &backend.random) {
        Turn::Admit => return Ok(()),
        Turn::Refuse(refused) => {
            if let (Some(connection), true) = (connection, refused >= REFUSALS_BEFORE_CLOSE) {
                // A failure is logged where it happens, and the next refusal tries again.
                let _ = backend.sockets.close(connection).await;
            }
        }
        Turn::WriteDown => match backend.limits.add(counter(account, span), WEIGHT, span.end).await {
            Ok(count) if count > u64::from(requests.bound) => {
                tracing::info!("an account has used up its requests of this minute");
                requests.refuse(account, span.end);
            }
            Ok(_) | Err(_) => return Ok(()),
        },
    }
    Err(RateLimited {
        retry_after_seconds: seconds_until(span.end, now),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::json;

    use super::*;
    use crate::{
        Clock,
        testing::{Answer, Call, backend, backend_of, device, done, operations, refused},
    };

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn account(number: u8) -> AccountId {
        device(number, 1, 7).address.account
    }

    /// Counts as DynamoDB does.
    fn counting() -> impl Fn(&Call) -> Answer + Send + Sync {
        let counts = Mutex::new(BTreeMap::new());
        move |call| match call.operation.as_str() {
            "UpdateItem" => {
                let weight = &call.body["ExpressionAttributeValues"][":weight"]["N"];
                let weight: u64 = weight.as_str().unwrap().parse().unwrap();
                let mut counts = counts.lock().unwrap();
                let count = counts.entry(call.body["Key"].to_string()).or_insert(0);
                *count += weight;
                (200, json!({ "Attributes": { "n": { "N": count.to_string() } } }))
            }
            _ => done(),
        }
    }

    async fn admitted(backend: &Backend, requests: u32) -> u32 {
        let mut admitted = 0;
        for _ in 0..requests {
            admitted += u32::from(admit_at(backend, account(1), None, NOW).await.is_ok());
        }
        admitted
    }

    /// I15: of one instance the 512th request is refused, or one of the fifteen before it, as its memory begins.
    #[tokio::test]
    async fn i15_what_passes_is_the_bound_and_a_slack_of_fifteen() {
        let mut passed = BTreeSet::new();
        for seed in 0..100 {
            passed.insert(admitted(&backend_of(Clock::system(), seed, counting()).0, 600).await);
        }
        assert_eq!(passed, (512 - 15 - 1..512).collect());
    }

    /// R9, I15.
    #[tokio::test]
    async fn r09_a_request_costs_a_sixteenth_of_a_write_and_a_refused_one_none() {
        let (backend, calls) = backend(counting());
        admitted(&backend, 2_000).await;
        assert_eq!(
            calls.lock().unwrap().len(),
            32,
            "a sixteenth of a write for each request"
        );
        assert_eq!(admitted(&backend, 1_000).await, 0);
        assert_eq!(
            calls.lock().unwrap().len(),
            32,
            "and none for one that is refused"
        );
        assert!(
            admit_at(&backend, account(2), None, NOW).await.is_ok(),
            "others go on"
        );
    }

    /// I15: each further instance adds at most fifteen, and without its memory no instance would see the flood.
    #[tokio::test]
    async fn i15_many_instances_share_one_count() {
        let script = std::sync::Arc::new(counting());
        let instances: Vec<_> = (0..20_u64)
            .map(|seed| {
                let script = std::sync::Arc::clone(&script);
                backend_of(Clock::system(), seed, move |call| script(call)).0
            })
            .collect();
        let mut passed = 0;
        for _ in 0..100 {
            for instance in &instances {
                passed += admitted(instance, 1).await;
            }
        }
        let slack = 15 * u32::try_from(instances.len()).unwrap();
        assert!((512 - slack..=512 + slack).contains(&passed), "{passed}");
    }

    #[test]
    fn a_refused_account_may_come_back_in_the_next_minute() {
        let (requests, random) = (Requests::new(500), Random::seeded(1));
        let (now, end) = (UnixSeconds(100), UnixSeconds(120));
        requests.turn(account(1), now, end, &random);
        requests.refuse(account(1), end);
        assert_eq!(
            requests.turn(account(1), UnixSeconds(119), end, &random),
            Turn::Refuse(2)
        );
        let next = requests.turn(account(1), end, UnixSeconds(180), &random);
        assert!(matches!(next, Turn::Admit | Turn::WriteDown), "{next:?}");
    }

    #[test]
    fn an_instance_remembers_only_so_many_accounts() {
        let (requests, random) = (Requests::new(500), Random::seeded(1));
        let (now, end) = (UnixSeconds(100), UnixSeconds(120));
        let mut rng: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(1);
        let mut written = 0;
        for _ in 0..2 * MAX_REMEMBERED {
            let turn = requests.turn(AccountId::random(&mut rng), now, end, &random);
            written += u32::from(turn == Turn::WriteDown);
        }
        assert_eq!(requests.lock().len(), MAX_REMEMBERED);
        assert!((1_000..1_500).contains(&written), "a sixteenth of all: {written}");
        requests.turn(account(1), end, UnixSeconds(180), &random);
        assert_eq!(requests.lock().len(), 1, "what is over is forgotten");
    }

    #[tokio::test]
    async fn a_client_that_goes_on_and_on_loses_its_connection() {
        let (backend, calls) = backend(|call| match call.operation.as_str() {
            "UpdateItem" => (200, json!({ "Attributes": { "n": { "N": "501" } } })),
            _ => (204, json!({})),
        });
        let connection = ConnectionId::new("own").unwrap();
        let go_on = async || admit_at(&backend, account(1), Some(&connection), NOW).await;
        while go_on().await.is_ok() {}
        for _ in 2..REFUSALS_BEFORE_CLOSE {
            assert!(go_on().await.is_err());
        }
        assert_eq!(operations(&calls), ["UpdateItem limits"]);
        assert!(go_on().await.is_err());
        assert_eq!(operations(&calls), ["UpdateItem limits", "DELETE own"]);
    }

    /// X81: a bound that cannot be counted stops no message.
    #[tokio::test]
    async fn x81_requests_fail_open() {
        let (backend, _) = backend(|_| refused("ValidationException"));
        assert_eq!(admitted(&backend, 200).await, 200);
    }
}
