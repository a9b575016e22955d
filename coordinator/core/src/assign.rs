//! An assignment: everything an executor needs for one attempt, made from the rows.

use plan::{Assignment, Input, InputOutcome, TaskResult, TaskSpec};
use types::{AttemptPrefix, Failure, FailureClass, LeaseNumber, TaskId, TaskIndex, TaskState};

use crate::{core::Core, job::Job, rows::AttemptRow};

pub(crate) fn prefix(attempt: &AttemptRow) -> String {
    AttemptPrefix {
        task: TaskId {
            job: attempt.job.clone(),
            index: attempt.task,
        },
        lease: attempt.lease,
        nonce: attempt.nonce,
    }
    .path()
}

impl Core {
    pub(crate) fn assignment(&self, lease: LeaseNumber) -> Option<Assignment> {
        let attempt = self.attempts.get(&lease)?;
        let job = self.job(&attempt.job)?;
        let task = job.task(attempt.task)?;
        let run = |run: &u32| {
            let mut planned = job.plan.runs.get(*run as usize)?.clone();
            if let Some(new) = job.threshold_of(*run) {
                new.apply(&mut planned.spec.metrics);
            }
            Some(planned)
        };
        let runs = match &task.spec {
            TaskSpec::List { runs } => runs.iter().filter_map(run).collect(),
            TaskSpec::Reduce => (0..job.plan.runs.len() as u32)
                .filter_map(|of| run(&of))
                .collect(),
            TaskSpec::Export { .. } => Vec::new(),
            TaskSpec::Fit { run: of }
            | TaskSpec::Score { run: of, .. }
            | TaskSpec::Evaluate { run: of } => run(of).into_iter().collect(),
        };
        let mut on: Vec<TaskIndex> = task.depends_on.iter().map(|d| d.task).collect();
        if matches!(task.spec, TaskSpec::Reduce) {
            on.extend(self.behind_failed_runs(job, &on));
        }
        on.sort();
        on.dedup();
        // The tables of timings are written from there; to others they would be more than half of what they are told.
        let with_timings = matches!(task.spec, TaskSpec::Evaluate { .. } | TaskSpec::Reduce);
        let inputs = on
            .into_iter()
            .filter_map(|index| self.input(job, index, with_timings));
        // What an evaluation need not make again.
        let earlier = match task.spec {
            TaskSpec::Evaluate { .. } => job.kept(attempt.task),
            _ => None,
        };
        let earlier = earlier.and_then(|lease| self.left_by(job, attempt.task, lease, false));
        let rethresholded = match &task.spec {
            TaskSpec::Evaluate { run } => job.threshold_of(*run).is_some(),
            _ => false,
        };
        let skip = match task.spec {
            TaskSpec::List { .. } => job.resolved.runs.iter().find_map(|run| run.skip.as_ref()),
            _ => None,
        };
        let resources = job.resolved.resources.clone();
        let offered = self.workers.get(&attempt.worker);
        let offered = offered.map_or(&[][..], |worker| &worker.row.engines);
        let models = runs.iter().map(|run| &run.spec.model);
        let engine = resources.engine.among(offered, models);
        Some(Assignment {
            task: TaskId {
                job: attempt.job.clone(),
                index: attempt.task,
            },
            lease,
            attempt: attempt.number,
            job_name: job.resolved.name.clone(),
            store: job.resolved.output.clone(),
            prefix: prefix(attempt),
            spec: task.spec.clone(),
            runs,
            resources,
            engine,
            inputs: earlier.into_iter().chain(inputs).collect(),
            rethresholded,
            confined: self.settings.confined,
            skipped: skip.and_then(|skip| self.skipped(skip)),
            trace: job.row.trace.clone(),
        })
    }

    /// Of runs without an accepted evaluation: the tasks before it that were accepted, for manifest and timings.
    fn behind_failed_runs(&self, job: &Job, evaluates: &[TaskIndex]) -> Vec<TaskIndex> {
        let accepted = |index: &TaskIndex| job.task(*index).is_some_and(|t| t.accepted.is_some());
        evaluates
            .iter()
            .filter(|index| !accepted(index))
            .filter_map(|index| job.task(*index))
            .flat_map(|evaluate| evaluate.depends_on.iter().map(|d| d.task))
            .filter(accepted)
            .collect()
    }

    fn input(&self, job: &Job, index: TaskIndex, with_timings: bool) -> Option<Input> {
        let task = job.task(index)?;
        let accepted = task
            .accepted
            .and_then(|lease| self.left_by(job, index, lease, with_timings));
        Some(accepted.unwrap_or_else(|| Input {
            task: job.task_id(index),
            spec: task.spec.clone(),
            outcome: InputOutcome::Failed {
                state: task.state,
                failure: self.failure(job, index),
            },
        }))
    }

    /// What an accepted attempt of a task left.
    fn left_by(
        &self,
        job: &Job,
        index: TaskIndex,
        lease: LeaseNumber,
        with_timings: bool,
    ) -> Option<Input> {
        let attempt = self.attempts.get(&lease)?;
        // Written by this core from typed values, so they read back.
        let mut result: TaskResult = serde_json::from_str(attempt.result_json.as_deref()?).ok()?;
        if !with_timings {
            result.timings = Vec::new();
        }
        Some(Input {
            task: job.task_id(index),
            spec: job.task(index)?.spec.clone(),
            outcome: InputOutcome::Accepted {
                prefix: prefix(attempt),
                result: Box::new(result),
                outputs: serde_json::from_str(attempt.outputs_json.as_deref()?).ok()?,
            },
        })
    }

    /// Why a task ended without success: its last failure, or that of the task where the failure began.
    pub(crate) fn failure(&self, job: &Job, index: TaskIndex) -> Failure {
        use crate::rows::Outcome;
        let root = job.task(index).and_then(|t| t.because).unwrap_or(index);
        let attempts = job
            .task(root)
            .map(|t| t.attempts.as_slice())
            .unwrap_or_default();
        let task_was_stopped = job
            .task(root)
            .is_some_and(|t| t.state == TaskState::Cancelled);
        let last = attempts
            .iter()
            .rev()
            .filter_map(|lease| self.attempts.get(lease))
            .find_map(|a| match a.outcome {
                Outcome::Failed(class) => Some(Failure {
                    class,
                    message: a.message.as_deref().unwrap_or_default().to_owned(),
                }),
                _ => None,
            });
        // What an attempt failed of before was not the end of it.
        if task_was_stopped && let Some(missed) = job.missed_deadline() {
            return missed;
        }
        last.unwrap_or_else(|| Failure {
            class: FailureClass::Released,
            message: "the job was stopped before".to_owned(),
        })
    }
}
