//! A history that one own device gives to another, as the other languages have it.

use waxwing_client::{self as client, HistoryId};

/// Which messages a new device gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum HistoryChoice {
    /// All of them.
    All,
    /// Those that were sent in the last days.
    Days {
        /// So many.
        days: u32,
    },
}

impl From<HistoryChoice> for client::HistoryChoice {
    fn from(choice: HistoryChoice) -> Self {
        match choice {
            HistoryChoice::All => Self::All,
            HistoryChoice::Days { days } => Self::Days(days),
        }
    }
}

/// Where a history stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum HistoryStage {
    /// It waits for the answer of the device that it was offered to.
    Offered,
    /// It is being taken.
    UnderWay,
    /// All of it was taken.
    Complete,
    /// It was declined, or ended before its time.
    Ended,
}

/// How a history ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum HistoryEnd {
    /// All of it was taken.
    Complete,
    /// The other device declined it or stopped. What was taken stays.
    Stopped,
    /// The other device is not in the account any more. What was taken stays.
    DeviceGone,
    /// This device could not read what the other one gives: one of the two runs a newer version. What was taken stays.
    Unreadable,
}

impl From<client::HistoryEnd> for HistoryEnd {
    fn from(end: client::HistoryEnd) -> Self {
        match end {
            client::HistoryEnd::Complete => Self::Complete,
            client::HistoryEnd::DeviceGone => Self::DeviceGone,
            client::HistoryEnd::Unreadable => Self::Unreadable,
            client::HistoryEnd::Stopped | _ => Self::Stopped,
        }
    }
}

/// How far a history has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct HistoryState {
    /// Which.
    pub history: HistoryId,
    /// The other device, 1 to 127.
    pub device: u8,
    /// Whether this device gives it.
    pub giving: bool,
    /// Where it stands.
    pub stage: HistoryStage,
    /// How many messages the other device, or this one, has stored.
    pub done: u64,
    /// Of how many.
    pub total: u64,
}

impl From<client::HistoryState> for HistoryState {
    fn from(state: client::HistoryState) -> Self {
        Self {
            history: state.history,
            device: state.device.get(),
            giving: state.giving,
            stage: match state.stage {
                client::HistoryStage::Offered => HistoryStage::Offered,
                client::HistoryStage::UnderWay => HistoryStage::UnderWay,
                client::HistoryStage::Complete => HistoryStage::Complete,
                client::HistoryStage::Ended | _ => HistoryStage::Ended,
            },
            done: state.done,
            total: state.of,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_history_is_read_as_it_is_written() {
        let name = "000102030405060708090a0b0c0d0e0f";
        let history: HistoryId = name.parse().unwrap();
        assert_eq!(history.to_string(), name);
        for wrong in [
            "",
            "+00102030405060708090a0b0c0d0e0f",
            &name[1..],
            "g00102030405060708090a0b0c0d0e0f",
        ] {
            assert!(wrong.parse::<HistoryId>().is_err(), "{wrong}");
        }
    }
}
