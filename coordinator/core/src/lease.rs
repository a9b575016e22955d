//! Leases live by heartbeats and end by the tick.

use types::{LeaseNumber, Progress, TaskState};

use crate::{
    core::{Core, Timer},
    effect::{Effect, HeartbeatAnswer},
    event::{Now, Sender},
    job::JobNumber,
    rows::Outcome,
};

impl Core {
    pub(crate) fn heartbeat(
        &mut self,
        from: &Sender,
        leases: Vec<(LeaseNumber, Option<Progress>)>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> HeartbeatAnswer {
        let Some(worker) = self.speaking(from) else {
            return HeartbeatAnswer {
                register: true,
                ..HeartbeatAnswer::default()
            };
        };
        worker.seen(now);
        let mut answer = HeartbeatAnswer {
            drain: worker.row.draining,
            ..HeartbeatAnswer::default()
        };
        let deadline_ms = now.mono_ms + self.settings.lease_ttl_ms;
        for (lease, progress) in leases {
            let mine = self
                .attempts
                .get(&lease)
                .is_some_and(|a| a.worker == from.worker && a.incarnation == from.incarnation);
            if !mine || !self.would_accept(lease) {
                if mine {
                    self.heard_of(lease, now, out);
                }
                answer.cancel.push(lease);
                continue;
            }
            // Of a lost lease whose task is still open, the holder goes on: the first to finish is accepted.
            let Some(held) = self.held.get_mut(&lease) else {
                continue;
            };
            held.deadline_ms = deadline_ms;
            if let Some(progress) = progress
                && held.progress.as_ref() != Some(&progress)
            {
                let images = held.more_images(&progress);
                if let Some(job) = self.jobs.get_mut(&held.job) {
                    if let Some(images) = images {
                        job.speed.count(images, now.mono_ms);
                    }
                    out.push(Effect::JobChanged(job.id().clone()));
                }
                held.progress = Some(progress);
            }
            if let Some(attempt) = self.attempts.get_mut(&lease)
                && !attempt.started
            {
                attempt.started = true;
                self.persist_attempt(lease, out);
            }
        }
        answer
    }

    /// Judges everything that depends on time. The shell calls it only when its inbox is empty.
    pub(crate) fn tick(&mut self, now: Now, out: &mut Vec<Effect>) {
        let ttl = self.settings.lease_ttl_ms;
        let gap = now.mono_ms.saturating_sub(self.last_tick_ms);
        self.last_tick_ms = now.mono_ms;
        // A coordinator that stood still could not hear anybody; what it missed is not held against them.
        let gap = if gap > ttl / 3 { gap } else { 0 };
        let mut expired = Vec::new();
        for (lease, held) in &mut self.held {
            held.deadline_ms = held.deadline_ms.saturating_add(gap).min(now.mono_ms + ttl);
            if held.deadline_ms <= now.mono_ms {
                expired.push(*lease);
            }
        }
        self.judge_workers(gap, now, out);
        for lease in expired {
            self.end_lost(
                lease,
                "no heartbeat for the time that its lease lives",
                now,
                out,
            );
        }
        self.fire_timers(now, out);
        self.wake_ups.expire(now);
    }

    fn fire_timers(&mut self, now: Now, out: &mut Vec<Effect>) {
        while let Some(&(due_ms, timer)) = self.timers.first() {
            if due_ms > now.mono_ms {
                break;
            }
            self.timers.pop_first();
            let number = match timer {
                Timer::Backoff(number, index) => {
                    let Some(job) = self.jobs.get_mut(&number) else {
                        continue;
                    };
                    // A timer of a task that was granted, ended or retried since is not its present one.
                    if job.task(index).and_then(|t| t.due_ms) != Some(due_ms) {
                        continue;
                    }
                    job.due(index);
                    number
                }
                Timer::Pause(number) => {
                    let Some(job) = self.jobs.get_mut(&number) else {
                        continue;
                    };
                    if job.paused_until_ms != Some(due_ms) {
                        continue;
                    }
                    job.paused_until_ms = None;
                    number
                }
                Timer::Sweep(lease) => {
                    self.sweep_due(lease, now, out);
                    continue;
                }
                Timer::Forget(number) => {
                    self.forget_due(number, due_ms, now, out);
                    continue;
                }
                Timer::Limit(number) => {
                    self.time_is_over(number, due_ms, now, out);
                    number
                }
            };
            self.settle(number, now, out);
        }
    }

    /// Takes the lease from its holder; how long it ran.
    pub(crate) fn free(&mut self, lease: LeaseNumber, now: Now) -> u64 {
        let Some(held) = self.held.remove(&lease) else {
            return 0;
        };
        if let Some(attempt) = self.attempts.get(&lease)
            && let Some(worker) = self.workers.get_mut(&attempt.worker)
        {
            worker.held.remove(&lease);
        }
        held.ran_ms(now)
    }

    /// Whether a Complete of this lease would be accepted if it came now (or was).
    pub(crate) fn would_accept(&self, lease: LeaseNumber) -> bool {
        let Some(attempt) = self.attempts.get(&lease) else {
            return false;
        };
        if attempt.verdict.is_some() || self.predates_restore(lease) {
            return false;
        }
        let unfinished = attempt.outcome == Outcome::Running || attempt.outcome.may_come_late();
        let Some(job) = self.job(&attempt.job) else {
            return false;
        };
        let Some(task) = job.task(attempt.task) else {
            return false;
        };
        unfinished
            && !job.is_cancelled()
            && attempt.generation >= task.accepts_from
            && matches!(task.state, TaskState::Ready | TaskState::Running)
    }

    /// Granted before the database was restored from a backup: what became of it after the backup was made is not known.
    pub(crate) fn predates_restore(&self, lease: LeaseNumber) -> bool {
        lease.0 <= self.counters.restored
    }

    pub(crate) fn number_of(&self, lease: LeaseNumber) -> Option<JobNumber> {
        self.job_numbers
            .get(&self.attempts.get(&lease)?.job)
            .copied()
    }
}
