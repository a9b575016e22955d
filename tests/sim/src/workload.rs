//! Jobs to submit: small plans of every kind, and what their results must be.

use std::collections::BTreeMap;

use coordinator_core::Submit;
use job::{
    Rethreshold,
    resolved::{
        ClassSpec, DeviceChoice, EngineChoice, JobKind, Kept, MeasuredOn, MetricsSpec, ModelSource,
        Normalization, Objective, Precision, ResolvedJob, Resources, RunSpec, SearchSpec,
        ThresholdSpec, VisionTask,
    },
};
use plan::{
    Dependency, DependencyRule, MetricValue, Plan, PlannedRun, PlannedTask, ResultDetail, Standing,
    TaskResult, TaskSpec,
};
use types::{JobId, RequestId, TaskIndex};

use crate::{chance::Chance, executor};

/// Samples that a dataset of this number of chunks has.
pub fn samples(chunks: u64) -> u64 {
    if chunks == 0 {
        0
    } else {
        (chunks - 1) * plan::CHUNK + 17
    }
}

pub fn submit(
    id: &str,
    request: &str,
    key: Option<String>,
    kind: JobKind,
    runs: u32,
    chunks: u64,
    priority: i32,
) -> Submit {
    let spec = RunSpec {
        axes: serde_json::Map::new(),
        model: ModelSource::Train(ClassSpec {
            class_path: "Padim".to_owned(),
            init_args: serde_json::Map::new(),
        }),
        data: ClassSpec {
            class_path: "Folder".to_owned(),
            init_args: serde_json::Map::new(),
        },
        metrics: MetricsSpec {
            image: Vec::new(),
            pixel: Vec::new(),
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
        // The number of chunks travels to the fake list task as the seed.
        seed: chunks,
    };
    let mut resolved = ResolvedJob {
        format: 1,
        kind,
        name: "simulated".to_owned(),
        resources: Resources {
            pool: types::PoolName::default(),
            timeout_s: Some(600),
            retries: 2,
            memory_bytes: Some(1 << 30),
            engine: EngineChoice::Auto,
            device: DeviceChoice::Auto,
            labels: types::Labels::default(),
        },
        output: "file:///simulated".to_owned(),
        priority,
        max_failed_tasks: None,
        deadline_s: None,
        runs: vec![spec.clone(); runs as usize],
        export: None,
        search: None,
    };
    let mut plan = plan_of(runs, &spec);
    if kind == JobKind::Hpo {
        resolved.runs.truncate(1);
        resolved.search = Some(search(runs));
        plan = plan::plan(&resolved);
    }
    let resolved_json = serde_json::to_string(&resolved).expect("a job is plain data");
    Submit {
        request: request.parse::<RequestId>().expect("a name"),
        id: id.parse::<JobId>().expect("an id"),
        digest: format!("{kind:?}-{runs}-{chunks}"),
        key,
        resolved,
        resolved_json,
        source_yaml: String::new(),
        plan,
        trace: None,
    }
}

/// A search of so many trials, three at a time, and the best once more.
fn search(trials: u32) -> SearchSpec {
    let dimension = |name: &str, domain| hpo::Dimension {
        name: format!("model.init_args.{name}"),
        domain,
        when: Vec::new(),
    };
    let range = hpo::Domain::Integer {
        min: 1,
        max: 1_000,
        scale: hpo::Scale::Log,
    };
    SearchSpec {
        objective: Objective {
            level: "image".to_owned(),
            metric: "AUROC".to_owned(),
        },
        refit: true,
        by: hpo::Search {
            space: hpo::Space {
                dimensions: vec![
                    dimension(
                        "backbone",
                        hpo::Domain::Values(vec!["a".into(), "b".into()]),
                    ),
                    dimension("n_features", range),
                ],
            },
            method: hpo::Method::Tpe,
            goal: hpo::Goal::Maximize,
            trials,
            concurrency: 3,
            seed: 7,
        },
    }
}

/// What a run measures: of a trial a function of what it tries.
pub fn objective(run: &RunSpec) -> MetricValue {
    let bytes = serde_json::to_vec(&run.axes).expect("plain data");
    let drawn = crate::chance::digest(bytes.into_iter().map(u64::from)) % 1_000_003;
    MetricValue {
        level: "image".to_owned(),
        metric: "AUROC".to_owned(),
        value: Some(drawn as f64 / 1_000_003.0),
        reason: None,
    }
}

/// The runs of a search in which nothing fails, found one after the other.
pub fn trials(resolved: &ResolvedJob, plan: &Plan) -> Vec<PlannedRun> {
    let (search, template) = resolved
        .search
        .as_ref()
        .zip(resolved.runs.first())
        .expect("a search");
    let mut plan = plan.clone();
    loop {
        let standings: Vec<Standing> = plan
            .runs
            .iter()
            .map(|run| Standing::Settled(objective(&run.spec).value))
            .collect();
        let next = TaskIndex(plan.tasks.len() as u32);
        let expansion = plan::search_on(search, template, &plan, &standings, next, |_| None);
        if expansion.runs.is_empty() {
            return plan.runs;
        }
        plan.runs.extend(expansion.runs);
        plan.tasks.extend(expansion.tasks);
    }
}

/// One listing; a fit and an evaluate a run; a reduce.
fn plan_of(runs: u32, spec: &RunSpec) -> Plan {
    let on = |task: u32, rule| Dependency {
        task: TaskIndex(task),
        rule,
    };
    let success = |task| on(task, DependencyRule::Success);
    let mut tasks = vec![PlannedTask {
        index: TaskIndex(0),
        spec: TaskSpec::List {
            runs: (0..runs).collect(),
        },
        depends_on: Vec::new(),
    }];
    for run in 0..runs {
        let fit = TaskIndex(1 + 2 * run);
        tasks.push(PlannedTask {
            index: fit,
            spec: TaskSpec::Fit { run },
            depends_on: vec![success(0)],
        });
        let depends_on = vec![success(0), success(fit.0)];
        tasks.push(PlannedTask {
            index: TaskIndex(fit.0 + 1),
            spec: TaskSpec::Evaluate { run },
            depends_on,
        });
    }
    let depends_on = (0..runs)
        .map(|run| on(2 + 2 * run, DependencyRule::Settled))
        .collect();
    tasks.push(PlannedTask {
        index: TaskIndex(1 + 2 * runs),
        spec: TaskSpec::Reduce,
        depends_on,
    });
    let run = |index| PlannedRun {
        index,
        model: "Padim".to_owned(),
        dataset: "simulated".to_owned(),
        category: String::new(),
        spec: spec.clone(),
        joint: None,
        trial: None,
    };
    Plan {
        runs: (0..runs).map(run).collect(),
        tasks,
    }
}

/// A job of random kind and size under a random priority.
pub fn draw(chance: &mut Chance, number: u64, key: Option<String>) -> Submit {
    let kind = *chance.pick(&[
        JobKind::Benchmark,
        JobKind::Benchmark,
        JobKind::Train,
        JobKind::Hpo,
    ]);
    let runs = match kind {
        JobKind::Train => 1,
        JobKind::Hpo => chance.between(2, 8) as u32,
        _ => chance.between(1, 3) as u32,
    };
    let chunks = chance.between(0, 3);
    let priority = chance.between(0, 2) as i32;
    let max_failed_tasks = *chance.pick(&[None, None, None, Some(0), Some(1), Some(3)]);
    let mut drawn = submit(
        &format!("job{number}"),
        &format!("submit-{number}"),
        key,
        kind,
        runs,
        chunks,
        priority,
    );
    allow_failures(&mut drawn, max_failed_tasks);
    if chance.hits(0.15) {
        must_end_within(&mut drawn, chance.between(20, 400));
    }
    drawn
}

/// Sets how many tasks may fail before the job stops.
pub fn allow_failures(submit: &mut Submit, max_failed_tasks: Option<u32>) {
    submit.resolved.max_failed_tasks = max_failed_tasks;
    submit.resolved_json = serde_json::to_string(&submit.resolved).expect("a job is plain data");
    if let Some(bound) = max_failed_tasks {
        submit.digest.push_str(&format!("-{bound}"));
    }
}

/// Sets the job's deadline.
pub fn must_end_within(submit: &mut Submit, seconds: u64) {
    submit.resolved.deadline_s = Some(seconds);
    submit.resolved_json = serde_json::to_string(&submit.resolved).expect("a job is plain data");
    submit.digest.push_str(&format!("-within-{seconds}"));
}

/// Sets what the job needs of its workers.
pub fn need(
    submit: &mut Submit,
    engine: &str,
    device: DeviceChoice,
    labels: &types::Labels,
    memory_bytes: u64,
) {
    let resources = &mut submit.resolved.resources;
    resources.engine = EngineChoice::parse(engine).expect("an engine");
    resources.device = device;
    resources.labels = labels.clone();
    resources.memory_bytes = Some(memory_bytes);
    let device = device.as_str();
    submit
        .digest
        .push_str(&format!("-{engine}-{device}-{labels}-{memory_bytes}"));
    submit.resolved_json = serde_json::to_string(&submit.resolved).expect("a job is plain data");
}

/// The digest that the job's reduce must have if every task succeeds: the fault-free run with these thresholds from the start,
/// computed at once.
pub fn expected_reduce(plan: &Plan, chunks: u64, thresholds: &BTreeMap<u32, Rethreshold>) -> u64 {
    let runs = (0..plan.runs.len() as u32).collect();
    let list = executor::digest_of(&TaskSpec::List { runs }, None, &[]);
    let result = TaskResult {
        detail: ResultDetail::List {
            samples: String::new(),
            train: 1,
            scored: samples(chunks),
            packages: Vec::new(),
            licences: Vec::new(),
            scored_before: None,
        },
        timings: Vec::new(),
        warnings: Vec::new(),
        reused: None,
    };
    let expansion = plan::expand(
        plan,
        TaskIndex(0),
        &result,
        TaskIndex(plan.tasks.len() as u32),
    );
    let mut evaluates = Vec::new();
    for run in 0..plan.runs.len() as u32 {
        let fit = executor::digest_of(&TaskSpec::Fit { run }, None, &[list]);
        let of_run = expansion.tasks.iter().filter(|t| t.spec.run() == Some(run));
        let scores = of_run.map(|t| executor::digest_of(&t.spec, None, &[list, fit]));
        // Inputs come in order of their index: list, fit, then the score tasks.
        let inputs: Vec<u64> = [list, fit].into_iter().chain(scores).collect();
        let threshold = thresholds.get(&run).and_then(|new| new.image);
        let spec = TaskSpec::Evaluate { run };
        evaluates.push(executor::digest_of(&spec, threshold, &inputs));
    }
    executor::digest_of(&TaskSpec::Reduce, None, &evaluates)
}

/// The same of a search: its trials share a listing, and the run that fits the best once more has its own.
pub fn expected_search(submit: &Submit, chunks: u64) -> u64 {
    let runs = trials(&submit.resolved, &submit.plan);
    let list = |run: u32| executor::digest_of(&TaskSpec::List { runs: vec![run] }, None, &[]);
    let evaluates: Vec<u64> = runs
        .iter()
        .map(|planned| {
            let run = planned.index;
            let list = list(if planned.trial.is_some() { 0 } else { run });
            let fit = executor::digest_of(&TaskSpec::Fit { run }, None, &[list]);
            let samples = samples(chunks);
            let scores = (0u32..chunks as u32).map(|chunk| {
                let first = u64::from(chunk) * plan::CHUNK;
                let count = plan::CHUNK.min(samples - first);
                let spec = TaskSpec::Score {
                    run,
                    chunk,
                    first,
                    count,
                };
                executor::digest_of(&spec, None, &[list, fit])
            });
            let inputs: Vec<u64> = [list, fit].into_iter().chain(scores).collect();
            executor::digest_of(&TaskSpec::Evaluate { run }, None, &inputs)
        })
        .collect();
    executor::digest_of(&TaskSpec::Reduce, None, &evaluates)
}

/// A threshold that a user sets, and for which runs of so many: none named is all.
pub fn draw_threshold(chance: &mut Chance, runs: u32) -> (Vec<u32>, Rethreshold) {
    let image = *chance.pick(&[
        ThresholdSpec::Manual { value: 1.5 },
        ThresholdSpec::Manual { value: 2.5 },
        ThresholdSpec::FalsePositiveRate { rate: 0.01 },
        ThresholdSpec::F1Adaptive,
    ]);
    let new = Rethreshold {
        image: Some(image),
        pixel: None,
    };
    // Sometimes one that there is not.
    let named = chance
        .hits(0.4)
        .then(|| chance.between(0, u64::from(runs)) as u32);
    (Vec::from_iter(named), new)
}
