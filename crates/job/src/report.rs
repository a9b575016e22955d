//! Collects everything that is wrong with a job file, so that it is said at once.

use std::collections::BTreeSet;

use crate::{Diagnostic, Place, node::At};

/// Far more than anybody reads; a benchmark of thousands of runs stops here.
pub(crate) const ENOUGH: usize = 200;

pub(crate) struct Report<'a> {
    file: &'a str,
    overrides: &'a [(String, String)],
    pub errors: BTreeSet<Diagnostic>,
    pub warnings: BTreeSet<Diagnostic>,
}

impl<'a> Report<'a> {
    pub fn new(file: &'a str, overrides: &'a [(String, String)]) -> Self {
        Self {
            file,
            overrides,
            errors: BTreeSet::new(),
            warnings: BTreeSet::new(),
        }
    }

    pub fn error(&mut self, at: At, message: impl Into<String>) {
        self.suggest(at, message, None);
    }

    pub fn suggest(&mut self, at: At, message: impl Into<String>, suggestion: Option<String>) {
        let diagnostic = self.diagnostic(at, message.into(), suggestion);
        self.errors.insert(diagnostic);
    }

    pub fn warn(&mut self, at: At, message: impl Into<String>) {
        let diagnostic = self.diagnostic(at, message.into(), None);
        self.warnings.insert(diagnostic);
    }

    fn diagnostic(&self, at: At, message: String, suggestion: Option<String>) -> Diagnostic {
        let place = match at {
            At::File { line, column } => Place::File { line, column },
            At::Set(index) => Place::Set {
                argument: self
                    .overrides
                    .get(index)
                    .map(|(key, value)| format!("{key}={value}"))
                    .unwrap_or_default(),
            },
        };
        Diagnostic {
            place,
            file: self.file.to_owned(),
            message,
            suggestion,
        }
    }
}
