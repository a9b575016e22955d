//! One error or warning about a job file, with its place.

use std::fmt;

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// Both from 1.
    File { line: usize, column: usize },
    /// Given on the command line: `--set KEY=VALUE`.
    Set { argument: String },
}

/// One thing wrong (or worth knowing) about a job file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic {
    pub place: Place,
    /// Name of the job file, as the user wrote it. Empty: a command made it, and no place in it says anything to its user.
    pub file: String,
    /// One line, lower case, without full stop.
    pub message: String,
    /// The nearest valid name.
    pub suggestion: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File { .. } if self.file.is_empty() => write!(f, "{}", self.message)?,
            Place::File { line, column } => {
                write!(f, "{}:{line}:{column}: {}", self.file, self.message)?
            }
            Place::Set { argument } => write!(f, "--set {argument}: {}", self.message)?,
        }
        if let Some(suggestion) = &self.suggestion {
            write!(f, "; did you mean {suggestion:?}?")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_nobody_has_seen_has_no_places() {
        let of = |file: &str| Diagnostic {
            place: Place::File {
                line: 7,
                column: 21,
            },
            file: file.to_owned(),
            message: "no such thing".to_owned(),
            suggestion: None,
        };
        assert_eq!(of("a.yaml").to_string(), "a.yaml:7:21: no such thing");
        assert_eq!(of("").to_string(), "no such thing");
    }
}
