//! How jobs stop and start again: cancel, too many failures, the user's retry.

use plan::TaskSpec;
use types::{JobId, RequestId, TaskIndex, TaskState};

use crate::{
    core::Core,
    effect::{Effect, Refusal, Reply, Verdict},
    event::Now,
    job::{Job, JobNumber},
    rows::{Change, Outcome, RequestAnswer, Stop},
};

impl Core {
    pub(crate) fn cancel(
        &mut self,
        request: RequestId,
        id: &JobId,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        let cancel = |core: &mut Self, number, out: &mut Vec<Effect>| {
            // A job whose tasks have all ended only waits for its results to be published: too late.
            let is_under_way =
                |job: &Job| job.counts.open() > 0 && job.progress.stop != Some(Stop::User);
            if core.jobs.get(&number).is_some_and(is_under_way) {
                if !core.fall_back(number, "its user cancelled it".to_owned(), now, out) {
                    core.stop(number, Stop::User, out);
                }
                core.settle(number, now, out);
            }
            let job = core.jobs.get(&number);
            let job = job.ok_or_else(|| Refusal::UnknownJob(id.clone()))?;
            Ok(RequestAnswer::Cancelled(job.state()))
        };
        self.once(request, id, out, cancel, |_, _, answer| match answer {
            RequestAnswer::Cancelled(state) => Some(Reply::Cancelled { state }),
            _ => None,
        })
    }

    /// From here on nothing of the job is granted or accepted, but for the reduce of a job that failed: its
    /// tables say what became of each run. What runs is told by the next heartbeat's answer.
    pub(crate) fn stop(&mut self, number: JobNumber, stop: Stop, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        job.progress.stop = Some(stop);
        job.dirty = true;
        self.cancel_tasks(number, stop != Stop::User, out);
    }

    /// Ends what is open of a job, at once or as soon as its worker has heard of it.
    pub(crate) fn cancel_tasks(
        &mut self,
        number: JobNumber,
        but_reduce: bool,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        let mut cancelled = Vec::new();
        for index in (0..job.tasks.len()).map(|i| TaskIndex(i as u32)) {
            let task = &job.tasks[index.0 as usize];
            if but_reduce && matches!(task.spec, TaskSpec::Reduce) {
                continue;
            }
            match task.state {
                TaskState::Blocked | TaskState::Ready => {
                    job.set_state(index, TaskState::Cancelled, out);
                    cancelled.push(index);
                }
                TaskState::Running => job.set_state(index, TaskState::Cancelling, out),
                _ => {}
            }
        }
        for index in cancelled {
            job.propagate(index, out);
        }
    }

    pub(crate) fn retry(
        &mut self,
        request: RequestId,
        id: &JobId,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        let retry = |core: &mut Self, number, out: &mut Vec<Effect>| {
            let tasks = core.reopen(number, now, out);
            Ok(RequestAnswer::Retried { tasks })
        };
        self.once(request, id, out, retry, |_, _, answer| match answer {
            RequestAnswer::Retried { tasks } => Some(Reply::Retried { tasks }),
            _ => None,
        })
    }

    /// Opens what did not succeed, and what depends on it, in a new generation; how many tasks. Nothing while the
    /// job is open and not stopped, or is decided anew.
    pub(crate) fn reopen(&mut self, number: JobNumber, now: Now, out: &mut Vec<Effect>) -> u32 {
        let Some(job) = self.jobs.get(&number) else {
            return 0;
        };
        let is_open = job.progress.finished_ms.is_none() && job.progress.stop.is_none();
        if is_open || job.is_decided_anew() {
            return 0;
        }
        self.end_open(number, now, out);
        let Some(job) = self.jobs.get_mut(&number) else {
            return 0;
        };
        let again = to_run_again(job);
        if again.is_empty() {
            return 0;
        }
        job.progress.stop = None;
        job.leave_rethreshold(out);
        self.open_again(number, &again, now, out);
        again.len() as u32
    }

    /// Opens tasks that have ended in a new generation, each with whether its inputs will be others than before.
    pub(crate) fn open_again(
        &mut self,
        number: JobNumber,
        again: &[(TaskIndex, bool)],
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        job.progress.finished_ms = None;
        job.progress.outage = None;
        job.paused_until_ms = None;
        job.forget_ms = None;
        job.dirty = true;
        for &(index, inputs_change) in again {
            let task = &mut job.tasks[index.0 as usize];
            task.generation += 1;
            if inputs_change {
                task.accepts_from = task.generation;
            }
            task.backoff = None;
            task.due_ms = None;
            task.avoid = None;
            task.because = None;
            task.accepted = None;
            job.move_to_blocked(index);
        }
        for &(index, _) in again {
            if job.recount_unmet(index) == 0 {
                job.set_state(index, TaskState::Ready, out);
            }
            // Moving from blocked to ready writes no row; a new generation must.
            out.push(Effect::Persist(Change::Task(job.task_row(index))));
        }
        self.start_clock(number, now);
        self.settle(number, now, out);
    }

    /// Does not wait for agents to say that they stopped: their leases end here, as does the reduce of what had failed.
    fn end_open(&mut self, number: JobNumber, now: Now, out: &mut Vec<Effect>) {
        let Some(job) = self.jobs.get(&number) else {
            return;
        };
        let open: Vec<TaskIndex> = (0..job.tasks.len())
            .map(|i| TaskIndex(i as u32))
            .filter(|i| !job.tasks[i.0 as usize].state.is_terminal())
            .collect();
        for index in open {
            self.stop_leases(number, index, now, out);
            if let Some(job) = self.jobs.get_mut(&number) {
                job.set_state(index, TaskState::Cancelled, out);
            }
        }
    }

    /// Ends what is current of a task.
    pub(crate) fn stop_leases(
        &mut self,
        number: JobNumber,
        index: TaskIndex,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        for lease in self.current_leases(number, index) {
            let ran_ms = self.free(lease, now);
            if let Some(attempt) = self.attempts.get_mut(&lease) {
                attempt.outcome = Outcome::Cancelled;
                attempt.verdict = Some(Verdict::Cancelled);
                attempt.ended_ms = Some(now.wall_ms);
                attempt.ran_ms = ran_ms;
            }
            self.sweep_later(lease, now);
            self.persist_attempt(lease, out);
        }
    }
}

impl Job {
    /// Why nothing more of it was granted, for people; none where its user stopped it, or nothing was left.
    pub fn stopped(&self) -> Option<String> {
        let Some(stop) = self.progress.stop else {
            let came_to_nothing = self.progress.finished_ms.is_some()
                && self.resolved.search.is_some()
                && self.best_trial().is_none();
            return came_to_nothing.then(|| {
                "no trial came to a value of the objective; `ctl get trials` says why of each"
                    .to_owned()
            });
        };
        match stop {
            Stop::User => None,
            Stop::Deadline => self.missed_deadline().map(|missed| missed.to_string()),
            Stop::TooManyFailures if self.counts.of(TaskState::Cancelled) == 0 => None,
            Stop::TooManyFailures => Some(format!(
                "{} of its tasks failed and {} may (`max_failed_tasks`): the others were cancelled",
                self.failed.len(),
                self.tolerated_failures()
            )),
        }
    }
}

/// The tasks that ended without success and everything downstream of them, each with whether its inputs
/// will be others than before (so that late attempts of older generations are not accepted).
fn to_run_again(job: &Job) -> Vec<(TaskIndex, bool)> {
    let mut inputs_change = vec![None; job.tasks.len()];
    let mut queue = Vec::new();
    for (i, task) in job.tasks.iter().enumerate() {
        if task.state.is_terminal() && task.state != TaskState::Succeeded {
            inputs_change[i] = Some(false);
            queue.push(i);
        }
    }
    while let Some(i) = queue.pop() {
        for dependent in &job.tasks[i].dependents {
            let place = dependent.task.0 as usize;
            if inputs_change[place].is_none() {
                queue.push(place);
            }
            inputs_change[place] = Some(true);
        }
    }
    inputs_change
        .into_iter()
        .enumerate()
        .filter_map(|(i, change)| Some((TaskIndex(i as u32), change?)))
        .collect()
}
