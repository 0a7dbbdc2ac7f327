//! What each use case takes, as the runner's meter counted it, and the budget that it is held to.
//!
//! `budget.toml` in this crate is the committed list. A test of the `waxwing` command measures anew and
//! [compares](Measured::exceeding): a change that makes a use case dearer fails it, and says by how much.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::usage::Usage;

/// The committed list.
const COMMITTED: &str = include_str!("../budget.toml");

/// The first lines of the committed list.
const PREFACE: &str = "\
# What each use case takes, by function, as the local runner's meter counts it. Whole numbers: one use case, once.
# A test measures anew and fails when anything here is exceeded. To accept other figures, and to see them in review:
#   cargo waxwing cost --accept
# Bytes are of short texts; a use case's bytes may vary a little with the length of numbers in JSON.

";

/// By so much may bytes differ before that counts: ids and numbers in JSON differ in length.
const BYTES_TOLERANCE: f64 = 1.03;

/// Figures are sums of halves (a read unit) and whole numbers; f64 has them exactly, means nearly.
const TINY: f64 = 1e-6;

/// What each use case takes, once. Use cases are measured one at a time, with warm functions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// Bytes of the ciphertext of the text that was sent.
    pub ciphertext_bytes: f64,
    /// Memory of each function in the template, in MB.
    pub memory_mb: BTreeMap<String, u32>,
    /// A message to a person with one device, which is connected: put, looked up, posted, accepted. No ack.
    pub message_to_1_device: Usage,
    /// The same to a person with three devices, all connected.
    pub message_to_3_devices: Usage,
    /// Ten messages handed over at once to a connected device.
    pub burst_of_10: Usage,
    /// A message to a device that is away and is alerted for it.
    pub first_message_to_away_device: Usage,
    /// A message to a device that is away and was alerted before.
    pub next_message_to_away_device: Usage,
    /// An ack that names one envelope.
    pub ack_of_1: Usage,
    /// An ack that names ten.
    pub ack_of_10: Usage,
    /// Asking an empty mailbox for its envelopes, as after each connect.
    pub receive_nothing: Usage,
    /// Asking a mailbox with ten short texts.
    pub receive_10: Usage,
    /// Opening a connection: token and record. Without the `receive` that follows.
    pub connect: Usage,
    /// The end of a connection, with an empty mailbox.
    pub disconnect: Usage,
    /// The bundle of a person with one device.
    pub claim: Usage,
    /// A new account with its first device and 100 one-time prekeys: the code, its confirmation, the registration.
    pub register: Usage,
    /// A further device of an account: the offer and the answer. Without the asking of the new device, which takes as
    /// often as the person takes long.
    pub link: Usage,
    /// Publishing a signed prekey.
    pub upload: Usage,
    /// The list of an account's devices.
    pub fetch: Usage,
    /// Something said for now alone (typing, presence) to a person with one device, which is connected.
    pub ephemeral: Usage,
}

/// Why a list of measured use cases was refused.
#[derive(Debug, thiserror::Error)]
#[error("this is not a list of measured use cases:\n{0}write one with: cargo waxwing cost --accept")]
pub struct BudgetError(#[from] toml::de::Error);

/// A figure that is higher than the budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Excess {
    /// Which use case.
    pub use_case: &'static str,
    /// Which function.
    pub function: String,
    /// Which figure.
    pub figure: &'static str,
    /// What the budget allows.
    pub budget: f64,
    /// What was measured.
    pub measured: f64,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = self.measured - self.budget;
        write!(
            f,
            "{} takes {} {} of function {}, {more} more than the budget's {}",
            self.use_case,
            self.measured,
            self.figure.replace('_', " "),
            self.function,
            self.budget
        )
    }
}

impl Measured {
    /// The committed list.
    ///
    /// # Errors
    /// [`BudgetError`] if the file was damaged; a test says that it is not.
    pub fn committed() -> Result<Self, BudgetError> {
        Self::parse(COMMITTED)
    }

    /// Reads a list.
    ///
    /// # Errors
    /// [`BudgetError`].
    pub fn parse(text: &str) -> Result<Self, BudgetError> {
        Ok(toml::from_str(text)?)
    }

    /// The list as a file.
    ///
    /// # Errors
    /// If it does not serialise.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        Ok(PREFACE.to_owned() + &toml::to_string(self)?)
    }

    /// Every use case with its name, in the order of the fields.
    pub fn use_cases(&self) -> [(&'static str, &Usage); 17] {
        [
            ("message_to_1_device", &self.message_to_1_device),
            ("message_to_3_devices", &self.message_to_3_devices),
            ("burst_of_10", &self.burst_of_10),
            ("first_message_to_away_device", &self.first_message_to_away_device),
            ("next_message_to_away_device", &self.next_message_to_away_device),
            ("ack_of_1", &self.ack_of_1),
            ("ack_of_10", &self.ack_of_10),
            ("receive_nothing", &self.receive_nothing),
            ("receive_10", &self.receive_10),
            ("connect", &self.connect),
            ("disconnect", &self.disconnect),
            ("claim", &self.claim),
            ("register", &self.register),
            ("link", &self.link),
            ("upload", &self.upload),
            ("fetch", &self.fetch),
            ("ephemeral", &self.ephemeral),
        ]
    }

    /// Every figure that is higher here than in `budget`. Memory is a figure as well.
    pub fn exceeding(&self, budget: &Self) -> Vec<Excess> {
        let mut excesses = Vec::new();
        for ((use_case, now), (_, allowed)) in self.use_cases().into_iter().zip(budget.use_cases()) {
            for (function, usage) in &now.functions {
                let allowed = allowed.functions.get(function).copied().unwrap_or_default();
                for ((figure, measured), (_, budget)) in usage.figures().into_iter().zip(allowed.figures()) {
                    let is_bytes = figure.ends_with("bytes");
                    let tolerance = if is_bytes { BYTES_TOLERANCE } else { 1.0 };
                    if measured > budget * tolerance + TINY {
                        let function = function.clone();
                        excesses.push(Excess {
                            use_case,
                            function,
                            figure,
                            budget,
                            measured,
                        });
                    }
                }
            }
        }
        for (function, memory) in &self.memory_mb {
            let budget = budget.memory_mb.get(function).copied().unwrap_or_default();
            if *memory > budget {
                excesses.push(Excess {
                    use_case: "every use case",
                    function: function.clone(),
                    figure: "MB",
                    budget: budget.into(),
                    measured: (*memory).into(),
                });
            }
        }
        excesses
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_list_survives_being_written() {
        let committed = Measured::committed().unwrap();
        let written = committed.to_toml().unwrap();
        assert_eq!(Measured::parse(&written).unwrap(), committed);
        assert_eq!(
            written, COMMITTED,
            "write the file with: cargo waxwing cost --accept"
        );
    }

    #[test]
    fn a_use_case_that_got_dearer_is_named_with_what_it_takes_more() {
        let budget = Measured::committed().unwrap();
        assert_eq!(budget.exceeding(&budget), []);
        let mut now = budget.clone();
        let send = now.message_to_1_device.functions.get_mut("send").unwrap();
        send.write_units += 1.0;
        send.invocations -= 0.5;
        let excesses = now.exceeding(&budget);
        assert_eq!(excesses.len(), 1, "{excesses:?}");
        let said = excesses[0].to_string();
        assert!(
            said.contains("message_to_1_device") && said.contains("write units") && said.contains("1 more"),
            "{said}"
        );
    }

    #[test]
    fn a_function_that_the_budget_does_not_know_and_more_memory_exceed_it() {
        let budget = Measured::committed().unwrap();
        let mut now = budget.clone();
        let usage = now.ack_of_1.functions["ack"];
        now.ack_of_1.functions.insert("bystander".into(), usage);
        *now.memory_mb.get_mut("send").unwrap() += 1;
        let excesses = now.exceeding(&budget);
        assert!(excesses.iter().any(|excess| excess.function == "bystander"));
        assert!(excesses.iter().any(|excess| excess.figure == "MB"));
    }

    #[test]
    fn a_few_bytes_more_are_no_excess_and_many_are() {
        let budget = Measured::committed().unwrap();
        let mut now = budget.clone();
        now.claim.functions.get_mut("claim").unwrap().reply_bytes *= 1.02;
        assert_eq!(now.exceeding(&budget), []);
        now.claim.functions.get_mut("claim").unwrap().reply_bytes *= 1.1;
        assert_eq!(now.exceeding(&budget).len(), 1);
    }

    #[test]
    fn every_use_case_of_the_file_is_looked_at() {
        let committed = Measured::committed().unwrap();
        let fields = serde_json::to_value(&committed).unwrap();
        let fields = fields.as_object().unwrap();
        // The two that are no use cases: ciphertext_bytes, memory_mb.
        assert_eq!(fields.len() - 2, committed.use_cases().len());
        for (name, usage) in committed.use_cases() {
            assert_eq!(serde_json::to_value(usage).unwrap(), fields[name], "{name}");
        }
    }
}
