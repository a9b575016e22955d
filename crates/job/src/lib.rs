//! Job files: YAML to a resolved job, with every error at its line and column.

// The schema of job files is one literal of many keys.
#![recursion_limit = "256"]

mod anomalib;
mod check;
mod dates;
mod diagnostic;
mod digest;
mod export;
mod grid;
mod names;
mod node;
mod overrides;
mod paths;
mod quantity;
mod read;
mod report;
pub mod resolved;
mod resources;
mod rethreshold;
mod run;
mod schema;
mod search;
mod strict;
mod write;
mod yaml;

#[cfg(test)]
mod tests;

pub use dates::{fill as fill_days, in_zone, literal as without_days};
pub use diagnostic::{Diagnostic, Place};
pub use digest::digest;
pub use jiff::{Timestamp, ZonedDateTime};
pub use paths::{file_path, file_uri};
pub use read::{import_anomalib, read};
pub use resolved::ResolvedJob;
pub use rethreshold::Rethreshold;
pub use run::is_model_name;
pub use schema::schema;
pub use strict::ResolvedError;
pub use write::yaml;

use std::path::Path;

/// What the reader needs to know of its surroundings.
#[derive(Debug, Clone, Copy)]
pub struct ReadContext<'a> {
    /// Relative paths of a job file are resolved against it, as Anomalib does. Absolute.
    pub current_dir: &'a Path,
    /// The days in a file's addresses are those of this moment.
    pub now: Timestamp,
}

/// A job file that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    pub job: ResolvedJob,
    /// Sorted by position.
    pub warnings: Vec<Diagnostic>,
    /// The moment of its days, in the time zone that the file names.
    pub now: ZonedDateTime,
}

/// One of Anomalib's files as a job file.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The job file: reading it gives the same job.
    pub yaml: String,
    /// What reading Anomalib's own file gives.
    pub reading: Reading,
}
