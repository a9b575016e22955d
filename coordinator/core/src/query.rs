//! What the shell reads for users: plain values, after the batch's commit.

use std::collections::BTreeMap;

use job::Rethreshold;
use plan::PlannedRun;
use types::{
    Failure, FailureClass, JobId, JobState, LeaseNumber, Progress, TaskId, TaskIndex, TaskKind,
    TaskState, TraceContext, WorkerName,
};

use crate::{
    assign::prefix,
    core::Core,
    event::Now,
    job::{Counts, Job},
    rows::{AttemptRow, ModelRow, OutboxItem, OutboxRow, Outcome, WorkerRow},
    search::BestTrial,
    waiting::{Outlook, Waiting},
};

#[derive(Debug, Clone)]
pub struct JobView<'a> {
    pub id: &'a JobId,
    pub name: &'a str,
    pub kind: job::resolved::JobKind,
    pub state: JobState,
    pub key: Option<&'a str>,
    pub digest: &'a str,
    pub store: &'a str,
    pub priority: i32,
    pub created_ms: i64,
    pub finished_ms: Option<i64>,
    pub runs: u32,
    pub tasks: Counts,
    /// When it must have ended, by the wall clock; of a retried job anew.
    pub deadline_ms: Option<i64>,
    /// Why the job as a whole stopped, whatever its tasks did.
    pub stopped: Option<String>,
    /// The first failure of each class, in order of the tasks.
    pub failures: Vec<(TaskId, Failure)>,
    /// 0: none is published yet.
    pub results_generation: u64,
    pub resolved_json: &'a str,
    pub source_yaml: &'a str,
    pub plan_json: &'a str,
    pub trace: Option<&'a TraceContext>,
    pub warnings: Vec<String>,
    /// Why the last new threshold came to nothing; none: it did not, or there was none.
    pub rethreshold_failure: Option<&'a str>,
    /// What decides in place of the job file's thresholds, by run; while a new one is under way that one.
    pub rethresholds: Option<&'a BTreeMap<u32, Rethreshold>>,
    /// What the store, or the webhook, does not take, oldest first; gone as soon as it does.
    pub unpublished: Vec<Unpublished<'a>>,
    /// What a task heard last, while the job tries again because something does not answer.
    pub outage: Option<&'a str>,
    /// Of a search, as soon as a trial has a value.
    pub best: Option<BestTrial>,
}

/// An entry of the outbox that could not be delivered so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpublished<'a> {
    /// `results`, `model`, `spec` or `notice`.
    pub what: &'static str,
    /// URI of the store; of a notice: the words `the webhook`.
    pub store: &'a str,
    pub why: &'a str,
    pub since_ms: i64,
    pub tries: u32,
}

#[derive(Debug, Clone)]
pub struct TaskView<'a> {
    pub id: TaskId,
    pub kind: TaskKind,
    pub state: TaskState,
    pub generation: u32,
    pub run: Option<u32>,
    pub spec: &'a plan::TaskSpec,
    /// Oldest first.
    pub attempts: Vec<AttemptView<'a>>,
    /// What it waits for: present while it is open.
    pub waiting: Option<Waiting>,
    /// Why it ended without success.
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone)]
pub struct AttemptView<'a> {
    pub row: &'a AttemptRow,
    /// Relative to the store's root.
    pub prefix: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl RunState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

#[derive(Debug, Clone)]
pub struct RunView<'a> {
    pub run: &'a PlannedRun,
    pub state: RunState,
    /// `plan::TaskResult` of its evaluate task.
    pub result_json: Option<&'a str>,
    pub error: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerState {
    Live,
    /// Remembered from before the coordinator's start; has not spoken since.
    Unheard,
    Draining,
    /// Failed too often in a row; released by a user or by its next start.
    Quarantined,
    Gone,
}

impl WorkerState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Unheard => "unheard",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
            Self::Gone => "gone",
        }
    }
}

#[derive(Debug, Clone)]
pub struct WorkerView<'a> {
    pub row: &'a WorkerRow,
    pub state: WorkerState,
    /// None of one that has not spoken since the coordinator's start.
    pub last_seen_ms: Option<i64>,
    pub tasks: Vec<TaskId>,
}

#[derive(Debug, Clone)]
pub struct ActiveAttempt<'a> {
    pub task: TaskId,
    pub lease: LeaseNumber,
    pub kind: TaskKind,
    pub run: Option<u32>,
    pub worker: &'a WorkerName,
    pub progress: Option<&'a Progress>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindJobError {
    #[error("no job's id begins with {0:?}, and none has this key; `ctl get jobs` lists them")]
    NotFound(String),
    #[error("{text:?} begins the ids of several jobs: {}", .jobs.iter().map(JobId::as_str).collect::<Vec<_>>().join(", "))]
    Ambiguous { text: String, jobs: Vec<JobId> },
}

impl Core {
    /// A job by its id, its key, a unique prefix of its id, or `last`.
    pub fn find_job(&self, text: &str) -> Result<JobId, FindJobError> {
        if text == "last"
            && let Some(job) = self.jobs.values().rev().find(|job| !job.is_deleted())
        {
            return Ok(job.id().clone());
        }
        let mut found: Vec<JobId> = self
            .job_numbers
            .keys()
            .filter(|id| !text.is_empty() && id.as_str().starts_with(text))
            .filter(|id| self.shown_job(id).is_some())
            .cloned()
            .collect();
        if let Some(exact) = found.iter().position(|id| id.as_str() == text) {
            return Ok(found.swap_remove(exact));
        }
        let of_key = self.keys.get(text).and_then(|job| self.jobs.get(job));
        if let Some(job) = of_key.filter(|job| !job.is_deleted()) {
            return Ok(job.id().clone());
        }
        match found.len() {
            0 => Err(FindJobError::NotFound(text.to_owned())),
            1 => Ok(found.swap_remove(0)),
            _ => Err(FindJobError::Ambiguous {
                text: text.to_owned(),
                jobs: found,
            }),
        }
    }

    pub fn job_view(&self, id: &JobId) -> Option<JobView<'_>> {
        self.shown_job(id).map(|job| self.view(job))
    }

    /// What the job's spans are below, if somebody traces it.
    pub fn trace(&self, job: &JobId) -> Option<&TraceContext> {
        self.job(job)?.row.trace.as_ref()
    }

    pub fn kind(&self, task: &TaskId) -> Option<TaskKind> {
        Some(self.job(&task.job)?.task(task.index)?.spec.kind())
    }

    /// Newest first.
    pub fn job_views(&self) -> impl Iterator<Item = JobView<'_>> {
        let shown = self.jobs.values().rev().filter(|job| !job.is_deleted());
        shown.map(|job| self.view(job))
    }

    fn view<'a>(&'a self, job: &'a Job) -> JobView<'a> {
        JobView {
            id: job.id(),
            name: &job.resolved.name,
            kind: job.resolved.kind,
            state: job.state(),
            key: job.row.key.as_deref(),
            digest: &job.row.digest,
            store: &job.resolved.output,
            priority: job.resolved.priority,
            created_ms: job.row.created_ms,
            finished_ms: job.progress.finished_ms,
            runs: job.plan.runs.len() as u32,
            tasks: job.counts,
            deadline_ms: job
                .progress
                .limit
                .filter(|limit| !limit.last)
                .map(|limit| limit.deadline.end_wall_ms()),
            stopped: job.stopped(),
            failures: self.failures(job),
            results_generation: job.progress.results_published,
            resolved_json: &job.row.resolved_json,
            source_yaml: &job.row.source_yaml,
            trace: job.row.trace.as_ref(),
            plan_json: &job.row.plan_json,
            warnings: [self.warnings(job), self.job_warnings(job)].concat(),
            rethreshold_failure: job
                .rethreshold
                .as_ref()
                .and_then(|row| row.failure.as_deref()),
            rethresholds: job
                .rethreshold
                .as_ref()
                .map(|row| &row.thresholds)
                .filter(|thresholds| !thresholds.is_empty()),
            unpublished: self.unpublished(job.id()),
            outage: self.outage(job),
            best: job.best_trial(),
        }
    }

    /// The first failure of each class, in order of the tasks.
    pub(crate) fn failures(&self, job: &Job) -> Vec<(TaskId, Failure)> {
        let mut failures: Vec<(TaskId, Failure)> = Vec::new();
        for &index in &job.failed {
            let failure = self.failure(job, index);
            let known = |(_, known): &(TaskId, Failure)| known.class == failure.class;
            if !failures.iter().any(known) {
                failures.push((task_id(job, index), failure));
            }
        }
        failures
    }

    fn outage<'a>(&'a self, job: &'a Job) -> Option<&'a str> {
        if job.progress.outage.is_none() || job.counts.open() == 0 {
            return None;
        }
        let leases = job.tasks.iter().flat_map(|task| &task.attempts);
        leases
            .filter_map(|lease| self.attempts.get(lease))
            .filter(|attempt| attempt.outcome == Outcome::Failed(FailureClass::Unavailable))
            .max_by_key(|attempt| attempt.ended_ms)?
            .message
            .as_deref()
    }

    fn unpublished(&self, job: &JobId) -> Vec<Unpublished<'_>> {
        let of_job = |(id, tries)| {
            let row: &OutboxRow = self.outbox.get(id).filter(|row| row.job == *job)?;
            let tries: &crate::core::Undelivered = tries;
            Some(Unpublished {
                what: row.item.word(),
                store: match row.item {
                    OutboxItem::Notice(_) => "the webhook",
                    _ => &row.store,
                },
                why: &tries.why,
                since_ms: tries.since_ms,
                tries: tries.tries,
            })
        };
        self.undelivered.iter().filter_map(of_job).collect()
    }

    /// In order of their index.
    pub fn task_views(&self, id: &JobId, now: Now) -> Option<Vec<TaskView<'_>>> {
        let job = self.shown_job(id)?;
        let pool = self.standings(&job.resolved.resources.pool);
        let outlook = self.outlook(job, &pool);
        let mut before = 0;
        let view = |i| {
            let index = TaskIndex(i as u32);
            let view = self.task_of(job, index, &outlook, before, now);
            before += u64::from(job.is_ready(index));
            view
        };
        Some((0..job.tasks.len()).filter_map(view).collect())
    }

    pub fn task_view(&self, id: &TaskId, now: Now) -> Option<TaskView<'_>> {
        let job = self.shown_job(&id.job)?;
        let before = (0..id.index.0).map(TaskIndex).filter(|i| job.is_ready(*i));
        let pool = self.standings(&job.resolved.resources.pool);
        let (outlook, before) = (self.outlook(job, &pool), before.count() as u64);
        self.task_of(job, id.index, &outlook, before, now)
    }

    fn task_of<'a>(
        &'a self,
        job: &'a Job,
        index: TaskIndex,
        outlook: &Outlook<'_>,
        before: u64,
        now: Now,
    ) -> Option<TaskView<'a>> {
        let task = job.task(index)?;
        let view = |lease| {
            self.attempts.get(lease).map(|row| AttemptView {
                row,
                prefix: prefix(row),
            })
        };
        let ended_badly = task.state.is_terminal() && !matches!(task.state, TaskState::Succeeded);
        Some(TaskView {
            id: task_id(job, index),
            kind: task.spec.kind(),
            state: task.state,
            generation: task.generation,
            run: task.spec.run(),
            spec: &task.spec,
            attempts: task.attempts.iter().filter_map(view).collect(),
            waiting: self.waiting(job, index, outlook, before, now),
            failure: ended_badly.then(|| self.failure(job, index)),
        })
    }

    pub fn run_views(&self, id: &JobId) -> Option<Vec<RunView<'_>>> {
        let job = self.shown_job(id)?;
        Some(
            job.plan
                .runs
                .iter()
                .zip(&job.runs)
                .map(|(planned, run)| self.run_of(job, planned, run.evaluate, run.granted))
                .collect(),
        )
    }

    fn run_of<'a>(
        &'a self,
        job: &'a Job,
        run: &'a PlannedRun,
        evaluate: Option<TaskIndex>,
        granted: bool,
    ) -> RunView<'a> {
        let open = if granted {
            RunState::Running
        } else {
            RunState::Queued
        };
        let Some((index, task)) = evaluate.and_then(|index| Some((index, job.task(index)?))) else {
            return RunView {
                run,
                state: open,
                result_json: None,
                error: None,
            };
        };
        let state = match task.state {
            TaskState::Succeeded => RunState::Succeeded,
            TaskState::Failed | TaskState::Dead | TaskState::Skipped => RunState::Failed,
            TaskState::Cancelling | TaskState::Cancelled => RunState::Cancelled,
            TaskState::Running => RunState::Running,
            TaskState::Blocked | TaskState::Ready => open,
        };
        let result_json = task
            .accepted
            .and_then(|lease| self.attempts.get(&lease))
            .and_then(|a| a.result_json.as_deref());
        RunView {
            run,
            state,
            result_json,
            error: (state == RunState::Failed).then(|| self.failure(job, index)),
        }
    }

    /// Without the temporary ones that have left.
    pub fn worker_views(&self) -> impl Iterator<Item = WorkerView<'_>> {
        self.workers
            .values()
            .filter(|w| !(w.row.left && w.row.temporary))
            .map(|worker| WorkerView {
                row: &worker.row,
                state: worker.state(),
                last_seen_ms: worker.last_seen_wall_ms,
                tasks: worker
                    .held
                    .iter()
                    .filter_map(|l| self.attempts.get(l))
                    .map(|a| TaskId {
                        job: a.job.clone(),
                        index: a.task,
                    })
                    .collect(),
            })
    }

    /// The job's current leases, with what their heartbeats said last.
    pub fn active(&self, id: &JobId) -> Vec<ActiveAttempt<'_>> {
        let Some(job) = self.job(id) else {
            return Vec::new();
        };
        let of = |(lease, held): (&LeaseNumber, &'_ crate::core::Held)| {
            (held.job == job.row.number).then_some(*lease)
        };
        let leases: Vec<LeaseNumber> = self.held.iter().filter_map(of).collect();
        leases
            .into_iter()
            .filter_map(|lease| {
                let attempt = self.attempts.get(&lease)?;
                let task = job.task(attempt.task)?;
                Some(ActiveAttempt {
                    task: task_id(job, attempt.task),
                    lease,
                    kind: task.spec.kind(),
                    run: task.spec.run(),
                    worker: &attempt.worker,
                    progress: self.held.get(&lease)?.progress.as_ref(),
                })
            })
            .collect()
    }

    /// Newest version of each name last.
    pub fn models(&self) -> impl Iterator<Item = &ModelRow> {
        self.models.values()
    }

    /// Entries that were not delivered yet, oldest first.
    pub fn outbox(&self) -> impl Iterator<Item = &OutboxRow> {
        self.outbox.values()
    }

    /// The attempt under this lease, whatever became of it.
    pub fn attempt(&self, lease: LeaseNumber) -> Option<AttemptView<'_>> {
        self.attempts.get(&lease).map(|row| AttemptView {
            row,
            prefix: prefix(row),
        })
    }

    /// Attempts whose prefix is still to be swept, for the first time or once more. Walks over all.
    pub fn sweeps_to_come(&self) -> usize {
        let to_come =
            |row: &&AttemptRow| self.is_unwanted(row) && row.sweep.is_none_or(|sweep| sweep.again);
        self.attempts.values().filter(to_come).count()
    }

    /// Deleted jobs of which something is left. Walks over all.
    pub fn deletions_to_come(&self) -> usize {
        self.jobs.values().filter(|job| job.is_deleted()).count()
    }

    /// Current leases, over all jobs.
    pub fn running(&self) -> usize {
        self.held.len()
    }
}

fn task_id(job: &Job, index: TaskIndex) -> TaskId {
    TaskId {
        job: job.id().clone(),
        index,
    }
}
