//! Alerts on phones, by the platform endpoints of SNS (SNS developer guide, "Mobile push notifications").
//!
//! Every alert is the same text: it names nobody, counts nothing and holds no id, so neither Amazon nor the phone's maker
//! learns more than that something waits. The phone shows one of them, however many come.

use std::fmt;

use aws_sdk_sns::{
    Client,
    operation::{
        create_platform_endpoint::CreatePlatformEndpointError,
        get_endpoint_attributes::GetEndpointAttributesError, publish::PublishError,
        set_endpoint_attributes::SetEndpointAttributesError,
    },
    types::MessageAttributeValue,
};
use waxwing_wire::{
    DeviceAddress, RegisteredDevice, RegistrationId,
    bytes::{from_base64, to_base64},
    subscribe::{Platform, PushAddress},
};

use crate::{Config, fault::Fault};

/// One payload for each platform, as JSON in JSON. The app has the text under `WAXWING_NEW_MESSAGES` in every language it
/// speaks. `mutable-content` lets it fetch what waits and show that instead (Apple, "Generating a remote notification");
/// Android does the same with the message's priority (Firebase, "HTTP v1 API").
const PAYLOADS: &str = concat!(
    r#"{"default":"New messages","#,
    r#""APNS":"{\"aps\":{\"alert\":{\"loc-key\":\"WAXWING_NEW_MESSAGES\"},\"sound\":\"default\",\"thread-id\":\"waxwing\",\"mutable-content\":1}}","#,
    r#""APNS_SANDBOX":"{\"aps\":{\"alert\":{\"loc-key\":\"WAXWING_NEW_MESSAGES\"},\"sound\":\"default\",\"thread-id\":\"waxwing\",\"mutable-content\":1}}","#,
    r#""GCM":"{\"fcmV1Message\":{\"message\":{\"android\":{\"collapse_key\":\"waxwing\",\"priority\":\"high\",\"notification\":{\"body_loc_key\":\"WAXWING_NEW_MESSAGES\",\"tag\":\"waxwing\",\"sound\":\"default\"}}}}}"}"#,
);

/// What Apple is told beside the payload: show it at once, and only the newest.
const FOR_APPLE: [(&str, &str); 3] = [
    ("AWS.SNS.MOBILE.APNS.PUSH_TYPE", "alert"),
    ("AWS.SNS.MOBILE.APNS.PRIORITY", "10"),
    ("AWS.SNS.MOBILE.APNS.COLLAPSE_ID", "waxwing"),
];

/// Tries of a request, and the seconds of one and of both: whoever waits for the answer to a `send` does not wait for
/// phones. What fails stays owed.
pub(crate) const ATTEMPTS: u32 = 2;
pub(crate) const ATTEMPT_SECONDS: u64 = 1;
pub(crate) const OPERATION_SECONDS: u64 = 2;

/// Attributes of an endpoint.
const ENABLED: &str = "Enabled";
const TOKEN: &str = "Token";
const OWNER: &str = "CustomUserData";

/// What SNS says of an endpoint that is there with other attributes, around its ARN.
const EXISTS: (&str, &str) = ("Endpoint ", " already exists with the same ");
/// What it says of a publish to one that is not there. It has no error of its own for that.
const NO_ENDPOINT: &str = "No endpoint found";

/// Where one device is woken: the ARN of a platform endpoint.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(String);

impl Endpoint {
    /// Characters of the longest one accepted. SNS's have about a hundred.
    const MAX_CHARS: usize = 512;

    /// Checks that it is one. `None` if not.
    pub(crate) fn new(arn: impl Into<String>) -> Option<Self> {
        let arn = arn.into();
        let is_endpoint = arn.starts_with("arn:") && arn.contains(":endpoint/");
        (is_endpoint && arn.len() <= Self::MAX_CHARS).then_some(Self(arn))
    }

    /// The ARN.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endpoint(..)")
    }
}

/// What became of a request for the endpoint of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Created {
    /// Here it is, enabled, with the device as its owner.
    Own(Endpoint),
    /// It was there before, disabled or with another owner.
    Other(Endpoint),
    /// SNS takes no such token.
    Refused,
    /// This deployment has no application for the platform.
    NotOffered,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// SNS took it. Whether it reaches the phone is for the phone's maker.
    Sent,
    /// There is no such endpoint (any more), or the platform says that the app is not on the phone any more.
    Gone,
}

/// The way to phones.
#[derive(Clone, Debug)]
pub(crate) struct Push {
    client: Client,
    apns: Option<String>,
    apns_sandbox: Option<String>,
    fcm: Option<String>,
}

impl Push {
    /// Alerts through `client`, for the applications that the configuration names.
    pub(crate) fn new(client: Client, config: &Config) -> Self {
        Self {
            client,
            apns: config.apns_application.clone(),
            apns_sandbox: config.apns_sandbox_application.clone(),
            fcm: config.fcm_application.clone(),
        }
    }

    /// The endpoint of the address's token, made if there is none. Repeating it changes nothing.
    pub(crate) async fn create(
        &self,
        address: &PushAddress,
        owner: RegisteredDevice,
    ) -> Result<Created, Fault> {
        let application = match address.platform {
            Platform::Apns => &self.apns,
            Platform::ApnsSandbox => &self.apns_sandbox,
            Platform::Fcm => &self.fcm,
        };
        let Some(application) = application else {
            return Ok(Created::NotOffered);
        };
        let request = self.client.create_platform_endpoint();
        let request = request
            .platform_application_arn(application)
            .token(address.token.as_str())
            .custom_user_data(name(owner));
        match request.send().await {
            Ok(created) => {
                let endpoint = created.endpoint_arn.and_then(Endpoint::new);
                Ok(Created::Own(endpoint.ok_or(Fault::Internal)?))
            }
            Err(error) => match error.as_service_error() {
                Some(CreatePlatformEndpointError::InvalidParameterException(refusal)) => {
                    let message = refusal.message().unwrap_or_default();
                    Ok(existing(message).map_or(Created::Refused, Created::Other))
                }
                _ => Err(Fault::of("CreatePlatformEndpoint", &error)),
            },
        }
    }

    /// The device that an endpoint was made for. `None` if there is no such endpoint, or it says nothing.
    pub(crate) async fn owner(&self, endpoint: &Endpoint) -> Result<Option<RegisteredDevice>, Fault> {
        let request = self.client.get_endpoint_attributes();
        match request.endpoint_arn(endpoint.as_str()).send().await {
            Ok(found) => {
                let owner = found.attributes.as_ref().and_then(|all| all.get(OWNER));
                Ok(owner.and_then(|owner| device(owner)))
            }
            Err(error) => match error.as_service_error() {
                Some(GetEndpointAttributesError::NotFoundException(_)) => Ok(None),
                _ => Err(Fault::of("GetEndpointAttributes", &error)),
            },
        }
    }

    /// Gives an endpoint to `owner` and enables it. False if there is no such endpoint any more.
    pub(crate) async fn take(
        &self,
        endpoint: &Endpoint,
        address: &PushAddress,
        owner: RegisteredDevice,
    ) -> Result<bool, Fault> {
        let request = self.client.set_endpoint_attributes();
        let request = request
            .endpoint_arn(endpoint.as_str())
            .attributes(ENABLED, "true")
            .attributes(TOKEN, address.token.as_str())
            .attributes(OWNER, name(owner));
        match request.send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.as_service_error() {
                Some(SetEndpointAttributesError::NotFoundException(_)) => Ok(false),
                _ => Err(Fault::of("SetEndpointAttributes", &error)),
            },
        }
    }

    /// Deletes an endpoint, if it is `owner`'s: another device may have the phone's token by now.
    pub(crate) async fn delete_if_of(
        &self,
        endpoint: &Endpoint,
        owner: RegisteredDevice,
    ) -> Result<(), Fault> {
        if self.owner(endpoint).await? != Some(owner) {
            return Ok(());
        }
        let request = self.client.delete_endpoint().endpoint_arn(endpoint.as_str());
        let deleted = request.send().await;
        deleted
            .map(drop)
            .map_err(|error| Fault::of("DeleteEndpoint", &error))
    }

    /// Raises the alert.
    pub(crate) async fn publish(&self, endpoint: &Endpoint) -> Result<Published, Fault> {
        let request = self.client.publish().target_arn(endpoint.as_str());
        let mut request = request.message_structure("json").message(PAYLOADS);
        for (name, value) in FOR_APPLE {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value);
            request = request.message_attributes(name, value.build().map_err(|_| Fault::Internal)?);
        }
        let Err(error) = request.send().await else {
            return Ok(Published::Sent);
        };
        match error.as_service_error() {
            Some(PublishError::EndpointDisabledException(_) | PublishError::NotFoundException(_)) => {
                Ok(Published::Gone)
            }
            Some(PublishError::InvalidParameterException(refusal))
                if refusal.message().is_some_and(|said| said.contains(NO_ENDPOINT)) =>
            {
                Ok(Published::Gone)
            }
            _ => Err(Fault::of("Publish", &error)),
        }
    }
}

/// The ARN in SNS's refusal to make an endpoint a second time.
fn existing(message: &str) -> Option<Endpoint> {
    let (_, after) = message.split_once(EXISTS.0)?;
    let (arn, _) = after.split_once(EXISTS.1)?;
    Endpoint::new(arn)
}

/// How an endpoint names its owner: account, device and registration in base64url.
fn name(owner: RegisteredDevice) -> String {
    to_base64(&owner.to_bytes())
}

fn device(name: &str) -> Option<RegisteredDevice> {
    let bytes = from_base64(name).ok()?;
    let (address, registration) = bytes.split_first_chunk::<{ DeviceAddress::BYTES }>()?;
    let registration = u32::from_be_bytes(registration.try_into().ok()?);
    Some(RegisteredDevice {
        address: DeviceAddress::from_bytes(address).ok()?,
        registration: RegistrationId::new(registration.into()).ok()?,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::device as registered;

    pub(crate) const ENDPOINT: &str =
        "arn:aws:sns:eu-west-1:123456789012:endpoint/APNS/waxwing/0e1f2a3b-0000-4000-8000-000000000000";

    /// X52: whatever the phone's maker keeps of an alert says nothing. It is one constant, so this is all there is.
    #[test]
    fn x52_an_alert_is_valid_for_each_platform_and_holds_a_key_for_its_text_and_nothing_else() {
        let payloads: Value = serde_json::from_str(PAYLOADS).unwrap();
        let payload =
            |name: &str| -> Value { serde_json::from_str(payloads[name].as_str().unwrap()).unwrap() };
        for apple in ["APNS", "APNS_SANDBOX"] {
            let expected = serde_json::json!({ "aps": {
                "alert": { "loc-key": "WAXWING_NEW_MESSAGES" }, "sound": "default",
                "thread-id": "waxwing", "mutable-content": 1,
            }});
            assert_eq!(payload(apple), expected);
        }
        let google = serde_json::json!({ "fcmV1Message": { "message": { "android": {
            "collapse_key": "waxwing", "priority": "high",
            "notification": { "body_loc_key": "WAXWING_NEW_MESSAGES", "tag": "waxwing", "sound": "default" },
        }}}});
        assert_eq!(payload("GCM"), google);
        assert_eq!(payloads.as_object().unwrap().len(), 4);
    }

    #[test]
    fn an_endpoint_that_is_there_already_is_found_in_the_refusal() {
        for token in ["Token", "token"] {
            let said = format!(
                "Invalid parameter: Token Reason: Endpoint {ENDPOINT} already exists with the same {token}, but \
                 different attributes."
            );
            assert_eq!(existing(&said), Endpoint::new(ENDPOINT));
        }
        assert_eq!(existing("Invalid parameter: Token Reason: too long"), None);
    }

    #[test]
    fn an_owner_survives_being_written_down() {
        let owner = registered(1, 2, 0x0102_0304);
        assert_eq!(device(&name(owner)), Some(owner));
        for damaged in ["", "AAAA", "not base64!"] {
            assert_eq!(device(damaged), None);
        }
    }

    #[test]
    fn what_is_no_endpoint_is_not_taken_for_one() {
        for wrong in [
            "",
            "arn:aws:sns:eu-west-1:1:topic",
            ":endpoint/APNS/a/b",
            &format!("arn:{}:endpoint/", "a".repeat(600)),
        ] {
            assert_eq!(Endpoint::new(wrong), None, "{wrong}");
        }
    }
}
