//! Collects everything that is wrong with a job file, so that it is said at once.

use std::collections::{BTreeSet, HashSet};

use crate::{Diagnostic, Place, node::At};

/// Far more than anybody reads; a benchmark of thousands of runs stops here.
pub(crate) const ENOUGH: usize = 200;

pub(crate) struct Report<'a> {
    file: &'a str,
    overrides: &'a [(String, String)],
    pub errors: BTreeSet<Diagnostic>,
    pub warnings: BTreeSet<Diagnostic>,
    /// Places of which everything is said.
    muted: HashSet<At>,
    /// The file is a sweep's: what a job file has at its top stands below `parameters` there.
    pub of_sweep: bool,
}

impl<'a> Report<'a> {
    pub fn new(file: &'a str, overrides: &'a [(String, String)]) -> Self {
        Self {
            file,
            overrides,
            errors: BTreeSet::new(),
            warnings: BTreeSet::new(),
            muted: HashSet::new(),
            of_sweep: false,
        }
    }

    /// An empty one of the same file.
    pub fn apart(&self) -> Self {
        Self {
            of_sweep: self.of_sweep,
            ..Self::new(self.file, self.overrides)
        }
    }

    /// Takes over what another one of the same file says, but for errors at these places.
    pub fn take(&mut self, other: Report<'_>, but_at: &[At]) {
        let place = |at: &At| self.diagnostic(*at, String::new(), None).place;
        let left_out: Vec<Place> = but_at.iter().map(place).collect();
        let errors = other.errors.into_iter();
        let errors = errors.filter(|error| !left_out.contains(&error.place));
        self.errors.extend(errors);
        self.warnings.extend(other.warnings);
    }

    pub fn error(&mut self, at: At, message: impl Into<String>) {
        self.suggest(at, message, None);
    }

    pub fn suggest(&mut self, at: At, message: impl Into<String>, suggestion: Option<String>) {
        if self.is_muted(at) {
            return;
        }
        let diagnostic = self.diagnostic(at, message.into(), suggestion);
        self.errors.insert(diagnostic);
    }

    /// Takes no more errors of that place: what stands there now only follows from what was said.
    pub fn mute(&mut self, at: At) {
        self.muted.insert(at);
    }

    pub fn is_muted(&self, at: At) -> bool {
        self.muted.contains(&at)
    }

    /// The errors in the order of their places, and whether there are more than anybody reads.
    pub fn into_errors(self) -> Vec<Diagnostic> {
        let more = self.errors.len() > ENOUGH;
        let mut errors: Vec<Diagnostic> = self.errors.into_iter().take(ENOUGH).collect();
        if more && let Some(last) = errors.last().cloned() {
            errors.push(Diagnostic {
                message: format!("and more: these are the first {ENOUGH} errors"),
                suggestion: None,
                ..last
            });
        }
        errors
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
