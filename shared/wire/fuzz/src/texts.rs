//! Identifiers, numbers and codes, as text and as bytes.

use std::{fmt::Display, str::FromStr};

use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, EnvelopeId, KeyId, MessageId, RegistrationId, RequestId,
    phone::{Code, PhoneNumber},
};

/// One text for each id, and one binary form. Numbers print as they are read, zeros and a plus sign aside. A phone number
/// has its own form, and neither it nor a code shows itself.
pub fn text(data: &[u8]) -> bool {
    let mut accepted = false;
    if let Ok(id) = AccountId::from_bytes(data) {
        assert_eq!(id.to_bytes(), data);
        accepted = true;
    }
    if let Ok(id) = DeviceAddress::from_bytes(data) {
        assert_eq!(id.to_bytes(), data);
        accepted = true;
    }
    if let Ok(id) = EnvelopeId::from_bytes(data) {
        assert_eq!(id.to_bytes(), data);
        accepted = true;
    }
    let Ok(text) = str::from_utf8(data) else {
        return accepted;
    };
    accepted |= prints_as_read::<AccountId>(text) || prints_as_read::<MessageId>(text);
    let digits = text.strip_prefix('+').unwrap_or(text).trim_start_matches('0');
    accepted |= is_number::<DeviceId>(text, digits);
    accepted |= is_number::<RegistrationId>(text, digits);
    accepted |= is_number::<KeyId>(text, digits);
    accepted |= is_number::<RequestId>(text, digits);
    if let Ok(number) = text.parse::<PhoneNumber>() {
        assert_eq!(number.as_str(), text);
        assert!(!format!("{number:?}").contains(text));
        accepted = true;
    }
    if let Ok(code) = text.parse::<Code>() {
        assert!(!format!("{code:?}").contains(text));
        accepted = true;
    }
    accepted
}

fn prints_as_read<T: Display + FromStr>(text: &str) -> bool {
    text.parse::<T>().is_ok_and(|id| {
        assert_eq!(id.to_string(), text);
        true
    })
}

fn is_number<T: Display + FromStr>(text: &str, digits: &str) -> bool {
    text.parse::<T>().is_ok_and(|id| {
        let printed = id.to_string();
        assert!(printed == digits || printed == "0" && digits.is_empty());
        true
    })
}
