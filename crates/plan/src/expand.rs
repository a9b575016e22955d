//! The tasks that an accepted result creates: the score tasks of the runs that share a listing.

use std::collections::HashMap;

use job::resolved::RunSpec;
use serde::{Deserialize, Serialize};
use types::TaskIndex;

use crate::{
    Dependency, Plan, PlannedRun, PlannedTask, ResultDetail, TaskResult, TaskSpec, planner::success,
};

/// Samples that one score task does. Part of what makes results repeatable: states are folded in this grid's order.
pub const CHUNK: u64 = 256;

/// Past this many chunks a run's chunks grow instead, so that no result can make the coordinator create tasks without bound.
const MAX_CHUNKS: u64 = 65_536;

/// What the acceptance of one task adds to the job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[must_use = "the tasks exist only once they are stored"]
pub struct Expansion {
    /// Of a search: trials, numbered from the number of runs on, without gaps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<PlannedRun>,
    /// Numbered from the given index on, without gaps.
    pub tasks: Vec<PlannedTask>,
    /// Dependencies that existing tasks gain: the first of each pair waits for the second.
    pub added_dependencies: Vec<(TaskIndex, Dependency)>,
}

/// How many samples a listing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    pub train: u64,
    /// Those not in `train`.
    pub scored: u64,
}

impl Listed {
    /// `None`: the result is of another kind of task.
    pub fn of(detail: &ResultDetail) -> Option<Self> {
        match *detail {
            ResultDetail::List { train, scored, .. } => Some(Self { train, scored }),
            _ => None,
        }
    }

    /// How many a run has to score.
    pub(crate) fn to_score(self, spec: &RunSpec) -> u64 {
        match spec.scores_training_images() {
            true => self.scored.saturating_add(self.train),
            false => self.scored,
        }
    }
}

/// What follows from the accepted `result` of `task`; only a list's result creates tasks.
///
/// `next_index` is the index that the first new task gets: the number of tasks that the job has.
pub fn expand(
    plan: &Plan,
    task: TaskIndex,
    result: &TaskResult,
    next_index: TaskIndex,
) -> Expansion {
    let mut expansion = Expansion::default();
    let is_ended = |planned: &&PlannedTask| planned.index == task;
    let Some(TaskSpec::List { .. }) = plan.tasks.iter().find(is_ended).map(|list| &list.spec)
    else {
        return expansion;
    };
    let Some(listed) = Listed::of(&result.detail) else {
        return expansion;
    };
    let mut fits = HashMap::new();
    let mut evaluates = Vec::new();
    // Trials may have come to share the listing since it was planned.
    let of_list = plan
        .tasks
        .iter()
        .filter(|planned| planned.depends_on.contains(&success(task)));
    for planned in of_list {
        match planned.spec {
            TaskSpec::Fit { run } => _ = fits.insert(run, planned.index),
            TaskSpec::Evaluate { run } => evaluates.push((run, planned.index)),
            _ => {}
        }
    }
    evaluates.sort();
    for (run, evaluate) in evaluates {
        let fit = fits.get(&run).copied();
        let next_index = TaskIndex(next_index.0 + expansion.tasks.len() as u32);
        let planned = plan.runs.iter().find(|planned| planned.index == run);
        let scored = planned.map_or(listed.scored, |planned| listed.to_score(&planned.spec));
        let scores = scores(run, scored, task, fit, next_index);
        let waits = scores.iter().map(|score| (evaluate, success(score.index)));
        expansion.added_dependencies.extend(waits);
        expansion.tasks.extend(scores);
    }
    expansion
}

/// The score tasks of a run, once it is known how many samples there are.
pub(crate) fn scores(
    run: u32,
    scored: u64,
    list: TaskIndex,
    fit: Option<TaskIndex>,
    next_index: TaskIndex,
) -> Vec<PlannedTask> {
    let needs: Vec<Dependency> = [Some(list), fit]
        .into_iter()
        .flatten()
        .map(success)
        .collect();
    let score = |(index, (chunk, first, count))| PlannedTask {
        index: TaskIndex(index),
        spec: TaskSpec::Score {
            run,
            chunk,
            first,
            count,
        },
        depends_on: needs.clone(),
    };
    (next_index.0..).zip(chunks(scored)).map(score).collect()
}

/// Cuts `scored` samples: (chunk, first, count).
fn chunks(scored: u64) -> impl Iterator<Item = (u32, u64, u64)> {
    let size = CHUNK.max(scored.div_ceil(MAX_CHUNKS));
    (0u32..)
        .zip((0..scored).step_by(size as usize))
        .map(move |(chunk, first)| (chunk, first, size.min(scored - first)))
}
