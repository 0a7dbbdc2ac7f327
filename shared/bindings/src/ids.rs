//! Ids, as text. The other languages have them as strings under a name of their own.

use std::str::FromStr;

use waxwing_client::{AccountId, DeviceId, Fingerprint, HistoryId, LinkRequestId, MessageId};

use crate::error::ClientError;

fn parse<T: FromStr>(text: &str, what: &str) -> Result<T, ClientError> {
    text.parse()
        .map_err(|_| ClientError::InvalidId(format!("this is no id of {what}")))
}

uniffi::custom_type!(
    /// An account: one person. The text form is a UUID in lower case.
    AccountId, String, {
        remote,
        try_lift: |text| Ok(parse(&text, "an account")?),
        lower: |id| id.to_string(),
    }
);

uniffi::custom_type!(
    /// A message, the same on every device. The text form is a UUID in lower case.
    MessageId, String, {
        remote,
        try_lift: |text| Ok(parse(&text, "a message")?),
        lower: |id| id.to_string(),
    }
);

uniffi::custom_type!(
    /// The key that an account's owner signs its devices with.
    Fingerprint, String, {
        remote,
        try_lift: |text| Ok(parse(&text, "an account key")?),
        lower: |fingerprint| fingerprint.to_string(),
    }
);

uniffi::custom_type!(
    /// A history, on the device that gives it and on the one that takes it.
    HistoryId, String, {
        remote,
        try_lift: |text| Ok(parse(&text, "a history")?),
        lower: |id| id.to_string(),
    }
);

uniffi::custom_type!(
    /// A device that wants to be linked.
    LinkRequestId, i64, {
        remote,
        try_lift: |number| Ok(LinkRequestId::from(number)),
        lower: |request| request.into(),
    }
);

/// The number of a device, 1 to 127.
pub(crate) fn device(number: u8) -> Result<DeviceId, ClientError> {
    DeviceId::new(number.into())
        .map_err(|_| ClientError::InvalidId("the number of a device is 1 to 127".to_owned()))
}
