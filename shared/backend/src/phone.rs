//! Phone numbers that may get a code.
//!
//! A number is parsed by the rules of its country and kept in one form, so that one phone has one name however
//! its number is written. Only numbers of mobile phones are taken: a code to a premium, shared-cost or personal
//! number pays whoever rents it.

use std::fmt;

use phonenumber::{Mode, Type, metadata::DATABASE};
use waxwing_wire::{ErrorCode, Problem, phone::PhoneNumber};

/// Digits at the end of a number that its block leaves out: ten thousand numbers, the smallest block that
/// regulators usually give to a network.
const DIGITS_OF_A_BLOCK: usize = 4;

/// No mobile phone has this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("This is not the number of a mobile phone. Write it with its country code.")]
pub struct InvalidPhone;

impl From<InvalidPhone> for Problem {
    fn from(error: InvalidPhone) -> Self {
        Self::new(ErrorCode::InvalidPhone, error.to_string())
    }
}

/// The number of a mobile phone, in the one form of E.164 that it has.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Number(String);

impl Number {
    /// Checks a number by its country's rules.
    pub(crate) fn parse(number: &PhoneNumber) -> Result<Self, InvalidPhone> {
        let parsed = phonenumber::parse(None, number.as_str()).map_err(|_| InvalidPhone)?;
        let is_mobile = matches!(
            parsed.number_type(&DATABASE),
            Type::Mobile | Type::FixedLineOrMobile
        );
        if is_mobile && parsed.is_valid() {
            Ok(Self(parsed.format().mode(Mode::E164).to_string()))
        } else {
            Err(InvalidPhone)
        }
    }

    /// A plus sign and digits.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The block the number is in: without its last digits.
    pub(crate) fn prefix(&self) -> &str {
        let length = self.0.len().saturating_sub(DIGITS_OF_A_BLOCK);
        self.0.get(..length).unwrap_or_default()
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Number, InvalidPhone> {
        Number::parse(&text.parse().unwrap())
    }

    #[test]
    fn mobile_numbers_of_many_countries_are_taken_as_they_are() {
        let good = [
            "+491713920001",
            "+12025550143",
            "+447400123456",
            "+33612345678",
            "+819012345678",
            "+5511961234567",
            "+919876543210",
            "+2348021234567",
        ];
        for text in good {
            assert_eq!(parse(text).map(|number| number.0), Ok(text.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_number_written_with_its_trunk_prefix_is_the_same_number() {
        assert_eq!(parse("+4901713920001"), parse("+491713920001"));
    }

    /// X61: codes to numbers that pay their owner are how a service is milked.
    #[test]
    fn x61_numbers_that_no_mobile_phone_has_are_refused() {
        let bad = [
            ("+499001234567", "premium rate, Germany"),
            ("+491801234567", "shared cost, Germany"),
            ("+498001234567", "toll-free, Germany"),
            ("+447012345678", "personal, United Kingdom"),
            ("+19002345678", "premium rate, United States"),
            ("+88213123456", "satellite"),
            ("+9991234567", "no country"),
            ("+49171", "too short"),
            ("+12021", "too short"),
        ];
        for (text, what) in bad {
            let refused = text.parse::<PhoneNumber>().is_err() || parse(text) == Err(InvalidPhone);
            assert!(refused, "{what}");
        }
    }

    #[test]
    fn x61_adjacent_numbers_are_in_one_block() {
        let prefix = |text| parse(text).unwrap().prefix().to_owned();
        assert_eq!(prefix("+491713920001"), "+49171392");
        assert_eq!(prefix("+491713920001"), prefix("+491713929999"));
        assert_ne!(prefix("+491713920001"), prefix("+491713930001"));
    }

    #[test]
    fn x86_a_number_does_not_print() {
        assert_eq!(format!("{:?}", parse("+491713920001")), "Ok(Number(..))");
    }
}
