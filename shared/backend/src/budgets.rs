//! Budgets: how many codes are sent, and how many one-time prekeys are handed out.
//!
//! Each is a counter that one conditional write raises, so that no number of requests at once passes it. A
//! budget belongs to an aligned span of time: two full ones may meet where one span ends and the next begins.
//!
//! | budget | of whom | how many | when it cannot be counted |
//! |---|---|---|---|
//! | codes to a network | requests from one address (IPv6: /64) | 30 an hour | closed: no code |
//! | codes to a block | numbers that differ in the last four digits | 30 an hour | closed: no code |
//! | codes | the deployment | `SmsDailyCeiling` a day | closed: no code |
//! | claims between | one account of another's bundles | 30 an hour | open: the claim goes on |
//! | claims of | an account, by everybody | 40 an hour | closed: bundles come without one-time prekeys |

use std::net::IpAddr;

use waxwing_wire::{AccountId, ErrorCode, Problem};

use crate::{
    Backend,
    clock::UnixSeconds,
    fault::Fault,
    keyed_hash::KeyedHash,
    phone::Number,
    tables::limits::{Counter, Span},
};

/// An hour, in seconds.
const HOUR: u64 = 60 * 60;

/// A day, in seconds.
const DAY: u64 = 24 * HOUR;

/// Codes an hour for requests from one network: an office whose staff registers on one morning.
const MAX_CODES_TO_NETWORK: u32 = 30;

/// Codes an hour to one block of ten thousand numbers.
const MAX_CODES_TO_PREFIX: u32 = 30;

/// Claims an hour by one account of another's bundles: every device a few times.
const MAX_CLAIMS_BETWEEN: u32 = 30;

/// Claims an hour of one account's bundles that get one-time prekeys. A pool of a hundred outlives two hours of
/// an attack, and its owner is told when it runs low.
const MAX_CLAIMS_OF: u32 = 40;

/// A budget is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Too many requests. Wait a while and try again.")]
pub struct RateLimited {
    /// Seconds until there is room again.
    pub retry_after_seconds: u32,
}

impl From<RateLimited> for Problem {
    fn from(limited: RateLimited) -> Self {
        Self {
            retry_after_seconds: Some(limited.retry_after_seconds),
            ..Self::new(ErrorCode::RateLimited, limited.to_string())
        }
    }
}

/// Takes a code from the budget of the network that asks for it. An address of this very machine has none: no
/// request from the internet comes from there, and everyone who works on one machine would share it.
pub(crate) async fn take_code_from_network(
    backend: &Backend,
    hash: &KeyedHash,
    source: IpAddr,
    now: UnixSeconds,
) -> Result<Result<(), RateLimited>, Fault> {
    let source = source.to_canonical();
    if source.is_loopback() {
        return Ok(Ok(()));
    }
    let span = Span::of(now, HOUR);
    let counter = Counter::CodesToNetwork(hash.network(&network(source)), span);
    take(backend, counter, MAX_CODES_TO_NETWORK, span, now).await
}

/// Takes a code to `number` from the budgets of its block and of the deployment.
pub(crate) async fn take_code(
    backend: &Backend,
    hash: &KeyedHash,
    number: &Number,
    daily_ceiling: u32,
    now: UnixSeconds,
) -> Result<Result<(), RateLimited>, Fault> {
    let span = Span::of(now, HOUR);
    let counter = Counter::CodesToPrefix(hash.prefix(number), span);
    if let Err(limited) = take(backend, counter, MAX_CODES_TO_PREFIX, span, now).await? {
        tracing::warn!("the hourly budget of codes to a block of numbers is used up");
        return Ok(Err(limited));
    }
    let span = Span::of(now, DAY);
    let taken = take(backend, Counter::Codes(span), daily_ceiling, span, now).await?;
    if taken.is_err() {
        tracing::error!("the daily ceiling of codes is reached; nobody can register until midnight UTC");
    }
    Ok(taken)
}

/// What a claim may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClaimBudget {
    /// One-time prekeys, as long as there are any.
    OneTimePrekeys,
    /// Bundles without them, so that the account stays in reach and its pool is not drained.
    BundlesOnly,
}

/// Takes a claim by `claimer` of the bundles of `target`. An account's claims of its own bundles are free.
pub(crate) async fn take_claim(
    backend: &Backend,
    claimer: AccountId,
    target: AccountId,
    now: UnixSeconds,
) -> Result<ClaimBudget, RateLimited> {
    if claimer == target {
        return Ok(ClaimBudget::OneTimePrekeys);
    }
    let span = Span::of(now, HOUR);
    let between = Counter::ClaimsBetween(claimer, target, span);
    // A failure is logged where it happens; a message is worth more than the bound.
    let taken = take(backend, between, MAX_CLAIMS_BETWEEN, span, now).await;
    taken.unwrap_or(Ok(()))?;
    let of = Counter::ClaimsOf(target, span);
    Ok(match take(backend, of, MAX_CLAIMS_OF, span, now).await {
        Ok(Ok(())) => ClaimBudget::OneTimePrekeys,
        Ok(Err(_)) | Err(_) => ClaimBudget::BundlesOnly,
    })
}

async fn take(
    backend: &Backend,
    counter: Counter,
    most: u32,
    span: Span,
    now: UnixSeconds,
) -> Result<Result<(), RateLimited>, Fault> {
    let is_taken = backend.limits.take(counter, most, span.end).await?;
    Ok(if is_taken {
        Ok(())
    } else {
        Err(RateLimited {
            retry_after_seconds: span.left(now),
        })
    })
}

/// The bytes that name the network of an address: the whole of IPv4, the first half of IPv6, because whoever
/// has one address there has the rest of its /64 too (RFC 6177, section 2).
fn network(source: IpAddr) -> Vec<u8> {
    match source {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().into_iter().take(8).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::Value;

    use super::*;
    use crate::testing::{backend, condition_failed, device, done, operations, refused};

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn accounts() -> [AccountId; 2] {
        [1, 2].map(|number| device(number, 1, 7).address.account)
    }

    fn hash() -> KeyedHash {
        KeyedHash::new("a secret that only the tests know")
    }

    #[test]
    fn x61_one_home_is_one_network_whichever_of_its_addresses_asks() {
        let network = |text: &str| network(text.parse::<IpAddr>().unwrap().to_canonical());
        assert_eq!(
            network("2001:db8:1:2::1"),
            network("2001:db8:1:2:ffff:ffff:ffff:ffff")
        );
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("198.51.100.23"), network("198.51.100.24"));
        assert_eq!(network("::ffff:198.51.100.23"), network("198.51.100.23"));
    }

    #[tokio::test]
    async fn x81_codes_fail_closed() {
        let number = Number::parse(&"+491713920001".parse().unwrap()).unwrap();
        let (backend, _) = backend(|_| refused("ThrottlingException"));
        let source = "198.51.100.23".parse().unwrap();
        let network = take_code_from_network(&backend, &hash(), source, NOW).await;
        assert_eq!(network, Err(Fault::Unavailable));
        let code = take_code(&backend, &hash(), &number, 5, NOW).await;
        assert_eq!(code, Err(Fault::Unavailable));
    }

    #[tokio::test]
    async fn x81_claims_fail_open_and_pools_fail_closed() {
        let [claimer, target] = accounts();
        let (backend, _) = backend(|_| refused("ThrottlingException"));
        let taken = take_claim(&backend, claimer, target, NOW).await;
        assert_eq!(taken, Ok(ClaimBudget::BundlesOnly));
    }

    #[tokio::test]
    async fn x09_a_claimer_beyond_its_budget_does_not_touch_the_targets() {
        let [claimer, target] = accounts();
        let (backend, calls) = backend(|_| condition_failed(&Value::Null));
        let taken = take_claim(&backend, claimer, target, NOW).await;
        let retry_after_seconds = Span::of(NOW, HOUR).left(NOW);
        assert_eq!(taken, Err(RateLimited { retry_after_seconds }));
        assert_eq!(operations(&calls), ["UpdateItem limits"]);
    }

    #[tokio::test]
    async fn x09_a_target_beyond_its_budget_is_reached_without_one_time_prekeys() {
        let [claimer, target] = accounts();
        let calls = AtomicU32::new(0);
        let (backend, _) = backend(move |_| match calls.fetch_add(1, Ordering::Relaxed) {
            0 => done(),
            _ => condition_failed(&Value::Null),
        });
        let taken = take_claim(&backend, claimer, target, NOW).await;
        assert_eq!(taken, Ok(ClaimBudget::BundlesOnly));
    }

    #[tokio::test]
    async fn an_account_claims_its_own_bundles_freely() {
        let [own, _] = accounts();
        let (backend, calls) = backend(|_| done());
        let taken = take_claim(&backend, own, own, NOW).await;
        assert_eq!(taken, Ok(ClaimBudget::OneTimePrekeys));
        assert!(calls.lock().unwrap().is_empty());
    }
}
