//! What is persisted: a handful of tables, upserted row by row, and enough to rebuild the core.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use job::Rethreshold;
use plan::PublishedTable;
use serde::{Deserialize, Serialize};
use types::{
    Devices, FailureClass, Incarnation, JobId, JobState, Labels, LeaseNumber, PoolName, RequestId,
    TaskIndex, TaskKind, TaskState, TraceContext, WorkerName,
};

use crate::{
    effect::{SubmitOutcome, Verdict},
    notice::Notice,
};

/// One upsert (or, once, a deletion); the key is named at each. Order within a batch matters only for
/// the same key: the last one counts.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Key: `id`. Written once, never updated: the big texts live here.
    Job(Arc<JobRow>),
    /// Key: `job`.
    JobProgress(JobProgressRow),
    /// Key: `job`.
    Rethreshold(RethresholdRow),
    /// Deletes the job's rows of every table but `outbox`, which has none any more, and `models`, which stay.
    JobForgotten(JobId),
    /// Key: (`job`, `by`). Written once.
    Expansion(ExpansionRow),
    /// Key: (`job`, `index`). A task without a row is as its plan made it.
    Task(TaskRow),
    /// Key: `lease`.
    Attempt(AttemptRow),
    /// Key: `id`. Written once.
    Request(RequestRow),
    /// Key: `id`.
    Outbox(OutboxRow),
    /// Deletes the outbox row.
    OutboxDone(OutboxId),
    /// Key: `worker`.
    Worker(WorkerRow),
    /// Deletes the worker's row.
    WorkerForgotten(WorkerName),
    /// Key: (`name`, `version`).
    Model(ModelRow),
    /// One row.
    Counters(Counters),
}

/// Everything that is persisted; [`Rows::put`] is what the SQL has to do, in Rust.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rows {
    pub jobs: BTreeMap<JobId, Arc<JobRow>>,
    pub job_progress: BTreeMap<JobId, JobProgressRow>,
    pub rethresholds: BTreeMap<JobId, RethresholdRow>,
    pub expansions: BTreeMap<(JobId, TaskIndex), ExpansionRow>,
    pub tasks: BTreeMap<(JobId, TaskIndex), TaskRow>,
    pub attempts: BTreeMap<LeaseNumber, AttemptRow>,
    pub requests: BTreeMap<RequestId, RequestRow>,
    pub outbox: BTreeMap<OutboxId, OutboxRow>,
    pub workers: BTreeMap<WorkerName, WorkerRow>,
    pub models: BTreeMap<ModelKey, ModelRow>,
    pub counters: Counters,
}

impl Rows {
    pub fn put(&mut self, change: Change) {
        match change {
            Change::Job(row) => drop(self.jobs.insert(row.id.clone(), row)),
            Change::JobProgress(row) => drop(self.job_progress.insert(row.job.clone(), row)),
            Change::Rethreshold(row) => drop(self.rethresholds.insert(row.job.clone(), row)),
            Change::JobForgotten(job) => self.forget(&job),
            Change::Expansion(row) => drop(self.expansions.insert((row.job.clone(), row.by), row)),
            Change::Task(row) => drop(self.tasks.insert((row.job.clone(), row.index), row)),
            Change::Attempt(row) => drop(self.attempts.insert(row.lease, row)),
            Change::Request(row) => drop(self.requests.insert(row.id.clone(), row)),
            Change::Outbox(row) => drop(self.outbox.insert(row.id, row)),
            Change::OutboxDone(id) => drop(self.outbox.remove(&id)),
            Change::Worker(row) => drop(self.workers.insert(row.worker.clone(), row)),
            Change::WorkerForgotten(worker) => drop(self.workers.remove(&worker)),
            Change::Model(row) => drop(self.models.insert(row.key(), row)),
            Change::Counters(row) => self.counters = row,
        }
    }

    fn forget(&mut self, job: &JobId) {
        self.jobs.remove(job);
        self.job_progress.remove(job);
        self.rethresholds.remove(job);
        self.expansions.retain(|(of, _), _| of != job);
        self.tasks.retain(|(of, _), _| of != job);
        self.attempts.retain(|_, row| row.job != *job);
        self.requests.retain(|_, row| row.job != *job);
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    pub id: JobId,
    /// Order of submission, from 1: a job's age.
    pub number: u64,
    pub key: Option<String>,
    pub digest: String,
    /// `job::ResolvedJob`.
    pub resolved_json: String,
    pub source_yaml: String,
    /// `plan::Plan`, as planned at submit.
    pub plan_json: String,
    pub created_ms: i64,
    /// What its spans are below, whoever's life they fall in; none where nobody traces it.
    pub trace: Option<TraceContext>,
}

/// What changes about a job, apart from its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobProgressRow {
    pub job: JobId,
    /// Why no further task is granted.
    pub stop: Option<Stop>,
    pub finished_ms: Option<i64>,
    /// Number of the last results handed to the outbox; 0: none.
    pub results_planned: u64,
    /// Number of the results that stand in the store; 0: none.
    pub results_published: u64,
    pub outage: Option<Outage>,
    pub limit: Option<TimeLimit>,
    /// Its user deleted it.
    pub deletion: Option<Deletion>,
}

/// How far the deletion of a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deletion {
    /// Nobody sees it any more; what it left in the store is to go.
    Ordered,
    /// That has gone, at this time, and is looked for once more: an upload that stood still may have written there since.
    RemovedOnce { at_ms: i64 },
    /// The rows stay until its other attempts are swept.
    Removed,
}

/// New thresholds that a user gave a job after its end; a job without them has no row.
#[derive(Debug, Clone, PartialEq)]
pub struct RethresholdRow {
    pub job: JobId,
    /// What decides in place of the job file's thresholds, by run.
    pub thresholds: BTreeMap<u32, Rethreshold>,
    /// Present until the last one's reduce is accepted.
    pub under_way: Option<UnderWay>,
    /// Why the last one came to nothing; not any more once the job is retried.
    pub failure: Option<String>,
    /// When the job had ended before the last one, which is when it ends again: nothing of it was computed since. None once it is
    /// retried.
    pub ended_ms: Option<i64>,
}

/// What counts again if a new threshold comes to nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UnderWay {
    /// The accepted attempt of each task that is done anew.
    pub kept: BTreeMap<TaskIndex, LeaseNumber>,
    pub before: BTreeMap<u32, Rethreshold>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The user cancelled it.
    User,
    /// More tasks failed than the job allows.
    TooManyFailures,
    /// It had not ended by its deadline.
    Deadline,
}

/// Until when a job may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeLimit {
    pub deadline: Deadline,
    /// The job's own is over: this is what its reduce has left to tell what became of each run.
    pub last: bool,
}

/// A dependency of the job (its store) does not answer: one timer for all of its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Pauses in a row since a task last succeeded.
    pub pauses: u32,
    pub pause: Deadline,
}

/// A point in time that outlives restarts: kept with its duration, so that a wall clock that jumped
/// can neither shorten it below nothing nor make it longer than it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    pub set_wall_ms: i64,
    pub duration_ms: u64,
}

impl Deadline {
    /// When it is over, if the wall clock was and stays right.
    pub fn end_wall_ms(self) -> i64 {
        self.set_wall_ms.saturating_add_unsigned(self.duration_ms)
    }

    /// What is left of it by the wall clock, between nothing and the whole duration.
    pub fn remaining_ms(self, wall_ms: i64) -> u64 {
        let passed = wall_ms
            .saturating_sub(self.set_wall_ms)
            .max(0)
            .unsigned_abs();
        self.duration_ms.saturating_sub(passed)
    }
}

/// The tasks that an accepted result added, or the end of a trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpansionRow {
    pub job: JobId,
    /// The task whose result it was; of trials the evaluation of the last that was added.
    pub by: TaskIndex,
    /// `plan::Expansion`.
    pub expansion_json: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRow {
    pub job: JobId,
    pub index: TaskIndex,
    /// Never `blocked`: an open task without a lease is stored as `ready`, and whether it waits for
    /// others follows from theirs.
    pub state: TaskState,
    /// Rises with each user retry and each new threshold.
    pub generation: u32,
    /// Attempts of older generations than this had other inputs and are not accepted any more.
    pub accepts_from: u32,
    /// No grant before.
    pub backoff: Option<Deadline>,
    /// Who should not get it if somebody else can.
    pub avoid: Option<Avoid>,
    /// Of a skipped task: the one where the failure began.
    pub because: Option<TaskIndex>,
    /// The attempt that counts: of this generation, or of an earlier one after a new threshold came to nothing.
    pub accepted: Option<LeaseNumber>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Avoid {
    Worker(WorkerName),
    /// Workers with no more memory than this.
    MemoryUpTo(u64),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptRow {
    pub lease: LeaseNumber,
    pub job: JobId,
    pub task: TaskIndex,
    pub generation: u32,
    /// Within the task, from 1, over all generations.
    pub number: u32,
    pub nonce: u32,
    pub claim: RequestId,
    pub worker: WorkerName,
    pub incarnation: Incarnation,
    pub granted_ms: i64,
    /// A heartbeat has named the lease.
    pub started: bool,
    pub ended_ms: Option<i64>,
    pub outcome: Outcome,
    /// Counts against the policy's bounds.
    pub counted: bool,
    /// For people, where there is something to say.
    pub message: Option<Box<str>>,
    /// The answer to every Complete of this lease, once it was given.
    pub verdict: Option<Verdict>,
    /// How long it ran, by the monotonic clock where that was possible.
    pub ran_ms: u64,
    /// The backoff that followed it.
    pub delay_ms: u64,
    /// `plan::TaskResult`, of an accepted attempt.
    pub result_json: Option<Arc<str>>,
    /// `Vec<types::OutputObject>`, of an accepted attempt.
    pub outputs_json: Option<Arc<str>>,
    /// What the sweeper did below its prefix; of an attempt that was not accepted.
    pub sweep: Option<Sweep>,
}

/// How far the sweeper is with an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// When it swept last, or when the attempt was heard of after that.
    pub at_ms: i64,
    /// Deleted so far.
    pub objects: u64,
    /// It will sweep once more: an upload that stood still may have written there since.
    pub again: bool,
}

/// How an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Running,
    Accepted,
    Superseded,
    Cancelled,
    Failed(FailureClass),
}

impl Outcome {
    /// The word used in the database, on the wire and on screens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Accepted => "accepted",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::Failed(class) => class.as_str(),
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Running,
            Self::Accepted,
            Self::Superseded,
            Self::Cancelled,
        ]
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .or_else(|| FailureClass::parse(text).map(Self::Failed))
    }
}

/// A user's request and its answer, so that the same id gets it again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRow {
    pub id: RequestId,
    pub job: JobId,
    pub answer: RequestAnswer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestAnswer {
    Submitted(SubmitOutcome),
    Cancelled(JobState),
    Retried { tasks: u32 },
    Rethresholded { tasks: u32, before: u64 },
    Deleted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutboxId(pub u64);

/// Something that the store does not show yet, or nobody was told yet, although the database says it is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    pub id: OutboxId,
    pub job: JobId,
    /// URI of the job's store.
    pub store: String,
    pub item: OutboxItem,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "item")]
pub enum OutboxItem {
    /// `jobs/{job}/spec.yaml` and `plan.json`, from the job's row.
    Spec,
    /// Copies the tables of the accepted reduce attempt, or the files of an export, to `jobs/{job}/results/{generation}/{name}` and its
    /// manifest to `jobs/{job}/manifest/{generation}.parquet`. The job does not end before.
    Results {
        generation: u64,
        /// Of the reduce attempt, relative to the store's root.
        prefix: String,
        tables: Vec<PublishedTable>,
        /// Below the prefix.
        manifest: String,
        /// The folder of the store's index that gets a copy of the table `scores`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        index: Option<String>,
        /// And copies of these, relative to the store's root.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        merged: Vec<String>,
    },
    /// Puts `models/{name}/{version}.json` under the first version that is free, by put-if-absent; an entry
    /// there that names this package is one's own. The job does not end before.
    Model {
        name: String,
        run: u32,
        /// The package's `package.json`, relative to the store's root.
        package: String,
        sha256: String,
    },
    /// Tells whoever wants to know that the job has ended. It is over already, and may be open again before they hear.
    Notice(Box<Notice>),
}

impl OutboxItem {
    /// Whether the job does not end before it is delivered.
    pub fn is_waited_for(&self) -> bool {
        match self {
            Self::Results { .. } | Self::Model { .. } => true,
            Self::Spec | Self::Notice(_) => false,
        }
    }

    /// Whether it writes to the job's store.
    pub fn is_for_store(&self) -> bool {
        match self {
            Self::Spec | Self::Results { .. } | Self::Model { .. } => true,
            Self::Notice(_) => false,
        }
    }

    /// The word for people and logs.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Spec => "spec",
            Self::Results { .. } => "results",
            Self::Model { .. } => "model",
            Self::Notice(_) => "notice",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRow {
    pub worker: WorkerName,
    pub incarnation: Incarnation,
    pub pool: PoolName,
    pub slots: u32,
    pub version: String,
    pub engines: Vec<String>,
    pub devices: Devices,
    /// Kinds of tasks that its release knows.
    pub kinds: BTreeSet<TaskKind>,
    pub labels: Labels,
    pub memory_bytes: u64,
    /// A user asked that it gets nothing more.
    pub draining: bool,
    /// Too much failed on it in a row: it gets nothing more until it is released.
    pub quarantine: Option<Quarantine>,
    /// It said that it ends: this incarnation is over.
    pub left: bool,
    /// It serves one command and does not come back under this name: forgotten when it is gone.
    pub temporary: bool,
}

/// Why a worker gets nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    pub since_ms: i64,
    /// For people.
    pub reason: String,
}

/// A trained model that the store's `models/` points at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelRow {
    pub name: String,
    pub version: u32,
    pub job: JobId,
    pub run: u32,
    /// URI of package.json.
    pub package: String,
    pub sha256: String,
    pub created_ms: i64,
}

/// Name, version and package: every store counts the versions of a name by itself.
pub type ModelKey = (String, u32, String);

impl ModelRow {
    pub fn key(&self) -> ModelKey {
        (self.name.clone(), self.version, self.package.clone())
    }
}

/// Numbers that only grow: the last ones given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    pub lease: u64,
    pub job: u64,
    pub outbox: u64,
    /// The last lease from before the database was restored from a backup; 0: it never was. What became of these attempts
    /// after the backup was made is not known: those that are not accepted never will be, and what they wrote stays.
    pub restored: u64,
}
