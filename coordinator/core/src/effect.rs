//! Orders that the core gives the shell, and the answers to those who asked.

use plan::Assignment;
use types::{Epoch, JobId, JobState, LeaseNumber, PoolName, RequestId, TaskId, WorkerName};

use crate::{
    event::Ticket,
    rows::{Change, OutboxRow},
    skip::CannotSkip,
    wake_up::WakeUp,
};

/// One order. The shell collects the effects of a whole batch of events, carries out every
/// `Persist` in one transaction that asserts its epoch, and only after the commit the others, in order.
/// If the commit fails, the process ends and nothing of the batch is shown to anybody.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    Persist(Change),
    Reply {
        to: Ticket,
        reply: Reply,
    },
    /// Something in this pool may have become claimable: for claims that are held open.
    Wake {
        pool: PoolName,
    },
    /// Give this to the broker, once, and say so if it did not take it.
    Publish(WakeUp),
    /// Bring this to the store, as often as it takes, then say [`crate::Event::OutboxDelivered`].
    /// After a restart: [`crate::Core::outbox`].
    Deliver(OutboxRow),
    /// Delete everything below this prefix, as often as it takes, then say [`crate::Event::PrefixSwept`]. After a restart it
    /// is ordered again. Nobody will ever want it: an order that is carried out late, or twice, does no harm.
    Sweep(Leftovers),
    /// Delete everything of a job but what is to be kept, as often as it takes, then say [`crate::Event::JobRemoved`]. After a
    /// restart it is ordered again; carried out late, or twice, it does no harm.
    Remove(Removal),
    /// Something about the job, which somebody may be watching, changed (also what is volatile).
    JobChanged(JobId),
}

/// What an attempt that does not count wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers {
    pub lease: LeaseNumber,
    pub task: TaskId,
    /// Within the task, from 1.
    pub attempt: u32,
    /// URI of the job's store.
    pub store: String,
    /// Relative to the store's root.
    pub prefix: String,
}

/// What a job left that its user deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub job: JobId,
    /// URI of the job's store.
    pub store: String,
    /// Prefixes that stay, relative to the store's root.
    pub keep: Vec<String>,
    /// For the second time.
    pub again: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    Submitted {
        job: JobId,
        outcome: SubmitOutcome,
        warnings: Vec<String>,
    },
    Cancelled {
        state: JobState,
    },
    Retried {
        tasks: u32,
    },
    Rethresholded {
        tasks: u32,
        /// Generation of the results as they were until then.
        before: u64,
    },
    /// Nobody sees the job any more.
    Deleted {
        /// What it left has gone, too.
        removed: bool,
    },
    Draining,
    /// The worker is not in quarantine (any more).
    WorkerReleased,
    Registered {
        epoch: Epoch,
        lease_ttl_ms: u64,
        heartbeat_ms: u64,
    },
    Claimed {
        epoch: Epoch,
        answer: ClaimAnswer,
    },
    Heartbeat {
        epoch: Epoch,
        answer: HeartbeatAnswer,
    },
    Completed {
        epoch: Epoch,
        verdict: Verdict,
    },
    /// To a failure, a release or a leave: it is written down (or was, or does not matter any more).
    Noted {
        epoch: Epoch,
    },
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmitOutcome {
    Created,
    /// The key's job is open: joined.
    Attached,
    /// The key's job had failed or been cancelled: what is missing is computed.
    Retried,
    /// The key's job has succeeded.
    Done,
}

#[derive(Debug, Clone, PartialEq)]
pub enum ClaimAnswer {
    Granted(Box<Assignment>),
    /// No task now. Not an answer that is kept: the same id may be granted later.
    Nothing,
    /// The lease that this claim id got has ended.
    Ended,
    /// The coordinator does not know this incarnation: register, then claim again.
    Unregistered,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeartbeatAnswer {
    /// Leases to stop working on: what they finish would not be accepted any more.
    pub cancel: Vec<LeaseNumber>,
    pub drain: bool,
    /// The coordinator does not know this incarnation.
    pub register: bool,
}

/// What became of an attempt that was completed. Depends on the attempt's row alone and never changes.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accepted,
    /// Another attempt was accepted, or the task had ended.
    Superseded,
    Cancelled,
}

/// Why something was not done. Nothing is stored for it, and asking again gives it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("job {0} is not known; `ctl get jobs` lists those that are")]
    UnknownJob(JobId),
    #[error("job id {0} is taken; choose another")]
    JobIdTaken(JobId),
    #[error(
        "key {key:?} belongs to job {job} with another content; submit under another key, or without one"
    )]
    KeyTaken { key: String, job: JobId },
    #[error("request id {0} was used for something else")]
    RequestReused(RequestId),
    #[error("the plan of job {job} is broken: task {task} {what}")]
    BrokenPlan { job: JobId, task: u32, what: String },
    #[error("job {job} is {state}: only jobs that have ended are deleted; `ctl cancel` ends it")]
    NotOver { job: JobId, state: JobState },
    #[error("job {job} is {state}: a new threshold is for jobs that have ended")]
    JobOpen { job: JobId, state: JobState },
    #[error(
        "job {job} is {state} and has no results to decide anew; `ctl retry` computes what is missing"
    )]
    NoScores { job: JobId, state: JobState },
    #[error(
        "job {job} is {state}: images are scored, but what was to decide about them has failed, so there is nothing to decide anew; \
         `ctl describe {job}` says why; a retry helps where that may pass"
    )]
    NotDecided { job: JobId, state: JobState },
    #[error("job {0} is an export: it has scored nothing that could be decided anew")]
    Export(JobId),
    #[error(
        "job {0} was cancelled: nothing of it is decided anew before `ctl retry` has computed what is missing"
    )]
    JobCancelled(JobId),
    #[error(
        "job {0} is a search: its trials were chosen by what they came to with its thresholds; \
         test its best model under another one (`kind: test`)"
    )]
    Search(JobId),
    #[error(
        "job {0} scores images without labels, from which no threshold can be chosen; \
         give one: `ctl rethreshold {0} --manual X`"
    )]
    NoLabels(JobId),
    #[error("job {job} has no run {run}; its {runs} are counted from 0")]
    UnknownRun { job: JobId, run: u32, runs: usize },
    #[error(
        "run {run} of job {job} has no scores to decide anew; `ctl retry` computes what is missing"
    )]
    RunWithoutScores { job: JobId, run: u32 },
    #[error("the images of job {job} cannot be skipped: {why}")]
    CannotSkip { job: JobId, why: CannotSkip },
    #[error("worker {0} is not known; `ctl get workers` lists those that are")]
    UnknownWorker(WorkerName),
    #[error(
        "worker {worker} has been started again since, and this incarnation is over; two workers of one machine need two names (--name)"
    )]
    StaleIncarnation { worker: WorkerName },
    #[error("lease {0} was never granted")]
    UnknownLease(LeaseNumber),
    #[error("lease {lease} does not belong to this incarnation of worker {worker}")]
    NotYourLease {
        lease: LeaseNumber,
        worker: WorkerName,
    },
    #[error("lease {lease}: output {path:?} is not below the attempt's prefix")]
    ForeignOutput { lease: LeaseNumber, path: String },
    #[error("lease {lease}: {what}")]
    WrongResult { lease: LeaseNumber, what: String },
}
