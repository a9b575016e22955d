//! The core checked against itself: what is counted and indexed against what is there.

use std::collections::BTreeMap;

use types::TaskState;

use crate::{
    core::Core,
    job::{Counts, Ready, is_met},
    pace::Images,
    rows::Outcome,
};

impl Core {
    /// Everything that contradicts itself; empty unless there is a bug. For tests: it looks at every task.
    pub fn audit(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut held_by_task = BTreeMap::new();
        for (lease, held) in &self.held {
            let Some(attempt) = self.attempts.get(lease) else {
                wrong.push(format!("lease {lease} is held, but has no attempt"));
                continue;
            };
            if attempt.outcome != Outcome::Running {
                wrong.push(format!(
                    "lease {lease} is held, but {}",
                    attempt.outcome.as_str()
                ));
            }
            *held_by_task.entry((held.job, attempt.task)).or_insert(0u32) += 1;
        }
        let running = self
            .attempts
            .values()
            .filter(|a| a.outcome == Outcome::Running)
            .count();
        if running != self.held.len() {
            wrong.push(format!(
                "{running} attempts run, but {} leases are held",
                self.held.len()
            ));
        }
        for (number, job) in &self.jobs {
            let (mut counts, mut images) = (Counts::default(), Images::default());
            let mut ready = Ready::default();
            for (i, task) in job.tasks.iter().enumerate() {
                let index = types::TaskIndex(i as u32);
                let name = || format!("job {} task {i} ({})", job.id(), task.state);
                counts.add(task.state);
                images.add(&task.spec, task.state);
                let unmet = task
                    .depends_on
                    .iter()
                    .filter(|d| !is_met(d.rule, job.tasks[d.task.0 as usize].state))
                    .count() as u32;
                match task.state {
                    TaskState::Blocked if unmet == 0 || unmet != task.unmet => {
                        wrong.push(format!("{} waits for {unmet}, not {}", name(), task.unmet))
                    }
                    TaskState::Ready if unmet > 0 => {
                        wrong.push(format!("{} waits for {unmet} tasks", name()))
                    }
                    TaskState::Ready if task.due_ms.is_none() => {
                        ready.insert(index, task.avoid.as_ref())
                    }
                    _ => {}
                }
                let held = held_by_task.get(&(*number, index)).copied().unwrap_or(0);
                let wanted = u32::from(matches!(
                    task.state,
                    TaskState::Running | TaskState::Cancelling
                ));
                if held != wanted {
                    wrong.push(format!("{} has {held} current leases", name()));
                }
                if (task.state == TaskState::Succeeded) != task.accepted.is_some() {
                    wrong.push(format!("{} has accepted {:?}", name(), task.accepted));
                }
            }
            if (counts, images) != (job.counts, job.images) {
                wrong.push(format!(
                    "job {} counts {:?} and {:?}, recounted {counts:?} and {images:?}",
                    job.id(),
                    job.counts,
                    job.images
                ));
            }
            if ready != job.ready {
                wrong.push(format!(
                    "job {} has {:?} ready, recounted {ready:?}",
                    job.id(),
                    job.ready
                ));
            }
            let eligible =
                !job.is_cancelled() && job.paused_until_ms.is_none() && !ready.is_empty();
            let listed = job.rank.is_some_and(|rank| {
                self.pools
                    .get(&job.resolved.resources.pool)
                    .is_some_and(|p| p.contains(&rank))
            });
            if eligible != listed {
                wrong.push(format!(
                    "job {} eligible: {eligible}, listed in its pool: {listed}",
                    job.id()
                ));
            }
        }
        wrong
    }
}
