//! A secret that the configuration names, but never holds: where to read it, and what was read.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Serialize};

/// Longest secret that is read: a service account's key file has some 2.4 kB.
const MAX_BYTES: u64 = 64 << 10;

/// Where a secret is: `{env: NAME}` or `{file: /path}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SecretSource {
    /// An environment variable of the program that opens the store.
    Env(String),
    /// A file; white space around its content is dropped.
    File(PathBuf),
}

/// A secret's text, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl SecretSource {
    /// `Err` says what is missing, without the secret.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        let text = match self {
            Self::Env(name) => std::env::var(name).map_err(|_| {
                format!("the environment variable {name} is not set for this program")
            })?,
            Self::File(path) => {
                let size = std::fs::metadata(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?
                    .len();
                if size > MAX_BYTES {
                    return Err(format!(
                        "{} has {size} bytes: not a secret's file",
                        path.display()
                    ));
                }
                std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?
            }
        };
        let text = text.trim();
        if text.is_empty() {
            return Err(format!("{self} is empty"));
        }
        Ok(Secret(text.to_owned()))
    }

    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Env(name) if name.is_empty() || name.contains(['=', '\0']) => {
                Some(format!("{name:?} is not the name of a variable"))
            }
            Self::File(path) if !path.is_absolute() => {
                Some(format!("{} is not an absolute path", path.display()))
            }
            _ => None,
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}
