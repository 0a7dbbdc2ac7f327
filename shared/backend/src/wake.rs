//! `wake`: looks after devices that everybody else has left without an alert. A schedule runs it.
//!
//! Two kinds are found by one pass over the devices' records. Some are owed an alert longer than any run takes: whoever owed
//! it broke off, or SNS did not answer. Others have a connection that is older than API Gateway lets any become: nobody
//! told that it closed, and what was posted to it last may have reached nobody.
//!
//! Twice, or two at once: each alert is taken over on a condition, which one run meets. Partial: the next run finds the
//! rest.

use futures_util::{StreamExt, stream};

use crate::{
    Backend,
    alert::{self, Given},
    clock::UnixSeconds,
    fault::Fault,
    tables::devices::{DeviceRecord, Owed},
};

/// Devices that are looked after at once.
const CONCURRENT_DEVICES: usize = 8;

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Woken {
    /// Alerts that were published.
    pub alerted: u32,
    /// Devices that are left to the next run.
    pub left: u32,
}

/// Looks after every device that needs it.
///
/// # Errors
/// [`Fault`]: the records could not be read to their end. What was found before is done.
pub async fn wake(backend: &Backend) -> Result<Woken, Fault> {
    let mut woken = Woken::default();
    let mut after = None;
    loop {
        let now = backend.clock.now();
        let (records, last) = backend.devices.page_in_need(after, now).await?;
        let outcomes = stream::iter(records).map(|record| look_after(backend, record, now));
        let outcomes: Vec<_> = outcomes.buffer_unordered(CONCURRENT_DEVICES).collect().await;
        for outcome in outcomes {
            match outcome {
                Ok(Given::Nothing) => {}
                Ok(Given::Yes) => woken.alerted = woken.alerted.saturating_add(1),
                Ok(Given::NotYet) | Err(_) => woken.left = woken.left.saturating_add(1),
            }
        }
        after = last;
        if after.is_none() {
            break;
        }
    }
    if woken.left > 0 {
        // The template counts these and raises an alarm when there are many.
        tracing::warn!(left = woken.left, "devices are left without an alert");
    }
    Ok(woken)
}

async fn look_after(backend: &Backend, record: DeviceRecord, now: UnixSeconds) -> Result<Given, Fault> {
    let owed = match &record.connection {
        Some(_) => bury(backend, &record, now).await?,
        None => match record.owed_since {
            Some(since) => {
                let devices = &backend.devices;
                devices.take_over_alert_if(record.device, since, now).await?
            }
            None => None,
        },
    };
    Ok(alert::give(backend, owed, now).await)
}

/// Does what `$disconnect` did not: forgets the connection, and owes an alert if anything waits.
async fn bury(backend: &Backend, record: &DeviceRecord, now: UnixSeconds) -> Result<Option<Owed>, Fault> {
    let Some(connection) = &record.connection else {
        return Ok(None);
    };
    let (device, devices) = (record.device, &backend.devices);
    if backend.mailbox.has_urgent(device, now).await? {
        return devices
            .replace_connection_with_mark(device, connection, now)
            .await;
    }
    devices.delete_connection_if(device.address, connection).await?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{Arc, atomic::AtomicU64},
        time::Duration,
    };

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        Clock,
        push::tests::ENDPOINT,
        tables::devices::{ALERT_LEASE_SECONDS, CONNECTION_LIFE_SECONDS},
        testing::{
            Answer, Call, backend_of, condition_failed, device, device_item, done, operations, published,
        },
    };

    const NOW: u64 = 1_800_000_000;

    fn item(connection: Option<&str>, owed: Option<u64>) -> Value {
        let mut item = device_item(device(2, 1, 7), connection);
        item["e"] = json!({ "S": ENDPOINT });
        if let Some(owed) = owed {
            item["p"] = json!({ "N": owed.to_string() });
        }
        item
    }

    async fn woken(
        found: Value,
        script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> (Result<Woken, Fault>, Vec<Call>) {
        let clock = Clock::standing(Arc::new(AtomicU64::new(NOW)));
        let (backend, calls) = backend_of(clock, 1, move |call| match call.operation.as_str() {
            "Scan" => (200, json!({ "Items": [found] })),
            _ => script(call),
        });
        let woken = wake(&backend).await;
        let calls = calls.lock().unwrap().clone();
        (woken, calls)
    }

    fn names(calls: &[Call]) -> Vec<String> {
        operations(&std::sync::Mutex::new(calls.to_vec()))
    }

    fn given(call: &Call) -> Answer {
        match call.operation.as_str() {
            "UpdateItem" => (200, json!({ "Attributes": item(None, Some(NOW)) })),
            "Query" => (200, json!({ "Count": 1 })),
            "Publish" => published(),
            _ => done(),
        }
    }

    /// I10: whoever broke off after the mark, or could not publish, has left an alert.
    #[tokio::test]
    async fn an_alert_that_is_owed_is_taken_over_and_published() {
        let (result, calls) = woken(item(None, Some(NOW - 60)), given).await;
        assert_eq!(result, Ok(Woken { alerted: 1, left: 0 }));
        assert_eq!(
            names(&calls),
            [
                "Scan devices",
                "UpdateItem devices",
                "Publish",
                "UpdateItem devices"
            ]
        );
        let values = &calls[1].body["ExpressionAttributeValues"];
        assert_eq!(values[":since"]["N"], (NOW - 60).to_string());
    }

    #[tokio::test]
    async fn what_another_run_has_taken_over_is_left_to_it() {
        let taken = |call: &Call| match call.operation.as_str() {
            "UpdateItem" => condition_failed(&item(None, Some(NOW))),
            _ => done(),
        };
        let (result, calls) = woken(item(None, Some(NOW - 60)), taken).await;
        assert_eq!(result, Ok(Woken::default()));
        assert_eq!(names(&calls), ["Scan devices", "UpdateItem devices"]);
    }

    /// I10: API Gateway promises no `$disconnect`.
    #[tokio::test]
    async fn a_connection_older_than_any_lives_is_buried_and_what_waits_behind_it_wakes() {
        let (result, calls) = woken(item(Some("old"), None), given).await;
        assert_eq!(result, Ok(Woken { alerted: 1, left: 0 }));
        let expected = [
            "Scan devices",
            "Query mailbox",
            "UpdateItem devices",
            "Publish",
            "UpdateItem devices",
        ];
        assert_eq!(names(&calls), expected);
        assert_eq!(calls[2].body["ConditionExpression"], "c = :connection");
        let idle = |call: &Call| match call.operation.as_str() {
            "Query" => (200, json!({ "Count": 0 })),
            _ => given(call),
        };
        let (result, calls) = woken(item(Some("old"), None), idle).await;
        assert_eq!(result, Ok(Woken::default()));
        assert_eq!(calls[2].body["UpdateExpression"], "REMOVE c, t");
    }

    #[tokio::test]
    async fn only_devices_that_can_be_woken_and_that_somebody_left_are_looked_for() {
        let (_, calls) = woken(item(None, None), given).await;
        let asked = &calls[0].body;
        assert_eq!(
            asked["FilterExpression"],
            "attribute_exists(e) AND (p <= :owed OR t <= :opened)"
        );
        let values = &asked["ExpressionAttributeValues"];
        assert_eq!(values[":owed"]["N"], (NOW - ALERT_LEASE_SECONDS).to_string());
        let opened = Duration::from_secs(NOW - CONNECTION_LIFE_SECONDS).as_millis();
        assert_eq!(values[":opened"]["N"], opened.to_string());
    }

    #[tokio::test]
    async fn one_that_fails_is_left_and_counted_and_keeps_nothing_from_the_others() {
        let clock = Clock::standing(Arc::new(AtomicU64::new(NOW)));
        let (backend, _) = backend_of(clock, 1, |call| match call.operation.as_str() {
            "Scan" if call.body.get("ExclusiveStartKey").is_none() => {
                let first = item(None, Some(5));
                let key = json!({ "a": first["a"], "d": first["d"] });
                (
                    200,
                    json!({ "Items": [first, { "a": { "B": "AA==" } }], "LastEvaluatedKey": key }),
                )
            }
            "Scan" => (200, json!({ "Items": [item(None, Some(6))] })),
            "UpdateItem" if call.body["ExpressionAttributeValues"][":since"]["N"] == "5" => {
                (400, json!({ "__type": "ValidationException" }))
            }
            _ => given(call),
        });
        assert_eq!(wake(&backend).await, Ok(Woken { alerted: 1, left: 1 }));
    }
}
