//! What has to be known of an account before a message to it can leave: its list of devices, bundles, sessions.

use std::{sync::Arc, time::Duration};

use waxwing_wire::{AccountId, ErrorCode, Problem};

use super::{
    drain::failed,
    keeper::{self, FetchError},
    pause, retry_after,
};
use crate::{
    clock,
    directory::{self, Plan, TakeError},
    events::DisconnectReason,
    sessions::Me,
    shared::Shared,
    transport::{
        backoff::Backoff,
        http::HttpError,
        requests::{Link, RequestError},
    },
    trust::ListError,
};

/// Steps to learn about an account before waiting: fetch, claim, and once more if it changed in between.
const PROMPT_STEPS: u32 = 4;

/// Why an account cannot be written to.
pub(super) enum LearnError {
    UnknownAccount,
    InvalidKeys,
    Disconnect(DisconnectReason),
}

/// One step to learn about an account did not work.
enum Stumble {
    /// It may work after a wait, at least this long.
    Wait(Duration),
    Fail(LearnError),
}

/// Learns all that is missing to write to an account.
pub(super) async fn learn(
    shared: &Shared,
    me: &Arc<Me>,
    link: &Link,
    account: AccountId,
) -> Result<(), LearnError> {
    let own = account == me.address().account;
    let mut backoff = Backoff::of_requests(&shared.timings);
    let mut steps = 0;
    loop {
        let at_least = match learn_step(shared, me, link, account).await {
            Ok(true) => return Ok(()),
            Ok(false) => {
                steps += 1;
                if steps < PROMPT_STEPS {
                    continue;
                }
                Duration::ZERO
            }
            // Without our own devices nothing may be sent to anybody; no message is to blame.
            Err(Stumble::Fail(LearnError::UnknownAccount | LearnError::InvalidKeys)) if own => {
                tracing::warn!("the service's word about the own account cannot be used");
                Duration::ZERO
            }
            Err(Stumble::Fail(error)) => return Err(error),
            Err(Stumble::Wait(at_least)) => at_least,
        };
        pause(&mut backoff, at_least).await;
    }
}

/// Does what is next to learn. Returns whether there was nothing left to do.
async fn learn_step(shared: &Shared, me: &Arc<Me>, link: &Link, account: AccountId) -> Result<bool, Stumble> {
    let asker = me.clone();
    let plan = shared
        .store
        .read(move |tx| directory::plan(tx, &asker, account, clock::now_millis()))
        .await;
    let asked = match plan.map_err(store_failed)? {
        Plan::Ready | Plan::Held => return Ok(true),
        Plan::Fetch => {
            keeper::fetch(shared, me, account)
                .await
                .map_err(stumble_over_fetch)?;
            return Ok(false);
        }
        Plan::ClaimAll => None,
        Plan::Claim(devices) => Some(devices),
    };
    let bundles = link
        .claim(account, asked.clone())
        .await
        .map_err(stumble_over_claim)?;
    let me = me.clone();
    let taken = shared.apply(move |tx| {
        let (rng, now) = (&mut clock::rng(), clock::now_millis());
        directory::take_bundles(tx, rng, &me, asked.as_deref(), &bundles, now)
    });
    taken.await.map_err(stumble_over_list)?;
    Ok(false)
}

fn stumble_over_list(error: TakeError) -> Stumble {
    match error {
        // Two answers may have overtaken each other.
        TakeError::List(ListError::Rollback) => Stumble::Wait(Duration::ZERO),
        TakeError::List(_) | TakeError::Keys(_) => Stumble::Fail(LearnError::InvalidKeys),
        TakeError::Store(error) => store_failed(error),
    }
}

fn stumble_over_fetch(error: FetchError) -> Stumble {
    match error {
        FetchError::Http(error) if error.is_unauthorized() => disconnect(DisconnectReason::Unauthorized),
        FetchError::Http(HttpError::Refused(problem)) => stumble_over(&problem),
        FetchError::Http(_) => Stumble::Wait(Duration::ZERO),
        FetchError::Take(error) => stumble_over_list(error),
    }
}

fn stumble_over_claim(error: RequestError) -> Stumble {
    match error {
        RequestError::Closed => disconnect(DisconnectReason::Broken),
        RequestError::TimedOut => disconnect(DisconnectReason::TimedOut),
        RequestError::Refused(problem) => stumble_over(&problem),
        RequestError::Throttled
        | RequestError::Unknown
        | RequestError::Mismatched
        | RequestError::TooLarge => Stumble::Wait(Duration::ZERO),
    }
}

fn stumble_over(problem: &Problem) -> Stumble {
    match problem.code {
        ErrorCode::UnknownAccount => Stumble::Fail(LearnError::UnknownAccount),
        ErrorCode::Unauthorized => disconnect(DisconnectReason::Unauthorized),
        _ => Stumble::Wait(retry_after(problem)),
    }
}

fn store_failed(error: crate::store::StoreError) -> Stumble {
    disconnect(failed(error))
}

fn disconnect(reason: DisconnectReason) -> Stumble {
    Stumble::Fail(LearnError::Disconnect(reason))
}
