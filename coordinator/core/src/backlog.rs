//! How much a pool has to do, in time of one slot, and for how long the oldest of it has waited: what pools are scaled by.

use std::collections::BTreeMap;

use types::{PoolName, TaskKind, TaskState};

use crate::{
    core::Core,
    event::Now,
    job::{Job, JobNumber, Task},
};

/// What a task is taken to last while none of its kind has been accepted in its pool.
const UNKNOWN_MS: u64 = 60_000;
/// What a running task is taken to last yet, however long it has run: its slot is in use.
const LEAST_LEFT_MS: u64 = 1_000;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// What the tasks that run or may run are expected to take one slot. Of those that may not run before others have ended
    /// nothing is in it, nor of those of a job that pauses.
    pub work_ms: u64,
    /// How long the task that has waited longest could have been running. A task that was opened again, by a retry of its
    /// user or another threshold, counts from its last end.
    pub oldest_ms: u64,
}

/// A mean time, as its sum and number.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum_ms: u64,
    number: u64,
}

impl Mean {
    fn add(&mut self, ms: u64) {
        self.sum_ms = self.sum_ms.saturating_add(ms);
        self.number += 1;
    }

    fn ms(self) -> Option<u64> {
        self.sum_ms.checked_div(self.number)
    }
}

/// By the kind of task.
type Means = [Mean; TaskKind::ALL.len()];

/// How long tasks of each kind took: in their own job, else in any job of the pool.
#[derive(Default)]
pub(crate) struct Lasted<'a> {
    /// Of jobs that have something to do.
    in_job: BTreeMap<JobNumber, Means>,
    in_pool: BTreeMap<&'a PoolName, Means>,
}

impl<'a> Lasted<'a> {
    /// An attempt of such a task that was accepted.
    pub fn note(&mut self, job: &'a Job, kind: TaskKind, ran_ms: u64) {
        let in_pool = self.in_pool.entry(&job.resolved.resources.pool);
        in_pool.or_default()[kind as usize].add(ran_ms);
        if has_work(job) {
            let in_job = self.in_job.entry(job.row.number);
            in_job.or_default()[kind as usize].add(ran_ms);
        }
    }

    fn expected_ms(&self, number: JobNumber, job: &Job, kind: TaskKind) -> u64 {
        let of_job = self.in_job.get(&number);
        let of_pool = self.in_pool.get(&job.resolved.resources.pool);
        let mut known = [of_job, of_pool].into_iter().flatten();
        known
            .find_map(|means| means[kind as usize].ms())
            .unwrap_or(UNKNOWN_MS)
    }
}

/// Whether any of its tasks runs or may run.
fn has_work(job: &Job) -> bool {
    [TaskState::Running, TaskState::Ready].map(|state| job.counts.of(state)) != [0, 0]
}

impl Core {
    /// Walks over the tasks of jobs that have something to do.
    pub(crate) fn backlogs(&self, lasted: &Lasted, now: Now) -> BTreeMap<PoolName, Backlog> {
        let mut backlogs = BTreeMap::<_, Backlog>::new();
        for (&number, job) in &self.jobs {
            let pool = job.resolved.resources.pool.clone();
            let backlog = backlogs.entry(pool).or_default();
            if !has_work(job) {
                continue;
            }
            for task in &job.tasks {
                let expected_ms = || lasted.expected_ms(number, job, task.spec.kind());
                match task.state {
                    TaskState::Running => {
                        let left_ms = expected_ms().saturating_sub(self.ran_ms(task, now));
                        backlog.work_ms += left_ms.max(LEAST_LEFT_MS);
                    }
                    TaskState::Ready if job.paused_until_ms.is_none() => {
                        backlog.work_ms += expected_ms();
                        if task.due_ms.is_none() {
                            let waited_ms =
                                now.wall_ms.saturating_sub(self.ready_since_ms(job, task));
                            let waited_ms = u64::try_from(waited_ms).unwrap_or(0);
                            backlog.oldest_ms = backlog.oldest_ms.max(waited_ms);
                        }
                    }
                    _ => {}
                }
            }
        }
        backlogs
    }

    fn ran_ms(&self, task: &Task, now: Now) -> u64 {
        let held = task
            .attempts
            .iter()
            .rev()
            .find_map(|lease| self.held.get(lease));
        held.map_or(0, |held| held.ran_ms(now))
    }

    /// By the wall clock: when the job came, the last task that it waited for was accepted, or its last attempt ended.
    fn ready_since_ms(&self, job: &Job, task: &Task) -> i64 {
        let needed = task
            .depends_on
            .iter()
            .filter_map(|needed| job.task(needed.task)?.accepted);
        let leases = needed.chain(task.attempts.last().copied());
        let ends = leases.filter_map(|lease| self.attempts.get(&lease)?.ended_ms);
        ends.fold(job.row.created_ms, i64::max)
    }
}
