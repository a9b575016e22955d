//! The trials of a search: each is a run, created when as many of those before it have settled as its suggestion needs.

use hpo::Trial;
use job::resolved::{MeasuredOn, RunSpec, SearchSpec};
use types::TaskIndex;

use crate::{
    Dependency, Expansion, Listed, Plan, PlannedRun, PlannedTask, TaskSpec,
    expand::scores,
    joint,
    planner::{configuration, settled, success},
};

/// How a trial stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Standing {
    Open,
    /// With what its objective came to; `None`: it failed, or there was nothing to measure.
    Settled(Option<f64>),
}

/// The trials that need no result, and the reduce.
pub(crate) fn plan(search: &SearchSpec, template: &RunSpec) -> Plan {
    let none = Plan {
        runs: Vec::new(),
        tasks: Vec::new(),
    };
    let mut first = search_on(search, template, &none, &[], TaskIndex(0), |_| None);
    let evaluates = first
        .tasks
        .iter()
        .filter(|task| matches!(task.spec, TaskSpec::Evaluate { .. }));
    let reduce = PlannedTask {
        index: TaskIndex(first.tasks.len() as u32),
        spec: TaskSpec::Reduce,
        depends_on: evaluates.map(|task| settled(task.index)).collect(),
    };
    first.tasks.push(reduce);
    Plan {
        runs: first.runs,
        tasks: first.tasks,
    }
}

/// What follows from how the trials stand: those that can be suggested now, and after the last the run that fits the best once
/// more, if the search has one.
///
/// `plan` holds all runs so far and their tasks, but for score tasks; `standings` one a run. `listed` tells how many samples an
/// accepted listing found to score. The order in which trials settled makes no difference.
pub fn search_on(
    search: &SearchSpec,
    template: &RunSpec,
    plan: &Plan,
    standings: &[Standing],
    next_index: TaskIndex,
    listed: impl Fn(TaskIndex) -> Option<Listed>,
) -> Expansion {
    let mut growth = Growth {
        search,
        plan,
        expansion: Expansion::default(),
        next_index,
        listed,
        corners: None,
    };
    let total = search.by.len();
    let value = |index: usize| match standings.get(index) {
        Some(Standing::Settled(value)) => *value,
        Some(Standing::Open) | None => None,
    };
    let trials = plan
        .runs
        .iter()
        .filter_map(|run| run.trial.clone())
        .enumerate();
    let mut trials: Vec<Trial> = trials
        .map(|(index, point)| Trial {
            point,
            value: value(index),
        })
        .collect();
    let have_settled = |first: usize| {
        let settled = standings.iter().take(first);
        settled
            .filter(|standing| matches!(standing, Standing::Settled(_)))
            .count()
            == first
    };
    while trials.len() < total && have_settled(search.by.settled_before(trials.len())) {
        let Some(next) = search.by.suggest(&trials) else {
            break;
        };
        growth.add(
            search.trial(template, &next.point, next.share),
            Some(next.point.clone()),
            template,
        );
        trials.push(Trial {
            point: next.point,
            value: None,
        });
    }
    let is_fitted = plan.runs.iter().any(|run| run.trial.is_none());
    let is_over = plan.runs.len() == total && have_settled(total);
    if search.refit
        && is_over
        && !is_fitted
        && let Some(best) = search.by.best(&trials)
    {
        growth.add(
            search.refitted(template, &trials[best].point),
            None,
            template,
        );
    }
    growth.expansion
}

struct Growth<'a, L> {
    search: &'a SearchSpec,
    plan: &'a Plan,
    expansion: Expansion,
    next_index: TaskIndex,
    listed: L,
    corners: Option<Vec<RunSpec>>,
}

impl<L: Fn(TaskIndex) -> Option<Listed>> Growth<'_, L> {
    fn add(&mut self, spec: RunSpec, trial: Option<hpo::Point>, template: &RunSpec) {
        // A search has at most so many trials that all of this stays far below `u32::MAX`.
        let index = (self.plan.runs.len() + self.expansion.runs.len()) as u32;
        let list = match self.list_of(&spec) {
            Some(list) => list,
            None => self.task(TaskSpec::List { runs: vec![index] }, Vec::new()),
        };
        let fit = self.task(TaskSpec::Fit { run: index }, vec![success(list)]);
        let scored = (self.listed)(list).map_or(0, |listed| listed.to_score(&spec));
        let next = TaskIndex(self.next_index.0 + self.expansion.tasks.len() as u32);
        let scores = scores(index, scored, list, Some(fit), next);
        let mut needs = vec![success(list), success(fit)];
        needs.extend(scores.iter().map(|score| success(score.index)));
        self.expansion.tasks.extend(scores);
        let evaluate = self.task(TaskSpec::Evaluate { run: index }, needs);
        let reduce = self
            .plan
            .tasks
            .iter()
            .find(|task| task.spec == TaskSpec::Reduce);
        let waits = reduce.map(|reduce| (reduce.index, settled(evaluate)));
        self.expansion.added_dependencies.extend(waits);
        let (dataset, category) = spec.dataset();
        let joint = trial
            .as_ref()
            .and_then(|_| self.joint(&spec, index, template));
        let model = match (&spec.model, &trial) {
            (job::resolved::ModelSource::Train(class), Some(_)) => {
                format!("{} trial {index}", class.class_path)
            }
            (job::resolved::ModelSource::Train(class), None) => {
                format!("{} best", class.class_path)
            }
            (job::resolved::ModelSource::Package(name), _) => name.clone(),
        };
        self.expansion.runs.push(PlannedRun {
            index,
            model,
            dataset,
            category,
            spec,
            joint,
            trial,
        });
    }

    fn task(&mut self, spec: TaskSpec, depends_on: Vec<Dependency>) -> TaskIndex {
        let index = TaskIndex(self.next_index.0 + self.expansion.tasks.len() as u32);
        self.expansion.tasks.push(PlannedTask {
            index,
            spec,
            depends_on,
        });
        index
    }

    /// The listing of the same images, if there is one.
    fn list_of(&self, spec: &RunSpec) -> Option<TaskIndex> {
        let run_of = |index: u32| {
            let mut runs = self.plan.runs.iter().chain(&self.expansion.runs);
            runs.find(|run| run.index == index)
        };
        let key = |spec: &RunSpec| {
            (
                configuration(&spec.data),
                spec.measured_on == MeasuredOn::Test,
            )
        };
        let wanted = key(spec);
        let mut tasks = self.plan.tasks.iter().chain(&self.expansion.tasks);
        let found = tasks.find(|task| match &task.spec {
            TaskSpec::List { runs } => {
                let first = runs.first().and_then(|first| run_of(*first));
                first.is_some_and(|first| key(&first.spec) == wanted)
            }
            _ => false,
        })?;
        Some(found.index)
    }

    fn joint(&mut self, spec: &RunSpec, index: u32, template: &RunSpec) -> Option<crate::Joint> {
        if self.search.by.len() < 2 {
            return None;
        }
        let search = self.search;
        let corners = self.corners.get_or_insert_with(|| search.corners(template));
        joint::of_trial(spec, corners, index, search.by.concurrency)
    }
}

#[cfg(test)]
mod tests {
    use hpo::{Dimension, Domain, Goal, Method, Search, Space};
    use job::resolved::Objective;
    use serde_json::json;
    use types::TaskKind;

    use super::*;
    use crate::{ResultDetail, TaskResult, expand};

    fn values(name: &str, values: &[serde_json::Value]) -> Dimension {
        Dimension {
            name: name.to_owned(),
            domain: Domain::Values(values.to_vec()),
            when: Vec::new(),
        }
    }

    fn search(dimensions: Vec<Dimension>) -> SearchSpec {
        SearchSpec {
            objective: Objective {
                level: "image".to_owned(),
                metric: "AUROC".to_owned(),
            },
            refit: true,
            by: Search {
                space: Space { dimensions },
                method: Method::Grid,
                goal: Goal::Maximize,
                trials: 100,
                concurrency: 2,
                seed: 0,
            },
        }
    }

    fn layers() -> Dimension {
        let values = [json!(["layer1"]), json!(["layer2"]), json!(["layer3"])];
        self::values("model.init_args.layers", &values)
    }

    fn template() -> RunSpec {
        let mut run = crate::tests::spec("resnet18", 8, "bottle", 0, true);
        if let job::resolved::ModelSource::Train(model) = &mut run.model {
            model
                .init_args
                .insert("layers".to_owned(), json!(["layer1"]));
        }
        run
    }

    fn kinds(tasks: &[PlannedTask]) -> Vec<(TaskKind, Option<u32>)> {
        tasks
            .iter()
            .map(|task| (task.spec.kind(), task.spec.run()))
            .collect()
    }

    const LISTED: Listed = Listed {
        train: 20,
        scored: 300,
    };

    /// Adds what follows, and how many trials there are then.
    fn grow(
        search: &SearchSpec,
        plan: &mut Plan,
        standings: &[Standing],
        scored: Option<Listed>,
    ) -> Vec<PlannedTask> {
        let next = plan
            .tasks
            .iter()
            .map(|task| task.index.0 + 1)
            .max()
            .unwrap_or(0);
        let more = search_on(
            search,
            &template(),
            plan,
            standings,
            TaskIndex(next),
            |_| scored,
        );
        plan.runs.extend(more.runs);
        plan.tasks.extend(more.tasks.clone());
        more.tasks
    }

    #[test]
    fn trials_come_as_those_before_them_settle_and_the_best_once_more() {
        let search = search(vec![layers()]);
        let mut plan = super::plan(&search, &template());
        assert_eq!(
            kinds(&plan.tasks),
            [
                (TaskKind::List, None),
                (TaskKind::Fit, Some(0)),
                (TaskKind::Evaluate, Some(0)),
                (TaskKind::Fit, Some(1)),
                (TaskKind::Evaluate, Some(1)),
                (TaskKind::Reduce, None),
            ]
        );
        let settled = |value| Standing::Settled(value);
        assert_eq!(
            grow(&search, &mut plan, &[Standing::Open, settled(None)], None),
            []
        );
        let more = grow(
            &search,
            &mut plan,
            &[settled(Some(0.5)), Standing::Open],
            Some(LISTED),
        );
        // The listing is there: two chunks.
        let expected = [
            TaskKind::Fit,
            TaskKind::Score,
            TaskKind::Score,
            TaskKind::Evaluate,
        ];
        assert_eq!(kinds(&more), expected.map(|kind| (kind, Some(2))));
        assert_eq!(more[3].depends_on.len(), 4);
        let standings = [settled(Some(0.5)), settled(None), settled(Some(0.7))];
        let more = grow(&search, &mut plan, &standings, Some(LISTED));
        assert_eq!(
            kinds(&more)[0],
            (TaskKind::List, None),
            "it looks at test images, too"
        );
        let best = &plan.runs[3];
        assert_eq!(
            (&best.trial, best.spec.measured_on),
            (&None, MeasuredOn::Test)
        );
        assert_eq!(best.spec.axes, plan.runs[2].spec.axes);
        let standings = [standings.as_slice(), &[settled(Some(0.6))]].concat();
        assert_eq!(grow(&search, &mut plan, &standings, Some(LISTED)), []);
    }

    #[test]
    fn trials_share_the_layers_of_all_and_a_listing_for_each_size() {
        let size = values(
            "data.init_args.image_size",
            &[json!([64, 64]), json!([32, 32])],
        );
        let mut search = search(vec![size, layers()]);
        search.by.concurrency = 6;
        let mut template = template();
        template
            .data
            .init_args
            .insert("image_size".to_owned(), json!([64, 64]));
        let plan = super::plan(&search, &template);
        let lists = plan
            .tasks
            .iter()
            .filter(|task| matches!(task.spec, TaskSpec::List { .. }));
        assert_eq!((plan.runs.len(), lists.count()), (6, 2));
        for run in &plan.runs {
            let joint = run.joint.as_ref().expect("they share a pass");
            assert_eq!(joint.layers, ["layer1", "layer2", "layer3"]);
        }
        // A listing serves trials that it was not planned for.
        let listed = TaskResult {
            detail: ResultDetail::List {
                samples: String::new(),
                train: 1,
                scored: 10,
                packages: Vec::new(),
                licences: Vec::new(),
                scored_before: None,
            },
            timings: Vec::new(),
            warnings: Vec::new(),
            reused: None,
        };
        let scores = expand(&plan, TaskIndex(0), &listed, TaskIndex(99)).tasks;
        let runs: Vec<Option<u32>> = scores.iter().map(|task| task.spec.run()).collect();
        assert_eq!(runs, [Some(0), Some(1), Some(2)]);
    }
}
