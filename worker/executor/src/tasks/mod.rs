//! What each kind of task does: one file a kind, one function that reads as its summary.

mod evaluate;
mod export;
mod fit;
mod list;
mod reduce;
mod reused;
mod score;

pub use evaluate::measured;
pub use score::{ComputedBy, pixels_of};

use plan::{Assignment, TaskResult, TaskSpec};

use crate::{attempt::Attempt, error::TaskError};

/// Names of the objects that tasks leave for one another, relative to their attempts' prefixes.
pub mod names {
    pub const SAMPLES: &str = "samples.parquet";
    pub const STATISTICS: &str = "statistics.safetensors";
    pub const SCORES: &str = "scores.parquet";
    /// Rows of images of the split `train`, which are in no table that people read.
    pub const TRAINING_SCORES: &str = "training_scores.parquet";
    /// Images of archives that have no ranges to read, one after the other.
    pub const UNPACKED: &str = "unpacked";
    /// Rows of earlier jobs for images that need not be scored again.
    pub const REUSED: &str = "reused.parquet";
    /// Rows of several tables of the store's index.
    pub fn merged(number: usize) -> String {
        format!("merged-{number}.parquet")
    }
    pub const METRICS: &str = "metrics.parquet";
    pub const CURVES: &str = "curves.parquet";
    pub const AUPIMO: &str = "aupimo.parquet";
    pub const DEFECTS: &str = "defects.parquet";
    pub const PICTURES: &str = "pictures.parquet";
    pub const MAPS: &str = "maps.parquet";
    pub const RENDERS: &str = "renders.parquet";
    pub const EXTREMES: &str = "extremes.parquet";
    pub const TIMINGS: &str = "timings.parquet";
    pub const MANIFEST: &str = "manifest.parquet";
    pub const PACKAGE: &str = "package.json";
    /// What computed a part: engine and fingerprint.
    pub const COMPUTED_BY: &str = "computed_by.json";
}

/// Whether the task makes scores of images, as its job's score tasks do.
pub fn score_images(assignment: &Assignment) -> bool {
    match &assignment.spec {
        TaskSpec::Score { .. } => true,
        TaskSpec::Evaluate { .. } => assignment.runs.iter().any(|run| !run.spec.is_exact()),
        TaskSpec::List { .. }
        | TaskSpec::Fit { .. }
        | TaskSpec::Reduce
        | TaskSpec::Export { .. } => false,
    }
}

pub fn run(attempt: &Attempt) -> Result<TaskResult, TaskError> {
    match &attempt.assignment.spec {
        TaskSpec::List { .. } => list::run(attempt),
        TaskSpec::Fit { .. } => fit::run(attempt),
        TaskSpec::Score { first, count, .. } => score::run(attempt, *first, *count),
        TaskSpec::Evaluate { .. } => evaluate::run(attempt),
        TaskSpec::Reduce => reduce::run(attempt),
        TaskSpec::Export { export } => export::run(attempt, export),
    }
}
