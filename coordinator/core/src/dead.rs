//! Tasks that nobody tries again unless a user says so, over all jobs.

use types::{Failure, JobId, TaskId, TaskIndex, TaskKind, TaskState, WorkerName};

use crate::{core::Core, job::Job};

/// A task that failed for good, or was tried as often as allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadTask<'a> {
    pub id: TaskId,
    pub job_name: &'a str,
    pub kind: TaskKind,
    pub run: Option<u32>,
    pub state: TaskState,
    /// The last one.
    pub failure: Failure,
    /// Over all generations.
    pub attempts: usize,
    /// Of the last attempt.
    pub worker: Option<&'a WorkerName>,
    /// By the wall clock; 0 if it was never tried.
    pub ended_ms: i64,
}

impl Core {
    /// Newest job first; within a job in order of the tasks. Costs nothing for what has not failed.
    pub fn dead<'a>(&'a self, only: Option<&'a JobId>) -> impl Iterator<Item = DeadTask<'a>> {
        let wanted =
            move |job: &&Job| !job.is_deleted() && only.is_none_or(|only| job.id() == only);
        let jobs = self.jobs.values().rev().filter(wanted);
        jobs.flat_map(move |job| {
            let tasks = job.failed.iter();
            tasks.filter_map(move |&index| self.dead_task(job, index))
        })
    }

    fn dead_task<'a>(&'a self, job: &'a Job, index: TaskIndex) -> Option<DeadTask<'a>> {
        let task = job.task(index)?;
        let last = task.attempts.last().and_then(|l| self.attempts.get(l));
        Some(DeadTask {
            id: TaskId {
                job: job.id().clone(),
                index,
            },
            job_name: &job.resolved.name,
            kind: task.spec.kind(),
            run: task.spec.run(),
            state: task.state,
            failure: self.failure(job, index),
            attempts: task.attempts.len(),
            worker: last.map(|attempt| &attempt.worker),
            ended_ms: last.and_then(|attempt| attempt.ended_ms).unwrap_or(0),
        })
    }
}
