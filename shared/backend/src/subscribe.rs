//! `subscribe`: where a device is woken when something waits for it.
//!
//! An endpoint has one owner, a registration of a device, written down with the endpoint itself. Who brings a token that
//! another registered device is woken by is refused: with it the other's endpoint could be deleted. The token of a device
//! that is gone, of the same device's former self among them, is taken over.
//!
//! Twice: the same endpoint is found, and the same is written. Partial: the endpoint is there and no record names it;
//! nobody publishes to it, and the repetition finds it. The former endpoint is deleted last.

use waxwing_wire::{
    ErrorCode, Problem, RegisteredDevice,
    subscribe::{PushAddress, SubscribeRequest, Subscribed},
};

use crate::{
    Backend, alert,
    fault::Fault,
    push::{Created, Endpoint},
};

/// Times that an endpoint may vanish between two requests to SNS before it is left to the client.
const MAX_ROUNDS: usize = 2;

/// Why a device is not woken where it asked to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// SNS takes no such token.
    #[error("The platform gives no such push token.")]
    InvalidToken,
    /// Another registered device has the token.
    #[error("This push token belongs to another device. Ask the platform for a new one.")]
    Taken,
    /// The deployment has no application for the platform.
    #[error("This service does not reach that platform.")]
    NotOffered,
    /// The registration is gone.
    #[error("This device is not registered (any more).")]
    Unknown,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<SubscribeError> for Problem {
    fn from(error: SubscribeError) -> Self {
        let code = match error {
            SubscribeError::Request(problem) => return problem,
            SubscribeError::Fault(fault) => return fault.into(),
            SubscribeError::InvalidToken => ErrorCode::InvalidPushToken,
            SubscribeError::Taken => ErrorCode::PushTokenTaken,
            SubscribeError::NotOffered => ErrorCode::PushNotOffered,
            SubscribeError::Unknown => ErrorCode::Unauthorized,
        };
        Self::new(code, error.to_string())
    }
}

/// Wakes the device where it asks to be from now on, or nowhere.
///
/// # Errors
/// [`SubscribeError`].
pub async fn subscribe(
    backend: &Backend,
    device: RegisteredDevice,
    request: SubscribeRequest,
) -> Result<Subscribed, SubscribeError> {
    request.check()?;
    let endpoint = match &request.address {
        Some(address) => Some(endpoint(backend, device, address).await?),
        None => None,
    };
    let devices = &backend.devices;
    let subscribed = devices.subscribe_if_registered(device, endpoint.as_ref()).await?;
    let Some(before) = subscribed else {
        if let Some(endpoint) = &endpoint {
            backend.push.delete_if_of(endpoint, device).await?;
        }
        return Err(SubscribeError::Unknown);
    };
    if let Some(former) = &before.former {
        backend.push.delete_if_of(former, device).await?;
    }
    if let (Some(since), true) = (before.owed_since, endpoint.is_some()) {
        // Something has waited since before there was a way to say so.
        let now = backend.clock.now();
        let owed = devices.take_over_alert_if(device, since, now).await?;
        alert::give(backend, owed, now).await;
    }
    Ok(Subscribed {
        subscribed: endpoint.is_some(),
    })
}

/// The endpoint of the address, the device's own.
async fn endpoint(
    backend: &Backend,
    device: RegisteredDevice,
    address: &PushAddress,
) -> Result<Endpoint, SubscribeError> {
    for _ in 0..MAX_ROUNDS {
        let other = match backend.push.create(address, device).await? {
            Created::Own(endpoint) => return Ok(endpoint),
            Created::Other(endpoint) => endpoint,
            Created::Refused => return Err(SubscribeError::InvalidToken),
            Created::NotOffered => return Err(SubscribeError::NotOffered),
        };
        if is_in_use(backend, device, &other).await? {
            return Err(SubscribeError::Taken);
        }
        if backend.push.take(&other, address, device).await? {
            return Ok(other);
        }
    }
    Err(Fault::Unavailable.into())
}

/// Whether another device, which is registered, is woken there.
async fn is_in_use(backend: &Backend, device: RegisteredDevice, endpoint: &Endpoint) -> Result<bool, Fault> {
    let Some(owner) = backend.push.owner(endpoint).await? else {
        return Ok(false);
    };
    if owner == device {
        return Ok(false);
    }
    let record = backend.devices.find(owner.address).await?;
    Ok(record.is_some_and(|record| record.device == owner && record.endpoint.as_ref() == Some(endpoint)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use waxwing_wire::bytes::to_base64;

    use super::*;
    use crate::{
        push::tests::ENDPOINT,
        testing::{
            Answer, Call, backend, condition_failed, device, device_item, done, operations, sns_refused,
        },
    };

    fn request() -> SubscribeRequest {
        let address = json!({ "platform": "apns", "token": "ab".repeat(32) });
        serde_json::from_value(json!({ "address": address })).unwrap()
    }

    fn own() -> RegisteredDevice {
        device(1, 1, 7)
    }

    fn created() -> Answer {
        let result = format!(
            "<CreatePlatformEndpointResult><EndpointArn>{ENDPOINT}</EndpointArn></CreatePlatformEndpointResult>"
        );
        let body = format!("<CreatePlatformEndpointResponse>{result}</CreatePlatformEndpointResponse>");
        (200, body.into())
    }

    fn exists() -> Answer {
        let message = format!(
            "Invalid parameter: Token Reason: Endpoint {ENDPOINT} already exists with the same Token, but different \
             attributes."
        );
        sns_refused("InvalidParameter", &message)
    }

    fn owned_by(owner: RegisteredDevice) -> Answer {
        let entry = format!(
            "<entry><key>CustomUserData</key><value>{}</value></entry>",
            to_base64(&owner.to_bytes())
        );
        let result = format!(
            "<GetEndpointAttributesResult><Attributes>{entry}</Attributes></GetEndpointAttributesResult>"
        );
        let body = format!("<GetEndpointAttributesResponse>{result}</GetEndpointAttributesResponse>");
        (200, body.into())
    }

    fn item(device: RegisteredDevice, endpoint: Option<&str>) -> Value {
        let mut item = device_item(device, None);
        if let Some(endpoint) = endpoint {
            item["e"] = json!({ "S": endpoint });
        }
        item
    }

    async fn subscribed(
        request: SubscribeRequest,
        script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> (Result<Subscribed, SubscribeError>, Vec<String>) {
        let (backend, calls) = backend(script);
        let result = subscribe(&backend, own(), request).await;
        (result, operations(&calls))
    }

    const YES: Result<Subscribed, SubscribeError> = Ok(Subscribed { subscribed: true });

    #[tokio::test]
    async fn a_first_token_makes_an_endpoint_that_the_record_names() {
        let (result, calls) = subscribed(request(), |call| match call.operation.as_str() {
            "CreatePlatformEndpoint" => created(),
            "UpdateItem" => (200, json!({ "Attributes": item(own(), None) })),
            _ => done(),
        })
        .await;
        assert_eq!(result, YES);
        assert_eq!(calls, ["CreatePlatformEndpoint", "UpdateItem devices"]);
    }

    /// X66: who has another's push token could have its endpoint deleted.
    #[tokio::test]
    async fn x66_an_endpoint_that_wakes_another_device_is_not_taken() {
        let victim = device(2, 1, 9);
        for (record, taken) in [
            (item(victim, Some(ENDPOINT)), false),
            // It is woken elsewhere by now, or has registered again: nobody owns the endpoint.
            (item(victim, None), true),
            (item(device(2, 1, 10), Some(ENDPOINT)), true),
        ] {
            let (result, calls) = subscribed(request(), move |call| match call.operation.as_str() {
                "CreatePlatformEndpoint" => exists(),
                "GetEndpointAttributes" => owned_by(victim),
                "GetItem" => (200, json!({ "Item": record })),
                "UpdateItem" => (200, json!({ "Attributes": item(own(), None) })),
                _ => done(),
            })
            .await;
            assert_eq!(result, if taken { YES } else { Err(SubscribeError::Taken) });
            assert_eq!(calls.contains(&"SetEndpointAttributes".to_owned()), taken);
            assert_eq!(calls.contains(&"UpdateItem devices".to_owned()), taken);
        }
    }

    /// The platform said that the app was gone, and then it came back with the same token.
    #[tokio::test]
    async fn the_own_endpoint_is_enabled_again() {
        let (result, calls) = subscribed(request(), |call| match call.operation.as_str() {
            "CreatePlatformEndpoint" => exists(),
            "GetEndpointAttributes" => owned_by(own()),
            "UpdateItem" => (200, json!({ "Attributes": item(own(), None) })),
            _ => done(),
        })
        .await;
        assert_eq!(result, YES);
        let expected = [
            "CreatePlatformEndpoint",
            "GetEndpointAttributes",
            "SetEndpointAttributes",
            "UpdateItem devices",
        ];
        assert_eq!(calls, expected);
    }

    #[tokio::test]
    async fn the_former_endpoint_is_deleted_after_the_record_names_the_new_one() {
        for (new, owner, deleted) in [
            (true, own(), true),
            (false, own(), true),
            (true, device(3, 1, 1), false),
        ] {
            let former = format!("{ENDPOINT}-former");
            let request = if new {
                request()
            } else {
                SubscribeRequest { address: None }
            };
            let (result, calls) = subscribed(request, move |call| match call.operation.as_str() {
                "CreatePlatformEndpoint" => created(),
                "UpdateItem" => (200, json!({ "Attributes": item(own(), Some(&former)) })),
                "GetEndpointAttributes" => owned_by(owner),
                _ => done(),
            })
            .await;
            assert_eq!(result, Ok(Subscribed { subscribed: new }));
            let tail = ["UpdateItem devices", "GetEndpointAttributes", "DeleteEndpoint"];
            let length = if deleted { 3 } else { 2 };
            assert_eq!(calls[usize::from(new)..], tail[..length]);
        }
    }

    #[tokio::test]
    async fn x68_a_registration_that_is_gone_leaves_no_endpoint() {
        let (result, calls) = subscribed(request(), |call| match call.operation.as_str() {
            "CreatePlatformEndpoint" => created(),
            "UpdateItem" => condition_failed(&item(device(1, 1, 8), None)),
            "GetEndpointAttributes" => owned_by(own()),
            _ => done(),
        })
        .await;
        assert_eq!(result, Err(SubscribeError::Unknown));
        assert_eq!(calls.last().unwrap(), "DeleteEndpoint");
    }

    #[tokio::test]
    async fn a_token_that_sns_refuses_and_a_platform_without_an_application_have_errors_of_their_own() {
        let refused = subscribed(request(), |_| sns_refused("InvalidParameter", "Token Reason: no")).await;
        assert_eq!(refused.0, Err(SubscribeError::InvalidToken));
        let google = json!({ "address": { "platform": "fcm", "token": "token" } });
        let google = subscribed(serde_json::from_value(google).unwrap(), |_| done()).await;
        assert_eq!(google, (Err(SubscribeError::NotOffered), Vec::new()));
    }
}
