//! `cargo waxwing cost`: what the service costs, from use cases that are measured here and now.

mod counting;
mod measuring;
mod telling;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::Serialize;
use waxwing_cost::{
    BookError, Measured, Model, PriceBook, Workload,
    measured::{BudgetError, Excess},
    report::Report,
    what_if::WhatIfError,
    workload::WorkloadError,
};

use self::measuring::{MeasureError, Measurement};
use crate::{
    commands::Outcome,
    console::Console,
    logging,
    service::{self, Options, ServiceError},
};

/// The committed list of use cases, in the checkout that this command was built from.
const BUDGET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cost/budget.toml");

/// What a message costs, what a month costs, and what moves the bill.
///
/// Measures what each use case takes (invocations, units, frames) on a service that runs here for a moment, and
/// prices it for a workload: people, devices, messages, tuning. Ends with exit code 1 if a use case takes more than
/// the committed budget, infra/cost/budget.toml. docs/cost.md explains every figure.
///
/// Examples:
///   cargo waxwing cost --set people=5000 --set tuning.memory_mb=128
///   cargo waxwing cost --workload mine.toml --compare tuning.memory_mb=128,512 --html cost.html
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Args {
    /// Who uses the service and how, as TOML [default: 100,000 people with a phone each]
    #[arg(long, value_name = "FILE")]
    workload: Option<PathBuf>,
    /// Change a field of the workload: people=5000, tuning.memory_mb=128
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Ask what if: the bill with each of these values in turn
    #[arg(long, value_name = "KEY=VALUE[,VALUE]")]
    compare: Vec<String>,
    /// How long a function's invocation takes on Lambda, if you know better than the assumption
    #[arg(long, value_name = "FUNCTION=MS")]
    duration_ms: Vec<String>,
    /// A price list of your own instead of the built-in one of the workload's region
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Take off what is free for ever, every month
    #[arg(long)]
    free_tier: bool,
    /// Take the committed use cases, measure nothing
    #[arg(long, conflicts_with_all = ["accept", "processes", "use_cases"])]
    committed: bool,
    /// Take the use cases of this file, of the budget's shape, and measure nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["accept", "processes"])]
    use_cases: Option<PathBuf>,
    /// Write what was measured as the new budget
    #[arg(long)]
    accept: bool,
    /// Run functions as processes of their own binary, as Lambda does: counts their log lines too
    #[arg(long)]
    processes: bool,
    /// Write the report as a page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the lines of the month's bill as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Print the workload with every field, and nothing else
    #[arg(long, conflicts_with = "json")]
    print_workload: bool,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// Why there is no price.
#[derive(Debug, thiserror::Error)]
pub enum CostError {
    /// A file cannot be read.
    #[error("{} cannot be read: {reason}", file.display())]
    Read {
        /// Which file.
        file: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A file cannot be written.
    #[error("{} cannot be written: {reason}", file.display())]
    Write {
        /// Which file.
        file: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// The workload file makes no sense.
    #[error("{}: {reason}", file.display())]
    WorkloadFile {
        /// Which file.
        file: PathBuf,
        /// Why.
        reason: WorkloadError,
    },
    /// The price list makes no sense.
    #[error("{}: {reason}", file.display())]
    PriceFile {
        /// Which file.
        file: PathBuf,
        /// Why.
        reason: BookError,
    },
    /// A setting makes no sense.
    #[error(transparent)]
    Setting(#[from] WorkloadError),
    /// A question makes no sense.
    #[error(transparent)]
    WhatIf(#[from] WhatIfError),
    /// There are no prices for the region.
    #[error(transparent)]
    Prices(#[from] BookError),
    /// The committed use cases cannot be read.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// The use cases given cannot be read.
    #[error("{}: {reason}", file.display())]
    UseCases {
        /// Which file.
        file: PathBuf,
        /// Why.
        reason: BudgetError,
    },
    /// The service did not start.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Use cases could not be measured.
    #[error("use cases could not be measured: {0}")]
    Measure(#[from] MeasureError),
    /// A list could not be written as TOML.
    #[error("the list cannot be written as TOML: {0}")]
    Toml(#[from] toml::ser::Error),
    /// The bill could not be written as CSV.
    #[error("the bill cannot be written as CSV: {0}")]
    Csv(#[from] csv::Error),
    /// The report could not be printed.
    #[error("the report could not be printed: {0}")]
    Print(#[from] io::Error),
}

/// What is printed for a program.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// Use cases that take more than the budget allows.
    exceeding: &'a [Excess],
    /// What each use case takes.
    measured: &'a Measured,
    /// Mean milliseconds of an invocation on this machine, which are not those of Lambda.
    local_ms: &'a BTreeMap<String, f64>,
}

/// Measures, works out and prints.
///
/// # Errors
/// [`CostError`].
pub async fn run(args: Args, console: &Console) -> Result<Outcome, CostError> {
    logging::begin();
    let workload = workload(&args)?;
    if args.print_workload {
        console.say(workload.to_toml()?.trim_end());
        return Ok(Outcome::Kept);
    }
    let book = book(&args, &workload)?;
    let questions = questions(&args.compare, &workload)?;
    let Measurement { measured, local_ms } = measurement(&args, console).await?;
    let is_new = !args.committed && args.use_cases.is_none();
    if args.accept {
        write(Path::new(BUDGET), &measured.to_toml()?)?;
    }
    let exceeding = match is_new && !args.accept {
        true => measured.exceeding(&Measured::committed()?),
        false => Vec::new(),
    };
    let model = Model {
        book,
        fixed_prices: args.prices.is_some(),
        measured,
        workload,
        free_tier: args.free_tier,
    };
    let report = Report::of(&model, &questions)?;
    if let Some(file) = &args.html {
        write(file, &report.to_html())?;
    }
    if let Some(file) = &args.csv {
        write(file, &report.to_csv()?)?;
    }
    telling::tell(console, &report, &local_ms);
    telling::tell_exceeding(console, &exceeding);
    console.result(&Printed {
        report: &report,
        exceeding: &exceeding,
        measured: &model.measured,
        local_ms: &local_ms,
    })?;
    Ok(Outcome::of(exceeding.is_empty()))
}

async fn measurement(args: &Args, console: &Console) -> Result<Measurement, CostError> {
    let known = if let Some(file) = &args.use_cases {
        let parsed = Measured::parse(&read(file)?);
        Some(parsed.map_err(|reason| CostError::UseCases {
            file: file.clone(),
            reason,
        })?)
    } else if args.committed {
        Some(Measured::committed()?)
    } else {
        None
    };
    if let Some(measured) = known {
        return Ok(Measurement {
            measured,
            local_ms: BTreeMap::new(),
        });
    }
    let runner = service::start(Options::in_memory(args.processes), console).await?;
    let measurement = measuring::measure(&runner, console).await?;
    runner.shutdown().await;
    Ok(measurement)
}

fn workload(args: &Args) -> Result<Workload, CostError> {
    let mut workload = match &args.workload {
        None => Workload::default(),
        Some(file) => Workload::parse(&read(file)?).map_err(|reason| CostError::WorkloadFile {
            file: file.clone(),
            reason,
        })?,
    };
    for setting in &args.settings {
        workload = workload.with(setting)?;
    }
    for duration in &args.duration_ms {
        workload = workload.with(&format!("durations.functions.{duration}"))?;
    }
    Ok(workload)
}

fn book(args: &Args, workload: &Workload) -> Result<PriceBook, CostError> {
    let Some(file) = &args.prices else {
        return Ok(PriceBook::of_region(&workload.region)?);
    };
    PriceBook::parse(&read(file)?).map_err(|reason| CostError::PriceFile {
        file: file.clone(),
        reason,
    })
}

/// One setting for each value: `a=1,2` is `a=1` and `a=2`. Each is tried at once, so that a wrong one does not cost
/// a measurement.
fn questions(compare: &[String], workload: &Workload) -> Result<Vec<String>, CostError> {
    let mut settings = Vec::new();
    for question in compare {
        let (key, values) = question.split_once('=').unwrap_or((question, ""));
        for value in values.split(',') {
            let setting = format!("{key}={value}");
            workload.with(&setting)?;
            settings.push(setting);
        }
    }
    Ok(settings)
}

fn read(file: &Path) -> Result<String, CostError> {
    std::fs::read_to_string(file).map_err(|reason| CostError::Read {
        file: file.to_owned(),
        reason,
    })
}

fn write(file: &Path, text: &str) -> Result<(), CostError> {
    std::fs::write(file, text).map_err(|reason| CostError::Write {
        file: file.to_owned(),
        reason,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_with_several_values_is_one_for_each() {
        let asked = ["people=1,2".to_owned(), "tuning.memory_mb=128".to_owned()];
        let settings = questions(&asked, &Workload::default()).unwrap();
        assert_eq!(settings, ["people=1", "people=2", "tuning.memory_mb=128"]);
        for wrong in ["people", "people=", "peeple=1", "people=1,x"] {
            assert!(
                questions(&[wrong.to_owned()], &Workload::default()).is_err(),
                "{wrong}"
            );
        }
    }
}
