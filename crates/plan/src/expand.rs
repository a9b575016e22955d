//! The tasks that an accepted result creates: the score tasks of the runs that share a listing.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use types::TaskIndex;

use crate::{Dependency, Plan, PlannedTask, ResultDetail, TaskResult, TaskSpec, planner::success};

/// Samples that one score task does. Part of what makes results repeatable: states are folded in this grid's order.
pub const CHUNK: u64 = 256;

/// Past this many chunks a run's chunks grow instead, so that no result can make the coordinator create tasks without bound.
const MAX_CHUNKS: u64 = 65_536;

/// What the acceptance of one task adds to the job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[must_use = "the tasks exist only once they are stored"]
pub struct Expansion {
    /// Numbered from the given index on, without gaps.
    pub tasks: Vec<PlannedTask>,
    /// Dependencies that existing tasks gain: the first of each pair waits for the second.
    pub added_dependencies: Vec<(TaskIndex, Dependency)>,
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
    let Some(PlannedTask {
        spec: TaskSpec::List { runs },
        ..
    }) = plan.tasks.get(task.0 as usize)
    else {
        return expansion;
    };
    let ResultDetail::List { scored, .. } = result.detail else {
        return expansion;
    };
    let mut fit = HashMap::new();
    let mut evaluate = HashMap::new();
    for planned in &plan.tasks {
        match planned.spec {
            TaskSpec::Fit { run } => _ = fit.insert(run, planned.index),
            TaskSpec::Evaluate { run } => _ = evaluate.insert(run, planned.index),
            _ => {}
        }
    }
    for run in runs {
        let mut needs = vec![success(task)];
        needs.extend(fit.get(run).copied().map(success));
        for (chunk, first, count) in chunks(scored) {
            let index = TaskIndex(next_index.0 + expansion.tasks.len() as u32);
            let spec = TaskSpec::Score {
                run: *run,
                chunk,
                first,
                count,
            };
            expansion.tasks.push(PlannedTask {
                index,
                spec,
                depends_on: needs.clone(),
            });
            if let Some(&evaluate) = evaluate.get(run) {
                expansion
                    .added_dependencies
                    .push((evaluate, success(index)));
            }
        }
    }
    expansion
}

/// Cuts `scored` samples: (chunk, first, count).
fn chunks(scored: u64) -> impl Iterator<Item = (u32, u64, u64)> {
    let size = CHUNK.max(scored.div_ceil(MAX_CHUNKS));
    (0u32..)
        .zip((0..scored).step_by(size as usize))
        .map(move |(chunk, first)| (chunk, first, size.min(scored - first)))
}
