//! Searches: what the end of a trial adds to its job. The suggestions are [`plan::search_on`]'s; here is when they are asked for.

use std::{collections::BTreeMap, sync::Arc};

use job::resolved::JobKind;
use plan::{DependencyRule, Standing, TaskResult, TaskSpec};
use types::{LeaseNumber, TaskIndex, TaskState};

use crate::{
    core::Core,
    effect::{Effect, Refusal},
    job::{Job, JobNumber},
    rows::AttemptRow,
};

/// A trial of a search that has a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BestTrial {
    pub run: u32,
    pub value: f64,
}

impl Core {
    /// Adds the trials that the end of `ended` makes possible, in the transaction that ends it and before those that wait for it
    /// hear of it. `result` is the accepted one as it is stored; none: the task has failed for good.
    pub(crate) fn search_on(
        &mut self,
        number: JobNumber,
        ended: TaskIndex,
        result: Option<&str>,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let Some(job) = self.jobs.get_mut(&number) else {
            return Ok(());
        };
        if job.resolved.search.is_none() {
            return Ok(());
        }
        let evaluated = match job.task(ended).map(|task| &task.spec) {
            Some(TaskSpec::Evaluate { run }) => Some(*run),
            _ => None,
        };
        match (evaluated, result) {
            (Some(run), Some(result)) => job.note_objective(run, result),
            // It is not the end of a trial.
            (None, Some(_)) => return Ok(()),
            (_, None) => {}
        }
        if job.progress.stop.is_some() || job.ends_with(ended, result.is_none()) {
            return Ok(());
        }
        loop {
            let (Some(search), Some(template)) = (&job.resolved.search, job.resolved.runs.first())
            else {
                return Ok(());
            };
            let standings = job.standings(ended, result.is_none());
            let listed = |list: TaskIndex| {
                let lease = job.task(list)?.accepted?;
                let result = self.attempts.get(&lease)?.result_json.as_deref()?;
                let result = serde_json::from_str::<TaskResult>(result).ok()?;
                plan::Listed::of(&result.detail)
            };
            let expansion = plan::search_on(
                search,
                template,
                &job.plan,
                &standings,
                job.next_index(),
                listed,
            );
            let Some(last) = expansion.tasks.last().map(|task| task.index) else {
                return Ok(());
            };
            let broken = |(task, what): (TaskIndex, String)| Refusal::BrokenPlan {
                job: job.row.id.clone(),
                task: task.0,
                what,
            };
            let json: Arc<str> = serde_json::to_string(&expansion)
                .map_err(|error| broken((last, error.to_string())))?
                .into();
            let first = job.next_index();
            job.expand_by(last, expansion, json, out)?;
            // A trial whose images could not be listed has failed before it began, and may make the next one possible.
            if !job.skip_hopeless(first, result.is_none().then_some(ended), out) {
                return Ok(());
            }
        }
    }
}

impl Job {
    /// Whether the search found something, whatever else failed: at least one trial came to a value, and the tables were made.
    pub fn has_found(&self) -> bool {
        let is_reduce = |index: &TaskIndex| {
            let spec = self.task(*index).map(|task| &task.spec);
            matches!(spec, Some(TaskSpec::Reduce))
        };
        self.resolved.kind == JobKind::Hpo
            && self.best_trial().is_some()
            && !self.failed.iter().any(is_reduce)
            && self.plan.runs.iter().zip(&self.runs).all(|(planned, run)| {
                let failed = run
                    .evaluate
                    .and_then(|evaluate| self.task(evaluate))
                    .is_none_or(|t| t.state != TaskState::Succeeded);
                // The run that measures the best is no trial.
                planned.trial.is_some() || !failed
            })
    }

    /// The best of the trials so far that had everything.
    pub fn best_trial(&self) -> Option<BestTrial> {
        let search = self.resolved.search.as_ref()?;
        let trials = self.plan.runs.iter().filter_map(|run| {
            Some(hpo::Trial {
                point: run.trial.clone()?,
                value: self.objectives.get(&run.index).copied().flatten(),
            })
        });
        let trials: Vec<hpo::Trial> = trials.collect();
        let best = search.by.best(&trials)?;
        Some(BestTrial {
            run: self.plan.runs.get(best)?.index,
            value: trials[best].value?,
        })
    }

    /// Nothing can come of another trial if the images that all of them share cannot be listed.
    fn ends_with(&self, ended: TaskIndex, failed: bool) -> bool {
        let is_list = self
            .task(ended)
            .is_some_and(|task| matches!(task.spec, TaskSpec::List { .. }));
        let search = self.resolved.search.as_ref();
        let of_data = search.is_some_and(|search| {
            let mut dimensions = search.by.space.dimensions.iter();
            dimensions.any(|dimension| dimension.name.starts_with("data."))
        });
        failed && is_list && !of_data
    }

    /// How each run stands once `ended` has ended, though nobody has been told yet.
    fn standings(&self, ended: TaskIndex, failed: bool) -> Vec<Standing> {
        let ended_run = self.task(ended).and_then(|task| task.spec.run());
        let needs_ended = |evaluate: TaskIndex| {
            let needs = self.task(evaluate).map(|task| task.depends_on.as_slice());
            needs
                .unwrap_or_default()
                .iter()
                .any(|needed| needed.task == ended)
        };
        let standing = |(index, run): (u32, &crate::job::RunTasks)| {
            let value = self.objectives.get(&index).copied().flatten();
            let Some(evaluate) = run.evaluate else {
                return Standing::Open;
            };
            if evaluate == ended {
                return Standing::Settled(value.filter(|_| !failed));
            }
            if failed && (ended_run == Some(index) || needs_ended(evaluate)) {
                return Standing::Settled(None);
            }
            match self.task(evaluate).map(|task| task.state) {
                Some(TaskState::Succeeded) => Standing::Settled(value),
                Some(TaskState::Failed | TaskState::Dead | TaskState::Skipped) => {
                    Standing::Settled(None)
                }
                _ => Standing::Open,
            }
        };
        (0..).zip(&self.runs).map(standing).collect()
    }

    /// From the text that is stored, so that it is the same number after a restart.
    fn note_objective(&mut self, run: u32, result: &str) {
        let Some(search) = &self.resolved.search else {
            return;
        };
        let result: Option<TaskResult> = serde_json::from_str(result).ok();
        let value = result.and_then(|result| result.objective(&search.objective));
        self.objectives.insert(run, value);
    }

    /// What the accepted evaluations have measured.
    pub fn take_objectives(&mut self, attempts: &BTreeMap<LeaseNumber, AttemptRow>) {
        if self.resolved.search.is_none() {
            return;
        }
        let evaluates: Vec<(u32, TaskIndex)> = (0..)
            .zip(&self.runs)
            .filter_map(|(run, tasks)| Some((run, tasks.evaluate?)))
            .collect();
        for (run, evaluate) in evaluates {
            let lease = self.task(evaluate).and_then(|task| task.accepted);
            let result = lease.and_then(|lease| attempts.get(&lease)?.result_json.clone());
            if let Some(result) = result {
                self.note_objective(run, &result);
            }
        }
    }

    /// Ends new tasks that wait for something that has failed already, or that fails now. True if there were any.
    fn skip_hopeless(
        &mut self,
        first: TaskIndex,
        fails: Option<TaskIndex>,
        out: &mut Vec<Effect>,
    ) -> bool {
        let mut any = false;
        for index in (first.0..self.tasks.len() as u32).map(TaskIndex) {
            let task = &self.tasks[index.0 as usize];
            let failed = task.depends_on.iter().find_map(|needed| {
                let other = &self.tasks[needed.task.0 as usize];
                let ended =
                    other.state.is_terminal() && !crate::job::is_met(needed.rule, other.state);
                let cannot =
                    ended || fails == Some(needed.task) && needed.rule == DependencyRule::Success;
                cannot.then_some(other.because.unwrap_or(needed.task))
            });
            // What was skipped with another one has been told to those who wait for it.
            if let Some(because) =
                failed.filter(|_| !self.tasks[index.0 as usize].state.is_terminal())
            {
                self.tasks[index.0 as usize].because = Some(because);
                self.set_state(index, TaskState::Skipped, out);
                self.propagate(index, out);
                any = true;
            }
        }
        any
    }
}
