//! The log of a program that stays: flags, filter, standard error.
#![cfg(feature = "flags")]

use std::io::{self, Write};

use serde_json::{Map, Value};
use tracing_subscriber::{EnvFilter, Layer, filter::ParseError, layer::SubscriberExt};

use crate::{
    TOLD_BY_US,
    layer::{Lines, Sink},
};

#[derive(Debug, Clone, clap::Args)]
pub struct LogSettings {
    /// Log as one JSON object a line
    #[arg(
        long,
        env = "NIGHTSHIFT_LOG_JSON",
        hide_env_values = true,
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub log_json: bool,
    /// What to log: `warn`, `info`, `debug`, or targets such as `coordinator=debug`
    #[arg(
        long,
        value_name = "FILTER",
        env = "NIGHTSHIFT_LOG",
        default_value = "info",
        hide_env_values = true
    )]
    pub log: String,
}

#[derive(Debug, thiserror::Error)]
#[error("--log {filter:?} is not a filter such as `info` or `worker=debug`")]
pub struct LogFilterError {
    filter: String,
    source: ParseError,
}

struct StandardError {
    around: Map<String, Value>,
}

impl Sink for StandardError {
    fn around(&self) -> Map<String, Value> {
        self.around.clone()
    }

    fn write(&self, line: &str) {
        // One write a line, so that lines of several programs do not mix. Whoever closed it does not want it.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// Who asks for one of them by name hears it.
fn with_defaults(filter: &str) -> String {
    let mut all = filter.to_owned();
    for library in TOLD_BY_US {
        if !filter.contains(library) {
            all += &format!(",{library}=off");
        }
    }
    all
}

/// Begins the log; `around` stands in every line.
pub fn start(settings: &LogSettings, around: Map<String, Value>) -> Result<(), LogFilterError> {
    let filter =
        EnvFilter::try_new(with_defaults(&settings.log)).map_err(|source| LogFilterError {
            filter: settings.log.clone(),
            source,
        })?;
    let lines = Lines {
        json: settings.log_json,
        sink: StandardError { around },
    };
    let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter));
    // Fails only where a test has set one before.
    let _ = tracing::subscriber::set_global_default(subscriber);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_heard_only_by_who_asks_for_them() {
        assert_eq!(with_defaults("info"), "info,lapin=off,object_store=off");
        let asked = "warn,object_store=debug";
        assert_eq!(with_defaults(asked), format!("{asked},lapin=off"));
    }
}
