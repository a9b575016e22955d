//! What every plan and every expansion has, whatever the job.

use std::collections::BTreeMap;

use job::{
    ResolvedJob,
    resolved::{
        ClassSpec, JobKind, Kept, MeasuredOn, MetricsSpec, ModelSource, Normalization, Precision,
        Resources, RunSpec, ThresholdSpec, VisionTask,
    },
};
use proptest::prelude::*;
use serde_json::{Map, json};
use types::TaskIndex;

use crate::*;

pub(crate) fn spec(
    backbone: &str,
    features: u32,
    category: &str,
    seed: u64,
    trained: bool,
) -> RunSpec {
    let class = |class_path: &str, args: serde_json::Value| ClassSpec {
        class_path: class_path.into(),
        init_args: args.as_object().expect("a map").clone(),
    };
    RunSpec {
        axes: Map::new(),
        model: if trained {
            ModelSource::Train(class(
                "Padim",
                json!({"backbone": backbone, "n_features": features}),
            ))
        } else {
            ModelSource::Package("screws@1".into())
        },
        data: class("MVTec", json!({"category": category})),
        metrics: MetricsSpec {
            image: vec!["AUROC".into()],
            pixel: vec![],
            fpr_limit: 0.3,
            fpr_bounds: [1e-5, 1e-4],
            image_threshold: ThresholdSpec::F1Adaptive,
            pixel_threshold: ThresholdSpec::F1Adaptive,
        },
        normalization: Normalization::MinMax,
        parity: 0,
        precision: Precision::F32,
        scaled_decoding: false,
        max_error_rows: None,
        incremental: false,
        skip: None,
        maps: Kept::None,
        pictures: Kept::None,
        measured_on: MeasuredOn::Test,
        train_share: None,
        chosen_on: None,
        model_name: None,
        task: VisionTask::Classification,
        seed,
    }
}

pub(crate) fn job(runs: Vec<RunSpec>) -> ResolvedJob {
    ResolvedJob {
        format: ResolvedJob::FORMAT,
        kind: JobKind::Benchmark,
        name: "demo".into(),
        resources: Resources::default(),
        output: "file:///results".into(),
        priority: 0,
        max_failed_tasks: None,
        deadline_s: None,
        runs,
        export: None,
        search: None,
    }
}

fn listed(scored: u64) -> TaskResult {
    let detail = ResultDetail::List {
        samples: "samples.parquet".into(),
        train: 9,
        scored,
        packages: vec![],
        licences: vec![],
        scored_before: None,
    };
    TaskResult {
        detail,
        timings: vec![],
        warnings: vec![],
        reused: None,
    }
}

/// Accepts every list in turn and applies what follows.
fn expanded(mut plan: Plan, scored: u64) -> Plan {
    let planned = plan.clone();
    for task in &planned.tasks {
        let next = TaskIndex(plan.tasks.len() as u32);
        let expansion = expand(&planned, task.index, &listed(scored), next);
        plan.tasks.extend(expansion.tasks);
        for (waits, dependency) in expansion.added_dependencies {
            plan.tasks[waits.0 as usize].depends_on.push(dependency);
        }
    }
    plan
}

#[test]
fn a_benchmark_shares_its_listings() {
    let plan = plan(&job(vec![
        spec("a", 1, "x", 0, true),
        spec("b", 1, "x", 0, true),
        spec("a", 1, "y", 0, true),
    ]));
    let kinds: Vec<String> = plan
        .tasks
        .iter()
        .map(|task| format!("{:?}", task.spec))
        .collect();
    let expected = [
        "List { runs: [0, 1] }",
        "List { runs: [2] }",
        "Fit { run: 0 }",
        "Evaluate { run: 0 }",
        "Fit { run: 1 }",
        "Evaluate { run: 1 }",
        "Fit { run: 2 }",
        "Evaluate { run: 2 }",
        "Reduce",
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn labels_say_what_differs() {
    let plan = plan(&job(vec![
        spec("a", 10, "x", 0, true),
        spec("a", 20, "x", 0, true),
        spec("b", 10, "x", 0, true),
        spec("", 0, "x", 0, false),
        RunSpec {
            model_name: Some("of line 3".to_owned()),
            ..spec("", 0, "x", 0, false)
        },
    ]));
    let labels: Vec<&str> = plan.runs.iter().map(|run| run.model.as_str()).collect();
    assert_eq!(
        labels,
        [
            "Padim a n_features=10",
            "Padim a n_features=20",
            "Padim b",
            "screws@1",
            "of line 3"
        ]
    );
}

#[test]
fn a_run_that_normalizes_by_training_images_scores_them_too_unless_a_package_brings_that_along() {
    let cdf = |spec: RunSpec| RunSpec {
        normalization: Normalization::Cdf,
        ..spec
    };
    let runs = vec![
        cdf(spec("a", 1, "x", 0, true)),
        cdf(spec("a", 1, "x", 0, false)),
        spec("a", 2, "x", 0, true),
    ];
    let full = expanded(plan(&job(runs)), 300);
    let images = |wanted: u32| -> u64 {
        let scores = full.tasks.iter().map(|task| match task.spec {
            TaskSpec::Score { run, count, .. } if run == wanted => count,
            _ => 0,
        });
        scores.sum()
    };
    assert_eq!([0, 1, 2].map(images), [309, 300, 300]);
}

#[test]
fn only_a_list_expands() {
    let plan = plan(&job(vec![spec("a", 1, "x", 0, true)]));
    for (index, expected) in [(0, 2), (1, 0), (2, 0), (3, 0), (99, 0)] {
        let expansion = expand(&plan, TaskIndex(index), &listed(300), TaskIndex(4));
        assert_eq!(expansion.tasks.len(), expected, "task {index}");
    }
    let fit = TaskResult {
        detail: ResultDetail::Fit {
            statistics: "x".into(),
            weights: None,
        },
        timings: vec![],
        warnings: vec![],
        reused: None,
    };
    assert_eq!(
        expand(&plan, TaskIndex(0), &fit, TaskIndex(4)),
        Expansion::default()
    );
}

#[test]
fn no_result_creates_tasks_without_bound() {
    let plan = plan(&job(vec![spec("a", 1, "x", 0, true)]));
    let expansion = expand(&plan, TaskIndex(0), &listed(u64::MAX), TaskIndex(4));
    assert!(expansion.tasks.len() <= 65_536, "{}", expansion.tasks.len());
    assert!(
        matches!(expansion.tasks.last(), Some(PlannedTask { spec: TaskSpec::Score { first, count, .. }, .. })
        if first.checked_add(*count) == Some(u64::MAX))
    );
}

fn any_runs() -> impl Strategy<Value = Vec<RunSpec>> {
    let run = ("[ab]", 1u32..3, "[xyz]", 0u64..3, any::<bool>())
        .prop_map(|(a, b, c, d, e)| spec(&a, b, &c, d, e));
    prop::collection::vec(run, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plans_are_dense_acyclic_and_repeatable(runs in any_runs(), scored in 0u64..2_000) {
        let job = job(runs);
        let planned = plan(&job);
        prop_assert_eq!(&planned, &plan(&job));
        let full = expanded(planned.clone(), scored);
        prop_assert_eq!(&full, &expanded(planned, scored));
        for (place, task) in full.tasks.iter().enumerate() {
            prop_assert_eq!(task.index.0 as usize, place);
        }
        // Acyclic: tasks can be done one after the other until none is left.
        let mut done = vec![false; full.tasks.len()];
        while let Some(next) = full.tasks.iter().find(|task| {
            !done[task.index.0 as usize] && task.depends_on.iter().all(|needs| done[needs.task.0 as usize])
        }) {
            done[next.index.0 as usize] = true;
        }
        prop_assert!(done.into_iter().all(|done| done));
    }

    #[test]
    fn every_scored_sample_is_in_one_chunk_and_everything_is_waited_for(runs in any_runs(), scored in 0u64..2_000) {
        let full = expanded(plan(&job(runs.clone())), scored);
        let mut next_of: BTreeMap<u32, u64> = BTreeMap::new();
        let find = |wanted: TaskSpec| full.tasks.iter().find(|task| task.spec == wanted);
        for task in &full.tasks {
            let needs = |other: TaskIndex, rule| task.depends_on.contains(&Dependency { task: other, rule });
            match task.spec {
                TaskSpec::Score { run, chunk, first, count } => {
                    prop_assert_eq!(first, *next_of.entry(run).or_default());
                    prop_assert_eq!(u64::from(chunk) * CHUNK, first);
                    prop_assert!((1..=CHUNK).contains(&count));
                    *next_of.entry(run).or_default() += count;
                    let fit = find(TaskSpec::Fit { run });
                    prop_assert_eq!(fit.is_some(), matches!(runs[run as usize].model, ModelSource::Train(_)));
                    prop_assert!(fit.is_none_or(|fit| needs(fit.index, DependencyRule::Success)));
                    let evaluate = find(TaskSpec::Evaluate { run }).expect("each run has one");
                    let scores = Dependency { task: task.index, rule: DependencyRule::Success };
                    prop_assert!(evaluate.depends_on.contains(&scores));
                }
                TaskSpec::Reduce => {
                    prop_assert_eq!(task.depends_on.len(), runs.len());
                    for run in 0..runs.len() as u32 {
                        let evaluate = find(TaskSpec::Evaluate { run }).expect("each run has one");
                        prop_assert!(needs(evaluate.index, DependencyRule::Settled));
                    }
                }
                _ => {}
            }
        }
        for run in 0..runs.len() as u32 {
            prop_assert_eq!(next_of.get(&run).copied().unwrap_or_default(), scored);
        }
    }
}
