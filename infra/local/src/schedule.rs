//! EventBridge as far as a template's `Schedule` events need it: functions invoked by the clock.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, MissedTickBehavior};
use uuid::Uuid;

use crate::clock;
use crate::lambda::Lambda;
use crate::place::{ACCOUNT_ID, REGION};
use crate::template::FunctionSpec;

/// The event that a schedule hands to its function (EventBridge user guide, "Scheduled events").
pub fn event(function: &FunctionSpec, now: Duration, id: &str) -> Value {
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let at = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let rule = format!(
        "arn:aws:events:{REGION}:{ACCOUNT_ID}:rule/{}-schedule",
        function.name
    );
    json!({
        "version": "0",
        "id": id,
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT_ID,
        "time": at.format(&Rfc3339).unwrap_or_default(),
        "region": REGION,
        "resources": [rule],
        "detail": {},
    })
}

/// Invokes the function again and again. The first time when the first interval is over, as in AWS; a failure is logged
/// where it happens, and the next time comes.
pub(crate) async fn follow(lambda: Lambda, function: FunctionSpec, every: Duration) {
    let mut due = tokio::time::interval_at(Instant::now() + every, every);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        due.tick().await;
        let event = event(&function, clock::since_epoch(), &Uuid::new_v4().to_string());
        if let Err(error) = lambda.invoke(&function.handler, event).await {
            tracing::warn!(function = %function.handler, %error, "a scheduled run failed");
        }
    }
}
