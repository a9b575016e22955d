//! How attempts end: accepted, superseded, cancelled, failed, released.

use plan::{ResultDetail, TaskResult, TaskSpec};
use types::{Failure, FailureClass, LeaseNumber, OutputObject, TaskIndex, TaskState};

use crate::{
    core::{Core, Timer},
    effect::{Effect, Refusal, Reply, Verdict},
    event::{Now, Sender},
    job::JobNumber,
    retry::{NextRetry, Site, Tried, next_retry},
    rows::{Deadline, Outage, Outcome, Stop},
};

impl Core {
    pub(crate) fn complete(
        &mut self,
        from: &Sender,
        lease: LeaseNumber,
        result: TaskResult,
        outputs: Vec<OutputObject>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        self.check_holder(from, lease)?;
        let epoch = self.epoch;
        let verdict = self.attempts.get(&lease).and_then(|a| a.verdict);
        #[cfg(feature = "mutations")]
        if verdict == Some(Verdict::Accepted) && self.settings.mutations.repeated_expansion {
            let (number, index) = self.place(lease).ok_or(Refusal::UnknownLease(lease))?;
            self.expand(number, index, lease, &result, out)?;
        }
        if let Some(verdict) = verdict {
            self.heard_of(lease, now, out);
            return Ok(Reply::Completed { epoch, verdict });
        }
        let verdict = if self.would_accept(lease) {
            self.check_result(lease, &result, &outputs)?;
            self.accept(lease, &result, &outputs, now, out)?;
            Verdict::Accepted
        } else {
            if self.predates_restore(lease) {
                let why = "the database was restored from a backup meanwhile";
                self.end_failed(lease, FailureClass::Released, why, now, out);
            }
            self.decline(lease, now, out)
        };
        Ok(Reply::Completed { epoch, verdict })
    }

    fn check_holder(&self, from: &Sender, lease: LeaseNumber) -> Result<(), Refusal> {
        let attempt = self
            .attempts
            .get(&lease)
            .ok_or(Refusal::UnknownLease(lease))?;
        if attempt.worker == from.worker && attempt.incarnation == from.incarnation {
            Ok(())
        } else {
            Err(Refusal::NotYourLease {
                lease,
                worker: from.worker.clone(),
            })
        }
    }

    fn check_result(
        &self,
        lease: LeaseNumber,
        result: &TaskResult,
        outputs: &[OutputObject],
    ) -> Result<(), Refusal> {
        if let Some(foreign) = outputs.iter().find(|o| !stays_below(&o.path)) {
            return Err(Refusal::ForeignOutput {
                lease,
                path: foreign.path.clone(),
            });
        }
        let spec = self
            .place(lease)
            .and_then(|(number, index)| Some(&self.jobs.get(&number)?.task(index)?.spec));
        let named: Vec<&str> = match (spec, &result.detail) {
            (Some(TaskSpec::List { .. }), ResultDetail::List { samples, .. }) => vec![samples],
            (Some(TaskSpec::Fit { .. }), ResultDetail::Fit { statistics, .. }) => vec![statistics],
            (Some(TaskSpec::Score { .. }), ResultDetail::Score { scores, .. }) => vec![scores],
            (Some(TaskSpec::Evaluate { .. }), ResultDetail::Evaluate { package, .. }) => {
                package.iter().map(String::as_str).collect()
            }
            (Some(TaskSpec::Reduce), ResultDetail::Reduce { .. })
            | (Some(TaskSpec::Export { .. }), ResultDetail::Export { .. }) => {
                let (files, manifest) = result.detail.published().unwrap_or_default();
                let files = files.iter().map(|file| file.path.as_str());
                files.chain([manifest]).collect()
            }
            (spec, _) => {
                let what = format!(
                    "the result is not one of a {} task",
                    spec.map_or("known", |s| s.kind().as_str())
                );
                return Err(Refusal::WrongResult { lease, what });
            }
        };
        if let ResultDetail::Reduce {
            index: Some(index), ..
        } = &result.detail
            && !(stays_below(index) && index.starts_with("index/"))
        {
            let what = format!("{index:?} is no folder of the index");
            return Err(Refusal::WrongResult { lease, what });
        }
        if let ResultDetail::Reduce { merged, .. } = &result.detail
            && let Some(path) = merged.iter().find(|path| !self.is_part_of(lease, path))
        {
            let what = format!("{path:?} is no part of the job");
            return Err(Refusal::WrongResult { lease, what });
        }
        if let Some((tables, _)) = result.detail.published()
            && let Some(table) = tables.iter().find(|table| !is_file_name(&table.name))
        {
            return Err(Refusal::WrongResult {
                lease,
                what: format!("the table {:?} is not a file name", table.name),
            });
        }
        match named
            .into_iter()
            .find(|name| !outputs.iter().any(|o| o.path == *name))
        {
            Some(name) => Err(Refusal::WrongResult {
                lease,
                what: format!("{name:?} is named by the result, but not among the outputs"),
            }),
            None => Ok(()),
        }
    }

    /// Whether the path lies in a folder of an attempt of the lease's job.
    fn is_part_of(&self, lease: LeaseNumber, path: &str) -> bool {
        let attempt = self.attempts.get(&lease);
        attempt.is_some_and(|attempt| {
            let tasks = format!("jobs/{}/tasks/", attempt.job);
            stays_below(path) && path.starts_with(&tasks)
        })
    }

    /// The first accepted attempt of a task wins.
    fn accept(
        &mut self,
        lease: LeaseNumber,
        result: &TaskResult,
        outputs: &[OutputObject],
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let (number, index) = self.place(lease).ok_or(Refusal::UnknownLease(lease))?;
        let wrong = |e: serde_json::Error| Refusal::WrongResult {
            lease,
            what: e.to_string(),
        };
        let result_json = serde_json::to_string(result).map_err(wrong)?;
        let outputs_json = serde_json::to_string(outputs).map_err(wrong)?;
        self.trust(lease, now);
        let first = self
            .jobs
            .get(&number)
            .is_some_and(|job| !job.expansions.contains_key(&index));
        if first {
            self.expand(number, index, lease, result, out)?;
        }
        self.count_images(number, index, lease, now);
        self.search_on(number, index, Some(&result_json), out)?;
        let ran_ms = self.free(lease, now);
        if let Some(attempt) = self.attempts.get_mut(&lease) {
            attempt.outcome = Outcome::Accepted;
            attempt.verdict = Some(Verdict::Accepted);
            attempt.ended_ms = Some(now.wall_ms);
            attempt.ran_ms = attempt.ran_ms.max(ran_ms);
            attempt.result_json = Some(result_json.into());
            attempt.outputs_json = Some(outputs_json.into());
        }
        self.persist_attempt(lease, out);
        // Another attempt of the task may be running: it has lost the race.
        for other in self.current_leases(number, index) {
            self.decline(other, now, out);
        }
        if let Some(job) = self.jobs.get_mut(&number) {
            job.tasks[index.0 as usize].accepted = Some(lease);
            job.tasks[index.0 as usize].backoff = None;
            job.tasks[index.0 as usize].due_ms = None;
            job.set_state(index, TaskState::Succeeded, out);
            job.propagate(index, out);
            if job.progress.outage.take().is_some() {
                job.paused_until_ms = None;
                job.dirty = true;
            }
        }
        if matches!(result.detail, ResultDetail::Reduce { .. }) {
            self.end_rethreshold(number, out);
        }
        self.publish_if_last(number, index, lease, result, out);
        self.settle(number, now, out);
        Ok(())
    }

    /// Besides submit and [`Core::search_on`] the only place where tasks come into being.
    fn expand(
        &mut self,
        number: JobNumber,
        index: TaskIndex,
        lease: LeaseNumber,
        result: &TaskResult,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let Some(job) = self.jobs.get_mut(&number) else {
            return Ok(());
        };
        let expansion = (self.settings.expand)(&job.plan, index, result, job.next_index());
        if expansion.tasks.is_empty() && expansion.added_dependencies.is_empty() {
            return Ok(());
        }
        let json: std::sync::Arc<str> = serde_json::to_string(&expansion)
            .map_err(|e| Refusal::WrongResult {
                lease,
                what: e.to_string(),
            })?
            .into();
        job.expand_by(index, expansion, json, out)
    }

    /// Ends an attempt whose work is not wanted; gives the answer that stays.
    pub(crate) fn decline(
        &mut self,
        lease: LeaseNumber,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Verdict {
        let Some((number, index)) = self.place(lease) else {
            return Verdict::Superseded;
        };
        let stopped = self.is_cancelling(number, index);
        let was_held = self.held.contains_key(&lease);
        let ran_ms = self.free(lease, now);
        let Some(attempt) = self.attempts.get_mut(&lease) else {
            return Verdict::Superseded;
        };
        let cancelled = attempt.outcome == Outcome::Cancelled
            || (stopped && attempt.outcome == Outcome::Running);
        let verdict = if cancelled {
            Verdict::Cancelled
        } else {
            Verdict::Superseded
        };
        attempt.verdict = Some(verdict);
        if attempt.outcome == Outcome::Running {
            attempt.outcome = if cancelled {
                Outcome::Cancelled
            } else {
                Outcome::Superseded
            };
            attempt.ended_ms = Some(now.wall_ms);
            attempt.ran_ms = ran_ms;
            self.sweep_later(lease, now);
        }
        self.persist_attempt(lease, out);
        if was_held && stopped {
            self.task_cancelled(number, index, now, out);
        }
        verdict
    }

    pub(crate) fn fail(
        &mut self,
        from: &Sender,
        lease: LeaseNumber,
        failure: Failure,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        self.check_holder(from, lease)?;
        self.heard_of(lease, now, out);
        self.end_failed(lease, failure.class, &failure.message, now, out);
        Ok(Reply::Noted { epoch: self.epoch })
    }

    pub(crate) fn release(
        &mut self,
        from: &Sender,
        lease: LeaseNumber,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        self.check_holder(from, lease)?;
        self.heard_of(lease, now, out);
        self.end_failed(
            lease,
            FailureClass::Released,
            "its worker was drained",
            now,
            out,
        );
        Ok(Reply::Noted { epoch: self.epoch })
    }

    /// Ends a current lease without success and decides what becomes of the task; of any other lease nothing is left to say.
    pub(crate) fn end_failed(
        &mut self,
        lease: LeaseNumber,
        class: FailureClass,
        message: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if !self.held.contains_key(&lease) {
            return;
        }
        let Some((number, index)) = self.place(lease) else {
            return;
        };
        let ran_ms = self.free(lease, now);
        let stopped = self.is_cancelling(number, index);
        let Some(attempt) = self.attempts.get_mut(&lease) else {
            return;
        };
        attempt.ended_ms = Some(now.wall_ms);
        attempt.ran_ms = ran_ms;
        if stopped {
            attempt.outcome = Outcome::Cancelled;
            self.sweep_later(lease, now);
            self.persist_attempt(lease, out);
            self.task_cancelled(number, index, now, out);
            return;
        }
        attempt.outcome = Outcome::Failed(class);
        attempt.counted = !Self::is_uncounted(class);
        attempt.message = Some(message.into());
        self.sweep_later(lease, now);
        self.suspect(lease, class, message, now, out);
        let next = self.decide_retry(number, index, lease);
        match next {
            NextRetry::Again {
                delay_ms,
                avoid,
                counted,
            } => {
                if let Some(attempt) = self.attempts.get_mut(&lease) {
                    attempt.delay_ms = delay_ms;
                    attempt.counted = counted;
                }
                self.persist_attempt(lease, out);
                if class == FailureClass::Unavailable && counted {
                    self.pause(number, delay_ms, now);
                }
                let own_delay = if class == FailureClass::Unavailable {
                    0
                } else {
                    delay_ms
                };
                self.back_to_ready(number, index, own_delay, avoid, now, out);
            }
            NextRetry::Failed | NextRetry::Dead => {
                self.persist_attempt(lease, out);
                let task = self.jobs.get(&number).map(|job| job.task_id(index));
                let why = task.map(|task| format!("{task}: {class}: {message}"));
                if self.fall_back(number, why.unwrap_or_default(), now, out) {
                    return self.settle(number, now, out);
                }
                let state = if next == NextRetry::Dead {
                    TaskState::Dead
                } else {
                    TaskState::Failed
                };
                // A trial that failed is one more result; what is added must be there before those who wait hear of it.
                if let Err(refusal) = self.search_on(number, index, None, out) {
                    debug_assert!(false, "{refusal}");
                }
                if let Some(job) = self.jobs.get_mut(&number) {
                    job.set_state(index, state, out);
                    job.propagate(index, out);
                    let open = job.progress.stop.is_none();
                    if open && job.failed.len() as u64 > job.tolerated_failures() {
                        self.stop(number, Stop::TooManyFailures, out);
                    }
                }
            }
        }
        self.settle(number, now, out);
    }

    fn decide_retry(&self, number: JobNumber, index: TaskIndex, lease: LeaseNumber) -> NextRetry {
        let (Some(job), Some(failed)) = (self.jobs.get(&number), self.attempts.get(&lease)) else {
            return NextRetry::Failed;
        };
        // The worker is to blame: the task has not been tried.
        if matches!(failed.outcome, Outcome::Failed(class) if !failed.counted && !Self::is_uncounted(class))
        {
            return NextRetry::Again {
                delay_ms: 0,
                avoid: None,
                counted: false,
            };
        }
        let leases = job
            .task(index)
            .map(|t| t.attempts.as_slice())
            .unwrap_or_default();
        let tried: Vec<Tried<'_>> = leases
            .iter()
            .filter_map(|lease| self.attempts.get(lease))
            .filter(|a| a.generation == failed.generation)
            .filter_map(|a| match a.outcome {
                Outcome::Failed(class) if a.counted || Self::is_uncounted(class) => Some(Tried {
                    class,
                    worker: &a.worker,
                    ran_ms: a.ran_ms,
                    delay_ms: a.delay_ms,
                }),
                _ => None,
            })
            .collect();
        let site = Site {
            job: job.id(),
            task: index,
            crashed_retries: job.resolved.resources.retries,
            live_workers: self
                .expected_in(&job.resolved.resources.pool)
                .filter(|w| job.needs().are_met_by(&w.row))
                .count(),
            pauses: job.progress.outage.map_or(0, |o| o.pauses),
            memory_bytes: self
                .workers
                .get(&failed.worker)
                .map_or(0, |w| w.row.memory_bytes),
        };
        next_retry(&self.settings.policy, &tried, &site)
    }

    fn back_to_ready(
        &mut self,
        number: JobNumber,
        index: TaskIndex,
        delay_ms: u64,
        avoid: Option<crate::rows::Avoid>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        let task = &mut job.tasks[index.0 as usize];
        task.avoid = avoid;
        task.backoff = (delay_ms > 0).then_some(Deadline {
            set_wall_ms: now.wall_ms,
            duration_ms: delay_ms,
        });
        task.due_ms = (delay_ms > 0).then_some(now.mono_ms + delay_ms);
        if let Some(due_ms) = task.due_ms {
            self.timers.insert((due_ms, Timer::Backoff(number, index)));
        }
        job.set_state(index, TaskState::Ready, out);
    }

    /// One timer for the whole job: its tasks share the store that does not answer. Failures of attempts
    /// that were running when the pause began belong to the same outage.
    fn pause(&mut self, number: JobNumber, delay_ms: u64, now: Now) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        if job.paused_until_ms.is_some() {
            return;
        }
        let pauses = job.progress.outage.map_or(0, |o| o.pauses) + 1;
        job.progress.outage = Some(Outage {
            pauses,
            pause: Deadline {
                set_wall_ms: now.wall_ms,
                duration_ms: delay_ms,
            },
        });
        job.paused_until_ms = Some(now.mono_ms + delay_ms);
        job.dirty = true;
        self.timers
            .insert((now.mono_ms + delay_ms, Timer::Pause(number)));
    }

    /// The attempt of a stopped job's task has ended, in whatever way.
    fn task_cancelled(
        &mut self,
        number: JobNumber,
        index: TaskIndex,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if let Some(job) = self.jobs.get_mut(&number) {
            job.set_state(index, TaskState::Cancelled, out);
            job.propagate(index, out);
        }
        self.settle(number, now, out);
    }

    /// Whether the task has a lease that was stopped by its job's end.
    fn is_cancelling(&self, number: JobNumber, index: TaskIndex) -> bool {
        self.jobs
            .get(&number)
            .and_then(|job| job.task(index))
            .is_some_and(|task| task.state == TaskState::Cancelling)
    }

    pub(crate) fn place(&self, lease: LeaseNumber) -> Option<(JobNumber, TaskIndex)> {
        Some((self.number_of(lease)?, self.attempts.get(&lease)?.task))
    }

    /// The leases of a task that are current: never more than one.
    pub(crate) fn current_leases(&self, number: JobNumber, index: TaskIndex) -> Vec<LeaseNumber> {
        let Some(task) = self.jobs.get(&number).and_then(|job| job.task(index)) else {
            return Vec::new();
        };
        task.attempts
            .iter()
            .rev()
            .copied()
            .filter(|lease| self.held.contains_key(lease))
            .collect()
    }
}

/// A relative path, each part of which names something.
fn stays_below(path: &str) -> bool {
    path.split('/')
        .all(|part| !matches!(part, "" | "." | "..") && !part.contains(['\\', '\0']))
}

/// Tables are published under these names, side by side.
fn is_file_name(name: &str) -> bool {
    stays_below(name) && !name.contains('/')
}
