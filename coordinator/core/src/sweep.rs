//! What attempts that do not count left in the store: when it goes. The sweeper alone deletes, and only what stays unwanted.
//!
//! An accepted attempt is never swept: manifests, tables, packages and pointers name what accepted attempts wrote and nothing
//! else. Of the others each is swept one retention after its end. Before that it is closed: its Complete, should one still
//! come, is answered `superseded` from then on, so that nothing that was deleted can be accepted.
//!
//! An upload that stood still may write to a prefix that was swept. So each is swept twice, one retention apart; again for as
//! long as something is found; and again whenever its holder is heard of after that.

use types::{FailureClass, LeaseNumber, TaskId};

use crate::{
    assign::prefix,
    core::{Core, Timer},
    effect::{Effect, Leftovers},
    event::Now,
    rows::{AttemptRow, Deadline, Outcome, Sweep},
};

/// After a restart only the wall clock tells when an attempt ended: it may have been off by an hour then, and be now.
const CLOCK_ERROR_MS: u64 = 2 * 3_600_000;

impl Outcome {
    /// Whether the holder may still complete what has ended in this way.
    pub(crate) fn may_come_late(self) -> bool {
        use FailureClass::{Lost, NeverStarted, Released};
        matches!(self, Self::Failed(Lost | NeverStarted | Released))
    }
}

impl Core {
    /// An attempt has ended, and is not accepted.
    pub(crate) fn sweep_later(&mut self, lease: LeaseNumber, now: Now) {
        if let Some(attempt) = self.attempts.get(&lease) {
            let due_ms = now.mono_ms.saturating_add(self.kept_ms(attempt));
            self.timers.insert((due_ms, Timer::Sweep(lease)));
        }
    }

    /// The same for all attempts of the rows that a core is rebuilt from: never earlier, however the wall clock went.
    pub(crate) fn plan_sweeps(&mut self, now: Now) {
        let planned: Vec<_> = self
            .attempts
            .values()
            .filter(|attempt| self.is_unwanted(attempt))
            .filter_map(|attempt| {
                let since_ms = match attempt.sweep {
                    None => attempt.ended_ms.unwrap_or(attempt.granted_ms),
                    Some(sweep) if sweep.again => sweep.at_ms,
                    Some(_) => return None,
                };
                let kept_ms = self.kept_ms(attempt);
                let deadline = Deadline {
                    set_wall_ms: since_ms,
                    duration_ms: kept_ms.saturating_add(CLOCK_ERROR_MS.min(kept_ms)),
                };
                let left_ms = deadline.remaining_ms(now.wall_ms).min(kept_ms);
                let due_ms = now.mono_ms.saturating_add(left_ms);
                Some((due_ms, Timer::Sweep(attempt.lease)))
            })
            .collect();
        self.timers.extend(planned);
    }

    /// How long what the attempt wrote is kept from its end on, or from the last sweep.
    fn kept_ms(&self, attempt: &AttemptRow) -> u64 {
        let retention_ms = self.settings.retention_ms;
        if attempt.verdict.is_none() && attempt.outcome.may_come_late() {
            retention_ms.max(self.settings.late_ms)
        } else {
            retention_ms
        }
    }

    /// Neither named by anything that was published or will be, nor being written by whom one waits for.
    pub(crate) fn is_unwanted(&self, attempt: &AttemptRow) -> bool {
        !matches!(attempt.outcome, Outcome::Running | Outcome::Accepted)
            && !self.predates_restore(attempt.lease)
    }

    pub(crate) fn sweep_due(&mut self, lease: LeaseNumber, now: Now, out: &mut Vec<Effect>) {
        let Some(attempt) = self.attempts.get(&lease) else {
            return;
        };
        #[cfg(feature = "mutations")]
        let ignored = self.settings.mutations.manifests_ignored;
        #[cfg(not(feature = "mutations"))]
        let ignored = false;
        // It may have been accepted since.
        if !self.is_unwanted(attempt) && !ignored {
            return;
        }
        let Some(job) = self.job(&attempt.job) else {
            return;
        };
        let leftovers = Leftovers {
            lease,
            task: TaskId {
                job: attempt.job.clone(),
                index: attempt.task,
            },
            attempt: attempt.number,
            store: job.resolved.output.clone(),
            prefix: prefix(attempt),
        };
        if attempt.verdict.is_none() {
            self.decline(lease, now, out);
        }
        out.push(Effect::Sweep(leftovers));
    }

    pub(crate) fn swept(
        &mut self,
        lease: LeaseNumber,
        objects: u64,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(attempt) = self.attempts.get_mut(&lease) else {
            return;
        };
        let before = attempt.sweep.map(|sweep| sweep.objects);
        let again = before.is_none() || objects > 0;
        attempt.sweep = Some(Sweep {
            at_ms: now.wall_ms,
            objects: before.unwrap_or(0) + objects,
            again,
        });
        self.persist_attempt(lease, out);
        if again {
            self.sweep_later(lease, now);
        }
    }

    /// Its holder speaks of the lease. If its prefix was swept for good, there may be something again.
    pub(crate) fn heard_of(&mut self, lease: LeaseNumber, now: Now, out: &mut Vec<Effect>) {
        let attempt = self.attempts.get_mut(&lease);
        let Some(sweep) = attempt.and_then(|attempt| attempt.sweep.as_mut()) else {
            return;
        };
        if !sweep.again {
            sweep.again = true;
            sweep.at_ms = now.wall_ms;
            self.persist_attempt(lease, out);
            self.sweep_later(lease, now);
        }
    }
}
