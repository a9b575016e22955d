//! Workers that fail whatever they get: taken out, so that no task pays for them.

use types::{FailureClass, LeaseNumber, PoolName, TaskId, WorkerName};

use crate::{
    core::Core,
    effect::{Effect, Refusal, Reply},
    event::Now,
    rows::{AttemptRow, Change, Outcome, Quarantine},
    worker::Worker,
};

/// A failed attempt that its worker may be to blame for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suspicion {
    pub lease: LeaseNumber,
    /// When it failed, on the monotonic clock.
    pub at_ms: u64,
}

/// While something is down everywhere nothing speaks against a worker, and its failures add up.
const LONGEST_STREAK: usize = 64;

/// Longest part of a failure's message in the reason.
const MOST_OF_MESSAGE: usize = 300;

impl Core {
    /// Notes how an attempt failed if its worker may be to blame for it. After enough in a row on different tasks it gets
    /// nothing more, and none of them counts against its task. The last worker of its pool goes on: what fails
    /// everywhere must not end the work of all.
    pub(crate) fn suspect(
        &mut self,
        lease: LeaseNumber,
        class: FailureClass,
        message: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        use FailureClass::{Crashed, Internal, Unavailable};
        if !matches!(class, Crashed | Internal | Unavailable) {
            return;
        }
        let Some(attempt) = self.attempts.get(&lease) else {
            return;
        };
        let Some(worker) = self.workers.get(&attempt.worker) else {
            return;
        };
        let name = attempt.worker.clone();
        if worker.row.incarnation != attempt.incarnation {
            return;
        }
        if worker.row.quarantine.is_some() {
            // Granted before.
            self.uncount(lease, out);
            return;
        }
        // Of one task only the last failure stays: several may be the task's own fault.
        let of_task = |other: &Suspicion| {
            let other = self.attempts.get(&other.lease);
            other.is_some_and(|other| other.job == attempt.job && other.task == attempt.task)
        };
        let mut streak = worker.streak.clone();
        streak.retain(|suspicion| !of_task(suspicion));
        streak.push(Suspicion {
            lease,
            at_ms: now.mono_ms,
        });
        if streak.len() > LONGEST_STREAK {
            streak.remove(0);
        }
        let against = streak.iter().filter(|s| self.is_against(&name, s)).count();
        if against >= self.settings.quarantine_after && self.is_replaceable(worker, attempt) {
            let reason = reason(attempt, class, message, streak.len());
            for suspicion in std::mem::take(&mut streak) {
                self.uncount(suspicion.lease, out);
            }
            self.close(&name, reason, now, out);
        }
        if let Some(worker) = self.workers.get_mut(&name) {
            worker.streak = streak;
        }
    }

    /// Whether the failure speaks against its worker. What did not answer may be down for everybody: only if another worker
    /// has got on with the same job since, it is not.
    fn is_against(&self, name: &WorkerName, suspicion: &Suspicion) -> bool {
        let Some(attempt) = self.attempts.get(&suspicion.lease) else {
            return false;
        };
        attempt.outcome != Outcome::Failed(FailureClass::Unavailable)
            || self.job(&attempt.job).is_some_and(|job| {
                let mut completed = job.completed.iter();
                completed.any(|(other, &at_ms)| other != name && at_ms > suspicion.at_ms)
            })
    }

    /// Whether another live worker can do what failed here.
    fn is_replaceable(&self, worker: &Worker, attempt: &AttemptRow) -> bool {
        let Some(job) = self.job(&attempt.job) else {
            return false;
        };
        let needs = job.needs();
        let mut live = self.live_in(&worker.row.pool);
        live.any(|other| other.row.worker != worker.row.worker && needs.are_met_by(&other.row))
    }

    fn close(&mut self, name: &WorkerName, reason: String, now: Now, out: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(name) else {
            return;
        };
        worker.row.quarantine = Some(Quarantine {
            since_ms: now.wall_ms,
            reason,
        });
        out.push(Effect::Persist(Change::Worker(worker.row.clone())));
        // What waited for this worker to come first may go elsewhere now.
        out.push(Effect::Wake {
            pool: worker.row.pool.clone(),
        });
    }

    fn uncount(&mut self, lease: LeaseNumber, out: &mut Vec<Effect>) {
        if let Some(attempt) = self.attempts.get_mut(&lease) {
            attempt.counted = false;
        }
        self.persist_attempt(lease, out);
    }

    /// A worker has completed something: it can do something after all.
    pub(crate) fn trust(&mut self, lease: LeaseNumber, now: Now) {
        let Some(attempt) = self.attempts.get(&lease) else {
            return;
        };
        if let Some(worker) = self.workers.get_mut(&attempt.worker) {
            worker.streak.clear();
        }
        if let Some(number) = self.job_numbers.get(&attempt.job)
            && let Some(job) = self.jobs.get_mut(number)
        {
            job.completed.insert(attempt.worker.clone(), now.mono_ms);
        }
    }

    pub(crate) fn release_worker(
        &mut self,
        name: &WorkerName,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        let worker = self
            .workers
            .get_mut(name)
            .ok_or_else(|| Refusal::UnknownWorker(name.clone()))?;
        worker.streak.clear();
        if worker.row.quarantine.take().is_some() {
            out.push(Effect::Persist(Change::Worker(worker.row.clone())));
            out.push(Effect::Wake {
                pool: worker.row.pool.clone(),
            });
        }
        Ok(Reply::WorkerReleased)
    }

    /// What somebody whose job waits in this pool should know.
    pub(crate) fn quarantined_in(&self, pool: &PoolName) -> Vec<String> {
        let of_pool = |worker: &&Worker| !worker.gone && worker.row.pool == *pool;
        let warning = |worker: &Worker| {
            let (name, quarantine) = (&worker.row.worker, worker.row.quarantine.as_ref()?);
            Some(format!(
                "worker {name} is in quarantine: {}; `ctl worker release {name}` ends it",
                quarantine.reason
            ))
        };
        let workers = self.workers.values().filter(of_pool);
        workers.filter_map(warning).collect()
    }
}

fn reason(attempt: &AttemptRow, class: FailureClass, message: &str, failures: usize) -> String {
    let task = TaskId {
        job: attempt.job.clone(),
        index: attempt.task,
    };
    let mut message: String = message.chars().take(MOST_OF_MESSAGE + 1).collect();
    if let Some((cut, _)) = message.char_indices().nth(MOST_OF_MESSAGE) {
        message.truncate(cut);
        message.push_str("...");
    }
    format!(
        "{failures} attempts in a row failed, on as many tasks, the last of {task}: {class}: {message}"
    )
}
