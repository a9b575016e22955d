//! Jobs that a user deletes: hidden at once; then what they left in the store goes, and at last their rows.
//!
//! What trained models are made of stays: the folders of the attempts that fitted and evaluated them. Copies in the store's index stay,
//! too, and no other job reads anything else of it.

use std::collections::BTreeSet;

use plan::{ResultDetail, TaskResult, TaskSpec};
use types::{JobId, RequestId};

use crate::{
    assign::prefix,
    core::Core,
    effect::{Effect, Refusal, Removal, Reply},
    event::Now,
    job::{Job, Task},
    rows::{AttemptRow, Change, Deletion, OutboxRow, Outcome, RequestAnswer},
};

impl Core {
    pub(crate) fn delete(
        &mut self,
        request: RequestId,
        id: &JobId,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<Reply, Refusal> {
        let hide = |core: &mut Self, number, out: &mut Vec<Effect>| {
            let job = core.jobs.get_mut(&number);
            let job = job.ok_or_else(|| Refusal::UnknownJob(id.clone()))?;
            let state = job.state();
            if !state.is_terminal() || job.is_decided_anew() {
                return Err(Refusal::NotOver {
                    job: id.clone(),
                    state,
                });
            }
            job.progress.deletion = Some(Deletion::Ordered);
            job.forget_ms = None;
            out.push(Effect::Persist(Change::JobProgress(job.progress.clone())));
            if let Some(key) = &job.row.key {
                core.keys.remove(key);
            }
            out.push(Effect::JobChanged(id.clone()));
            core.forget_later(number, now);
            Ok(RequestAnswer::Deleted)
        };
        self.once(request, id, out, hide, |core, number, answer| {
            let deletion = core.jobs.get(&number).and_then(|job| job.progress.deletion);
            (answer == RequestAnswer::Deleted).then_some(Reply::Deleted {
                removed: deletion != Some(Deletion::Ordered),
            })
        })
    }

    /// Has what a deleted job left removed; false if something of it is still on its way to the store.
    pub(crate) fn order_removal(&self, job: &Job, out: &mut Vec<Effect>) -> bool {
        let comes = |row: &OutboxRow| row.job == *job.id() && row.item.is_for_store();
        if self.outbox.values().any(comes) {
            return false;
        }
        out.push(Effect::Remove(Removal {
            job: job.id().clone(),
            store: job.resolved.output.clone(),
            keep: self.of_models(job),
            again: job.progress.deletion != Some(Deletion::Ordered),
        }));
        true
    }

    /// Prefixes of the attempts that the job's trained models are made of.
    fn of_models(&self, job: &Job) -> Vec<String> {
        let accepted = |task: &'_ Task| {
            let leases = task.attempts.iter();
            let attempts = leases.filter_map(|lease| self.attempts.get(lease));
            let accepted = attempts.filter(|attempt| attempt.outcome == Outcome::Accepted);
            accepted.collect::<Vec<&AttemptRow>>()
        };
        let made = |attempt: &&AttemptRow| {
            let result = attempt.result_json.as_deref().map(serde_json::from_str);
            let Some(Ok(TaskResult { detail, .. })) = result else {
                return false;
            };
            matches!(
                detail,
                ResultDetail::Evaluate {
                    package: Some(_),
                    ..
                }
            )
        };
        let evaluated = |task: &&Task| accepted(task).iter().any(made);
        // A trial is no model: what a search found is fitted once more, if that is asked for.
        let is_trial = |run: &u32| {
            let mut runs = job.plan.runs.iter();
            runs.any(|planned| planned.index == *run && planned.trial.is_some())
        };
        let runs: BTreeSet<u32> = job
            .tasks
            .iter()
            .filter(evaluated)
            .filter_map(|task| task.spec.run())
            .filter(|run| !is_trial(run))
            .collect();
        let makes = |task: &&Task| match task.spec {
            TaskSpec::Fit { run } | TaskSpec::Evaluate { run } => runs.contains(&run),
            _ => false,
        };
        let tasks = job.tasks.iter().filter(makes);
        tasks.flat_map(accepted).map(prefix).collect()
    }

    pub(crate) fn removed(&mut self, id: &JobId, again: bool, now: Now, out: &mut Vec<Effect>) {
        let Some(number) = self.job_numbers.get(id).copied() else {
            return;
        };
        let Some(job) = self.jobs.get_mut(&number) else {
            return;
        };
        // An order that was carried out twice says nothing new.
        let next = match (job.progress.deletion, again) {
            (Some(Deletion::Ordered), false) => Deletion::RemovedOnce { at_ms: now.wall_ms },
            (Some(Deletion::RemovedOnce { .. }), true) => Deletion::Removed,
            _ => return,
        };
        job.progress.deletion = Some(next);
        job.forget_ms = None;
        out.push(Effect::Persist(Change::JobProgress(job.progress.clone())));
        self.forget_later(number, now);
    }

    /// A job that users see.
    pub(crate) fn shown_job(&self, id: &JobId) -> Option<&Job> {
        self.job(id).filter(|job| !job.is_deleted())
    }
}
