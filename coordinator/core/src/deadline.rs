//! Jobs that have not ended by their deadline.

use types::{Failure, FailureClass};

use crate::{
    core::{Core, Timer},
    effect::Effect,
    event::Now,
    job::{Job, JobNumber},
    rows::{Deadline, Stop, TimeLimit},
};

impl Core {
    /// Gives the job its time from now on: at its submission, and again with each retry.
    pub(crate) fn start_clock(&mut self, number: JobNumber, now: Now) {
        let seconds = self.jobs.get(&number).and_then(|j| j.resolved.deadline_s);
        if let Some(seconds) = seconds {
            self.limit(number, seconds.saturating_mul(1_000), false, now);
        }
    }

    fn limit(&mut self, number: JobNumber, duration_ms: u64, last: bool, now: Now) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        job.progress.limit = Some(TimeLimit {
            deadline: Deadline {
                set_wall_ms: now.wall_ms,
                duration_ms,
            },
            last,
        });
        job.dirty = true;
        let due_ms = now.mono_ms.saturating_add(duration_ms);
        job.limit_ms = Some(due_ms);
        self.timers.insert((due_ms, Timer::Limit(number)));
    }

    /// A time limit has come. The job's own ends everything but the reduce; that of the reduce ends that, too: without a
    /// worker it would be open for ever.
    pub(crate) fn time_is_over(
        &mut self,
        number: JobNumber,
        due_ms: u64,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        // A timer of before a retry is not its present one.
        if job.limit_ms != Some(due_ms) {
            return;
        }
        job.limit_ms = None;
        // What only waits for its results to be published has been computed in time.
        if job.counts.open() == 0 || job.is_cancelled() {
            return;
        }
        let seconds = job.resolved.deadline_s.unwrap_or_default();
        let why = format!("it had not ended within the job's deadline of {seconds} s");
        if self.fall_back(number, why, now, out) {
            return;
        }
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        if job.progress.limit.is_some_and(|limit| limit.last) {
            self.cancel_tasks(number, false, out);
            return;
        }
        if job.progress.stop.is_none() {
            self.stop(number, Stop::Deadline, out);
        }
        self.limit(number, self.settings.deadline_grace_ms, true, now);
    }
}

impl Job {
    /// Why the job as a whole failed, whatever its tasks did.
    pub fn missed_deadline(&self) -> Option<Failure> {
        let seconds = self.resolved.deadline_s?;
        (self.progress.stop == Some(Stop::Deadline)).then(|| Failure {
            class: FailureClass::TimedOut,
            message: format!(
                "the job had not ended within its deadline of {seconds} s; `ctl retry` gives it that time again for what is missing"
            ),
        })
    }
}
