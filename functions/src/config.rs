//! What a function is told by its environment. The backend's part is read by [`waxwing_backend::Config`].

use tracing_subscriber::filter::{LevelFilter, Targets};
use waxwing_backend::config::ConfigError;

use crate::{Function, find};

/// The crates that log at the level asked for.
const OWN_CRATES: [&str; 2] = ["waxwing_backend", "waxwing_functions"];

/// The most that other crates log. Below it the SDK would log the requests it makes.
const MOST_OF_OTHERS: LevelFilter = LevelFilter::WARN;

/// Functions that deal with phone numbers, and with the PINs that protect them.
const WITH_PHONE_NUMBERS: [&str; 4] = ["challenge", "confirm", "register", "lock"];

/// The function that sends codes.
const WITH_SMS: &str = "challenge";

/// Everything one process is told.
#[derive(Debug)]
pub struct Environment {
    /// `_HANDLER`: which function this process runs.
    pub function: &'static Function,
    /// `LOG_LEVEL`: `error`, `warn`, `info` or `debug`.
    pub log_level: LevelFilter,
    /// `METRICS`: whether each invocation writes a metric.
    pub metrics: bool,
    /// What the service is told.
    pub backend: waxwing_backend::Config,
}

/// Why the environment was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// `_HANDLER` names no function.
    #[error("_HANDLER names no function: {0:?}")]
    Handler(String),
    /// `LOG_LEVEL` is no level.
    #[error("LOG_LEVEL is not error, warn, info or debug: {0:?}")]
    LogLevel(String),
    /// `METRICS` is neither on nor off.
    #[error("METRICS is neither on nor off: {0:?}")]
    Metrics(String),
    /// A variable of the backend is missing or wrong.
    #[error(transparent)]
    Backend(#[from] ConfigError),
}

impl Environment {
    /// Reads the process's environment.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of_process() -> Result<Self, EnvironmentError> {
        #[allow(
            clippy::disallowed_methods,
            reason = "this module is where the environment is read"
        )]
        Self::read(|name| std::env::var(name).ok())
    }

    /// Reads the variables through `lookup`.
    ///
    /// # Errors
    /// [`EnvironmentError`] says which variable is missing or wrong.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let handler = lookup("_HANDLER").unwrap_or_default();
        let level = lookup("LOG_LEVEL").unwrap_or_default();
        let log_level = match level.as_str() {
            "error" => LevelFilter::ERROR,
            "warn" => LevelFilter::WARN,
            "info" => LevelFilter::INFO,
            "debug" => LevelFilter::DEBUG,
            _ => return Err(EnvironmentError::LogLevel(level)),
        };
        let metrics = match lookup("METRICS").unwrap_or_default() {
            metrics if metrics == "on" => true,
            metrics if metrics == "off" || metrics.is_empty() => false,
            metrics => return Err(EnvironmentError::Metrics(metrics)),
        };
        let function = find(&handler).ok_or(EnvironmentError::Handler(handler))?;
        let backend = waxwing_backend::Config::read(lookup)?;
        if WITH_PHONE_NUMBERS.contains(&function.name) && backend.phone_hash_key.is_none() {
            return Err(ConfigError::Missing("PHONE_HASH_KEY").into());
        }
        if function.name == WITH_SMS && backend.sms_daily_ceiling.is_none() {
            return Err(ConfigError::Missing("SMS_DAILY_CEILING").into());
        }
        Ok(Self {
            function,
            log_level,
            metrics,
            backend,
        })
    }

    /// What is logged: this project's crates at the level asked for, others no lower than warnings.
    pub fn log_filter(&self) -> Targets {
        let own = OWN_CRATES.map(|name| (name, self.log_level));
        let others = self.log_level.min(MOST_OF_OTHERS);
        Targets::new().with_targets(own).with_default(others)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::LevelFilter;

    use super::*;

    fn read(handler: &str, level: &str) -> Result<Environment, EnvironmentError> {
        Environment::read(|name| {
            let value = match name {
                "_HANDLER" => handler,
                "LOG_LEVEL" => level,
                "CONNECTIONS_ENDPOINT" => "https://api.example/prod",
                "REQUESTS_PER_MINUTE" => "500",
                "METRICS" => "off",
                "AWS_ENDPOINT_URL" | "AWS_SESSION_TOKEN" | "PHONE_HASH_KEY" | "SMS_DAILY_CEILING" => {
                    return None;
                }
                _ => "set",
            };
            Some(value.to_owned())
        })
    }

    #[test]
    fn the_handler_picks_the_function() {
        assert_eq!(read("ack", "warn").unwrap().function.name, "ack");
        let error = read("acknowledge", "warn").unwrap_err();
        assert_eq!(error, EnvironmentError::Handler("acknowledge".into()));
    }

    #[test]
    fn a_function_without_what_it_needs_does_not_start() {
        for handler in WITH_PHONE_NUMBERS {
            let error = read(handler, "warn").unwrap_err();
            assert_eq!(error, ConfigError::Missing("PHONE_HASH_KEY").into(), "{handler}");
        }
    }

    #[test]
    fn an_unknown_level_is_refused() {
        assert_eq!(
            read("ack", "loud").unwrap_err(),
            EnvironmentError::LogLevel("loud".into())
        );
    }

    #[test]
    fn x86_other_crates_never_log_their_details() {
        let filter = read("send", "debug").unwrap().log_filter();
        let default = filter.default_level();
        assert_eq!(default, Some(LevelFilter::WARN));
        let filter = read("send", "error").unwrap().log_filter();
        assert_eq!(filter.default_level(), Some(LevelFilter::ERROR));
    }
}
