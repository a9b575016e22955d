//! Jobs that do not score again what another one has scored: whether it can be skipped, and what of it is there.

use job::resolved::{JobKind, ResolvedJob, RunSpec};
use plan::{FoundPackage, PublishedTable, ResultDetail, SkippedJob, TaskResult, TaskSpec};
use types::{JobId, JobState, LeaseNumber, TaskIndex};

use crate::{assign::prefix, core::Core, effect::Refusal, job::Job};

/// The published tables that have rows of scored images.
const TABLES: [&str; 2] = ["scores.parquet", "reused.parquet"];

/// Why a job's images cannot be skipped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CannotSkip {
    #[error(
        "it is not known; `ctl get jobs` lists those that are, and a job file has the whole id"
    )]
    Unknown,
    #[error("it is of kind {kind}; only jobs of the kinds predict and test score by a package")]
    OtherKind { kind: JobKind },
    #[error("it is {state} and has no published scores")]
    NoScores { state: JobState },
    #[error("its results are in {theirs}, and this job's are to be in {ours}")]
    OtherStore { theirs: String, ours: String },
    #[error("it scored by the engine {theirs}, and this job is to by {ours} (`resources.engine`)")]
    OtherEngine {
        theirs: &'static str,
        ours: &'static str,
    },
    #[error("it scored with {theirs}, and this job is to with {ours}: its scores are others")]
    OtherComputation { theirs: String, ours: String },
}

/// As a job file says it.
fn computation(run: &RunSpec) -> String {
    let (precision, decoding) = (run.precision.as_str(), run.scaled_decoding);
    format!("`precision: {precision}` and `scaled_decoding: {decoding}`")
}

impl Core {
    /// Whether the jobs whose images the job wants to skip can be skipped, as far as that can be told before it lists.
    pub(crate) fn check_skip(&self, resolved: &ResolvedJob) -> Result<(), Refusal> {
        for id in resolved.runs.iter().filter_map(|run| run.skip.as_ref()) {
            self.can_skip(id, resolved)
                .map_err(|why| Refusal::CannotSkip {
                    job: id.clone(),
                    why,
                })?;
        }
        Ok(())
    }

    fn can_skip(&self, id: &JobId, resolved: &ResolvedJob) -> Result<(), CannotSkip> {
        let job = self.shown_job(id).ok_or(CannotSkip::Unknown)?;
        let (theirs, ours) = (&job.resolved, resolved);
        let store = |job: &ResolvedJob| job.output.trim_end_matches('/').to_owned();
        if !matches!(theirs.kind, JobKind::Predict | JobKind::Test) {
            return Err(CannotSkip::OtherKind { kind: theirs.kind });
        }
        if store(theirs) != store(ours) {
            return Err(CannotSkip::OtherStore {
                theirs: store(theirs),
                ours: store(ours),
            });
        }
        // Before the engine, which follows from a precision.
        let computation = |job: &ResolvedJob| job.runs.first().map(computation);
        if let (Some(theirs), Some(ours)) = (computation(theirs), computation(ours))
            && theirs != ours
        {
            return Err(CannotSkip::OtherComputation { theirs, ours });
        }
        if theirs.resources.engine != ours.resources.engine {
            return Err(CannotSkip::OtherEngine {
                theirs: theirs.resources.engine.as_str(),
                ours: ours.resources.engine.as_str(),
            });
        }
        let state = job.state();
        self.skipped(id)
            .map(drop)
            .ok_or(CannotSkip::NoScores { state })
    }

    /// What the job has scored, and by what.
    pub(crate) fn skipped(&self, id: &JobId) -> Option<SkippedJob> {
        let job = self.job(id)?;
        if job.progress.results_published == 0 {
            return None;
        }
        let tasks = |kind: fn(&TaskSpec) -> bool| {
            let indexes = (0..job.tasks.len()).map(|i| TaskIndex(i as u32));
            indexes.filter(move |index| job.task(*index).is_some_and(|task| kind(&task.spec)))
        };
        let list = tasks(|spec| matches!(spec, TaskSpec::List { .. })).next()?;
        let reduce = tasks(|spec| matches!(spec, TaskSpec::Reduce)).next()?;
        let package = self.package_of(job, list)?;
        // Of a job that is decided anew meanwhile: as it was.
        let lease = job.task(reduce)?.accepted.or_else(|| job.kept(reduce))?;
        let below = prefix(self.attempts.get(&lease)?);
        let of_scores = |table: &PublishedTable| {
            let is_one = TABLES.contains(&table.name.as_str());
            is_one.then(|| format!("{below}/{}", table.path))
        };
        let ResultDetail::Reduce { tables, .. } = self.result_of(lease)?.detail else {
            return None;
        };
        let tables: Vec<String> = tables.iter().filter_map(of_scores).collect();
        (!tables.is_empty()).then(|| SkippedJob {
            job: id.clone(),
            tables,
            package,
        })
    }

    fn package_of(&self, job: &Job, list: TaskIndex) -> Option<FoundPackage> {
        match self.result_of(job.task(list)?.accepted?)?.detail {
            ResultDetail::List { packages, .. } => packages.into_iter().next(),
            _ => None,
        }
    }

    /// What an accepted attempt gave.
    pub(crate) fn result_of(&self, lease: LeaseNumber) -> Option<TaskResult> {
        let attempt = self.attempts.get(&lease)?;
        // Written by this core from typed values, so they read back.
        serde_json::from_str(attempt.result_json.as_deref()?).ok()
    }
}
