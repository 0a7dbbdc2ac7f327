//! Text messages, by SNS.
//!
//! A message is asked for once: one whose answer was lost may be on its way, and each costs money.

use aws_sdk_sns::{Client, types::MessageAttributeValue};

use crate::{fault::Fault, phone::Number};

/// What kind of message it is: SNS sends these by the routes that lose the fewest.
const KIND: (&str, &str) = ("AWS.SNS.SMS.SMSType", "Transactional");

/// Who is shown as the sender, where the country allows it.
const SENDER: &str = "AWS.SNS.SMS.SenderID";

/// Tries of a message: one.
pub(crate) const ATTEMPTS: u32 = 1;

/// The way to phones.
#[derive(Clone, Debug)]
pub(crate) struct Sms {
    client: Client,
    sender: Option<String>,
}

impl Sms {
    /// Messages through `client`, from `sender` where that can be shown.
    pub(crate) fn new(client: Client, sender: Option<String>) -> Self {
        Self { client, sender }
    }

    /// Sends a text. `Ok` says that SNS took it; after an error it may be on its way all the same.
    pub(crate) async fn send(&self, to: &Number, text: String) -> Result<(), Fault> {
        let request = self.client.publish().phone_number(to.as_str()).message(text);
        let mut request = request.message_attributes(KIND.0, attribute(KIND.1)?);
        if let Some(sender) = &self.sender {
            request = request.message_attributes(SENDER, attribute(sender)?);
        }
        let sent = request.send().await;
        sent.map(drop).map_err(|error| Fault::of("Publish", &error))
    }
}

fn attribute(value: &str) -> Result<MessageAttributeValue, Fault> {
    let attribute = MessageAttributeValue::builder()
        .data_type("String")
        .string_value(value);
    attribute.build().map_err(|_| Fault::Internal)
}
