//! Alerts: who is owed one, and who gives it.
//!
//! Whoever finds that something waits for a device that is away owes it an alert, by a mark on its record, and publishes it.
//! Then the mark is settled: until the device connects, or for [`ALERT_PAUSE_SECONDS`], nobody owes it another. So one
//! alert comes of any number of messages.
//!
//! Broken off between mark and publishing, or when SNS did not answer: the mark stays, and the next message after the
//! lease, or `wake` within minutes, takes it over. Broken off between publishing and settling: it is published twice, and
//! the phone shows one. Nobody who sends is refused for it.

use waxwing_wire::{RegisteredDevice, limits::ALERT_PAUSE_SECONDS};

use crate::{
    Backend,
    clock::UnixSeconds,
    fault::Fault,
    push::{Endpoint, Published},
    tables::devices::{ALERT_LEASE_SECONDS, DeviceRecord, Owed},
};

/// Alerts a device that was away when its record was read, unless that was done or is being done.
pub(crate) async fn alert(backend: &Backend, record: &DeviceRecord, now: UnixSeconds) -> Result<(), Fault> {
    let device = record.device;
    let is_recent = |at: UnixSeconds, seconds| at.plus(seconds) > now;
    let owed = match (record.owed_since, record.alerted_at) {
        // Whoever follows the mark finds the envelope, which was there before the mark was read.
        (Some(since), _) if is_recent(since, ALERT_LEASE_SECONDS) => return Ok(()),
        // Nobody could be woken before, and nobody can be now.
        (Some(_), _) if record.endpoint.is_none() => return Ok(()),
        (Some(since), _) => backend.devices.take_over_alert_if(device, since, now).await?,
        (None, Some(at)) if is_recent(at, ALERT_PAUSE_SECONDS) => return Ok(()),
        (None, _) => backend.devices.owe_alert_if_away(device, now).await?,
    };
    give(backend, owed, now).await;
    Ok(())
}

/// What became of an alert that was owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Given {
    /// There was none to give.
    Nothing,
    /// It is published.
    Yes,
    /// It is still owed.
    NotYet,
}

/// Publishes an alert that is owed since `now`. A failure is logged where it happens, and the alert stays owed.
pub(crate) async fn give(backend: &Backend, owed: Option<Owed>, now: UnixSeconds) -> Given {
    let Some(Owed {
        device,
        endpoint: Some(endpoint),
    }) = owed
    else {
        return Given::Nothing;
    };
    match backend.push.publish(&endpoint).await {
        Ok(Published::Sent) => {
            // Unsettled it is published again, which the phone shows as one.
            let _ = backend.devices.settle_alert_if(device, now).await;
            Given::Yes
        }
        Ok(Published::Gone) => {
            forget(backend, device, &endpoint).await;
            Given::Nothing
        }
        Err(_) => Given::NotYet,
    }
}

/// Takes an endpoint away that wakes nobody any more; first where it is, so that what breaks off is found again.
async fn forget(backend: &Backend, device: RegisteredDevice, endpoint: &Endpoint) {
    tracing::info!("a device cannot be woken any more");
    if backend.push.delete_if_of(endpoint, device).await.is_ok() {
        let _ = backend.devices.unsubscribe_if(device.address, endpoint).await;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        push::tests::ENDPOINT,
        testing::{
            Answer, Call, backend, condition_failed, device, device_item, done, operations, published,
            sns_refused,
        },
    };

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn record(owed: Option<u64>, alerted: Option<u64>, endpoint: bool) -> DeviceRecord {
        DeviceRecord {
            device: device(2, 1, 7),
            signing_key: waxwing_wire::PublicKey::new([2; 33]).unwrap(),
            connection: None,
            owed_since: owed.map(|ago| UnixSeconds(NOW.0 - ago)),
            alerted_at: alerted.map(|ago| UnixSeconds(NOW.0 - ago)),
            endpoint: Endpoint::new(ENDPOINT).filter(|_| endpoint),
            seen_at: UnixSeconds(0),
        }
    }

    fn item(endpoint: bool) -> Value {
        let mut item = device_item(device(2, 1, 7), None);
        if endpoint {
            item["e"] = json!({ "S": ENDPOINT });
        }
        item
    }

    /// AWS that gives every update, and answers a publish so.
    fn giving(endpoint: bool, publish: Answer) -> impl Fn(&Call) -> Answer + Send + Sync + 'static {
        move |call| match call.operation.as_str() {
            "UpdateItem" => (200, json!({ "Attributes": item(endpoint) })),
            "Publish" => publish.clone(),
            "GetEndpointAttributes" => sns_refused("NotFound", "Endpoint does not exist"),
            _ => done(),
        }
    }

    async fn calls_for(
        record: DeviceRecord,
        script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> Vec<String> {
        let (backend, calls) = backend(script);
        assert_eq!(alert(&backend, &record, NOW).await, Ok(()));
        operations(&calls)
    }

    const UPDATE: &str = "UpdateItem devices";
    const GIVEN: [&str; 3] = [UPDATE, "Publish", UPDATE];

    #[tokio::test]
    async fn a_device_is_alerted_once_until_it_was_there_or_the_pause_is_over() {
        let (lease, pause) = (ALERT_LEASE_SECONDS, ALERT_PAUSE_SECONDS);
        for (owed, alerted, expected) in [
            (None, None, GIVEN.as_slice()),
            (None, Some(pause - 1), &[]),
            (None, Some(pause), &GIVEN),
            (Some(lease - 1), None, &[]),
            (Some(lease), None, &GIVEN),
            (Some(lease), Some(1), &GIVEN),
        ] {
            let calls = calls_for(record(owed, alerted, true), giving(true, published())).await;
            assert_eq!(calls, expected, "owed {owed:?}, alerted {alerted:?}");
        }
    }

    /// Without an endpoint there is nobody to publish to; that something waits is written down for when there is.
    #[tokio::test]
    async fn a_device_that_never_asked_to_be_woken_is_marked_once() {
        for (owed, expected) in [(None, [UPDATE].as_slice()), (Some(1), &[]), (Some(9999), &[])] {
            let calls = calls_for(record(owed, None, false), giving(false, published())).await;
            assert_eq!(calls, expected, "owed {owed:?}");
        }
    }

    #[tokio::test]
    async fn who_loses_the_mark_to_another_publishes_nothing() {
        let calls = calls_for(record(None, None, true), |call| match call.operation.as_str() {
            "UpdateItem" => condition_failed(&item(true)),
            _ => done(),
        });
        assert_eq!(calls.await, [UPDATE]);
    }

    /// I10: what could not be published stays owed, and whoever sends is none the worse.
    #[tokio::test(start_paused = true)]
    async fn an_alert_that_sns_does_not_take_stays_owed() {
        for refusal in [
            sns_refused("Throttled", "later"),
            (500, Value::from("")),
            sns_refused("AuthorizationError", "no"),
        ] {
            let calls = calls_for(record(None, None, true), giving(true, refusal)).await;
            assert_eq!(calls[0], UPDATE);
            assert!(calls[1..].iter().all(|call| call == "Publish"), "{calls:?}");
        }
    }

    #[tokio::test]
    async fn an_endpoint_that_wakes_nobody_is_deleted_and_then_forgotten() {
        let gone = "Invalid parameter: TargetArn Reason: No endpoint found for the target arn specified";
        for refusal in [
            sns_refused("EndpointDisabled", "Endpoint is disabled"),
            sns_refused("InvalidParameter", gone),
            sns_refused("NotFound", "Endpoint does not exist"),
        ] {
            let (backend, calls) = backend(giving(true, refusal));
            alert(&backend, &record(None, None, true), NOW).await.unwrap();
            let calls = calls.lock().unwrap();
            let all: Vec<_> = calls.iter().map(|call| call.operation.as_str()).collect();
            // Nobody's any more, so there is nothing to delete.
            assert_eq!(
                all,
                ["UpdateItem", "Publish", "GetEndpointAttributes", "UpdateItem"]
            );
            assert_eq!(calls[3].body["UpdateExpression"], "REMOVE e");
            assert_eq!(calls[3].body["ConditionExpression"], "e = :endpoint");
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_the_message_is_not_taken_for_an_endpoint_that_is_gone() {
        let wrong = "Invalid parameter: Message Structure - JSON message body failed to parse";
        let calls = calls_for(
            record(None, None, true),
            giving(true, sns_refused("InvalidParameter", wrong)),
        );
        assert_eq!(calls.await, [UPDATE, "Publish"]);
    }
}
