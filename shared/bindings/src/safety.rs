//! Comparing keys with another person.

use std::fmt;

use waxwing_client as client;

use crate::error::ClientError;

/// What two people compare to know that nobody stands between them: 60 digits that both read, or a QR code that one
/// shows and the other scans. Its text form has the digits in groups of five.
#[derive(Debug, uniffi::Object)]
#[uniffi::export(Display)]
pub struct SafetyNumber(pub(crate) client::SafetyNumber);

#[uniffi::export]
impl SafetyNumber {
    /// The 60 digits. Both people have the same.
    pub fn digits(&self) -> String {
        self.0.digits().to_owned()
    }

    /// The text of the QR code to show.
    pub fn code(&self) -> String {
        self.0.code()
    }

    /// Compares the text of a QR code that the other person shows.
    pub fn compare_code(&self, scanned: String) -> Result<Comparison, ClientError> {
        let compared = self.0.compare_code(&scanned);
        compared
            .map(Into::into)
            .map_err(|error| ClientError::InvalidCode(error.to_string()))
    }

    /// Compares digits that the other person read out. White space and hyphens between them are left out.
    pub fn compare_digits(&self, typed: String) -> Result<Comparison, ClientError> {
        let compared = self.0.compare_digits(&typed);
        compared
            .map(Into::into)
            .map_err(|error| ClientError::InvalidCode(error.to_string()))
    }
}

impl fmt::Display for SafetyNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a comparison ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Comparison {
    /// Both know each other's true keys.
    Match,
    /// The keys differ: somebody may stand between the two.
    Mismatch,
    /// The code is about other people: of somebody else, for somebody else, or one's own.
    OtherPerson,
    /// The code is of another version. One of the two has to update.
    OtherVersion,
}

impl From<client::Comparison> for Comparison {
    fn from(comparison: client::Comparison) -> Self {
        match comparison {
            client::Comparison::Match => Self::Match,
            client::Comparison::Mismatch => Self::Mismatch,
            client::Comparison::OtherPerson => Self::OtherPerson,
            client::Comparison::OtherVersion => Self::OtherVersion,
        }
    }
}
