//! `challenge`: send a code to a phone.
//!
//! Whether the number has an account is not looked at, so the answer cannot tell. Every bound is counted before
//! the message is sent, and none of them in a way that a request which is refused could use it up for others: first
//! the network that asks, then the number, whose pauses double from code to code, then its block and the
//! deployment.
//!
//! Twice, or an answer that was lost: until the pause is over the code that is on its way is answered for again,
//! and no second one is sent. Partial: a run that broke off after the number was taken leaves its pause; then a
//! code is asked for again when it is over.

use std::net::IpAddr;

use rand::RngExt;
use waxwing_wire::{
    Problem,
    challenge::{ChallengeRequest, Challenged},
    phone::Code,
};

use crate::{
    Backend,
    budgets::{self, RateLimited},
    clock::UnixSeconds,
    fault::Fault,
    keyed_hash::Hash,
    phone::{InvalidPhone, Number},
    tables::{codes::CodeRecord, limits::seconds_until},
};

/// Seconds between the first code to a number and the second; each pause is twice the one before.
const FIRST_PAUSE_SECONDS: u64 = 60;

/// The longest pause. A number that nobody lets rest gets two codes a day.
const LONGEST_PAUSE_SECONDS: u64 = 12 * 60 * 60;

/// Looks at a number while others send codes to it.
const MAX_LOOKS: usize = 3;

/// Why no code was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// No mobile phone has this number.
    #[error(transparent)]
    Phone(#[from] InvalidPhone),
    /// A bound is reached.
    #[error(transparent)]
    RateLimited(#[from] RateLimited),
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ChallengeError> for Problem {
    fn from(error: ChallengeError) -> Self {
        match error {
            ChallengeError::Phone(error) => error.into(),
            ChallengeError::RateLimited(limited) => limited.into(),
            ChallengeError::Fault(fault) => fault.into(),
        }
    }
}

/// Sends a code to a phone, for a request that came from `source`.
///
/// # Errors
/// [`ChallengeError`].
pub async fn challenge(
    backend: &Backend,
    source: IpAddr,
    request: ChallengeRequest,
) -> Result<Challenged, ChallengeError> {
    let number = Number::parse(&request.phone)?;
    let now = backend.clock.now();
    let hash = backend.keyed_hash()?;
    let daily_ceiling = backend.sms_daily_ceiling()?;
    budgets::take_code_from_network(backend, hash, source, now).await??;
    let code = draw_code(backend)?;
    let (phone, code_hash) = (hash.phone(&number), hash.code(&number, &code));
    let sent = match reserve(backend, phone, code_hash, now).await? {
        Reserved::Pending(challenged) => return Ok(challenged),
        Reserved::Now(challenged) => {
            let budget = budgets::take_code(backend, hash, &number, daily_ceiling, now).await;
            send(backend, &number, &code, budget).await.map(|()| challenged)
        }
    };
    if sent.is_err() {
        // A failure is logged where it happens, and leaves the pause.
        let _ = backend.codes.allow_next(phone, code_hash, now).await;
    }
    sent
}

async fn send(
    backend: &Backend,
    number: &Number,
    code: &Code,
    budget: Result<Result<(), RateLimited>, Fault>,
) -> Result<(), ChallengeError> {
    budget??;
    let text = format!("{} is your Waxwing code. Give it to nobody.", code.as_str());
    Ok(backend.sms.send(number, text).await?)
}

/// What became of a number's turn.
enum Reserved {
    /// It is taken: the code is to be sent.
    Now(Challenged),
    /// A code is on its way already.
    Pending(Challenged),
}

/// Takes the number's turn, if its pause is over.
async fn reserve(
    backend: &Backend,
    phone: Hash,
    code: Hash,
    now: UnixSeconds,
) -> Result<Reserved, ChallengeError> {
    for _ in 0..MAX_LOOKS {
        let former = backend.codes.find(phone, now).await?;
        if let Some(pending) = former.filter(|former| former.next_at > now) {
            let next_in_seconds = seconds_until(pending.next_at, now);
            return if pending.is_good {
                Ok(Reserved::Pending(Challenged {
                    expires_in_seconds: seconds_until(pending.good_until, now),
                    next_in_seconds,
                }))
            } else {
                Err(ChallengeError::RateLimited(RateLimited {
                    retry_after_seconds: next_in_seconds,
                }))
            };
        }
        let pause = pause_seconds(former.as_ref(), now);
        if let Some(replaced) = backend
            .codes
            .replace_if(phone, former.as_ref(), code, pause, now)
            .await?
        {
            return Ok(Reserved::Now(Challenged {
                expires_in_seconds: seconds_until(replaced.good_until, now),
                next_in_seconds: seconds_until(replaced.next_at, now),
            }));
        }
    }
    Err(Fault::Unavailable.into())
}

/// Seconds until the code after this one may be sent.
fn pause_seconds(former: Option<&CodeRecord>, now: UnixSeconds) -> u64 {
    let sent = former.map_or(0, |former| former.sent_lately(now));
    let doubled = 2_u64.saturating_pow(sent).saturating_mul(FIRST_PAUSE_SECONDS);
    doubled.min(LONGEST_PAUSE_SECONDS)
}

fn draw_code(backend: &Backend) -> Result<Code, Fault> {
    let digits = backend.random.draw(|rng| rng.random_range(0..1_000_000_u32));
    format!("{digits:06}").parse().map_err(|_| Fault::Internal)
}
