//! Platform endpoints: a phone's push token under an ARN (SNS developer guide, "Mobile push notifications").

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use uuid::Uuid;

use super::error::{endpoint_disabled, invalid_parameter, not_found};
use crate::aws::answer::AwsError;

/// Hexadecimal digits of an APNs token (SNS: "no more than 400 hexadecimal characters").
const APNS_TOKEN_DIGITS: usize = 400;

/// Bytes of what an app keeps with an endpoint (SNS API reference, `CreatePlatformEndpoint`).
const CUSTOM_USER_DATA_BYTES: usize = 2_048;

/// What a caller may set of an endpoint.
const ATTRIBUTES: [&str; 3] = [CUSTOM_USER_DATA, ENABLED, TOKEN];
const CUSTOM_USER_DATA: &str = "CustomUserData";
const ENABLED: &str = "Enabled";
const TOKEN: &str = "Token";

/// The endpoints of every platform application. They live as long as the runner: an app tells its push token
/// each time it starts.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    applications: BTreeSet<String>,
    by_arn: Mutex<BTreeMap<String, Endpoint>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Endpoint {
    application: String,
    token: String,
    custom_user_data: Option<String>,
    enabled: bool,
}

/// Shows no push token.
impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl Endpoints {
    /// No endpoints yet, of these applications.
    pub(super) fn new(applications: BTreeSet<String>) -> Self {
        Self {
            applications,
            by_arn: Mutex::default(),
        }
    }

    /// The endpoint of a token: a new one, or the one there is if it has the same attributes.
    pub(super) fn create(
        &self,
        application: &str,
        token: &str,
        custom_user_data: Option<&str>,
        attributes: &BTreeMap<String, String>,
    ) -> Result<String, AwsError> {
        if !self.applications.contains(application) {
            return Err(not_found("PlatformApplication"));
        }
        let mut endpoint = Endpoint {
            application: application.to_owned(),
            token: String::new(),
            custom_user_data: None,
            enabled: true,
        };
        endpoint.set(TOKEN, token)?;
        if let Some(data) = custom_user_data {
            endpoint.set(CUSTOM_USER_DATA, data)?;
        }
        for (name, value) in attributes {
            endpoint.set(name, value)?;
        }
        let mut by_arn = self.lock();
        let same_token = by_arn
            .iter()
            .find(|(_, other)| other.application == endpoint.application && other.token == endpoint.token);
        if let Some((arn, other)) = same_token {
            return match *other == endpoint {
                true => Ok(arn.clone()),
                false => Err(invalid_parameter(format!(
                    "Token Reason: Endpoint {arn} already exists with the same Token, but different attributes."
                ))),
            };
        }
        let id = id(application, token);
        let arn = format!("{}/{id}", application.replace(":app/", ":endpoint/"));
        by_arn.insert(arn.clone(), endpoint);
        Ok(arn)
    }

    /// What is known about an endpoint.
    pub(super) fn attributes(&self, arn: &str) -> Result<BTreeMap<&'static str, String>, AwsError> {
        let by_arn = self.lock();
        let endpoint = by_arn.get(arn).ok_or_else(|| not_found("Endpoint"))?;
        let mut attributes = BTreeMap::from([
            (ENABLED, endpoint.enabled.to_string()),
            (TOKEN, endpoint.token.clone()),
        ]);
        attributes.extend(
            endpoint
                .custom_user_data
                .clone()
                .map(|data| (CUSTOM_USER_DATA, data)),
        );
        Ok(attributes)
    }

    /// Changes an endpoint; all of it or nothing.
    pub(super) fn set(&self, arn: &str, attributes: &BTreeMap<String, String>) -> Result<(), AwsError> {
        let mut by_arn = self.lock();
        let endpoint = by_arn.get_mut(arn).ok_or_else(|| not_found("Endpoint"))?;
        let mut changed = endpoint.clone();
        for (name, value) in attributes {
            changed.set(name, value)?;
        }
        *endpoint = changed;
        Ok(())
    }

    /// Deletes an endpoint; deleting none is no error.
    pub(super) fn delete(&self, arn: &str) {
        self.lock().remove(arn);
    }

    /// What the platform of this endpoint would be handed of a message.
    /// With the token that the phone is known by.
    pub(super) fn payload(&self, arn: &str, message: &Message<'_>) -> Result<(String, String), AwsError> {
        let by_arn = self.lock();
        let endpoint = by_arn.get(arn).ok_or_else(|| {
            invalid_parameter("TargetArn Reason: No endpoint found for the target arn specified")
        })?;
        if !endpoint.enabled {
            return Err(endpoint_disabled());
        }
        let payload = message.for_platform(platform(&endpoint.application))?;
        Ok((endpoint.token.clone(), payload))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Endpoint>> {
        // Endpoints are put in and replaced as a whole.
        self.by_arn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Endpoint {
    fn set(&mut self, name: &str, value: &str) -> Result<(), AwsError> {
        match name {
            TOKEN => {
                let is_apns = platform(&self.application).starts_with("APNS");
                let is_hex =
                    value.len() <= APNS_TOKEN_DIGITS && value.bytes().all(|byte| byte.is_ascii_hexdigit());
                if value.is_empty() || is_apns && !is_hex {
                    return Err(invalid_parameter(
                        "Token Reason: iOS device tokens must be no more than 400 hexadecimal characters",
                    ));
                }
                self.token = value.to_owned();
            }
            ENABLED => match value {
                "true" => self.enabled = true,
                "false" => self.enabled = false,
                _ => {
                    return Err(invalid_parameter(
                        "Attributes Reason: Invalid value for attribute: Enabled",
                    ));
                }
            },
            CUSTOM_USER_DATA => {
                if value.len() > CUSTOM_USER_DATA_BYTES {
                    return Err(invalid_parameter(
                        "CustomUserData Reason: must be at most 2048 bytes long",
                    ));
                }
                self.custom_user_data = Some(value.to_owned());
            }
            _ => {
                let known = ATTRIBUTES.join(", ");
                let reason = format!("Attributes Reason: Invalid attribute name: {name}, not one of {known}");
                return Err(invalid_parameter(reason));
            }
        }
        Ok(())
    }
}

/// A message for a platform endpoint.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// The text, or the JSON with one payload for each platform.
    pub(super) body: &'a str,
    /// `MessageStructure=json`.
    pub(super) is_json: bool,
    /// What a phone shows the newest of, if the caller says so.
    pub(super) collapse_id: Option<String>,
}

impl Message<'_> {
    fn for_platform(&self, platform: &str) -> Result<String, AwsError> {
        if !self.is_json {
            return Ok(self.body.to_owned());
        }
        let wrong = |reason: &str| invalid_parameter(format!("Message Structure - {reason}"));
        let payloads: Value =
            serde_json::from_str(self.body).map_err(|_| wrong("JSON message body failed to parse"))?;
        let text = |key: &str| payloads.get(key).and_then(Value::as_str);
        let default = text("default").ok_or_else(|| wrong("No default entry in JSON message body"))?;
        Ok(text(platform).unwrap_or(default).to_owned())
    }
}

/// The id of an endpoint. As in AWS it follows from what it is the endpoint of, so that a run repeats itself.
fn id(application: &str, token: &str) -> Uuid {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, application, token).hash(&mut hasher);
        u128::from(hasher.finish())
    };
    uuid::Builder::from_md5_bytes((half(0) << 64 | half(1)).to_be_bytes()).into_uuid()
}

/// `arn:aws:sns:us-east-1:000000000000:app/APNS/waxwing` → `APNS`.
fn platform(application: &str) -> &str {
    application.split('/').nth(1).unwrap_or_default()
}
