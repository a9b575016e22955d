//! Where the log goes: standard error, as text or as JSON.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::Settings;

#[derive(Debug, thiserror::Error)]
#[error("--log {filter:?} is not a filter such as `info` or `coordinator=debug`")]
pub struct LogFilterError {
    filter: String,
    source: ParseError,
}

pub fn init(settings: &Settings) -> Result<(), LogFilterError> {
    let filter = EnvFilter::try_new(&settings.log).map_err(|source| LogFilterError {
        filter: settings.log.clone(),
        source,
    })?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // Fails only where a test has set one before.
    let _ = if settings.log_json {
        tracing::subscriber::set_global_default(log.json().flatten_event(true).finish())
    } else {
        tracing::subscriber::set_global_default(log.with_ansi(io::stderr().is_terminal()).finish())
    };
    Ok(())
}
