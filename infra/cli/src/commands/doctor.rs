//! `cargo waxwing doctor`: proves a deployment, or the local runner, by using it as two phones would.
//!
//! Each check is one promise of the service. One that fails names what is wrong and what to do about it; those that
//! need it are not tried. It knows no more than a client knows, and on this machine what a look into the tables
//! tells.

mod checks;
mod codes;
mod finding;
mod patient;
mod probe;

use std::time::Duration;

use waxwing_client::{Endpoints, PhoneNumber};

use crate::{
    commands::{Outcome, local::DEFAULT_PORT},
    console::Console,
    logging,
    service::AUDIENCE,
};

pub use finding::{Check, Examination, Finding, State};

/// Seconds that one step may take: a cold start, a slow network and a retry of the client fit in.
const DEFAULT_PATIENCE: u64 = 20;

/// Prove that a deployment works: two throw-away devices register and send each other encrypted messages.
///
/// Checks addresses, refusals, registration by phone, delivery online and offline, expiry and deletion; says what is
/// wrong and what to do. Against a local runner it reads the codes from the runner's outbox. Against a deployment it
/// needs two phone numbers for tests and asks for the codes that come.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The WebSocket URL [default: that of `cargo waxwing local`]
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// The HTTP URL [default: the WebSocket URL with http in place of ws]
    #[arg(long, value_name = "URL")]
    http_endpoint: Option<String>,
    /// What tokens name as their audience: the template's TokenAudience
    #[arg(long, value_name = "TEXT", default_value = AUDIENCE)]
    audience: String,
    /// A phone number for tests, in the form +14155550100; to be given twice, except for a local runner
    #[arg(long, value_name = "NUMBER")]
    phone: Vec<PhoneNumber>,
    /// Replace the accounts that these numbers have. Whoever uses them loses their devices
    #[arg(long, requires = "phone")]
    take_over: bool,
    /// Seconds that one step may take
    #[arg(long, value_name = "N", default_value_t = DEFAULT_PATIENCE, value_parser = clap::value_parser!(u64).range(1..=600))]
    patience: u64,
    /// Print one JSON object, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// What to examine, and how.
#[derive(Debug)]
pub struct Order {
    /// Where the service is.
    pub endpoints: Endpoints,
    /// Two numbers; none if the service is a local runner.
    pub phones: Vec<PhoneNumber>,
    /// Whether accounts of these numbers may be replaced.
    pub take_over: bool,
    /// How long one step may take.
    pub patience: Duration,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// One number, or three.
    #[error("give --phone twice: two devices talk to each other")]
    Phones,
    /// The report could not be printed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Examines a service and reports.
///
/// # Errors
/// [`DoctorError`]. What is wrong with the service is in the report.
pub async fn run(args: Args, console: &Console) -> Result<Outcome, DoctorError> {
    logging::begin();
    if ![0, 2].contains(&args.phone.len()) {
        return Err(DoctorError::Phones);
    }
    let order = Order {
        endpoints: endpoints(&args),
        phones: args.phone,
        take_over: args.take_over,
        patience: Duration::from_secs(args.patience),
    };
    let examination = examine(&order, console).await;
    console.result(&examination)?;
    Ok(Outcome::of(examination.healthy))
}

/// Examines a service. Prints each finding as it is made.
pub async fn examine(order: &Order, console: &Console) -> Examination {
    console.say(format_args!("Examining {}\n", order.endpoints.websocket_url));
    let findings = checks::all(order, console).await;
    let examination = Examination::new(order.endpoints.websocket_url.clone(), findings);
    console.say(format_args!("\n{}", examination.summary()));
    examination
}

fn endpoints(args: &Args) -> Endpoints {
    let websocket_url = match &args.endpoint {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("ws://127.0.0.1:{DEFAULT_PORT}/prod"),
    };
    let http_url = match &args.http_endpoint {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => websocket_url.replacen("ws", "http", 1),
    };
    Endpoints {
        websocket_url,
        http_url,
        audience: args.audience.clone(),
    }
}
