//! The flags that name a broker, the same for both sides of a queue.
#![cfg(feature = "flags")]

use std::fs;
use std::path::PathBuf;

use crate::error::SettingsError;
use crate::settings::{BrokerUrl, Settings};
use crate::transport;

/// The variable that holds the password.
pub const PASSWORD_VARIABLE: &str = "NIGHTSHIFT_BROKER_PASSWORD";
/// What is said for "no broker".
const NONE: &str = "none";

#[derive(Debug, Clone, clap::Args)]
pub struct Flags {
    /// RabbitMQ that wakes idle workers, such as `amqps://nightshift@rabbit.example/vhost`; `none`: the coordinator
    /// itself does
    #[arg(
        long,
        value_name = "URL",
        env = "NIGHTSHIFT_BROKER",
        hide_env_values = true,
        default_value = NONE
    )]
    pub broker: String,
    /// File that holds the password for --broker; NIGHTSHIFT_BROKER_PASSWORD holds the password itself
    #[arg(
        long,
        value_name = "FILE",
        env = "NIGHTSHIFT_BROKER_PASSWORD_FILE",
        hide_env_values = true
    )]
    pub broker_password_file: Option<PathBuf>,
    /// PEM file of the authorities that --broker's certificate may come from, besides the system's
    #[arg(
        long,
        value_name = "FILE",
        env = "NIGHTSHIFT_BROKER_CA",
        hide_env_values = true
    )]
    pub broker_ca: Option<PathBuf>,
}

impl Flags {
    /// Settings for the broker that the flags name, if they name one. `name` is shown in its list of connections.
    pub fn settings(&self, name: &str) -> Result<Option<Settings>, SettingsError> {
        if self.broker == NONE {
            return Ok(None);
        }
        let mut url: BrokerUrl = self.broker.parse()?;
        // It would be seen in the list of processes, and wherever settings are printed.
        if url::Url::parse(&self.broker).is_ok_and(|url| url.password().is_some()) {
            return Err(SettingsError::PasswordInUrl);
        }
        if let Some(path) = &self.broker_password_file {
            let text = fs::read_to_string(path).map_err(|source| SettingsError::PasswordFile {
                path: path.clone(),
                source,
            })?;
            url = url.with_password(text.trim_end_matches(['\r', '\n']));
        } else if let Ok(password) = std::env::var(PASSWORD_VARIABLE) {
            url = url.with_password(password);
        }
        if let Some(path) = &self.broker_ca {
            // Read again with each connection; a file that cannot be used is said before there is one.
            transport::authorities(path)?;
        }
        let mut settings = Settings::new(url, name);
        settings.ca_file.clone_from(&self.broker_ca);
        Ok(Some(settings))
    }
}
