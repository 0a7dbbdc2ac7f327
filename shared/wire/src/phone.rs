//! Phone numbers and the codes sent to them. Neither prints.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Why a number or a code was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// Not a plus sign and 7 to 15 digits, the first of them not 0 (ITU-T E.164).
    #[error("a phone number is a plus sign and 7 to 15 digits, country code first")]
    Number,
    /// Not six digits.
    #[error("a code has six digits")]
    Code,
}

/// A phone number in the form of ITU-T E.164: a plus sign, then 7 to 15 digits, country code first. Whether a
/// country has such numbers is for the service to find out.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// The text form.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PhoneNumber {
    type Err = PhoneError;

    fn from_str(text: &str) -> Result<Self, PhoneError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for PhoneNumber {
    type Error = PhoneError;

    fn try_from(text: String) -> Result<Self, PhoneError> {
        let digits = text.strip_prefix('+').unwrap_or_default();
        let valid = (7..=15).contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0');
        if valid {
            Ok(Self(text))
        } else {
            Err(PhoneError::Number)
        }
    }
}

impl From<PhoneNumber> for String {
    fn from(number: PhoneNumber) -> Self {
        number.0
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PhoneNumber(..)")
    }
}

/// Six digits, as sent by SMS.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Code(String);

impl Code {
    /// Digits of a code.
    pub const DIGITS: usize = 6;

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Code {
    type Err = PhoneError;

    fn from_str(text: &str) -> Result<Self, PhoneError> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Code {
    type Error = PhoneError;

    fn try_from(text: String) -> Result<Self, PhoneError> {
        let valid = text.len() == Self::DIGITS && text.bytes().all(|byte| byte.is_ascii_digit());
        if valid {
            Ok(Self(text))
        } else {
            Err(PhoneError::Code)
        }
    }
}

impl From<Code> for String {
    fn from(code: Code) -> Self {
        code.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_number_is_a_plus_sign_and_seven_to_fifteen_digits() {
        for good in ["+4915112345678", "+1202555", "+123456789012345"] {
            assert!(good.parse::<PhoneNumber>().is_ok(), "{good}");
        }
        for bad in [
            "",
            "+",
            "4915112345678",
            "+049151123",
            "+123456",
            "+1234567890123456",
            "+49 151 1234567",
            "+٤٩١٥١١٢٣٤",
            "+4915#112345",
            "+49151\u{0}12345",
        ] {
            assert_eq!(bad.parse::<PhoneNumber>(), Err(PhoneError::Number), "{bad}");
        }
    }

    #[test]
    fn a_code_has_six_digits() {
        assert!("012345".parse::<Code>().is_ok());
        for bad in ["", "12345", "1234567", "12345a", " 12345", "１２３４５６"] {
            assert_eq!(bad.parse::<Code>(), Err(PhoneError::Code), "{bad}");
        }
    }

    #[test]
    fn x86_neither_number_nor_code_prints() {
        let number: PhoneNumber = "+4915112345678".parse().unwrap();
        let code: Code = "123456".parse().unwrap();
        assert_eq!(format!("{number:?} {code:?}"), "PhoneNumber(..) Code(..)");
    }
}
