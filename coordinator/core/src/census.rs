//! How many there are of what: the numbers that monitoring asks for. No ids, so that their number stays bounded.

use std::collections::BTreeMap;

use plan::TaskSpec;
use types::{JobState, PoolName, TaskState};

use crate::{
    backlog::Backlog,
    core::Core,
    event::Now,
    query::WorkerState,
    rows::{AttemptRow, Outcome},
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    pub jobs: BTreeMap<JobState, u64>,
    pub pools: BTreeMap<PoolName, Pool>,
    pub ended: EndedAttempts,
    /// Leases that are current.
    pub leases: u64,
    /// What the stores and the webhook have not taken yet, and how much of it was refused at least once.
    pub outbox: u64,
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
    /// Walks over tasks and attempts: for a question every few seconds, not for one a task.
    pub fn census(&self, now: Now) -> Census {
        let mut census = Census {
            leases: self.held.len() as u64,
            outbox: self.outbox.len() as u64,
            refused: self.undelivered.len() as u64,
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
            for task in &job.tasks {
                for attempt in task
                    .attempts
                    .iter()
                    .filter_map(|lease| self.attempts.get(lease))
                {
                    census.ended.count(attempt, &task.spec);
                }
            }
        }
        for view in self.worker_views() {
            let pool = census.pools.entry(view.row.pool.clone()).or_default();
            *pool.workers.entry(view.state.as_str()).or_default() += 1;
            if view.state == WorkerState::Live {
                pool.slots += u64::from(view.row.slots);
            }
        }
        for (pool, backlog) in self.backlogs(now) {
            census.pools.entry(pool).or_default().backlog = backlog;
        }
        census
    }
}
