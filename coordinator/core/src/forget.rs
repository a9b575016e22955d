//! Jobs that ended long ago are forgotten, or the coordinator would grow with every job. What they published stays in the
//! store, and so do the models that they trained.
//!
//! A job goes when its user deleted it and what it left has gone, or when it has been over for `keep_jobs_ms` and nothing of it is to come: the store has all that it was promised,
//! and what its attempts left is swept for good.

use crate::{
    core::{Core, Timer},
    effect::Effect,
    event::Now,
    job::{Job, JobNumber},
    rows::{Change, Deadline, Deletion, Outcome},
};

/// Nothing is forgotten sooner after a start: the machine's clock may still be wrong.
const LEAST_MS: u64 = 3_600_000;
/// When a job that cannot go yet is looked at again.
const AGAIN_MS: u64 = 3_600_000;
/// The same of a deleted job, of which something is on its way to the store or to be swept.
const SOON_MS: u64 = 60_000;

impl Core {
    /// Sets the timer of a job that has ended, if it has none.
    pub(crate) fn forget_later(&mut self, number: JobNumber, now: Now) {
        let keep_ms = self.settings.keep_jobs_ms;
        let Some(job) = self.jobs.get(&number) else {
            return;
        };
        if job.is_deleted() {
            let wait_ms = match job.progress.deletion {
                // As long as an attempt that does not count is swept for.
                Some(Deletion::RemovedOnce { at_ms }) => Deadline {
                    set_wall_ms: at_ms,
                    duration_ms: self.settings.retention_ms.saturating_mul(2),
                }
                .remaining_ms(now.wall_ms),
                _ => 0,
            };
            if job.forget_ms.is_none() {
                self.look_again(number, now.mono_ms.saturating_add(wait_ms));
            }
            return;
        }
        if let (Some(left_ms), None) = (left_ms(job, keep_ms, now), job.forget_ms) {
            let due_ms = now
                .mono_ms
                .saturating_add(left_ms.max(keep_ms.min(LEAST_MS)));
            self.look_again(number, due_ms);
        }
    }

    pub(crate) fn look_again(&mut self, number: JobNumber, due_ms: u64) {
        if let Some(job) = self.jobs.get_mut(&number) {
            job.forget_ms = Some(due_ms);
            self.timers.insert((due_ms, Timer::Forget(number)));
        }
    }

    pub(crate) fn forget_due(
        &mut self,
        number: JobNumber,
        due_ms: u64,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let keep_ms = self.settings.keep_jobs_ms;
        // A timer of before a retry is not its present one.
        let Some(job) = self
            .jobs
            .get(&number)
            .filter(|job| job.forget_ms == Some(due_ms))
        else {
            return;
        };
        if matches!(
            job.progress.deletion,
            Some(Deletion::Ordered | Deletion::RemovedOnce { .. })
        ) {
            // An order is not lost before the next start; a second one does no harm.
            let again_ms = match self.order_removal(job, out) {
                true => AGAIN_MS,
                false => SOON_MS,
            };
            self.look_again(number, now.mono_ms.saturating_add(again_ms));
            return;
        }
        let is_deleted = job.is_deleted();
        let is_over = is_deleted || left_ms(job, keep_ms, now) == Some(0);
        if is_over && self.is_at_rest(job) {
            self.forget(number, out);
            return;
        }
        let again_ms = if is_deleted { SOON_MS } else { AGAIN_MS };
        self.look_again(number, now.mono_ms.saturating_add(again_ms));
    }

    /// Nothing is to be published or swept any more.
    fn is_at_rest(&self, job: &Job) -> bool {
        let swept = |lease| {
            self.attempts.get(lease).is_none_or(|attempt| {
                attempt.outcome == Outcome::Accepted
                    || self.predates_restore(*lease)
                    || attempt.sweep.is_some_and(|sweep| !sweep.again)
            })
        };
        self.outbox.values().all(|row| row.job != *job.id())
            && job.tasks.iter().flat_map(|task| &task.attempts).all(swept)
    }

    fn forget(&mut self, number: JobNumber, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.remove(&number) else {
            return;
        };
        let id = job.id();
        self.job_numbers.remove(id);
        if let Some(key) = &job.row.key
            && self.keys.get(key) == Some(&number)
        {
            self.keys.remove(key);
        }
        for task in &job.tasks {
            for lease in &task.attempts {
                if let Some(attempt) = self.attempts.remove(lease) {
                    self.claims.remove(&attempt.claim);
                    self.forgotten.count(&attempt, &task.spec);
                }
            }
        }
        self.requests.retain(|_, request| request.job != *id);
        out.push(Effect::Persist(Change::JobForgotten(id.clone())));
        out.push(Effect::JobChanged(id.clone()));
    }
}

/// How long it is kept yet, by the wall clock; none while it is open.
fn left_ms(job: &Job, keep_ms: u64, now: Now) -> Option<u64> {
    let kept = |finished_ms| Deadline {
        set_wall_ms: finished_ms,
        duration_ms: keep_ms,
    };
    Some(kept(job.progress.finished_ms?).remaining_ms(now.wall_ms))
}
