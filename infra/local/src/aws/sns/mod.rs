//! SNS as far as a messenger needs it: text messages to numbers, pushes to platform endpoints.
//!
//! Nothing leaves the machine: what would reach a phone is in the [`Outbox`]. Checked are the parameters, the
//! state of endpoints and the caller's policies, with the errors of SNS. Not done here: opt-outs, spending limits
//! and the price of a text against its `MaxPrice`; those are the account's, and SNS drops such texts in silence.
//!
//! Platform applications are not made here, because CloudFormation cannot make them either: those exist whose
//! ARNs the template's parameters name, and those that stand in for parameters which nobody gave.

mod endpoints;
mod error;
pub(in crate::aws) mod query;
pub mod sms;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use uuid::Uuid;

use crate::aws::answer::AwsError;
use crate::meter::{Meter, Notification};
use crate::outbox::Outbox;
use crate::place::{ACCOUNT_ID, REGION};
use endpoints::{Endpoints, Message};
use error::{internal, invalid_action, invalid_parameter, not_found};
use query::{Answer, Form};
use sms::Sms;

/// The name that requests for SNS are signed for.
pub const SIGNING_NAME: &str = "sns";

/// The applications of this machine, by the parameters of templates that they stand in for: platform and name.
const APPLICATIONS: [(&str, &str); 3] = [
    ("ApnsApplicationArn", "APNS"),
    ("ApnsSandboxApplicationArn", "APNS_SANDBOX"),
    ("FcmApplicationArn", "GCM"),
];

/// What they are called.
const APPLICATION_NAME: &str = "waxwing";

/// Bytes of a message for a platform endpoint (SNS quotas: message payload).
pub const MAX_MESSAGE_BYTES: usize = 256 * 1024;

/// The attribute by which Apple's phones show the newest push of several.
const COLLAPSE_ID: &str = "AWS.SNS.MOBILE.APNS.COLLAPSE_ID";

const ACTIONS: [&str; 5] = [
    "CreatePlatformEndpoint",
    "DeleteEndpoint",
    "GetEndpointAttributes",
    "Publish",
    "SetEndpointAttributes",
];

/// Simple Notification Service. Cheap to clone: all clones are the same one.
#[derive(Debug, Clone)]
pub struct Sns {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    endpoints: Endpoints,
    outbox: Outbox,
    meter: Arc<Meter>,
}

/// A request for SNS, its action known.
#[derive(Debug)]
pub struct Request {
    action: &'static str,
    form: Form,
}

impl Request {
    /// Reads a form.
    ///
    /// # Errors
    /// `InvalidAction` for an action that this SNS does not have.
    pub fn read(body: &[u8]) -> Result<Self, AwsError> {
        let form = Form::read(body);
        let name = form.text("Action").unwrap_or_default();
        let action = ACTIONS.into_iter().find(|action| *action == name);
        let action = action.ok_or_else(|| invalid_action(name, &ACTIONS.join(", ")))?;
        Ok(Self { action, form })
    }

    /// The action as policies name it.
    pub fn grant(&self) -> String {
        format!("sns:{}", self.action)
    }

    /// What the action is on, as policies name it: an ARN, or the number of a phone. Of what is done with an endpoint, but
    /// publishing to it, IAM asks for the application (so say its refusals; the documentation says nothing).
    pub fn resource(&self) -> Cow<'_, str> {
        if let Some(application) = self.form.text("EndpointArn").and_then(application_of) {
            return application.into();
        }
        ["PlatformApplicationArn", "TargetArn", "TopicArn", "PhoneNumber"]
            .into_iter()
            .find_map(|name| self.form.text(name))
            .unwrap_or("*")
            .into()
    }
}

impl Sns {
    /// An SNS with these platform applications, by ARN.
    pub fn new(applications: BTreeSet<String>, outbox: Outbox, meter: Arc<Meter>) -> Self {
        let shared = Shared {
            endpoints: Endpoints::new(applications),
            outbox,
            meter,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Whether a text is the ARN of a platform application.
    pub fn is_application(text: &str) -> bool {
        text.starts_with("arn:") && text.contains(":sns:") && text.contains(":app/")
    }

    /// The applications of this machine, by the parameters of templates that they stand in for.
    pub fn stand_ins() -> BTreeMap<String, String> {
        let arn = |(parameter, platform): (&str, &str)| {
            let arn = Self::application_arn(platform, APPLICATION_NAME);
            (parameter.to_owned(), arn)
        };
        APPLICATIONS.map(arn).into()
    }

    /// The ARN that a platform application of this name has here.
    pub fn application_arn(platform: &str, name: &str) -> String {
        format!("arn:aws:sns:{REGION}:{ACCOUNT_ID}:app/{platform}/{name}")
    }

    /// Does what a request asks for.
    ///
    /// # Errors
    /// Those of SNS: `InvalidParameter`, `ParameterValueInvalid`, `NotFound`, `EndpointDisabled`.
    pub fn call(&self, request: &Request, request_id: &str) -> Result<Response<Bytes>, AwsError> {
        let Request { action, form } = request;
        let endpoints = &self.shared.endpoints;
        let done = match *action {
            "Publish" => self.publish(form)?,
            "CreatePlatformEndpoint" => {
                let arn = endpoints.create(
                    form.required("PlatformApplicationArn")?,
                    form.required("Token")?,
                    form.text("CustomUserData"),
                    &form.map("Attributes", "key", "value"),
                )?;
                Answer::Element("EndpointArn", arn)
            }
            "GetEndpointAttributes" => {
                Answer::Attributes(endpoints.attributes(form.required("EndpointArn")?)?)
            }
            "SetEndpointAttributes" => {
                let attributes = form.map("Attributes", "key", "value");
                endpoints.set(form.required("EndpointArn")?, &attributes)?;
                Answer::Nothing
            }
            _ => {
                endpoints.delete(form.required("EndpointArn")?);
                Answer::Nothing
            }
        };
        self.shared.meter.record_notification(Notification::Request);
        Ok(query::answer(action, &done, request_id))
    }

    fn publish(&self, form: &Form) -> Result<Answer, AwsError> {
        let Shared {
            endpoints,
            outbox,
            meter,
        } = &*self.shared;
        let targets = ["PhoneNumber", "TargetArn", "TopicArn"].map(|name| form.text(name));
        match targets {
            [Some(_), None, None] => {
                let sms = Sms::read(form)?;
                outbox.record_sms(sms.number, sms.text);
                meter.record_notification(Notification::Sms { parts: sms.parts() });
            }
            [None, Some(endpoint), None] => {
                let message = push_message(form)?;
                let (token, payload) = endpoints.payload(endpoint, &message)?;
                if outbox.fails_a_push() {
                    return Err(internal());
                }
                outbox.record_push(endpoint, &token, &payload, message.collapse_id.as_deref());
                meter.record_notification(Notification::Push);
            }
            [None, None, Some(_)] => return Err(not_found("Topic")),
            _ => {
                let reason =
                    "one of PhoneNumber, TargetArn and TopicArn Reason: no value for required parameter";
                return Err(invalid_parameter(reason));
            }
        }
        Ok(Answer::Element("MessageId", Uuid::new_v4().to_string()))
    }
}

fn push_message(form: &Form) -> Result<Message<'_>, AwsError> {
    let mut attributes = sms::attributes(form)?;
    let body = form
        .text("Message")
        .ok_or_else(|| invalid_parameter("Empty message"))?;
    if body.len() > MAX_MESSAGE_BYTES {
        return Err(invalid_parameter("Message too long"));
    }
    Ok(Message {
        body,
        is_json: form.text("MessageStructure") == Some("json"),
        collapse_id: attributes.remove(COLLAPSE_ID),
    })
}

/// `arn:…:endpoint/APNS/waxwing/ID` → `arn:…:app/APNS/waxwing`.
fn application_of(endpoint: &str) -> Option<String> {
    let (application, _) = endpoint.rsplit_once('/')?;
    Some(application.replace(":endpoint/", ":app/"))
}
