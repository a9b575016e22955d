//! The core from its rows, and the rows from the core: each the other's inverse, apart from what is volatile.

use std::{collections::BTreeSet, sync::Arc};

use plan::Expansion;
use types::{Epoch, JobId, TaskIndex, TaskState};

use crate::{
    core::{Core, Held, Timer},
    event::Now,
    job::{Job, JobNumber},
    rows::{Outcome, Rows},
    settings::Settings,
    worker::Worker,
};

/// Rows that no core wrote: the database was changed by other hands, or by another version.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    #[error("job {job}: {what} cannot be read")]
    Unreadable {
        job: JobId,
        what: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("job {job}, task {task}: {what}")]
    Contradiction { job: JobId, task: u32, what: String },
    #[error("a row names job {0}, which has no row")]
    NoJob(JobId),
}

impl Core {
    /// The core that wrote these rows, in a new epoch. Every lease gets one full ttl; every worker, too, to
    /// be heard before it is taken for gone.
    pub fn rebuild(
        settings: Settings,
        rows: Rows,
        epoch: Epoch,
        now: Now,
    ) -> Result<Self, RebuildError> {
        let mut core = Self::new(settings, epoch, now);
        core.counters = rows.counters;
        for row in rows.jobs.values() {
            let read = |what| {
                move |source| RebuildError::Unreadable {
                    job: row.id.clone(),
                    what,
                    source,
                }
            };
            let resolved =
                serde_json::from_str(&row.resolved_json).map_err(read("the resolved job"))?;
            let plan = serde_json::from_str(&row.plan_json).map_err(read("the plan"))?;
            let job = Job::new(row.clone(), resolved, plan).map_err(contradiction(&row.id))?;
            core.job_numbers.insert(row.id.clone(), row.number);
            core.jobs.insert(row.number, job);
        }
        for row in rows.job_progress.into_values() {
            let job = core.job_of(&row.job)?;
            job.paused_until_ms = row
                .outage
                .map(|o| o.pause.remaining_ms(now.wall_ms))
                .filter(|&ms| ms > 0)
                .map(|ms| now.mono_ms + ms);
            job.limit_ms = row
                .limit
                .filter(|_| row.finished_ms.is_none())
                .map(|limit| now.mono_ms + limit.deadline.remaining_ms(now.wall_ms));
            let limit = job.limit_ms.map(|due| (due, Timer::Limit(job.row.number)));
            let pause = job
                .paused_until_ms
                .map(|due| (due, Timer::Pause(job.row.number)));
            job.progress = row;
            core.timers.extend(pause);
            core.timers.extend(limit);
        }
        for job in core.jobs.values() {
            if let (Some(key), false) = (&job.row.key, job.is_deleted()) {
                core.keys.insert(key.clone(), job.row.number);
            }
        }
        for row in rows.rethresholds.into_values() {
            let job = core.job_of(&row.job)?;
            job.rethreshold = Some(row);
        }
        core.take_expansions(&rows.expansions)?;
        for row in rows.attempts.into_values() {
            let job = core.job_of(&row.job)?;
            let no_task = || RebuildError::Contradiction {
                job: row.job.clone(),
                task: row.task.0,
                what: "has an attempt, but is not in the plan".to_owned(),
            };
            let task = job.tasks.get_mut(row.task.0 as usize).ok_or_else(no_task)?;
            task.attempts.push(row.lease);
            let run = task.spec.run();
            job.any_granted = true;
            if let Some(run) = run.and_then(|run| job.runs.get_mut(run as usize)) {
                run.granted = true;
            }
            let number = job.row.number;
            if row.outcome == Outcome::Running {
                let before_ms = now
                    .wall_ms
                    .saturating_sub(row.granted_ms)
                    .max(0)
                    .unsigned_abs();
                let deadline_ms = now.mono_ms + core.settings.lease_ttl_ms;
                core.held.insert(
                    row.lease,
                    Held {
                        job: number,
                        deadline_ms,
                        since_ms: now.mono_ms,
                        before_ms,
                        progress: None,
                        images: None,
                    },
                );
            }
            core.claims.insert(row.claim.clone(), row.lease);
            core.attempts.insert(row.lease, row);
        }
        for row in rows.tasks.into_values() {
            core.take_task(row, now)?;
        }
        for job in core.jobs.values_mut() {
            job.take_objectives(&core.attempts);
        }
        for row in rows.outbox.into_values() {
            let job = core.job_of(&row.job)?;
            if row.item.is_waited_for() {
                job.publishing.insert(row.id);
            }
            core.outbox.insert(row.id, row);
        }
        for row in rows.workers.into_values() {
            let held = core
                .held
                .keys()
                .copied()
                .filter(|l| core.attempts.get(l).is_some_and(|a| a.worker == row.worker))
                .collect();
            let worker = Worker {
                past: BTreeSet::new(),
                last_seen_ms: now.mono_ms,
                last_seen_wall_ms: None,
                gone: row.left,
                held,
                streak: Vec::new(),
                row,
            };
            core.workers.insert(worker.row.worker.clone(), worker);
        }
        core.requests = rows.requests;
        core.models = rows.models;
        core.derive(now);
        core.plan_sweeps(now);
        core.wake_every_pool();
        Ok(core)
    }

    fn job_of(&mut self, id: &JobId) -> Result<&mut Job, RebuildError> {
        let number = self
            .job_numbers
            .get(id)
            .ok_or_else(|| RebuildError::NoJob(id.clone()))?;
        self.jobs
            .get_mut(number)
            .ok_or_else(|| RebuildError::NoJob(id.clone()))
    }

    /// In the order in which they happened: that of the indexes they gave.
    fn take_expansions(
        &mut self,
        rows: &std::collections::BTreeMap<(JobId, TaskIndex), crate::rows::ExpansionRow>,
    ) -> Result<(), RebuildError> {
        let mut read: Vec<(JobId, TaskIndex, Expansion, Arc<str>)> = Vec::new();
        for row in rows.values() {
            let unreadable = |source| RebuildError::Unreadable {
                job: row.job.clone(),
                what: "an expansion",
                source,
            };
            let expansion = serde_json::from_str(&row.expansion_json).map_err(unreadable)?;
            read.push((
                row.job.clone(),
                row.by,
                expansion,
                row.expansion_json.clone(),
            ));
        }
        read.sort_by_key(|(_, _, expansion, _)| expansion.tasks.first().map(|t| t.index));
        for (id, by, expansion, json) in read {
            let job = self.job_of(&id)?;
            job.expand(expansion).map_err(contradiction(&id))?;
            job.expansions.insert(by, json);
        }
        Ok(())
    }

    fn take_task(&mut self, row: crate::rows::TaskRow, now: Now) -> Result<(), RebuildError> {
        let job = self.job_of(&row.job)?;
        let number: JobNumber = job.row.number;
        let Some(task) = job.tasks.get_mut(row.index.0 as usize) else {
            return Err(RebuildError::Contradiction {
                job: row.job,
                task: row.index.0,
                what: "has a row, but is not in the plan".to_owned(),
            });
        };
        task.state = row.state;
        task.generation = row.generation;
        task.accepts_from = row.accepts_from;
        task.backoff = row.backoff;
        task.avoid = row.avoid;
        task.because = row.because;
        task.accepted = row.accepted;
        task.touched = true;
        let waiting = row
            .backoff
            .map(|b| b.remaining_ms(now.wall_ms))
            .filter(|&ms| ms > 0 && row.state == TaskState::Ready);
        task.due_ms = waiting.map(|ms| now.mono_ms + ms);
        let timer = task
            .due_ms
            .map(|due_ms| (due_ms, Timer::Backoff(number, row.index)));
        self.timers.extend(timer);
        Ok(())
    }

    /// What follows from the rows: who waits for whom, what is ready, the counts, the order of the pools.
    fn derive(&mut self, now: Now) {
        for job in self.jobs.values_mut() {
            job.derive();
        }
        for number in self.jobs.keys().copied().collect::<Vec<_>>() {
            // Nothing is decided here, so there is nothing to carry out.
            let mut nothing = Vec::new();
            self.settle(number, now, &mut nothing);
        }
    }

    /// Everything that must be persisted, as it should stand in the database now.
    pub fn rows(&self) -> Rows {
        let mut rows = Rows {
            attempts: self.attempts.clone(),
            requests: self.requests.clone(),
            outbox: self.outbox.clone(),
            models: self.models.clone(),
            workers: self
                .workers
                .iter()
                .map(|(name, w)| (name.clone(), w.row.clone()))
                .collect(),
            counters: self.counters,
            ..Rows::default()
        };
        for job in self.jobs.values() {
            rows.jobs.insert(job.row.id.clone(), job.row.clone());
            rows.job_progress
                .insert(job.row.id.clone(), job.progress.clone());
            if let Some(row) = &job.rethreshold {
                rows.rethresholds.insert(job.row.id.clone(), row.clone());
            }
            for (by, json) in &job.expansions {
                rows.expansions
                    .insert((job.row.id.clone(), *by), job.expansion_row(*by, json));
            }
            for (i, task) in job.tasks.iter().enumerate() {
                if task.touched {
                    let index = TaskIndex(i as u32);
                    rows.tasks
                        .insert((job.row.id.clone(), index), job.task_row(index));
                }
            }
        }
        rows
    }
}

fn contradiction(job: &JobId) -> impl Fn((TaskIndex, String)) -> RebuildError + '_ {
    move |(task, what)| RebuildError::Contradiction {
        job: job.clone(),
        task: task.0,
        what,
    }
}
