//! Everything there is to say about a workload's price, for a program (JSON by serde), as CSV, as a page.

mod csv;
mod html;
mod plot;

use serde::Serialize;

use crate::{
    message::{BAR_IMMEDIATE, BAR_WINDOWED, Dollars, Headline, Parts, Step},
    prices::Architecture,
    statement::Statement,
    what_if::{Alternative, Model, Sensitivity, WhatIfError},
    workload::Workload,
};

/// What everything costs.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The region of the prices.
    pub region: String,
    /// The day of the price list.
    pub prices_of: String,
    /// What the prices hold and leave out.
    pub prices_note: String,
    /// Prices that were compared with nothing public.
    pub prices_unchecked: Vec<String>,
    /// The processor.
    pub architecture: Architecture,
    /// Whether what is free for ever is taken off the month's bill.
    pub free_tier: bool,
    /// A million of each use case at list price: first tier, nothing free, no data transfer.
    pub per_million: Headline,
    /// What the two kinds of online message may cost, and whether they do.
    pub bar: Bar,
    /// From the floor to the price of an online message. The steps add up.
    pub steps: Vec<Step>,
    /// Messages that share a `send` frame today when many are handed over at once.
    pub messages_per_frame_today: f64,
    /// A million of each measured use case, by kind of use.
    pub use_cases: Vec<UseCase>,
    /// Data transfer to the internet of a million online messages, *accepted* at once.
    pub transfer_per_million_online: f64,
    /// The month's bill.
    pub month: Statement,
    /// The same with one thing changed.
    pub compare: Vec<Alternative>,
    /// What moves the bill most, the farthest first.
    pub sensitivity: Vec<Sensitivity>,
    /// Who uses the service and how.
    pub workload: Workload,
}

/// The bar for online messages, in dollars for a million.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// At most, *accepted* at once.
    pub online_immediate: f64,
    /// At most, in windowed mode.
    pub online_windowed: f64,
    /// Whether the first holds.
    pub immediate_met: bool,
    /// Whether the second holds.
    pub windowed_met: bool,
}

/// A million of a measured use case.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UseCase {
    /// Its name in the budget.
    pub name: &'static str,
    /// Dollars for a million.
    pub total: f64,
    /// By kind of use.
    #[serde(flatten)]
    pub dollars: Dollars,
}

impl Report {
    /// Works everything out, with an alternative for each of `settings` (KEY=VALUE).
    ///
    /// # Errors
    /// [`WhatIfError`] if a setting is none.
    pub fn of(model: &Model, settings: &[String]) -> Result<Self, WhatIfError> {
        let per_million = model.per_million();
        let (book, tuning) = (&model.book, &model.workload.tuning);
        let headline = per_million.headline();
        let use_cases = model.measured.use_cases().into_iter().map(|(name, usage)| {
            let dollars = per_million.dollars(usage);
            UseCase {
                name,
                total: dollars.total(),
                dollars,
            }
        });
        let unchecked = book.prices().into_iter().filter(|price| price.checked.is_none());
        let parts = Parts::of(&model.measured);
        let online = (&parts.message(1.0) + &parts.ack(tuning.acks_per_frame)).total();
        let bytes = online.reply_bytes + online.post_bytes;
        let compare = settings.iter().map(|setting| model.what_if(setting));
        Ok(Self {
            region: book.region.clone(),
            prices_of: book.date.clone(),
            prices_note: book.note.clone(),
            prices_unchecked: unchecked.map(|price| price.unit.clone()).collect(),
            architecture: tuning.architecture,
            free_tier: model.free_tier,
            per_million: headline,
            bar: Bar {
                online_immediate: BAR_IMMEDIATE,
                online_windowed: BAR_WINDOWED,
                immediate_met: headline.online_immediate <= BAR_IMMEDIATE,
                windowed_met: headline.online_windowed <= BAR_WINDOWED,
            },
            steps: per_million.steps(),
            messages_per_frame_today: parts.messages_per_frame,
            use_cases: use_cases.collect(),
            transfer_per_million_online: bytes / BYTES_PER_GB * book.transfer.out.per_million(),
            month: model.statement(),
            compare: compare.collect::<Result<_, _>>()?,
            sensitivity: model.sensitivity()?,
            workload: model.workload.clone(),
        })
    }
}

/// Bytes of a GB, as AWS counts it.
const BYTES_PER_GB: f64 = 1024.0 * 1024.0 * 1024.0;
