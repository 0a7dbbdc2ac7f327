//! What if: the same workload with something changed, and which change moves the bill most.

use serde::Serialize;

use crate::{
    measured::Measured,
    message::{Headline, PerMillion},
    prices::{BookError, PriceBook},
    statement::statement,
    workload::{Workload, WorkloadError},
};

/// Settings that a sensitivity looks at: the two values each field takes, as far from each other as one may well
/// be mistaken, or as one can choose. A number is halved and doubled.
const CHANGES: [(&str, Change); 20] = [
    ("messages_a_day", Change::HalfAndDouble),
    ("devices_each", Change::Between("1", "2")),
    ("online_share", Change::Between("0.2", "0.8")),
    ("ciphertext_bytes", Change::Between("200", "1500")),
    ("foreground_minutes", Change::HalfAndDouble),
    ("sessions_a_day", Change::HalfAndDouble),
    ("new_conversations_a_month", Change::HalfAndDouble),
    ("new_people_share", Change::HalfAndDouble),
    ("waiting_hours", Change::HalfAndDouble),
    ("groups.share", Change::Between("0", "0.3")),
    ("media.items_a_day", Change::Between("0", "2")),
    ("tuning.memory_mb", Change::Between("128", "512")),
    ("tuning.architecture", Change::Between("arm64", "x86_64")),
    ("tuning.windowed", Change::Between("true", "false")),
    ("tuning.acks_per_frame", Change::Between("50", "1")),
    ("tuning.tables", Change::Between("provisioned", "on_demand")),
    ("tuning.heartbeat_seconds", Change::Between("0", "30")),
    ("tuning.background_connections", Change::Between("false", "true")),
    ("durations.table_call_ms", Change::HalfAndDouble),
    ("durations.cold_share", Change::HalfAndDouble),
];

/// How a field is changed.
#[derive(Clone, Copy)]
enum Change {
    HalfAndDouble,
    Between(&'static str, &'static str),
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// The setting is none.
    #[error(transparent)]
    Workload(#[from] WorkloadError),
    /// The changed workload is in a region without prices.
    #[error(transparent)]
    Prices(#[from] BookError),
}

/// The bill with one field changed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Alternative {
    /// The change, as KEY=VALUE.
    pub setting: String,
    /// Dollars a month.
    pub total: f64,
    /// Dollars a month more than unchanged; negative if less.
    pub difference: f64,
    /// Dollars for a million messages, everything included.
    pub per_million_messages: f64,
    /// A million of each use case.
    pub per_million: Headline,
}

/// How far a field moves the bill.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sensitivity {
    /// The field.
    pub field: &'static str,
    /// The cheaper of its two values, and dollars a month more than now with it: negative if less.
    pub low: (String, f64),
    /// The dearer one.
    pub high: (String, f64),
}

impl Sensitivity {
    /// Dollars between the two.
    pub fn span(&self) -> f64 {
        self.high.1 - self.low.1
    }
}

/// Everything a bill is made of.
#[derive(Clone, Debug)]
pub struct Model {
    /// Prices; those of the workload's region.
    pub book: PriceBook,
    /// Whether prices stay when a question changes the region: they were given by hand.
    pub fixed_prices: bool,
    /// Use cases.
    pub measured: Measured,
    /// People and tuning.
    pub workload: Workload,
    /// Whether what is free for ever is taken off.
    pub free_tier: bool,
}

impl Model {
    /// A million of each use case.
    pub fn headline(&self) -> Headline {
        self.per_million().headline()
    }

    /// Prices, use cases and tuning together.
    pub fn per_million(&self) -> PerMillion<'_> {
        PerMillion {
            book: &self.book,
            measured: &self.measured,
            tuning: &self.workload.tuning,
            durations: &self.workload.durations,
        }
    }

    /// The bill with `setting` (KEY=VALUE).
    ///
    /// # Errors
    /// [`WhatIfError`].
    pub fn what_if(&self, setting: &str) -> Result<Alternative, WhatIfError> {
        let changed = self.with(setting)?;
        let statement = changed.statement();
        Ok(Alternative {
            setting: setting.to_owned(),
            total: statement.total,
            difference: statement.total - self.statement().total,
            per_million_messages: statement.per_million_messages,
            per_million: changed.headline(),
        })
    }

    /// The same with `setting` (KEY=VALUE).
    ///
    /// # Errors
    /// [`WhatIfError`].
    pub fn with(&self, setting: &str) -> Result<Self, WhatIfError> {
        let workload = self.workload.with(setting)?;
        let moved = workload.region != self.workload.region && !self.fixed_prices;
        let book = if moved {
            PriceBook::of_region(&workload.region)?
        } else {
            self.book.clone()
        };
        Ok(Self {
            book,
            workload,
            ..self.clone()
        })
    }

    /// The month's bill.
    pub fn statement(&self) -> crate::Statement {
        statement(&self.book, &self.measured, &self.workload, self.free_tier)
    }

    /// How far each field moves the bill, the farthest first.
    ///
    /// # Errors
    /// [`WhatIfError`]; none of the built-in questions has one, and a test says so.
    pub fn sensitivity(&self) -> Result<Vec<Sensitivity>, WhatIfError> {
        let now = self.statement().total;
        let mut all = Vec::with_capacity(CHANGES.len());
        for (field, change) in CHANGES {
            let values = match change {
                Change::Between(one, other) => [one.to_owned(), other.to_owned()],
                Change::HalfAndDouble => {
                    let value = self.workload.number(field).unwrap_or_default();
                    [value / 2.0, value * 2.0].map(|value| value.to_string())
                }
            };
            let [one, other] = values.map(|value| {
                let total = self
                    .with(&format!("{field}={value}"))
                    .map(|model| model.statement().total);
                total.map(|total| (value, total - now))
            });
            let (one, other) = (one?, other?);
            let (low, high) = if one.1 <= other.1 {
                (one, other)
            } else {
                (other, one)
            };
            all.push(Sensitivity { field, low, high });
        }
        all.sort_by(|a, b| b.span().total_cmp(&a.span()));
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model;

    #[test]
    fn every_question_of_the_sensitivity_has_an_answer_and_the_largest_comes_first() {
        let all = model().sensitivity().unwrap();
        assert_eq!(all.len(), CHANGES.len());
        assert!(all.is_sorted_by(|a, b| a.span() >= b.span()));
        let messages = all.iter().find(|one| one.field == "messages_a_day").unwrap();
        assert!(messages.low.1 < 0.0 && messages.high.1 > 0.0, "{messages:?}");
    }

    #[test]
    fn a_question_changes_the_bill_by_what_it_says() {
        let model = model();
        let less = model.what_if("tuning.memory_mb=128").unwrap();
        assert!(less.difference < 0.0);
        assert!((less.total - less.difference - model.statement().total).abs() < 1e-9);
        assert!(model.what_if("tuning.memory=1").is_err());
    }

    #[test]
    fn another_region_brings_its_own_prices_unless_prices_were_given_by_hand() {
        let mut model = model();
        assert!(model.what_if("region=eu-west-1").unwrap().difference > 0.0);
        assert!(matches!(
            model.what_if("region=mars-1"),
            Err(WhatIfError::Prices(_))
        ));
        model.fixed_prices = true;
        assert_eq!(model.what_if("region=mars-1").unwrap().difference, 0.0);
    }
}
