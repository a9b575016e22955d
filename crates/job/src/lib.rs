//! Job files: YAML to a resolved job, with every error at its line and column.

mod diagnostic;
pub mod resolved;

pub use diagnostic::{Diagnostic, Place};
pub use resolved::ResolvedJob;

use std::path::Path;

/// What the reader needs to know of its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext<'a> {
    /// Relative paths of a job file are resolved against it, as Anomalib does. Absolute.
    pub current_dir: &'a Path,
}

/// A job file that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub job: ResolvedJob,
    /// Sorted by position.
    pub warnings: Vec<Diagnostic>,
}
