//! Text messages: which numbers, which texts, and how many parts a text is billed as.

use std::collections::BTreeMap;

use super::error::{invalid_attribute, invalid_parameter};
use super::query::Form;
use crate::aws::answer::AwsError;

/// Characters of one text (SNS developer guide, "Publishing an SMS message to a mobile phone").
pub const MAX_CHARACTERS: usize = 1_600;

/// Digits of an E.164 number: ITU-T E.164 has at most 15, and no country has subscribers with fewer than 7.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// Characters of the GSM 7-bit alphabet besides letters and digits of ASCII (3GPP TS 23.038, section 6.2.1).
const GSM_OTHERS: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà";

/// Those that take two places in it.
const GSM_EXTENDED: &str = "^{}\\[~]|€";

/// Places in a text of one part, and in each part of a longer one, in the GSM alphabet (3GPP TS 23.040: 140
/// bytes, 6 of them for the number of the part).
const GSM_PLACES: (usize, usize) = (160, 153);

/// The same in UCS-2, which every text with another character in it is sent in.
const UCS2_PLACES: (usize, usize) = (70, 67);

/// A text message as a caller wants it sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sms<'a> {
    pub(super) number: &'a str,
    pub(super) text: &'a str,
}

impl<'a> Sms<'a> {
    /// Checks what SNS checks before it takes a text.
    pub(super) fn read(form: &'a Form) -> Result<Self, AwsError> {
        let number = form.required("PhoneNumber")?;
        let digits = number.strip_prefix('+').unwrap_or_default();
        let is_number = DIGITS.contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number {
            let reason = format!("PhoneNumber Reason: {number} is not valid to publish to");
            return Err(invalid_parameter(reason));
        }
        let text = form
            .text("Message")
            .ok_or_else(|| invalid_parameter("Empty message"))?;
        if text.chars().count() > MAX_CHARACTERS {
            return Err(invalid_parameter(
                "Message Reason: message must not exceed 1600 characters",
            ));
        }
        check_attributes(&attributes(form)?)?;
        Ok(Self { number, text })
    }

    /// Messages that carriers bill it as.
    pub(super) fn parts(&self) -> u64 {
        parts(self.text)
    }
}

/// `MessageAttributes`: text values by name, all of them typed.
pub(super) fn attributes(form: &Form) -> Result<BTreeMap<String, String>, AwsError> {
    let types = form.map("MessageAttributes", "Name", "Value.DataType");
    for (name, kind) in &types {
        let kind = kind.split('.').next().unwrap_or_default();
        if !["String", "Number", "Binary"].contains(&kind) {
            return Err(invalid_attribute(format!(
                "The message attribute '{name}' must contain a valid DataType."
            )));
        }
    }
    Ok(form.map("MessageAttributes", "Name", "Value.StringValue"))
}

fn check_attributes(attributes: &BTreeMap<String, String>) -> Result<(), AwsError> {
    for (name, value) in attributes {
        let is_possible = match name.as_str() {
            "AWS.SNS.SMS.SMSType" => ["Promotional", "Transactional"].contains(&value.as_str()),
            "AWS.SNS.SMS.MaxPrice" => value
                .parse::<f64>()
                .is_ok_and(|price| price.is_finite() && price >= 0.0),
            "AWS.SNS.SMS.SenderID" => {
                (1..=11).contains(&value.len())
                    && value
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                    && value.bytes().any(|byte| byte.is_ascii_alphabetic())
            }
            _ => true,
        };
        if !is_possible {
            return Err(invalid_parameter(format!(
                "{name} Reason: {value} is not possible"
            )));
        }
    }
    Ok(())
}

fn parts(text: &str) -> u64 {
    let gsm_places = text.chars().try_fold(0, |places, character| {
        let is_single = character.is_ascii_alphanumeric() || GSM_OTHERS.contains(character);
        match (is_single, GSM_EXTENDED.contains(character)) {
            (true, _) => Some(places + 1),
            (false, true) => Some(places + 2),
            (false, false) => None,
        }
    });
    let (places, (alone, in_parts)) = match gsm_places {
        Some(places) => (places, GSM_PLACES),
        None => (text.encode_utf16().count(), UCS2_PLACES),
    };
    if places <= alone {
        return 1;
    }
    places.div_ceil(in_parts) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_billed_by_parts_of_its_alphabet() {
        for (text, expected) in [
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(81), 2),
            ("я".repeat(70), 1),
            ("я".repeat(71), 2),
            ("🐦".repeat(35), 1),
            ("🐦".repeat(36), 2),
        ] {
            assert_eq!(parts(&text), expected, "{text}");
        }
    }

    #[test]
    fn a_number_that_nobody_can_have_is_refused() {
        for (number, expected) in [
            ("%2B15550100", true),
            ("%2B493012345678", true),
            ("15550100", false),
            ("%2B05550100", false),
            ("%2B555", false),
            ("%2B1234567890123456", false),
            ("%2B1555010a", false),
            ("", false),
        ] {
            let form = Form::read(format!("PhoneNumber={number}&Message=a").as_bytes());
            assert_eq!(Sms::read(&form).is_ok(), expected, "{number}");
        }
    }

    #[test]
    fn attributes_are_checked_by_their_names() {
        for (name, value, expected) in [
            ("AWS.SNS.SMS.SMSType", "Transactional", true),
            ("AWS.SNS.SMS.SMSType", "Urgent", false),
            ("AWS.SNS.SMS.MaxPrice", "0.05", true),
            ("AWS.SNS.SMS.MaxPrice", "cheap", false),
            ("AWS.SNS.SMS.SenderID", "Waxwing", true),
            ("AWS.SNS.SMS.SenderID", "MuchTooLongAName", false),
        ] {
            let form = Form::read(
                format!(
                    "PhoneNumber=%2B15550100&Message=a&MessageAttributes.entry.1.Name={name}\
                     &MessageAttributes.entry.1.Value.DataType=String&MessageAttributes.entry.1.Value.StringValue={value}"
                )
                .as_bytes(),
            );
            assert_eq!(Sms::read(&form).is_ok(), expected, "{name} {value}");
        }
    }
}
