//! Diagnostics: `tracing` events on standard error, and into a search where a command wants one. The only
//! place that reads the environment.

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, Layer, fmt::MakeWriter, layer::SubscriberExt, util::SubscriberInitExt};

/// The variable with the filter for standard error.
const FILTER_VARIABLE: &str = "WAXWING_LOG";

/// What is shown without the variable: only what somebody should look at.
const DEFAULT_FILTER: &str = "warn";

/// What a search is given, whatever is shown: all that Waxwing's own crates would write at a level that
/// people turn on.
const SEARCHED: &str = "waxwing=debug,waxwing_backend=debug,waxwing_cli=debug,waxwing_client=debug,\
                        waxwing_functions=debug,waxwing_local=debug,waxwing_protocol=debug";

/// Begins to write events to standard error. A second call changes nothing.
pub fn begin() {
    // Already begun: a test runs several commands in one process.
    let _ = tracing_subscriber::registry()
        .with(to_standard_error())
        .try_init();
}

/// As [`begin`], for a command that fills the screen: lines in between would spoil it. So events are written only where
/// standard error goes elsewhere.
pub fn begin_beside_a_screen() {
    if !std::io::stderr().is_terminal() {
        begin();
    }
}

/// As [`begin`], and every event of Waxwing's own crates goes to `writer` too, line by line.
pub fn begin_with<W>(writer: W)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let searched = tracing_subscriber::fmt::layer()
        .json()
        .with_writer(writer)
        .with_filter(EnvFilter::new(SEARCHED));
    let _ = tracing_subscriber::registry()
        .with(to_standard_error())
        .with(searched)
        .try_init();
}

fn to_standard_error<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    let filter = EnvFilter::builder()
        .with_env_var(FILTER_VARIABLE)
        .try_from_env()
        .unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_filter(filter)
}
