//! How many there are of what: the numbers that monitoring asks for. No ids, so that their number stays bounded.

use std::collections::BTreeMap;

use plan::TaskSpec;
use types::{JobState, PoolName, TaskState};

use crate::{
    backlog::{Backlog, Lasted},
    core::Core,
    event::Now,
    job::{Job, Task},
    query::WorkerState,
    rows::{AttemptRow, OutboxItem, Outcome},
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    pub jobs: BTreeMap<JobState, u64>,
    pub pools: BTreeMap<PoolName, Pool>,
    pub ended: EndedAttempts,
    /// Leases that are current.
    pub leases: u64,
    /// Objects for stores, and notices for the webhook.
    pub objects: Untaken,
    pub notices: Untaken,
}

/// What has not been taken yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Untaken {
    pub waiting: u64,
    /// Those of them that were refused at least once.
    pub refused: u64,
}

/// Attempts that have ended, of all jobs that are known or were forgotten since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndedAttempts {
    /// By how they ended.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Images of score tasks that were accepted, each once a run.
    pub images: u64,
    /// Attempts whose prefix was swept, and the objects that were deleted there.
    pub swept: u64,
    pub swept_objects: u64,
}

impl EndedAttempts {
    /// `spec`: of its task.
    pub(crate) fn count(&mut self, attempt: &AttemptRow, spec: &TaskSpec) {
        if attempt.outcome == Outcome::Running {
            return;
        }
        if let (Outcome::Accepted, TaskSpec::Score { count, .. }) = (attempt.outcome, spec) {
            self.images += count;
        }
        *self.outcomes.entry(attempt.outcome.as_str()).or_default() += 1;
        if let Some(sweep) = attempt.sweep {
            self.swept += 1;
            self.swept_objects += sweep.objects;
        }
    }
}

/// What jobs want of a pool, and what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    pub tasks: BTreeMap<TaskState, u64>,
    pub workers: BTreeMap<&'static str, u64>,
    /// Of live workers.
    pub slots: u64,
    pub backlog: Backlog,
}

impl Core {
    /// In the order of leases: those of one job stand together, for the most part, so that hardly anything is looked up.
    fn attempts_with_tasks(&self) -> impl Iterator<Item = (&Job, &Task, &AttemptRow)> {
        let mut last: Option<&Job> = None;
        self.attempts.values().filter_map(move |attempt| {
            let job = match last {
                Some(job) if *job.id() == attempt.job => job,
                _ => self.jobs.get(self.job_numbers.get(&attempt.job)?)?,
            };
            last = Some(job);
            Some((job, job.task(attempt.task)?, attempt))
        })
    }

    /// Walks over all attempts, once, and over the tasks of jobs that have something to do: for a question every few seconds.
    pub fn census(&self, now: Now) -> Census {
        let mut census = Census {
            leases: self.held.len() as u64,
            ended: self.forgotten.clone(),
            ..Census::default()
        };
        for job in self.jobs.values() {
            *census.jobs.entry(job.state()).or_default() += 1;
            let pool = census
                .pools
                .entry(job.resolved.resources.pool.clone())
                .or_default();
            for &state in TaskState::ALL {
                *pool.tasks.entry(state).or_default() += job.counts.of(state);
            }
        }
        let mut lasted = Lasted::default();
        for (job, task, attempt) in self.attempts_with_tasks() {
            census.ended.count(attempt, &task.spec);
            if task.accepted == Some(attempt.lease) {
                lasted.note(job, task.spec.kind(), attempt.ran_ms);
            }
        }
        for view in self.worker_views() {
            let pool = census.pools.entry(view.row.pool.clone()).or_default();
            *pool.workers.entry(view.state.as_str()).or_default() += 1;
            if view.state == WorkerState::Live {
                pool.slots += u64::from(view.row.slots);
            }
        }
        for (id, row) in &self.outbox {
            let of = match row.item {
                OutboxItem::Notice(_) => &mut census.notices,
                _ => &mut census.objects,
            };
            of.waiting += 1;
            of.refused += u64::from(self.undelivered.contains_key(id));
        }
        for (pool, backlog) in self.backlogs(&lasted, now) {
            census.pools.entry(pool).or_default().backlog = backlog;
        }
        census
    }
}
