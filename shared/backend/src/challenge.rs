//! `challenge`: send a code to a phone.
//!
//! Whether the number has an account is not looked at, so the answer cannot tell. Every bound is counted before
//! the message is sent, and none of them in a way that a request which is refused could use it up for others: first
//! the network that asks, then the number, whose pauses double from code to code, then its block and the
//! deployment.
//!
//! Twice, or an answer that was lost: until the pause is over the code that is on its way is answered for again,
//! and no second one is sent. A code that was not sent, or of which nobody knows whether it was, is withdrawn: there are
//! never more guesses than pauses. Partial: a run that broke off after the number was taken leaves its pause; then a code
//! is asked for again when it is over.

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
        // Else a request that is refused would give five guesses at once, and the next one five more. A failure is
        // logged where it happens, and leaves the pause.
        let _ = backend.codes.withdraw(phone, code_hash, now).await;
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Answer, Call, backend, condition_failed, done, operations, refused};

    const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 23));

    /// What asking for a code comes to, and what was asked of AWS for it.
    async fn ask(
        script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> (Result<Challenged, ChallengeError>, Vec<String>) {
        let (backend, calls) = backend(script);
        let phone = "+491713920001".parse().unwrap();
        let result = challenge(&backend, SOURCE, ChallengeRequest { phone }).await;
        (result, operations(&calls))
    }

    const PUBLISHED: &str = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\">\
        <PublishResult><MessageId>1</MessageId></PublishResult></PublishResponse>";

    /// Everything that bounds a text comes before the text.
    const UP_TO_THE_TEXT: [&str; 6] = [
        "UpdateItem limits",
        "GetItem codes",
        "PutItem codes",
        "UpdateItem limits",
        "UpdateItem limits",
        "Publish",
    ];

    #[tokio::test]
    async fn x61_every_bound_is_counted_before_the_text_is_sent() {
        let (result, calls) = ask(|call| match call.operation.as_str() {
            "Publish" => (200, PUBLISHED.into()),
            _ => done(),
        })
        .await;
        let expected = Challenged {
            expires_in_seconds: 600,
            next_in_seconds: 60,
        };
        assert_eq!(result, Ok(expected));
        assert_eq!(calls, UP_TO_THE_TEXT);
    }

    /// X61: a text whose answer was lost may be on its way: it is not asked for a second time, and X62: whatever became
    /// of it, nobody guesses at its code.
    #[tokio::test]
    async fn x62_the_code_of_a_text_that_fails_is_withdrawn_and_the_number_gets_its_turn_back() {
        let (result, calls) = ask(|call| match call.operation.as_str() {
            "Publish" => (500, json!({})),
            _ => withdrawn(call),
        })
        .await;
        assert_eq!(result, Err(ChallengeError::Fault(Fault::Unavailable)));
        assert_eq!(calls, [UP_TO_THE_TEXT.as_slice(), &["UpdateItem codes"]].concat());
    }

    /// The change that withdraws a code: it must take the code away, and not only the pause.
    fn withdrawn(call: &Call) -> Answer {
        if (call.operation.as_str(), call.table.as_str()) == ("UpdateItem", "codes") {
            assert_eq!(call.body["UpdateExpression"], "SET n = :now REMOVE c");
            assert_eq!(call.body["ConditionExpression"], "c = :code");
        }
        done()
    }

    #[tokio::test]
    async fn x62_a_used_up_budget_withdraws_the_code_and_gives_the_number_its_turn_back() {
        let (result, calls) = ask(|call| {
            let key = &call.body["Key"]["k"];
            match (call.operation.as_str(), crate::testing::bytes(key).first()) {
                ("UpdateItem", Some(3)) => condition_failed(&Value::Null),
                _ => withdrawn(call),
            }
        })
        .await;
        assert!(
            matches!(result, Err(ChallengeError::RateLimited(_))),
            "{result:?}"
        );
        assert_eq!(calls, [&UP_TO_THE_TEXT[..4], &["UpdateItem codes"]].concat());
    }

    /// X81: whatever cannot be counted, no text is sent.
    #[tokio::test]
    async fn x81_a_table_that_fails_stops_the_text() {
        for table in ["limits", "codes"] {
            let (result, calls) = ask(move |call| match call.table == table {
                true => refused("ValidationException"),
                false => done(),
            })
            .await;
            assert_eq!(result, Err(ChallengeError::Fault(Fault::Internal)), "{table}");
            assert!(!calls.contains(&"Publish".to_owned()), "{table}: {calls:?}");
        }
    }

    #[test]
    fn x61_pauses_double_up_to_the_longest_and_begin_anew_after_a_rest() {
        let mut pauses = Vec::new();
        let now = UnixSeconds(1_800_000_000);
        for sent in [0, 1, 2, 9, 10, 4_000_000_000] {
            pauses.push(pause_seconds(Some(&CodeRecord::sent(sent, now.plus(1))), now));
        }
        assert_eq!(pauses, [60, 120, 240, 30_720, 43_200, 43_200]);
        assert_eq!(pause_seconds(Some(&CodeRecord::sent(9, now)), now), 60);
        assert_eq!(pause_seconds(None, now), 60);
    }

    /// X62: six digits, leading zeros included.
    #[test]
    fn x62_codes_have_six_digits_and_differ() {
        let (backend, _) = backend(|_| done());
        let codes: std::collections::BTreeSet<_> = (0..1_000)
            .map(|_| draw_code(&backend).unwrap().as_str().to_owned())
            .collect();
        assert!(codes.len() > 990, "{}", codes.len());
        assert!(codes.iter().any(|code| code.starts_with('0')));
    }
}
