//! The tasks that exist from the start: list, fit, evaluate, reduce.

use std::collections::HashMap;

use job::resolved::{ClassSpec, ModelSource, ResolvedJob};
use types::TaskIndex;

use crate::{
    Dependency, DependencyRule, Plan, PlannedRun, PlannedTask, TaskSpec, joint, label, search,
};

/// Cuts a job into runs and tasks.
///
/// Lists come first, one for each distinct dataset configuration in order of the first run that needs it, so that a wrong
/// folder is found before anything is computed; then each run's fit and evaluate, those that share a listing one after the
/// other, since they may share more; then the one reduce.
///
/// An export has one task and no runs; a search has the trials that need no result.
pub fn plan(job: &ResolvedJob) -> Plan {
    if let (Some(search), Some(template)) = (&job.search, job.runs.first()) {
        return search::plan(search, template);
    }
    if let Some(export) = &job.export {
        let mut tasks = Tasks::default();
        tasks.add(
            TaskSpec::Export {
                export: export.clone(),
            },
            Vec::new(),
        );
        return Plan {
            runs: Vec::new(),
            tasks: tasks.0,
        };
    }
    let labels = label::of_models(&job.runs);
    let mut runs: Vec<PlannedRun> = (0u32..)
        .zip(job.runs.iter().zip(labels))
        .map(|(index, (spec, model))| {
            let (dataset, category) = spec.dataset();
            PlannedRun {
                index,
                model,
                dataset,
                category,
                spec: spec.clone(),
                joint: None,
                trial: None,
            }
        })
        .collect();

    let mut tasks = Tasks::default();
    let mut listings: Vec<Vec<u32>> = Vec::new();
    let mut listing_of: HashMap<String, usize> = HashMap::new();
    for run in &runs {
        let place = *listing_of
            .entry(configuration(&run.spec.data))
            .or_insert(listings.len());
        match listings.get_mut(place) {
            Some(sharing) => sharing.push(run.index),
            None => listings.push(vec![run.index]),
        }
    }
    let mut list_of = vec![TaskIndex(0); runs.len()];
    for sharing in listings {
        let list = tasks.add(
            TaskSpec::List {
                runs: sharing.clone(),
            },
            Vec::new(),
        );
        for run in sharing {
            list_of[run as usize] = list;
        }
    }
    joint::mark(&mut runs, &list_of);

    let mut evaluates = Vec::with_capacity(runs.len());
    let mut by_listing: Vec<&PlannedRun> = runs.iter().collect();
    by_listing.sort_by_key(|run| list_of[run.index as usize]);
    for run in by_listing {
        let mut needs = vec![success(list_of[run.index as usize])];
        if let ModelSource::Train(_) = run.spec.model {
            let fit = tasks.add(TaskSpec::Fit { run: run.index }, needs.clone());
            needs.push(success(fit));
        }
        evaluates.push(tasks.add(TaskSpec::Evaluate { run: run.index }, needs));
    }
    let settled = evaluates.into_iter().map(settled).collect();
    tasks.add(TaskSpec::Reduce, settled);
    Plan {
        runs,
        tasks: tasks.0,
    }
}

/// The configuration as a text that is equal for equal ones; the reader writes the parameters in registry order.
pub(crate) fn configuration(data: &ClassSpec) -> String {
    format!(
        "{} {}",
        data.class_path,
        serde_json::Value::Object(data.init_args.clone())
    )
}

pub(crate) fn success(task: TaskIndex) -> Dependency {
    Dependency {
        task,
        rule: DependencyRule::Success,
    }
}

pub(crate) fn settled(task: TaskIndex) -> Dependency {
    Dependency {
        task,
        rule: DependencyRule::Settled,
    }
}

#[derive(Default)]
struct Tasks(Vec<PlannedTask>);

impl Tasks {
    fn add(&mut self, spec: TaskSpec, depends_on: Vec<Dependency>) -> TaskIndex {
        // The reader bounds the number of runs far below `u32::MAX`.
        let index = TaskIndex(self.0.len() as u32);
        self.0.push(PlannedTask {
            index,
            spec,
            depends_on,
        });
        index
    }
}
